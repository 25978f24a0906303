"""The networks of a variational autoencoder: x to q(z | x), and z to features of x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minivae import ops
from minivae.distributions import DiagonalGaussian
from minivae.nn import MLP, Dense, Module, zeros

__all__ = ["Encoder", "Heads", "Trunk", "trunk"]


class Trunk(Module):
    """Dense layers from an input and a condition: activation(x W + c V + b), and so on.

    The condition has its own product, so that one that is always 0 leaves every bit of the
    network without it.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        condition: int,
        *,
        activation: str,
        rng: np.random.Generator,
        dtype: Any,
    ) -> None:
        style: dict[str, Any] = {"rng": rng, "dtype": dtype}
        self.first = Dense(sizes[0], sizes[1], **style)
        self.rest = MLP(sizes[1:], activation=activation, output_activation=activation, **style)
        self.condition = Dense(condition, sizes[1], **style)
        self.activation = activation

    def __call__(self, x: Any, c: Any = None) -> Any:
        """Features ``(n, H)`` of x ``(n, D)`` and c ``(n, C)``."""
        c = _given(c)
        return self.rest(ops.ACTIVATIONS[self.activation](self.first(x) + self.condition(c)))


class SideBySide(Module):
    """Without hidden layers: the input and the condition next to each other."""

    def __call__(self, x: Any, c: Any = None) -> Any:
        """Of shape ``(n, D + C)``."""
        return ops.concatenate([x, _given(c)], 1)


def _given(c: Any) -> Any:
    """The condition, which a network that was made for one cannot do without."""
    if c is None:
        raise ValueError(
            "this model is of p(x given c): say what is given, c=..., a row of numbers for each "
            "datum; a ConditionalVAE's `conditions(y, n)` makes them"
        )
    return c


def trunk(
    D: int,
    hidden: Sequence[int],
    condition: int | None = None,
    *,
    activation: str,
    rng: np.random.Generator,
    dtype: Any,
) -> Any:
    """Hidden layers over D inputs and, if there are any, ``condition`` columns of a condition."""
    style: dict[str, Any] = {"activation": activation, "rng": rng, "dtype": dtype}
    if condition is None:
        return MLP([D, *hidden], output_activation=activation, **style)
    return Trunk([D, *hidden], condition, **style) if hidden else SideBySide()


class Heads(Module):
    """What encoders of every family share: hidden layers over x and c, and heads that start at 0.

    A family names its heads, and gives q(z | x, c) from what they say of the features.
    """

    names: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        D: int,
        hidden: Sequence[int],
        K: int,
        *,
        activation: str,
        rng: np.random.Generator,
        dtype: Any,
        condition: int | None = None,
    ) -> None:
        self.trunk = trunk(D, hidden, condition, activation=activation, rng=rng, dtype=dtype)
        width = hidden[-1] if hidden else D + (condition or 0)
        for name in self.names:
            setattr(self, name, Dense(width, K, rng=rng, dtype=dtype, initialiser=zeros))

    def outputs(self, x: Any, c: Any = None) -> list[Any]:
        """Each head's output, ``(N, K)``, for x ``(N, D)`` as the encoder sees it, and for c."""
        h = self.trunk(x) if c is None else self.trunk(x, c)
        return [getattr(self, name)(h) for name in self.names]


class Encoder(Heads):
    """x to q(z | x) = N(mu, exp(log_var)): dense layers and two heads, Eq. VAE.3.

    The heads start at zero, so that q(z | x) starts at the prior and the KL at 0. With conditions
    it gives q(z | x, c).
    """

    names = ("mu", "log_var")

    def __call__(self, x: Any, c: Any = None) -> DiagonalGaussian:
        """q(z | x, c) for x ``(N, D)`` as the encoder sees it, and c ``(N, C)``."""
        return DiagonalGaussian(*self.outputs(x, c))
