"""A function and the point at which its gradient is checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minivae.errors import GradientError
from minivae.gradcheck.rules import BrokenRule
from minivae.tensor import Tensor

__all__ = ["Problem", "as_float64", "name_of", "names_of"]

Array = NDArray[Any]
Path = Callable[[float], Array]


@dataclass(frozen=True)
class Problem:
    """A function and where to check it."""

    function: Callable[..., Any]
    arguments: list[Any]
    checked: list[int]  # which arguments are differentiated
    all_names: list[str]
    alone: bool = False  # whether this is one operation taken out of a larger function

    @property
    def arrays(self) -> list[Array]:
        """The inputs that are differentiated."""
        return [self.arguments[i] for i in self.checked]

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [self.all_names[i] for i in self.checked]

    @property
    def label(self) -> str:
        """The function's name and the shapes of its inputs."""
        shapes = (f"{name} {x.shape}" for name, x in zip(self.names, self.arrays, strict=True))
        return f"{name_of(self.function)}: {', '.join(shapes)}"

    def __call__(self, *variables: Any) -> Any:
        """The function's value with the inputs that are differentiated replaced."""
        arguments = list(self.arguments)
        for i, x in zip(self.checked, variables, strict=True):
            arguments[i] = x
        try:
            out = self.function(*arguments)
        except Exception as error:
            if "read-only" in str(error):
                raise BrokenRule("the function writes into its inputs; work on a copy") from error
            error.add_note(
                f"gradcheck: raised while computing {self.label}. A function of NumPy arrays needs "
                "a VJP: primitive(forward, vjp)."
            )
            raise
        if not isinstance(out, Tensor | np.ndarray | np.floating | float):
            raise GradientError(
                f"gradcheck: {name_of(self.function)} returned {type(out).__name__}; it must "
                "return one floating-point array (check several one by one, or concatenate them)"
            )
        return out

    def value(self, *arrays: Array) -> Array:
        """The function's value, off the tape."""
        with np.errstate(all="ignore"):
            out = self(*(Tensor(x) for x in arrays))
        return np.asarray(out.data if isinstance(out, Tensor) else out)

    def along(self, path: Callable[[float], Any], k: int, some: Any, out: Array) -> Path:
        """The outputs, flattened, as elements of one input move; NaN where there are none."""
        moved = [x.copy() for x in self.arrays]

        def outputs(t: float) -> Array:
            moved[k].flat[some] = path(t)
            try:
                value = self.value(*moved)
            except Exception:  # a function may refuse what lies outside its domain
                value = np.empty(())
            return value.ravel() if value.shape == out.shape else np.full(out.size, np.nan)

        return outputs


def as_float64(x: Any) -> Any:
    """What is to be differentiated as a float64 array, everything else as it is."""
    if isinstance(x, Tensor):
        x = x.numpy()
    if isinstance(x, bool | np.bool_ | str) or x is None:
        return x
    if isinstance(x, float | int | list | np.floating) or (
        isinstance(x, np.ndarray) and x.dtype.kind == "f"
    ):
        return np.array(x, dtype=np.float64)
    return x.copy() if isinstance(x, np.ndarray) else x


def name_of(f: Callable[..., Any]) -> str:
    """What a function is called."""
    name = getattr(f, "__name__", type(f).__name__)
    return "lambda" if name in ("<lambda>", "lambda>") else str(name)


def names_of(f: Callable[..., Any], count: int) -> list[str]:
    """What the inputs of a function are called."""
    names: list[str] = []
    try:
        for parameter in inspect.signature(f).parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                names.append(parameter.name)
    except ValueError:  # some NumPy functions have no signature
        pass
    return [*names, *(f"input {i}" for i in range(len(names), count))][:count]
