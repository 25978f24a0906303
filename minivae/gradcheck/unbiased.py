"""Is an estimate of a gradient right on average, and if not, what kind of mistake is it.

A stochastic gradient may be off by a factor or lack a term, and training still goes somewhere. Here
its expectation is compared with differences of the objective: without chance where the noise can be
enumerated or integrated, otherwise by samples, with an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from minivae.gradcheck.bias import Bias, diagnose_bias, parts_of
from minivae.gradcheck.differences import slope
from minivae.gradcheck.redrawn import Redrawing
from minivae.gradcheck.report import element, shorten, wrap
from minivae.gradcheck.scripted import Law, Scripted, TooMany, Unscripted, law_from, paths
from minivae.notebook import card, number
from minivae.tensor import values

__all__ = ["UnbiasedReport", "UnbiasedRow", "check_unbiased"]

Array = NDArray[Any]

FALSE_ALARMS = 1e-6  # how often a right estimator fails when its noise is sampled
TOLERANCE = 1e-6  # relative to the largest element of a parameter, where it is not sampled
RESOLUTION = 0.1  # a bias of this size, relative to the same, has to be seen for a PASS
BATCHES = 64  # of which the means are compared: they are nearly normal, whatever the estimates are
FIRST = 1024  # samples; then they are doubled
ROADS = 4096  # at most, where the noise is enumerated
RULES = (64, 40, 24, 16, 12, 8, 6, 4)  # nodes for one number; each rule is held against the next
CLEAR_BIAS = 0.015  # the standard error relative to the gradient at which a mistake can be named


class UnbiasedRow(NamedTuple):
    """One element: the mean of the estimates, its standard error, and what it should be."""

    name: str
    index: tuple[int, ...]  # type: ignore[assignment]
    found: float
    exact: float
    standard_error: float
    """Zero where the noise was enumerated."""

    z: float
    """(found - exact) / standard_error; NaN where nothing was sampled."""


@dataclass(frozen=True)
class UnbiasedReport:
    """What was found: true if, and only if, the estimator is right on average.

    Parameters
    ----------
    verdict
        ``"PASS"``, ``"FAIL"`` or ``"INCONCLUSIVE"``.
    diagnosis
        A sentence on what is wrong, or on why nothing can be said; None for what is right.
    table
        The five worst elements, the worst first.
    how
        How the expectation was found, with how many calls of the estimator.
    asked
        How many draws an estimate asks for; 0 where they cannot be counted.
    """

    verdict: Literal["PASS", "FAIL", "INCONCLUSIVE"]
    diagnosis: str | None
    table: list[UnbiasedRow] = field(default_factory=list)
    how: str = ""
    asked: int = 0

    def __bool__(self) -> bool:
        return self.verdict == "PASS"

    def __str__(self) -> str:
        lines = [f"{self.verdict}  is the gradient's estimate unbiased?"]
        if self.diagnosis:
            lines += ["", *wrap(self.diagnosis, "  ", at_most=8)]
        if self.table:
            head = f"{'mean estimate':>15}{'exact':>14}{'std. error':>12}{'z':>9}"
            lines += ["", f"  {'':26}{head}"]
        for row in self.table:
            z = "-" if math.isnan(row.z) else f"{row.z:.2f}" if abs(row.z) < 1e5 else f"{row.z:.0e}"
            numbers = f"{row.found:15.6g}{row.exact:14.6g}{row.standard_error:12.1e}{z:>9}"
            lines.append(f"  {shorten(element(row.name, row.index), 26):26}{numbers}")
        return "\n".join([*lines, "", *wrap(self.how, "  ", at_most=3)])

    def _repr_html_(self) -> str:
        """The same in a notebook."""
        rows = [
            (element(r.name, r.index), number(r.found), number(r.exact),
             f"{r.standard_error:.1e}", number(r.z, 3)) for r in self.table
        ]  # fmt: skip
        head = ("", "mean estimate", "exact", "std. error", "z")
        what = "Is the gradient's estimate unbiased?"
        return card(what, self.verdict, self.diagnosis or "", [("how", self.how)], head, rows)


class _Mean(NamedTuple):
    """The mean of the estimates."""

    found: Array
    error: Array
    """Its standard error; where nothing was sampled, how far the rule of quadrature may be off."""

    size: Array
    """The mean absolute estimate."""

    spread: Array
    """The range of the estimates."""

    calls: int
    sampled: bool


class _Question(NamedTuple):
    """The estimator at the parameters, all of them as one flat array."""

    estimator: Callable[[Any, np.random.Generator], Any]
    tree: Any
    names: list[str]
    arrays: list[Array]

    @property
    def flat(self) -> Array:
        return np.concatenate([a.ravel() for a in self.arrays])

    def rebuild(self, flat: Array) -> Any:
        """Parameters as the caller has them."""
        sizes = np.cumsum([a.size for a in self.arrays])[:-1]
        pieces = zip(np.split(flat, sizes), self.arrays, strict=True)
        return self.packed([piece.reshape(a.shape).copy() for piece, a in pieces])

    def packed(self, pieces: list[Array]) -> Any:
        """Arrays in the order of the parameters, as the caller has those."""
        if isinstance(self.tree, dict):
            return dict(zip(self.tree, pieces, strict=True))
        if isinstance(self.tree, list | tuple):
            return pieces if isinstance(self.tree, list) else tuple(pieces)
        return pieces[0]

    def estimate(self, rng: np.random.Generator) -> Array:
        """One estimate, flat."""
        found = self.estimator(self.packed([a.copy() for a in self.arrays]), rng)
        if isinstance(found, dict):
            if not isinstance(self.tree, dict):
                raise _WrongShape("the estimate is a dict, the parameters are not")
            if {*found} != {*self.tree}:
                raise _WrongShape(f"the estimate has keys {[*found]}, the parameters {self.names}")
            leaves = [found[name] for name in self.tree]
        elif isinstance(self.tree, list | tuple) and isinstance(found, list | tuple):
            leaves = list(found)
        else:
            leaves = [found]
        arrays = [np.asarray(values(leaf), np.float64) for leaf in leaves]
        shapes, wanted = [a.shape for a in arrays], [a.shape for a in self.arrays]
        if shapes != wanted:
            raise _WrongShape(f"the estimate has shapes {shapes}, the parameters {wanted}")
        return np.concatenate([a.ravel() for a in arrays])

    def leaf_of(self) -> Array:
        """Which parameter each element of the flat array belongs to."""
        return np.repeat(np.arange(len(self.arrays)), [a.size for a in self.arrays])


class _WrongShape(Exception):
    """The estimate is not of the parameters' shapes."""


