"""37 Find the bug: a KL that has lost its half

The KL(N(mu, exp(log_var)) || N(0, I)) of each datum, equation KL.5. The lines below
run, a model trains with them, and they are 0 where q is the prior. Yet the curve of
reconstruction against KL is not the one it should be. Mend them.
"""

import numpy as np


def kl_divergence(mu, log_var):
    """Return the KL of each row, ``(N,)``; both are ``(N, K)``."""
    # --- your code: find the bug ---
    return 0.5 * np.sum(mu**2 + np.expm1(log_var) - log_var, axis=1)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["KL.5", "VAE.4"]
SECTION = "kl_and_elbo#between-gaussians"

HINTS = [
    "Where q is the prior everything is 0, right or wrong. Take mu = 2 and log_var = 0 in one "
    "dimension instead: what is the KL of two Gaussians of variance 1 that are 2 apart?",
    "Which terms does the 1/2 of the equation stand before? Compare with what it stands before "
    "here. A loss in which the KL is doubled is that of another beta.",
    "0.5 * np.sum(...), with mu**2, the expm1 and the log_var all inside.",
]


def made(mu, log_var, half, mean, rest):
    return np.sum(mean(mu) + rest(log_var), axis=1) * half


def excess(v):
    return np.expm1(v) - v


SUSPECTS = {
    "the 1/2 is lost before every term: the KL is doubled, as if beta were 2": lambda m, v: (
        np.sum(m**2 + excess(v), axis=1)
    ),
    "the 1/2 is lost before mu^2: it stands before all three terms": lambda m, v: (
        np.sum(m**2 + 0.5 * excess(v), axis=1)
    ),
    "the 1/2 is lost before the variance's terms: it stands before all three": lambda m, v: (
        np.sum(0.5 * m**2 + excess(v), axis=1)
    ),
    "the 1/2 is lost before exp(log_var) - 1": lambda m, v: (
        np.sum(0.5 * (m**2 - v) + np.expm1(v), axis=1)
    ),
    "the 1/2 is lost before log_var": lambda m, v: (
        np.sum(0.5 * (m**2 + np.expm1(v)) - v, axis=1)
    ),
    "the 1/2 is there twice": lambda m, v: 0.25 * np.sum(m**2 + excess(v), axis=1),
    "log_var is taken for the variance": lambda m, v: (
        0.5 * np.sum(m**2 + v - 1 - np.log(np.abs(v)), axis=1)
    ),
    "log_var is taken for log sigma": lambda m, v: 0.5 * np.sum(m**2 + excess(2 * v), axis=1),
}
SUSPECTS |= combined(
    made,
    half={"": 0.5, "the 1/2 is lost before every term": 1.0, "a minus too many": -0.5},
    mean={
        "": np.square,
        "mu is not squared": lambda m: m,
        "mu^2 is missing": lambda m: 0.0 * m,
        "mu^2 has the wrong sign": lambda m: -np.square(m),
    },
    rest={
        "": excess,
        "the -1 is missing": lambda v: np.exp(v) - v,
        "log_var is missing": np.expm1,
        "log_var has the wrong sign": lambda v: np.expm1(v) + v,
        "exp(log_var) is missing": lambda v: -1 - v,
    },
)


def check(answer):
    check_function(
        answer.kl_divergence,
        kl_divergence,
        suspects=SUSPECTS,
        elsewhere={
            "for means near 1000": {"mu": 1000.0 + draw(4, 5, seed=1)},
        },
        mu=draw(4, 5, seed=1),
        log_var=draw(4, 5, seed=2),
    )


BUG = Wrong(
    "return np.sum(mu**2 + np.expm1(log_var) - log_var, axis=1)",
    "1/2 is lost before every term|twice|factor 2|doubled",
)

WRONG = [
    Wrong(
        "return np.sum(mu**2 + 0.5 * (np.expm1(log_var) - log_var), axis=1)",
        "1/2 is lost before mu",
    ),
    Wrong(
        "return np.sum(0.5 * mu**2 + np.expm1(log_var) - log_var, axis=1)",
        "lost before the variance's terms",
    ),
    Wrong(
        "return np.sum(0.5 * (mu**2 + np.expm1(log_var)) - log_var, axis=1)",
        "lost before log_var",
    ),
    Wrong(
        "return 0.5 * np.sum(mu**2 + np.expm1(2 * log_var) - 2 * log_var, axis=1)",
        "log_var is taken for log sigma",
    ),
    Wrong("return 0.5 * np.sum(mu**2 + np.exp(log_var) - log_var, axis=1)", "-1 is missing"),
    Wrong("return 0.5 * np.sum(mu + np.expm1(log_var) - log_var, axis=1)", "mu is not squared"),
    Wrong("return 0.5 * np.mean(mu**2 + np.expm1(log_var) - log_var, axis=1)", "mean"),
    Wrong("return 0.5 * np.sum(mu**2 + np.expm1(log_var) - log_var)", "shape"),
]
