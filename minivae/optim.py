"""Gradient descent: SGD with momentum, RMSprop and Adam.

An optimiser never writes to an array that somebody else may hold, such as a tape that is still
alive: the parameter then gets a new array.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping

import numpy as np

import minivae_kernels as kernels
from minivae.errors import GradientError, ShapeError
from minivae.tensor import Array, Tensor, as_array, values
from minivae.trees import Tree, aligned, leaves
from minivae_kernels.optimisers import adam

__all__ = ["SGD", "Adam", "RMSprop"]


def _holders(p: Tensor) -> int:
    """How many hold a tensor's array."""
    return sys.getrefcount(p._array)


# What it counts where nobody but the tensor holds its array; Python versions differ.
_ALONE = _holders(Tensor(0.0))


def _own_array(p: Tensor) -> Array:
    """A parameter's array, if nobody else holds it, or a copy; it may be written to."""
    alone = _holders(p) == _ALONE
    array = p._array
    if not (alone and array.base is None and array.flags.c_contiguous):
        return array.copy(order="C")
    array.setflags(write=True)
    return array


class Optimiser:
    """What the optimisers share: parameters, running averages and the count of steps.

    Parameters are tensors, alone or in lists, tuples and dicts, in one another to any depth.
    """

    slots: tuple[str, ...]  # names of the running averages kept for each parameter

    def __init__(self, parameters: Tree, learning_rate: float) -> None:
        name = type(self).__name__
        if not 0 < learning_rate < math.inf:
            raise ValueError(f"{name}: learning_rate={learning_rate} must be positive and finite")
        self._tree = [*parameters] if isinstance(parameters, Iterator) else parameters
        self.parameters: list[Tensor] = leaves(self._tree)
        for p in self.parameters:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"{name}: a parameter is of type {type(p).__name__}; it must be a Tensor, which"
                    " the steps give new values (of a module, take its parameters())"
                )
            if p._node is not None:
                raise GradientError(f"{name}: {p!r} was computed; only a leaf takes new data")
        self.learning_rate = float(learning_rate)
        self.step_count = 0
        self.averages = {
            slot: [np.zeros(p.shape, p.dtype) for p in self.parameters] for slot in self.slots
        }

    def zero_grad(self) -> None:
        """Forget the gradients: ``backward`` adds to them."""
        for p in self.parameters:
            p.grad = None

    def step(self, gradients: Tree = None) -> None:
        """Move every parameter once, by the gradients given or by each parameter's ``.grad``.

        Gradients come in the form of the parameters: a list for a list, a dict for a dict. Where
        one is None, the parameter and its averages stay as they are. Such a step is counted all the
        same: Adam's bias corrections go by the number of all steps.

        Raises
        ------
        ShapeError
            If the gradients have not the form of the parameters, or one has not its parameter's
            shape; nothing is changed then.
        """
        if gradients is None:
            gradients = [p.grad for p in self.parameters]
        else:
            gradients = [*map(values, aligned("step", self._tree, gradients))]
        for p, g in zip(self.parameters, gradients, strict=True):
            if g is not None and np.shape(g) != p._array.shape:
                raise ShapeError(
                    f"step: a parameter of shape {p.shape} was given a gradient of shape "
                    f"{np.shape(g)}"
                )
        moved = [i for i, g in enumerate(gradients) if g is not None]
        parameters = [self.parameters[i] for i in moved]
        dtypes = [p.dtype for p in parameters]
        grad = [as_array("step", gradients[i], d) for i, d in zip(moved, dtypes, strict=True)]
        averages = [[self.averages[slot][i] for i in moved] for slot in self.slots]
        self.step_count += 1
        # by tensor: one that is listed twice moves twice, in the same array
        own = {p: _own_array(p) for p in dict.fromkeys(parameters)}
        try:
            self._mover([own[p] for p in parameters], grad, *averages)()
        finally:
            for p, array in own.items():
                array.setflags(write=False)
                p._array = array

    def _mover(
        self, param: list[Array], grad: list[Array], *averages: list[Array]
    ) -> Callable[[], None]:
        """A step of these arrays: it writes new parameters and averages over the old."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """Copies of the running averages and the step count, by name."""
        state = {
            f"{slot}.{i}": a.copy()
            for slot, arrays in self.averages.items()
            for i, a in enumerate(arrays)
        }
        return {"step_count": np.array(self.step_count), **state}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Go on from where :meth:`state_dict` was taken.

        Raises
        ------
        ShapeError
            If the names or shapes are those of other parameters; nothing is changed then.
        """
        own = {name: value.shape for name, value in self.state_dict().items()}
        given = {name: np.shape(value) for name, value in state.items()}
        if own != given:
            wrong = sorted(k for k in own.keys() | given.keys() if own.get(k) != given.get(k))[0]
            raise ShapeError(
                f"load_state_dict: {wrong} has shape {own.get(wrong)} here and {given.get(wrong)} "
                "in the state; these are the averages of other parameters"
            )
        # all are converted before the first is taken: what holds no numbers fails here
        taken = {
            slot: [
                np.array(state[f"{slot}.{i}"], dtype=a.dtype, order="C")
                for i, a in enumerate(arrays)
            ]
            for slot, arrays in self.averages.items()
        }
        self.step_count, self.averages = int(state["step_count"]), taken


