"""How tensors are reached: data on their way in, numbers on their way out, operations by name.

- `as_array`: data from outside as an array of real numbers, or a refusal;
- `Doors`: the operators, the methods and NumPy's functions that lead to the operations of
  :mod:`minivae.ops`, and the ways out of the tape, none of which is silent;
- `own_words`: the words of such a refusal, where NumPy's have taken their place;
- `Counter`: a switch that blocks of code turn, such as ``with no_grad():``.

The engine itself is in :mod:`minivae.tensor`; nothing here computes.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minivae.errors import DtypeError, GradientError

__all__ = [
    "OPERATIONS", "Array", "Counter", "Doors", "Function", "as_array", "own_words",
    "refuse_masked", "values",
]  # fmt: skip

Array: TypeAlias = NDArray[Any]
Function: TypeAlias = Callable[..., Any]


class _Operations(dict[str, Function]):
    """The operations by name; :mod:`minivae.ops`, which fills the table, is loaded if need be."""

    def __missing__(self, name: str) -> Function:
        import_module("minivae.ops")
        if super().__contains__(name):
            return self[name]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        if not self:
            import_module("minivae.ops")
        return super().__contains__(name)


OPERATIONS: dict[str, Function] = _Operations()

_FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))
_EMPTY = "out", "dtype"  # what NumPy hands to methods as None
_UFUNCS = {"absolute": "abs", "fabs": "abs", "expit": "sigmoid", "true_divide": "divide"}


# ---- in ----


def as_array(operation: str, x: Any, dtype: Any = None) -> Array:
    """Data from outside as an array of real numbers; lists and numbers become float64.

    Raises
    ------
    DtypeError
        If they are anything else: complex numbers, words, objects; or if some are masked.
    """
    # `is None`: NumPy takes None for float64, and calls that dtype equal to it.
    if type(x) is np.ndarray and x.dtype in _FLOATS and (dtype is None or x.dtype == dtype):
        return x
    refuse_masked(operation, x)
    array = np.asarray(x)
    wanted = dtype or (None if hasattr(x, "dtype") else np.float64)
    if wanted and array.dtype.kind in "fiub":
        with np.errstate(all="ignore"):  # what is too large for float32 is infinite there
            before, array = array, np.asarray(array, wanted)
            lost = array.dtype.kind in "iu" and np.trunc(before) != array
            if np.any(lost):
                wrong = before[lost].flat[0]
                raise DtypeError(f"{operation}: {wrong} is out of the range of {array.dtype}")
    if array.dtype.kind in "iub" or array.dtype in _FLOATS:
        return array
    given = f"{type(x).__name__} of dtype {array.dtype}"
    if array.dtype == object and hasattr(x, "dtype"):
        given += " (a column with missing values, perhaps: fill them, or leave their rows out)"
    raise DtypeError(f"{operation}: cannot compute with {given}; use float32 or float64 numbers")


def refuse_masked(operation: str, x: Any) -> None:
    """Raise DtypeError for masked arrays, alone or in lists: NumPy takes what is under the mask."""
    if isinstance(x, list | tuple):
        for part in x:
            refuse_masked(operation, part)
    elif isinstance(x, np.ma.MaskedArray):
        raise DtypeError(
            f"{operation}: a masked array hides some of its numbers, which would be computed with; "
            "fill them first by .filled(value), or leave their rows out"
        )


# ---- out ----


def values(x: Any) -> Any:
    """The numbers alone, without the tape: for masks, comparisons and results."""
    return x._array if isinstance(x, Doors) else x


def _of_values(function: Function) -> Function:
    """A method that looks at the numbers alone: nothing flows back through it."""
    return lambda self, *others: function(self._array, *map(values, others))


def _number(kind: Callable[[Any], Any]) -> Function:
    """A method that makes a plain number of a tensor, unless that would lose its gradient."""

    def convert(self: Doors) -> Any:
        if self.requires_grad:
            raise GradientError(
                f"{kind.__name__}: a plain number would lose the gradient, as in float(t), "
                "math.exp(t) or y[i] = t; use minivae.ops, as in ops.exp(t) and ops.stack, or "
                "t.item() if no gradient is meant"
            )
        return kind(self._array)

    return convert


@contextmanager
def own_words() -> Iterator[None]:
    """Let a tensor's refusal through that NumPy has put a ValueError in front of.

    ``y[i] = t`` asks for a plain number, is refused, and NumPy speaks of a sequence instead.
    """
    try:
        yield
    except ValueError as error:
        if isinstance(error.__cause__, GradientError):
            raise error.__cause__ from None
        raise


def _method(name: str) -> Callable[..., Any]:
    """A method that is the operation of that name in :mod:`minivae.ops`."""
    # NumPy's function of that name ends here too, with None for what it was not given.
    return lambda self, *args, **params: OPERATIONS[name](
        self, *args, **{k: v for k, v in params.items() if v is not None or k not in _EMPTY}
    )


def _unary(name: str) -> Callable[..., Any]:
    """A method without arguments that is an operation."""
    return lambda self: OPERATIONS[name](self)


def _binary(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """An operator that is an operation, from the left and from the right."""
    return (
        lambda self, other: OPERATIONS[name](self, other),
        lambda self, other: OPERATIONS[name](other, self),
    )


class Doors:
    """What Python and NumPy find on a tensor, by name; what it is stands in :mod:`minivae.tensor`.

    Comparisons give plain boolean arrays, element by element. So ``t in tensors`` asks whether one
    *equals* t, and fails where that is not a single answer; ``any(t is u for u in tensors)`` asks
    whether t itself is there.
    """

    __slots__ = ()
    __hash__ = object.__hash__

    _array: Array
    requires_grad: bool

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **params: Any) -> Any:
        """NumPy's ``ufunc`` of tensors: the operation of that name, if there is one."""
        name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
        if method == "__call__" and not params and name in OPERATIONS:
            return OPERATIONS[name](*inputs)
        written = params.get("out", ())
        traced = any(isinstance(x, Doors) and x.requires_grad for x in inputs)
        if any(isinstance(x, Doors) for x in written) or (traced and written):
            raise GradientError(
                f"{name}: NumPy would write into an array, where a tensor's gradient is lost, or "
                "into a tensor, which is never written; write y = y + t, not y += t or out=y"
            )
        # A result of booleans has no gradient to lose.
        if traced and "d" * ufunc.nin + "->?" not in ufunc.types:
            known = name if name in OPERATIONS else "sum, exp and the like"
            raise GradientError(
                f"{name}: NumPy's {ufunc.__name__} would lose the gradient here; use minivae.ops "
                f"({known}), or t.numpy() if no gradient is meant"
            )
        return getattr(ufunc, method)(*map(values, inputs), **params)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.requires_grad:
            raise GradientError(
                "NumPy would lose the gradient: use minivae.ops (for lists, stack), or .numpy()"
            )
        return np.array(self._array, dtype=dtype, copy=copy)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a tensor is never written to: make a new one by ops.where, ops.stack or "
            "ops.scatter_add; a parameter p takes new values by p.data = ..."
        )

    def __format__(self, spec: str) -> str:
        return format(self._array.item(), spec) if spec else str(self)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self._array)))

    __len__, __bool__ = _of_values(len), _of_values(bool)
    __int__, __float__ = _number(int), _number(float)
    __eq__, __ne__ = _of_values(operator.eq), _of_values(operator.ne)
    __lt__, __le__ = _of_values(operator.lt), _of_values(operator.le)
    __gt__, __ge__ = _of_values(operator.gt), _of_values(operator.ge)

    # ---- operations ----

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __pow__, __rpow__ = _binary("power")
    __matmul__, __rmatmul__ = _binary("matmul")
    __neg__, __pos__, __abs__ = map(_unary, ("negative", "positive", "abs"))
    __getitem__ = _binary("getitem")[0]

    sum, mean, prod = _method("sum"), _method("mean"), _method("prod")
    var, std, norm = _method("var"), _method("std"), _method("norm")
    max, min = _method("max"), _method("min")
    logsumexp, softmax = _method("logsumexp"), _method("softmax")
    log_softmax, cumsum = _method("log_softmax"), _method("cumsum")

    exp, expm1, log, log1p = map(_unary, ("exp", "expm1", "log", "log1p"))
    sqrt, square, abs = map(_unary, ("sqrt", "square", "abs"))
    sin, cos, tanh = map(_unary, ("sin", "cos", "tanh"))
    sigmoid, softplus, relu = map(_unary, ("sigmoid", "softplus", "relu"))

    swapaxes, squeeze = _method("swapaxes"), _method("squeeze")
    astype, clip = _method("astype"), _method("clip")
    diagonal = _method("diagonal")
    T = property(_unary("transpose"), doc="The tensor with its axes reversed.")

    def reshape(self, *shape: Any) -> Any:
        """The same elements in another shape, as numbers or as one tuple."""
        return OPERATIONS["reshape"](self, shape[0] if len(shape) == 1 else shape)

    def ravel(self) -> Any:
        """All elements along one axis."""
        return self.reshape(-1)

    def transpose(self, *axes: Any) -> Any:
        """The axes in another order, as numbers or as one tuple; reversed if none is given."""
        return OPERATIONS["transpose"](self, axes[0] if len(axes) == 1 else axes or None)


# ---- switches ----


class Counter(ContextDecorator):
    """Raises a counter inside a ``with`` block or a decorated function, and lowers it afterwards.

    Blocks may be left in any order, as happens if a generator stops inside one, and one object
    may be entered any number of times.
    """

    def __init__(self, count: ContextVar[int], step: int) -> None:
        self.count, self.step = count, step

    def __enter__(self) -> None:
        self.count.set(self.count.get() + self.step)

    def __exit__(self, *error: object) -> None:
        self.count.set(self.count.get() - self.step)

    def __call__(self, function: Any) -> Any:
        """Decorate a function."""
        kinds = inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction
        if any(kind(function) for kind in kinds):
            raise TypeError(
                f"{function.__name__} only begins when it is called, and runs later: put the with "
                "block inside it, around what it computes"
            )
        return super().__call__(function)
