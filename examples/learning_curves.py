"""Generative against discriminative: naive Bayes and logistic regression, Eq. NB.2 and Eq. USE.9.

Binary pixels, and more and more labelled digits. Naive Bayes is wrong about the digits, because
pixels are not independent given the class, but it has less to learn. Each model has a prior,
pseudo-counts or weight decay, in a strong and a weak version. Each seed draws other labels, and the
differences are paired by seed, with standard errors.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import BernoulliNB, NeuralClassifier, datasets

PSEUDO_COUNTS = WEIGHT_DECAYS = (1.0, 0.1)


def crossing(sizes, first, second):
    """The least size from which the second curve stays above the first, or infinity."""
    above = np.asarray(second) > np.asarray(first)
    for i, n in enumerate(sizes):
        if above[i:].all():
            return float(n)
    return float("inf")


def paired(gap):
    """The mean of a difference over seeds, and its standard error."""
    return f"{gap.mean():+.3f} +- {gap.std(ddof=1) / np.sqrt(len(gap)):.3f}"


# %%
def main(folder=Path(__file__).parent, seeds=5, sizes=(10, 20, 50, 100, 200, 500, 1000, 2500)):
    digits = datasets.load("optdigits")
    X, X_test = (x > 8 for x in digits.model_arrays(counts=True))
    X, X_test = X.astype(float), X_test.astype(float)
    y, y_test = digits.y_train, digits.y_test
    bayes, logistic = np.empty((2, 2, len(sizes), seeds))
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(X))
        for i, n in enumerate(sizes):
            rows = order[:n]
            for j, alpha in enumerate(PSEUDO_COUNTS):
                model = BernoulliNB(alpha=alpha).fit(X[rows], y[rows])
                bayes[j, i, seed] = (model.predict(X_test) == y_test).mean()
            for j, decay in enumerate(WEIGHT_DECAYS):
                model = NeuralClassifier(
                    weight_decay=decay, epochs=max(20, 10000 // n), batch_size=50,
                    random_state=seed,
                ).fit(X[rows], y[rows])  # fmt: skip
                logistic[j, i, seed] = model.score(X_test, y_test)
    print("accuracy; the best logistic regression at each size, less naive Bayes")
    names = [f"alpha {a:g}" for a in PSEUDO_COUNTS] + [f"decay {d:g}" for d in WEIGHT_DECAYS]
    print("labels", *(f"{name:>10s}" for name in names),
          *(f"{'to ' + name:>16s}" for name in names[:2]))  # fmt: skip
    best = logistic[logistic.mean(axis=2).argmax(axis=0), range(len(sizes))]  # (sizes, seeds)
    for i, n in enumerate(sizes):
        means = [curve[i].mean() for curve in (*bayes, *logistic)]
        print(f"{n:>6d}", *(f"{mean:>10.3f}" for mean in means),
              *(f"{paired(best[i] - b[i]):>16s}" for b in bayes))  # fmt: skip
    for name, curve in zip(names, bayes, strict=False):
        where = crossing(sizes, curve.mean(axis=1), best.mean(axis=1))
        each = sorted(crossing(sizes, curve[:, s], best[:, s]) for s in range(seeds))
        print(f"{name}: logistic regression is ahead from {where:g} labels on; by seed {each}")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    words = [f"naive Bayes, pseudo-count {a:g}" for a in PSEUDO_COUNTS]
    words += [f"logistic regression, decay {d:g}" for d in WEIGHT_DECAYS]
    for k, (name, curve) in enumerate(zip(words, (*bayes, *logistic), strict=True)):
        style = {"color": f"C{k // 2}", "linestyle": "-" if k % 2 else "--", "capsize": 3}
        axes.errorbar(sizes, curve.mean(1), curve.std(1, ddof=1), marker="o", label=name, **style)
    axes.set(xscale="log", xlabel="labelled digits", ylabel="accuracy on new digits")
    axes.legend()
    figure.savefig(Path(folder) / "learning_curves.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