class SGD(Optimiser):
    """Stochastic gradient descent with momentum, Eq. OPT.2.

    v <- momentum v + g and theta <- theta - learning_rate v. Polyak (1964).
    """

    slots = ("velocity",)

    def __init__(
        self, parameters: Tree, learning_rate: float = 1e-2, momentum: float = 0.0
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"SGD: momentum={momentum} must be in [0, 1)")
        super().__init__(parameters, learning_rate)
        self.momentum = float(momentum)

    def _mover(self, *arrays: list[Array]) -> Callable[[], None]:
        return lambda: kernels.sgd_update(
            *arrays, learning_rate=self.learning_rate, momentum=self.momentum
        )


class RMSprop(Optimiser):
    """RMSprop: steps scaled by a running average of the gradient's square.

    v <- beta v + (1 - beta) g^2 and theta <- theta - learning_rate g / (sqrt(v) + epsilon).
    Tieleman and Hinton (2012), lecture 6.5 of their course. It is :class:`Adam` without a running
    average of the gradient and without bias corrections, so its first steps are longer, by
    1 / sqrt(1 - beta).
    """

    slots = ("v",)

    def __init__(
        self,
        parameters: Tree,
        learning_rate: float = 1e-3,
        beta: float = 0.9,
        epsilon: float = 1e-8,
    ) -> None:
        if not (0 <= beta < 1 and epsilon > 0):
            raise ValueError(f"RMSprop: beta={beta} must be in [0, 1), epsilon={epsilon} positive")
        super().__init__(parameters, learning_rate)
        self.beta, self.epsilon = float(beta), float(epsilon)

    def _mover(self, *arrays: list[Array]) -> Callable[[], None]:
        @np.errstate(all="ignore")
        def move() -> None:
            for p, g, v in zip(*arrays, strict=True):
                v *= self.beta
                v += (1 - self.beta) * g**2
                v[v < np.finfo(v.dtype).tiny] = 0  # computing with subnormal numbers is slow
                p -= self.learning_rate * g / (np.sqrt(v) + self.epsilon)

        return move


class Adam(Optimiser):
    """Adam: steps scaled by running averages of the gradient and of its square, Eq. OPT.3.

    Kingma and Ba (2015), with the bias corrections of their Algorithm 1.
    """

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Tree,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and epsilon > 0):
            raise ValueError(
                f"Adam: beta1={beta1} and beta2={beta2} must be in [0, 1), epsilon={epsilon} "
                "positive"
            )
        super().__init__(parameters, learning_rate)
        self.beta1, self.beta2, self.epsilon = float(beta1), float(beta2), float(epsilon)

    def _mover(self, *arrays: list[Array]) -> Callable[[], None]:
        update = adam(*arrays)
        return lambda: update(
            self.step_count, self.learning_rate, self.beta1, self.beta2, self.epsilon
        )
