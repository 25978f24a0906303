"""What kind of mistake wrong numbers show, whether they are a gradient or a value.

A wrong answer is seldom wrong at random: its sign is wrong, or a factor N, or it is right wherever
x > 0. Each hypothesis supposes one such mistake, works out what it would look like, and compares
that with the numbers of a :class:`Comparison`. It returns what it found as the rest of a sentence
that begins "the gradient of x ..." or "the result ...", or None.

The hypotheses here need the two sets of numbers and the inputs they depend on. ``diagnosis`` puts
them in order for gradients, and adds those that need a Jacobian; the exercises put them in order
for the values of functions. :func:`first` reads such a table from the top.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SCALES",
    "Comparison",
    "almost",
    "arrangements",
    "broadcasts",
    "changed",
    "clipped",
    "constant_factor",
    "cut_to_whole_numbers",
    "factor_n",
    "factor_of_slices",
    "factor_two",
    "first",
    "is_zero",
    "lacks_factor",
    "mask",
    "named_constant",
    "no_pattern",
    "positions",
    "quantities",
    "rearranged",
    "repeated",
    "replaced",
    "replacements",
    "same_term_everywhere",
    "scrambled",
    "sign",
    "somewhere",
    "straight_line",
    "values",
]

Array = NDArray[Any]
SCALES = ("sigma", "scale", "std", "var")
MIXED = ": sigma against sigma squared"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Numbers as found and as they should be, and what they depend on.

    Parameters
    ----------
    found, expected
        The numbers, of one shape.
    slack
        How far the two may lie apart from rounding alone; infinite where nothing is known.
    name
        What the numbers are called, or the input that they are the gradient by.
    inputs
        The arrays that they depend on, by name.
    counts
        Whole numbers among the inputs, by name.
    elsewhere
        What is found with an input, by name, replaced; None if that cannot be.
    """

    found: Array
    expected: Array
    slack: Array
    name: str = ""
    inputs: Mapping[str, Array] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    elsewhere: Callable[[Mapping[str, Array]], Array | None] | None = None

    NEAR: ClassVar[float] = 1e-5  # at which relative error numbers are taken for foreseen ones
    FLOOR: ClassVar[float] = 1e-9  # the same, relative to the largest
    RATIO: ClassVar[str] = "yours / expected"

    @property
    def simple(self) -> Sequence[Callable[[Any], str | None]]:
        """What is tried where numbers are wrong in some places only."""
        return is_zero, sign, factor_two, factor_n, lacks_factor, constant_factor

    @cached_property
    def known(self) -> Array:
        """Where the right numbers can be trusted."""
        known: Array = np.isfinite(self.slack + self.expected)
        return known

    @cached_property
    def wrong(self) -> Array:
        """Where the two differ by more than rounding."""
        size = np.maximum(np.abs(self.found), np.abs(self.expected))
        near = np.abs(self.found - self.expected) <= np.maximum(1e-6 * size, self.slack)
        wrong: Array = self.known & ~near  # a NaN is not near
        return wrong

    def mended(self, candidate: Any) -> bool:
        """Whether ``candidate``, made from what was found, is right at all that is known."""
        if candidate is None or (np.ndim(candidate) and np.shape(candidate) != self.expected.shape):
            return False
        error = np.abs(candidate - self.expected)
        return bool(np.all((error <= 1e-5 * np.abs(self.expected) + self.slack)[self.known]))

    def given(self, candidate: Any) -> bool:
        """Whether ``candidate``, made from what is right, is what was found."""
        if candidate is None or (np.ndim(candidate) and np.shape(candidate) != self.found.shape):
            return False
        size = np.max(np.abs(self.found), where=self.known & np.isfinite(self.found), initial=0.0)
        near = self.NEAR * np.abs(self.found) + self.FLOOR * size
        # It must be the wrong numbers, not merely close to the right ones.
        gap = 0.1 * np.abs(self.found - self.expected)
        near = np.where(self.wrong, np.fmin(near, gap), near)
        same = (np.abs(candidate - self.found) <= near) & np.isfinite(self.found)
        same |= (candidate == self.found) | (np.isnan(candidate) & np.isnan(self.found))
        return bool(np.all(same[self.known]))

    @cached_property
    def ratio(self) -> float | None:
        """The number that would mend what was found, if there is one."""
        use = self.wrong & (self.found != 0)
        if not use.any():
            return None
        r = float(np.median(self.expected[use] / self.found[use]))
        return r if self.mended(r * self.found) else None

    def sizes(self) -> Iterator[tuple[int, str]]:
        """The numbers that a sum may be divided by, and what they count."""
        seen = {1, 2}  # 2 has a hypothesis of its own
        for name, n in self.counts.items():
            if n not in seen:
                seen.add(n)
                yield n, name
        for count in range(1, 4):
            for name, x in self.arrays():
                for axes in itertools.combinations(range(x.ndim), count):
                    n = int(np.prod([x.shape[i] for i in axes]))
                    if n not in seen:
                        seen.add(n)
                        which = "axis" if count == 1 else "axes"
                        yield n, f"the length of {which} {', '.join(map(str, axes))} of {name}"

    def arrays(self) -> Iterable[tuple[str, Array]]:
        """The arrays whose axes a factor may be the length of."""
        return self.inputs.items()


