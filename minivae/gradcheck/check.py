"""The check itself: rules first, then numbers, then the judgement."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.errors import GradientError
from minivae.gradcheck.diagnosis import Case, diagnose, through_each_use
from minivae.gradcheck.differences import Slope, slope
from minivae.gradcheck.report import GradcheckReport, Row, element
from minivae.gradcheck.rules import BrokenRule, check_rules, cotangent
from minivae.tensor import Node, Tensor
from minivae.transforms import vjp

__all__ = ["assert_gradcheck", "gradcheck"]

Array = NDArray[Any]

TOLERANCE = 1e-6  # the relative error that certifies an element
MARGIN = 8.0  # how many times its error a numeric derivative may be off
PROOF = 0.1  # an element known to less than this, relative to its size, proves nothing


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    expect_zero: bool = False,
    seed: int = 0,
    max_elements: int = 256,
) -> GradcheckReport:
    """Hold the gradient of ``f`` against finite differences, and name the mistake if it is wrong.

    Parameters
    ----------
    f
        A function of tensors, computed with library operations, with a result of any shape. To
        check a VJP of your own, wrap it: ``gradcheck(primitive(forward, vjp), x, y)``. It must be
        the same function at each call: noise is an input, or drawn beforehand.
    inputs
        Where to check. Floating-point arrays and tensors, numbers and lists are differentiated, in
        float64; everything else (integer and boolean arrays, strings, None) is handed on as it is.
    expect_zero
        Set if the gradient is meant to vanish everywhere. Otherwise a check in which both gradients
        vanish is INCONCLUSIVE, for a VJP that returns zeros would pass it.
    seed
        Of the random cotangent and of the choice of elements.
    max_elements
        How many elements of each input are compared. A larger input is cut into so many stretches,
        and one element of each is drawn at random.

    Returns
    -------
    GradcheckReport
        PASS if every element agrees to a relative error of 1e-6, or to what rounding allows. FAIL
        if one does not, or if a VJP breaks a rule: it raises, returns a wrong count, shape or
        dtype, writes into its arguments, hands out the same array twice, is not linear in the
        cotangent, or gives another result when called again. INCONCLUSIVE if nothing can be said of
        some input: all its elements are at kinks, the function is too rough, or both gradients
        vanish. Single elements at kinks are left out.

    Raises
    ------
    ValueError
        If there is nothing to differentiate, or an input is not finite.
    GradientError
        If ``f`` does not return one floating-point array.
    """
    if not inputs:
        raise ValueError("gradcheck: give the inputs at which to check, as in gradcheck(f, x, y)")
    arguments = [_as_float64(x) for x in inputs]
    checked = [
        i for i, x in enumerate(arguments) if isinstance(x, np.ndarray) and x.dtype == np.float64
    ]
    if not checked:
        raise ValueError(
            "gradcheck: no input is floating-point, so there is nothing to differentiate; use dtype=float"
        )
    problem = _Problem(f, arguments, checked, _names(f, len(inputs)))
    for k, x in enumerate(problem.arrays):
        if not np.isfinite(x).all():
            raise ValueError(
                f"gradcheck: input {problem.names[k]} has NaN or infinities; check at finite values"
            )
    return _check(problem, expect_zero, np.random.default_rng(seed), max_elements)


def assert_gradcheck(f: Callable[..., Any], *inputs: Any, **options: Any) -> None:
    """Raise AssertionError with the report unless :func:`gradcheck`, called with the same
    arguments, passes."""
    report = gradcheck(f, *inputs, **options)
    if not report:
        raise AssertionError(f"\n{report}") from report.error


def _check(
    problem: _Problem, expect_zero: bool, random: np.random.Generator, most: int
) -> GradcheckReport:
    try:
        run = _record(problem, random)
        hint = _check_tape(problem, run, random)
        _differentiate(problem, run, random)
    except BrokenRule as broken:
        return GradcheckReport("FAIL", str(broken), function=problem.label, error=broken.__cause__)
    if not np.isfinite(run.out).all():
        where = element("out", tuple(int(i[0]) for i in np.nonzero(~np.isfinite(run.out))))
        sentence = f"the function's value is not finite, at {where}: check at other values"
        return GradcheckReport("INCONCLUSIVE", sentence, function=problem.label)
    for k, x in enumerate(problem.arrays):
        for flat in _sample(x.size, most, random):
            index = tuple(int(i) for i in np.unravel_index(flat, x.shape))
            claim = float(run.analytic[k][index])
            found = slope(problem.along(k, index, run.out), float(x[index]), run.g.ravel(), claim)
            run.elements.append(_compare(run, k, index, found))
    return _judge(problem, run, hint, expect_zero)


# ---- the function and its inputs ----


@dataclass(frozen=True)
class _Problem:
    """A function and where to check it."""

    function: Callable[..., Any]
    arguments: list[Any]
    checked: list[int]  # which arguments are differentiated
    all_names: list[str]
    alone: bool = False  # whether this is one operation taken out of a larger function

    @property
    def arrays(self) -> list[Array]:
        return [self.arguments[i] for i in self.checked]

    @property
    def names(self) -> list[str]:
        return [self.all_names[i] for i in self.checked]

    @property
    def label(self) -> str:
        shapes = (f"{name} {x.shape}" for name, x in zip(self.names, self.arrays, strict=True))
        return f"{_name(self.function)}: {', '.join(shapes)}"

    def __call__(self, *variables: Any) -> Any:
        arguments = list(self.arguments)
        for i, x in zip(self.checked, variables, strict=True):
            arguments[i] = x
        try:
            out = self.function(*arguments)
        except Exception as error:
            if "read-only" in str(error):
                raise BrokenRule("the function writes into its inputs; work on a copy") from error
            error.add_note(
                f"gradcheck: raised while computing {self.label}. A function of NumPy arrays needs a VJP: "
                "primitive(forward, vjp)."
            )
            raise
        if not isinstance(out, Tensor | np.ndarray | np.floating | float):
            raise GradientError(
                f"gradcheck: {_name(self.function)} returned {type(out).__name__}; it must return one floating-point "
                "array (check several one by one, or concatenate them)"
            )
        return out

    def value(self, *arrays: Array) -> Array:
        """The function's value, off the tape."""
        with np.errstate(all="ignore"):
            out = self(*(Tensor(x) for x in arrays))
        return np.asarray(out.data if isinstance(out, Tensor) else out)

    def along(self, k: int, index: tuple[int, ...], out: Array) -> Callable[[float], Array]:
        """The outputs, flattened, as a function of one element; NaN where they come in another
        shape."""
        moved = [x.copy() for x in self.arrays]

        def outputs(t: float) -> Array:
            moved[k][index] = t
            value = self.value(*moved)
            return value.ravel() if value.shape == out.shape else np.full(out.size, np.nan)

        return outputs


