"""What kind of mistake a wrong gradient shows.

A wrong gradient is seldom wrong at random: its sign is wrong, or a factor N, or it is right
wherever x > 0. Each hypothesis below supposes one such mistake, works out what it would look like,
and compares that with the numbers of a :class:`Case`. It returns what it found as the rest of a
sentence that begins "the gradient of x ...", or None. The table ``HYPOTHESES`` is read from the
top: the specific ones come before the general ones, and the last always has something to say.

With this file you can

- name the mistake in a wrong gradient: :func:`diagnose`;
- say what is wrong with a cotangent's shape: :func:`describe_shape`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Case", "describe_shape", "diagnose"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A gradient as computed and as it should be, with what is known about the function.

    Parameters
    ----------
    name, x
        The input and its value.
    analytic, numeric
        The gradient as the VJP gives it and as differences give it, of the shape of ``x``.
    slack
        How far the two may lie apart from rounding alone; infinite where nothing is known.
    g, out
        The cotangent, and the value of the function.
    jacobian
        The derivative of each element of ``out`` (row) by each of ``x`` (column), if it is small
        enough.
    uses
        The parts of the gradient that come through each single use of ``x`` in the function.
    others
        The function's other inputs.
    elsewhere
        The gradient that the VJP gives with an input, by name, replaced.
    """

    name: str
    x: Array
    analytic: Array
    numeric: Array
    slack: Array
    g: Array
    out: Array
    jacobian: Array | None = None
    uses: tuple[Array, ...] = ()
    others: tuple[Case, ...] = ()
    elsewhere: Callable[[Mapping[str, Array]], Array] | None = None

    @cached_property
    def known(self) -> Array:
        """Where the numeric gradient can be trusted."""
        known: Array = np.isfinite(self.slack + self.numeric)
        return known

    @cached_property
    def wrong(self) -> Array:
        """Where the two differ by more than rounding."""
        size = np.maximum(np.abs(self.analytic), np.abs(self.numeric))
        near = np.abs(self.analytic - self.numeric) <= np.maximum(1e-6 * size, self.slack)
        wrong: Array = self.known & ~near  # a NaN is not near
        return wrong

    def mended(self, candidate: Any) -> bool:
        """Whether ``candidate`` is the right gradient, at all elements that are known."""
        error = np.abs(candidate - self.numeric)
        return bool(np.all((error <= 1e-5 * np.abs(self.numeric) + self.slack)[self.known]))

    def given(self, candidate: Any) -> bool:
        """Whether ``candidate``, which may come from differences, is what the VJP returned."""
        candidate = np.reshape(candidate, self.x.shape)
        floor = 1e-6 * np.max(np.abs(self.analytic[self.known]), initial=0.0)
        near = 1e-4 * np.abs(self.analytic) + floor
        # It must be the wrong gradient, not merely close to the right one.
        near = np.where(
            self.wrong, np.minimum(near, 0.1 * np.abs(self.analytic - self.numeric)), near
        )
        return bool(np.all((np.abs(candidate - self.analytic) <= near)[self.known]))

    @cached_property
    def ratio(self) -> float | None:
        """The number that would mend the gradient, if there is one."""
        use = self.wrong & (self.analytic != 0)
        if not use.any():
            return None
        r = float(np.median(self.numeric[use] / self.analytic[use]))
        return r if self.mended(r * self.analytic) else None

    @cached_property
    def fed(self) -> Array | None:
        """Which elements of ``out`` (row) each element of ``x`` (column) has an influence on."""
        return None if self.jacobian is None else (np.nan_to_num(self.jacobian) != 0).astype(float)


def diagnose(case: Case) -> str:
    """Say what kind of mistake the gradient of ``case`` shows, as the rest of a sentence."""
    with np.errstate(all="ignore"):
        return next(found for h in HYPOTHESES if (found := h(case)))


# ---- nothing, the wrong sign, a constant factor ----


def _is_zero(case: Case) -> str | None:
    if np.any(case.analytic[case.known]):
        return None
    return "is zero: nothing is passed back, or it is lost on the way"


def _should_vanish(case: Case) -> str | None:
    return (
        "is not zero, although the function does not change with it" if case.mended(0.0) else None
    )


def _sign(case: Case) -> str | None:
    return "has the wrong sign" if case.mended(-case.analytic) else None


def _exchanged(case: Case) -> str | None:
    for other in case.others:
        if other.x.shape == case.x.shape and case.mended(other.analytic):
            if other.mended(case.analytic):
                return (
                    f"is exchanged with that of {other.name}: they come in the order of the inputs"
                )
            return f"is what was returned for {other.name}"
    return None