Some = TypeVar("Some", bound=Comparison)


def first(table: Iterable[Callable[[Some], str | None]], c: Some) -> str | None:
    """What the first hypothesis of a table finds that finds anything."""
    with np.errstate(all="ignore"):
        return next((found for hypothesis in table if (found := hypothesis(c))), None)


# ---- nothing, the wrong sign, a constant factor ----


def is_zero(c: Comparison) -> str | None:
    """Nothing comes through."""
    if np.any(c.found[c.known]):
        return None
    return "is zero everywhere: nothing is computed, or it is lost on the way"


def sign(c: Comparison) -> str | None:
    """Minus what it should be."""
    return "has the wrong sign" if c.mended(-c.found) else None


def factor_two(c: Comparison) -> str | None:
    """Half, or twice."""
    r = c.ratio
    if not r or not np.isclose(abs(np.log2(abs(r))), 1.0, rtol=1e-5):
        return None
    wrong = "and its sign is wrong, " if r < 0 else ""
    if abs(r) > 1:
        why = "a factor 2 is missing, or one of two uses is not counted"
        return f"is half of what it should be: {wrong}{why}"
    why = "a factor 1/2 is missing, or a use is counted twice"
    return f"is twice what it should be: {wrong}{why}"


def factor_n(c: Comparison) -> str | None:
    """A sum for a mean, or a mean for a sum."""
    if not c.ratio:
        return None
    wrong = " and its sign is wrong" if c.ratio < 0 else ""
    for n, what in c.sizes():
        for r, small in ((abs(c.ratio), True), (1 / abs(c.ratio), False)):
            much, where = "small" if small else "large", f"N = {n}, {what}"
            for times, text in ((n, "N"), (2 * n, "2 N"), (n / 2, "N / 2"), (n * n, "N squared")):
                if times > 2 and np.isclose(r, times, rtol=1e-5):
                    why = (
                        "a mean, or a division by N, where the equation sums"
                        if small
                        else "a sum where the equation takes a mean, or divides by N"
                    )
                    return f"is {text} times too {much}{wrong}: {why} ({where})"
            if n > 1 and np.isclose(r, n / (n - 1), rtol=1e-6):
                counts = ("N", "N - 1") if small else ("N - 1", "N")
                swapped = f"it has {counts[0]} for {counts[1]}"
                return f"is off by a factor of {r:.6g}{wrong}: {swapped} ({where})"
            if np.isclose(r, np.sqrt(n), rtol=1e-6):
                return f"is sqrt(N) times too {much}{wrong} ({where})"
    return None


FACTORS = {
    float(np.log(2)): "a factor log 2, a logarithm to the base 2 or bits for nats",
    float(np.log(10)): "a factor log 10, a logarithm to the base 10",
    float(np.pi): "a factor pi",
    float(2 * np.pi): "a factor 2 pi",
    float(np.sqrt(2 * np.pi)): "a factor sqrt(2 pi)",
    float(np.sqrt(2)): "a factor sqrt(2)",
}


def constant_factor(c: Comparison) -> str | None:
    """Any other number."""
    r = c.ratio
    if not r:
        return None
    wrong = " and its sign is wrong" if r < 0 else ""
    for value, what in FACTORS.items():
        if np.isclose(abs(r), (value, 1 / value), rtol=1e-6).any():
            much = "small" if abs(r) > 1 else "large"
            return f"is {max(abs(r), 1 / abs(r)):.4g} times too {much}{wrong}: {what}"
    if abs(abs(r) - 1) < 0.01:
        return f"is off by a constant factor of {abs(1 / r):.6g}{wrong}"
    times = f"{abs(r):.4g} times too small" if abs(r) > 1 else f"{abs(1 / r):.4g} times too large"
    return f"is {times}{wrong}: a constant factor"


