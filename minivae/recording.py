"""What a training step calls, written down while it runs on the tape.

Every operation and every VJP, with the arrays that it reads and those that its results lie in; or,
where its compiled loops are all that it does, these. What a step does beside its operations is done
by NumPy or by Python. Its arrays are ``Seen``, so that NumPy's functions of them are written
down as well; and where one of their numbers leaves for Python, which may decide by it, the step is
refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

import minivae_kernels as kernels
from minivae import ops
from minivae.doors import Doors
from minivae.tensor import Array, Node, Primitive, Tensor
from minivae.trees import leaves, mapped
from minivae_kernels.recording import again, listening

__all__ = [
    "Call", "Draws", "Guard", "Progress", "Recorder", "Seen", "address", "owner",
    "plain", "same_bits", "whole",
]  # fmt: skip


class Call(NamedTuple):
    """A function, what it was called with, and which of its results lie where.

    Compiled loops write to their arguments: the function is ``again`` then, and the results are
    those of all loops of the operation.
    """

    function: Callable[..., Any]
    inputs: Sequence[Any]
    params: Mapping[str, Any]
    results: Sequence[tuple[int, Array]]


class Guard(NamedTuple):
    """A comparison of the progress with a number, and its answer."""

    compare: Callable[[float, Any], Any]
    other: Any
    answer: Any

    def holds(self, progress: float) -> bool:
        """Whether the answer is the same."""
        return bool(self.compare(progress, self.other) == self.answer)


# ---- what is seen ----


class Seen(np.ndarray):
    """An array of a step that is being recorded."""

    scalar = False  # whether it would be a plain number of NumPy's

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **params: Any) -> Any:
        if any(isinstance(x, Doors) for x in inputs):
            return NotImplemented  # it is an operation, which is written down as such
        return _noticed(getattr(ufunc, method), *inputs, **params)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, Doors) for kind in types):
            return NotImplemented
        return _noticed(function, *args, **kwargs)


class Progress(float):
    """How far the run is. It may be compared; what is computed from it would stand still."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **params: Any) -> Any:
        return _noticed(getattr(ufunc, method), *inputs, **params)


class Draws(np.random.Generator):
    """The generator that a loss draws from."""


def _noticed(function: Any, *inputs: Any, **params: Any) -> Any:
    """The function's value, written down if a step is being recorded."""
    recorder = Recorder.now
    if recorder is None or recorder.looks_away:
        return function(*plain(inputs), **plain(params))
    return recorder.numpy(function, inputs, params)


def _compared(function: Any, progress: Progress, other: Any) -> Any:
    """The comparison's answer, which is to be looked at before each step."""
    answer = function(progress, other)
    recorder = Recorder.now
    if recorder is not None and not recorder.looks_away and answer is not NotImplemented:
        recorder.guards.append(Guard(function, other, answer))
    return answer


def _watch(kind: type, names: set[str], watcher: Callable[..., Any]) -> None:
    """Let a watcher make the calls of a class's methods."""

    def method(function: Any) -> Any:
        return lambda *inputs, **params: watcher(function, *inputs, **params)

    for name in names:
        setattr(kind, name, method(getattr(kind.__base__, name)))


def _public(kind: type) -> set[str]:
    return {name for name in vars(kind) if name[0] != "_" and callable(getattr(kind, name))}


def _dunder(names: str) -> set[str]:
    return {f"__{name}__" for name in names.split()}


_BOTH = "add sub mul truediv floordiv mod divmod pow"
_COMPARISONS = _dunder("lt le gt ge eq ne")
_ELSE = _dunder("abs bool ceil float floor format int neg pos round trunc " + _BOTH)
_LEAVING = _dunder("bool complex contains copy deepcopy float format getitem index int setitem")
_watch(Seen, _public(np.ndarray) - {"view", "setflags"} | _LEAVING, _noticed)
_watch(Draws, _public(np.random.Generator), _noticed)
_watch(Progress, _COMPARISONS, _compared)
_watch(Progress, _ELSE | _dunder(" ".join(f"r{name}" for name in _BOTH.split())), _noticed)


