"""13 The KL divergence in closed form

The encoder gives q(z | x) = N(mu, diag(exp(log_var))), the prior is N(0, I).
Their KL divergence is a sum over the K latent dimensions, equation KL.5. It is
zero where q is the prior, and never negative.
"""

import numpy as np


def kl_standard_normal(mu, log_var):
    """Return KL(q || N(0, I)) of each datum, (N,), in nats; mu and log_var are (N, K)."""
    # --- your code: return an array (N,) ---
    return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["KL.5"]
SECTION = "kl_and_elbo#between-gaussians"

HINTS = [
    "KL = E_q[log q(z)] - E_q[log p(z)]. Under q, what are the means of (z - mu)**2 and of z**2?",
    "E_q[z**2] = mu**2 + var, from the prior; -1 - log_var comes from the entropy of q. log 2 pi "
    "cancels. Check: at mu = 0 and log_var = 0 it must be zero.",
    "0.5 * np.sum(mu**2 + ... - 1 - log_var, axis=1)",
]


def terms(mu, log_var):
    return {
        "1/2 mu**2": 0.5 * np.sum(mu**2, 1),
        "1/2 exp(log_var)": 0.5 * np.sum(np.exp(log_var), 1),
        "-1/2, one for each dimension,": np.full(len(mu), -0.5 * mu.shape[1]),
        "-1/2 log_var": -0.5 * np.sum(log_var, 1),
    }


def form(square, variance, log):
    def wrong(mu, log_var):
        return 0.5 * np.sum(square(mu) + variance(log_var) - 1 - log(log_var), axis=1)

    return wrong


def same(v):
    return v


SIGMA = "sigma against sigma squared"
SUSPECTS = {
    f"exp(log_var / 2) is sigma, where the variance exp(log_var) is meant: {SIGMA}": form(
        np.square, lambda v: np.exp(v / 2), same
    ),
    f"exp(log_var) is squared, but it is the variance already: {SIGMA}": form(
        np.square, lambda v: np.exp(2 * v), same
    ),
    f"log_var is taken for log sigma: {SIGMA}": form(
        np.square, lambda v: np.exp(2 * v), lambda v: 2 * v
    ),
    "log_var stands where its exponential, the variance, is meant": form(np.square, same, same),
    "log_var**2 stands where the variance exp(log_var) is meant": form(np.square, np.square, same),
    "log_var has a logarithm too many: it is one already": form(
        np.square, np.exp, lambda v: np.log(v**2)
    ),
    "log_var is squared, where it is subtracted as it is": form(np.square, np.exp, np.square),
    "log_var is taken for sigma": form(np.square, np.square, lambda v: np.log(v**2)),
    "log_var is taken for the variance": form(np.square, same, lambda v: np.log(np.abs(v))),
    "log_var stands for the variance, and has a logarithm too many besides": form(
        np.square, same, lambda v: np.log(v**2)
    ),
    "mu**2 is multiplied by the variance, where it is added": lambda mu, log_var: (
        0.5 * np.sum(mu**2 * np.exp(log_var) - 1 - log_var, axis=1)
    ),
    "mu**2 is summed over the data too: each datum has its own": lambda mu, log_var: (
        0.5 * (np.sum(mu**2) + np.sum(np.exp(log_var) - 1 - log_var, axis=1))
    ),
    "mu**2 is summed over the data too, and its 1/2 is missing": lambda mu, log_var: (
        np.sum(mu**2) + 0.5 * np.sum(np.exp(log_var) - 1 - log_var, axis=1)
    ),
    "the sum of mu is squared: each dimension is squared by itself": lambda mu, log_var: (
        0.5 * (np.sum(mu, axis=1) ** 2 + np.sum(np.exp(log_var) - 1 - log_var, axis=1))
    ),
    "mu is not squared": form(same, np.exp, same),
    "|mu| stands where mu**2 is meant": form(np.abs, np.exp, same),
    "the other direction, KL(p || q), with the prior in front": lambda mu, log_var: (
        0.5 * np.sum((1 + mu**2) * np.exp(-log_var) - 1 + log_var, axis=1)
    ),
    "the cross-entropy, without the entropy of q": lambda mu, log_var: (
        0.5 * np.sum(np.log(2 * np.pi) + mu**2 + np.exp(log_var), axis=1)
    ),
    "the -1 is subtracted once for the row, where each dimension has one": lambda mu, log_var: (
        0.5 * (np.sum(mu**2 + np.exp(log_var) - log_var, axis=1) - 1)
    ),
}


def made(mu, log_var, square, variance, one, log, half):
    inside = square(mu, log_var) + variance(log_var) + one - log(log_var)
    return half * np.sum(inside, axis=1)


