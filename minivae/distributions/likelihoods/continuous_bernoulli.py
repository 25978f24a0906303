"""Grey values in [0, 1] as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae import ops
from minivae.distributions.base import numbers
from minivae.distributions.likelihoods.base import Likelihood, column_means
from minivae.distributions.likelihoods.binomial import refuse_outside_unit
from minivae.tensor import Array

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(Likelihood):
    """Independent grey values in [0, 1] with density C(p) p^x (1-p)^(1-x), Eq. LIK.5.

    The head is the natural parameter log p / (1 - p). Loaiza-Ganem and Cunningham (2019).
    """

    name = "continuous-bernoulli"
    most = 1.0

    def check(self, X: Array) -> None:
        """Refuse what is not in [0, 1]."""
        refuse_outside_unit(X, self.name)

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """x log p + (1 - x) log(1 - p) + log C(p), summed over pixels."""
        return ops.continuous_bernoulli_log_prob(parameters[0], x)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """The mean grey value, which is nearer to 1/2 than p is, Eq. LIK.6."""
        # E[x] = 1 / (1 - e^-l) - 1 / l, odd about 1/2; near 0 it is 1/2 + l/12 - l^3/720
        logits = numbers(parameters[0])
        a = np.abs(logits.astype(np.float64))
        safe = np.where(a < 1e-2, 1.0, a)
        half = np.where(
            a < 1e-2, a / 12.0 - a**3 / 720.0, -1.0 / np.expm1(-safe) - 1.0 / safe - 0.5
        )
        mean: Array = (0.5 + np.copysign(half, logits)).astype(logits.dtype)
        return mean

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """Grey values, by the inverse of their distribution function."""
        # F(x) = (e^(l x) - 1) / (e^l - 1), inverted for l <= 0 and mirrored: no overflow
        logits = numbers(parameters[0])
        a = -np.abs(logits.astype(np.float64))
        u = rng.random(a.shape)
        flat = a > -1e-6
        x = np.where(flat, u, np.log1p(u * np.expm1(a)) / np.where(flat, 1.0, a))
        return np.where(logits > 0, 1.0 - x, x).astype(logits.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The natural parameter at which E[x] is each column's mean, by bisection."""
        target = np.clip(column_means(X), 0.02, 0.98)
        low, high = np.full_like(target, -60.0), np.full_like(target, 60.0)
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = self.mean((middle,)) < target
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (0.5 * (low + high),)