# NumPy's functions that make a plain array of what is seen, without asking it.
_CONVERSIONS = ("array", "asarray", "ascontiguousarray", "asfortranarray")
_copy, _as_array = np.array, np.asarray  # themselves, and not what watches them
_AS_FLOAT = (np.ndarray.item, np.ndarray.__float__)  # which only leave

# Operations whose VJPs look at no numbers but the cotangent's.
_LINEAR = (ops.add, ops.subtract, ops.negative, ops.positive, ops.sum, ops.mean, ops.reshape)


# And operations of floats that are one of NumPy's functions.
_UFUNCS: dict[Primitive, Callable[..., Any]] = {
    ops.add: np.add.__call__,
    ops.subtract: np.subtract.__call__,
    ops.multiply: np.multiply.__call__,
}


# ---- writing down ----


class Recorder:
    """The calls of a step, in their order."""

    now: ClassVar[Recorder | None] = None
    one_at_a_time: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.thread, self.inside = threading.get_ident(), False
        self.calls: list[Call] = []
        self.guards: list[Guard] = []
        self.numbers: list[tuple[float, Array]] = []  # that left, and where they are computed
        self.leaves: dict[Tensor, tuple[Array, Array]] = {}  # their arrays, and stand-ins
        self.refusal = ""
        self.moving = False  # whether it is refused for what is computed from the progress
        self._known: dict[int, Array] = {}  # memory whose contents differ from step to step
        self._loops: list[tuple[Any, ...]] = []  # of the operation that is under way
        self._made: list[Array] = []  # what these write to

    @property
    def looks_away(self) -> bool:
        """Whether this is inside an operation, or another thread."""
        return self.inside or self.thread != threading.get_ident()

    @property
    def known(self) -> list[Array]:
        """The memory whose contents differ from step to step."""
        return [*self._known.values()]

    def knows(self, *tree: Any) -> bool:
        """Whether an array lies in memory that differs from step to step."""
        return any(id(owner(x)) in self._known for x in _arrays(tree))

    def learn(self, x: Array) -> Array:
        """Take an array's memory for such."""
        self._known[id(owner(x))] = owner(x)
        return x

    def refuse(self, why: str) -> None:
        """Say that no program can do this step."""
        self.refusal = self.refusal or why

    def stand_in(self, leaf: Tensor) -> None:
        """Give a leaf, until the step is done, a copy of its array, which a program may fill."""
        if leaf not in self.leaves:
            copy = self.learn(_copy(leaf._array, order="C"))
            self.leaves[leaf] = leaf._array, copy
            leaf._array = copy.view(Seen)
            leaf._array.setflags(write=False)

    def numpy(self, function: Any, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """Call one of NumPy's functions."""
        if any(type(x) is Progress for x in inputs):
            self.moving = True
            self.refuse("something is computed from the progress")
        if params.get("out") is not None:
            self.refuse("an array is written to")
        drawn = any(isinstance(x, Draws) for x in inputs)
        inputs, params = plain(inputs), plain(params)
        result = function(*inputs, **params)
        if not drawn and not self.knows(inputs, params):
            return result
        number = isinstance(result, float | np.generic)
        parts = [_copy(result)] if number else leaves(result)
        if not all(isinstance(x, np.ndarray) for x in parts):
            self.refuse("a number leaves for Python, which may decide by it, or one is written")
            return result
        if type(result) is float and function in _AS_FLOAT:
            self.numbers.append((result, inputs[0]))
            return result
        self._note(function, inputs, params, parts)
        if type(result) is float:
            self.numbers.append((result, parts[0]))
            return result
        seen = [x.view(Seen) for x in parts]
        seen[0].scalar = number
        return seen if isinstance(result, list | tuple) else seen[0]

    def operation(
        self, function: Any, inputs: Sequence[Any], params: Mapping[str, Any], parts: Sequence[Any]
    ) -> None:
        """Write an operation down: its loops, where these are all that it does."""
        if not self.knows(inputs, params):
            return
        if self._loops and self._loops_suffice(inputs, params, parts):
            made = [(0, x) for x in self._made]
            self.calls += [Call(again, loop, {}, made) for loop in self._loops]
        else:
            self._note(function, inputs, params, parts)

    def copied(self, x: Array, copy: Array) -> None:
        """Write down that the tape made a copy."""
        if self.knows(x):
            self._note(_copy, (plain(x),), {"dtype": copy.dtype}, [copy])

    def _note(self, function: Any, inputs: Any, params: Any, parts: Sequence[Any]) -> None:
        """Write a call down, if it has results that are not views of its inputs."""
        given = {id(owner(x)) for x in _arrays((inputs, params))}
        results = []
        for i, x in enumerate(parts):
            if x is not None and not self.knows(x) and id(owner(x)) not in given:
                results.append((i, self.learn(x)))
        if results:
            self.calls.append(Call(function, inputs, params, results))

    def _loops_suffice(self, inputs: Any, params: Any, parts: Sequence[Any]) -> bool:
        """Whether an operation's loops make its results of its inputs, and nothing else is done.

        All that they were given besides is overwritten with NaN, and they are run again: the
        results must be the same. And the numbers that they take must be the operation's own.
        """
        given = {id(owner(x)) for x in _arrays((inputs, params))}
        numbers = [x for x in leaves((inputs, params)) if isinstance(x, float | int)]
        taken = [x for *_, arguments in self._loops for x in arguments]
        if any(type(x) is float and x not in numbers for x in taken):
            return False
        own = {id(owner(x)): owner(x) for x in _arrays(taken)}
        own = {i: x for i, x in own.items() if i not in given and i not in self._known}
        made = [owner(x) for x in parts if x is not None]
        if not all(id(x) in own or id(x) in given for x in made):
            return False
        if not all(x.dtype.kind == "f" for x in own.values()):
            return False
        before = {i: x.copy() for i, x in own.items()}
        for x in own.values():
            x.setflags(write=True)
            x.fill(np.nan)
        for loop in self._loops:
            again(*loop)()
        if all(same_bits(x, before.get(id(x), x)) for x in made):
            self._known |= own
            self._made = [*own.values()]
            return True
        for i, x in own.items():
            x[...] = before[i]
        return False

    # ---- watching ----

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See this thread's operations, in a ``with`` block; leaves get their arrays back."""
        watched = [
            (Primitive, "__call__", Recorder._call),
            (Primitive, "pull_back", Recorder._pull_back),
            (Tensor, "__init__", Recorder._make),
            (kernels, "add", Recorder._add),
            *((np, name, Recorder._converted) for name in _CONVERSIONS),
        ]
        originals = [getattr(place, name) for place, name, _ in watched]
        Recorder.now = self
        try:
            for (place, name, watcher), original in zip(watched, originals, strict=True):
                setattr(place, name, _method(watcher, original))
            with listening(self._loop):
                yield
        finally:
            for (place, name, _), original in zip(watched, originals, strict=True):
                setattr(place, name, original)
            Recorder.now = None
            for leaf, (array, _) in self.leaves.items():
                leaf._array = array

    def _loop(self, *loop: Any) -> None:
        if self.inside and self.thread == threading.get_ident():
            self._loops.append(loop)

    def _done(self, original: Any, *inputs: Any, **params: Any) -> Any:
        """Let an operation be done, of which only the compiled loops are noticed."""
        self.inside, self._loops = True, []
        try:
            return original(*inputs, **params)
        finally:
            self.inside = False

    def _call(self, original: Any, primitive: Primitive, *inputs: Any, **params: Any) -> Any:
        if any(type(x) is Progress or getattr(x, "scalar", False) for x in inputs):
            self.refuse("a number that moves goes into an operation")
            inputs = tuple([plain(x)[()] if getattr(x, "scalar", False) else x for x in inputs])
        for x in inputs:
            if isinstance(x, Tensor) and x._node is None and not self.knows(x._array):
                self.stand_in(x)
        inputs, params = plain(inputs), plain(params)
        out = self._done(original, primitive, *inputs, **params)
        arrays = plain([x._array if isinstance(x, Tensor) else x for x in inputs])
        if not isinstance(out, Tensor):
            self.operation(_forward(primitive, arrays), arrays, params, [out])
            return out.view(Seen) if isinstance(out, np.ndarray) and self.knows(out) else out
        if out._node is not None:
            for i, (x, own) in enumerate(zip(inputs, out._node.arrays, strict=False)):
                if isinstance(x, np.ndarray):
                    self.copied(x, own)
                    arrays[i] = own
        self.operation(_forward(primitive, arrays), arrays, params, [plain(out._array)])
        if self.knows(out._array):
            out._array = out._array.view(Seen)
        return out

    def _pull_back(
        self, original: Any, primitive: Primitive, g: Any, out: Tensor, node: Node,
        wanted: Sequence[bool], differentiable: bool,
    ) -> Any:  # fmt: skip
        if differentiable:
            self.refuse("it takes gradients of gradients")
        parts = self._done(original, primitive, g, out, node, wanted, differentiable)
        parts = [x if x is None else whole(_as_array(x)) for x in parts]
        arrays, params = plain([g, out._array, *node.arrays]), plain(node.params)
        if self.knows(g) or primitive not in _LINEAR:
            self.operation(partial(_vjp, primitive, tuple(wanted)), arrays, params, parts)
        for i, (x, part) in enumerate(zip(node.inputs, parts, strict=True)):
            shared = part is not None and (
                part.base is not None or sum(part is other for other in parts) > 1
            )
            if shared and isinstance(x, Tensor) and x._node is None:
                parts[i] = part.copy()  # as the walk would: a leaf's gradient is its own
                self.copied(part, parts[i])
        return parts

    def _add(self, original: Any, x: Array, y: Array) -> Array:
        out: Array = self._done(original, plain(x), plain(y))
        self.operation(original, plain([x, y]), {}, [out])
        return out

    def _converted(self, original: Any, *inputs: Any, **params: Any) -> Any:
        return self.numpy(original, inputs, params)

    def _make(self, original: Any, tensor: Tensor, data: Any, *args: Any, **kwargs: Any) -> None:
        original(tensor, plain(data), *args, **kwargs)
        if isinstance(data, Seen):
            self.copied(data, tensor._array)


def _method(watcher: Any, original: Any) -> Callable[..., Any]:
    """A watcher in the place of what it watches, which is done unseen if nobody records or looks.

    It may stay: a module that is first imported in a recorded step may take it from NumPy.
    """

    def method(*inputs: Any, **params: Any) -> Any:
        recorder = Recorder.now
        if recorder is None or recorder.looks_away:
            return original(*inputs, **params)
        return watcher(recorder, original, *inputs, **params)

    return method


def _forward(primitive: Primitive, inputs: Sequence[Any]) -> Callable[..., Any]:
    """What an operation computes: without its door, if that has nothing to convert."""
    if primitive in _UFUNCS and all(type(x) is np.ndarray and x.dtype.kind == "f" for x in inputs):
        return _UFUNCS[primitive]
    if all(type(x) in (np.ndarray, float, int) for x in inputs):
        return primitive.forward
    return primitive


def _vjp(primitive: Primitive, wanted: Sequence[bool], *arrays: Any, **params: Any) -> Any:
    """The cotangents of an operation's inputs, of arrays."""
    if primitive._selective:
        params["wanted"] = wanted
    parts = primitive.vjp(*arrays, **params)
    return parts if isinstance(parts, tuple | list) else (parts,)


# ---- arrays ----


def plain(tree: Any) -> Any:
    """A tree with plain arrays and numbers in the place of those that are seen."""

    def bare(x: Any) -> Any:
        if isinstance(x, Seen):
            return np.ndarray.view(x, np.ndarray)
        return float.__pos__(x) if isinstance(x, Progress) else x

    return mapped(bare, tree)


def _arrays(tree: Any) -> list[Array]:
    return [x for x in leaves(tree) if isinstance(x, np.ndarray)]


def owner(x: Array) -> Array:
    """The array that an array is a view of, or itself."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def whole(x: Array) -> Array:
    """The owner, if the array is the whole of it in the same form."""
    o = owner(x)
    alike = (o.shape, o.strides, o.dtype, address(o)) == (x.shape, x.strides, x.dtype, address(x))
    return o if alike else x


def address(x: Array) -> int:
    """Where an array begins."""
    place: int = x.__array_interface__["data"][0]
    return place


def same_bits(x: Array, y: Array) -> bool:
    """Whether two arrays have the same bits."""
    return x.tobytes() == y.tobytes()