def _factor_two(case: Case) -> str | None:
    r = case.ratio
    if r is None or not np.isclose(abs(np.log2(abs(r))), 1.0, rtol=1e-5):
        return None
    sign = "and its sign is wrong, " if r < 0 else ""
    if abs(r) > 1:
        found, why = "half of", "a factor 2 is missing, or one of two uses is not counted"
    else:
        found, why = "twice", "a factor 1/2 is missing, or a use is counted twice"
    return f"is {found} what it should be: {sign}{why}"


def _factor_n(case: Case) -> str | None:
    if case.ratio is None:
        return None
    sign = " and its sign is wrong" if case.ratio < 0 else ""
    for n, what in _sizes(case):
        for r in (abs(case.ratio), 1 / abs(case.ratio)):
            where = f"N = {n}, {what}"
            small = r == abs(case.ratio)
            if np.isclose(r, n, rtol=1e-5):
                why = (
                    "divided by N where the function sums"
                    if small
                    else "not divided by N where it takes a mean"
                )
                return f"is N times too {'small' if small else 'large'}{sign}: {why} ({where})"
            if n > 4 and np.isclose(r, n / 2, rtol=1e-5):
                return f"is N / 2 times too {'small' if small else 'large'}{sign} ({where})"
            if np.isclose(r, n / (n - 1), rtol=1e-6):
                counts = ("N", "N - 1") if small else ("N - 1", "N")
                swapped = f"it has {counts[0]} for {counts[1]}"
                return f"is off by a factor of {r:.6g}{sign}: {swapped} ({where})"
            if np.isclose(r, np.sqrt(n), rtol=1e-6):
                return f"is sqrt(N) times too {'small' if small else 'large'}{sign} ({where})"
    return None


def _sizes(case: Case) -> Iterator[tuple[int, str]]:
    """The numbers of elements that a sum may be divided by, and what they count."""
    seen = {1, 2}  # 2 has a hypothesis of its own
    arrays = [("the output", case.out), (case.name, case.x), *((o.name, o.x) for o in case.others)]
    for count in range(1, 4):
        for name, array in arrays:
            for axes in itertools.combinations(range(array.ndim), count):
                n = int(np.prod([array.shape[i] for i in axes]))
                if n not in seen:
                    seen.add(n)
                    what = f"axis {axes[0]}" if count == 1 else f"axes {', '.join(map(str, axes))}"
                    yield n, f"the length of {what} of {name}"
    if case.fed is not None:
        counts = case.fed.sum(axis=0)
        if counts.min() == counts.max() and int(counts[0]) not in seen:
            yield int(counts[0]), f"the number of outputs that each element of {case.name} feeds"


def _factor(case: Case) -> str | None:
    r = case.ratio
    if r is None:
        return None
    sign = " and its sign is wrong" if r < 0 else ""
    if case.out.size == 1 and np.isclose(abs(r * case.out.item()), (0.5, 1, 2), rtol=1e-5).any():
        return (
            f"has a factor out too many{sign}, with out the value of the function (and maybe a 2)"
        )
    if abs(abs(r) - 1) < 0.01:
        return f"is off by a constant factor of {abs(1 / r):.6g}{sign}"
    times = f"{abs(r):.4g} times too small" if abs(r) > 1 else f"{abs(1 / r):.4g} times too large"
    return f"is {times}{sign}: a constant factor"


def _factor_of_many(case: Case) -> str | None:
    """A constant factor that is no accident: one or two elements always have one."""
    return _factor(case) if np.count_nonzero(case.numeric[case.known]) > 2 else None


def _factor_of_rows(case: Case) -> str | None:
    ratio = case.numeric / case.analytic
    for axis in range(case.x.ndim):
        if case.x.shape[axis] > 2:
            use = np.where(np.isfinite(ratio), ratio, 0.0)
            r = np.median(use, axis=axis, keepdims=True)
            if case.mended(r * case.analytic):
                return f"is off by a factor for each slice along axis {axis}: normalise it there"
    return None


# ---- a factor that is a quantity ----


def _is_cotangent(case: Case) -> str | None:
    missing = "the derivative of the function is missing (the chain factor)"
    if case.g.shape == case.x.shape and case.given(case.g):
        return f"equals the cotangent g itself: {missing}"
    if case.fed is not None and case.given(case.fed.T @ case.g.ravel()):
        return f"equals the cotangent g, summed over the outputs each element feeds: {missing}"
    return None


