"""What authors write checks with: an answer is judged, and a wrong one is told what it shows.

- ``check_vjp``: a VJP, by finite differences;
- ``check_function``: a function, against the right one;
- ``check_value``: one value that came of the student's functions;
- ``call``: a student's function, whatever it does;
- ``combined``: wrong answers foreseen, from the ways in which parts of one go wrong;
- ``fail``: say that the answer is wrong, and how;
- ``draw``: numbers to check with.

A check returns if all is right and raises :class:`Mistake` if not.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from minivae.exercises.patterns import Setting, explain, explain_shape
from minivae.exercises.verdict import Row
from minivae.gradcheck import gradcheck
from minivae.gradcheck.report import element
from minivae.gradcheck.rules import cotangent
from minivae.tensor import Tensor, primitive

__all__ = [
    "Mistake",
    "Wrong",
    "call",
    "check_function",
    "check_value",
    "check_vjp",
    "combined",
    "draw",
    "fail",
]

Array = NDArray[Any]
Function = Callable[..., Any]

RATIO = "yours / expected"
SINGLE = 2e-4  # the relative error of an answer in float32


class Mistake(Exception):
    """A wrong answer: a sentence on what it shows, and its worst elements."""

    def __init__(self, diagnosis: str, shapes: str = "", rows: Sequence[Row] = ()) -> None:
        super().__init__(diagnosis)
        self.diagnosis, self.shapes, self.rows = diagnosis, shapes, list(rows)


class Wrong(NamedTuple):
    """A wrong answer of a bank: lines for the hole, and what the diagnosis must match."""

    body: str
    diagnosis: str


def fail(diagnosis: str, shapes: str = "", rows: Sequence[Row] = ()) -> NoReturn:
    """Say that the answer is wrong, and how."""
    raise Mistake(diagnosis, shapes, rows)


def draw(*shape: int, seed: int = 0, low: float | None = None, high: float | None = None) -> Any:
    """Standard normal numbers, or numbers spread evenly between two bounds.

    Arrays of one shape need different seeds to differ.
    """
    random = np.random.default_rng((seed, *shape))
    if low is None or high is None:
        return random.normal(size=shape)
    return random.uniform(low, high, size=shape)


def call(function: Function, *arguments: Any, **named: Any) -> Any:
    """What a student's function returns; sentences for what goes wrong besides exceptions.

    Exceptions are left to the runner, which knows the student's file and says the line.

    Raises
    ------
    Mistake
        If it changes its arguments, or returns nothing.
    """
    copies = [_copy(x) for x in arguments]
    kept = {name: _copy(x) for name, x in named.items()}
    with np.errstate(all="ignore"):
        found = function(*copies, **kept)
    names = _names(function, len(arguments))
    before = [*zip(names, arguments, strict=True), *named.items()]
    for (name, x), y in zip(before, [*copies, *kept.values()], strict=True):
        if isinstance(x, np.ndarray) and not np.array_equal(x, y, equal_nan=x.dtype.kind == "f"):
            fail(f"{_called(function)} changes its argument {name} in place; work on a new array")
    if found is None:
        fail(f"{_called(function)} returns None: the line with return is missing, or empty")
    return found


def combined(
    build: Function, /, at_most: int = 2, **parts: Mapping[str, Any]
) -> dict[str, Function]:
    """Suspects for an answer made of parts, of which some are wrong at the same time.

    Parameters
    ----------
    build
        Takes the inputs, and by name a choice for each part; returns the answer.
    at_most
        How many parts may be wrong at once.
    parts
        For each part its choices by the sentence that says what is wrong; "" for the right one.
    """
    chosen = itertools.product(*(choices.items() for choices in parts.values()))
    by_count = sorted(chosen, key=lambda some: sum(sentence != "" for sentence, _ in some))
    suspects: dict[str, Function] = {}
    for some in by_count:
        wrong = [sentence for sentence, _ in some if sentence]
        if 1 <= len(wrong) <= at_most:
            choice = dict(zip(parts, (value for _, value in some), strict=True))
            suspects["; ".join(wrong)] = partial(build, **choice)
    return suspects


def check_vjp(
    vjp: Function,
    forward: Function,
    /,
    suspects: Mapping[str, Function] | None = None,
    **inputs: Any,
) -> None:
    """Judge a VJP, ``(g, out, *inputs) -> cotangents``, by finite differences of its forward.

    Parameters
    ----------
    vjp
        The student's.
    forward
        The right forward, the author's own.
    suspects
        Wrong VJPs, by the sentence that says what is wrong with them.
    inputs
        Where, by name and in order.
    """
    arrays = list(inputs.values())
    _refuse_equal(inputs)
    shapes = _shapes(_called(vjp), inputs)
    out = np.asarray(forward(*arrays), dtype=np.float64)
    single = False

    def numbers(g: Any, out: Any, *values: Any) -> Any:
        nonlocal single
        found = _cotangents(call(vjp, g, out, *values), list(inputs), shapes)
        single = single or any(c.dtype == np.float32 for c in found)
        return tuple(np.array(c, dtype=np.float64) for c in found)

    g = cotangent(out.shape, np.random.default_rng(0))
    found = numbers(g, out, *arrays)
    if single:
        return _check_single(numbers, forward, arrays, shapes)
    # The names of the inputs, which the report uses, are read from the signature of the forward.
    report = gradcheck(primitive(forward, numbers), *arrays)
    if report:
        return None
    rows = [
        Row(f"gradient of {element(r.name, r.index)}", r.analytic, r.numeric) for r in report.table
    ]
    wrong_rows = [
        row for row, r in zip(rows, report.table, strict=True) if not r.relative_error <= 1e-6
    ]
    for sentence, suspect in (suspects or {}).items():
        with np.errstate(all="ignore"):
            wrong = suspect(g, out, *arrays)
        wrong = wrong if isinstance(wrong, tuple) else (wrong,)
        if all(_same(a, b) for a, b in zip(found, wrong, strict=True)):
            raise Mistake(_capital(sentence), shapes, wrong_rows)
    said = (report.diagnosis or "the gradient is wrong").replace("analytic / numeric", RATIO)
    raise Mistake(_capital(said), shapes, wrong_rows)


def check_function(
    function: Function,
    reference: Function,
    /,
    names: Sequence[str] = (),
    terms: Function | None = None,
    suspects: Mapping[str, Function] | None = None,
    tolerance: float = 1e-7,
    **inputs: Any,
) -> None:
    """Judge a function against the right one at one choice of inputs.

    Parameters
    ----------
    function
        The student's.
    reference
        The right one, the author's own.
    names
        What the results are called, if there are several.
    terms
        A function of the same inputs that returns the summands of the right value, by name.
    suspects
        Wrong functions of the same inputs, by the sentence that says what is wrong with them.
    tolerance
        The relative error that is allowed, of the largest element; 2e-4 for answers in float32.
    inputs
        The inputs, by name and in order.
    """
    values = list(inputs.values())
    _refuse_equal(inputs)
    wanted = [name for name in _names(reference, len(inputs)) if name in inputs]
    if wanted != [name for name in inputs if name in wanted]:
        raise ValueError(f"the check's inputs come in the order {', '.join(wanted)}")
    shapes = _shapes(_called(function), inputs)
    with np.errstate(all="ignore"):
        expected = reference(*values)
    found = call(function, *values)
    if isinstance(expected, tuple):
        parts = _parts(found, expected, names, shapes)
        _refuse_exchanged(parts, shapes)
    else:
        parts = [(names[0] if names else "the result", found, expected)]
    for position, (name, part, right) in enumerate(parts):
        several = position if isinstance(expected, tuple) else None
        setting = Setting(name, inputs, reference, terms, suspects or {}, several)
        _judge(setting, part, right, tolerance, shapes)
    again = call(function, *values)
    for a, b in zip(_flat(found), _flat(again), strict=True):
        if not np.array_equal(a, b, equal_nan=True):
            fail(
                "Two calls with the same inputs differ: it must depend on nothing but its "
                "arguments; noise is one of them",
                shapes,
            )


def check_value(
    found: Any, expected: Any, name: str = "the result", *, tolerance: float = 1e-7, **inputs: Any
) -> None:
    """Judge one value; ``inputs`` are what it may depend on, for the diagnosis."""
    _judge(Setting(name, inputs), found, expected, tolerance, _shapes(name, inputs))


# ---- judging numbers ----


def _judge(setting: Setting, found: Any, expected: Any, tolerance: float, shapes: str) -> None:
    right = np.asarray(expected, dtype=np.float64)
    value = as_array(found, setting.name, shapes)
    if value.dtype == np.float32:
        tolerance = max(tolerance, SINGLE)
    value = value.astype(np.float64)
    if value.shape != right.shape:
        fail(_capital(explain_shape(setting, value, right), setting), shapes)
    with np.errstate(all="ignore"):
        error = np.abs(value - right)
        scale = np.max(np.abs(right), where=np.isfinite(right), initial=0.0)
        allowed = tolerance * np.maximum(np.abs(right), 1e-3 * scale) + 1e-300
        wrong = ~((error <= allowed) | (value == right) | (np.isnan(value) & np.isnan(right)))
    if not wrong.any():
        return
    rank = np.where(
        wrong, np.where(np.isfinite(error), error / (np.abs(right) + 1e-300), np.inf), -1
    )
    worst = np.argsort(rank, axis=None, kind="stable")[::-1][: min(5, int(wrong.sum()))]
    label = setting.name.removeprefix("the ")
    rows = [
        Row(element(label, tuple(int(n) for n in index)), float(value[index]), float(right[index]))
        for index in (np.unravel_index(int(i), value.shape) for i in worst)
    ]
    raise Mistake(_capital(explain(setting, value, right, wrong), setting), shapes, rows)


def as_array(found: Any, name: str, shapes: str = "") -> Array:
    """The numbers that a student returned: an array, a number, a list of them, a tensor."""
    if isinstance(found, Tensor):
        found = found.numpy()
    if found is None or found is Ellipsis:
        fail(f"{_capital(name)} is {found}: nothing was computed", shapes)
    if isinstance(found, str | bytes | dict | set) or callable(found):
        fail(f"{_capital(name)} is {type(found).__name__}, not numbers", shapes)
    try:
        value = np.asarray(found)
    except ValueError:
        fail(f"{_capital(name)} is a {type(found).__name__} of parts of several shapes", shapes)
    if value.dtype.kind == "c":
        fail(f"{_capital(name)} is complex: a root or a log of a negative number?", shapes)
    if value.dtype.kind not in "fiub":
        fail(f"{_capital(name)} is {type(found).__name__} of {value.dtype}, not numbers", shapes)
    return value if value.dtype == np.float32 else np.asarray(value, dtype=np.float64)


def _parts(found: Any, expected: tuple[Any, ...], names: Sequence[str], shapes: str) -> list[Any]:
    count = len(expected)
    names = list(names) or [f"result {i + 1}" for i in range(count)]
    wanted = f"{', '.join(names[:-1])} and {names[-1]}"
    if not isinstance(found, tuple | list):
        what = "one array" if isinstance(found, np.ndarray) else f"one {type(found).__name__}"
        fail(f"It returns {what} where {count} are asked for: {wanted}, with commas", shapes)
    if len(found) != count:
        fail(f"It returns {len(found)} results where {count} are asked for: {wanted}", shapes)
    return list(zip(names, found, expected, strict=True))


def _refuse_exchanged(parts: list[Any], shapes: str) -> None:
    """Say so if one result is what another should be."""
    for name, found, right in parts:
        for other, _, meant in parts:
            try:
                value = np.asarray(found, dtype=np.float64)
            except (TypeError, ValueError):
                return
            if not _same(value, right) and _same(value, meant):
                order = ", ".join(name for name, _, _ in parts)
                fail(f"What is returned for {name} is {other}: the order is {order}", shapes)


def _cotangents(found: Any, names: list[str], shapes: str) -> list[Array]:
    count = len(names)
    if count == 1 and not (isinstance(found, tuple | list) and len(found) == 1):
        found = (found,)
    if not isinstance(found, tuple | list):
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        fail(f"It returns one array where {count} are asked for: those of {listed}", shapes)
    if len(found) != count:
        fail(f"It returns {len(found)} cotangents for {count} inputs: {', '.join(names)}", shapes)
    return [
        as_array(c, f"the cotangent of {name}", shapes)
        for name, c in zip(names, found, strict=True)
    ]


def _check_single(numbers: Function, forward: Function, arrays: Sequence[Any], shapes: str) -> None:
    """Judge cotangents in float32, too coarse for the check's tolerance, by random projections."""
    out = np.asarray(forward(*arrays), dtype=np.float64)
    g = cotangent(out.shape, np.random.default_rng(1))
    found = numbers(g, out, *arrays)
    for k, x in enumerate(arrays):
        right = np.empty(np.shape(x))
        for index in np.ndindex(right.shape):
            step = np.zeros(right.shape)
            step[index] = 1e-5
            up, down = ([*arrays[:k], x + s, *arrays[k + 1 :]] for s in (step, -step))
            right[index] = np.sum(g * (forward(*up) - forward(*down))) / 2e-5
        _judge(Setting(f"cotangent {k + 1}", {}), found[k], right, SINGLE, shapes)


