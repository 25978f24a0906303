"""Pixels that are on or off, and counts of several trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

from minivae import ops
from minivae.checks import is_whole
from minivae.distributions.base import numbers
from minivae.distributions.likelihoods.base import (
    Likelihood,
    column_means,
    log_odds,
    refuse,
    tiled,
)
from minivae.errors import DtypeError
from minivae.tensor import Array

__all__ = ["Bernoulli", "Binomial"]

GREY = ("threshold", "sample", "cross-entropy")


class Bernoulli(Likelihood):
    """Independent pixels, on or off, Eq. LIK.1. The head is the log-odds of *on*.

    Parameters
    ----------
    grey
        What pixels between 0 and 1 mean: ``"threshold"`` (on from 1/2), ``"sample"`` (drawn on with
        that probability, afresh in each epoch) or ``"cross-entropy"``, what many tutorials train
        on, which is not a log-density. With None such pixels are refused.
    """

    name = "bernoulli"
    most = 1.0

    def __init__(self, grey: str | None = None) -> None:
        if grey is not None and grey not in GREY:
            known = ", ".join(map(repr, GREY))
            raise ValueError(f"Bernoulli: grey={grey!r} is unknown; use one of {known}, or None")
        self.grey = grey
        self.is_density = grey != "cross-entropy"
        self.drawn_afresh = grey == "sample"

    def check(self, X: Array) -> None:
        """Refuse what is not 0 or 1, or, if grey pixels have a meaning, not in between either."""
        if self.grey is not None:
            refuse_outside_unit(X, self.name)
            return
        refuse(
            X, (X != 0) & (X != 1), self.name, "pixels are 0 or 1",
            "For grey pixels say what is meant: grey='threshold', 'sample' or 'cross-entropy', or "
            "take likelihood='continuous-bernoulli'; for counts likelihood='binomial'.",
        )  # fmt: skip

    def as_taken(self, X: Array, rng: np.random.Generator) -> Array:
        """Pixels on from 1/2, or drawn on with the grey value's probability."""
        if self.grey == "threshold":
            return (X >= 0.5).astype(X.dtype)
        if self.grey == "sample":
            return (rng.random(X.shape, dtype=X.dtype) < X).astype(X.dtype)
        return X

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """x log p + (1 - x) log(1 - p), summed over pixels, where p = sigmoid(logits)."""
        return ops.binomial_log_prob(parameters[0], x, n_trials=1.0)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """The probability of *on*."""
        return numbers(ops.sigmoid(parameters[0]))

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """Pixels, on with that probability."""
        p = numbers(ops.sigmoid(parameters[0]))
        return (rng.random(p.shape) < p).astype(p.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The log-odds of each column's mean."""
        return (log_odds(column_means(X)),)

    def describe(self) -> str:
        """The name, and what grey pixels are."""
        return f"{self.name}, grey pixels: {self.grey}" if self.grey else self.name


class Binomial(Likelihood):
    """Independent counts of successes out of ``n_trials``, Eq. LIK.2.

    The head is the log-odds of success.
    """

    name = "binomial"
    takes_counts = True

    def __init__(self, n_trials: int) -> None:
        if not is_whole(n_trials):
            raise DtypeError(f"Binomial: n_trials={n_trials!r} must be a whole number")
        if n_trials < 1:
            raise ValueError(f"Binomial: n_trials={n_trials} must be at least 1")
        self.n_trials = int(n_trials)
        self.most = float(n_trials)

    def check(self, X: Array) -> None:
        """Refuse what is not a count from 0 to ``n_trials``."""
        bad = (X < 0) | (self.n_trials < X) | (np.floor(X) != X)
        refuse(
            X, bad, self.name, f"data are whole counts from 0 to n_trials = {self.n_trials}",
            "Is n_trials right? Grey values in [0, 1] want 'continuous-bernoulli'.",
        )  # fmt: skip

    def encoder_input(self, X: Array) -> Array:
        """The share of successes, X / n."""
        return X / self.n_trials

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """log Bin(x; n, sigmoid(logits)) with its log C(n, x)."""
        (logits,) = parameters
        log_kernel = ops.binomial_log_prob(logits, x, n_trials=float(self.n_trials))
        return log_kernel + tiled(self.log_coefficients(numbers(x)).sum(axis=1), logits)

    def log_coefficients(self, x: Array) -> Array:
        """log C(n, x) of each count."""
        n = self.n_trials
        if n <= LARGEST_TABLE:
            if "_table" not in vars(self):
                self._table = _log_choose(n, np.arange(n + 1))
            return np.take_along_axis(self._table[None], x.astype(np.intp), axis=1)
        return _log_choose(n, x)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """The expected count, n sigmoid(logits)."""
        return self.n_trials * numbers(ops.sigmoid(parameters[0]))

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """Counts drawn at random."""
        p = numbers(ops.sigmoid(parameters[0]))
        return rng.binomial(self.n_trials, p).astype(p.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The log-odds of each column's share of successes."""
        return (log_odds(column_means(X) / self.n_trials),)

    def describe(self) -> str:
        """The name and the largest count."""
        return f"{self.name}, counts of {self.n_trials}"


LARGEST_TABLE = 2**16  # counts, up to which their coefficients are kept


def _log_choose(n: int, k: Array) -> Array:
    """log C(n, k)."""
    k, gammaln = np.asarray(k, np.float64), scipy.special.gammaln
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def refuse_outside_unit(X: Array, likelihood: str) -> None:
    """Refuse grey values that are not in [0, 1]."""
    refuse(
        X, (X < 0) | (X > 1), likelihood, "grey values lie in [0, 1]", "Divide 8-bit pixels by 255."
    )
