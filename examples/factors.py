"""Squares of known place and size: what beta gains and what it costs, Eq. VAE.4 and Eq. USE.12.

For each factor, the mutual information gap is what the best code dimension tells about it beyond
the second best, as a share of the factor's entropy. A larger beta tends to gather a factor in one
dimension; it lowers the bound, and nothing in the likelihood says which axes are right (Eq.
PPCA.5).
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE

SETTINGS = {"likelihood": "bernoulli", "hidden": (64, 64), "activation": "tanh", "latent_dim": 5,
            "learning_rate": 3e-3, "batch_size": 50}  # fmt: skip


def squares(side=10):
    """Squares of 2, 3 and 4 pixels, each in 7 x 7 places, and their row, column and size."""
    images, factors = [], []
    for size in (2, 3, 4):
        for i in range(side - 3):
            for j in range(side - 3):
                image = np.zeros((side, side))
                image[i : i + size, j : j + size] = 1
                images.append(image.ravel())
                factors.append((i, j, size))
    return np.array(images), np.array(factors)


def information(code, factor, bins=12):
    """The mutual information of a code's quantile bins and a factor, in nats."""
    edges = np.quantile(code, np.linspace(0, 1, bins + 1)[1:-1])
    table = np.zeros((bins, factor.max() + 1))
    np.add.at(table, (np.searchsorted(edges, code), factor), 1)
    p = table / table.sum()
    outer = p.sum(axis=1, keepdims=True) * p.sum(axis=0)
    return float((p[p > 0] * np.log(p[p > 0] / outer[p > 0])).sum())


def gap(codes, factors):
    """The mutual information gap of each factor, Eq. USE.12."""
    gaps = []
    for factor in factors.T:
        best = sorted(information(code, factor) for code in codes.T)[::-1]
        p = np.bincount(factor) / len(factor)
        gaps.append((best[0] - best[1]) / -(p[p > 0] * np.log(p[p > 0])).sum())
    return np.array(gaps)


# %%
def main(folder=Path(__file__).parent, seeds=3, epochs=120, betas=(1.0, 2.0, 4.0)):
    X, factors = squares()
    print(f"{len(X)} images, {seeds} seeds, mean +- standard deviation")
    print(f"{'beta':>5s}  {'gap: row':>14s}  {'column':>14s}  {'size':>14s}  {'ELBO, nats':>16s}")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for beta in betas:
        found = []
        for seed in range(seeds):
            vae = VAE(**SETTINGS, beta=beta, epochs=epochs, random_state=seed).fit(X)
            found.append([*gap(vae.transform(X), factors), vae.score(X)])
        mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        cells = [f"{m:.2f} +- {s:.2f}" for m, s in zip(mean, spread, strict=True)]
        row = "  ".join(f"{cell:>14s}" for cell in cells[:3])
        print(f"{beta:>5g}  {row}  {cells[3]:>16s}")
        means = [np.mean(row[:3]) for row in found]
        axes.plot([row[3] for row in found], means, "o", label=f"beta {beta:g}")
    axes.set(xlabel="ELBO, nats", ylabel="mutual information gap, mean of three factors")
    axes.legend()
    figure.savefig(Path(folder) / "factors.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
