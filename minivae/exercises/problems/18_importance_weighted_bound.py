"""18 The importance-weighted bound

Average the weights w = p(x, z) / q(z | x) of S samples before the logarithm is
taken, and the bound on log p(x) is tighter than the ELBO: equation IWAE.2.
Given are the logarithms of the weights. For a picture they are near -1000, and
exp(-1000) is 0 on a computer: the bound must come out all the same.
"""

import numpy as np


def importance_weighted_bound(log_weights):
    """Return log (1/S sum_s w_s) of each datum, ``(N,)``, from log w ``(S, N)``."""
    # --- your code: return an array of N numbers ---
    top = log_weights.max(axis=0)
    return top + np.log(np.mean(np.exp(log_weights - top), axis=0))
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["IWAE.2"]
SECTION = "tighter_bounds#the-importance-weighted-bound"

HINTS = [
    "Which comes first, the mean or the logarithm? And along which axis do the samples lie?",
    "log mean exp(a) does not change if the largest a is taken out of all, and added again at the "
    "end. Each datum has a largest of its own.",
    "top = log_weights.max(axis=0); return top + np.log(np.mean(np.exp(...), axis=0))",
]


SUSPECTS = {
    "this is the ELBO, the mean of the log-weights: take the mean of the weights, then the "
    "logarithm": lambda a: a.mean(axis=0),
    "the 1/S is missing: a sum of weights where their mean is meant": lambda a: (
        importance_weighted_bound(a) + np.log(len(a))
    ),
    "divided by S outside the logarithm: it belongs inside, where it is - log S": lambda a: (
        (importance_weighted_bound(a) + np.log(len(a))) / len(a)
    ),
    "the log S is added; it has to be subtracted": lambda a: (
        importance_weighted_bound(a) + 2 * np.log(len(a))
    ),
    "the log of N is subtracted, where the mean is over S samples": lambda a: (
        importance_weighted_bound(a) + np.log(len(a)) - np.log(a.shape[1])
    ),
    "the number S is subtracted, and not its logarithm": lambda a: (
        importance_weighted_bound(a) + np.log(len(a)) - len(a)
    ),
    "the largest log-weight was taken out and not added again": lambda a: (
        importance_weighted_bound(a) - a.max(axis=0)
    ),
    "this is the largest log-weight alone": lambda a: a.max(axis=0),
    "the logarithm is missing: this is the mean weight": lambda a: np.exp(a).mean(axis=0),
    "the log-weights have the wrong sign: w is p over q": lambda a: importance_weighted_bound(-a),
    "the mean is over the data, along axis 1: the samples lie along axis 0": lambda a: (
        importance_weighted_bound(a.T)
    ),
    "all weights were put into one mean: each datum has a bound of its own": lambda a: (
        importance_weighted_bound(a.reshape(-1, 1))[0]
    ),
    "these are averaged over the data: one number for each is asked for": lambda a: (
        importance_weighted_bound(a).mean()
    ),
}


def made(a, take, out, back, log):
    top = take(a)
    inside = np.exp(a - top)
    return back(top.max(axis=0)) + log(out(inside), a)