def factor_of_slices(c: Comparison) -> str | None:
    """Each index of one axis has a factor of its own."""
    ratio = c.expected / c.found
    for axis, n in enumerate(c.expected.shape):
        if n < 3 or c.expected.size < 3 * n:
            continue
        rest = tuple(i for i in range(c.expected.ndim) if i != axis)
        r = np.median(np.where(np.isfinite(ratio), ratio, 0.0), axis=rest, keepdims=True)
        if np.max(np.abs(r - 1)) > 1e-3 and c.mended(r * c.found):
            listed = ", ".join(f"{1 / q:.4g}" for q in r.ravel()[:3])
            return (
                f"is off by a factor of its own for each index of axis {axis} ({listed}, ...): a "
                "wrong weight or divisor there, or it is not normalised"
            )
    return None


def almost(c: Comparison) -> str | None:
    """Right to some digits: a stray epsilon, a clip, too few digits."""
    error = np.max((np.abs(c.found - c.expected) / (np.abs(c.expected) + 1e-300))[c.known])
    if not error < 2e-3:
        return None
    said = f"is almost right, to a relative error of {error:.1e}"
    if error < 1e-5 and np.allclose(c.found, np.float32(c.found), rtol=1e-12, atol=0):
        return f"{said}: it was computed in float32, which has seven digits; the inputs are float64"
    return (
        f"{said}: a small constant is added somewhere, values are clipped, or digits are lost, by "
        "cancellation, by a difference quotient or in float32"
    )


# ---- a factor or a term that is a quantity ----


def lacks_factor(c: Comparison) -> str | None:
    """A factor that is an input, or something like it, is missing or too many."""
    for label, comment, factor in quantities(c.inputs):
        for power, said in ((1, "lacks a factor {}"), (-1, "has a factor {} too many")):
            weight = factor**power
            if not broadcasts(weight, c.expected):
                continue
            for k, times in ((1.0, ""), (-1.0, "-"), (2.0, "2 "), (0.5, "1/2 "), (-0.5, "-1/2 ")):
                if c.mended(c.found * weight * k):
                    return said.format((times if power > 0 else TURNED[times]) + label) + comment
    return None


TURNED = {"": "", "-": "-", "2 ": "1/2 ", "1/2 ": "2 ", "-1/2 ": "-2 "}


def quantities(inputs: Mapping[str, Array]) -> Iterator[tuple[str, str, Array]]:
    """Factors that formulae contain: their name, what to say of them, and their value."""
    for name, v in inputs.items():
        is_scale = any(word in name.lower() for word in SCALES)
        yield (
            f"exp({name} / 2)",
            MIXED + ("" if is_scale else f", if {name} is a log-variance"),
            np.exp(v / 2),
        )
        yield f"exp({name})", MIXED if is_scale else "", np.exp(v)
        yield name, MIXED if is_scale else "", v
        yield f"{name}**2", MIXED if is_scale else "", v * v


def broadcasts(array: Array, like: Array) -> bool:
    """Whether an array may be multiplied by another without changing the other's shape."""
    lead = like.ndim - array.ndim
    return lead >= 0 and all(
        n in (1, m) for n, m in zip(array.shape, like.shape[lead:], strict=True)
    )


def same_term_everywhere(c: Comparison) -> str | None:
    """A term that is the same number in every element."""
    difference = c.found - c.expected
    if c.found.size < 3 or not np.isfinite(difference).all():
        return None
    k = float(np.median(difference))
    if not c.given(c.expected + k):
        return None
    verb = "too large" if k > 0 else "too small"
    return (
        f"is {verb} by the same number, {abs(k):.6g}, everywhere{_name_of(abs(k), c)}: an additive "
        "constant is missing, or one too many"
    )


def named_constant(c: Comparison) -> str | None:
    """The same, of a number that has a name."""
    found = same_term_everywhere(c)
    return found if found and "(" in found else None