def _quantity(case: Case) -> str | None:
    for label, comment, factor in _quantities(case):
        for power, found in ((1, "lacks a factor {}"), (-1, "has a factor {} too many")):
            weight = factor**power
            if _broadcasts(weight, case.x):
                for c, times in ((1.0, ""), (-1.0, "-"), (2.0, "2 "), (0.5, "1/2 ")):
                    if case.mended(case.analytic * weight * c):
                        return (
                            found.format((times if power > 0 else TURNED[times]) + label) + comment
                        )
            if case.jacobian is None or not _broadcasts(weight, case.out):
                continue
            if case.given(case.jacobian.T @ (case.g / weight).ravel()):
                return found.format(label) + comment
    return None


TURNED = {"": "", "-": "-", "2 ": "1/2 ", "1/2 ": "2 "}


SCALES = ("sigma", "scale", "std", "var")


def _quantities(case: Case) -> Iterator[tuple[str, str, Array]]:
    """Factors that derivatives contain: their name, what to say of them, and their value."""
    for name, v in ((case.name, case.x), *((o.name, o.x) for o in case.others)):
        is_scale = any(word in name.lower() for word in SCALES)
        mixed = ": sigma against sigma squared"
        yield (
            f"exp({name} / 2)",
            mixed + ("" if is_scale else f", if {name} is a log-variance"),
            np.exp(v / 2),
        )
        yield f"exp({name})", mixed if is_scale else "", np.exp(v)
        yield name, mixed if is_scale else "", v
        yield f"{name}**2", mixed if is_scale else "", v * v
    of_out = ", with out the value of the function"
    yield "out", of_out, case.out
    yield "1 - out", of_out, 1 - case.out
    yield "1 + out", of_out, 1 + case.out
    yield "1 - out**2", of_out, 1 - case.out**2


def _broadcasts(array: Array, like: Array) -> bool:
    lead = like.ndim - array.ndim
    return lead >= 0 and all(
        n in (1, m) for n, m in zip(array.shape, like.shape[lead:], strict=True)
    )


# ---- the right numbers in the wrong places ----


def _rearranged(case: Case) -> str | None:
    a, shape = case.analytic, case.x.shape
    for how, b in _arrangements(a):
        if b.shape == shape and case.mended(b):
            return f"is {how}"
    if a.ndim > 1:
        for b in (a.reshape(shape[::-1]).T, a.T.reshape(shape)):
            if case.mended(b):
                return "has its elements in the wrong order: reshaped where it should be transposed"
    for axis, n in enumerate(shape):
        for shift in range(1, n):
            if case.mended(np.roll(a, -shift, axis)):
                return f"is shifted by {min(shift, n - shift)} along axis {axis}"
    return None


def _arrangements(a: Array) -> Iterator[tuple[str, Array]]:
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


def _jacobian_transposed(case: Case) -> str | None:
    """The map where its adjoint is meant: x @ w for x @ w.T, a permutation for its inverse."""
    if (
        case.jacobian is None
        or case.out.size != case.x.size
        or not case.given(case.jacobian @ case.g.ravel())
    ):
        return None
    which = "a transpose or the inverse permutation is missing"
    return f"is transposed or permuted: J g where J^T g is meant ({which})"


def _cotangent_rearranged(case: Case) -> str | None:
    if case.jacobian is None:
        return None
    for how, g in _arrangements(case.g):
        if g.shape == case.g.shape and case.given(case.jacobian.T @ g.ravel()):
            return f"would be right for another cotangent: g is {how}"
    return None


def _scrambled(case: Case) -> str | None:
    a, n = np.sort(case.analytic, None), np.sort(case.numeric, None)
    if (
        not case.known.all()
        or a.size < 3
        or not np.allclose(a, n, rtol=1e-5, atol=np.max(case.slack))
    ):
        return None
    return "has the right numbers in the wrong places: transposed or permuted"


# ---- something is not counted ----


def _uses(case: Case) -> str | None:
    parts = [
        part for part in case.uses if np.any(np.abs(part) > 1e-7 * np.max(np.abs(case.numeric)))
    ]
    k = len(parts)
    if k < 2:
        return None
    if case.given(parts[-1]):
        return f"counts only the last of {k} uses of {case.name}: their contributions add up"
    if case.given(parts[0]):
        return f"counts only the first of {k} uses of {case.name}: their contributions add up"
    total = np.sum(parts, axis=0)
    for i, part in enumerate(parts):
        if case.given(part) or case.given(total - part):
            verb = "counts only" if case.given(part) else "leaves out"
            return (
                f"{verb} use {i + 1} of {k} of {case.name}, as computed: their contributions add up"
            )
    return None


