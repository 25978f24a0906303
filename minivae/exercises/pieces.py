"""The places in a training run that a student's answers fill, and how an answer is watched there.

Each place has the library's own function, with which every call of an answer is compared. What an
answer gives is used as long as it is the library's to rounding. An answer that crashes, differs or
takes too long is put aside, with the reason, and the library's function goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import minivae_kernels as kernels
from minivae import ops
from minivae.exercises.catalogue import Exercise
from minivae.exercises.running import describe
from minivae.objectives import importance_weighted_bound, minibatch_estimate
from minivae.tensor import Array, unbroadcast, values

__all__ = ["PLACES", "Answer", "Piece", "Place"]

Function = Callable[..., Any]

SAME = 1e-7  # of the largest number: far above rounding, far below any mistake
PATIENCE = 60.0  # seconds that an answer may take in all


def difference(found: Any, expected: Any, inputs: Sequence[Any]) -> str:
    """What is wrong with a result, as a sentence; nothing if it is right to rounding."""
    several = isinstance(expected, tuple)
    found = tuple(found) if several and isinstance(found, list) else found
    if several and not (isinstance(found, tuple) and len(found) == len(expected)):
        return f"It does not return the {len(expected)} results that are asked for"
    parts = zip(found if several else [found], expected if several else [expected], strict=True)
    for own, right in parts:
        a, b = np.asarray(own), np.asarray(right)
        if a.shape != b.shape or a.dtype.kind not in "fiu":
            return f"It returns {a.dtype} of shape {a.shape} where {b.shape} is right"
        off, largest = np.abs(a - b), np.abs(b).max(initial=0.0)
        if not (off <= SAME * largest + 1e-300).all():
            at = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), a.shape)
            return f"It gives {a[at]:.7g} where the library gives {b[at]:.7g}"
    return ""


def fault_of_order(found: Any, expected: Any, inputs: Sequence[Any]) -> str:
    """The same for an order of the walk: each that puts a node before its inputs is right."""
    _, made_from = inputs
    place = {node: i for i, node in enumerate(found)}
    if len(place) != len(found) or set(place) != set(expected):
        return f"The order has {len(found)} nodes where each of {len(expected)} belongs there once"
    if any(place[node] > place[i] for node in place for i in made_from[node]):
        return "A node stands behind one that it was made from"
    return ""


def _as_it_is(answer: Function) -> Function:
    return answer


class Place(NamedTuple):
    """What a place is for, the library's function, and which exercises' answers fit.

    Each of ``fits`` brings the answer of one exercise into the form of the library's function.
    """

    what: str
    library: Function
    fits: Mapping[str, Callable[[Function], Function]]
    fault: Callable[[Any, Any, Sequence[Any]], str] = difference


class Answer(NamedTuple):
    """The function that a student wrote for an exercise, and the file it stands in."""

    exercise: Exercise
    function: Function
    file: str = ""


class Piece:
    """A place and what fills it; it is called as the library's function is.

    Parameters
    ----------
    place
        Where.
    answer
        The student's, or None where the library's own function fills the place.

    Attributes
    ----------
    fault
        Why the answer was put aside, as a sentence.
    calls, seconds
        How often the answer was called, and how long it took in all.
    """

    def __init__(self, place: Place, answer: Answer | None) -> None:
        self.place, self.answer = place, answer
        self.fault, self.calls, self.seconds = "", 0, 0.0
        if answer is not None:
            self._own = place.fits[answer.exercise.number](answer.function)

    @property
    def is_own(self) -> bool:
        """Whether the student's answer is in use."""
        return self.answer is not None and not self.fault

    def __call__(self, *inputs: Any) -> Any:
        """The student's result if it is the library's to rounding; else the library's."""
        expected = self.place.library(*inputs)
        if self.answer is None or self.fault:
            return expected
        found = self._call(self.answer, inputs, expected)
        return expected if self.fault else found

    def _call(self, answer: Answer, inputs: Sequence[Any], expected: Any) -> Any:
        there = f" (inputs of shapes {', '.join(str(np.shape(x)) for x in inputs)})"
        begun = time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                found = self._own(*inputs)
            self.fault = self.place.fault(found, expected, inputs)
        except KeyboardInterrupt:
            which = f"exercise {answer.exercise.number}, {answer.exercise.title}"
            raise KeyboardInterrupt(f"interrupted while the answer to {which}, ran") from None
        except (Exception, SystemExit) as error:
            self.fault = describe(error, answer.file)
        self.calls += 1
        self.seconds += time.perf_counter() - begun
        if self.fault:
            self.fault += there
        elif self.seconds > PATIENCE:
            self.fault = (
                f"It is right, and slow: {self.calls} calls took {self.seconds:.0f} seconds; is "
                f"there a loop where NumPy takes whole arrays?{there}"
            )
        return found if not self.fault else None


# ---- the library's functions, in the form in which the exercises ask for them ----


def _adam(theta: Array, g: Array, m: Array, v: Array, t: int, *settings: float) -> Any:
    learning_rate, beta1, beta2, epsilon = settings
    new, first, second = (a.copy() for a in (theta, m, v))
    kernels.adam_update(
        [new], [g], [first], [second], step=t, learning_rate=learning_rate, beta1=beta1,
        beta2=beta2, epsilon=epsilon,
    )  # fmt: skip
    return new, first, second


