"""A posterior that can be sampled but has no computable density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minivae import ops
from minivae.distributions.base import Distribution, numbers
from minivae.tensor import Array

__all__ = ["Implicit"]


class Implicit(Distribution):
    """q(z | x) whose draws are a function of x and noise; it can be sampled, and nothing else.

    For adversarial variational Bayes, Eq. AVB.2. Mescheder et al. (2017).

    Parameters
    ----------
    x
        Data as the network sees them, ``(N, D)``.
    network
        From x and noise side by side, ``(S*N, D + E)``, to z, ``(S*N, K)``.
    noise_dim
        E, the number of noise dimensions.
    """

    def __init__(self, x: Any, network: Callable[[Any], Any], noise_dim: int) -> None:
        self.x, self.network, self.noise_dim = x, network, noise_dim

    def noise(self, rng: np.random.Generator, S: int = 1) -> Array:
        """Standard normal noise ``(S, N, E)``, drawn datum by datum."""
        x = numbers(self.x)
        noise = rng.standard_normal((len(x), S, self.noise_dim), dtype=x.dtype)
        return np.ascontiguousarray(noise.swapaxes(0, 1))

    def rsample(self, eps: Any) -> Any:
        """z ``(S, N, K)`` from noise ``(S, N, E)``."""
        S, N, E = eps.shape
        x = self.x if S == 1 else ops.concatenate([self.x] * S)
        z = self.network(ops.concatenate([x, ops.reshape(eps, (S * N, E))], 1))
        return ops.reshape(z, (S, N, -1))
