"""The two networks of a variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivae.distributions import Prior
from minivae.nn import MLP, Dense, Module, zeros
from minivae.tensor import Tensor

__all__ = ["Decoder", "Encoder", "Networks"]


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
    ) -> None:
        self.trunk = _trunk([D, *hidden], activation, rng, dtype)
        width = hidden[-1] if hidden else D
        self.mu = Dense(width, K, rng=rng, dtype=dtype, initialiser=zeros)
        self.log_var = Dense(width, K, rng=rng, dtype=dtype, initialiser=zeros)

    def __call__(self, x: Any) -> tuple[Any, Any]:
        """mu and log_var of q(z | x), each ``(N, K)``, for x ``(N, D)`` as the encoder sees it."""
        h = self.trunk(x)
        return self.mu(h), self.log_var(h)


class Decoder(Module):
    """z to the parameters of p(x | z): a trunk of dense layers and a head for each, Eq. VAE.2.

    With ``shared_scale`` a last parameter, a Gaussian's learnt scale, is the same for all z.
    """

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
        shared_scale: bool = False,
    ) -> None:
        self.trunk = _trunk([K, *hidden], activation, rng, dtype)
        width = hidden[-1] if hidden else K
        self.heads = [Dense(width, D, rng=rng, dtype=dtype) for _ in range(heads)]
        self.shared: Tensor | None = None
        if shared_scale:
            self.shared = Tensor(np.zeros((1, 1)), requires_grad=True, dtype=dtype)

    def __call__(self, z: Any) -> tuple[Any, ...]:
        """The parameters of p(x | z), each ``(n, D)`` or shared ``(1, 1)``, for z ``(n, K)``."""
        h = self.trunk(z)
        parameters = tuple(head(h) for head in self.heads)
        return parameters if self.shared is None else (*parameters, self.shared)


class Networks(Module):
    """The encoder phi, the decoder theta, the prior: all that may be learnt, in one list."""

    def __init__(self, encoder: Encoder, decoder: Decoder, prior: Prior) -> None:
        self.encoder, self.decoder, self.prior = encoder, decoder, prior


def _trunk(sizes: Sequence[int], activation: str, rng: np.random.Generator, dtype: Any) -> MLP:
    return MLP(sizes, activation=activation, output_activation=activation, rng=rng, dtype=dtype)
