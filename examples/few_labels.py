"""How far do a few labels go? A classifier alone, the same within M2, and a mixture: Eq. SSL.3.

All three see the same labels; the last two also see data without labels. The classifier alone is
the same network, trained for as many steps: without unlabelled data nothing else in Eq. SSL.3
reaches it. A one-dimensional code leaves much for the class to explain. The mixture's answer is
exact: EM with the known labels held fixed, and Eq. GMM.2 for the others. The weight alpha is chosen
on training digits that none of the fits sees; the new digits are used once, at the end.
"""

# %%
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import GaussianMixture, SemiSupervisedVAE, datasets
from minivae.errors import ConvergenceWarning

SETTINGS = {"likelihood": "binomial", "n_trials": 16, "hidden": (64,), "activation": "tanh",
            "latent_dim": 1, "learning_rate": 5e-3, "batch_size": 100}  # fmt: skip


def show(y, m, seed):
    """The labels of m data of each class, -1 for all others."""
    order, few = np.random.default_rng(seed).permutation(len(y)), np.full(len(y), -1)
    for k in np.unique(y):
        chosen = order[y[order] == k][:m]
        few[chosen] = k
    return few


def chosen_alpha(X, y, X_held, y_held, alphas, m, epochs, seed=100):
    """The weight with which M2 names the most held-out digits, found with other labels."""
    few = show(y, m, seed)
    found = []
    for alpha in alphas:
        model = SemiSupervisedVAE(**SETTINGS, alpha=alpha, epochs=epochs, random_state=seed)
        found.append((model.fit(X, few).predict(X_held) == y_held).mean())
        print(f"alpha {alpha:<4g} {found[-1]:.3f} on {len(y_held)} held-out training digits")
    return alphas[int(np.argmax(found))]


def accuracies(X, y, X_test, y_test, m, seed, epochs, alpha):
    """The accuracies of the classifier alone, of M2 and of the mixture on new digits."""
    few = show(y, m, seed)
    known = few >= 0
    settings = {**SETTINGS, "alpha": alpha, "random_state": seed}
    batch = SETTINGS["batch_size"]
    steps = epochs * -(-len(X) // batch)
    alone = SemiSupervisedVAE(**settings, epochs=steps // -(-int(known.sum()) // batch))
    alone.fit(X[known], few[known])
    both = SemiSupervisedVAE(**settings, epochs=epochs).fit(X, few)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some pixels are always 0
        mixture = GaussianMixture(10, covariance_type="tied", reg_covar=1.0, random_state=seed)
        mixture.fit(X, labels=few)
    return [(model.predict(X_test) == y_test).mean() for model in (alone, both, mixture)]


# %%
def main(
    folder=Path(__file__).parent, n=1000, per_class=(1, 3, 10), seeds=3, epochs=40,
    alphas=(3.0, 30.0, 100.0), held=800,
):  # fmt: skip
    digits = datasets.load("optdigits")
    X, X_test = (x.astype(float) for x in digits.model_arrays(counts=True))
    (X, X_held), (y, y_held) = (np.split(a[: n + held], [n]) for a in (X, digits.y_train))
    alpha = chosen_alpha(X, y, X_held, y_held, alphas, per_class[len(per_class) // 2], epochs)
    names = ("classifier alone", "M2, with unlabelled", "mixture, with unlabelled")
    print(f"{'labels':>6}  {names[0]:>16}  {names[1]:>19}  {names[2]:>24}  gain of M2, paired")
    table = []
    for m in per_class:
        found = np.array(
            [
                accuracies(X, y, X_test, digits.y_test, m, seed, epochs, alpha)
                for seed in range(seeds)
            ]
        )
        gain = found[:, 1] - found[:, 0]
        error = gain.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else np.nan
        a, b, c = found.mean(axis=0)
        print(f"{10 * m:>6}  {a:>16.3f}  {b:>19.3f}  {c:>24.3f}  {gain.mean():+.3f} +- {error:.3f}")
        table.append(found)

    # %% A point a seed, a line through the means
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for i, (name, marker) in enumerate(zip(names, "osv", strict=True)):
        (line,) = axes.plot(per_class, [f[:, i].mean() for f in table], label=name)
        for m, found in zip(per_class, table, strict=True):
            axes.plot([m] * seeds, found[:, i], marker, color=line.get_color(), alpha=0.5)
    axes.set(xscale="log", xlabel="labels of each digit", ylabel="accuracy on new digits")
    axes.set_xticks(per_class, map(str, per_class))
    axes.minorticks_off()
    axes.legend()
    figure.savefig(Path(folder) / "few_labels.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
