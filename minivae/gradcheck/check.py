"""The check itself: rules first, then numbers, then the judgement."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.errors import GradientError
from minivae.gradcheck.diagnosis import Case, diagnose
from minivae.gradcheck.differences import Slope, slope
from minivae.gradcheck.problem import Problem, as_float64, name_of, names_of
from minivae.gradcheck.report import GradcheckReport, Row, element
from minivae.gradcheck.rules import BrokenRule, check_rules, cotangent
from minivae.gradcheck.uses import through_each_use
from minivae.tensor import Node, Tensor
from minivae.transforms import vjp

__all__ = ["assert_gradcheck", "gradcheck"]

Array = NDArray[Any]

TOLERANCE = 1e-6  # the relative error that certifies an element
MARGIN = 8.0  # how many times its error a numeric derivative may be off
ENOUGH = 8  # wrong elements of one input, after which a few steps are trusted for the others
MANY = 200  # operations on the tape that are checked one by one when the whole is wrong
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
        vanish is INCONCLUSIVE, because a VJP that returns zeros would pass it.
    seed
        Of the random cotangent and of the choice of elements.
    max_elements
        How many elements of each input are compared. A larger input is cut into this many
        stretches, and one element of each is drawn at random.

    Returns
    -------
    GradcheckReport
        PASS if every element agrees to a relative error of 1e-6, or to what rounding allows. FAIL
        if one does not, or if a VJP breaks a rule: it raises, returns a wrong count, shape or
        dtype, writes into its arguments, hands out the same array twice, is not linear in the
        cotangent, or gives another result when called again. INCONCLUSIVE if nothing can be said of
        some input: all its elements are at kinks, the function is too rough, both gradients vanish,
        or differences contradict VJPs that are all right by themselves. Single elements at kinks
        are left out.

    Raises
    ------
    ValueError
        If there is nothing to differentiate, or an input is not finite.
    GradientError
        If ``f`` does not return one floating-point array.
    """
    if not inputs:
        raise ValueError("gradcheck: give the inputs at which to check, as in gradcheck(f, x, y)")
    arguments = [as_float64(x) for x in inputs]
    checked = [
        i for i, x in enumerate(arguments) if isinstance(x, np.ndarray) and x.dtype == np.float64
    ]
    if not checked:
        raise ValueError(
            "gradcheck: no input is floating-point, so there is nothing to differentiate; "
            "convert one with dtype=float"
        )
    problem = Problem(f, arguments, checked, names_of(f, len(inputs)))
    for k, x in enumerate(problem.arrays):
        if not np.isfinite(x).all():
            raise ValueError(
                f"gradcheck: input {problem.names[k]} has NaN or infinities; check at finite values"
            )
    return _check(problem, expect_zero, np.random.default_rng(seed), max_elements)


def assert_gradcheck(f: Callable[..., Any], *inputs: Any, **options: Any) -> None:
    """Raise AssertionError with the report, unless :func:`gradcheck` passes.

    It takes the same arguments.
    """
    report = gradcheck(f, *inputs, **options)
    if not report:
        raise AssertionError(f"\n{report}") from report.error


@np.errstate(all="ignore")  # what overflows shows in the numbers
def _check(
    problem: Problem, expect_zero: bool, random: np.random.Generator, most: int
) -> GradcheckReport:
    try:
        run = _record(problem, random)
        hint = _check_tape(problem, run, random)
        _differentiate(problem, run, random)
    except BrokenRule as broken:
        return GradcheckReport("FAIL", str(broken), function=problem.label, error=broken.__cause__)
    if not np.isfinite(run.out).all():
        where = element("out", tuple(map(int, np.argwhere(~np.isfinite(run.out))[0])))
        sentence = f"the function's value is not finite, at {where}: check at other values"
        return GradcheckReport("INCONCLUSIVE", sentence, function=problem.label)
    for k, x in enumerate(problem.arrays):
        chosen = _sample(x.size, most, random)
        for i in chosen:
            thorough = sum(e.wrong for e in run.elements if e.k == k) < ENOUGH
            run.elements.append(_compare(problem, run, k, int(i), thorough))
        rest = np.setdiff1d(np.arange(x.size), chosen)
        run.elements += _find_wrong(problem, run, k, rest, random)
    return _judge(problem, run, hint, expect_zero, random)


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
    def relative_error(self) -> float:
        error = self.difference / self.size if self.size else 0.0
        return error if np.isfinite(error) else np.inf

    @property
    def wrong(self) -> bool:
        return self.smooth and not (
            np.isfinite(self.analytic) and self.difference <= self.tolerance
        )

    @property
    def proves(self) -> bool:
        """Whether a wrong value would have been seen."""
        return self.smooth and self.tolerance < PROOF * self.size


