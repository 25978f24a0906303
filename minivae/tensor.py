"""Reverse-mode automatic differentiation in one file.

With this file you can

- wrap an array in a :class:`Tensor` and compute with it; whatever needs a gradient is recorded;
- make an operation of your own from a forward and its vector-Jacobian product: :class:`primitive`;
- walk the record backwards and collect gradients: :meth:`Tensor.backward`;
- leave the record off for a while: :func:`no_grad`.

The record (the *tape*) is nothing but the tensors themselves: each keeps the operation that made it
and the tensors it was made from. Nothing on the tape is ever written to.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import minivae_kernels as kernels
from minivae.doors import OPERATIONS, Array, Counter, Doors, Function, as_array, values
from minivae.errors import DtypeError, GradientError, ShapeError

__all__ = [
    "OPERATIONS", "Array", "Primitive", "Tensor", "as_array", "no_grad", "primitive",
    "unbroadcast", "values",
]  # fmt: skip

Value: TypeAlias = Any  # what a VJP computes with: arrays in the first walk, tensors in the second

silence: ContextVar[int] = ContextVar("silence", default=0)  # above 0 nothing is recorded
_ages = itertools.count()


class Node(NamedTuple):
    """How a tensor was made."""

    operation: Primitive
    inputs: tuple[Any, ...]  # tensors, arrays, or plain numbers
    arrays: list[Any]  # the same as values, as they were when the operation ran
    params: dict[str, Any]


def no_grad() -> Counter:
    """Record nothing on the tape inside a ``with`` block or a decorated function.

    Results made there need no gradient. A generator that pauses inside such a block leaves the
    tape off for its caller too, until the generator resumes and leaves the block.
    """
    return Counter(silence, 1)


class Tensor(Doors):
    """An array that remembers how it was computed.

    Parameters
    ----------
    data
        An array, a number or nested lists. Lists and numbers become float64, arrays keep their
        dtype. The data are copied, so that nothing outside can change what is on the tape.
    requires_grad
        Whether gradients with respect to this tensor are wanted.
    dtype
        float32, float64, an integer type or bool.

    Raises
    ------
    DtypeError
        If the data are not real numbers, or an integer tensor asks for gradients.
    """

    __slots__ = ("__weakref__", "_age", "_array", "_node", "grad", "requires_grad")

    _age: int
    _array: Array
    _node: Node | None
    grad: Array | None
    requires_grad: bool

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        array = as_array("Tensor", values(data), dtype).copy()
        if requires_grad and array.dtype.kind != "f":
            raise DtypeError(f"Tensor: {array.dtype} numbers have no gradient; give dtype=float")
        _fill(self, array, requires_grad, None)

    @property
    def data(self) -> Array:
        """The values, as a read-only view; a leaf can be given new ones of its shape.

        The tape holds these very numbers, so NumPy refuses to write them, as ``p.data += 1`` would:
        write ``p.data = p.data + 1``.
        """
        return self._array.view()

    @data.setter
    def data(self, value: Any) -> None:
        if self._node is not None:
            raise GradientError("data: only a leaf can be given new data; detach() the result")
        new = Tensor(value, dtype=self.dtype)
        if new.shape != self.shape:
            raise ShapeError(f"data: a leaf of shape {self.shape} was given shape {new.shape}")
        self._array = new._array

    shape = property(operator.attrgetter("_array.shape"), doc="The length of each axis.")
    dtype = property(operator.attrgetter("_array.dtype"), doc="The type of one element.")
    ndim = property(operator.attrgetter("_array.ndim"), doc="The number of axes.")
    size = property(operator.attrgetter("_array.size"), doc="The number of elements.")

    def numpy(self) -> Array:
        """A copy of the values that may be written to."""
        return self._array.copy()

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self._array.item()

    def detach(self) -> Tensor:
        """The same values, with no record of how they were computed."""
        return wrap(self._array)

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
            If nothing here needs a gradient, or the tensor is not a single number and there is no
            cotangent.
        ShapeError
            If the cotangent has another shape.
        """
        if not self.requires_grad:
            raise GradientError(
                "backward: nothing here asked for a gradient by requires_grad=True outside no_grad "
                "(which a generator that stopped inside it holds on to)"
            )
        for leaf, g in walk(self, values(cotangent_for(self, gradient, "backward"))).items():
            leaf.grad = g if leaf.grad is None else kernels.add(leaf.grad, g)

    def __repr__(self) -> str:
        text = np.array2string(self._array, separator=", ", prefix="Tensor(", threshold=100)
        how = f", {self._node.operation.__name__}" if self._node else ", requires_grad=True"
        return f"Tensor({text}, dtype={self.dtype}{how if self.requires_grad else ''})"

    def __reduce__(self) -> Any:
        if self._node is not None:
            raise GradientError("copy and pickle: only a leaf has a copy; detach() the result")
        return Tensor, (self._array, self.requires_grad), (None, {"grad": self.grad})