SUSPECTS |= combined(
    made,
    take={"": lambda a: a.max(axis=0, keepdims=True)},
    out={
        "": lambda w: w.mean(axis=0),
        "a sum of weights, where their mean is meant": lambda w: w.sum(axis=0),
        "a median of the weights, where their mean is meant": lambda w: np.median(w, axis=0),
        "divided by S - 1": lambda w: w.sum(axis=0) / (len(w) - 1),
        "divided by S twice": lambda w: w.mean(axis=0) / len(w),
        "divided by N, where there are S samples": lambda w: w.sum(axis=0) / w.shape[1],
        "the mean is over everything: each datum has a bound of its own": lambda w: w.mean(),
        "the mean of the squared weights": lambda w: (w**2).mean(axis=0),
        "this is the effective sample size (equation IWAE.3), not the bound": lambda w: (
            w.sum(axis=0) ** 2 / (w**2).sum(axis=0)
        ),
    },
    back={
        "": lambda top: top,
        "the largest log-weight was not added again": lambda top: 0 * top,
        "the largest log-weight is subtracted again: add it": lambda top: -top,
        "the largest log-weight is added twice": lambda top: 2 * top,
    },
    log={
        "": lambda w, a: np.log(w),
        "the logarithm is missing": lambda w, a: w,
        "the logarithm has the wrong sign": lambda w, a: -np.log(w),
        "the logarithm is halved": lambda w, a: np.log(w) / 2,
        "the logarithm is counted twice": lambda w, a: 2 * np.log(w),
        "log1p where the logarithm is meant: a 1 too many": lambda w, a: np.log1p(w),
        "the largest is multiplied, where in logarithms it is added": lambda w, a: (
            (w - 1) * a.max(axis=0)
        ),
    },
)
SUSPECTS |= {
    "log10, where the logarithm is natural: nats": lambda a: (
        importance_weighted_bound(a) / np.log(10)
    ),
    "log2, where the logarithm is natural: these are bits": lambda a: (
        importance_weighted_bound(a) / np.log(2)
    ),
    "the mean of log w with normalised weights: the bound is the log of the mean of w": lambda a: (
        np.sum(np.exp(a) / np.exp(a).sum(axis=0) * a, axis=0)
    ),
    "another number is added than was subtracted: what is taken out must be put back": lambda a: (
        importance_weighted_bound(a) - a.max(axis=0) + a.max()
    ),
}


FAR = {
    "all weights of a datum underflow: exp is 0 at log-weights near -1000, as of a picture": (
        np.full(4, -1000.0)
    ),
    "weights overflow: exp is infinite at log-weights near 1000": np.full(4, 1000.0),
    "the data differ in size: take out each datum's own largest, not one for all": (
        np.array([-1000.0, 0.0, 1000.0, 30.0])
    ),
    "one weight of a datum is far larger than the rest: the small ones may underflow, the largest "
    "may not overflow": np.diag([-9000.0, 8000.0, 0.0, 0.0, 0.0])[:, :4],
}


def check(answer):
    log_weights = draw(5, 4)
    check_function(
        answer.importance_weighted_bound,
        importance_weighted_bound,
        suspects=SUSPECTS,
        elsewhere={f"where {what}": {"log_weights": log_weights + by} for what, by in FAR.items()},
        log_weights=log_weights,
    )


WRONG = [
    Wrong("return log_weights.mean(axis=0)", "this is the ELBO"),
    Wrong("return np.log(np.mean(np.exp(log_weights), axis=0))", "underflow"),
    Wrong("return np.log(np.mean(np.exp(log_weights), axis=1))", "over the data|shape"),
    Wrong(
        "top = log_weights.max(axis=0)\n"
        "return top + np.log(np.sum(np.exp(log_weights - top), axis=0))",
        "1/S is missing",
    ),
    Wrong(
        "top = log_weights.max()\nreturn top + np.log(np.mean(np.exp(log_weights - top), axis=0))",
        "each datum's own",
    ),
    Wrong(
        "top = log_weights.max(axis=0)\nreturn np.log(np.mean(np.exp(log_weights - top), axis=0))",
        "not added again",
    ),
    Wrong("return log_weights.max(axis=0)", "the largest log-weight alone"),
    Wrong(
        "top = log_weights.max(axis=0)\n"
        "return (top + np.log(np.exp(log_weights - top).sum(axis=0))) / len(log_weights)",
        "outside the logarithm",
    ),
    Wrong("return np.mean(np.exp(log_weights), axis=0)", "logarithm is missing"),
    Wrong("return np.log(np.mean(np.exp(log_weights), axis=0) + 1e-300)", "underflow"),
    Wrong(
        "low = log_weights.min(axis=0)\n"
        "return low + np.log(np.mean(np.exp(log_weights - low), axis=0))",
        "far larger than the rest",
    ),
    Wrong(
        "top = log_weights.max(axis=0)\n"
        "return np.mean(top + np.log(np.mean(np.exp(log_weights - top), axis=0)))",
        "averaged over the data|shape",
    ),
    Wrong(
        "top = log_weights.max(axis=0)\n"
        "return top + np.log(np.exp(log_weights - top).mean(axis=0) + 1e-10)",
        "small constant",
    ),
    Wrong("return np.log(np.mean(np.exp(np.clip(log_weights, -700, 700)), axis=0))", "underflow"),
]
