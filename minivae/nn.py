"""Hand-written networks: dense layers, the multi-layer perceptron, and how their weights start.

>>> import numpy as np
>>> from minivae.nn import MLP
>>> mlp = MLP([784, 400, 10], activation="relu", rng=np.random.default_rng(0))
>>> mlp(np.zeros((5, 784))).shape
(5, 10)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minivae import ops
from minivae.checks import as_float64
from minivae.errors import ShapeError
from minivae.tensor import Array, Tensor
from minivae.trees import named_leaves

__all__ = ["MLP", "Dense", "Module", "glorot_uniform", "he_normal", "zeros"]

Initialiser = Callable[[np.random.Generator, int, int], Array]


def glorot_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Weights of shape ``(fan_in, fan_out)`` with variance 2 / (fan_in + fan_out), Eq. MLP.4.

    It keeps the variance of signals and gradients even through layers whose activation is near the
    identity around 0, as tanh is. Glorot and Bengio (2010).
    """
    limit = math.sqrt(6.0 / (fan_in + fan_out))  # Var U(-a, a) = a^2 / 3
    return rng.uniform(-limit, limit, (fan_in, fan_out))


def he_normal(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Weights of shape ``(fan_in, fan_out)`` with variance 2 / fan_in, Eq. MLP.5.

    The 2 makes up for the half of the signal that relu cuts off. He et al. (2015).
    """
    return rng.standard_normal((fan_in, fan_out)) * math.sqrt(2.0 / fan_in)


def zeros(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Weights of 0: the layer's output starts at its bias, whatever comes in."""
    return np.zeros((fan_in, fan_out))


def initialiser_for(activation: str) -> Initialiser:
    """The usual initialiser in front of an activation."""
    return he_normal if activation in ("relu", "softplus") else glorot_uniform


class Module:
    """Something with parameters: the tensors among its attributes and parts, in order.

    A part is another module, or a list, tuple or dict of tensors and parts.
    """

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """The parameters with dotted names, in reading order.

        A tensor that occurs twice has two names.

        Raises
        ------
        ValueError
            If two have the same name, which the keys of a dict can cause.
        TypeError
            If a set holds tensors or modules: it has no order.
        """
        seen = set()
        for name, p in self._named():
            if name in seen:
                raise ValueError(f"named_parameters: two are called {name!r}; rename one's keys")
            seen.add(name)
            yield prefix + name, p

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for name, part in named_leaves(vars(self)):
            if isinstance(part, Tensor):
                yield name, part
            elif isinstance(part, Module):
                yield from part.named_parameters(name + ".")
            elif isinstance(part, set | frozenset) and any(
                isinstance(p, Tensor | Module) for p in part
            ):
                raise TypeError(f"named_parameters: {name} is a set, without order; use a list")

    def parameters(self) -> list[Tensor]:
        """The parameters, in reading order; one that occurs twice is listed once."""
        return list(dict.fromkeys(p for _, p in self.named_parameters()))

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters' values, by name."""
        return {name: p.numpy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take the values of all parameters from ``state``.

        Raises
        ------
        ShapeError
            If a name is missing or unknown, or a shape differs.
        ValueError
            If an entry holds no numbers, or not finite ones. In both cases nothing is changed.
        """
        own = dict(self.named_parameters())
        if own.keys() != state.keys():
            missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
            raise ShapeError(
                f"load_state_dict: missing {missing}, unknown {unknown}; the architectures differ"
            )
        for name, p in own.items():
            if p.shape != np.shape(state[name]):
                raise ShapeError(
                    f"load_state_dict: {name} has shape {p.shape} here and {np.shape(state[name])} "
                    "in the state; the architectures differ"
                )
        # all are converted before the first is taken: what holds no numbers fails here
        arrays = [as_float64(state[name], f"load_state_dict: {name}") for name in own]
        for name, array in zip(own, arrays, strict=True):
            if not np.isfinite(array).all():
                raise ValueError(f"load_state_dict: {name} holds NaN or infinity")
        for p, array in zip(own.values(), arrays, strict=True):
            p.data = array.astype(p.dtype)


class Dense(Module):
    """One layer: activation(x W + b), Eq. MLP.1.

    Parameters
    ----------
    fan_in, fan_out
        The number of inputs and of outputs.
    activation
        A key of ``minivae.ops.ACTIVATIONS``.
    rng
        Where the weights are drawn from; the bias starts at 0.
    dtype
        float32 or float64.
    initialiser
        Draws the weights; by default Glorot's, or He's in front of relu and softplus.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        rng: np.random.Generator,
        activation: str = "identity",
        dtype: Any = np.float64,
        initialiser: Initialiser | None = None,
    ) -> None:
        if fan_in < 1 or fan_out < 1:
            raise ShapeError(f"Dense: fan_in={fan_in} and fan_out={fan_out} must be at least 1")
        if activation not in ops.ACTIVATIONS:
            known = ", ".join(map(repr, ops.ACTIVATIONS))
            raise ValueError(f"Dense: activation={activation!r} is unknown; use one of {known}")
        draw = initialiser or initialiser_for(activation)
        self.weight = Tensor(draw(rng, fan_in, fan_out), requires_grad=True, dtype=dtype)
        self.bias = Tensor(np.zeros(fan_out), requires_grad=True, dtype=dtype)
        self.activation = activation

    def __call__(self, x: Any) -> Tensor:
        """The layer's output ``(N, fan_out)`` for ``x`` of shape ``(N, fan_in)``."""
        out: Tensor = ops.linear(x, self.weight, self.bias, activation=self.activation)
        return out


class MLP(Module):
    """Dense layers one after the other.

    Parameters
    ----------
    sizes
        The width of the input and of each layer; a single width makes no layers.
    activation
        Of every layer but the last.
    output_activation
        Of the last.
    rng, dtype
        As for :class:`Dense`.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        rng: np.random.Generator,
        activation: str = "relu",
        output_activation: str = "identity",
        dtype: Any = np.float64,
    ) -> None:
        activations = [activation] * (len(sizes) - 2) + [output_activation]
        self.layers = [
            Dense(fan_in, fan_out, activation=a, rng=rng, dtype=dtype)
            for fan_in, fan_out, a in zip(sizes, sizes[1:], activations, strict=False)
        ]

    def __call__(self, x: Any) -> Any:
        """The last layer's output; ``x`` itself if there are no layers."""
        for layer in self.layers:
            x = layer(x)
        return x