def _name_of(k: float, c: Comparison) -> str:
    """How a constant is written, in brackets."""
    known = {"log(2 pi)": np.log(2 * np.pi), "log 2": np.log(2), "log pi": np.log(np.pi), "1": 1.0}
    sizes = [(1, ""), *((n, f"{n} ") for n, _ in c.sizes())]
    for word, value in known.items():
        for n, times in sizes:
            for half, text in ((1.0, ""), (0.5, "1/2 ")):
                if np.isclose(k, n * half * value, rtol=1e-6):
                    return f" ({text}{times}{word})"
    for n, _ in sizes[1:]:
        if np.isclose(k, np.log(n), rtol=1e-6):
            return f" (log {n}: of N, an average in log space)"
    return ""


# ---- a function of what it should be ----

CHANGES: Mapping[str, Callable[[Array], Array]] = {
    "the exponential of what it should be: a log is missing": np.exp,
    "the logarithm of what it should be: an exp is missing, or a log too many": np.log,
    "the square of what it should be: sigma squared against sigma, or a root is missing": np.square,
    "the root of what it should be: sigma against sigma squared, or a square is missing": np.sqrt,
    "the reciprocal of what it should be: divided where it should be multiplied": np.reciprocal,
    "1 minus what it should be": lambda x: 1 - x,
    "minus the exponential of what it should be: a log is missing": lambda x: -np.exp(x),
    "the log of one plus what it should be": np.log1p,
    "the absolute value of what it should be: a sign is lost": np.abs,
}


def changed(c: Comparison) -> str | None:
    """The exponential of what it should be, its square, its absolute value ..."""
    for what, change in CHANGES.items():
        for s, words in ((1, ""), (-1, ", with a wrong sign")):
            if c.given(change(s * c.expected)):
                return f"is {what}{words}"
    return None


def cut_to_whole_numbers(c: Comparison) -> str | None:
    """Digits behind the point are lost."""
    if np.array_equal(c.expected, np.round(c.expected)):
        return None
    for what, cut in (("cut", np.trunc), ("rounded", np.round), ("rounded down", np.floor)):
        if c.given(cut(c.expected)):
            return f"is {what} to whole numbers: astype(int), int(), // or an array of integers"
    return None


def clipped(c: Comparison) -> str | None:
    """Right between two bounds, and the bounds beyond them."""
    if c.wrong.all() or not np.isfinite(c.found).all():
        return None
    for bound, side, beyond in (
        (c.found.min(), "below", c.expected < c.found),
        (c.found.max(), "above", c.expected > c.found),
    ):
        if c.wrong.sum() > 1 and np.all(c.found[c.wrong] == bound) and beyond[c.wrong].all():
            return f"is never {side} {bound:.4g}, where it should be: it is clipped there"
    return None


def repeated(c: Comparison) -> str | None:
    """The same number along an axis: the first, or the mean, of what it should be there."""
    if c.expected.ndim == 0 or not np.isfinite(c.found).all():
        return None
    for axis, n in enumerate(c.expected.shape):
        if n < 2:
            continue
        for what, reduced in (
            ("the first", c.expected.take([0], axis)),
            ("the last", c.expected.take([-1], axis)),
            ("the mean", c.expected.mean(axis=axis, keepdims=True)),
            ("the sum", c.expected.sum(axis=axis, keepdims=True)),
            ("the largest", c.expected.max(axis=axis, keepdims=True)),
        ):
            if c.given(np.broadcast_to(reduced, c.expected.shape)):
                return f"is the same number all along axis {axis}: {what} of those it should be"
    return None


def straight_line(c: Comparison) -> str | None:
    """A factor and a constant at the same time."""
    if c.expected.size < 4 or not (c.known & np.isfinite(c.found)).all():
        return None
    if np.ptp(c.found) == 0:
        return f"is {c.found.flat[0]:.4g} everywhere, where the numbers should differ"
    basis = np.stack([c.expected.ravel(), np.ones(c.expected.size)], axis=1)
    (a, b), *_ = np.linalg.lstsq(basis, c.found.ravel(), rcond=None)
    if not a or not c.given(a * c.expected + b):
        return None
    plus = "plus" if b > 0 else "minus"
    return f"is {a:.4g} times what it should be, {plus} {abs(b):.4g}: two mistakes at least"


# ---- an input that is taken for something else ----


