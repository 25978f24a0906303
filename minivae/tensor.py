"""Reverse-mode automatic differentiation in one file.

With this file you can

- wrap an array in a :class:`Tensor` and compute with it; whatever needs a gradient is recorded;
- make an operation of your own from a forward and its vector-Jacobian product: :func:`primitive`;
- walk the record backwards and collect gradients: :meth:`Tensor.backward`;
- leave the record off for a while: :func:`no_grad`.

The record (the *tape*) is nothing but the tensors themselves: each keeps the operation that made it
and the tensors it was made from. Nothing on the tape is ever written to.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minivae.errors import DtypeError, GradientError, ShapeError

__all__ = ["Array", "Operand", "Primitive", "Tensor", "no_grad", "primitive", "unbroadcast"]

Array: TypeAlias = NDArray[Any]
Operand: TypeAlias = "Tensor | Array | float | Sequence[Any]"
Forward: TypeAlias = Callable[..., Any]
VJP: TypeAlias = Callable[..., Any]
Value: TypeAlias = Any  # what a VJP computes with: arrays in the first walk, tensors in the second

# Operators on Tensor look their operation up here by name; `minivae.ops` fills the table.
OPERATIONS: dict[str, Callable[..., Any]] = {}

_recording: ContextVar[bool] = ContextVar("recording", default=True)
_ages = itertools.count()


class Node(NamedTuple):
    """How a tensor was made."""

    operation: Primitive
    inputs: tuple[Any, ...]  # tensors, arrays, or plain numbers
    arrays: tuple[Any, ...]  # the same as values, as they were when the operation ran
    params: dict[str, Any]


@contextmanager
def recording(on: bool) -> Iterator[None]:
    """Turn the tape on or off inside a ``with`` block, and back afterwards, come what may."""
    token = _recording.set(on)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad() -> Any:
    """Leave the tape off inside a ``with`` block: results need no gradient."""
    return recording(False)


class Tensor:
    """An array that remembers how it was computed.

    Parameters
    ----------
    data
        An array, a number or nested lists. Lists and numbers become float64, arrays keep their dtype. The
        data are copied, so that nothing outside can change what is on the tape.
    requires_grad
        Whether gradients with respect to this tensor are wanted.
    dtype
        float32, float64, an integer type or bool.

    Raises
    ------
    DtypeError
        If the data are not real numbers, or an integer tensor asks for gradients.
    """

    __slots__ = ("__weakref__", "_age", "_data", "_node", "grad", "requires_grad")
    __array_ufunc__ = None  # so that `ndarray * Tensor` comes to us
    __hash__ = object.__hash__

    _data: Array
    _node: Node | None
    grad: Array | None
    requires_grad: bool

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        if isinstance(data, Tensor):
            data = data._data
        if dtype is None and not isinstance(data, np.ndarray | np.generic):
            dtype = np.float64
        array = np.array(data, dtype=dtype)
        check_dtype("Tensor", array)
        if requires_grad and array.dtype.kind != "f":
            raise DtypeError(
                f"Tensor: {array.dtype} data cannot ask for gradients, only floating-point data can; "
                "convert with dtype=float"
            )
        _fill(self, array, requires_grad, None)

    @property
    def data(self) -> Array:
        """The values, as a read-only view."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        if self._node is not None:
            raise GradientError(
                f"data: this tensor is the result of {self._node.operation.__name__}; only leaves can "
                "be given new data. Make a new one with .detach()"
            )
        array = np.array(value, dtype=self._data.dtype)
        if array.shape != self._data.shape:
            raise ShapeError(f"data: a leaf of shape {self.shape} was given shape {array.shape}")
        array.flags.writeable = False
        self._data = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one element."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed."""
        return self.transpose()

    def numpy(self) -> Array:
        """A copy of the values that may be written to."""
        return self._data.copy()

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self._data.item()

    def detach(self) -> Tensor:
        """The same values, with no record of how they were computed."""
        return wrap(self._data)

    def backward(self, gradient: Any = None) -> None:
        """Add the gradient of this tensor to ``.grad`` of every leaf that asked for one.

        Eq. AD.3. Calling it twice adds it twice.

        Parameters
        ----------
        gradient
            The cotangent of this tensor, of its shape; 1 for a single number.

        Raises
        ------
        GradientError
            If nothing here needs a gradient, or the tensor is no single number and no cotangent is given.
        ShapeError
            If the cotangent has another shape.
        """
        if not self.requires_grad:
            raise GradientError(
                "backward: this tensor depends on nothing that asked for a gradient; make a leaf with "
                "requires_grad=True, and look for no_grad or detach on the way"
            )
        seed = cotangent_for(self, gradient, "backward")
        leaves = [t for t in _reachable(self, -1, ()) if t._node is None]
        for leaf, g in zip(leaves, walk(self, seed, leaves), strict=True):
            if g is not None:
                leaf.grad = g if leaf.grad is None else leaf.grad + g

    def __repr__(self) -> str:
        text = np.array2string(self._data, separator=", ", prefix="Tensor(", threshold=100)
        how = ", requires_grad=True" if self._node is None else f", {self._node.operation.__name__}"
        return f"Tensor({text}, dtype={self.dtype}{how if self.requires_grad else ''})"

    def __len__(self) -> int:
        return len(self._data)

    def __float__(self) -> float:
        return float(self._data)

    def __int__(self) -> int:
        return int(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.requires_grad:
            raise GradientError(
                "a Tensor on the tape would silently lose its gradient as a NumPy array; use the functions "
                "of minivae.ops, or .numpy() or .detach() where the gradient is not wanted"
            )
        return np.array(self._data, dtype=dtype)

    # Comparisons give plain boolean arrays: nothing flows back through them.
    def __eq__(self, other: object) -> Any:
        return self._data == _values(other)

    def __ne__(self, other: object) -> Any:
        return self._data != _values(other)

    def __lt__(self, other: Any) -> Any:
        return self._data < _values(other)

    def __le__(self, other: Any) -> Any:
        return self._data <= _values(other)

    def __gt__(self, other: Any) -> Any:
        return self._data > _values(other)

    def __ge__(self, other: Any) -> Any:
        return self._data >= _values(other)

    # Every method from here on is the operation of the same name in `minivae.ops`.
    def __add__(self, other: Any) -> Tensor:
        return OPERATIONS["add"](self, other)

    def __radd__(self, other: Any) -> Tensor:
        return OPERATIONS["add"](other, self)

    def __sub__(self, other: Any) -> Tensor:
        return OPERATIONS["subtract"](self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return OPERATIONS["subtract"](other, self)

    def __mul__(self, other: Any) -> Tensor:
        return OPERATIONS["multiply"](self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return OPERATIONS["multiply"](other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return OPERATIONS["divide"](self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return OPERATIONS["divide"](other, self)

    def __pow__(self, other: Any) -> Tensor:
        return OPERATIONS["power"](self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return OPERATIONS["power"](other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return OPERATIONS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return OPERATIONS["matmul"](other, self)

    def __neg__(self) -> Tensor:
        return OPERATIONS["negative"](self)

    def __abs__(self) -> Tensor:
        return OPERATIONS["abs"](self)

    def __getitem__(self, index: Any) -> Tensor:
        return OPERATIONS["getitem"](self, index)

    def reshape(self, *shape: Any) -> Tensor:
        return OPERATIONS["reshape"](self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        return OPERATIONS["transpose"](self, axes[0] if len(axes) == 1 else axes or None)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        return OPERATIONS["swapaxes"](self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Tensor:
        return OPERATIONS["squeeze"](self, axis)

    def ravel(self) -> Tensor:
        return OPERATIONS["reshape"](self, -1)

    def astype(self, dtype: Any) -> Tensor:
        return OPERATIONS["astype"](self, dtype)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return OPERATIONS["sum"](self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return OPERATIONS["mean"](self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return OPERATIONS["max"](self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return OPERATIONS["min"](self, axis, keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return OPERATIONS["prod"](self, axis, keepdims)

    def var(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return OPERATIONS["var"](self, axis, ddof, keepdims)

    def std(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return OPERATIONS["std"](self, axis, ddof, keepdims)

    def cumsum(self, axis: Any = None) -> Tensor:
        return OPERATIONS["cumsum"](self, axis)

    def clip(self, lower: Any = None, upper: Any = None) -> Tensor:
        return OPERATIONS["clip"](self, lower, upper)


def _fill(tensor: Tensor, array: Array, requires_grad: bool, node: Node | None) -> Tensor:
    array.flags.writeable = False
    tensor._data = array
    tensor._node = node
    tensor._age = next(_ages)
    tensor.grad = None
    tensor.requires_grad = requires_grad
    return tensor


def wrap(array: Array, requires_grad: bool = False) -> Tensor:
    """A tensor around an array that nobody else will write to, without copying it."""
    return _fill(Tensor.__new__(Tensor), array, requires_grad, None)


def _values(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def check_dtype(operation: str, array: Array) -> None:
    """Refuse what is not float32, float64, an integer or a boolean."""
    if array.dtype.kind not in "iub" and array.dtype not in (np.float32, np.float64):
        raise DtypeError(
            f"{operation}: dtype {array.dtype} is not supported; use float32 or float64 (integers and booleans "
            "may be constants)"
        )


class Primitive:
    """An operation that can be differentiated: made by :func:`primitive`, called like a function."""

    def __init__(self, forward: Forward, vjp: VJP, *, broadcasts: bool, composed: Forward | None) -> None:
        # NaN and infinities travel without NumPy's warnings, forwards as backwards.
        self.forward, self.vjp = np.errstate(all="ignore")(forward), vjp
        self.broadcasts, self.composed = broadcasts, composed
        self.__name__ = forward.__name__.removesuffix("_forward").lstrip("_")
        self.__doc__ = forward.__doc__
        self.__wrapped__ = forward
        try:
            arguments = list(inspect.signature(forward).parameters.values())
        except ValueError:  # some NumPy functions have no signature
            arguments = []
        self._n_inputs = sum(a.kind is a.POSITIONAL_ONLY for a in arguments)
        self._params = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD]
        self._defaults = {
            a.name: a.default for a in arguments if a.kind is not a.POSITIONAL_ONLY and a.default is not a.empty
        }
        self._selective = "wanted" in inspect.signature(vjp).parameters

    def __repr__(self) -> str:
        return f"<primitive {self.__name__}>"

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        if self._n_inputs and len(inputs) > self._n_inputs:
            params.update(zip(self._params, inputs[self._n_inputs :], strict=False))
            inputs = inputs[: self._n_inputs]
        if self._defaults:
            params = {**self._defaults, **params}
        is_tensor = traced = False
        for x in inputs:
            if isinstance(x, Tensor):
                is_tensor = True
                traced |= x.requires_grad
        traced = traced and _recording.get()
        arrays = tuple(
            [x._data if isinstance(x, Tensor) else self._at_the_door(x, traced) for x in inputs]
        )
        if not is_tensor and not any(isinstance(x, np.ndarray) for x in arrays):
            arrays = tuple([np.asarray(x, dtype=getattr(x, "dtype", None)) for x in inputs])
        out = np.asarray(self.forward(*arrays, **params))
        if not is_tensor:
            return out
        node = None
        if traced := traced and out.dtype.kind == "f":
            inputs = tuple([x if isinstance(x, Tensor) else a for x, a in zip(inputs, arrays, strict=True)])
            node = Node(self, inputs, arrays, params)
        return _fill(Tensor.__new__(Tensor), out, traced, node)

    def _at_the_door(self, x: Any, keep: bool) -> Any:
        """A constant as an array or a plain number; a copy if the tape is to keep it."""
        if isinstance(x, float | int):
            return x
        if isinstance(x, np.generic):
            return x.item()  # weak, like a Python number: it never upcasts
        if isinstance(x, np.ndarray):
            check_dtype(self.__name__, x)
            if keep:
                x = x.copy()
                x.flags.writeable = False
            return x
        if isinstance(x, list | tuple):
            return np.array([_values(row) for row in x], dtype=np.float64)
        raise DtypeError(
            f"{self.__name__}: cannot compute with a {type(x).__name__}; give a Tensor, an array, a number or lists"
        )

    def pull_back(
        self, g: Any, out: Tensor, node: Node, wanted: Sequence[bool], differentiable: bool
    ) -> Sequence[Any]:
        """The cotangents of the inputs, from the cotangent ``g`` of the output (Eq. AD.2)."""
        _, inputs, arrays, params = node
        values: Any = arrays
        result: Any = out._data
        if differentiable:
            for x, array in zip(inputs, arrays, strict=True):
                if isinstance(x, Tensor) and x._data is not array:
                    raise GradientError(
                        f"{self.__name__}: an input of shape {x.shape} was given new data after the operation ran, "
                        "so its second derivative cannot be formed; differentiate before updating"
                    )
            if self.composed is not None:
                return _pull_back_composed(self.composed, g, inputs, params)
            values, result = inputs, out
        if self._selective:
            params = {**params, "wanted": wanted}
        cotangents = self.vjp(g, result, *values, **params)
        if not isinstance(cotangents, tuple):
            cotangents = (cotangents,)
        if len(cotangents) != len(inputs):
            raise GradientError(
                f"{self.__name__}: its VJP returned {len(cotangents)} cotangents for {len(inputs)} inputs; it must "
                "return one for each, in order (None for no gradient)"
            )
        return cotangents


def _pull_back_composed(composed: Forward, g: Any, inputs: tuple[Any, ...], params: dict[str, Any]) -> list[Any]:
    """The cotangents of a fused operation as tensors, through its twin made of simple operations."""
    targets = {id(x): x for x in inputs if isinstance(x, Tensor) and x.requires_grad}
    with recording(True):
        out = composed(*inputs, **params)
    found = dict(zip(targets, walk(out, g, list(targets.values()), differentiable=True), strict=True))
    # An input that was used twice has its whole cotangent in the first place.
    return [found.pop(id(x), None) for x in inputs]


def primitive(
    forward: Forward, vjp: VJP, *, broadcasts: bool = False, composed: Forward | None = None
) -> Primitive:
    """Make an operation from its forward and its vector-Jacobian product.

    Eq. AD.2.

    Parameters
    ----------
    forward
        ``forward(*inputs, **params)`` on arrays. Its positional-only arguments are the inputs that gradients
        may flow to; without a ``/`` in its signature, whatever is given by position is an input.
    vjp
        ``vjp(g, out, *inputs, **params)`` gives one cotangent for each input, of that input's shape, or None
        for no gradient. Written with operations of :mod:`minivae.ops` it takes arrays and tensors alike, and
        the operation can be differentiated again. If it takes an argument ``wanted``, it is told which
        cotangents will be used, as a sequence of booleans, and may return None for the others.
    broadcasts
        Set for elementwise operations: their cotangents have the output's shape, and the walk sums them down
        to each input's.
    composed
        The same function made of simpler operations, for second derivatives where ``vjp`` takes arrays only.

    Raises
    ------
    GradientError
        During the walk, if the VJP returns a wrong number of cotangents or a wrong shape.
    """
    return Primitive(forward, vjp, broadcasts=broadcasts, composed=composed)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum a cotangent down to the shape that was broadcast to its own: the adjoint of broadcasting.

    Eq. AD.4. It never repairs: a shape that could not have been broadcast raises GradientError.
    """
    lead = g.ndim - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:], strict=True)):
        raise GradientError(f"unbroadcast: shape {shape} does not broadcast to the cotangent's {g.shape}")
    axes = [lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]
    if lead or axes:
        g = OPERATIONS["sum"](g, axis=(*range(lead), *axes), keepdims=True)
        g = OPERATIONS["reshape"](g, shape)
    return g


def cotangent_for(out: Tensor, gradient: Any, operation: str) -> Any:
    """The cotangent a walk starts from: 1 for a single number, else what the caller gives."""
    if gradient is None:
        if out.size != 1:
            raise GradientError(
                f"{operation}: the output has shape {out.shape}, so its gradient needs a cotangent of that shape; "
                "sum or average it to a single number, or give the cotangent"
            )
        return np.ones(out.shape, out.dtype)
    seed = gradient if isinstance(gradient, Tensor) else np.asarray(gradient)
    if seed.shape != out.shape:
        raise ShapeError(f"{operation}: the cotangent has shape {seed.shape}, the output {out.shape}; they must agree")
    return seed if seed.dtype == out.dtype else OPERATIONS["astype"](seed, out.dtype)


def _reachable(root: Tensor, oldest: int, sinks: Sequence[int]) -> list[Tensor]:
    """The tensors on the way from ``root`` back to ``sinks`` and leaves, newest first.

    Why a loop and not a recursion? A chain of 100,000 operations would exhaust the stack, and a shared
    subexpression would be visited once for every path to it: exponentially often. Why newest first? An
    operation's inputs are older than its output, so when a tensor's turn comes, everything that used it has
    already handed over its part of the cotangent.
    """
    found = {id(root): root}
    stack = [root]
    while stack:
        t = stack.pop()
        # What is older than the oldest sink cannot depend on it.
        if t._node is None or t._age < oldest or id(t) in sinks:
            continue
        for x in t._node.inputs:
            if isinstance(x, Tensor) and x.requires_grad and id(x) not in found:
                found[id(x)] = x
                stack.append(x)
    return sorted(found.values(), key=lambda t: t._age, reverse=True)


def walk(root: Tensor, seed: Any, targets: Sequence[Tensor], differentiable: bool = False) -> list[Any]:
    """Walk the tape from ``root`` back to ``targets`` and return their cotangents (Eq. AD.3).

    Parameters
    ----------
    root
        Where to start.
    seed
        The cotangent of ``root``, of its shape: an array, or a Tensor if ``differentiable``.
    targets
        Where to stop. The walk only goes where it leads to one of them.
    differentiable
        Walk with tensors, so that the result can itself be differentiated, instead of with arrays.

    Returns
    -------
    list
        One cotangent for each target, or None if ``root`` does not depend on it. Arrays are the caller's own:
        no two share memory.
    """
    sinks = {id(t) for t in targets}
    path = _reachable(root, min((t._age for t in targets), default=0), sinks)
    useful = set(sinks)
    for t in reversed(path):
        if t._node is not None and any(id(x) in useful for x in t._node.inputs):
            useful.add(id(t))
    cotangents: dict[int, Any] = {id(root): seed}  # local to this walk, so walks do not disturb each other
    fresh: set[int] = set()  # whose cotangent is an array that nothing else refers to
    with recording(differentiable), np.errstate(all="ignore"):
        for t in path:
            if t._node is None or id(t) in sinks or id(t) not in cotangents:
                continue
            node, g = t._node, cotangents.pop(id(t))
            wanted = [id(x) in useful for x in node.inputs]
            parts = node.operation.pull_back(g, t, node, wanted, differentiable)
            for i, x in enumerate(node.inputs):
                if not wanted[i] or parts[i] is None:
                    continue
                c = _fit(node.operation, parts[i], t, x, i)
                if id(x) in cotangents:
                    c = np.asarray(cotangents[id(x)] + c) if not differentiable else cotangents[id(x)] + c
                    fresh.add(id(x))
                elif not differentiable and _is_new(c, g, t._data, node.arrays, parts, i):
                    fresh.add(id(x))
                cotangents[id(x)] = c
    found = [cotangents.get(id(t)) for t in targets]
    if differentiable:
        return found
    return [g if g is None or id(t) in fresh else np.array(g) for t, g in zip(targets, found, strict=True)]


def _fit(operation: Primitive, c: Any, out: Tensor, x: Tensor, position: int) -> Any:
    """A cotangent in its input's shape and dtype; a wrong shape is refused, not repaired."""
    if not isinstance(c, np.ndarray | Tensor):
        c = np.asarray(c)
    if c.shape != x._data.shape:
        if not operation.broadcasts or c.shape != out._data.shape:
            raise GradientError(
                f"{operation.__name__}: its VJP returned a cotangent of shape {c.shape} for input {position} of shape "
                f"{x.shape}; a cotangent has its input's shape"
            )
        c = unbroadcast(c, x._data.shape)
    return c if c.dtype == x._data.dtype else OPERATIONS["astype"](c, x._data.dtype)


def _is_new(c: Any, g: Any, out: Array, arrays: tuple[Any, ...], parts: Sequence[Any], position: int) -> bool:
    """Whether an array was made by this VJP for this input alone."""
    others = (g, out, *arrays, *parts[:position], *parts[position + 1 :])
    return c.base is None and c.flags.writeable and not any(c is other for other in others)
