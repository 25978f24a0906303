"""What kind of mistake a wrong value shows.

Each hypothesis supposes one mistake, works out what would come of it, and compares that with the
answer. It returns a sentence on what it found, or None. The table ``HYPOTHESES`` is read from the
top: what authors foresaw first, then what needs the fewest assumptions; the last, which gradients
share, always has something to say.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minivae.gradcheck.diagnosis import Case, describe_shape, diagnose

__all__ = ["Setting", "explain", "explain_shape"]

Array = NDArray[Any]
NEAR = 1e-5  # the relative error at which an answer is taken for a wrong value foreseen


@dataclass(frozen=True)
class Setting:
    """What is known about a value: its name, what it depends on, and how it is computed."""

    name: str
    inputs: Mapping[str, Any]
    reference: Callable[..., Any] | None = None
    terms: Callable[..., Mapping[str, Any]] | None = None
    suspects: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    position: int | None = None  # of this value, if the function returns several

    def compute(self, function: Callable[..., Any], **replaced: Any) -> Array | None:
        """The value that a function gives, with some inputs replaced; None if it gives none."""
        try:
            found = function(*{**self.inputs, **replaced}.values())
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


@dataclass(frozen=True)
class Answer:
    """A wrong value beside the right one."""

    setting: Setting
    found: Array
    expected: Array
    wrong: Array  # a mask

    def is_(self, candidate: Any) -> bool:
        """Whether the answer is ``candidate``, and not merely near the right value."""
        if candidate is None or np.shape(candidate) != self.found.shape:
            return False
        error = np.abs(candidate - self.found)
        gap = np.abs(self.expected - self.found)
        size = np.max(np.abs(self.found), where=np.isfinite(self.found), initial=0.0)
        allowed = np.maximum(NEAR * np.abs(self.found), 1e-9 * size)
        allowed = np.where(self.wrong, np.minimum(allowed, 0.1 * gap), allowed)
        same = (error <= allowed) & np.isfinite(self.found)
        same |= np.isnan(candidate) & np.isnan(self.found)
        return bool(np.all(same | (candidate == self.found)))

    def mended(self, candidate: Any) -> bool:
        """Whether ``candidate``, made from the answer, is the right value."""
        if candidate is None or np.shape(candidate) != self.expected.shape:
            return False
        size = np.max(np.abs(self.expected), where=np.isfinite(self.expected), initial=0.0)
        allowed = np.maximum(NEAR * np.abs(self.expected), 1e-9 * size)
        return bool(np.all(np.abs(candidate - self.expected) <= allowed))


def explain(setting: Setting, found: Array, expected: Array, wrong: Array) -> str:
    """Say what kind of mistake a value of the right shape shows."""
    answer = Answer(setting, found, expected, wrong)
    with np.errstate(all="ignore"):
        return next(said for h in HYPOTHESES if (said := h(answer)))


# ---- what was foreseen, and what is no number ----


def _suspects(a: Answer) -> str | None:
    for sentence, suspect in a.setting.suspects.items():
        if a.is_(a.setting.compute(suspect)):
            return sentence
    return None


def _not_finite(a: Answer) -> str | None:
    bad = ~np.isfinite(a.found) & np.isfinite(a.expected)
    if not bad.any():
        return None
    index = tuple(map(int, np.argwhere(bad)[0]))
    value = a.found[index]
    where = f" at index {list(index)}" if index else ""
    large = max((float(np.max(np.abs(x), initial=0)) for x in a.setting.arrays.values()), default=0)
    if large > 80:
        return (
            f"{a.setting.name} is {value}{where}, where the inputs reach {large:g}: exp overflows "
            "or underflows there; rewrite the formula so that no large number is exponentiated"
        )
    why = "infinity minus infinity, 0/0, or the log or root of a negative number"
    if np.isinf(value):
        why = "the log of 0, or a division by 0"
    return f"{a.setting.name} is {value}{where}: {why}"


def _too_rough(a: Answer) -> str | None:
    """Right to some digits: a stray epsilon, a clip, too few digits."""
    error = np.max(np.abs(a.found - a.expected) / (np.abs(a.expected) + 1e-300))
    if not error < 2e-3:
        return None
    return (
        f"{a.setting.name} is almost right, to a relative error of {error:.1e}: a small constant "
        "is added somewhere, values are clipped, or digits are lost by cancellation"
    )


# ---- a simple change of the whole ----


def _zeros(a: Answer) -> str | None:
    if np.any(a.found):
        return None
    return f"{a.setting.name} is zero everywhere"


def _sign(a: Answer) -> str | None:
    return f"{a.setting.name} has the wrong sign" if a.mended(-a.found) else None


def _ratio(a: Answer) -> float | None:
    """The number that would mend the answer, if there is one."""
    use = a.wrong & (a.found != 0)
    if not use.any():
        return None
    r = float(np.median(a.expected[use] / a.found[use]))
    return r if a.mended(r * a.found) else None


def _factor(a: Answer) -> str | None:
    r = _ratio(a)
    if not r:
        return None
    sign = ", and its sign is wrong" if r < 0 else ""
    size, name = abs(r), a.setting.name
    if np.isclose(size, 2, rtol=1e-6):
        why = "a factor 2 is missing, or a 1/2 is too many"
        return f"{name} is half of what it should be{sign}: {why}"
    if np.isclose(size, 0.5, rtol=1e-6):
        why = "a factor 1/2 is missing, or a 2 is too many"
        return f"{name} is twice what it should be{sign}: {why}"
    for n, what in _sizes(a):
        for r, small in ((size, True), (1 / size, False)):
            much = "small" if small else "large"
            why = "a mean, or a division by N, where the equation sums"
            if not small:
                why = "a sum where the equation takes a mean, or divides by N"
            for times, text in ((n, "N"), (2 * n, "2 N"), (n / 2, "N / 2"), (n * n, "N squared")):
                if np.isclose(r, times, rtol=1e-6):
                    return f"{name} is {text} times too {much}{sign}: {why} (N = {n}, {what})"
            if n > 1 and np.isclose(r, n / (n - 1), rtol=1e-6):
                swapped = "N for N - 1" if small else "N - 1 for N"
                return f"{name} is off by a factor of {r:.4g}{sign}: {swapped} (N = {n}, {what})"
            if np.isclose(r, np.sqrt(n), rtol=1e-6):
                return f"{name} is sqrt(N) times too {much}{sign} (N = {n}, {what})"
    return None


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


def _constant_factor(a: Answer) -> str | None:
    r = _ratio(a)
    if not r or a.expected.size < 3:
        return None
    sign = ", and its sign is wrong" if r < 0 else ""
    return f"{a.setting.name} is {_times(abs(r))}{sign}: a constant factor"


def _times(r: float) -> str:
    return f"{r:.4g} times too small" if r > 1 else f"{1 / r:.4g} times too large"


def _sizes(a: Answer) -> Iterator[tuple[int, str]]:
    """The numbers that a sum may be divided by, and what they count."""
    seen = {1, 2}
    for name, x in a.setting.inputs.items():
        if isinstance(x, int) and not isinstance(x, bool) and x not in seen:
            seen.add(x)
            yield x, name
    for count in range(1, 4):
        for name, x in a.setting.arrays.items():
            for axes in itertools.combinations(range(x.ndim), count):
                n = int(np.prod([x.shape[i] for i in axes]))
                if n not in seen:
                    seen.add(n)
                    which = "axis" if count == 1 else "axes"
                    yield n, f"the length of {which} {', '.join(map(str, axes))} of {name}"


CHANGES: Mapping[str, Callable[[Array], Array]] = {
    "the exponential of what it should be: a log is missing": np.exp,
    "the logarithm of what it should be: an exp is missing, or a log too many": np.log,
    "the square of what it should be: sigma squared against sigma, or a root is missing": np.square,
    "the root of what it should be: sigma against sigma squared, or a square is missing": np.sqrt,
    "the reciprocal of what it should be: divided where it should be multiplied": np.reciprocal,
    "1 minus what it should be": lambda x: 1 - x,
    "minus the exponential of what it should be: a log is missing": lambda x: -np.exp(x),
    "the log of one plus what it should be": np.log1p,
}


def _changed(a: Answer) -> str | None:
    for what, change in CHANGES.items():
        for sign, words in ((1, ""), (-1, ", with a wrong sign")):
            if a.is_(change(sign * a.expected)):
                return f"{a.setting.name} is {what}{words}"
    return None


# ---- a sum's terms ----


def _terms(a: Answer) -> str | None:
    """The answer as a combination of the terms: which are missing, or have another factor."""
    if a.setting.terms is None or not np.isfinite(a.found).all():
        return None
    found = a.setting.terms(*a.setting.inputs.values())
    names = list(found)
    shape = a.expected.shape
    columns = np.stack(
        [np.broadcast_to(np.asarray(found[name], np.float64), shape).ravel() for name in names], 1
    )
    for factors in _coefficients(a, columns):
        if not a.is_((columns @ factors).reshape(shape)):
            continue
        said = [
            said
            for name, c in zip(names, factors, strict=True)
            if (said := _term(a, name, float(c)))
        ]
        if said and not np.allclose(factors, factors[0]):  # else it is the whole that has one
            return "; ".join(said)
    return None


def _coefficients(a: Answer, columns: Array) -> Iterator[Array]:
    """Factors of the terms: one or two that are not 1, then whatever fits best."""
    count = columns.shape[1]
    usual = [0.0, -1.0, 2.0, 0.5, -0.5, -2.0]
    for n, _ in _sizes(a):
        usual += [float(n), 1 / n, -float(n), -1 / n]
    for number in range(1, min(count, 2) + 1):
        for some in itertools.combinations(range(count), number):
            for values in itertools.product(usual, repeat=number):
                factors = np.ones(count)
                factors[list(some)] = values
                yield factors
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
    for n, what in _sizes(a):
        if np.isclose(size, 1 / n):
            return f"the term {name} is N times too small{sign}: a mean for a sum (N = {n}, {what})"
        if np.isclose(size, n):
            return (
                f"the term {name} is N times too large{sign}: summed once too often, or not "
                f"averaged (N = {n}, {what})"
            )
    return f"the term {name} has a factor {size:.4g}{sign}"


# ---- an input that is taken for something else ----


SCALES = ("sigma", "scale", "std")


def _replaced(a: Answer) -> str | None:
    reference = a.setting.reference
    if reference is None:
        return None
    arrays = a.setting.arrays
    for (one, x), (other, y) in itertools.combinations(arrays.items(), 2):
        if x.shape == y.shape:
            if a.is_(a.setting.compute(reference, **{one: y, other: x})):
                return f"{one} and {other} are exchanged"
            for name, v in ((one, other), (other, one)):
                if a.is_(a.setting.compute(reference, **{name: arrays[v]})):
                    return f"{v} is used where {name} should be"
    for name, x in arrays.items():
        for sign, words in ((1, ""), (-1, ", and the sign of the whole is wrong")):
            for label, u, comment in _replacements(name, x):
                if not np.isfinite(u).all() or np.array_equal(u, x):
                    continue
                value = a.setting.compute(reference, **{name: u})
                if value is not None and a.is_(sign * value):
                    if label in ("0", "1"):
                        verb = f"it comes out as if {name} were {label}"
                        return f"{name} is not used where it should be: {verb}{words}"
                    return f"{label} is used where {name} should be{comment}{words}"
    return None


def _replacements(name: str, x: Array) -> Iterator[tuple[str, Array, str]]:
    """What an input may be taken for: how it is written, its value, and a comment."""
    mixed = ": sigma against sigma squared"
    if "log_var" in name or "logvar" in name:
        yield f"2 {name}", 2 * x, f"{mixed}: the scale is exp({name} / 2), the variance exp({name})"
        yield (
            f"{name} / 2",
            x / 2,
            f"{mixed}: the variance is exp({name}), the scale exp({name} / 2)",
        )
        yield f"-{name}", -x, ": multiplied where it should be divided, or a sign in an exponent"
        yield f"exp({name})", np.exp(x), ": it is a log-variance already"
        yield f"log({name})", np.log(x), ": it is a log-variance already"
    scale = mixed if any(word in name for word in (*SCALES, "var")) else ""
    yield f"{name}**2", x * x, scale
    yield f"sqrt({name})", np.sqrt(x), scale
    yield f"-{name}", -x, ": its sign is wrong"
    yield f"1 / {name}", 1 / x, ": multiplied where it should be divided, or the reverse"
    yield f"exp({name})", np.exp(x), scale
    yield f"exp({name} / 2)", np.exp(x / 2), scale
    yield f"log({name})", np.log(x), ""
    yield f"1 - {name}", 1 - x, ""
    yield f"sigmoid({name})", 1 / (1 + np.exp(-x)), ""
    yield f"2 {name}", 2 * x, ": a factor 2 too many, or a 1/2 missing"
    yield f"{name} / 2", x / 2, ": a factor 1/2 too many, or a 2 missing"
    yield f"|{name}|", np.abs(x), ": a sign is lost"
    if x.ndim > 1:
        yield f"{name} transposed", x.T, ""
        yield f"{name} reshaped as its transpose", x.reshape(x.shape[::-1]).T, ""
    yield "0", np.zeros_like(x), ""
    yield "1", np.ones_like(x), ""


# ---- a term or a factor that is missing ----


def _constant(a: Answer) -> str | None:
    difference = a.found - a.expected
    if a.found.size < 3 or not np.isfinite(difference).all():
        return None
    c = float(np.median(difference))
    if not a.is_(a.expected + c):
        return None
    verb = "too large" if c > 0 else "too small"
    return (
        f"{a.setting.name} is {verb} by the same number, {abs(c):.6g}, everywhere"
        f"{_name_of(abs(c), a)}: an additive constant is missing, or one too many"
    )


def _name_of(c: float, a: Answer) -> str:
    """How a constant is written, in brackets."""
    known = {
        "log(2 pi)": np.log(2 * np.pi),
        "log 2": np.log(2),
        "log pi": np.log(np.pi),
        "1": 1.0,
    }
    sizes = [(1, ""), *((n, f"{n} ") for n, _ in _sizes(a))]
    for word, value in known.items():
        for n, times in sizes:
            for half, text in ((1.0, ""), (0.5, "1/2 ")):
                if np.isclose(c, n * half * value, rtol=1e-6):
                    return f" ({text}{times}{word})"
    for n, _ in sizes[1:]:
        if np.isclose(c, np.log(n), rtol=1e-6):
            return f" (log {n}: of N, an average in log space)"
    return ""


def _quantity(a: Answer) -> str | None:
    """The difference or the ratio is one of the inputs, or something like it."""
    shape = a.expected.shape
    for name, x in a.setting.arrays.items():
        log_var = "log_var" in name
        mixed = ": sigma against sigma squared"
        for label, v, comment in (
            (name, x, mixed if any(word in name for word in SCALES) else ""),
            (f"exp({name} / 2)", np.exp(x / 2), mixed if log_var else ""),
            (f"exp({name})", np.exp(x), ""),
            (f"{name}**2", x * x, ""),
        ):
            try:
                v = np.broadcast_to(v, shape)
            except ValueError:
                continue
            for c, times in ((1.0, ""), (-1.0, "-"), (0.5, "1/2 "), (-0.5, "-1/2 "), (2.0, "2 ")):
                if a.is_(a.expected * c * v):
                    return f"{a.setting.name} has a factor {times}{label} too many{comment}"
                if a.is_(a.expected / (c * v)):
                    return f"{a.setting.name} lacks a factor {times}{label}{comment}"
            for c, times in ((1.0, ""), (0.5, "1/2 "), (2.0, "2 ")):
                if a.is_(a.expected + c * v):
                    return f"{a.setting.name} has a term {times}{label} too many"
                if a.is_(a.expected - c * v):
                    return f"{a.setting.name} lacks a term {times}{label}"
    return None


def _factor_of_slices(a: Answer) -> str | None:
    """Each index of one axis has a factor of its own."""
    for axis, n in enumerate(a.expected.shape):
        if n < 3 or a.expected.size < 3 * n:
            continue
        rest = tuple(i for i in range(a.expected.ndim) if i != axis)
        r = np.nanmedian(a.expected / a.found, axis=rest, keepdims=True)
        if a.mended(r * a.found):
            listed = ", ".join(f"{1 / c:.4g}" for c in r.ravel()[:3])
            return (
                f"{a.setting.name} is off by a factor of its own for each index of axis {axis} "
                f"({listed}, ...): a wrong weight or divisor there"
            )
    return None


def _like_a_gradient(a: Answer) -> str:
    """Whatever the diagnosis of gradients says of numbers and places."""
    if a.expected.size == 1:
        off = float((a.found - a.expected).item())
        size = f"{abs(off):.6g} too {'large' if off > 0 else 'small'}"
        return f"{a.setting.name} is {size}: no single term, and no simple factor of the whole"
    others = tuple(
        Case(name, x, np.full(x.shape, np.nan), np.full(x.shape, np.nan), np.zeros(x.shape),
             np.full(x.shape, np.nan), np.full(x.shape, np.nan))
        for name, x in a.setting.arrays.items()
    )  # fmt: skip
    nothing = np.full(a.expected.shape, np.nan)
    slack = np.full(a.expected.shape, 1e-12 * np.max(np.abs(a.expected), initial=0.0))
    expected = a.expected
    case = Case(
        a.setting.name.removeprefix("the "), nothing, a.found, expected, slack, nothing,
        nothing, others=others,
    )  # fmt: skip
    said = diagnose(case).replace("analytic / numeric", "yours / expected")
    return f"{a.setting.name} {said}"


Hypothesis = Callable[[Answer], str | None]
HYPOTHESES: tuple[Hypothesis, ...] = (
    _suspects,
    _not_finite,
    _zeros,
    _too_rough,
    _sign,
    _terms,
    _factor,
    _replaced,
    _not_normalised,
    _constant_factor,
    _changed,
    _constant,
    _quantity,
    _factor_of_slices,
    _like_a_gradient,
)


# ---- shapes ----


def explain_shape(setting: Setting, found: Array, expected: Array) -> str:
    """Say what is wrong with a value's shape, and try what would mend it."""
    name, given, shape = setting.name, found.shape, expected.shape
    wrong = f"{name} has shape {given}, not {shape}"

    def right(value: Array) -> bool:
        return value.shape == shape and bool(np.allclose(value, expected, rtol=1e-4, atol=1e-9))

    with np.errstate(all="ignore"):
        if given == shape[::-1] and len(shape) > 1:
            return f"{wrong}: it is transposed"
        if found.size == expected.size:
            return (
                f"{wrong}: the same elements, with axes of length 1 too many or too few (keepdims?)"
            )
        for count in range(1, found.ndim + 1):
            for axes in itertools.combinations(range(found.ndim), count):
                which = f"axis {axes[0]}" if count == 1 else f"axes {', '.join(map(str, axes))}"
                for how, total in (("sum", found.sum(axis=axes)), ("mean", found.mean(axis=axes))):
                    if right(total):
                        return f"{wrong}: the {how} over {which} is missing"
                if found.ndim - count == len(shape) and found.sum(axis=axes).shape == shape:
                    return f"{wrong}: a sum or mean over {which} is missing"
        for count in range(1, expected.ndim + 1):
            for axes in itertools.combinations(range(expected.ndim), count):
                which = f"axis {axes[0]}" if count == 1 else f"axes {', '.join(map(str, axes))}"
                if expected.sum(axis=axes).shape == given or given == tuple(
                    1 if i in axes else n for i, n in enumerate(shape)
                ):
                    return f"{wrong}: it is summed or averaged over {which}, which should stay"
    lengths = {n: i for x in setting.arrays.values() for i, n in enumerate(x.shape)}
    if len(given) == len(shape) == 1 and given[0] in lengths and shape[0] in lengths:
        return f"{wrong}: it is summed over the wrong axis"
    if given == ():
        return f"{wrong}: it is summed over all axes"
    return f"{name} {describe_shape(given, shape, shape).replace(', the input ', ', not ')}"
