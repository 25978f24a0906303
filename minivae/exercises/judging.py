"""What authors write checks with: they judge an answer, and say what a wrong one shows.

- ``check_vjp``: a VJP, by finite differences;
- ``check_function``: a function, against the right one;
- ``check_logarithm``: the same by the logarithm, for small numbers;
- ``check_value``: one value that came of the student's functions;
- ``call``: a student's function, whatever it does; ``named``: what it is called;
- ``combined``: wrong answers foreseen, from the ways in which parts of one go wrong;
- ``fail``: say that the answer is wrong, and how;
- ``draw``: numbers to check with; ``other_numbers``: others than at first.

A check returns if all is right and raises :class:`Mistake` if not. What is right for the numbers
that the author chose is tried elsewhere too: with zeros in each input, with one datum and with many
(:func:`variations`), and where the author says.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
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
    "check_logarithm",
    "check_value",
    "check_vjp",
    "combined",
    "draw",
    "fail",
    "named",
    "other_numbers",
    "variations",
]

Array = NDArray[Any]
Function = Callable[..., Any]

RATIO = "yours / expected"
VAGUE = "no simple|no single|a constant factor|by the same number"
SINGLE = 2e-4  # the relative error of an answer in float32
TOLERANCE = 1e-9  # the relative error of any other right answer
SALT: ContextVar[int] = ContextVar("salt", default=0)  # which numbers are drawn


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
    salt = SALT.get()
    random = np.random.default_rng((salt, seed, *shape) if salt else (seed, *shape))
    if low is None or high is None:
        return random.normal(size=shape)
    return random.uniform(low, high, size=shape)


@contextlib.contextmanager
def other_numbers(salt: int) -> Iterator[None]:
    """Let ``draw`` draw other numbers than those that an author has looked at."""
    token = SALT.set(salt)
    try:
        yield
    finally:
        SALT.reset(token)


def named(name: str) -> Callable[[Function], Function]:
    """Call a function that stands for a student's by the name that the student knows."""

    def rename(function: Function) -> Function:
        function.__name__ = name
        return function

    return rename


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
        if not _unchanged(x, y):
            new = "array" if isinstance(x, np.ndarray) else type(x).__name__
            fail(f"{_called(function)} changes its argument {name} in place; work on a new {new}")
    if found is None:
        fail(f"{_called(function)} returns None: the line with return is missing, or empty")
    return found


def combined(
    build: Function, /, at_most: int = 2, at_least: int = 1, **parts: Mapping[str, Any]
) -> dict[str, Function]:
    """Suspects for an answer made of parts, of which some are wrong at the same time.

    Parameters
    ----------
    build
        Takes the inputs, and by name a choice for each part; returns the answer.
    at_most, at_least
        How many parts are wrong at once.
    parts
        For each part its choices by the sentence that says what is wrong; "" for the right one.
    """
    choices = [list(part.items()) for part in parts.values()]
    right = [next(i for i, (said, _) in enumerate(part) if not said) for part in choices]
    places: list[tuple[int, ...]] = []
    for count in range(at_least, at_most + 1):
        found = []
        for some in itertools.combinations(range(len(choices)), count):
            others = ([i for i in range(len(choices[k])) if i != right[k]] for k in some)
            for picked in itertools.product(*others):
                place = list(right)
                for k, i in zip(some, picked, strict=True):
                    place[k] = i
                found.append(tuple(place))
        places += sorted(found)
    suspects: dict[str, Function] = {}
    for one in places:
        chosen = [part[i] for part, i in zip(choices, one, strict=True)]
        choice = dict(zip(parts, (value for _, value in chosen), strict=True))
        suspects["; ".join(said for said, _ in chosen if said)] = partial(build, **choice)
    return suspects