def _fill(tensor: Tensor, array: Array, requires_grad: bool, node: Node | None) -> Tensor:
    array.setflags(write=False)
    tensor._array, tensor._node, tensor._age = array, node, next(_ages)
    tensor.grad, tensor.requires_grad = None, requires_grad
    return tensor


def wrap(array: Array, requires_grad: bool = False, node: Node | None = None) -> Tensor:
    """A tensor around an array that nobody else will write to, without copying it."""
    return _fill(Tensor.__new__(Tensor), array, requires_grad, node)


class Primitive:
    """An operation that can be differentiated, made from its forward and its VJP (Eq. AD.2).

    Parameters
    ----------
    forward
        ``forward(*inputs, **params)`` on arrays. Its positional-only arguments are the inputs that
        gradients may flow to; without a ``/`` in its signature, those that have no default.
    vjp
        ``vjp(g, out, *inputs, **params)`` gives one cotangent for each input, of its shape, or None
        for no gradient. Written with operations of :mod:`minivae.ops` it takes arrays and
        tensors alike, and the operation can be differentiated again. If it takes an argument
        ``wanted``, it is told which cotangents will be used, as a sequence of booleans, and may
        return None for the others.
    broadcasts
        Set for elementwise operations: their cotangents have the output's shape, and the walk sums
        them down to each input's.
    composed
        The same function made of simpler operations, for second derivatives if ``vjp`` takes arrays
        only. The forward is then assumed to be a compiled loop, which gives no NumPy warnings.
    warns
        Whether the forward may give such warnings, which cost some time to silence; compiled loops
        and operations that only move numbers give none.

    Raises
    ------
    GradientError
        During the walk, if the VJP returns a wrong number of cotangents or a wrong shape.
    """

    def __init__(
        self,
        forward: Function,
        vjp: Function,
        broadcasts: bool = False,
        composed: Any = None,
        warns: bool = True,
    ) -> None:
        functools.update_wrapper(self, forward, updated=())
        named: Any = forward
        while isinstance(named, functools.partial):
            named = named.func
        name = getattr(named, "__name__", type(named).__name__)  # an object is called as its class
        self.__name__ = name.removesuffix("_forward").lstrip("_")
        # NaN and infinities travel without NumPy's warnings, forwards as backwards.
        quiet = composed is not None or not warns
        self.forward = forward if quiet else np.errstate(all="ignore")(forward)
        self.vjp, self.broadcasts, self.composed = vjp, broadcasts, composed
        arguments = _arguments(forward)
        n_inputs = sum(a.kind is a.POSITIONAL_ONLY for a in arguments) or sum(
            a.kind is a.POSITIONAL_OR_KEYWORD and a.default is a.empty for a in arguments
        )
        self._n_inputs = n_inputs or sys.maxsize  # `*inputs`: as many as are given
        known = [a.name for a in _arguments(vjp)[2:]]  # after g and out
        self._selective = "wanted" in known
        params = arguments[n_inputs:]
        self._params = [a.name for a in params]
        self._defaults = {
            a.name: a.default for a in params if a.name in known and a.default is not a.empty
        }

    def __repr__(self) -> str:
        return f"<primitive {self.__name__}>"

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        """The value at these inputs: an array, or a tensor as soon as one input is."""
        inputs, extra = inputs[: self._n_inputs], inputs[self._n_inputs :]
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        traced = silence.get() < 1 and any([x.requires_grad for x in tensors])  # noqa: C419
        arrays = [x._array if isinstance(x, Tensor) else self._constant(x, traced) for x in inputs]
        if not tensors and not any(isinstance(x, np.ndarray) for x in arrays):
            arrays = [np.asarray(x) for x in inputs]
        try:
            out = np.asarray(self.forward(*arrays, *extra, **params))
        except (ValueError, IndexError) as error:
            if str(error).startswith(self.__name__):
                raise
            kind = ShapeError if isinstance(error, ValueError) else IndexError
            rule = "axes, counted from the last, must be equal or 1" if self.broadcasts else error
            shapes = " and ".join(str(np.shape(x)) for x in arrays)
            raise kind(f"{self.__name__}: {rule}; given shapes {shapes}") from error
        floating = out.dtype.char in "fd"
        if not floating:
            out = as_array(f"{self.__name__}, its forward's value", out)
        if not tensors:
            return out
        if not traced or not floating:
            return wrap(out.view())  # a forward may return what it was given
        if len(tensors) < len(inputs):
            inputs = tuple([x if isinstance(x, Tensor) else a for x, a in zip(inputs, arrays)])  # noqa: B905
        named = dict(zip(self._params, extra, strict=False)) if extra else {}
        params = {**self._defaults, **named, **params}
        return wrap(out, True, Node(self, inputs, arrays, params))

    def _constant(self, x: Any, keep: bool) -> Any:
        """A constant as a plain number or an array; a read-only copy if the tape is to keep it."""
        if isinstance(x, np.generic):
            x = x.item()  # weak, like a Python number: it never upcasts
        if isinstance(x, float | int):
            return x
        array = as_array(self.__name__, x)
        return wrap(array.copy())._array if keep else array

    def pull_back(
        self, g: Value, out: Tensor, node: Node, wanted: Sequence[bool], differentiable: bool
    ) -> Sequence[Value]:
        """The cotangents of the inputs, from the cotangent ``g`` of the output (Eq. AD.2)."""
        _, inputs, arrays, params = node
        if differentiable and any(values(x) is not a for x, a in zip(inputs, arrays, strict=True)):
            raise GradientError(
                f"{self.__name__}: an input got new data before second derivatives were taken"
            )
        if differentiable and self.composed is not None:
            targets = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
            found = walk(self.composed(*inputs, **params), g, targets, differentiable=True)
            # An input that was used twice has its whole cotangent in the first place.
            return [found.pop(x, None) if isinstance(x, Tensor) else None for x in inputs]
        if self._selective:
            params = {**params, "wanted": wanted}
        operands = (out, *inputs) if differentiable else (out._array, *arrays)
        parts = self.vjp(g, *operands, **params)
        parts = parts if isinstance(parts, tuple | list) else (parts,)
        if len(parts) != len(inputs):
            raise GradientError(
                f"{self.__name__}: its VJP gave {len(parts)} cotangents for {len(inputs)} inputs"
            )
        return parts

    def fitted(self, part: Any, g: Value, x: Tensor, differentiable: bool) -> Value:
        """A cotangent in its input's shape and dtype; a wrong shape is refused, not repaired."""
        if type(part) is not np.ndarray and not (differentiable and isinstance(part, Tensor)):
            part = np.asarray(values(part))
        if self.broadcasts and part.shape == g.shape != x._array.shape:
            part = unbroadcast(part, x.shape)
        if part.shape != x._array.shape:
            wrong = f"a cotangent of shape {part.shape} for an input of shape {x.shape}"
            raise GradientError(f"{self.__name__}: its VJP returned {wrong}; they must agree")
        return part if part.dtype == x._array.dtype else OPERATIONS["astype"](part, x.dtype)