def replaced(c: Comparison) -> str | None:
    """The answer is right for another value of an input: sigma for sigma squared, a slip inside."""
    if c.elsewhere is None:
        return None
    for name, x in c.inputs.items():
        for label, u, comment in replacements(name, x):
            if label in ("0", "1") or not np.isfinite(u).all() or np.array_equal(u, x):
                continue
            if c.mended(c.elsewhere({name: u})):
                return f"would be right with {label} in place of {name}{comment}"
    return None


def replacements(name: str, x: Array) -> Iterator[tuple[str, Array, str]]:
    """What an input may be taken for: how it is written, its value, and a comment."""
    scale = MIXED if any(word in name.lower() for word in SCALES) else ""
    if "log_var" in name or "logvar" in name:
        yield f"2 {name}", 2 * x, f"{MIXED}: the scale is exp({name} / 2), the variance exp({name})"
        yield (
            f"{name} / 2",
            x / 2,
            f"{MIXED}: the variance is exp({name}), the scale exp({name} / 2)",
        )
        yield f"-{name}", -x, ": multiplied where it should be divided, or a sign in an exponent"
        yield f"exp({name})", np.exp(x), f": {name} is the logarithm of the variance"
        yield f"exp({name} / 2)", np.exp(x / 2), f": {name} is the logarithm of the variance"
        yield f"log({name})", np.log(x), ": it is a log-variance already"
        scale = ""
    if "logit" in name:
        yield f"sigmoid({name})", 1 / (1 + np.exp(-x)), ": a logit is not a probability"
    yield f"2 {name}", 2 * x, scale or ": a factor 2 too many, or a 1/2 missing"
    yield f"{name} / 2", x / 2, scale or ": a factor 1/2 too many, or a 2 missing"
    yield f"{name}**2", x * x, scale
    yield f"sqrt({name})", np.sqrt(x), scale
    yield f"-{name}", -x, ": its sign is wrong"
    yield f"1 / {name}", 1 / x, ": multiplied where it should be divided, or the reverse"
    yield f"exp({name})", np.exp(x), scale
    yield f"exp({name} / 2)", np.exp(x / 2), scale
    yield f"log({name})", np.log(x), ""
    yield f"1 - {name}", 1 - x, ""
    yield f"sigmoid({name})", 1 / (1 + np.exp(-x)), ""
    yield f"|{name}|", np.abs(x), ": a sign is lost"
    yield f"{name} + 1", x + 1, ": off by one"
    yield f"{name} - 1", x - 1, ": off by one"
    if x.ndim:
        yield f"{name} flipped", np.flip(x), ""
    if x.ndim > 1:
        yield f"{name} transposed", x.T, ""
        yield f"{name} reshaped as its transpose", x.reshape(x.shape[::-1]).T, ""
    yield "0", np.zeros_like(x), ""
    yield "1", np.ones_like(x), ""


# ---- the right numbers in the wrong places ----


def rearranged(c: Comparison) -> str | None:
    """Transposed, flipped, shifted."""
    a, shape = c.found, c.expected.shape
    if a.shape != shape:
        return None
    for how, b in arrangements(a):
        if b.shape == shape and c.mended(b):
            return f"is {how}"
    if a.ndim > 1:
        for b in (a.reshape(shape[::-1]).T, a.T.reshape(shape)):
            if c.mended(b):
                return "has its elements in the wrong order: reshaped where it should be transposed"
    for axis, n in enumerate(shape):
        for shift in range(1, n):
            if c.mended(np.roll(a, -shift, axis)):
                return f"is shifted by {min(shift, n - shift)} along axis {axis}"
    return None


def arrangements(a: Array) -> Iterator[tuple[str, Array]]:
    """An array with its axes in other orders, and reversed."""
    axes = range(a.ndim)
    if a.ndim <= 4:
        for order in itertools.permutations(axes):
            if list(order) != list(axes):
                yield (
                    f"transposed or permuted: its axes come in the order {order}",
                    a.transpose(order),
                )
    for count in range(1, a.ndim + 1):
        for some in itertools.combinations(axes, count):
            yield (
                f"in reverse order along axis {', '.join(map(str, some))}: a flip is missing",
                np.flip(a, some),
            )


def scrambled(c: Comparison) -> str | None:
    """The right numbers, in whatever order."""
    a, n = np.sort(c.found, None), np.sort(c.expected, None)
    if (
        not c.known.all()
        or a.size < 3
        or not np.allclose(a, n, rtol=1e-5, atol=float(np.max(c.slack)))
    ):
        return None
    return "has the right numbers in the wrong places: transposed or permuted"


