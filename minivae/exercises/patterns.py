"""What kind of mistake a wrong value shows.

Most mistakes show in the numbers and the inputs alone, and ``minivae.gradcheck.hypotheses`` has
what is tried for those, and for gradients. A check knows more: what its author foresaw, the right
function, the terms it sums, and the student's own function, which can be asked again. The table
``HYPOTHESES`` is read from the top: what authors foresaw first, then what needs the fewest
assumptions; the last always has something to say.
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minivae.gradcheck import hypotheses as shared
from minivae.gradcheck.diagnosis import describe_shape
from minivae.gradcheck.hypotheses import Comparison, broadcasts, first, replacements

__all__ = ["Setting", "explain", "explain_shape"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Setting:
    """What is known about a value: its name, what it depends on, and how it is computed.

    ``function`` is the student's, ``reference`` the right one.
    """

    name: str
    inputs: Mapping[str, Any]
    reference: Callable[..., Any] | None = None
    terms: Callable[..., Mapping[str, Any]] | None = None
    suspects: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    position: int | None = None  # of this value, if the function returns several
    function: Callable[..., Any] | None = None

    def compute(self, function: Callable[..., Any] | None, **replaced: Any) -> Array | None:
        """The value that a function gives, with some inputs replaced; None if it gives none."""
        if function is None:
            return None
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                found = function(*map(_copy, {**self.inputs, **replaced}.values()))
            if self.position is not None:
                found = found[self.position]
            return np.asarray(found, dtype=np.float64)
        except Exception:  # not every function is defined for whatever replaces an input
            return None

    @property
    def arrays(self) -> dict[str, Array]:
        """The inputs that are arrays of numbers."""
        return {
            name: np.asarray(x, dtype=np.float64)
            for name, x in self.inputs.items()
            if isinstance(x, np.ndarray | float) and np.asarray(x).dtype.kind in "fiu"
        }

    @property
    def whole(self) -> dict[str, Any]:
        """The inputs that are whole numbers, or arrays of them."""
        return {
            name: x
            for name, x in self.inputs.items()
            if np.asarray(x).dtype.kind in "iu" and not isinstance(x, bool)
        }


def _copy(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else x


@dataclass(frozen=True, kw_only=True)
class Answer(Comparison):
    """A wrong value beside the right one."""

    setting: Setting
    where: Array  # it is wrong

    @property
    def wrong(self) -> Array:
        """Where it is wrong, by the check's own tolerance."""
        return self.where

    def ask(self, **replaced: Any) -> Array | None:
        """What the student's function gives with some inputs replaced."""
        return self.setting.compute(self.setting.function, **replaced)

    def should_be(self, **replaced: Any) -> Array | None:
        """What the right function gives with some inputs replaced."""
        return self.setting.compute(self.setting.reference, **replaced)


def explain(setting: Setting, found: Array, expected: Array, wrong: Array) -> str:
    """Say what kind of mistake a value of the right shape shows."""
    size = np.max(np.abs(expected), where=np.isfinite(expected), initial=0.0)
    answer = Answer(
        found=found, expected=expected, slack=np.full(expected.shape, 1e-9 * size),
        name=setting.name.removeprefix("the "), inputs=setting.arrays,
        counts={n: x for n, x in setting.whole.items() if isinstance(x, int)},
        elsewhere=lambda replaced: setting.compute(setting.function, **replaced),
        setting=setting, where=wrong,
    )  # fmt: skip
    said = first(HYPOTHESES, answer)
    return said or f"{setting.name} {shared.no_pattern(answer)}"


# ---- what was foreseen, and what is not a number ----


def _suspects(a: Answer) -> str | None:
    for sentence, suspect in a.setting.suspects.items():
        if a.given(a.setting.compute(suspect)):
            return sentence
    return None


def _not_finite(a: Answer) -> str | None:
    bad = ~np.isfinite(a.found) & np.isfinite(a.expected)
    if not bad.any():
        return None
    index = tuple(map(int, np.argwhere(bad)[0]))
    value = a.found[index]
    where = f" at index {list(index)}" if index else ""
    return f"{a.setting.name} is {value}{where}: {_why_not_finite(a, bool(np.isnan(value)))}"


