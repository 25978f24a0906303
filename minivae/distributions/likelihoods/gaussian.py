"""Real numbers, with a variance for each value, one for all, or a fixed one."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.distributions.base import numbers
from minivae.distributions.likelihoods.base import Likelihood
from minivae.tensor import Array, Tensor

__all__ = ["Gaussian"]


class Gaussian(Likelihood):
    """Independent Gaussian values, Eq. LIK.3.

    Parameters
    ----------
    sigma
        ``"network"``: the decoder gives a mean and a variance for every value; ``"shared"``: one
        scale for all, learnt; a number: that scale, fixed.
    sigma_floor
        The least scale that can be learnt, in the data's units. Without one the likelihood is
        unbounded: a decoder that reproduces a datum exactly gains without end as its variance
        falls. Mattei and Frellsen (2018).
    """

    name = "gaussian"
    shared: Tensor

    def __init__(self, sigma: str | float = "network", sigma_floor: float = 1e-3) -> None:
        if isinstance(sigma, str):
            if sigma not in ("network", "shared"):
                raise ValueError(
                    f"Gaussian: sigma={sigma!r} is unknown; use 'network', 'shared' or a positive "
                    "number"
                )
        elif not 0 < sigma < math.inf:
            raise ValueError(f"Gaussian: sigma={sigma} must be positive and finite")
        if not 0 < sigma_floor < math.inf:
            raise ValueError(f"Gaussian: sigma_floor={sigma_floor} must be positive and finite")
        self.sigma, self.sigma_floor = sigma, sigma_floor
        self.head_names = ("mu", "raw_log_var") if sigma == "network" else ("mu",)

    def built(self, width: int | None, D: int, *, rng: np.random.Generator, dtype: Any) -> Self:
        """A copy, also with the scale that all values share, if it is learnt."""
        own = super().built(width, D, rng=rng, dtype=dtype)
        if self.sigma == "shared":
            own.shared = Tensor(np.zeros((1, 1)), requires_grad=True, dtype=dtype)
        return own

    def start_at(self, X: Array) -> None:
        """Set the heads' biases, and the shared scale to the data's standard deviation."""
        super().start_at(X)
        if self.sigma == "shared":
            self.shared.data = self.initial_shared(X)

    def __call__(self, h: Any) -> tuple[Any, ...]:
        """The parameters of p(x | z): mu, and the raw log-variance unless it is fixed."""
        parameters = super().__call__(h)
        learnt = self.sigma == "shared" and len(parameters) == 1 and "shared" in vars(self)
        return (*parameters, self.shared) if learnt else parameters

    @property
    def log_floor(self) -> float:
        """The floor as a log-variance."""
        return 2.0 * math.log(self.sigma_floor)

    def log_var(self, raw: Any) -> Any:
        """A log-variance above the floor, floor + softplus(raw - floor), Eq. LIK.5."""
        return self.log_floor + ops.softplus(raw - self.log_floor)

    def _raw(self, log_var: Array) -> Array:
        """The inverse of :meth:`log_var`: log(expm1(log_var - floor)) + floor."""
        excess = np.maximum(log_var - self.log_floor, 1e-3)
        raw: Array = excess + np.log(-np.expm1(-excess)) + self.log_floor
        return raw

    def initial_shared(self, X: Array) -> Array:
        """The shared scale's parameter at the data's standard deviation, of shape ``(1, 1)``."""
        return np.full((1, 1), self._raw(np.log(np.maximum(X.var(axis=0).mean(), 1e-12))))

    def scale(self, parameters: tuple[Any, ...]) -> tuple[Any, Any]:
        """mu and log_var, of shapes ``(S*N, D)`` and ``(S*N, D)`` or ``(1, 1)``."""
        if len(parameters) == 2:
            return parameters[0], self.log_var(parameters[1])
        mu = parameters[0]
        return mu, np.full((1, 1), 2.0 * math.log(float(self.sigma)), numbers(mu).dtype)

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """log N(x; mu, exp(log_var))."""
        mu, log_var = self.scale(parameters)
        return ops.gaussian_log_prob(mu, log_var, x)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """mu."""
        return numbers(parameters[0])

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """mu + sigma times standard normal noise."""
        mu, log_var = map(numbers, self.scale(parameters))
        return (mu + np.exp(0.5 * log_var) * rng.standard_normal(mu.shape)).astype(mu.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """Each column's mean and, for a variance network, its log-variance above the floor."""
        if self.sigma != "network":
            return (X.mean(axis=0),)
        return X.mean(axis=0), self._raw(np.log(np.maximum(X.var(axis=0), 1e-12)))

    def describe(self) -> str:
        """The name, and where the scale comes from."""
        return f"{self.name}, sigma: {self.sigma}"
