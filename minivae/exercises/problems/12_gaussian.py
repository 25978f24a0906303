"""12 Gaussian log-density

The decoder gives the mean mu and the log-variance log_var of each of D
independent Gaussian values. The log-density of x is the sum over the values of
equation LIK.7, with every constant: it is in nats, and an ELBO built on it can
be compared with other models.
"""

import numpy as np


def gaussian_log_prob(x, mu, log_var):
    """Return log N(x; mu, diag(exp(log_var))) of each row, (N,); all inputs are (N, D)."""
    # --- your code: return an array (N,) ---
    return -0.5 * np.sum(np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["LIK.7"]
SECTION = "families#real-values-the-gaussian-and-its-floor"

HINTS = [
    "Take the logarithm of the density of one Gaussian, exp(-(x - mu)**2 / (2 var)) / sqrt(2 pi "
    "var). It has three terms; the log of a product over d is a sum.",
    "The terms are log 2 pi, log var, and (x - mu)**2 / var, each with a factor -1/2. log_var is "
    "the log of the variance, sigma squared: exp(-log_var) divides by it.",
    "-0.5 * np.sum(np.log(2 * np.pi) + ... + (x - mu) ** 2 * np.exp(...), axis=1)",
]


def terms(x, mu, log_var):
    D = x.shape[1]
    return {
        "-1/2 log 2 pi": np.full(len(x), -0.5 * D * np.log(2 * np.pi)),
        "-1/2 log_var": -0.5 * log_var.sum(1),
        "-1/2 (x - mu)**2 / var": -0.5 * ((x - mu) ** 2 * np.exp(-log_var)).sum(1),
    }


def with_square(factor, log_factor=0.5):
    def wrong(x, mu, log_var):
        square = (x - mu) ** 2 * factor(log_var)
        return -np.sum(0.5 * np.log(2 * np.pi) + log_factor * log_var + 0.5 * square, axis=1)

    return wrong


SIGMA = "sigma against sigma squared"
SUSPECTS = {
    f"(x - mu)**2 is divided by sigma, where it is by the variance: {SIGMA}": with_square(
        lambda v: np.exp(-v / 2)
    ),
    f"(x - mu)**2 is divided by the variance squared: {SIGMA}": with_square(
        lambda v: np.exp(-2 * v)
    ),
    "(x - mu)**2 is multiplied by the variance, where it is divided by it": with_square(np.exp),
    "(x - mu)**2 is not divided by the variance": with_square(np.ones_like),
    "(x - mu)**2 is divided by log_var itself, which is the log of the variance": with_square(
        lambda v: 1 / v
    ),
    f"log_var is taken for log sigma: {SIGMA}": with_square(lambda v: np.exp(-2 * v), 1.0),
    "log_var is logged once more, or an exp is too many": lambda x, mu, log_var: (
        -0.5
        * np.sum(np.log(2 * np.pi) + np.exp(log_var) + (x - mu) ** 2 * np.exp(-log_var), axis=1)
    ),
    "the square of x - mu is missing": lambda x, mu, log_var: (
        -0.5 * np.sum(np.log(2 * np.pi) + log_var + (x - mu) * np.exp(-log_var), axis=1)
    ),
    "|x - mu| is not squared": lambda x, mu, log_var: (
        -0.5 * np.sum(np.log(2 * np.pi) + log_var + np.abs(x - mu) * np.exp(-log_var), axis=1)
    ),
    "x + mu where x - mu is meant": lambda x, mu, log_var: gaussian_log_prob(x, -mu, log_var),
    "pi where 2 pi is meant": lambda x, mu, log_var: (
        gaussian_log_prob(x, mu, log_var) + 0.5 * x.shape[1] * np.log(2)
    ),
    "2 pi where log(2 pi) is meant": lambda x, mu, log_var: (
        gaussian_log_prob(x, mu, log_var) + 0.5 * x.shape[1] * (np.log(2 * np.pi) - 2 * np.pi)
    ),
    "log 2 pi is counted once for the row, where each of the D values has one": (
        lambda x, mu, log_var: (
            gaussian_log_prob(x, mu, log_var) + 0.5 * (x.shape[1] - 1) * np.log(2 * np.pi)
        )
    ),
    "this is x**2 - mu**2, where the difference is squared": lambda x, mu, log_var: (
        -0.5 * np.sum(np.log(2 * np.pi) + log_var + (x**2 - mu**2) * np.exp(-log_var), axis=1)
    ),
    "(x - mu)**2 is divided by the square of log_var: the variance is exp(log_var)": with_square(
        lambda v: 1 / v**2
    ),
    "log_var is taken for sigma itself: the variance is exp(log_var)": lambda x, mu, log_var: (
        -0.5 * np.sum(np.log(2 * np.pi * log_var**2) + ((x - mu) / log_var) ** 2, axis=1)
    ),
    "log_var is taken for the variance itself, which is exp(log_var)": lambda x, mu, log_var: (
        -0.5 * np.sum(np.log(2 * np.pi * np.abs(log_var)) + (x - mu) ** 2 / log_var, axis=1)
    ),
    "the density, not its logarithm": lambda x, mu, log_var: np.exp(
        gaussian_log_prob(x, mu, log_var)
    ),
    "the densities are summed, where their logarithms add up": lambda x, mu, log_var: np.sum(
        np.exp(-0.5 * (np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var))), axis=1
    ),
    "the densities are summed, and the log taken of the sum: the log of a product is meant": (
        lambda x, mu, log_var: np.log(
            np.sum(
                np.exp(-0.5 * (np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var))),
                axis=1,
            )
        )
    ),
}


