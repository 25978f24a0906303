"""The networks of a variational autoencoder: x to q(z | x), and z to features of x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivae.distributions import DiagonalGaussian
from minivae.nn import MLP, Dense, Module, zeros

__all__ = ["Encoder", "decoder"]


class Encoder(Module):
    """x to q(z | x) = N(mu, exp(log_var)): dense layers and two heads, Eq. VAE.1.

    The heads start at zero, so that q(z | x) starts at the prior and the KL at 0.
    """

    def __init__(
        self,
        D: int,
        hidden: Sequence[int],
        K: int,
        *,
        activation: str,
        rng: np.random.Generator,
        dtype: Any,
    ) -> None:
        self.trunk = _trunk([D, *hidden], activation, rng, dtype)
        width = hidden[-1] if hidden else D
        self.mu = Dense(width, K, rng=rng, dtype=dtype, initialiser=zeros)
        self.log_var = Dense(width, K, rng=rng, dtype=dtype, initialiser=zeros)

    def __call__(self, x: Any, c: Any = None) -> DiagonalGaussian:
        """q(z | x) for x ``(N, D)`` as the encoder sees it."""
        h = self.trunk(x)
        return DiagonalGaussian(self.mu(h), self.log_var(h))


def decoder(
    K: int, hidden: Sequence[int], *, activation: str, rng: np.random.Generator, dtype: Any
) -> MLP:
    """Rows of z ``(n, K)`` to features ``(n, H)`` for the likelihood's heads."""
    return _trunk([K, *hidden], activation, rng, dtype)


def _trunk(sizes: Sequence[int], activation: str, rng: np.random.Generator, dtype: Any) -> MLP:
    return MLP(sizes, activation=activation, output_activation=activation, rng=rng, dtype=dtype)