def _record(problem: Problem, random: np.random.Generator) -> _Run:
    """Run the function on the tape, and see that it is a function."""
    seen: list[Any] = []

    def recorded(*variables: Tensor) -> Any:
        seen[:] = [problem(*variables), variables]
        return seen[0]

    before = [np.copy(x) for x in problem.arguments if isinstance(x, np.ndarray)]
    value, pull_back = vjp(recorded, *problem.arrays)
    out = np.array(value)
    name = name_of(problem.function)
    if out.dtype.kind != "f":
        raise GradientError(
            f"gradcheck: {name} returned {out.dtype}, which has no gradient; return floating point"
        )
    if out.dtype != np.float64:
        raise BrokenRule(
            f"the function returns {out.dtype} for float64 inputs, too few digits to be "
            "differenced: compute in the dtype of the inputs"
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
    """The operations on the tape, oldest first, each with a tensor it made.

    An operation that met several choices of shapes is there once for each.
    """
    found = {
        (id(t._node.operation), *(np.shape(x) for x in t._node.arrays)): (t, t._node)
        for t in run.made
        if t.dtype == np.float64
    }
    return list(found.values())[::-1]


def _prefix(run: _Run, node: Node) -> str:
    several = len({id(t._node.operation) for t in run.made}) > 1
    return f"in {name_of(node.operation)}: " if several else ""


def _check_tape(problem: Problem, run: _Run, random: np.random.Generator) -> str | None:
    """See that every VJP on the tape keeps to the rules."""
    hints = []
    for t, node in _operations(run):
        names = names_of(node.operation, len(node.inputs))
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


def _differentiate(problem: Problem, run: _Run, random: np.random.Generator) -> None:
    """The analytic gradient, and how far it moves when the inputs do by a rounding error."""
    try:
        run.analytic = [np.asarray(c, np.float64) for c in run.pull_back(run.g)]
    except Exception as error:  # of a VJP that keeps the rules when called by hand
        raise BrokenRule(f"the walk raises {type(error).__name__}: {error}") from error
    run.jitter = [np.zeros(x.shape) for x in problem.arrays]
    for _ in range(4):
        moved = [x * (1 + 4e-16 * random.choice([-1.0, 1.0], x.shape)) for x in problem.arrays]
        try:
            nearby = vjp(problem, *moved)[1](run.g)
        except Exception:  # an input may lie at the edge of the domain
            continue
        for jitter, near, here in zip(run.jitter, nearby, run.analytic, strict=True):
            with np.errstate(all="ignore"):
                change = np.abs(near - here)
                # A larger change is not rounding: the VJP jumps, and a jump excuses nothing.
                rounding = np.maximum(1e-2 * np.abs(here), 1e-13 * np.max(np.abs(here), initial=0))
                change = np.where(change <= rounding, change, 0.0)
            np.maximum(jitter, change, out=jitter)


# ---- the judgement ----


def _compare(problem: Problem, run: _Run, k: int, i: int, thorough: bool = True) -> _Element:
    """Hold one element, counted through the flattened input, against differences."""
    at = tuple(int(n) for n in np.unravel_index(i, problem.arrays[k].shape))
    x, analytic = float(problem.arrays[k][at]), float(run.analytic[k][at])
    found = slope(problem.along(float, k, i, run.out), x, run.g.ravel(), analytic, thorough)
    slack = MARGIN * (found.error + float(run.jitter[k][at]))
    return _Element(k, at, found, analytic, _tolerance(analytic, found.value, slack))


def _tolerance(analytic: float, numeric: float, slack: float) -> float:
    """How far the two may lie apart, Eq. CHECK.6."""
    return max(TOLERANCE * max(abs(analytic), abs(numeric)), slack)


def _find_wrong(
    problem: Problem, run: _Run, k: int, some: Array, random: np.random.Generator
) -> list[_Element]:
    """A wrong element among those not compared one by one: move them together, then halve."""
    if len(some) == 1:
        return [e for e in [_compare(problem, run, k, int(some[0]))] if e.wrong]
    x, analytic = problem.arrays[k].flat[some], run.analytic[k].flat[some]
    # Steps in proportion to an element keep its sign, and with it the side of a kink at 0.
    direction = random.uniform(0.5, 1.0, len(some)) * random.choice([-1.0, 1.0], len(some))
    direction *= np.where(x == 0, 1.0, np.abs(x))
    with np.errstate(all="ignore"):
        claim = float(analytic @ direction)
    outputs = problem.along(lambda t: x + t * direction, k, some, run.out)
    found = slope(outputs, 0.0, run.g.ravel(), claim)
    moves = run.jitter[k].flat[some] + 1e-15 * np.abs(analytic)
    slack = MARGIN * (found.error + float(moves @ np.abs(direction)))
    near = abs(claim - found.value) <= _tolerance(claim, found.value, slack)
    if len(some) == 0 or found.kind != "smooth" or (near and np.isfinite(claim)):
        return []
    half = len(some) // 2
    first = _find_wrong(problem, run, k, some[:half], random)
    return first or _find_wrong(problem, run, k, some[half:], random)


def _judge(
    problem: Problem, run: _Run, hint: str | None, expect_zero: bool, random: np.random.Generator
) -> GradcheckReport:
    """A wrong value comes before nothing to say, and that before agreement."""
    smooth = [e for e in run.elements if e.smooth]
    smooth.sort(key=lambda e: (e.wrong, e.proves, e.relative_error), reverse=True)
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
        sampled=len(run.elements) < sum(x.size for x in problem.arrays),
        kinks=[(problem.names[e.k], e.at) for e in run.elements if e.slope.kind == "kink"],
    )
    if hint:
        return report("FAIL", hint)
    if wrong:
        blamed, cleared = _blame(problem, run)
        if cleared and _on_tape(problem, run, random):
            return report(
                "INCONCLUSIVE",
                "each VJP by itself is right and nothing leaves the tape, so the gradient follows "
                "by the chain rule; yet differences disagree, at a kink or rounding too near",
            )
        return report("FAIL", blamed or _explain(problem, run, wrong, cleared))
    if unsaid:
        return report("INCONCLUSIVE", _why_unsaid(problem, run, unsaid[0]))
    if not proven and not expect_zero:
        return report(
            "INCONCLUSIVE",
            "both gradients vanish everywhere, so that a VJP that returns zeros would pass: check "
            "at other values, or say expect_zero=True if this is meant",
        )
    return report("PASS", None)