def _why_not_finite(a: Answer, nan: bool) -> str:
    for name, x in a.inputs.items():
        if np.any(x < 0) or np.any(np.abs(x) > 80):
            for label, u, comment in itertools.islice(replacements(name, x), 8):
                if a.mended(a.ask(**{name: u})):
                    return f"it would be right with {label} in place of {name}{comment}"
    large = max((float(np.max(np.abs(x), initial=0)) for x in a.inputs.values()), default=0)
    if large > 80:
        return (
            f"the inputs reach {large:g}, where exp overflows or underflows; rewrite the formula "
            "so that no large number is exponentiated"
        )
    for name, x in a.inputs.items():
        if nan and np.any(x < 0) and _is_finite(a.ask(**{name: np.abs(x) + 0.1})):
            already = ", which is a logarithm already" if "log" in name else ""
            return f"the log or the root of {name} is taken where it is negative{already}"
    for name, x in a.inputs.items():
        if np.any(x == 0) and _is_finite(a.ask(**{name: np.where(x == 0, 0.1, x)})):
            return f"it is divided by {name}, or its log is taken, where it is 0"
    if not nan:
        return "the log of 0, or a division by 0"
    return "infinity minus infinity, 0/0, or the log or root of a negative number"


def _is_finite(found: Array | None) -> bool:
    return found is not None and bool(np.isfinite(found).all())


def _not_normalised(a: Answer) -> str | None:
    """Probabilities that do not sum to 1 along the axis along which they should."""
    if np.any(a.expected < 0) or np.isnan(a.found).any():
        return None
    axes = range(a.expected.ndim)
    meant = [i for i in axes if np.allclose(a.expected.sum(axis=i), 1, rtol=1e-9)]
    for axis in meant:
        total = a.found.sum(axis=axis)
        if np.allclose(total, 1, rtol=1e-6):
            continue
        worst = total.flat[np.argmax(np.abs(total - 1))]
        said = f"{a.setting.name} must sum to 1 along axis {axis}, and sums to {worst:.4g}"
        others = [i for i in axes if i != axis and np.allclose(a.found.sum(axis=i), 1, rtol=1e-6)]
        return f"{said}: it is normalised along axis {others[0]}" if others else said
    return None


# ---- a sum's terms ----


def _terms(a: Answer) -> str | None:
    """The answer as a combination of the terms: one or two are missing, or have a usual factor."""
    return _of_terms(a, _usual)


def _terms_that_fit(a: Answer) -> str | None:
    """The same with the factors that fit best, whatever they are."""
    return _of_terms(a, _best)


def _of_terms(a: Answer, candidates: Callable[[Answer, Array], Iterator[Array]]) -> str | None:
    same = a.found.size > 1 and np.ptp(a.found) == 0
    if a.setting.terms is None or same or not np.isfinite(a.found).all():
        return None
    found = a.setting.terms(*a.setting.inputs.values())
    names = list(found)
    shape = a.expected.shape
    columns = np.stack(
        [np.broadcast_to(np.asarray(found[name], np.float64), shape).ravel() for name in names], 1
    )
    for factors in candidates(a, columns):
        if not a.given((columns @ factors).reshape(shape)):
            continue
        said = [
            said
            for name, c in zip(names, factors, strict=True)
            if (said := _term(a, name, float(c)))
        ]
        if said and not np.allclose(factors, factors[0]):  # else it is the whole that has one
            return "; ".join(said)
    return None


def _usual(a: Answer, columns: Array) -> Iterator[Array]:
    """Factors of the terms, one or two of which are not 1."""
    count = columns.shape[1]
    usual = [0.0, -1.0, 2.0, 0.5, -0.5, -2.0]
    for n, _ in a.sizes():
        usual += [float(n), 1 / n, -float(n), -1 / n]
    for number in range(1, min(count, 2) + 1):
        for some in itertools.combinations(range(count), number):
            for values in itertools.product(usual, repeat=number):
                factors = np.ones(count)
                factors[list(some)] = values
                yield factors


def _best(a: Answer, columns: Array) -> Iterator[Array]:
    count = columns.shape[1]
    if np.linalg.matrix_rank(columns) == count < len(columns):
        yield np.round(np.linalg.lstsq(columns, a.found.ravel(), rcond=None)[0], 9)