def check_vjp(
    vjp: Function,
    forward: Function,
    right: Function,
    /,
    suspects: Mapping[str, Function] | None = None,
    elsewhere: Mapping[str, Mapping[str, Any]] | None = None,
    fixed: Sequence[str] = (),
    resized: bool = True,
    **inputs: Any,
) -> None:
    """Judge a VJP, ``(g, out, *inputs) -> cotangents``, by finite differences of its forward.

    Parameters
    ----------
    vjp
        The student's.
    forward, right
        The right forward and the right VJP, the author's own.
    suspects
        Wrong VJPs, by the sentence that says what is wrong with them.
    elsewhere
        Other inputs to try, by a sentence that goes on from "Right at first, and wrong".
    fixed
        Inputs that are not to be made zero.
    resized
        Whether to try other lengths: not if there is an input that is not among these.
    inputs
        Where, by name and in order.
    """
    arrays = list(inputs.values())
    _refuse_equal(inputs)
    shapes = _shapes(_called(vjp), inputs)
    out = np.asarray(forward(*arrays), dtype=np.float64)
    g = cotangent(out.shape, np.random.default_rng(SALT.get()))
    single = False

    @named(_called(vjp))
    def numbers(g: Any, out: Any, *values: Any) -> Any:
        nonlocal single
        found = _cotangents(call(vjp, g, out, *values), list(inputs), shapes)
        single = single or any(c.dtype == np.float32 for c in found)
        return tuple(found)

    def exact(g: Any, out: Any, *values: Any) -> Any:
        found = right(g, out, *values)
        return found if isinstance(found, tuple) else (found,)

    def with_out(changed: Mapping[str, Any]) -> Mapping[str, Any]:
        own = [changed[name] for name in inputs]
        return {**changed, "out": np.asarray(forward(*own))}

    found = numbers(g, out, *arrays)
    _refuse_exchanged_shapes([*zip(inputs, found, arrays, strict=True)], shapes)
    _refuse_noise(found, numbers(g, out, *arrays), shapes)
    if not single and not SALT.get():
        # The names of the inputs, which the report uses, are read from the signature of forward.
        report = gradcheck(primitive(forward, numbers), *arrays)
        if not report:
            with contextlib.suppress(_Vague):
                _explain_report(report, found, suspects or {}, (g, out, *arrays), shapes)
    check_function(
        numbers, exact, names=[f"the cotangent of {name}" for name in inputs], elsewhere=elsewhere,
        fixed=fixed, lengths=(1, 2) if resized else (), repair=with_out, g=g, out=out, **inputs,
    )  # fmt: skip


class _Vague(Exception):
    """The differences show no pattern; g and out, held against the right VJP, may."""


def _explain_report(
    report: Any,
    found: Sequence[Array],
    suspects: Mapping[str, Function],
    arguments: Sequence[Any],
    shapes: str,
) -> NoReturn:
    rows = [
        Row(f"gradient of {element(r.name, r.index)}", r.analytic, r.numeric) for r in report.table
    ]
    wrong_rows = [
        row for row, r in zip(rows, report.table, strict=True) if not r.relative_error <= 1e-6
    ]
    for sentence, suspect in suspects.items():
        wrong = _try(suspect, arguments)
        wrong = wrong if isinstance(wrong, tuple) else (wrong,)
        if all(_same(a, b) for a, b in zip(found, wrong, strict=True)):
            raise Mistake(_capital(sentence), shapes, wrong_rows)
    said = (report.diagnosis or "the gradient is wrong").replace("analytic / numeric", RATIO)
    if "in no simple pattern" in said:
        raise _Vague
    raise Mistake(_capital(said), shapes, wrong_rows)


def _try(suspect: Function, arguments: Iterable[Any]) -> Any:
    """What a suspect gives; None where it gives nothing."""
    try:
        with np.errstate(all="ignore"):
            return suspect(*arguments)
    except Exception:  # a matrix that is singular, for a suspect, says nothing of the answer
        return None