def _row(problem: Problem, e: _Element) -> Row:
    with np.errstate(all="ignore"):
        ratio = float(np.divide(e.analytic, e.slope.value))
    number, name = problem.checked[e.k], problem.names[e.k]
    return Row(number, name, e.at, e.analytic, e.slope.value, ratio, e.relative_error)


def _why_unsaid(problem: Problem, run: _Run, k: int) -> str:
    name = problem.names[k]
    kinds = {e.slope.kind for e in run.elements if e.k == k}
    if "rough" in kinds:
        return f"the function is too rough in {name}: its difference quotients agree at no step"
    where = "at a kink, or its gradient vanishes" if "smooth" in kinds else "at a kink"
    return f"every element of {name} is {where}: check at other values"


# ---- what is wrong ----


def _explain(problem: Problem, run: _Run, wrong: Sequence[_Element], cleared: bool) -> str:
    """One sentence on the first input that is wrong, and a word on the others."""
    for e in wrong:
        if not np.isfinite(e.analytic):
            where = element(problem.names[e.k], e.at)
            return f"the gradient is {e.analytic} at {where}, where the function is smooth"
    bad = sorted({e.k for e in wrong})
    k, *more = bad
    others = tuple(_case(problem, run, i) for i in range(len(problem.names)) if i != k)
    case = replace(
        _case(problem, run, k),
        jacobian=_jacobian(problem, run, k),
        uses=_uses(run, k),
        others=others,
        elsewhere=partial(_elsewhere, problem, run, k),
    )
    sentence = f"the gradient of {case.name} {diagnose(case)}"
    right = [name for k, name in enumerate(problem.names) if k not in bad]
    rest = [f"{', '.join(problem.names[i] for i in more)}: wrong too"] if more else []
    rest += [f"{', '.join(right)}: right"] if right else []
    if rest:
        sentence += f" ({'; '.join(rest)})"
    if cleared or not run.made:
        why = "each VJP by itself is right" if run.made else "the result is not on the tape"
        sentence += f"; {why}: look for .detach(), .data or no_grad in the function"
    return sentence