def _outputs(case: Case) -> str | None:
    if case.jacobian is None or case.fed is None:
        return None
    parts, fed = case.jacobian * case.g.reshape(-1, 1), case.fed
    if parts.shape[0] < 2 or fed.sum(axis=0).max() < 2:
        return None
    columns = np.arange(parts.shape[1])
    last = parts[parts.shape[0] - 1 - np.argmax(fed[::-1], axis=0), columns]
    first = parts[np.argmax(fed, axis=0), columns]
    if case.out.shape == case.x.shape and case.given(np.diag(parts)):
        return "is that of each element's own output: its share in the others is not counted"
    for which, part in (("last", last), ("first", first)):
        if case.given(part):
            return (
                f"counts only the {which} use: of the outputs each element feeds, one for the sum"
            )
    by_output = parts.reshape(*case.out.shape, -1)
    for axis, n in enumerate(case.out.shape):
        rest = tuple(i for i in range(case.out.ndim) if i != axis)
        for i, part in enumerate(by_output.sum(axis=rest)):
            if n > 1 and case.given(part):
                end = " (the first)" if i == 0 else " (the last)" if i == n - 1 else ""
                return f"counts only index {i}{end} of the output's axis {axis}, one for the sum"
    return None


def _term(case: Case) -> str | None:
    """A term that is missing or too many: the difference is a multiple of something."""
    if case.fed is None or case.known.sum() < 3:
        return None
    g = (case.fed.T @ case.g.ravel()).reshape(case.x.shape)
    missing = case.numeric - case.analytic
    for label, basis in (("g", g), (f"g {case.name}", g * case.x)):
        use = case.wrong & (basis != 0)
        if use.sum() < 2:
            continue
        c = float(np.median(missing[use] / basis[use]))
        found = f"lacks a term {c:.4g} {label}"
        if case.mended(case.analytic + c * basis):
            return f"{found}: the rest of it is right"
        if case.mended(np.where(case.wrong, case.analytic + c * basis, case.analytic)):
            return f"{found} at {case.wrong.sum()} of {case.known.sum()} elements"
    return None


def _replaced(case: Case) -> str | None:
    """The VJP is right for another value of an input: sigma for sigma squared, a slip inside."""
    if case.elsewhere is None:
        return None
    for name, v in ((case.name, case.x), *((o.name, o.x) for o in case.others)):
        is_scale = any(word in name.lower() for word in SCALES)
        mixed = ": sigma against sigma squared" if is_scale else ""
        for label, u in (
            (f"2 {name}", 2 * v),
            (f"{name} / 2", v / 2),
            (f"{name}**2", v * v),
            (f"sqrt({name})", np.sqrt(v)),
            (f"-{name}", -v),
            (f"{name} transposed", v.T),
            (f"{name} flipped", np.flip(v)),
        ):
            if (
                u.shape == v.shape
                and np.isfinite(u).all()
                and case.mended(case.elsewhere({name: u}))
            ):
                comment = mixed if label[0] in "2s" or label[-1] == "2" else ""
                return f"would be right with {label} in place of {name}{comment}"
    return None


# ---- wrong in some places only ----


def _values(case: Case) -> str | None:
    """Wrong for some values of an input: a mask is missing, or a branch is."""
    wrong, right = case.wrong, case.known & ~case.wrong
    if not right.any():
        return None
    inputs = [(o.name, o.x) for o in (case, *case.others) if o.x.shape == case.x.shape]
    for name, v in inputs:
        for how, mask in (("<", v < 0), (">", v > 0)):
            if mask[wrong].all() and not mask[right].any():
                return _only(case, f"where {name} {how} 0")
    if wrong.sum() < 2 or right.sum() < 2:
        return None  # one element is always the largest in some respect
    for name, v in inputs:
        for label, size in ((name, v), (f"|{name}|", np.abs(v))):
            for sign in (1, -1):
                inner, outer = (sign * size)[right].max(), (sign * size)[wrong].min()
                if inner < outer:
                    bound = sign * _round_between(float(inner), float(outer))
                    return _only(case, f"where {label} {'>' if sign > 0 else '<'} {bound:g}")
    return None


