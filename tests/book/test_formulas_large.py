"""The computed equations of the section on large data, read from their page and evaluated."""

from itertools import combinations

import numpy as np
import pytest

from book.formulas import check
from examples.block_order import pool_variance
from minivae.models.mixture.em import add
from minivae_kernels.mixture import mixture_statistics


@pytest.mark.equation("LARGE.1", evaluated=True)
def test_sums_of_blocks():
    def bind(rng, trial):
        X, w, c = rng.normal(size=(2, 3, 1)), rng.random((2, 3)), rng.normal(size=(2, 1))
        theta = (np.array([0.3, 0.7]), rng.normal(size=(2, 1)), np.ones((2, 1)), "diag")
        log_r = -0.5 * (X - theta[1][:, 0]) ** 2 + np.log(theta[0])
        r = np.exp(log_r) / np.exp(log_r).sum(axis=2, keepdims=True)
        sums = add(
            mixture_statistics(X[b], *theta, centres=c, sample_weight=w[b]) for b in range(2)
        )
        return {
            "N": [*sums.counts], "m": [*sums.first[:, 0]], "w": w.tolist(), "r": r.tolist(),
            "x": X[:, :, 0].tolist(), "c": [*c[:, 0]], "B": 2, "ranges": {"n": 3, "k": 2},
        }  # fmt: skip

    check("LARGE.1", bind)


@pytest.mark.equation("LARGE.3", evaluated=True)
def test_the_error_that_the_batches_of_a_pool_share():
    def bind(rng, trial):
        means, P = rng.normal(size=6), int(rng.integers(1, 7))
        pools = [np.mean(chosen) for chosen in combinations(means, P)]
        np.testing.assert_allclose(pool_variance(means, P), np.var(pools), atol=1e-14)
        return {"V": np.var(pools), r"\sigma": np.std(means), "P": P, "B": 6}

    check("LARGE.3", bind)
