"""Generative against discriminative: naive Bayes and logistic regression, Eq. NB.2 and Eq. USE.7.

Binary pixels, and more and more labelled digits. Naive Bayes is wrong about the digits, because
pixels are not independent given the class, but it has less to learn. The script prints from where
on logistic regression stays ahead, for the means and for each seed. The answer depends on the prior
of the weights.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import BernoulliNB, NeuralClassifier, datasets


def crossing(sizes, first, second):
    """The least size from which on the second curve is above, or infinity."""
    above = np.asarray(second) > np.asarray(first)
    for i, n in enumerate(sizes):
        if above[i:].all():
            return float(n)
    return float("inf")


# %%
def main(folder=Path(__file__).parent, seeds=3, sizes=(20, 50, 100, 200, 500, 1000, 2500)):
    digits = datasets.load("optdigits")
    X, X_test = (x > 8 for x in digits.model_arrays(counts=True))
    X, X_test = X.astype(float), X_test.astype(float)
    y, y_test = digits.y_train, digits.y_test
    found = np.empty((2, len(sizes), seeds))
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(X))
        for i, n in enumerate(sizes):
            rows = order[:n]
            bayes = BernoulliNB().fit(X[rows], y[rows])
            logistic = NeuralClassifier(
                weight_decay=1.0, epochs=max(20, 10000 // n), batch_size=50, random_state=seed
            ).fit(X[rows], y[rows])
            found[0, i, seed] = (bayes.predict(X_test) == y_test).mean()
            found[1, i, seed] = logistic.score(X_test, y_test)
    names = ("naive Bayes", "logistic regression")
    print(f"{'labels':>6s}  {names[0]:>16s}  {names[1]:>19s}   difference, paired")
    for i, n in enumerate(sizes):
        gap = found[1, i] - found[0, i]
        cells = [f"{c.mean():.3f} +- {c.std(ddof=1):.3f}" for c in found[:, i]]
        error = gap.std(ddof=1) / np.sqrt(seeds)
        print(f"{n:>6d}  {cells[0]:>16s}  {cells[1]:>19s}   {gap.mean():+.3f} +- {error:.3f}")
    where = crossing(sizes, *found.mean(axis=2))
    each = [crossing(sizes, found[0, :, s], found[1, :, s]) for s in range(seeds)]
    print(f"logistic regression is ahead from {where:g} labels on; by seed {sorted(each)}")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in zip(names, found, strict=True):
        axes.errorbar(sizes, curve.mean(1), curve.std(1, ddof=1), marker="o", capsize=3, label=name)
    axes.axvline(where, color="grey", linestyle=":")
    axes.set(xscale="log", xlabel="labelled digits", ylabel="accuracy on new digits")
    axes.legend()
    figure.savefig(Path(folder) / "learning_curves.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