def made(x, mu, log_var, constant, log, square, half):
    d, D = x - mu, x.shape[1]
    return half * (constant(D) + np.sum(log(log_var) + square(d, log_var), axis=1))


SUSPECTS |= combined(
    made,
    at_least=2,
    constant={
        "": lambda D: D * np.log(2 * np.pi),
        "log 2 pi is missing": lambda D: 0,
        "log pi where log 2 pi is meant": lambda D: D * np.log(np.pi),
        "2 pi where log(2 pi) is meant": lambda D: 2 * np.pi * D,
        "log 2 pi is counted once for the row": lambda D: np.log(2 * np.pi),
        "log 2 pi has the wrong sign": lambda D: -D * np.log(2 * np.pi),
    },
    log={
        "": lambda v: v,
        "log_var is counted twice: it is the log of sigma squared already": lambda v: 2 * v,
        "log_var is halved: the 1/2 stands before all": lambda v: v / 2,
        "the log-variance is missing": lambda v: 0,
        "log_var has the wrong sign": lambda v: -v,
        "the variance stands where its logarithm is meant": np.exp,
        "log_var has a logarithm too many": lambda v: np.log(np.abs(v)),
    },
    square={
        "": lambda d, v: d**2 * np.exp(-v),
        f"(x - mu)**2 is divided by sigma: {SIGMA}": lambda d, v: d**2 * np.exp(-v / 2),
        "(x - mu)**2 is divided by the variance squared": lambda d, v: d**2 * np.exp(-2 * v),
        "(x - mu)**2 is multiplied by the variance": lambda d, v: d**2 * np.exp(v),
        "(x - mu)**2 is not divided by the variance": lambda d, v: d**2,
        "(x - mu)**2 is divided by log_var": lambda d, v: d**2 / v,
        "the square is missing": lambda d, v: d * np.exp(-v),
        "(x - mu) / sigma is not squared": lambda d, v: d * np.exp(-v / 2),
        "|x - mu| / sigma is not squared": lambda d, v: np.abs(d) * np.exp(-v / 2),
        "|x - mu| is not squared": lambda d, v: np.abs(d) * np.exp(-v),
        "(x - mu)**2 / var is missing": lambda d, v: 0,
        "(x - mu)**2 / var is halved twice": lambda d, v: d**2 * np.exp(-v) / 2,
        "(x - mu)**2 / var has the wrong sign": lambda d, v: -(d**2) * np.exp(-v),
    },
    half={"": -0.5, "the 1/2 is missing": -1.0, "the sign of the whole is wrong": 0.5},
)


def check(answer):
    check_function(
        answer.gaussian_log_prob, gaussian_log_prob, terms=terms, suspects=SUSPECTS,
        elsewhere={
            "for 784 pixels: a product of 784 densities is 0 or infinite on a computer; their "
            "logarithms add up": {
                "x": draw(3, 784),
                "mu": draw(3, 784, seed=1),
                "log_var": draw(3, 784, seed=2) - 2.0,
            },
            "where log_var is -30 or 30: it was clipped, or something was added to the variance": {
                "log_var": draw(5, 3, seed=3) + 30.0 * np.sign(draw(5, 3, seed=4)),
            },
            "for values near a million: x**2 - 2 x mu + mu**2 loses all digits there; subtract "
            "first, then square": {"x": 1e6 + draw(5, 3), "mu": 1e6 + draw(5, 3, seed=1)},
        },
        x=draw(5, 3), mu=draw(5, 3, seed=1), log_var=draw(5, 3, seed=2),
    )  # fmt: skip