@np.errstate(all="ignore")  # what overflows shows in the numbers
def check_unbiased(
    estimator: Callable[[Any, np.random.Generator], Any],
    objective: Callable[[Any], Any],
    parameters: Any,
    noise: Any = None,
    log_prob: Callable[..., Any] | None = None,
    f: Callable[..., Any] | None = None,
    *,
    samples: int = 65_536,
    seed: int = 0,
) -> UnbiasedReport:
    """Hold the mean of a gradient's estimates against the objective, and name the mistake.

    Parameters
    ----------
    estimator
        ``estimator(parameters, rng)``, an estimate of the gradient in the form of the parameters.
        All its chance must come from ``rng``, a NumPy ``Generator``.
    objective
        ``objective(parameters)``, the number whose gradient is estimated, without chance: in closed
        form, summed over all z, integrated, or over all data. It is differentiated by differences.
    parameters
        A floating-point array, or a list, tuple or dict of them.
    noise
        None: ``rng`` hands out whatever can be drawn from it, one after the other, and the mean is
        weighed with the probabilities. Whole numbers, choices and permutations are enumerated, and
        normal and uniform numbers integrated by Gauss-Hermite and Gauss-Legendre rules, as long as
        4,096 calls suffice; otherwise it is sampled. ``"normal"`` is the same. ``"signs"`` and
        ``("set", values, probabilities)`` stand in for each normal or uniform number, or row, that
        is asked for. ``("minibatches", N, M)`` says that of a permutation of N rows M are used, and
        names N and M to the diagnosis. ``"sample"`` samples in any case.
    log_prob, f
        Optional, for an objective E_q[f(parameters, z)]: log q(z) and f at n values of z, of shape
        ``(n,)``, as functions of the parameters and z of shape ``(n,)``, ``(n, 1)`` or ``(n, 2)``,
        or of the values of the set. They tell a missing or doubled score term and weights that are
        not detached.
    samples
        The most calls if the noise is sampled. They are doubled until a bias shows, or until a
        bias of a tenth of the gradient would show.
    seed
        Of the samples.

    Returns
    -------
    UnbiasedReport
        PASS if the mean agrees: to a relative error of 1e-6 and the errors of differences and of
        quadrature; or, sampled, to a t quantile that a right estimator exceeds once in a million
        checks. FAIL if it does not, or the estimate is of a wrong shape, not finite, or changes
        although ``rng`` does not. INCONCLUSIVE if noise hides a bias of a tenth of the gradient, if
        the objective is too rough for differences, or if estimates and gradient all vanish.

    Raises
    ------
    ValueError
        If parameters are not finite, the noise is unknown, or the objective is left to chance.
    """
    question = _question(estimator, parameters)
    law = law_from(noise)
    if (log_prob is None) != (f is None):
        raise ValueError("check_unbiased: log_prob and f go together; give both or neither")
    if not (isinstance(samples, int) and samples >= FIRST):
        raise ValueError(f"check_unbiased: samples={samples!r} must be a whole number from {FIRST}")
    exact, slack = _differentiate(objective, question)
    try:
        script = Scripted(law or Law(), RULES[-1], ROADS)
        fault = _fault(question, seed)
        if fault:
            return UnbiasedReport("FAIL", fault, how="Two calls with the same generator.")
        mean = law and _integrate(question.estimate, law, exact, script)
        mean = mean or _sample(question.estimate, exact, slack, samples, seed)
    except _WrongShape as wrong:
        return UnbiasedReport("FAIL", str(wrong), how="The first call of the estimator.")
    judged = _Judgement(question, exact, slack, mean, script)
    return judged.report(law or Law(), log_prob, f, seed)


