"""What an estimator would give if each use of its noise had its own draw.

The gradient of (E f)^2 is 2 E f E f', and a product of two means over the same draws is not an
estimate of it: the noise is used twice. If the estimate comes right as soon as each use draws
afresh, that is what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

__all__ = ["Redrawing"]

Array = NDArray[Any]


class _Redrawn(NDArrayOperatorsMixin):
    """An array that is drawn when it is used, each time anew.

    What is computed from it and from plain numbers is drawn when it is used, too, if ``late``.
    """

    def __init__(self, draw: Callable[[], Any], late: bool) -> None:
        self._draw, self._late = draw, late

    def _then(self, compute: Callable[[], Any], arguments: Any) -> Any:
        late = self._late and sum(isinstance(x, _Redrawn) for x in arguments) == 1
        return _Redrawn(compute, True) if late else compute()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        def compute() -> Any:
            return getattr(ufunc, method)(*map(_drawn, inputs), **kwargs)

        return self._then(compute, inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        def compute() -> Any:
            return function(*map(_drawn, args), **{k: _drawn(x) for k, x in kwargs.items()})

        return self._then(compute, args)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._draw(), dtype=dtype)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._draw(), name)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._then(
            lambda: getattr(self._draw(), name)(*map(_drawn, args), **kwargs), (self,)
        )

    def __getitem__(self, index: Any) -> Any:
        return self._then(lambda: self._draw()[index], (self,))

    def __len__(self) -> int:
        return len(self._draw())

    def __index__(self) -> int:
        return int(self._draw())

    def __float__(self) -> float:
        return float(self._draw())

    __int__ = __index__


def _drawn(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)(map(_drawn, x))
    return _drawn(x._draw()) if isinstance(x, _Redrawn) else x


class Redrawing(np.random.Generator):
    """A generator whose draws are drawn again at each use.

    Parameters
    ----------
    rng
        Where they come from.
    late
        Whether what is computed from a draw is drawn again as well, and not the draw alone.
    """

    def __init__(self, rng: np.random.Generator, late: bool) -> None:
        super().__init__(np.random.PCG64(0))
        self._rng, self._late = rng, late


def _again(name: str) -> Callable[..., Any]:
    def draw(self: Redrawing, *args: Any, **kwargs: Any) -> Any:
        return _Redrawn(lambda: getattr(self._rng, name)(*args, **kwargs), self._late)

    return draw


for _name in (
    "choice", "exponential", "gumbel", "integers", "normal", "permutation", "random",
    "standard_normal", "uniform",
):  # fmt: skip
    setattr(Redrawing, _name, _again(_name))
