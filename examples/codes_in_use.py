"""Clusters and few labels, in pixels and in a VAE's codes: Eq. USE.3, Eq. USE.4, Eq. USE.5.

The VAE sees pixels and no labels. On the left, mixtures of ten Gaussians are compared with the ten
digits; on the right, logistic regression learns from few labels. Both are judged on new digits.
"""

# %%
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE, GaussianMixture, NeuralClassifier, datasets
from minivae.errors import ConvergenceWarning
from minivae.metrics import (
    adjusted_rand_index,
    matched_accuracy,
    normalised_mutual_information,
)

SETTINGS = {"likelihood": "binomial", "n_trials": 16, "hidden": (100,), "activation": "tanh",
            "latent_dim": 8, "learning_rate": 3e-3, "batch_size": 100}  # fmt: skip
NAMES = ("adjusted Rand", "mutual information", "matched accuracy")


def few(y, m, seed):
    """The rows of m data of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    return np.concatenate([order[y[order] == k][:m] for k in np.unique(y)])


# %%
def main(folder=Path(__file__).parent, seeds=3, n=2000, epochs=50, per_class=(1, 3, 10, 30)):
    digits = datasets.load("optdigits")
    X, X_test = digits.model_arrays(counts=True)
    X, y, y_test = X[:n], digits.y_train[:n], digits.y_test
    clusters, probes = {"pixels": [], "codes": []}, {"pixels": [], "codes": []}
    for seed in range(seeds):
        vae = VAE(**SETTINGS, epochs=epochs, random_state=seed).fit(X)
        views = {"pixels": (X, X_test), "codes": (vae.transform(X), vae.transform(X_test))}
        for view, (train, test) in views.items():
            train, test = train.astype(float), test.astype(float)
            floor = 1.0 if view == "pixels" else 1e-3
            mixture = GaussianMixture(
                10, covariance_type="tied", reg_covar=floor, n_init=3, random_state=seed
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # some pixels are always 0
                mixture.fit(train)
            found = mixture.predict(test)
            clusters[view].append([
                adjusted_rand_index(y_test, found), normalised_mutual_information(y_test, found),
                matched_accuracy(y_test, found),
            ])  # fmt: skip
            accuracies = []
            for m in per_class:
                rows = few(y, m, seed)
                probe = NeuralClassifier(weight_decay=1.0, epochs=100, random_state=seed)
                accuracies.append(probe.fit(train[rows], y[rows]).score(test, y_test))
            probes[view].append(accuracies)
    print(f"{seeds} seeds, mean +- standard deviation, {len(y_test)} new digits")
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, view in enumerate(clusters):
        mean, spread = np.mean(clusters[view], axis=0), np.std(clusters[view], axis=0, ddof=1)
        for name, m, s in zip(NAMES, mean, spread, strict=True):
            print(f"clusters of {view:7s} {name:20s} {m:.3f} +- {s:.3f}")
        left.bar(np.arange(3) + 0.4 * i - 0.2, mean, 0.38, yerr=spread, label=view)
        mean, spread = np.mean(probes[view], axis=0), np.std(probes[view], axis=0, ddof=1)
        for m, a, s in zip(per_class, mean, spread, strict=True):
            print(f"probe on {view:10s} {m:2d} labels of each digit {a:.3f} +- {s:.3f}")
        right.errorbar(per_class, mean, spread, marker="o", capsize=3, label=view)
    left.set_xticks(range(3), NAMES)
    left.set(title="ten clusters against ten digits", ylim=(0, 1))
    right.set(xscale="log", xlabel="labels of each digit", title="accuracy of a linear probe")
    right.set_xticks(per_class, map(str, per_class))
    right.minorticks_off()
    left.legend()
    right.legend()
    figure.savefig(Path(folder) / "codes_in_use.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
