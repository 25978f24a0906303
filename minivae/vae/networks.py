"""The two networks of a variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivae.nn import MLP, Dense, Module, zeros
from minivae.tensor import Tensor

__all__ = ["Decoder", "Encoder"]


class Encoder(Module):
    """x to (mu, log_var): a trunk of dense layers and two heads, Eq. VAE.1.

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
    ):
        self.trunk = MLP(
            [D, *hidden], activation=activation, output_activation=activation, rng=rng, dtype=dtype
        )
        width = hidden[-1] if hidden else D
        self.mu = Dense(width, K, rng=rng, dtype=dtype, initialiser=zeros)
        self.log_var = Dense(width, K, rng=rng, dtype=dtype, initialiser=zeros)

    def __call__(self, x: Any) -> tuple[Tensor, Tensor]:
        h = self.trunk(x)
        return self.mu(h), self.log_var(h)


class Decoder(Module):
    """z to the parameters of p(x | z): a trunk of dense layers and one head for each parameter, Eq. VAE.2."""

    def __init__(
        self,
        K: int,
        hidden: Sequence[int],
        D: int,
        heads: int,
        *,
        activation: str,
        rng: np.random.Generator,
        dtype: Any,
    ) -> None:
        self.trunk = MLP(
            [K, *hidden], activation=activation, output_activation=activation, rng=rng, dtype=dtype
        )
        self.heads = [
            Dense(hidden[-1] if hidden else K, D, rng=rng, dtype=dtype) for _ in range(heads)
        ]
        self.shared: Tensor | None = (
            None  # the learnt scale of a Gaussian, where all pixels share one
        )

    def __call__(self, z: Any) -> tuple[Any, ...]:
        h = self.trunk(z)
        parameters = tuple(head(h) for head in self.heads)
        return parameters if self.shared is None else (*parameters, self.shared)
