"""Any likelihood of single values, with those that are missing left out."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.distributions.base import numbers
from minivae.distributions.likelihoods.base import Likelihood, tiled
from minivae.tensor import Array, Tensor

__all__ = ["Masked"]


class Masked(Likelihood):
    """log p(x_o | z): another likelihood's sum over the values that are not NaN, Eq. MISS.7.

    The encoder sees a missing value as its column's mean. Means and samples are those of the
    other likelihood.

    Parameters
    ----------
    of
        A likelihood with independent values, one number from each head per value, and 0 in its
        support.
    """

    fill: Tensor

    def __init__(self, of: Likelihood) -> None:
        if max(of.outputs(), default=1) > 1:
            raise ValueError(
                f"Masked: the likelihood {of.name!r} takes several numbers from a head for each "
                "value, and cannot leave values out; missing values need one of another kind"
            )
        self.of, self.name = of, of.name  # type: ignore[misc]  # the name under which it is known
        self.head_names, self.most, self.drawn_afresh = of.head_names, of.most, of.drawn_afresh
        self.is_density, self.takes_counts = of.is_density, of.takes_counts

    def built(self, width: int | None, D: int, *, rng: np.random.Generator, dtype: Any) -> Self:
        """A copy around a built copy, with the columns' means."""
        own = type(self)(self.of.built(width, D, rng=rng, dtype=dtype))
        own.fill = Tensor(np.zeros(D), dtype=dtype)
        return own

    def start_at(self, X: Array) -> None:
        """Start at the means of what is observed."""
        seen = ~np.isnan(X)
        counts = np.maximum(seen.sum(axis=0), 1)
        self.fill.data = np.where(seen, X, 0).sum(axis=0, dtype=np.float64) / counts
        self.of.start_at(self._filled(X))

    def _filled(self, X: Array) -> Array:
        filled: Array = np.where(np.isnan(X), self.fill.data, X)
        return filled.astype(X.dtype)

    def __call__(self, h: Any) -> tuple[Any, ...]:
        """The other's parameters."""
        return self.of(h)

    def check(self, X: Array) -> None:
        """Refuse what the other refuses among the values that are there."""
        self.of.check(np.where(np.isnan(X), 0, X))

    def encoder_input(self, X: Array) -> Array:
        """The data as the other's encoder sees them, gaps filled by the columns' means."""
        return self.of.encoder_input(self._filled(X) if "fill" in vars(self) else X)

    def as_taken(self, X: Array, rng: np.random.Generator) -> Array:
        """The data as the other takes them, the gaps kept."""
        gaps = np.isnan(X)
        taken = self.of.as_taken(np.where(gaps, 0, X), rng)
        return np.where(gaps, np.nan, taken).astype(X.dtype)

    def in_training(self) -> Self:
        """Around the other as training uses it."""
        of = self.of.in_training()
        if of is self.of:
            return self
        own = copy.copy(self)
        own.of = of
        return own

    def at_best_scale(self, reconstruction: Any, x: Any) -> Any:
        """The other's, which counts the values that are there."""
        return self.of.at_best_scale(reconstruction, x)

    def keep_best_scale(self, reconstruction: Array, x: Array) -> None:
        """The other's, likewise."""
        self.of.keep_best_scale(reconstruction, x)

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """The sum over the values that are there, ``(S*N,)``.

        Missing values are computed as 0 with parameters of 0, without a gradient, and subtracted.
        """
        seen = ~np.isnan(numbers(x))
        if seen.all():
            return self.of.log_prob(parameters, x)
        n, D = numbers(parameters[0]).shape
        rows = np.tile(seen, (n // len(seen), 1))
        each = [q.shape == (n, D) for q in parameters]  # and not one for all values
        pairs = list(zip(parameters, each, strict=True))
        held = tuple(ops.where(rows, q, 0.0) if own else q for q, own in pairs)
        zero = np.zeros((1, 1), numbers(parameters[0]).dtype)
        one = self.of.log_prob(tuple(zero if own else q for q, own in pairs), zero)
        whole = self.of.log_prob(held, np.where(seen, numbers(x), 0).astype(zero.dtype))
        return whole - tiled((~seen).sum(axis=1), zero.repeat(n, axis=0)) * one

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """The other's, of all values."""
        return self.of.mean(parameters)

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """The other's, of all values."""
        return self.of.sample(parameters, rng)

    def describe(self) -> str:
        """The other's words, and what happens to missing values."""
        return f"{self.of.describe()}, missing values left out"
