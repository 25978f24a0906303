"""34 Weights of a doubly reparameterised gradient

For each of N data S samples lie on paths z_s(phi). Given are log w_s and the
slope of log w_s along its own path, (dz_s / dphi) d log w_s / dz_s. Return the
gradient of the importance-weighted bound in phi, equation GRAD.4: with v_s the
weights divided by their sum, each path counts by v_s squared.
"""

import numpy as np


def gradient(log_w, slopes):
    """Return ``(N,)`` from log w and the slopes, both ``(S, N)``."""
    # --- your code: return an array of N numbers ---
    w = np.exp(log_w - log_w.max(axis=0))
    v = w / w.sum(axis=0)
    return np.sum(v**2 * slopes, axis=0)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["GRAD.4"]
SECTION = "gradients_and_evidence#the-importance-weighted-bound"

HINTS = [
    "The weights are first made to sum to 1 for each datum. Then what is squared: v or w?",
    "log w of a picture is near -1000: take out the largest of each datum before the exponential. "
    "It drops out of v.",
    "w = np.exp(log_w - log_w.max(axis=0)); v = w / w.sum(axis=0); the sum of v**2 * slopes",
]


def made(log_w, slopes, normal, power, over):
    return over(power(normal(np.exp(log_w - log_w.max(axis=0)), log_w)) * slopes)


SUSPECTS = combined(
    made,
    normal={
        "": lambda w, a: w / w.sum(axis=0),
        "the weights are not divided by their sum": lambda w, a: np.exp(a),
        "the weights are divided by their mean, where their sum is meant": lambda w, a: (
            w / w.mean(axis=0)
        ),
        "the weights are divided by the largest, where their sum is meant": lambda w, a: w,
        "the weights are divided by the sum over the data: the samples lie along axis 0": (
            lambda w, a: np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
        ),
        "the weights are divided by the sum of everything": lambda w, a: (
            np.exp(a) / np.exp(a).sum()
        ),
        "log w is used for the weight": lambda w, a: a / a.sum(axis=0),
        "all samples weigh the same": lambda w, a: np.full(w.shape, 1 / len(w)),
    },
    power={
        "": np.square,
        "each path counts by v, not by its square: this leaves out the score without its path, and "
        "is biased": lambda v: v,
        "each path counts by v (1 - v): that is the part to be taken from v": lambda v: v * (1 - v),
        "the square is of v (1 - v)": lambda v: (v * (1 - v)) ** 2,
        "v minus its square, where its square is meant": lambda v: v - v**2 + 0 * v,
        "the cube of v": lambda v: v**3,
        "the square root of v": np.sqrt,
    },
    over={
        "": lambda g: g.sum(axis=0),
        "a mean over the samples, where a sum is meant: the v already sum to 1": lambda g: (
            g.mean(axis=0)
        ),
        "the sum is over the data: the samples lie along axis 0": lambda g: g.sum(axis=1),
        "the data are added up: one number for each is asked for": lambda g: g.sum(),
        "the sign is wrong: this leads downhill": lambda g: -g.sum(axis=0),
    },
)
SUSPECTS["the squares are divided by the sum of the squares: they need not sum to 1"] = (
    lambda a, slopes: np.sum(
        np.exp(2 * a) / np.exp(2 * a).sum(axis=0) * slopes, axis=0
    )
)
SUSPECTS["the squares are of the weights, the sum is not: divide first, then square"] = (
    lambda a, slopes: np.sum(np.exp(2 * a) / np.exp(a).sum(axis=0) * slopes, axis=0)
)


def check(answer):
    log_w = draw(5, 4, seed=1)
    check_function(
        answer.gradient, gradient, suspects=SUSPECTS,
        elsewhere={
            "for a picture, with log w near -1000: exp is 0 there; take out the largest": {
                "log_w": log_w - 1000.0,
            },
            "where log w is near 1000: exp is infinite there; take out the largest": {
                "log_w": log_w + 1000.0,
            },
        },
        log_w=log_w, slopes=draw(5, 4, seed=2),
    )  # fmt: skip


V = "w = np.exp(log_w - log_w.max(axis=0))\nv = w / w.sum(axis=0)\n"

WRONG = [
    Wrong(V + "return np.sum(v * slopes, axis=0)", "not by its square"),
    Wrong(V + "return np.mean(v**2 * slopes, axis=0)", "mean over the samples"),
    Wrong(V + "return np.sum(v * (1 - v) * slopes, axis=0)", r"v \(1 - v\)"),
    Wrong(V + "return np.sum(v**2 * slopes)", "data are added up|shape"),
    Wrong(
        "w = np.exp(log_w)\nv = w / w.sum(axis=0)\nreturn np.sum(v**2 * slopes, axis=0)",
        "exp is",
    ),
    Wrong("w = np.exp(log_w)\nreturn np.sum(w**2 * slopes, axis=0)", "not divided by their sum"),
    Wrong(
        "w = np.exp(2 * (log_w - log_w.max(axis=0)))\n"
        "return np.sum(w / w.sum(axis=0) * slopes, axis=0)",
        "sum of the squares",
    ),
    Wrong(
        "w = np.exp(log_w - log_w.max(axis=0))\nreturn np.sum(w**2 * slopes, axis=0)",
        "divided by the largest",
    ),
    Wrong(V + "return -np.sum(v**2 * slopes, axis=0)", "sign"),
    Wrong("return np.sum(slopes / len(log_w) ** 2, axis=0)", "weigh the same"),
]