def _slope(logits: Array, x: Array) -> Any:
    """The slope of -log p(x | z) by the logits."""
    return -kernels.binomial_log_prob_backward(np.ones(len(x)), logits, x, 1.0)


def _elbo(x: Array, logits: Array, mu: Array, log_var: Array, z: Array, log_p: Array) -> Any:
    return np.mean(log_p, axis=0) - ops.gaussian_kl(mu, log_var)


def _one_by_one(elbo: Function) -> Function:
    """The ELBO of one datum, for each."""
    return lambda x, logits, mu, log_var, z, log_p: np.array(
        [elbo(x[n], logits[:, n], mu[n], log_var[n]) for n in range(len(x))]
    )


def _sample_by_sample(elbo: Function) -> Function:
    return lambda x, logits, mu, log_var, z, log_p: np.mean(
        [elbo(log_p[s], mu, log_var, z[s]) for s in range(len(z))], axis=0
    )


def _responsibilities(log_pi: Array, log_density: Array, *_: Array) -> Any:
    log_joint = log_pi + log_density
    return np.exp(log_joint - ops.logsumexp(log_joint, 1, keepdims=True))


def _m_step(x: Array, r: Array) -> Any:
    mu = np.stack([np.average(x, axis=0, weights=w) for w in r.T])
    return r.mean(axis=0), mu, np.stack([np.cov(x.T, aweights=w, bias=True) for w in r.T])


def _kl_to_mixture(log_var: Array, log_pi: Array, log_components: Array) -> Any:
    entropy = 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)
    return -entropy - ops.logsumexp(log_pi + log_components, -1).mean(axis=0)


def _linear_vjp(g: Array, out: Array, X: Array, W: Array, b: Array) -> Any:
    return kernels.linear_backward(g, out, X, W, "tanh", (True, True, True))


PLACES = {
    "scale": Place("the VJP of a product", ops.multiply.vjp, {"01": _as_it_is}),
    "bias": Place("the adjoint of broadcasting a bias", unbroadcast, {"02": _as_it_is}),
    "order": Place(
        "the order of the walk back",
        lambda root, inputs: sorted(inputs),
        {"03": _as_it_is},
        fault_of_order,
    ),
    "matmul": Place("the VJP of a matrix product", ops.matmul.vjp, {"05": _as_it_is}),
    "tanh": Place(
        "the VJP of tanh",
        lambda g, out, x: ops.tanh.vjp(g, out, x),
        {"06": lambda answer: lambda g, out, x: answer(g, out, np.logaddexp(0.0, x), x)[0]},
    ),
    "layer": Place("the VJP of the encoder's layer", _linear_vjp, {"09": _as_it_is}),
    "adam": Place("a step of Adam", _adam, {"10": _as_it_is}),
    "likelihood": Place(
        "log p(x | z)", lambda x, logits: ops.binomial_log_prob(logits, x), {"11": _as_it_is}
    ),
    "slope": Place(
        "the slope of log p(x | z)",
        _slope,
        {"24": lambda answer: lambda logits, x: answer(logits, x)[1]},
    ),
    "kl": Place(
        "the KL",
        ops.gaussian_kl,
        {
            "13": _as_it_is,
            "28": lambda answer: lambda mu, log_var: answer(
                mu, np.exp(log_var / 2), np.zeros_like(mu), np.ones_like(mu)
            ),
        },
    ),
    "sample": Place(
        "the VJP of a sample of z",
        lambda g, out, mu, log_var, eps: ops.reparameterise.vjp(
            g, out, mu, log_var, eps, (True, True, False)
        )[:2],
        {"14": _as_it_is},
    ),
    "minibatch": Place(
        "the factor N/M of a minibatch",
        lambda terms, log_prior, n_total: minibatch_estimate(terms, n_total) + log_prior,
        {"16": _as_it_is},
    ),
    "elbo": Place("the ELBO of new digits", _elbo, {"15": _one_by_one, "27": _sample_by_sample}),
    "density": Place(
        "log q(z | x) and log p(z)",
        lambda x, mu, log_var: ops.gaussian_log_prob(mu, log_var, x),
        {"12": _as_it_is},
    ),
    "bound": Place(
        "the importance-weighted bound",
        lambda log_p, log_prior, log_q: values(
            importance_weighted_bound(log_p + log_prior - log_q)
        ),
        {
            "18": lambda answer: lambda log_p, log_prior, log_q: answer(log_p + log_prior - log_q),
            "25": _as_it_is,
        },
    ),
    "responsibilities": Place(
        "the E-step on the codes",
        _responsibilities,
        {
            "19": lambda answer: lambda log_pi, log_density, *_: answer(log_pi, log_density),
            "26": lambda answer: lambda log_pi, log_density, x, mu, Sigma: answer(
                x, np.exp(log_pi), mu, Sigma
            ),
        },
    ),
    "m_step": Place("the M-step on the codes", _m_step, {"20": _as_it_is}),
    "logsumexp": Place(
        "log p(z) of the mixture", lambda a: ops.logsumexp(a, 1), {"07": _as_it_is}
    ),
    "kl_to_mixture": Place("the KL to the mixture", _kl_to_mixture, {"21": _as_it_is}),
}
"""By the name under which the run calls them, in the order of the run."""