WRONG = [
    Wrong(
        "return -0.5 * np.sum(log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1)",
        "log 2 pi is missing",
    ),
    Wrong(
        "return -0.5 * np.sum(np.log(2 * np.pi) + (x - mu) ** 2 * np.exp(-log_var), axis=1)",
        "log_var is missing",
    ),
    Wrong(
        "return -0.5 * np.sum(\n"
        "    np.log(2 * np.pi) + log_var + (x - mu) ** 2 / np.exp(log_var / 2), axis=1\n)",
        "divided by sigma.*sigma against sigma squared",
    ),
    Wrong(
        "sigma = np.exp(log_var)\nreturn -np.sum(\n"
        "    0.5 * np.log(2 * np.pi) + np.log(sigma) + 0.5 * ((x - mu) / sigma) ** 2, axis=1\n)",
        "taken for log sigma",
    ),
    Wrong(
        "return -0.5 * np.sum(\n"
        "    np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(log_var), axis=1\n)",
        "multiplied by the variance",
    ),
    Wrong(
        "return -np.sum(np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1)",
        "twice",
    ),
    Wrong(
        "return 0.5 * np.sum(\n"
        "    np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1)",
        "wrong sign",
    ),
    Wrong(
        "return -0.5 * np.mean(\n"
        "    np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1\n)",
        "N times too small",
    ),
    Wrong(
        "return -0.5 * (np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var))",
        "sum over axis 1 is missing",
    ),
    Wrong(
        "return -0.5 * np.sum(\n"
        "    np.log(2 * np.pi) + log_var + (x - mu) * np.exp(-log_var), axis=1\n)",
        "square of x - mu is missing",
    ),
    Wrong(
        "return -0.5 * (np.log(2 * np.pi) + np.sum(\n"
        "    log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1))",
        "once for the row",
    ),
    Wrong(
        "return -0.5 * np.sum(\n"
        "    np.log(2 * np.pi) - log_var + (x - mu) ** 2 * np.exp(-log_var), axis=1\n)",
        "log_var has the wrong sign",
    ),
    Wrong(
        "return np.sum(np.exp(-0.5 * (x - mu) ** 2 / np.exp(log_var))\n"
        "    / np.sqrt(2 * np.pi * np.exp(log_var)), axis=1)",
        "densities are summed, where",
    ),
    Wrong(
        "each = np.exp(-0.5 * (x - mu) ** 2 / np.exp(log_var)) / np.sqrt(2 * np.pi * "
        "np.exp(log_var))\n"
        "return np.log(np.prod(each, axis=1))",
        "product of 784 densities",
    ),
    Wrong(
        "square = x**2 - 2 * x * mu + mu**2\n"
        "return -0.5 * np.sum(np.log(2 * np.pi) + log_var + square * np.exp(-log_var), axis=1)",
        "near a million",
    ),
    Wrong(
        "var = np.exp(log_var) + 1e-12\n"
        "return -0.5 * np.sum(np.log(2 * np.pi * var) + (x - mu) ** 2 / var, axis=1)",
        "added to the variance|small constant",
    ),
    Wrong(
        "return -0.5 * np.sum(np.log(2 * np.pi * log_var) + (x - mu) ** 2 / log_var, axis=1)",
        r"right with exp\(log_var\) in place of log_var",
    ),
    Wrong(
        "each = np.log(2 * np.pi) + log_var + (x - mu) ** 2 * np.exp(-log_var)\n"
        "return -0.5 * np.sum(each[:, :-1], axis=1)",
        "last index of axis 1",
    ),
    Wrong(
        "a = -0.5 * np.sum(np.log(2 * np.pi) + log_var, axis=1, keepdims=True)\n"
        "return a - 0.5 * np.sum((x - mu) ** 2 * np.exp(-log_var), axis=1)",
        r"a column \(5, 1\) met a row \(5,\)",
    ),
]