def _as_float64(x: Any) -> Any:
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


def _name(f: Callable[..., Any]) -> str:
    name = getattr(f, "__name__", type(f).__name__)
    return "lambda" if name in ("<lambda>", "lambda>") else str(name)


def _names(f: Callable[..., Any], count: int) -> list[str]:
    """What the inputs of a function are called."""
    names: list[str] = []
    try:
        for parameter in inspect.signature(f).parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                names.append(parameter.name)
    except ValueError:  # some NumPy functions have no signature
        pass
    return [*names, *(f"input {i}" for i in range(len(names), count))][:count]


def _sample(size: int, most: int, random: np.random.Generator) -> Sequence[int]:
    """Every element, or one of each of ``most`` stretches of equal length."""
    if size <= most:
        return range(size)
    bounds = np.linspace(0, size, most + 1).astype(int)
    return [int(random.integers(low, high)) for low, high in itertools.pairwise(bounds)]


# ---- the analytic gradient ----


@dataclass
class _Run:
    """What was measured."""

    out: Array
    g: Array
    pull_back: Callable[[Any], tuple[Any, ...]]
    variables: tuple[Tensor, ...]
    made: list[Any]  # the tensors on the tape that operations made, newest first
    analytic: list[Array] = field(default_factory=list)
    jitter: list[Array] = field(default_factory=list)  # how far rounding of the inputs moves it
    elements: list[_Element] = field(default_factory=list)


