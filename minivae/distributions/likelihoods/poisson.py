"""Counts without a ceiling, such as words in a text or molecules in a cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

from minivae import ops
from minivae.distributions.base import numbers
from minivae.distributions.likelihoods.base import Likelihood, column_means, refuse, tiled
from minivae.tensor import Array

__all__ = ["Poisson"]

LEAST_RATE = 1e-3  # at which a column that is always 0 begins


class Poisson(Likelihood):
    """Independent counts, log p = x log(rate) - rate - log x!, Eq. LIK.3.

    The head is the logarithm of the rate, which is the mean and the variance.
    """

    name = "poisson"
    head_names = ("log_rate",)
    takes_counts = True

    def check(self, X: Array) -> None:
        """Refuse what is not a count from 0."""
        refuse(
            X, (X < 0) | (np.floor(X) != X), self.name, "data are whole counts from 0",
            "Real numbers want 'gaussian'; counts that were divided by their total lose their "
            "meaning: give the counts.",
        )  # fmt: skip

    def encoder_input(self, X: Array) -> Array:
        """log(1 + x): counts range over decades."""
        return np.log1p(X)

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """x log(rate) - rate - log x!, summed over the values."""
        (log_rate,) = parameters
        repeated = np.tile(numbers(x), (log_rate.shape[0] // max(1, x.shape[0]), 1))
        log_kernel = ops.sum(repeated * log_rate - ops.exp(log_rate), -1)
        return log_kernel - tiled(scipy.special.gammaln(numbers(x) + 1.0).sum(axis=1), log_rate)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """The rate."""
        return numbers(ops.exp(parameters[0]))

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """Counts drawn at random."""
        rate = numbers(ops.exp(parameters[0]))
        return rng.poisson(rate).astype(rate.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The logarithm of each column's mean."""
        return (np.log(np.maximum(column_means(X), LEAST_RATE)),)