def _blame(problem: Problem, run: _Run) -> tuple[str | None, bool]:
    """The diagnosis of the first operation that is wrong by itself, and whether none can be."""
    if problem.alone or (len(run.made) == 1 and _is_whole(run, run.made[0]._node)):
        return None, False
    cleared = 0 < len(run.made) <= MANY
    for t in run.made[: -MANY - 1 : -1]:
        node = t._node
        wanted = [isinstance(x, Tensor) and x.requires_grad for x in node.inputs]
        checked = [i for i, want in enumerate(wanted) if want]
        arrays = [node.arrays[i] for i in checked]
        if not all(x.dtype == np.float64 and np.isfinite(x).all() for x in arrays):
            cleared = False
            continue
        function = partial(node.operation, **node.params)
        arguments = [np.array(x) if i in checked else x for i, x in enumerate(node.arrays)]
        names = names_of(node.operation, len(arguments))
        single = Problem(function, arguments, checked, names, alone=True)
        report = _check(single, True, np.random.default_rng(0), 64)
        if report.verdict == "FAIL":
            return f"{_prefix(run, node)}{report.diagnosis}", False
    return None, cleared


def _on_tape(problem: Problem, run: _Run, random: np.random.Generator) -> bool:
    """Whether the tape is the whole function: replayed at other inputs, it gives its value."""
    moved = [x * (1 + 1e-3 * random.uniform(0.5, 1.0, x.shape)) for x in problem.arrays]
    values = {id(v): Tensor(x) for v, x in zip(run.variables, moved, strict=True)}
    try:
        for t in reversed(run.made):
            inputs = (values.get(id(x), x) for x in t._node.inputs)
            values[id(t)] = t._node.operation(*inputs, **t._node.params)
        replayed, value = values[id(run.made[0])].data, problem.value(*moved)
    except Exception:  # it is not defined there
        return False
    return replayed.shape == value.shape and np.allclose(
        replayed, value, rtol=1e-13, atol=0, equal_nan=True
    )


def _case(problem: Problem, run: _Run, k: int) -> Case:
    """The numbers of one input."""
    x = problem.arrays[k]
    numeric, slack = np.full(x.shape, np.nan), np.full(x.shape, np.inf)
    for e in run.elements:
        if e.k == k and e.smooth:
            numeric[e.at] = e.slope.value
            slack[e.at] = MARGIN * (e.slope.error + run.jitter[k][e.at])
    return Case(
        found=run.analytic[k], expected=numeric, slack=slack, name=problem.names[k],
        inputs=dict([(problem.names[k], x), *zip(problem.names, problem.arrays, strict=True)]),
        x=x, g=run.g, out=run.out,
    )  # fmt: skip


def _jacobian(problem: Problem, run: _Run, k: int) -> Array | None:
    """The derivative of every output (row) by every smooth element of an input (column)."""
    x = problem.arrays[k]
    if run.out.size * x.size > 100_000:
        return None
    jacobian = np.full((run.out.size, *x.shape), np.nan)
    for e in run.elements:
        if e.k == k and e.smooth:
            i, h = int(np.ravel_multi_index(e.at, x.shape)), e.slope.step
            outputs = problem.along(float, k, i, run.out)
            up, down = float(x[e.at] + h), float(x[e.at] - h)
            jacobian[(slice(None), *e.at)] = (outputs(up) - outputs(down)) / (up - down)
    return jacobian.reshape(run.out.size, x.size)


def _elsewhere(problem: Problem, run: _Run, k: int, replaced: Mapping[str, Array]) -> Array:
    """The analytic gradient by one input where some inputs have other values."""
    arrays = [replaced.get(name, x) for name, x in zip(problem.names, problem.arrays, strict=True)]
    try:
        value, pull_back = vjp(problem, *arrays)
        return np.asarray(pull_back(run.g)[k] if np.shape(value) == run.out.shape else np.nan)
    except Exception:  # not every function is defined there
        return np.asarray(np.nan)


def _uses(run: _Run, k: int) -> tuple[Array, ...]:
    """The parts of the gradient through each use of an input, in a function of one operation."""
    if len(run.made) != 1:
        return ()
    node = run.made[0]._node
    positions = [i for i, x in enumerate(node.inputs) if x is run.variables[k]]
    if len(positions) != 1:
        return ()
    return through_each_use(
        partial(node.operation.forward, **node.params), node.arrays, positions[0], run.g
    )