class _Element(NamedTuple):
    """One element of one input, and how its two derivatives compare."""

    k: int
    at: tuple[Any, ...]
    slope: Slope
    analytic: float
    tolerance: float

    @property
    def smooth(self) -> bool:
        return self.slope.kind == "smooth"

    @property
    def difference(self) -> float:
        return abs(self.analytic - self.slope.value)

    @property
    def size(self) -> float:
        return max(abs(self.analytic), abs(self.slope.value))

    @property
    def wrong(self) -> bool:
        return self.smooth and not (
            np.isfinite(self.analytic) and self.difference <= self.tolerance
        )

    @property
    def proves(self) -> bool:
        """Whether a wrong value would have been seen."""
        return self.smooth and self.tolerance < PROOF * self.size


def _record(problem: _Problem, random: np.random.Generator) -> _Run:
    """Run the function on the tape, and see that it is a function."""
    seen: list[Any] = []

    def recorded(*variables: Tensor) -> Any:
        seen[:] = [problem(*variables), variables]
        return seen[0]

    before = [np.copy(x) for x in problem.arguments if isinstance(x, np.ndarray)]
    value, pull_back = vjp(recorded, *problem.arrays)
    out = np.array(value)
    name = _name(problem.function)
    if out.dtype.kind != "f":
        raise GradientError(
            f"gradcheck: {name} returned {out.dtype}, which has no gradient; return floating point"
        )
    if out.dtype != np.float64:
        raise BrokenRule(
            f"the function returns {out.dtype} for float64 inputs, too few digits to be differenced: compute in the "
            "dtype of the inputs"
        )
    for _ in range(2):
        again = problem.value(*problem.arrays)
        if again.shape != out.shape or not np.allclose(
            again, out, rtol=1e-10, atol=0, equal_nan=True
        ):
            raise BrokenRule(
                "two calls of the function differ: draw its noise once, outside, and hand it in"
            )
    after = [x for x in problem.arguments if isinstance(x, np.ndarray)]
    if any(not np.array_equal(x, y) for x, y in zip(before, after, strict=True)):
        raise BrokenRule("the function writes into its inputs; work on a copy")
    root, variables = seen
    made = _made(root) if isinstance(root, Tensor) else []
    return _Run(out, cotangent(out.shape, random), pull_back, variables, made)


def _made(root: Tensor) -> list[Any]:
    """The tensors on the tape that operations made, newest first."""
    found, stack = {id(root): root}, [root]
    while stack:
        t = stack.pop()
        for x in t._node.inputs if t._node else ():
            if isinstance(x, Tensor) and x.requires_grad and id(x) not in found:
                found[id(x)] = x
                stack.append(x)
    return sorted((t for t in found.values() if t._node), key=lambda t: t._age, reverse=True)


def _operations(run: _Run) -> list[tuple[Any, Node]]:
    """The operations on the tape with a tensor that each made, one for each choice of shapes,
    oldest first."""
    found = {
        (id(t._node.operation), *(np.shape(x) for x in t._node.arrays)): (t, t._node)
        for t in run.made
        if t.dtype == np.float64
    }
    return list(found.values())[::-1]


def _prefix(run: _Run, node: Node) -> str:
    several = len({id(t._node.operation) for t in run.made}) > 1
    return f"in {_name(node.operation)}: " if several else ""


def _check_tape(problem: _Problem, run: _Run, random: np.random.Generator) -> str | None:
    """See that every VJP on the tape keeps to the rules."""
    hints = []
    for t, node in _operations(run):
        names = _names(node.operation, len(node.inputs))
        if _is_whole(run, node):
            names = [problem.names[_find(run.variables, x)] for x in node.inputs]
        try:
            hint = check_rules(t, names, random)
        except BrokenRule as broken:
            raise BrokenRule(_prefix(run, node) + str(broken)) from broken.__cause__
        hints += [_prefix(run, node) + hint] if hint else []
    return hints[0] if hints else None