def _term(a: Answer, name: str, c: float) -> str | None:
    """What is wrong with one term of a sum; None if nothing is."""
    if np.isclose(c, 1):
        return None
    if c == 0:
        return f"the term {name} is missing"
    if np.isclose(c, -1):
        return f"the term {name} has the wrong sign"
    sign = " and has the wrong sign" if c < 0 else ""
    size = abs(c)
    if np.isclose(size, 2):
        return f"the term {name} is counted twice{sign}: a factor 1/2 is missing"
    if np.isclose(size, 0.5):
        return f"the term {name} is halved{sign}: a factor 2 is missing, or a 1/2 is too many"
    for n, what in a.sizes():
        if np.isclose(size, 1 / n):
            return f"the term {name} is N times too small{sign}: a mean for a sum (N = {n}, {what})"
        if np.isclose(size, n):
            return (
                f"the term {name} is N times too large{sign}: summed once too often, or not "
                f"averaged (N = {n}, {what})"
            )
    return f"the term {name} has a factor {size:.4g}{sign}"


# ---- an input that is taken for something else, or not used ----


def _replaced(a: Answer) -> str | None:
    """The right function gives it, with another value of an input."""
    if a.setting.reference is None:
        return None
    for (one, x), (other, y) in itertools.combinations(a.inputs.items(), 2):
        if x.shape == y.shape:
            for name, v in ((one, other), (other, one)):
                if a.given(a.should_be(**{name: a.inputs[v]})):
                    return f"{v} is used where {name} should be"
            if a.given(a.should_be(**{one: y, other: x})):
                return f"{one} and {other} are exchanged"
    for name, x in a.inputs.items():
        if name in a.setting.whole:
            continue
        for label, u, comment in replacements(name, x):
            value = a.should_be(**{name: u}) if np.isfinite(u).all() else None
            if value is None or np.array_equal(u, x):
                continue
            for sign, words in ((1, ""), (-1, ", and the sign of the whole is wrong")):
                if a.given(sign * value):
                    if label in ("0", "1"):
                        verb = f"it comes out as if {name} were {label}"
                        return f"{name} is not used where it should be: {verb}{words}"
                    return f"{label} is used where {name} should be{comment}{words}"
    for name, n in a.setting.whole.items():
        for label, m in ((f"{name} + 1", n + 1), (f"{name} - 1", n - 1)):
            if a.given(a.should_be(**{name: m})):
                return f"{label} is used where {name} should be: off by one"
    return None


def _left_out(a: Answer) -> str | None:
    """The right function gives it, without the first or last index of some axis."""
    for name, x in a.inputs.items():
        for axis, n in enumerate(x.shape):
            if n < 3:
                continue
            for i, which in ((n - 1, "last"), (0, "first")):
                where = f"the {which} index of axis {axis} of {name}"
                if a.given(a.should_be(**_cut(a, n, np.arange(n) != i))):
                    return f"{where} is left out, of {n}"
                if a.given(a.should_be(**_cut(a, n, np.arange(n) == i))):
                    return f"only {where} is used, of {n}"
    return None


def _cut(a: Answer, n: int, kept: Array) -> dict[str, Array]:
    """The inputs with some indices of every axis of length n."""
    return {
        name: y.compress(kept, axis=y.shape.index(n))
        for name, y in a.setting.inputs.items()
        if isinstance(y, np.ndarray) and n in y.shape
    }


def _quantity(a: Answer) -> str | None:
    """The difference is one of the inputs, or something like it."""
    for label, _, v in shared.quantities(a.inputs):
        if not broadcasts(v, a.expected):
            continue
        for c, times in ((1.0, ""), (0.5, "1/2 "), (2.0, "2 ")):
            if a.given(a.expected + c * v):
                return f"{a.setting.name} has a term {times}{label} too many"
            if a.given(a.expected - c * v):
                return f"{a.setting.name} lacks a term {times}{label}"
    return None


Hypothesis = Callable[[Answer], str | None]


def _said(hypothesis: Callable[[Comparison], str | None]) -> Hypothesis:
    """A hypothesis that gradients share, with its subject."""

    def said(a: Answer) -> str | None:
        found = hypothesis(a)
        return f"{a.setting.name} {found}" if found else None

    return said


HYPOTHESES: tuple[Hypothesis, ...] = (
    _suspects,
    _not_finite,
    _said(shared.is_zero),
    _said(shared.almost),
    _said(shared.sign),
    _terms,
    _said(shared.named_constant),
    _terms_that_fit,
    _said(shared.factor_two),
    _said(shared.factor_n),
    _replaced,
    _not_normalised,
    _said(shared.rearranged),
    _said(shared.cut_to_whole_numbers),
    _said(shared.values),
    lambda a: _said(shared.constant_factor)(a) if a.expected.size > 2 else None,
    _said(shared.changed),
    _left_out,
    _said(shared.same_term_everywhere),
    _said(shared.clipped),
    _said(shared.repeated),
    _said(shared.positions),
    _said(shared.mask),
    _said(shared.lacks_factor),
    _quantity,
    _said(shared.factor_of_slices),
    _said(shared.replaced),
    _said(shared.scrambled),
    _said(shared.somewhere),
    lambda a: _said(shared.constant_factor)(a) if a.expected.size > 1 else None,
    _said(shared.straight_line),
)


