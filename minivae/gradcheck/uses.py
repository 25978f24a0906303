"""How much of a gradient flows through each single use of an input.

In ``x * sin(x)`` the input is used twice, and the gradient is the sum of what comes back from each
use. A VJP that counts one of them only shows exactly that part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

__all__ = ["through_each_use"]

Array = NDArray[Any]


class _OneUse(NDArrayOperatorsMixin):
    """An array that moves in one of its uses and stands still in the others."""

    def __init__(self, still: Array, moved: Array, number: int) -> None:
        self._still, self._moved, self._number, self._count = still, moved, number, 0

    def _use(self) -> Array:
        self._count += 1
        return self._moved if self._count == self._number else self._still

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*(x._use() if x is self else x for x in inputs), **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        def plain(x: Any) -> Any:
            if isinstance(x, list | tuple):
                return type(x)(plain(y) for y in x)
            return x._use() if x is self else x

        return function(*plain(args), **{key: plain(value) for key, value in kwargs.items()})

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._use(), dtype=dtype)

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "ndim", "size", "dtype"):
            return getattr(self._still, name)
        return getattr(self._use(), name)

    def __getitem__(self, index: Any) -> Any:
        return self._use()[index]

    def __len__(self) -> int:
        return len(self._still)


def through_each_use(
    forward: Callable[..., Any], arrays: Sequence[Any], position: int, g: Array, most: int = 6
) -> tuple[Array, ...]:
    """The gradient that flows through each single use of an input in a function of NumPy arrays.

    Empty if the uses cannot be separated: there is only one, there are too many, or the function
    is not written with NumPy.
    """
    x = arrays[position]

    def value(moved: Array, number: int) -> tuple[Array, int]:
        watched = _OneUse(x, moved, number)
        out = forward(*(watched if i == position else a for i, a in enumerate(arrays)))
        return np.asarray(out), watched._count

    try:
        count = value(x, 0)[1]
        if not 2 <= count <= most:
            return ()
        parts = np.empty((count, *x.shape))
        for number in range(count):
            for index in np.ndindex(x.shape):
                up, down = x.copy(), x.copy()
                h = 2.0**-17 * max(1.0, abs(x[index]))
                up[index] += h
                down[index] -= h
                difference = value(up, number + 1)[0] - value(down, number + 1)[0]
                parts[number][index] = np.sum(g * difference) / (up[index] - down[index])
        return tuple(parts)
    except Exception:  # whatever stops the forward from running on a stand-in, there is no answer
        return ()
