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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

__all__ = ["Case", "describe_shape", "diagnose", "through_each_use"]

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
                return f"is exchanged with that of {other.name}: the cotangents come in the order of the inputs"
            return f"is what was returned for {other.name}"
    return None


def _factor_two(case: Case) -> str | None:
    r = case.ratio
    if r is None or not np.isclose(abs(np.log2(abs(r))), 1.0, rtol=1e-5):
        return None
    sign = "and its sign is wrong, " if r < 0 else ""
    if abs(r) > 1:
        return f"is half of what it should be: {sign}a factor 2 is missing, or one of two uses is not counted"
    return f"is twice what it should be: {sign}a factor 1/2 is missing, or a use is counted twice"


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
            if np.isclose(r, n / (n - 1), rtol=1e-6):
                counts = ("N", "N - 1") if small else ("N - 1", "N")
                return f"is off by a factor of {r:.6g}{sign}: it has {counts[0]} for {counts[1]} ({where})"
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
    for name, array in arrays:
        if array.size > 2 and array.size not in seen:
            yield array.size, f"the size of {name}"


def _factor(case: Case) -> str | None:
    r = case.ratio
    if r is None:
        return None
    sign = " and its sign is wrong" if r < 0 else ""
    if abs(abs(r) - 1) < 0.01:
        return f"is off by a constant factor of {abs(1 / r):.8g}{sign}"
    times = f"{abs(r):.4g} times too small" if abs(r) > 1 else f"{abs(1 / r):.4g} times too large"
    return f"is {times}{sign}: a constant factor"


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
        for power, found in (
            (1, f"lacks a factor {label}"),
            (-1, f"has a factor {label} too many"),
        ):
            weight = factor**power
            if _broadcasts(weight, case.x) and case.mended(case.analytic * weight):
                return found + comment
            if case.jacobian is not None and _broadcasts(weight, case.out):
                if case.given(case.jacobian.T @ (case.g / weight).ravel()):
                    return found + comment
    return None


def _quantities(case: Case) -> Iterator[tuple[str, str, Array]]:
    """Factors that derivatives contain: what to call them, what to say of them, and their
    values."""
    for name, v in ((case.name, case.x), *((o.name, o.x) for o in case.others)):
        is_scale = any(word in name.lower() for word in ("sigma", "scale", "std", "var"))
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
    """The map itself where its adjoint is meant: x @ w.T for x @ w, a permutation for its
    inverse."""
    if (
        case.jacobian is None
        or case.out.size != case.x.size
        or not case.given(case.jacobian @ case.g.ravel())
    ):
        return None
    return "is transposed or permuted: J g where J^T g is meant (a transpose or the inverse permutation is missing)"


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
        return "is that of each element's own output: its influence on the other outputs is not counted"
    for which, part in (("last", last), ("first", first)):
        if case.given(part):
            return f"counts only the {which} use: one of the outputs each element feeds, where their sum is meant"
    return None


def _term(case: Case) -> str | None:
    """A term that is missing or too many: the difference is a multiple of something."""
    if case.fed is None or case.known.sum() < 3:
        return None
    g = (case.fed.T @ case.g.ravel()).reshape(case.x.shape)
    missing = case.numeric - case.analytic
    for label, basis in (("g", g), (f"g {case.name}", g * case.x)):
        use = case.known & (basis != 0)
        c = float(np.median(missing[use] / basis[use])) if use.any() else 0.0
        if c and case.mended(case.analytic + c * basis):
            return f"lacks a term {c:.4g} {label}: the rest of it is right"
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
                return _only(case, f"{only} index {i}{end} of axis {axis}")
    if case.x.ndim == 2:
        diagonal = np.eye(*case.x.shape) == 1
        for mask, where in ((diagonal, "on"), (~diagonal, "off")):
            if np.array_equal(wrong, mask & case.known):
                return _only(case, f"{where} the diagonal")
    return None


def _only(case: Case, where: str) -> str:
    """Say where it is wrong, and what kind of mistake it is there."""
    slack = np.where(case.wrong, case.slack, np.inf)
    there = replace(case, slack=slack, jacobian=None, uses=())
    found = next((found for h in SIMPLE if (found := h(there))), None)
    return f"is wrong only {where}" + (f"; there it {found}" if found else "")


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
    return f"is wrong {many} in no simple pattern: analytic / numeric runs from {r.min():.3g} to {r.max():.3g}"


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
    _is_cotangent,
    _cotangent_rearranged,
    _quantity,
    _factor,
    _term,
    _scrambled,
    _positions,
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
    if np.prod(given) == np.prod(shape):
        return f"{wrong}: the same number of elements, so a reshape is missing"
    if given == () or np.prod(given) < np.prod(shape):
        return f"{wrong}: it is summed too far, or not broadcast back"
    return f"{wrong}: they must agree"


class _OneUse(NDArrayOperatorsMixin):
    """An array that moves in one of its uses and stands still in the others."""

    def __init__(self, still: Array, moved: Array, number: int) -> None:
        self._still, self._moved, self._number, self._count = still, moved, number, 0

    def _use(self) -> Array:
        self._count += 1
        return self._moved if self._count == self._number else self._still

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*(x._use() if x is self else x for x in inputs), **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        def plain(x: Any) -> Any:
            if isinstance(x, list | tuple):
                return type(x)(plain(y) for y in x)
            return x._use() if x is self else x

        return function(*plain(args), **{key: plain(value) for key, value in kwargs.items()})

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._use(), dtype=dtype)

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "ndim", "size", "dtype"):
            return getattr(self._still, name)
        return getattr(self._use(), name)

    def __getitem__(self, index: Any) -> Any:
        return self._use()[index]

    def __len__(self) -> int:
        return len(self._still)


def through_each_use(
    forward: Callable[..., Any], arrays: Sequence[Any], position: int, g: Array, most: int = 6
) -> tuple[Array, ...]:
    """The gradient that flows through each single use of an input in a function of NumPy arrays.

    Empty if the uses cannot be told apart: there is but one, there are too many, or the function is
    not written with NumPy.
    """
    x = arrays[position]

    def value(moved: Array, number: int) -> tuple[Array, int]:
        watched = _OneUse(x, moved, number)
        out = forward(*(watched if i == position else a for i, a in enumerate(arrays)))
        return np.asarray(out), watched._count

    try:
        count = value(x, 0)[1]
        if not 2 <= count <= most:
            return ()
        parts = np.empty((count, *x.shape))
        for number in range(count):
            for index in np.ndindex(x.shape):
                up, down = x.copy(), x.copy()
                h = 2.0**-17 * max(1.0, abs(x[index]))
                up[index] += h
                down[index] -= h
                difference = value(up, number + 1)[0] - value(down, number + 1)[0]
                parts[number][index] = np.sum(g * difference) / (up[index] - down[index])
        return tuple(parts)
    except Exception:  # whatever stops the forward from running on a stand-in, there is no answer
        return ()