# ---- shapes ----


def explain_shape(setting: Setting, found: Array, expected: Array) -> str:
    """Say what is wrong with a value's shape, and try what would mend it."""
    name, given, shape = setting.name, found.shape, expected.shape
    wrong = f"{name} has shape {given}, not {shape}"
    with np.errstate(all="ignore"):
        why = next((said for look in SHAPES if (said := look(found, expected))), None)
    if why:
        return f"{wrong}: {why}"
    lengths = {n for x in setting.arrays.values() for n in x.shape}
    if len(given) == len(shape) == 1 and {given[0], shape[0]} <= lengths:
        return f"{wrong}: it is summed over the wrong axis"
    return f"{name} {describe_shape(given, shape, shape).replace(', the input ', ', not ')}"


def _is(value: Array, expected: Array) -> bool:
    return value.shape == expected.shape and bool(
        np.allclose(value, expected, rtol=1e-4, atol=1e-9)
    )


def _transposed(found: Array, expected: Array) -> str | None:
    if found.shape == expected.shape[::-1] and expected.ndim > 1:
        return "it is transposed"
    return None


def _axes_of_length_one(found: Array, expected: Array) -> str | None:
    if found.size != expected.size:
        return None
    return "the same elements, with axes of length 1 too many or too few (keepdims?)"


def _column_met_row(found: Array, expected: Array) -> str | None:
    """(N, 1) and (N,) make (N, N)."""
    n = expected.shape[-1] if expected.ndim else 0
    if found.shape != (*expected.shape, n) or n < 2:
        return None
    differences = np.diff(np.diff(found, axis=-1), axis=-2)
    additive = np.all(np.abs(differences) <= 1e-9 * np.max(np.abs(found)))
    on_diagonal = _is(np.diagonal(found, axis1=-2, axis2=-1), expected)
    if expected.ndim > 1 or not (additive or on_diagonal):
        return None
    return (
        f"a column ({n}, 1) met a row ({n},), and every element of one was combined with every one "
        "of the other; keepdims=True or [:, None] is on one of them alone"
    )


def _diagonal(found: Array, expected: Array) -> str | None:
    """Variances where covariances are meant, and the reverse."""
    square = expected.ndim > 1 and expected.shape[-1] == expected.shape[-2]
    if square and _is(found, np.diagonal(expected, axis1=-2, axis2=-1)):
        return "this is the diagonal alone: the products of different dimensions are missing"
    square = found.ndim > 1 and found.shape[-1] == found.shape[-2]
    if square and _is(np.diagonal(found, axis1=-2, axis2=-1), expected):
        return "the diagonal of this is what is asked for"
    return None


def _not_reduced(found: Array, expected: Array) -> str | None:
    for axes in _axes(found):
        for how, total in (("sum", found.sum(axis=axes)), ("mean", found.mean(axis=axes))):
            if _is(total, expected):
                return f"the {how} over {_which(axes)} is missing"
        if found.ndim - len(axes) == expected.ndim and found.sum(axis=axes).shape == expected.shape:
            return f"a sum or mean over {_which(axes)} is missing"
    return None


def _reduced_too_far(found: Array, expected: Array) -> str | None:
    if found.shape == () and expected.ndim:
        return "it is summed over all axes, or averaged: which should stay?"
    for axes in _axes(expected):
        kept = tuple(1 if i in axes else n for i, n in enumerate(expected.shape))
        if found.shape in (expected.sum(axis=axes).shape, kept):
            return f"it is summed or averaged over {_which(axes)}, which should stay"
    return None


def _axes(a: Array) -> Iterator[tuple[int, ...]]:
    for count in range(1, a.ndim + 1):
        yield from itertools.combinations(range(a.ndim), count)


def _which(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"


SHAPES: tuple[Callable[[Array, Array], str | None], ...] = (
    _transposed,
    _axes_of_length_one,
    _column_met_row,
    _diagonal,
    _not_reduced,
    _reduced_too_far,
)
