"""What kind of mistake a wrong gradient shows.

Most mistakes show in the numbers alone, and ``hypotheses`` has what is tried for those. A gradient
has more to it: a cotangent that may be left out, a Jacobian that may be transposed, uses that may
not be counted. The table ``HYPOTHESES`` is read from the top: the specific ones come before the
general ones, and the last always has something to say.

With this file you can

- name the mistake in a wrong gradient: :func:`diagnose`;
- say what is wrong with a cotangent's shape: :func:`describe_shape`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minivae.gradcheck import hypotheses as shared
from minivae.gradcheck.hypotheses import Comparison, arrangements, broadcasts, first, quantities

__all__ = ["Case", "describe_shape", "diagnose"]

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Case(Comparison):
    """A gradient as the VJP gives it and as differences give it, with more that is known.

    Parameters
    ----------
    x
        The value of the input.
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

    x: Array
    g: Array
    out: Array
    jacobian: Array | None = None
    uses: tuple[Array, ...] = ()
    others: tuple[Case, ...] = ()

    NEAR: ClassVar[float] = 1e-4  # what is compared may come from differences
    FLOOR: ClassVar[float] = 1e-6
    RATIO: ClassVar[str] = "analytic / numeric"

    @property
    def simple(self) -> Sequence[Callable[[Any], str | None]]:
        """What is tried where the gradient is wrong in some places only."""
        return SIMPLE

    def arrays(self) -> Iterable[tuple[str, Array]]:
        """The arrays whose axes a factor may be the length of."""
        return [("the output", self.out), *self.inputs.items()]

    def sizes(self) -> Iterator[tuple[int, str]]:
        """The numbers of elements that a sum may be divided by, and what they count."""
        seen = {1, 2}
        for n, what in super().sizes():
            seen.add(n)
            yield n, what
        if self.fed is not None:
            counts = self.fed.sum(axis=0)
            if counts.min() == counts.max() and int(counts[0]) not in seen:
                n = int(counts[0])
                yield n, f"the number of outputs that each element of {self.name} feeds"

    @cached_property
    def fed(self) -> Array | None:
        """Which elements of ``out`` (row) each element of ``x`` (column) has an influence on."""
        return None if self.jacobian is None else (np.nan_to_num(self.jacobian) != 0).astype(float)

    def given(self, candidate: Any) -> bool:
        """Whether ``candidate``, which may be flattened, is what the VJP returned."""
        return super().given(np.reshape(candidate, self.x.shape))

    def comes_of(self, jacobian: Array, g: Array) -> bool:
        """Whether the gradient is what a Jacobian makes of a cotangent."""
        return self.given(jacobian.T @ g.ravel())


def diagnose(case: Case) -> str:
    """Say what kind of mistake the gradient of ``case`` shows, as the rest of a sentence."""
    return first(HYPOTHESES, case) or shared.no_pattern(case)


# ---- what gradients have besides numbers ----


def _should_vanish(case: Case) -> str | None:
    return (
        "is not zero, although the function does not change with it" if case.mended(0.0) else None
    )


def _exchanged(case: Case) -> str | None:
    for other in case.others:
        if other.x.shape == case.x.shape and case.mended(other.found):
            if other.mended(case.found):
                return (
                    f"is exchanged with that of {other.name}: they come in the order of the inputs"
                )
            return f"is what was returned for {other.name}"
    return None


def _factor_out(case: Case) -> str | None:
    r = case.ratio
    if not r or case.out.size != 1:
        return None
    sign = " and its sign is wrong" if r < 0 else ""
    if np.isclose(abs(r * case.out.item()), (0.5, 1, 2), rtol=1e-5).any():
        return (
            f"has a factor out too many{sign}, with out the value of the function (and maybe a 2)"
        )
    return None


def _factor_of_many(case: Case) -> str | None:
    """A constant factor that is not an accident: one or two elements always have one."""
    if np.count_nonzero(case.expected[case.known]) <= 2:
        return None
    return _factor_out(case) or shared.constant_factor(case)


# ---- a factor that is a quantity ----