def _arguments(function: Function) -> list[inspect.Parameter]:
    """What a function takes; nothing for NumPy's own, which do not say so before 2.4."""
    with suppress(ValueError):
        return list(inspect.signature(function).parameters.values())
    return []


primitive = Primitive  # its name as a verb, which is how it is used


def unbroadcast(g: Value, shape: tuple[int, ...]) -> Value:
    """Sum a cotangent down to the shape that was broadcast to its own: the adjoint of broadcasting.

    Eq. AD.4. It never repairs: a shape that could not have been broadcast raises GradientError.
    """
    lead = g.ndim - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:], strict=True)):
        raise GradientError(f"unbroadcast: {shape} does not broadcast to the cotangent's {g.shape}")
    stretched = [lead + i for i, n in enumerate(shape) if n != g.shape[lead + i]]
    if lead or stretched:
        g = OPERATIONS["reshape"](OPERATIONS["sum"](g, (*range(lead), *stretched)), shape)
    return g


def cotangent_for(out: Tensor, gradient: Any, operation: str) -> Value:
    """The cotangent a walk starts from: 1 for a single number, else what the caller gives."""
    if gradient is None:
        if out.size != 1:
            given = f"the output of shape {out.shape} is not a single number"
            raise GradientError(f"{operation}: {given}; sum or average it, or give a cotangent")
        return np.ones(out.shape, out.dtype)
    seed = gradient if isinstance(gradient, Tensor) else as_array(operation, gradient)
    if seed.shape != out.shape:
        raise ShapeError(f"{operation}: cotangent of shape {seed.shape} for output {out.shape}")
    return seed if seed.dtype == out.dtype else OPERATIONS["astype"](seed, out.dtype)


