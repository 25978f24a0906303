"""33 A baseline that does not look

The score-function gradient of the ELBO weighs each sample's score by its log w,
less a baseline: the mean of the OTHER samples' log w, equation GRAD.2. So the
noise is less and the mean stays as it is.
"""

import numpy as np


def gradient(log_w, scores):
    """Return the estimate ``(K,)`` from log w ``(S,)`` and the scores ``(S, K)``."""
    # --- your code: return an array of K numbers ---
    S = len(log_w)
    baseline = (log_w.sum() - log_w) / (S - 1)
    return np.mean((log_w - baseline)[:, None] * scores, axis=0)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["GRAD.2"]
SECTION = "gradients_and_evidence#score-function"

HINTS = [
    "A baseline must not depend on the sample that it is for. How many others are there?",
    "The sum of the others is the sum of all less one's own. Divide by their number.",
    "baseline = (log_w.sum() - log_w) / (S - 1), the mean of (log_w - baseline) * score",
]


def made(log_w, scores, baseline, sign, over):
    return over((log_w + sign * baseline(log_w))[:, None] * scores)


SUSPECTS = combined(
    made,
    baseline={
        "": lambda a: (a.sum() - a) / (len(a) - 1),
        "the baseline has the sample itself in it: the mean comes out too small by (S - 1)/S": (
            lambda a: np.full(len(a), a.mean())
        ),
        "there is no baseline": lambda a: 0 * a,
        "the sum of the others is divided by S: there are S - 1 of them": lambda a: (
            (a.sum() - a) / len(a)
        ),
        "the sum of the others is not divided by their number": lambda a: a.sum() - a,
        "the sample is not taken out of the sum": lambda a: np.full(len(a), a.sum() / (len(a) - 1)),
        "the baseline is the sample itself: nothing is left": lambda a: a,
        "the baseline is the largest of all": lambda a: np.full(len(a), a.max()),
        "the baseline is the median of all, with the sample in it": lambda a: np.full(
            len(a), np.median(a)
        ),
    },
    sign={"": -1, "the baseline is added": 1},
    over={
        "": lambda g: g.mean(axis=0),
        "a sum over the samples, where a mean is meant": lambda g: g.sum(axis=0),
        "divided by S - 1, where the mean over S samples is meant": lambda g: (
            g.sum(axis=0) / (len(g) - 1)
        ),
        "the mean is over everything: one number for each parameter is asked for": lambda g: (
            g.mean()
        ),
        "the mean is over the parameters: the samples lie along axis 0": lambda g: g.mean(axis=1),
        "the sign is wrong: this leads downhill": lambda g: -g.mean(axis=0),
    },
)
SUSPECTS |= {
    "the weights are used, where their logarithms are meant": lambda a, s: gradient(np.exp(a), s),
    "the baseline is subtracted from the scores, not from log w": lambda a, s: np.mean(
        a[:, None] * (s - ((a.sum() - a) / (len(a) - 1))[:, None]), axis=0
    ),
}


def check(answer):
    log_w = draw(5, seed=1) - 3.0
    check_function(
        answer.gradient, gradient, suspects=SUSPECTS,
        elsewhere={
            "where q is the posterior, so that all log w are equal: the estimate is 0 there": {
                "log_w": np.array([-3.0, -3.0, -3.0, -3.0, -3.0 + 1e-9]),
            },
        },
        log_w=log_w, scores=draw(5, 3, seed=2),
    )  # fmt: skip


REST = "return np.mean((log_w - baseline)[:, None] * scores, axis=0)"

WRONG = [
    Wrong("baseline = log_w.mean()\n" + REST, "sample itself in it"),
    Wrong("baseline = 0\n" + REST, "no baseline"),
    Wrong("baseline = (log_w.sum() - log_w) / len(log_w)\n" + REST, "divided by S"),
    Wrong("baseline = log_w.sum() - log_w\n" + REST, "not divided by their number"),
    Wrong("baseline = log_w.sum() / (len(log_w) - 1)\n" + REST, "not taken out"),
    Wrong(
        "baseline = (log_w.sum() - log_w) / (len(log_w) - 1)\n" + REST.replace("mean", "sum"),
        "a sum over the samples",
    ),
    Wrong(
        "baseline = (log_w.sum() - log_w) / (len(log_w) - 1)\n" + REST.replace("-", "+"),
        "is added",
    ),
    Wrong(
        "baseline = (log_w.sum() - log_w) / (len(log_w) - 1)\n" + REST.replace("n np", "n -np"),
        "sign",
    ),
    Wrong("baseline = np.median(log_w)\n" + REST, "median"),
    Wrong("baseline = log_w.max()\n" + REST, "largest"),
]