def check_function(
    function: Function,
    reference: Function,
    /,
    names: Sequence[str] = (),
    terms: Function | None = None,
    suspects: Mapping[str, Function] | None = None,
    tolerance: float = TOLERANCE,
    elsewhere: Mapping[str, Mapping[str, Any]] | None = None,
    fixed: Sequence[str] = (),
    lengths: Sequence[int] = (1, 2),
    repair: Function | None = None,
    **inputs: Any,
) -> None:
    """Judge a function against the right one, at one choice of inputs and then at others.

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
        The relative error that is allowed, of the largest element.
    elsewhere
        Other inputs to try, each as a dict of those that are not the same, by a sentence that goes
        on from "Right at first, and wrong": where, and after a colon why that may be.
    fixed
        Inputs that are not to be made zero.
    lengths
        Other lengths of the axes to try, 2 standing for more than twice the length.
    repair
        Takes inputs by name that have been varied, and makes them possible ones: rows that sum to
        1, say.
    inputs
        The inputs, by name and in order.
    """
    _refuse_equal(inputs)
    wanted = [name for name in _names(reference, len(inputs)) if name in inputs]
    if wanted != [name for name in inputs if name in wanted]:
        raise ValueError(f"the check's inputs come in the order {', '.join(wanted)}")

    def judge(
        inputs: Mapping[str, Any],
        expected: Any,
        tolerance: float,
        floors: Sequence[float],
        suspects: Mapping[str, Function],
    ) -> None:
        values = list(inputs.values())
        shapes = _shapes(_called(function), inputs)
        found = call(function, *values)
        parts = _parts(found, expected, names, shapes)
        _refuse_noise(found, call(function, *values), shapes)
        if isinstance(expected, tuple) and not floors:
            _refuse_exchanged(parts, shapes)
        for position, (name, part, right) in enumerate(parts):
            setting = Setting(
                name, inputs, reference, terms, suspects,
                position if isinstance(expected, tuple) else None, function,
            )  # fmt: skip
            _judge(setting, part, right, tolerance, shapes, floors[position] if floors else 0.0)

    def possible(changed: Mapping[str, Any]) -> tuple[Mapping[str, Any], Any] | None:
        """The inputs, mended, and the right answer; None if there is no finite right answer."""
        try:
            with np.errstate(all="ignore"):
                changed = repair(changed) if repair else changed
                right = reference(*changed.values())
        except Exception:  # an index may be out of range, or a matrix singular
            return None
        return (changed, right) if all(np.isfinite(part).all() for part in _flat(right)) else None

    at_first = possible(inputs)
    if at_first is None:
        raise ValueError(f"the right answer is not finite for the check of {_called(function)}")
    judge(*at_first, tolerance, (), suspects or {})

    def judge_there(where: str, found: tuple[Any, Any], floors: Sequence[float]) -> None:
        changed, right = found
        with _elsewhere(where, suspects or {}):
            try:
                judge(changed, right, 100 * tolerance, floors, {})
            except Mistake:
                hidden = _hidden(suspects or {}, *at_first)
                judge(changed, right, 100 * tolerance, floors, hidden)

    floors = [_largest(right) for right in _flat(at_first[1])]
    for sentence, other in (elsewhere or {}).items():
        found = possible({**at_first[0], **other})
        if found is None:
            raise ValueError(f"the right answer is not finite {sentence}")
        judge_there(sentence, found, ())
    for where, changed in variations(at_first[0], fixed, lengths):
        if found := possible(changed):
            judge_there(where, found, floors)