def _mask(case: Case) -> str | None:
    """Something where there should be nothing, or the reverse."""
    wrong, known = case.wrong, case.known
    if wrong.sum() < 2 or not (known & ~wrong).any():
        return None
    at = f"at {wrong.sum()} of {known.sum()} elements"
    if case.mended(np.where(wrong, 0.0, case.analytic)):
        return f"is not zero {at} that the function does not depend on: a mask is missing"
    if not np.any(case.analytic[wrong]):
        return f"is zero {at} where it should not be"
    return None


def _positions(case: Case) -> str | None:
    """Wrong at some positions: an end that is left out, or a diagonal."""
    wrong, right = case.wrong, case.known & ~case.wrong
    if not right.any():
        return None
    if wrong.sum() == 1:
        return _only(case, f"at one element, {case.name}{[int(i[0]) for i in np.nonzero(wrong)]}")
    for axis, n in enumerate(case.x.shape):
        hit, spared = (set(np.nonzero(mask)[axis].tolist()) for mask in (wrong, right))
        for some, only in ((hit, "at"), (spared, "away from")):
            if len(some) == 1 and not hit & spared:
                (i,) = some
                end = " (the first)" if i == 0 else " (the last)" if i == n - 1 else ""
                found = _only(case, f"{only} index {i}{end} of axis {axis}")
                if "; " in found:
                    return found
    if case.x.ndim == 2:
        diagonal = np.eye(*case.x.shape) == 1
        for mask, where in ((diagonal, "on"), (~diagonal, "off")):
            if np.array_equal(wrong, mask & case.known):
                found = _only(case, f"{where} the diagonal")
                if "; " in found:
                    return found
    return None


def _only(case: Case, where: str) -> str:
    """Say where it is wrong, and what kind of mistake it is there."""
    slack = np.where(case.wrong, case.slack, np.inf)
    there = replace(case, slack=slack, jacobian=None, uses=())
    found = next((found for h in SIMPLE if (found := h(there))), None)
    return f"is wrong only {where}" + (f"; there it {found.partition(':')[0]}" if found else "")


def _round_between(low: float, high: float) -> float:
    """The number with the fewest digits between two others."""
    for digits in range(-300, 300):
        step = 10.0**-digits
        candidate = np.ceil(low / step) * step if step < 1e300 else 0.0
        if low <= candidate <= high:
            return float(candidate)
    return (low + high) / 2


def _no_pattern(case: Case) -> str:
    wrong, known = case.wrong, case.known
    r = (case.analytic / case.numeric)[wrong]
    many = f"at {wrong.sum()} of {known.sum()} elements"
    ratios = f"analytic / numeric runs from {r.min():.3g} to {r.max():.3g}"
    return f"is wrong {many} in no simple pattern: {ratios}"


Hypothesis = Callable[[Case], str | None]
SIMPLE: Sequence[Hypothesis] = (
    _is_zero,
    _should_vanish,
    _sign,
    _factor_two,
    _factor_n,
    _is_cotangent,
    _quantity,
    _factor,
)
HYPOTHESES: Sequence[Hypothesis] = (
    _is_zero,
    _should_vanish,
    _sign,
    _exchanged,
    _factor_two,
    _factor_n,
    _rearranged,
    _jacobian_transposed,
    _outputs,
    _values,
    _uses,
    _factor_of_many,
    _positions,
    _mask,
    _is_cotangent,
    _cotangent_rearranged,
    _quantity,
    _factor_of_rows,
    _factor,
    _term,
    _replaced,
    _scrambled,
    _no_pattern,
)


# ---- what needs more than the numbers ----


def describe_shape(given: tuple[int, ...], shape: tuple[int, ...], out: tuple[int, ...]) -> str:
    """Say what is wrong with a cotangent of shape ``given`` for an input of shape ``shape``."""
    wrong = f"has shape {given}, the input {shape}"
    if given == shape[::-1]:
        return f"{wrong}: it is transposed"
    if sorted(given) == sorted(shape):
        return f"{wrong}: its axes are permuted"
    if given == out and np.prod(shape) < np.prod(out):
        return f"{wrong}: the sum over the axes that were broadcast is missing"
    if len(given) > len(shape) and given[len(given) - len(shape) :] == shape:
        return f"{wrong}: the sum over the leading axes is missing"
    if np.prod(given) == np.prod(shape):
        return f"{wrong}: the same number of elements, so a reshape is missing"
    if given == () or np.prod(given) < np.prod(shape):
        return f"{wrong}: it is summed too far, or not broadcast back"
    return f"{wrong}: they must agree"