def _question(estimator: Any, parameters: Any) -> _Question:
    if isinstance(parameters, dict):
        names, leaves = [str(name) for name in parameters], list(parameters.values())
    elif isinstance(parameters, list | tuple) and any(np.ndim(values(p)) for p in parameters):
        leaves = list(parameters)
        names = [f"parameters[{i}]" for i in range(len(leaves))]
    else:
        names, leaves = ["parameters"], [parameters]
    arrays = [np.array(values(leaf)) for leaf in leaves]
    for name, a in zip(names, arrays, strict=True):
        if a.dtype.kind not in "fiu" or not np.isfinite(a).all():
            raise ValueError(f"check_unbiased: {name} must be an array of finite numbers")
    if not sum(a.size for a in arrays):
        raise ValueError("check_unbiased: there are no parameters to differentiate by")
    tree = parameters if isinstance(parameters, dict | list | tuple) and len(names) > 0 else None
    if names == ["parameters"] and isinstance(parameters, list | tuple):
        tree = None  # a list of numbers is an array
    return _Question(estimator, tree, names, [a.astype(np.float64) for a in arrays])


def _differentiate(objective: Callable[[Any], Any], question: _Question) -> tuple[Array, Array]:
    """The gradient of the objective by extrapolated central differences, and its error."""

    def value(flat: Array) -> Array:
        out = np.asarray(values(objective(question.rebuild(flat))), np.float64)
        if out.size != 1:
            raise ValueError(
                f"check_unbiased: the objective has shape {out.shape}; it must be one number"
            )
        return out.reshape(1)

    x = question.flat
    first = value(x)
    if not np.isfinite(first).all():
        raise ValueError(f"check_unbiased: the objective is {first[0]} at these parameters")
    if not np.array_equal(first, value(x)):
        raise ValueError(
            "check_unbiased: two calls of the objective differ; it must be without chance, such as "
            "a sum over all z, an integral or a closed form"
        )
    slopes = []
    for i in range(x.size):

        def along(t: float, i: int = i) -> Array:
            moved = x.copy()
            moved[i] = t
            return value(moved) if math.isfinite(t) else np.array([math.nan])

        slopes.append(slope(along, float(x[i]), np.ones(1), 0.0, thorough=False))
    exact = np.array([s.value for s in slopes])
    return exact, np.array([s.error for s in slopes])


