"""How much a minibatch estimate varies, with and without replacement: Eq. MB.3 and Eq. MB.4.

Every minibatch of M out of 8 numbers is enumerated, so the dots in
``examples/minibatch_variance.png`` are not samples: they lie on the curves of the formulas.
"""

# %%
from itertools import combinations, product
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae.objectives import minibatch_estimate


def variance_with(terms, M):
    """N^2 var / M: the variance of the estimate if data are drawn with replacement, Eq. MB.3."""
    return len(terms) ** 2 * np.var(terms) / M


def variance_without(terms, M):
    """The variance without replacement, (N - M) / (N - 1) times the one with it, Eq. MB.4."""
    N = len(terms)
    return variance_with(terms, M) * (N - M) / (N - 1)


def enumerated(terms, batches):
    """The variance of the estimate over these minibatches, all equally likely."""
    return np.var([minibatch_estimate(terms[list(rows)], len(terms)) for rows in batches])


# %%
def main(path):
    terms = np.random.default_rng(0).standard_normal(8)
    rows, M = range(8), np.arange(1, 9)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(M, variance_with(terms, M), color="#e96006", label="with replacement, Eq. MB.3")
    axes.plot(M, variance_without(terms, M), color="#1b45b4", label="without, Eq. MB.4")
    with_ = [enumerated(terms, product(rows, repeat=m)) for m in range(1, 5)]
    without = [enumerated(terms, combinations(rows, m)) for m in M]
    axes.plot(range(1, 5), with_, "o", color="#e96006", label="with: every minibatch")
    axes.plot(M, without, "o", color="#1b45b4", label="without: every minibatch")
    axes.set(xlabel="size M of the minibatch", ylabel="variance of the estimate")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