SUSPECTS |= combined(
    made,
    at_least=2,
    square={
        "": lambda m, v: m**2,
        "mu is not squared": lambda m, v: m,
        "|mu| stands where mu**2 is meant": lambda m, v: np.abs(m),
        "mu**2 is missing": lambda m, v: 0,
        "mu**2 has the wrong sign": lambda m, v: -(m**2),
        "mu**2 is divided by the variance: the prior's is 1": lambda m, v: m**2 / np.exp(v),
        "mu**2 is multiplied by the variance": lambda m, v: m**2 * np.exp(v),
        "mu**2 is counted twice": lambda m, v: 2 * m**2,
    },
    variance={
        "": np.exp,
        f"exp(log_var / 2) is sigma: {SIGMA}": lambda v: np.exp(v / 2),
        f"exp(log_var) is squared: {SIGMA}": lambda v: np.exp(2 * v),
        "log_var stands where its exponential is meant": lambda v: v,
        "1 / var stands where var is meant": lambda v: np.exp(-v),
        "the variance is missing": lambda v: 0,
        "the variance has the wrong sign": lambda v: -np.exp(v),
        "the variance is counted twice": lambda v: 2 * np.exp(v),
    },
    one={
        "": -1.0,
        "the -1 is missing": 0.0,
        "the -1 has the wrong sign": 1.0,
        "the -1 is counted twice": -2.0,
        "the -1 is halved twice": -0.5,
    },
    log={
        "": lambda v: v,
        "log_var is counted twice": lambda v: 2 * v,
        "log_var is halved twice": lambda v: v / 2,
        "log_var has the wrong sign": lambda v: -v,
        "log_var is missing": lambda v: 0,
        "the variance stands where log_var is meant": np.exp,
        "log_var is squared": np.square,
        "log_var has a logarithm too many": lambda v: np.log(np.abs(v)),
    },
    half={"": 0.5, "the 1/2 is missing": 1.0, "the sign of the whole is wrong": -0.5},
)


def check(answer):
    check_function(
        answer.kl_standard_normal, kl_standard_normal, terms=terms, suspects=SUSPECTS,
        elsewhere={
            "where log_var is -30: it was clipped, or something was added to the variance": {
                "log_var": draw(5, 3, seed=3) - 30.0,
            },
            "where log_var is 30": {"log_var": draw(5, 3, seed=3) + 30.0},
            "near the prior, where the KL is 1e-6: it was clipped, or something was added": {
                "mu": 1e-3 * draw(5, 3),
                "log_var": 1e-3 * draw(5, 3, seed=1),
            },
        },
        mu=draw(5, 3), log_var=draw(5, 3, seed=1),
    )  # fmt: skip


WRONG = [
    Wrong("return -0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)", "wrong sign"),
    Wrong("return np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)", "twice"),
    Wrong(
        "return 0.5 * np.mean(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)", "N times too small"
    ),
    Wrong("return 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)", "sum over axis 1 is missing"),
    Wrong("return 0.5 * np.sum(mu**2 + np.exp(log_var / 2) - 1 - log_var, axis=1)", "is sigma"),
    Wrong("return 0.5 * np.sum(mu**2 + np.exp(log_var) ** 2 - 1 - log_var, axis=1)", "is squared"),
    Wrong("return 0.5 * np.sum(mu**2 + log_var - 1 - np.log(log_var), axis=1)", "nan"),
    Wrong("return 0.5 * np.sum(mu**2 + np.exp(log_var) - log_var, axis=1)", "-1/2, .* is missing"),
    Wrong(
        "return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 + log_var, axis=1)",
        "log_var has the wrong",
    ),
    Wrong("return 0.5 * np.sum(mu + np.exp(log_var) - 1 - log_var, axis=1)", "mu is not squared"),
    Wrong("return 0.5 * np.sum(np.exp(log_var) - 1 - log_var, axis=1)", "mu.*2 is missing"),
    Wrong("return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var)", "shape"),
    Wrong("return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=0)", "axis"),
    Wrong(
        "return 0.5 * np.sum((1 + mu**2) / np.exp(log_var) - 1 + log_var, axis=1)",
        "other direction",
    ),
    Wrong(
        "return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var**2, axis=1)",
        "log_var is squared",
    ),
    Wrong(
        "return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1),",
        "a comma behind it too many",
    ),
    Wrong("return {'kl': 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)}", "a dict"),
    Wrong(
        "import math\n"
        "return 0.5 * np.sum(mu**2 + math.exp(log_var) - 1 - log_var, axis=1)",
        "np.exp takes arrays",
    ),
    Wrong(
        "z = mu + np.exp(log_var / 2) * np.random.normal(size=mu.shape)\n"
        "return 0.5 * np.sum(z**2 - (z - mu) ** 2 / np.exp(log_var) - log_var, axis=1)",
        "two calls",
    ),
    Wrong(
        "return np.maximum(0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1), 2.0)",
        "clipped",
    ),
    Wrong(
        "return 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)[:, 0]",
        "only the first index of axis 1",
    ),
]