# ---- words ----


def _shapes(name: str, inputs: Mapping[str, Any]) -> str:
    def shape(x: Any) -> str:
        return str(np.shape(x)) if isinstance(x, np.ndarray) else repr(x)

    return f"{name}: {', '.join(f'{key} {shape(x)}' for key, x in inputs.items())}"


def _called(function: Function) -> str:
    return str(getattr(function, "__name__", "the answer"))


def _refuse_equal(inputs: Mapping[str, Any]) -> None:
    """Two inputs that are equal would let pass an answer that exchanges them."""
    arrays = [(name, x) for name, x in inputs.items() if isinstance(x, np.ndarray)]
    for (one, x), (other, y) in itertools.combinations(arrays, 2):
        if np.array_equal(x, y):
            raise ValueError(
                f"the check's inputs {one} and {other} are equal: draw with other seeds"
            )


def _names(function: Function, count: int) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = []
    return [*names, *(f"argument {i + 1}" for i in range(len(names), count))][:count]


def _copy(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else x


def _flat(found: Any) -> list[Array]:
    return [np.asarray(x) for x in (found if isinstance(found, tuple | list) else [found])]


def _same(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=1e-12, equal_nan=True)


def _capital(sentence: str, setting: Setting | None = None) -> str:
    """A sentence with a capital, unless it begins with a symbol: m is not M."""
    first = re.split(r"\W", sentence, maxsplit=1)[0]
    symbols = {"log", "pi", "mu", "eps", *"bcdghklmnpqrstvwxyz"}
    symbols |= {setting.name, *setting.inputs} if setting else set()
    if first in symbols or "_" in first or sentence[len(first) :].startswith("("):
        return sentence
    return sentence[:1].upper() + sentence[1:]