def _is_whole(run: _Run, node: Node) -> bool:
    """Whether the function is this operation on its inputs, and nothing else."""
    return len(run.made) == 1 and all(any(x is v for v in run.variables) for x in node.inputs)


def _find(variables: Sequence[Any], x: Any) -> int:
    return next(i for i, v in enumerate(variables) if v is x)


def _differentiate(problem: _Problem, run: _Run, random: np.random.Generator) -> None:
    """The analytic gradient, and how far it moves when the inputs do by a rounding error."""
    run.analytic = [np.asarray(c, np.float64) for c in run.pull_back(run.g)]
    run.jitter = [np.zeros(x.shape) for x in problem.arrays]
    for sign in (1.0, -1.0):
        moved = [
            x * (1 + sign * 4e-16 * random.choice([-1.0, 1.0], x.shape)) for x in problem.arrays
        ]
        nearby = vjp(problem, *moved)[1](run.g)
        for jitter, near, here in zip(run.jitter, nearby, run.analytic, strict=True):
            with np.errstate(all="ignore"):
                change = np.abs(near - here)
                # A larger change is no rounding: the VJP jumps, and a jump excuses nothing.
                change = np.where(change <= 1e-2 * np.abs(here), change, 0.0)
            np.maximum(jitter, change, out=jitter)


# ---- the judgement ----


def _compare(run: _Run, k: int, index: tuple[int, ...], found: Slope) -> _Element:
    analytic = float(run.analytic[k][index])
    slack = MARGIN * (found.error + float(run.jitter[k][index]))
    with np.errstate(all="ignore"):
        tolerance = max(TOLERANCE * max(abs(analytic), abs(found.value)), slack)
    return _Element(k, index, found, analytic, tolerance)


def _judge(problem: _Problem, run: _Run, hint: str | None, expect_zero: bool) -> GradcheckReport:
    """A wrong value comes before nothing to say, and that before agreement."""
    smooth = [e for e in run.elements if e.smooth]
    smooth.sort(
        key=lambda e: (
            not e.wrong,
            not e.proves,
            -np.nan_to_num(e.difference / (e.size or 1.0), nan=np.inf),
        )
    )
    wrong = [e for e in smooth if e.wrong]
    proven = {e.k for e in smooth if e.proves}
    vanishing = {e.k for e in smooth} - proven
    left_out = {e.k for e in run.elements if not e.smooth}
    unsaid = sorted(left_out - proven - (vanishing if expect_zero else set()))
    report = partial(
        GradcheckReport,
        table=[_row(problem, e) for e in smooth[:5]],
        function=problem.label,
        checked=len(smooth),
        total=sum(x.size for x in problem.arrays),
        kinks=[(problem.names[e.k], e.at) for e in run.elements if e.slope.kind == "kink"],
    )
    if hint or wrong:
        return report("FAIL", hint or _explain(problem, run, wrong))
    if unsaid:
        return report("INCONCLUSIVE", _why_unsaid(problem, run, unsaid[0]))
    if not proven and not expect_zero:
        return report(
            "INCONCLUSIVE",
            "both gradients vanish everywhere, so that a VJP that returns zeros would pass: check at other values, or "
            "say expect_zero=True if this is meant",
        )
    return report("PASS", None)


def _row(problem: _Problem, e: _Element) -> Row:
    with np.errstate(all="ignore"):
        ratio = float(np.divide(e.analytic, e.slope.value))
    error = e.difference / e.size if e.size else 0.0
    return Row(
        problem.checked[e.k], problem.names[e.k], e.at, e.analytic, e.slope.value, ratio, error
    )


def _why_unsaid(problem: _Problem, run: _Run, k: int) -> str:
    name = problem.names[k]
    kinds = {e.slope.kind for e in run.elements if e.k == k}
    if "rough" in kinds:
        return f"the difference quotients of {name} agree at no step: the function is too rough here to be checked"
    if "smooth" in kinds:
        return (
            f"every element of {name} is at a kink, or its gradient vanishes: check at other values"
        )
    return (
        f"every element of {name} is at a kink, where there is no derivative: check at other values"
    )