def check_logarithm(
    function: Function, reference: Function, sentence: str, /, **options: Any
) -> None:
    """Judge a function by the logarithm of its values: small ones count as much as large ones.

    ``sentence`` goes on from "Right at first, and wrong"; the options are those of
    ``check_function``.
    """

    @named(_called(function))
    def found(*inputs: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.log(np.asarray(call(function, *inputs), dtype=np.float64))

    def right(*inputs: Any) -> Any:
        return np.log(reference(*inputs))

    with _elsewhere(sentence):
        check_function(found, right, **options)


def variations(
    inputs: Mapping[str, Any], fixed: Sequence[str] = (), lengths: Sequence[int] = (1, 2)
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Other inputs, and what is special about them: zeros, one datum, many data with ties."""
    arrays = {name: x for name, x in inputs.items() if isinstance(x, np.ndarray)}
    for name, x in arrays.items():
        if name not in fixed and x.dtype.kind == "f":
            yield f"where {name} is 0 everywhere", {**inputs, name: np.zeros_like(x)}
            if x.size > 2:
                half = np.where(np.arange(x.size).reshape(x.shape) % 3 == 1, 0.0, x)
                yield f"where some elements of {name} are 0", {**inputs, name: half}
    there = {n: (name, axis) for name, x in arrays.items() for axis, n in enumerate(x.shape)}
    for n, (name, axis) in there.items():
        more = next(m for m in itertools.count(2 * n + 1) if m not in there)
        for m in (more if k == 2 else k for k in lengths):
            resized = {
                other: y[np.ix_(*(np.arange(m if k == n else k) % k for k in y.shape))]
                for other, y in arrays.items()
            }
            where = f"where axis {axis} of {name} has length {m}, and not {n}"
            yield where, {**inputs, **resized}


def _hidden(
    suspects: Mapping[str, Function], inputs: Mapping[str, Any], right: Any
) -> dict[str, Function]:
    """The suspects that are right at first: an answer that is, too, may be one of these."""
    found = {}
    for sentence, suspect in suspects.items():
        parts = zip(_flat(_try(suspect, inputs.values())), _flat(right), strict=False)
        if all(a.shape == b.shape and np.allclose(a, b, rtol=1e-6) for a, b in parts):
            found[sentence] = suspect
    return found


@contextlib.contextmanager
def _elsewhere(sentence: str, suspects: Iterable[str] = ()) -> Iterator[None]:
    """Say where an answer is wrong that was right at first, and why: the author's guess, if any."""
    where, _, guess = sentence.partition(": ")
    try:
        yield
    except Mistake as mistake:
        said = mistake.diagnosis.casefold()
        foreseen = any(said == suspect.casefold() for suspect in suspects)
        why = guess if guess and not foreseen else _small(mistake.diagnosis)
        if "has length" in where and re.search(VAGUE, why):
            why = "does a number stand in the code for that length?"
        said = f"Right at first, and wrong {where}: {why}"
        raise Mistake(said, mistake.shapes, mistake.rows) from None
    except Exception as error:
        error.add_note(where)
        raise


def check_value(
    found: Any, expected: Any, name: str = "the result", *, tolerance: float = 1e-7, **inputs: Any
) -> None:
    """Judge one value; ``inputs`` are what it may depend on, for the diagnosis."""
    _judge(Setting(name, inputs), found, expected, tolerance, _shapes(name, inputs))


# ---- judging numbers ----


def _judge(
    setting: Setting,
    found: Any,
    expected: Any,
    tolerance: float,
    shapes: str,
    floor: float = 0.0,
) -> None:
    """Judge one result; ``floor`` is the size of what rounding may leave where all cancels."""
    right = np.asarray(expected, dtype=np.float64)
    value = as_array(found, setting.name, shapes)
    single = value.dtype == np.float32
    value = value.astype(np.float64)
    if value.shape != right.shape:
        fail(_capital(explain_shape(setting, value, right), setting), shapes)
    with np.errstate(all="ignore"):
        error = np.abs(value - right)
        scale = max(1e-3 * _largest(right), 1e-3 * floor)
        size = np.maximum(np.abs(right), scale)

        def off(tolerance: float) -> Any:
            near = error <= tolerance * size + 1e-300
            return ~(near | (value == right) | (np.isnan(value) & np.isnan(right)))

        wrong = off(max(tolerance, SINGLE) if single else tolerance)
    if not wrong.any():
        if single and off(tolerance).any():
            fail(
                f"{_capital(setting.name, setting)} is right to seven digits, and float32: keep "
                "the dtype of the inputs, float64, which has sixteen",
                shapes,
            )
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


def _largest(x: Any) -> float:
    x = np.asarray(x, dtype=np.float64)
    return float(np.max(np.abs(x), where=np.isfinite(x), initial=0.0))


def _refuse_noise(found: Any, again: Any, shapes: str) -> None:
    for a, b in zip(_flat(found), _flat(again), strict=False):
        if a.shape != b.shape or not np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
            fail(
                "Two calls with the same inputs differ: it must depend on nothing but its "
                "arguments; noise is one of them",
                shapes,
            )


def as_array(found: Any, name: str, shapes: str = "") -> Array:
    """The numbers that a student returned: an array, a number, a list of them, a tensor."""
    if isinstance(found, Tensor):
        found = found.numpy()
    if found is None or found is Ellipsis:
        fail(f"{_capital(name)} is {found}: nothing was computed", shapes)
    if isinstance(found, dict):
        keys = ", ".join(map(str, found))
        fail(f"{_capital(name)} is a dict ({keys}): return the numbers themselves", shapes)
    if hasattr(found, "__next__"):
        fail(f"{_capital(name)} is a {type(found).__name__}: make an array of it", shapes)
    if isinstance(found, str | bytes | set) or callable(found):
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


def _parts(found: Any, expected: Any, names: Sequence[str], shapes: str) -> list[Any]:
    """The results one by one: what each is called, what was found, what is right."""
    if not isinstance(expected, tuple):
        name = names[0] if names else "the result"
        if isinstance(found, tuple):
            comma = ": is a comma behind it too many?" if len(found) == 1 else ": return one array"
            fail(f"It returns a tuple of {len(found)} where {name} is asked for{comma}", shapes)
        return [(name, found, expected)]
    count = len(expected)
    names = list(names) or [f"result {i + 1}" for i in range(count)]
    wanted = f"{', '.join(names[:-1])} and {names[-1]}" if count > 1 else names[0]
    if isinstance(found, dict):
        keys = ", ".join(map(str, found))
        fail(f"It returns a dict ({keys}) where {count} results are asked for: {wanted}", shapes)
    if not isinstance(found, tuple | list):
        what = "one array" if isinstance(found, np.ndarray) else f"one {type(found).__name__}"
        fail(f"It returns {what} where {count} are asked for: {wanted}, with commas", shapes)
    if len(found) != count:
        fail(f"It returns {len(found)} results where {count} are asked for: {wanted}", shapes)
    return list(zip(names, found, expected, strict=True))


def _refuse_exchanged_shapes(parts: list[Any], shapes: str) -> None:
    """Say so if two results have each other's shapes."""
    for (one, x, right), (other, y, meant) in itertools.combinations(parts, 2):
        given, wanted = (np.shape(x), np.shape(y)), (np.shape(meant), np.shape(right))
        if given == wanted and given[0] != given[1]:
            order = ", ".join(name for name, _, _ in parts)
            fail(f"{one} and {other} are exchanged, by their shapes: the order is {order}", shapes)


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
    """The cotangents one by one; a single one may come alone."""
    if len(names) == 1 and not (isinstance(found, tuple | list) and len(found) == 1):
        found = (found,)
    wanted = [f"the cotangent of {name}" for name in names]
    return [as_array(c, name, shapes) for name, c, _ in _parts(found, tuple(names), wanted, shapes)]


# ---- words ----


def _shapes(name: str, inputs: Mapping[str, Any]) -> str:
    def shape(x: Any) -> str:
        return str(np.shape(x)) if isinstance(x, np.ndarray) else repr(x)

    return f"{name}: {', '.join(f'{key} {shape(x)}' for key, x in inputs.items())}"


def _called(function: Function) -> str:
    return str(getattr(function, "__name__", "the answer"))


def _refuse_equal(inputs: Mapping[str, Any]) -> None:
    """Two inputs that are equal would let pass an answer that exchanges them."""
    arrays = [(n, x) for n, x in inputs.items() if isinstance(x, np.ndarray) and n != "out"]
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
    return copy.copy(x) if isinstance(x, np.ndarray | dict | list | set) else x


def _unchanged(x: Any, y: Any) -> bool:
    if isinstance(x, np.ndarray):
        return np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
    return bool(x == y) if isinstance(x, dict | list | set) else True


def _flat(found: Any) -> list[Array]:
    """The results of a function as arrays; empty if they are not numbers."""
    several = isinstance(found, tuple) or (
        isinstance(found, list) and any(isinstance(x, np.ndarray) for x in found)
    )
    parts = found if several else (found,)
    try:
        return [np.asarray(x, dtype=np.float64) for x in parts]
    except (TypeError, ValueError):
        return []


def _same(a: Any, b: Any) -> bool:
    if b is None or np.shape(a) != np.shape(b):
        return False
    return np.allclose(a, b, rtol=1e-6, atol=1e-12, equal_nan=True)


def _small(sentence: str) -> str:
    """A sentence that goes on from another: without its capital, if that was one for the start."""
    word = re.split(r"\W", sentence, maxsplit=1)[0]
    return sentence[:1].lower() + sentence[1:] if word.istitle() else sentence


def _capital(sentence: str, setting: Setting | None = None) -> str:
    """A sentence with a capital, unless it begins with a symbol: m is not M."""
    first = re.split(r"\W", sentence, maxsplit=1)[0]
    symbols = {"log", "pi", "mu", "eps", *"bcdghklmnpqrstvwxyz"}
    symbols |= {setting.name, *setting.inputs} if setting else set()
    if first in symbols or "_" in first or sentence[len(first) :].startswith("("):
        return sentence
    return sentence[:1].upper() + sentence[1:]