def reachable(root: Tensor, stops: Collection[Tensor]) -> list[Tensor]:
    """The tensors on the way from ``root`` back to ``stops`` and leaves, newest first.

    Why a loop and not a recursion? A chain of 100,000 operations would exhaust the stack, and a
    shared subexpression would be visited once for every path to it: exponentially often. Why
    newest first? An operation's inputs are older than its output, so when a tensor's turn comes,
    everything that used it has already handed over its part of the cotangent.
    """
    oldest = min([t._age for t in stops]) if stops else -1
    found, stack = {root}, [root]
    while stack:
        t = stack.pop()
        # What is older than every stop depends on none.
        if t._node is not None and t._age > oldest and t not in stops:
            for x in t._node.inputs:
                if isinstance(x, Tensor) and x.requires_grad and x not in found:
                    found.add(x)
                    stack.append(x)
    return sorted(found, key=operator.attrgetter("_age"), reverse=True)


def walk(
    root: Tensor, seed: Value, targets: Sequence[Tensor] | None = None, differentiable: bool = False
) -> dict[Tensor, Value]:
    """Walk the tape from ``root`` back and return cotangents (Eq. AD.3).

    Parameters
    ----------
    root
        Where to start.
    seed
        The cotangent of ``root``, of its shape: an array, or a Tensor if ``differentiable``.
    targets
        Where to stop: the walk only goes where it leads to one of them. All leaves if None.
    differentiable
        Walk with tensors, so that the result can itself be differentiated, instead of with arrays.

    Returns
    -------
    dict
        The cotangent of each target that ``root`` depends on. Arrays are the caller's own: no two
        share memory.
    """
    stops = set(targets or ())
    path = reachable(root, stops)
    useful = set(targets or path)  # what leads to a target
    for t in reversed(path if targets else []):
        if t._node and any(isinstance(x, Tensor) and x in useful for x in t._node.inputs):
            useful.add(t)
    add = OPERATIONS["add"] if differentiable else kernels.add
    table = {root: seed}  # local to this walk, so that walks do not disturb each other
    found: dict[Tensor, Value] = {}
    held = {id(seed)}
    with np.errstate(all="ignore"):
        for t in path:
            g, node = table.pop(t, None), t._node
            if g is not None and node is not None and t not in stops:
                wanted = [isinstance(x, Tensor) and x in useful for x in node.inputs]
                parts = node.operation.pull_back(g, t, node, wanted, differentiable)
                for x, want, part in zip(node.inputs, wanted, parts, strict=True):
                    if want and part is not None:
                        part = node.operation.fitted(part, g, x, differentiable)
                        table[x] = add(table[x], part) if x in table else part
            elif g is not None:
                own = differentiable or (id(g) not in held and g.base is None and g.flags.writeable)
                found[t] = g if own else g.copy()
                held.add(id(g))
    return found