def _fault(question: _Question, seed: int) -> str | None:
    """What is wrong with an estimator before its mean is looked at."""
    first, second = (question.estimate(np.random.default_rng(seed)) for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        return (
            "the estimate changes although the generator does not: it draws from something else, "
            "such as np.random, or keeps something between calls"
        )
    return None


# ---- the expectation of the estimates ----


def _integrate(
    estimate: Callable[[np.random.Generator], Array], law: Law, exact: Array, script: Scripted
) -> _Mean | None:
    """The mean over all the noise there is, or None if that is too much, or too rough for rules."""
    try:
        estimate(script)
        d, roads = script.integrated, script.roads
        finite = roads // RULES[-1] ** d
        rules = [k for k, n in enumerate(RULES[:-1]) if finite * n**d <= ROADS]
        if not rules:
            return None
        means = [
            _weighted(estimate, Scripted(law, n, ROADS))
            for n in RULES[rules[0] : rules[0] + (2 if d else 1)]
        ]
    except (TooMany, Unscripted):
        return None
    error = np.abs(means[0].found - means[-1].found)
    size = np.maximum(np.abs(exact), means[0].size)
    if not (error <= 1e-3 * np.nan_to_num(size, nan=np.inf)).all():
        return None
    return means[0]._replace(error=error, calls=sum(m.calls for m in means))


def _weighted(estimate: Callable[[np.random.Generator], Array], script: Scripted) -> _Mean:
    """The mean over the roads of a script."""
    found: Any = 0.0
    size, low, high, calls = found, found + np.inf, found - np.inf, 0
    for weight, estimated in paths(estimate, script, ROADS):
        if weight > 0:
            found, size = found + weight * estimated, size + weight * np.abs(estimated)
            low, high = np.minimum(low, estimated), np.maximum(high, estimated)
        calls += 1
    return _Mean(found, 0.0 * size, size, high - low, calls, sampled=False)


def _sample(
    estimate: Callable[[np.random.Generator], Array],
    exact: Array,
    slack: Array,
    most: int,
    seed: int,
    clear_at: float = CLEAR_BIAS,
) -> _Mean:
    """The mean over samples, until a bias is clear or has no room, or the budget ends.

    It is clear at a standard error of ``clear_at`` times the gradient.
    """
    rng = np.random.default_rng(seed)
    sums, size = np.zeros((BATCHES, exact.size)), np.zeros(exact.size)
    low, high = np.full(exact.size, np.inf), np.full(exact.size, -np.inf)
    n = 0
    while True:
        for _ in range(max(n, FIRST)):
            estimated = estimate(rng)
            sums[n % BATCHES] += estimated
            size += np.abs(estimated)
            low, high = np.minimum(low, estimated), np.maximum(high, estimated)
            n += 1
        means = sums * (BATCHES / n)
        error = means.std(axis=0, ddof=1) / math.sqrt(BATCHES)
        mean = _Mean(means.mean(axis=0), error, size / n, high - low, n, sampled=True)
        if 2 * n > most or not np.isfinite(mean.found).all():
            return mean
        allowed, scale = _quantile(exact.size) * error + slack, _scale(exact, mean)
        wrong = np.abs(mean.found - exact) > allowed
        clear = (error <= clear_at * np.maximum(scale, np.abs(mean.found).max())).all()
        if (wrong.any() and clear) or (not wrong.any() and (allowed <= RESOLUTION * scale).all()):
            return mean


def _quantile(elements: int) -> float:
    """How many standard errors a right estimator may be off, over all elements and looks."""
    return float(stdtrit(BATCHES - 1, 1.0 - 0.5 * FALSE_ALARMS / (10 * elements)))


def _scale(exact: Array, mean: _Mean) -> Array:
    """The size that biases are compared with."""
    largest = np.max(np.abs(np.nan_to_num(exact)), initial=0.0)
    return np.full(exact.shape, largest if largest > 0 else np.max(mean.size, initial=0.0))


# ---- the judgement ----


class _Judgement(NamedTuple):
    """What is known when all is computed."""

    question: _Question
    exact: Array
    slack: Array
    mean: _Mean
    script: Scripted

    def report(self, law: Law, log_prob: Any, f: Any, seed: int) -> UnbiasedReport:
        """The verdict, with its reasons."""
        mean, exact = self.mean, self.exact
        asked = self.asked(seed)
        smooth = np.isfinite(exact)
        scale = _scale(exact, mean)
        allowed = self.slack + TOLERANCE * scale + 1e-12 * mean.size
        allowed = allowed + (_quantile(exact.size) if mean.sampled else 8.0) * mean.error
        off = np.abs(mean.found - exact)
        wrong = smooth & ~(off <= allowed)
        make = _maker(self.table(allowed), self.how(asked, allowed / scale), asked)
        if not np.isfinite(mean.found).all():
            return make("FAIL", "estimates are not finite: NaN or infinity")
        if wrong.any():
            # an element in which noise hides everything cannot tell one mistake from another
            return make("FAIL", self.diagnosis(wrong, smooth, law, log_prob, f, asked, seed))
        if not smooth.all():
            return make("INCONCLUSIVE", "the objective is too rough for differences, or has a kink")
        if not (np.any(exact) or np.any(mean.size)):
            return make("INCONCLUSIVE", "the gradient and all estimates vanish: choose parameters "
                                        "at which the objective has a slope")  # fmt: skip
        if not (allowed <= RESOLUTION * scale).all():
            hidden = float(np.max(allowed / scale))
            return make("INCONCLUSIVE", f"no bias is seen, but the noise would hide one of "
                        f"{hidden:.2g} times the gradient: allow more samples")  # fmt: skip
        return make("PASS", None)

    def asked(self, seed: int) -> int:
        """How many draws an estimate asks for."""
        self.script.begin()
        with suppress(TooMany, Unscripted, _WrongShape):
            self.question.estimate(self.script)
        return self.script.asked

    def diagnosis(
        self, wrong: Array, smooth: Array, law: Law, log_prob: Any, f: Any, asked: int, seed: int
    ) -> str:
        """What kind of mistake it is."""
        error = self.mean.error + self.slack
        whole = Bias(self.mean.found[smooth], self.exact[smooth], error[smooth], asked,
                     law.minibatch)  # fmt: skip
        parts = None
        if log_prob is not None and f is not None:
            support = law.support if law.support is not None else self.script.pool
            parts = parts_of(log_prob, f, self.question.flat, self.question.rebuild, support)
            some = (part[smooth] for part in (parts.score, parts.direct, parts.attached))
            whole = replace(whole, parts=type(parts)(*some))
        if not np.any(self.mean.size):
            return "all estimates are zero: nothing is passed back, or it is lost on the way"
        said = diagnose_bias(whole)
        if "no single factor" not in said and "times what" not in said:
            return f"the gradient {said}"
        if np.any(self.mean.spread) and self.right_if_redrawn(law, seed):
            return (
                "a noise is used twice: the estimate is right as soon as each use has draws of its "
                "own. Draw once for each factor of a product"
            )
        if not np.any(self.mean.spread):
            asks = "asks the generator for nothing" if asked == 0 else "does not use its draws"
            return (
                f"the estimates never change: the estimator {asks}, as if its noise were drawn "
                "once and for all"
            )
        return self.leaf_by_leaf(wrong, smooth, whole, parts)

    def leaf_by_leaf(
        self, wrong: Array, smooth: Array, whole: Bias, parts: Any
    ) -> str:
        """The mistakes of the parameters that are wrong, where not all show the same."""
        leaf = self.question.leaf_of()
        sentences: dict[str, list[str]] = {}
        error, names = self.mean.error + self.slack, self.question.names
        for k in np.unique(leaf[wrong]).tolist():
            some = (leaf == k) & smooth
            own = parts and type(parts)(parts.score[some], parts.direct[some], parts.attached[some])
            bias = replace(whole, found=self.mean.found[some], exact=self.exact[some],
                           error=error[some], parts=own)  # fmt: skip
            own_said = diagnose_bias(bias)
            if self.transposed(k, bias):
                own_said = "is transposed"
            sentences.setdefault(own_said, []).append(names[k])
        if len(names) == 1:
            return f"the gradient {own_said}"
        right = [n for k, n in enumerate(names) if k not in leaf[wrong]]
        several = [f"the gradient of {' and '.join(n)} {s}" for s, n in sentences.items()]
        also = f"; that of {' and '.join(right)} is right" if right else ""
        return "; ".join(several) + also

    def transposed(self, k: int, bias: Bias) -> bool:
        """Whether the gradient of a square matrix comes out as its transpose."""
        shape = self.question.arrays[k].shape
        square = len(shape) == 2 and shape[0] == shape[1] > 1 and bias.exact.size == shape[0] ** 2
        return square and bias.is_(bias.exact.reshape(shape).T.ravel())

    def room(self, mean: _Mean) -> Array:
        """How far a mean of the redrawn estimates may lie from the gradient."""
        return 5.0 * mean.error + self.slack + 1e-6 * _scale(self.exact, mean)

    def allows(self, mean: _Mean) -> bool:
        """Whether it lies no further."""
        return bool((np.abs(mean.found - self.exact) <= self.room(mean)).all())

    def right_if_redrawn(self, law: Law, seed: int) -> bool:
        """Whether the mean comes right when each use of the noise draws afresh."""
        calls = 8 * FIRST
        for late in (False, True):

            def estimate(rng: np.random.Generator, late: bool = late) -> Array:
                return self.question.estimate(Redrawing(rng, late))

            try:
                # most are still wrong, which a first look tells; nobody asks in which way
                mean = _sample(estimate, self.exact, self.slack, calls, seed, math.inf)
                if not self.mean.sampled and self.allows(mean):
                    script = Scripted(law, RULES[-1], ROADS)
                    mean = _integrate(estimate, law, self.exact, script) or mean
            except Exception:  # not every estimator runs on arrays that are drawn late
                continue
            before = np.max(np.abs(self.mean.found - self.exact))
            if self.allows(mean) and np.max(self.room(mean)) <= 0.3 * before:
                return True
        return False

    def table(self, allowed: Array) -> list[UnbiasedRow]:
        """The five worst elements."""
        mean, rows = self.mean, []
        places = [
            (name, index)
            for name, a in zip(self.question.names, self.question.arrays, strict=True)
            for index in np.ndindex(a.shape)
        ]
        badness = np.nan_to_num(np.abs(mean.found - self.exact) / (allowed + 1e-300), nan=np.inf)
        for i in np.argsort(-badness, kind="stable")[:5].tolist():
            error = float(mean.error[i]) if mean.sampled else 0.0
            z = float((mean.found[i] - self.exact[i]) / error) if error > 0 else math.nan
            found, exact = float(mean.found[i]), float(self.exact[i])
            name, index = places[i]
            rows.append(UnbiasedRow(name, index, found, exact, error, z))
        return rows

    def how(self, asked: int, hidden: Array) -> str:
        """How the mean was found, and how large a bias, relative to the gradient, is not seen."""
        draws = f"an estimate asks for {asked} draws"
        if self.mean.sampled:
            counted = f"{draws}; " if asked else ""  # not every draw can be counted
            least = f"a bias below {np.max(hidden):.1g} times the gradient would not show"
            return f"Sampled {self.mean.calls:,} times; {counted}{least}."
        way = "integrated" if self.script.integrated else "enumerated"
        return f"All noise {way} in {self.mean.calls:,} calls; {draws}."


def _maker(table: list[UnbiasedRow], how: str, asked: int) -> Callable[..., UnbiasedReport]:
    return lambda verdict, diagnosis: UnbiasedReport(verdict, diagnosis, table, how, asked)
