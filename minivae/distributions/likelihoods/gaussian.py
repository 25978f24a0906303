"""Real numbers, with a variance for each value, one for all, or a fixed one."""

from __future__ import annotations

import copy
import math
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.distributions.base import numbers
from minivae.distributions.likelihoods.base import Likelihood, column_means, column_variances
from minivae.tensor import Array, Tensor

__all__ = ["Gaussian"]


class Gaussian(Likelihood):
    """Independent Gaussian values, Eq. LIK.7.

    Parameters
    ----------
    sigma
        ``"network"``: the decoder gives a mean and a variance for every value; ``"shared"``: one
        scale for all, learnt by gradients; ``"optimal"``: one scale for all, which is set to its
        best value for each minibatch, Eq. RATE.3, so that training climbs Eq. RATE.4; outside of
        training, the best value for the training data after each epoch is used (Rybkin,
        Daniilidis and Levine, 2021); a number: that scale, fixed.
    sigma_floor
        The least scale that can be learnt, in the data's units. Without one the likelihood is
        unbounded: a decoder that reproduces a datum exactly gains without end as its variance
        falls. Mattei and Frellsen (2018).
    standardise
        Whether the networks work in units of each column's standard deviation from its mean, which
        are kept with the model. This suits data far from zero, or with scales far from 1.
        Densities, means and samples stay in the data's units.
    """

    name = "gaussian"
    shared: Tensor
    shift: Tensor
    scale: Tensor
    scaled = True  # whether log_prob has a scale, or awaits at_best_scale

    def __init__(
        self, sigma: str | float = "network", sigma_floor: float = 1e-3, standardise: bool = False
    ) -> None:
        if isinstance(sigma, str):
            if sigma not in ("network", "shared", "optimal"):
                raise ValueError(
                    f"Gaussian: sigma={sigma!r} is unknown; use 'network', 'shared', 'optimal' or "
                    "a positive number"
                )
        elif not 0 < sigma < math.inf:
            raise ValueError(f"Gaussian: sigma={sigma} must be positive and finite")
        if not 0 < sigma_floor < math.inf:
            raise ValueError(f"Gaussian: sigma_floor={sigma_floor} must be positive and finite")
        self.sigma, self.sigma_floor, self.standardise = sigma, sigma_floor, standardise
        self.head_names = ("mu", "raw_log_var") if sigma == "network" else ("mu",)

    def built(self, width: int | None, D: int, *, rng: np.random.Generator, dtype: Any) -> Self:
        """A copy, also with the scale that all values share, if it is learnt, and the units."""
        own = super().built(width, D, rng=rng, dtype=dtype)
        if self.sigma in ("shared", "optimal"):
            by_gradients = self.sigma == "shared"
            own.shared = Tensor(np.zeros((1, 1)), requires_grad=by_gradients, dtype=dtype)
        if self.standardise:
            own.shift, own.scale = Tensor(np.zeros(D), dtype=dtype), Tensor(np.ones(D), dtype=dtype)
        return own

    def start_at(self, X: Array) -> None:
        """Set the units, the heads' biases, and the shared scale to the data's."""
        if self.standardise:
            self.shift.data = X.mean(axis=0, dtype=np.float64)
            deviation = X.std(axis=0, dtype=np.float64)
            self.scale.data = np.where(deviation > 0, deviation, 1.0)
        super().start_at(X)
        if self.sigma in ("shared", "optimal"):
            self._share(X.var(axis=0, dtype=np.float64).mean())

    def _share(self, variance: float) -> None:
        self.shared.data = np.full((1, 1), self._raw(np.log(max(variance, 1e-300))))

    def encoder_input(self, X: Array) -> Array:
        """The values themselves, or in units of their columns' standard deviations."""
        if "scale" not in vars(self):
            return X
        return (X - self.shift.data) / self.scale.data

    def __call__(self, h: Any) -> tuple[Any, ...]:
        """The parameters of p(x | z): mu, and the raw log-variance unless it is fixed."""
        parameters = super().__call__(h)
        if "scale" in vars(self):  # from the networks' units to the data's
            mu, *raw = parameters
            log_scale = 2.0 * np.log(self.scale.data)
            parameters = (self.shift.data + self.scale.data * mu, *(r + log_scale for r in raw))
        learnt = "shared" in vars(self) and len(parameters) == 1
        return (*parameters, self.shared) if learnt else parameters

    @property
    def log_floor(self) -> float:
        """The floor as a log-variance."""
        return 2.0 * math.log(self.sigma_floor)

    def log_var(self, raw: Any) -> Any:
        """A log-variance above the floor, floor + softplus(raw - floor), Eq. LIK.8."""
        return self.log_floor + ops.softplus(raw - self.log_floor)

    def _raw(self, log_var: Array) -> Array:
        """The inverse of :meth:`log_var`: log(expm1(log_var - floor)) + floor."""
        excess = np.maximum(log_var - self.log_floor, 1e-3)
        raw: Array = excess + np.log(-np.expm1(-excess)) + self.log_floor
        return raw

    def mu_and_log_var(self, parameters: tuple[Any, ...]) -> tuple[Any, Any]:
        """mu and log_var, of shapes ``(S*N, D)`` and ``(S*N, D)`` or ``(1, 1)``."""
        if len(parameters) == 2:
            return parameters[0], self.log_var(parameters[1])
        mu = parameters[0]
        return mu, np.full((1, 1), 2.0 * math.log(float(self.sigma)), numbers(mu).dtype)

    def in_training(self) -> Self:
        """Itself; or, with sigma="optimal", a likelihood whose scale is still to be found."""
        if self.sigma != "optimal":
            return self
        own = copy.copy(self)
        own.scaled = False
        return own

    def _best_variance(self, reconstruction: Any, x: Any) -> tuple[Any, Any, Any]:
        """Squared errors and numbers of values, ``(N,)``, and the variance that suits all best."""
        squares, dtype = -2.0 * reconstruction, numbers(reconstruction).dtype
        counts = (~np.isnan(numbers(x))).sum(axis=1).astype(dtype)
        values = np.maximum(counts.sum(keepdims=True), 1)  # (1,): a program takes no scalars
        return squares, counts, ops.maximum(ops.sum(squares) / values, self.sigma_floor**2)

    def at_best_scale(self, reconstruction: Any, x: Any) -> Any:
        """log N at the best scale for all of x, Eq. RATE.4, or at the floor.

        It takes -1/2 of each datum's squared error, averaged over z, ``(N,)``; missing values do
        not count.
        """
        if self.scaled:
            return reconstruction
        squares, counts, var = self._best_variance(reconstruction, x)
        return -0.5 * (counts * (math.log(2.0 * math.pi) + ops.log(var)) + squares / var)

    def keep_best_scale(self, reconstruction: Array, x: Array) -> None:
        """Keep the best scale for all uses outside of training, Eq. RATE.3."""
        _, _, var = self._best_variance(reconstruction.astype(np.float64), x)
        self._share(var.item())

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """log N(x; mu, exp(log_var)); or -1/2 of the squared error, while the scale is unknown."""
        if not self.scaled:
            error = ops.reshape(parameters[0], (-1, *x.shape)) - x
            return ops.reshape(-0.5 * ops.sum(ops.square(error), -1), (-1,))
        mu, log_var = self.mu_and_log_var(parameters)
        return ops.gaussian_log_prob(mu, log_var, x)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """mu."""
        return numbers(parameters[0])

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """mu + sigma times standard normal noise."""
        mu, log_var = map(numbers, self.mu_and_log_var(parameters))
        return (mu + np.exp(0.5 * log_var) * rng.standard_normal(mu.shape)).astype(mu.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """Each column's mean and, for a variance network, its log-variance above the floor."""
        mean = column_means(X)
        raw = self._raw(np.log(np.maximum(column_variances(X), 1e-12)))
        if "scale" in vars(self):
            mean = (mean - self.shift.data) / self.scale.data
            raw = raw - 2.0 * np.log(self.scale.data)
        return (mean, raw) if self.sigma == "network" else (mean,)

    def describe(self) -> str:
        """The name, and where the scale comes from."""
        return f"{self.name}, sigma: {self.sigma}"