# ---- what is wrong ----


def _explain(problem: _Problem, run: _Run, wrong: Sequence[_Element]) -> str:
    """One sentence on the first input that is wrong, and a word on the others."""
    whole = len(run.made) == 1 and _is_whole(run, run.made[0]._node)
    if not whole and not problem.alone and (blamed := _blame(run)):
        return blamed
    for e in wrong:
        if not np.isfinite(e.analytic):
            return f"the gradient is {e.analytic} at {element(problem.names[e.k], e.at)}, where the function is smooth"
    bad = sorted({e.k for e in wrong})
    k, *more = bad
    others = tuple(_case(problem, run, i) for i in range(len(problem.names)) if i != k)
    case = replace(
        _case(problem, run, k),
        jacobian=_jacobian(problem, run, k),
        uses=_uses(run, k),
        others=others,
    )
    sentence = f"the gradient of {case.name} {diagnose(case)}"
    right = [name for k, name in enumerate(problem.names) if k not in bad]
    rest = [f"{', '.join(problem.names[i] for i in more)}: wrong too"] if more else []
    rest += [f"{', '.join(right)}: right"] if right else []
    if rest:
        sentence += f" ({'; '.join(rest)})"
    if not run.made:
        sentence += (
            "; the result is not on the tape: look for .detach(), .data or no_grad in the function"
        )
    elif not whole and not problem.alone:
        sentence += (
            "; each VJP by itself is right: look for .detach(), .data or no_grad in the function"
        )
    return sentence


def _blame(run: _Run) -> str | None:
    """The diagnosis of the first operation on the tape that is wrong by itself."""
    for _, node in _operations(run):
        checked = [
            i for i, x in enumerate(node.inputs) if isinstance(x, Tensor) and x.requires_grad
        ]
        if not all(
            node.arrays[i].dtype == np.float64 and np.isfinite(node.arrays[i]).all()
            for i in checked
        ):
            continue
        operation = partial(node.operation, **node.params)
        arguments = [np.array(x) if i in checked else x for i, x in enumerate(node.arrays)]
        problem = _Problem(
            operation, arguments, checked, _names(node.operation, len(arguments)), alone=True
        )
        report = _check(problem, True, np.random.default_rng(0), 64)
        if report.verdict == "FAIL":
            return f"{_prefix(run, node)}{report.diagnosis}"
    return None


def _case(problem: _Problem, run: _Run, k: int) -> Case:
    """The numbers of one input."""
    x = problem.arrays[k]
    numeric, slack = np.full(x.shape, np.nan), np.full(x.shape, np.inf)
    for e in run.elements:
        if e.k == k and e.smooth:
            numeric[e.at] = e.slope.value
            slack[e.at] = MARGIN * (e.slope.error + run.jitter[k][e.at])
    return Case(problem.names[k], x, run.analytic[k], numeric, slack, run.g, run.out)


def _jacobian(problem: _Problem, run: _Run, k: int) -> Array | None:
    """The derivative of every output (row) by every smooth element of an input (column)."""
    x = problem.arrays[k]
    if run.out.size * x.size > 100_000:
        return None
    jacobian = np.full((run.out.size, *x.shape), np.nan)
    for e in run.elements:
        if e.k == k and e.smooth:
            outputs = problem.along(k, e.at, run.out)
            up, down = float(x[e.at] + e.slope.step), float(x[e.at] - e.slope.step)
            jacobian[(slice(None), *e.at)] = (outputs(up) - outputs(down)) / (up - down)
    return jacobian.reshape(run.out.size, x.size)


def _uses(run: _Run, k: int) -> tuple[Array, ...]:
    """The parts of the gradient that come through each use of an input inside the operation, if
    there is but one."""
    if len(run.made) != 1:
        return ()
    node = run.made[0]._node
    positions = [i for i, x in enumerate(node.inputs) if x is run.variables[k]]
    if len(positions) != 1:
        return ()
    return through_each_use(
        partial(node.operation.forward, **node.params), node.arrays, positions[0], run.g
    )