def _is_cotangent(case: Case) -> str | None:
    missing = "the derivative of the function is missing (the chain factor)"
    if case.g.shape == case.x.shape and case.given(case.g):
        return f"equals the cotangent g itself: {missing}"
    if case.fed is not None and case.comes_of(case.fed, case.g):
        return f"equals the cotangent g, summed over the outputs each element feeds: {missing}"
    return None


def _lacks_factor(case: Case) -> str | None:
    """A factor, at the input or at the output."""
    for label, comment, factor in (*quantities(case.inputs), *_of_out(case.out)):
        for power, said in ((1, "lacks a factor {}"), (-1, "has a factor {} too many")):
            weight = factor**power
            if broadcasts(weight, case.x):
                for c, times in ((1.0, ""), (-1.0, "-"), (2.0, "2 "), (0.5, "1/2 ")):
                    if case.mended(case.found * weight * c):
                        turned = times if power > 0 else shared.TURNED[times]
                        return said.format(turned + label) + comment
            if case.jacobian is None or not broadcasts(weight, case.out):
                continue
            if case.comes_of(case.jacobian, case.g / weight):
                return said.format(label) + comment
    return None


def _of_out(out: Array) -> Iterator[tuple[str, str, Array]]:
    of_out = ", with out the value of the function"
    yield "out", of_out, out
    yield "1 - out", of_out, 1 - out
    yield "1 + out", of_out, 1 + out
    yield "1 - out**2", of_out, 1 - out**2


# ---- the right numbers in the wrong places ----


def _jacobian_transposed(case: Case) -> str | None:
    """The map where its adjoint is meant: x @ w for x @ w.T, a permutation for its inverse."""
    if (
        case.jacobian is None
        or case.out.size != case.x.size
        or not case.comes_of(case.jacobian.T, case.g)
    ):
        return None
    which = "a transpose or the inverse permutation is missing"
    return f"is transposed or permuted: J g where J^T g is meant ({which})"


def _cotangent_rearranged(case: Case) -> str | None:
    if case.jacobian is None:
        return None
    for how, g in arrangements(case.g):
        if g.shape == case.g.shape and case.comes_of(case.jacobian, g):
            return f"would be right for another cotangent: g is {how}"
    return None


# ---- something is not counted ----


def _uses(case: Case) -> str | None:
    parts = [
        part for part in case.uses if np.any(np.abs(part) > 1e-7 * np.max(np.abs(case.expected)))
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
    missing = case.expected - case.found
    factors = [(name, x) for name, x in case.inputs.items() if broadcasts(x, g)]
    for label, basis in (("g", g), *((f"g {name}", g * x) for name, x in factors)):
        use = case.wrong & (basis != 0)
        if use.sum() < 2:
            continue
        c = float(np.median(missing[use] / basis[use]))
        found = f"lacks a term {c:.4g} {label}"
        if case.mended(case.found + c * basis):
            return f"{found}: the rest of it is right"
        if case.mended(np.where(case.wrong, case.found + c * basis, case.found)):
            return f"{found} at {case.wrong.sum()} of {case.known.sum()} elements"
    return None


Hypothesis = Callable[[Case], str | None]
SIMPLE: Sequence[Hypothesis] = (
    shared.is_zero,
    _should_vanish,
    shared.sign,
    shared.factor_two,
    shared.factor_n,
    _is_cotangent,
    _lacks_factor,
    _factor_out,
    shared.constant_factor,
)
HYPOTHESES: Sequence[Hypothesis] = (
    shared.is_zero,
    _should_vanish,
    shared.sign,
    _exchanged,
    shared.factor_two,
    shared.factor_n,
    shared.rearranged,
    _jacobian_transposed,
    _outputs,
    shared.values,
    _uses,
    _factor_of_many,
    shared.positions,
    shared.mask,
    shared.cut_to_whole_numbers,
    shared.almost,
    _is_cotangent,
    _cotangent_rearranged,
    _lacks_factor,
    shared.factor_of_slices,
    _factor_out,
    shared.constant_factor,
    _term,
    shared.replaced,
    shared.repeated,
    shared.scrambled,
    shared.somewhere,
    shared.straight_line,
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
