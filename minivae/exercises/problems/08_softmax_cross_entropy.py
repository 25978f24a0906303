"""08 Softmax cross-entropy

The logits a, (N, K), give the probabilities softmax(a) of K classes for each of
N data. The loss of datum n is -log of the probability of its label:
logsumexp(a[n]) - a[n, labels[n]]. From the derivative of logsumexp, equation
AD.7, follows that of the loss: it needs no logarithm at all.
"""

import numpy as np


def log_softmax(a):
    """Compute the logarithms of the probabilities, (N, K)."""
    a = a - a.max(axis=1, keepdims=True)
    return a - np.log(np.exp(a).sum(axis=1, keepdims=True))


def cross_entropy(a, labels):
    """Compute the loss of each datum, (N,)."""
    return -log_softmax(a)[np.arange(len(a)), labels]


def cross_entropy_vjp(g, out, a, labels):
    """Return the cotangent of a, (N, K); g and out are (N,), labels are whole numbers, (N,)."""
    # --- your code: return one array ---
    slope = np.exp(log_softmax(a))
    slope[np.arange(len(a)), labels] -= 1
    return g[:, None] * slope
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import (
    Wrong,
    call,
    check_function,
    check_vjp,
    combined,
    draw,
    named,
)

EQUATIONS = ["AD.7"]
SECTION = "reverse_mode#five-derivations"

HINTS = [
    "The loss has two terms. Differentiate logsumexp(a[n]) by a[n, k] with equation AD.7, then the "
    "term -a[n, labels[n]]: on which elements does it depend?",
    "The derivative is the softmax, less 1 at the label: predicted minus true probabilities. Each "
    "row is multiplied by the cotangent of its own loss.",
    "slope = np.exp(log_softmax(a)); subtract 1 at [np.arange(len(a)), labels]; then "
    "g[:, None] * slope.",
]


def check(answer):
    labels = np.array([2, 0, 3])

    def forward(a):
        return cross_entropy(a, labels)

    @named("cross_entropy_vjp")
    def vjp(g, out, a):
        return call(answer.cross_entropy_vjp, g, out, a, labels)

    hot = np.eye(4)[labels]

    def softmax(a):
        return np.exp(log_softmax(a))

    suspects = {
        "the 1 at the label is missing: this is the gradient of logsumexp alone": (
            lambda g, out, a: g[:, None] * softmax(a)
        ),
        "the 1 is subtracted everywhere, where it belongs to the label alone": (
            lambda g, out, a: g[:, None] * (softmax(a) - 1)
        ),
        "only the label's own logit is counted: the others enter through the normaliser": (
            lambda g, out, a: g[:, None] * (softmax(a) - 1) * hot
        ),
        "the 1 at the label has the wrong sign": lambda g, out, a: g[:, None] * (softmax(a) + hot),
        "the softmax is missing: these are the logits less the one-hot label": (
            lambda g, out, a: g[:, None] * (a - hot)
        ),
        "the logarithm of the softmax where the softmax itself is meant": (
            lambda g, out, a: g[:, None] * (log_softmax(a) - hot)
        ),
        "the softmax runs along the data, axis 0, where it runs along the classes": (
            lambda g, out, a: g[:, None] * (np.exp(log_softmax(a.T).T) - hot)
        ),
        "the derivative by the probability, -1/p, where that by the logits is asked for": (
            lambda g, out, a: g[:, None] * -hot / softmax(a)
        ),
        "the derivative of the softmax enters once too often": (
            lambda g, out, a: g[:, None] * (softmax(a) - hot) * softmax(a) * (1 - softmax(a))
        ),
        "the label's number is subtracted everywhere: it says where the 1 is subtracted": (
            lambda g, out, a: g[:, None] * (softmax(a) - labels[:, None])
        ),
        "the mean over the data is taken: each loss has a cotangent of its own": (
            lambda g, out, a: g[:, None] * (softmax(a) - hot) / len(a)
        ),
    }
    suspects |= combined(
        lambda g, out, a, p, label, more, back: (
            back(g, out)[:, None] * (p(a) + label(a)) * more(softmax(a))
        ),
        p={
            "": softmax,
            "exp(a) is not normalised: the probabilities of a row sum to 1": np.exp,
            "the logits stand where the probabilities are meant": lambda a: a,
            "the log-probabilities stand where the probabilities are meant": log_softmax,
            "the sigmoid stands where the softmax is meant": lambda a: 1 / (1 + np.exp(-a)),
            "the softmax runs along the data": lambda a: np.exp(log_softmax(a.T).T),
            "the probabilities are squared": lambda a: softmax(a) ** 2,
            "p (1 - p) stands where p is meant": lambda a: softmax(a) * (1 - softmax(a)),
            "the probabilities are missing: only the label's 1 is there": lambda a: 0 * a,
        },
        label={
            "": lambda a: -hot,
            "the 1 at the label is missing": lambda a: 0 * a,
            "the 1 at the label is added, where it is subtracted": lambda a: hot,
            "the 1 is subtracted in every column that is somebody's label: each row has its own": (
                lambda a: -np.minimum(hot.sum(axis=0), 1) + 0 * a
            ),
            "the 1 stands one place before the label: labels count from 0": (
                lambda a: -np.roll(hot, -1, axis=1)
            ),
            "the 1 stands one place behind the label: labels count from 0": (
                lambda a: -np.roll(hot, 1, axis=1)
            ),
        },
        more={
            "": lambda p: 1.0,
            "a factor p is too many": lambda p: p,
            "a factor p (1 - p) is too many": lambda p: p * (1 - p),
            "a factor -p is too many": lambda p: -p,
            "the label's row alone counts": lambda p: hot,
            "divided by p": lambda p: 1 / p,
            "divided by N: each loss has a cotangent of its own": lambda p: 1 / len(p),
            "divided by K": lambda p: 1 / p.shape[1],
        },
        back={
            "": lambda g, out: g,
            "the cotangent g is left out": lambda g, out: np.ones_like(g),
            "out stands where g is meant": lambda g, out: out,
            "g is summed: each loss has a cotangent of its own": lambda g, out: g.sum() + 0 * g,
            "g is averaged: each loss has a cotangent of its own": lambda g, out: g.mean() + 0 * g,
        },
    )
    def right(g, out, a):
        return cross_entropy_vjp(g, out, a, labels)

    check_vjp(vjp, forward, right, suspects=suspects, resized=False, a=draw(3, 4))
    check_function(
        answer.cross_entropy_vjp,
        cross_entropy_vjp,
        repair=with_loss,
        elsewhere={
            "where the logits reach 1000: exp overflows there; log_softmax is given for that": {
                "a": 1000 * draw(3, 4, seed=1),
            },
            "where the logits lie near -1000: exp is 0 there, and 0/0; log_softmax is given": (
                {"a": draw(3, 4, seed=1) - 1000}
            ),
            "where two data have the same label": {"labels": np.array([1, 1, 3])},
        },
        g=draw(3, seed=2),
        out=draw(3, seed=3),
        a=draw(3, 4, seed=4),
        labels=np.array([3, 1, 0]),
    )