# ---- wrong in some places only ----


def values(c: Comparison) -> str | None:
    """Wrong for some values of an input: a mask is missing, or a branch is."""
    wrong, right = c.wrong, c.known & ~c.wrong
    if not right.any():
        return None
    inputs = [(name, x) for name, x in c.inputs.items() if x.shape == c.expected.shape]
    for name, v in inputs:
        for how, there in (("<", v < 0), (">", v > 0)):
            if there[wrong].all() and not there[right].any():
                return _only(c, f"where {name} {how} 0")
    if wrong.sum() < 2 or right.sum() < 2:
        return None  # one element is always the largest in some respect
    for name, v in inputs:
        for label, size in ((name, v), (f"|{name}|", np.abs(v))):
            for s in (1, -1):
                inner, outer = (s * size)[right].max(), (s * size)[wrong].min()
                if inner < outer:
                    bound = s * _round_between(float(inner), float(outer))
                    return _only(c, f"where {label} {'>' if s > 0 else '<'} {bound:g}")
    return None


def mask(c: Comparison) -> str | None:
    """Something where there should be nothing, or the reverse."""
    wrong, known = c.wrong, c.known
    if wrong.sum() < 2 or not (known & ~wrong).any():
        return None
    at = f"at {wrong.sum()} of {known.sum()} elements"
    if c.mended(np.where(wrong, 0.0, c.found)):
        return f"is not zero {at} that the function does not depend on: a mask is missing"
    if not np.any(c.found[wrong]):
        return f"is zero {at} where it should not be"
    return None


def positions(c: Comparison) -> str | None:
    """Wrong at some positions: an end that is left out, or a diagonal."""
    wrong, right = c.wrong, c.known & ~c.wrong
    if not right.any():
        return None
    if wrong.sum() == 1:
        return _only(c, f"at one element, {c.name}{[int(i[0]) for i in np.nonzero(wrong)]}")
    for axis, n in enumerate(wrong.shape):
        hit, spared = (set(np.nonzero(there)[axis].tolist()) for there in (wrong, right))
        for some, only in ((hit, "at"), (spared, "away from")):
            if len(some) == 1 and not hit & spared:
                (i,) = some
                end = " (the first)" if i == 0 else " (the last)" if i == n - 1 else ""
                found = _only(c, f"{only} index {i}{end} of axis {axis}")
                if "; " in found:
                    return found
    if wrong.ndim >= 2:
        diagonal = np.broadcast_to(np.eye(*wrong.shape[-2:]) == 1, wrong.shape)
        for there, where in ((diagonal, "on"), (~diagonal, "off")):
            if np.array_equal(wrong, there & c.known):
                found = _only(c, f"{where} the diagonal")
                if "; " in found:
                    return found
    return None


def somewhere(c: Comparison) -> str | None:
    """Wrong in places that follow no rule, all by one mistake."""
    if c.wrong.sum() < 2 or not (c.known & ~c.wrong).any():
        return None
    found = _only(c, f"at {c.wrong.sum()} of {c.known.sum()} elements")
    return found if "; " in found else None


def _only(c: Comparison, where: str) -> str:
    """Say where it is wrong, and what kind of mistake it is there."""
    there = replace(c, slack=np.where(c.wrong, c.slack, np.inf))
    found = first(there.simple, there)
    return f"is wrong only {where}" + (f"; there it {found.partition(':')[0]}" if found else "")


def _round_between(low: float, high: float) -> float:
    """The number with the fewest digits between two others."""
    for digits in range(-300, 300):
        step = 10.0**-digits
        candidate = np.ceil(low / step) * step if step < 1e300 else 0.0
        if low <= candidate <= high:
            return float(candidate)
    return (low + high) / 2


def no_pattern(c: Comparison) -> str:
    """There is always something to say."""
    wrong, known = c.wrong, c.known
    if c.expected.size == 1:
        off = float((c.found - c.expected).item())
        size = f"{abs(off):.6g} too {'large' if off > 0 else 'small'}"
        return f"is {size}: no single term, and no simple factor of the whole"
    r = (c.found / c.expected)[wrong]
    many = f"at {wrong.sum()} of {known.sum()} elements"
    ratios = f"{c.RATIO} runs from {r.min():.3g} to {r.max():.3g}"
    return f"is wrong {many} in no simple pattern: {ratios}"