def with_loss(inputs):
    """The same inputs with the loss that belongs to them."""
    return {**inputs, "out": cross_entropy(inputs["a"], inputs["labels"])}


WRONG = [
    Wrong("return g[:, None] * np.exp(log_softmax(a))", "1 at the label is missing"),
    Wrong("return g[:, None] * (np.exp(log_softmax(a)) - 1)", "subtracted everywhere"),
    Wrong(
        "slope = np.exp(log_softmax(a))\nslope[np.arange(len(a)), labels] -= 1\nreturn slope",
        "cotangent g is left out",
    ),
    Wrong(
        "slope = np.exp(log_softmax(a))\nslope[np.arange(len(a)), labels] += 1\n"
        "return g[:, None] * slope",
        "1 at the label has the wrong sign",
    ),
    Wrong(
        "slope = -np.exp(log_softmax(a))\nslope[np.arange(len(a)), labels] += 1\n"
        "return g[:, None] * slope",
        "wrong sign",
    ),
    Wrong(
        "slope = np.exp(log_softmax(a))\nslope[np.arange(len(a)), labels] -= 1\n"
        "return g[:, None] * slope / len(a)",
        "mean over the data",
    ),
    Wrong(
        "slope = np.exp(log_softmax(a))\nslope[np.arange(len(a)), labels] -= 1\nreturn g * slope",
        "broadcast",
    ),
    Wrong(
        "slope = a.copy()\nslope[np.arange(len(a)), labels] -= 1\nreturn g[:, None] * slope",
        "softmax is missing",
    ),
    Wrong(
        "slope = np.zeros_like(a)\n"
        "slope[np.arange(len(a)), labels] = -1 / np.exp(-out)\nreturn g[:, None] * slope",
        "derivative by the probability",
    ),
    Wrong(
        "slope = np.exp(log_softmax(a))\nslope[:, labels] -= 1\nreturn g[:, None] * slope",
        "each row has its own",
    ),
    Wrong(
        "slope = np.exp(log_softmax(a))\nslope[np.arange(len(a)), labels] -= 1\n"
        "return g.sum() * slope",
        "g is summed",
    ),
    Wrong(
        "p = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)\n"
        "p[np.arange(len(a)), labels] -= 1\n"
        "return g[:, None] * p",
        "logits reach 1000: exp overflows",
    ),
    Wrong(
        "slope = np.exp(log_softmax(a))\n"
        "slope[np.arange(len(a)), labels - 1] -= 1\n"
        "return g[:, None] * slope",
        "one place before the label",
    ),
    Wrong(
        "slope = np.exp(log_softmax(a)) - np.eye(len(a))[labels]\n"
        "return g[:, None] * slope",
        "index of another axis",
    ),
    Wrong(
        "slope = np.exp(log_softmax(a))\n"
        "for n in range(3):\n"
        "    slope[n, labels[n]] -= 1\n"
        "return g[:, None] * slope",
        "has length 1",
    ),
]
