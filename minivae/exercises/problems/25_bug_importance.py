"""25 Find the bug: importance weights

The bound of equation IWAE.2 from the three log-densities at S samples of
z ~ q(z | x) for each of N data. The weights are those of equation IWAE.1. The
lines run, the logarithms are safe, and the result even looks good: it is higher
than that of colleagues. It is not a bound. Mend it.
"""

import numpy as np


def importance_weighted_bound(log_likelihood, log_prior, log_q):
    """Return log (1/S sum_s w_s), ``(N,)``, from log p(x | z), log p(z), log q(z | x).

    Each of the three is ``(S, N)``.
    """
    # --- your code: find the bug ---
    log_w = log_likelihood + log_prior - log_q
    top = log_w.max(axis=0)
    return top + np.log(np.mean(np.exp(log_w - top), axis=0))
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["IWAE.1", "IWAE.2"]
SECTION = "tighter_bounds#the-importance-weighted-bound"

HINTS = [
    "A weight is what is wanted, over what was drawn from. Which of the three densities stand "
    "above the line, and which below?",
    "w = p(x | z) p(z) / q(z | x). Take the logarithm of that, term by term.",
    "log_w = log_likelihood + log_prior - ...",
]


def bound(log_w):
    top = log_w.max(axis=0)
    return top + np.log(np.mean(np.exp(log_w - top), axis=0))


SUSPECTS = {
    "the prior and q have the wrong sign in the weights: p stands above, q below": lambda a, p, q: (
        bound(a - p + q)
    ),
    "the log q is added, where the weights divide by q": lambda a, p, q: bound(a + p + q),
    "the prior is divided by, where it belongs above the line": lambda a, p, q: bound(a - p - q),
    "the weights are upside down, q over p": lambda a, p, q: bound(q - a - p),
    "the density q is missing: these are joint densities, not weights": lambda a, p, q: bound(
        a + p
    ),
    "the prior is missing: w has the joint p(x | z) p(z) above": lambda a, p, q: bound(a - q),
    "the likelihood is missing: w has the joint p(x | z) p(z) above": lambda a, p, q: bound(p - q),
    "this is the likelihood alone: samples of q need weights p(z) / q(z | x)": lambda a, p, q: (
        bound(a)
    ),
    "this is the ELBO, a mean of log-weights: the logarithm belongs outside the mean": (
        lambda a, p, q: np.mean(a + p - q, axis=0)
    ),
    "the weights are normalised before they are averaged: then their mean is always 1/S": (
        lambda a, p, q: np.full(a.shape[1], -np.log(len(a)))
    ),
    "the 1/S is missing: a sum of weights where their mean is meant": lambda a, p, q: (
        bound(a + p - q) + np.log(len(a))
    ),
    "the mean of the log-likelihood with normalised weights is not the bound": lambda a, p, q: (
        np.sum(
            a * np.exp(a + p - q - bound(a + p - q) - np.log(len(a))),
            axis=0,
        )
    ),
    "the weights are only p(z) / q(z | x), and the likelihood's logarithm is averaged with them": (
        lambda a, p, q: np.mean(a * np.exp(p - q), axis=0)
    ),
    "the sign of the whole is wrong: this is a loss": lambda a, p, q: -bound(a + p - q),
    "the largest weight was taken out and not added again": lambda a, p, q: (
        bound(a + p - q) - (a + p - q).max(axis=0)
    ),
}


def made(log_likelihood, log_prior, log_q, likelihood, prior, q, average):
    return average(likelihood * log_likelihood + prior * log_prior + q * log_q)


SUSPECTS |= combined(
    made,
    at_most=3,
    likelihood={
        "": 1,
        "the likelihood is missing": 0,
        "the likelihood is divided by": -1,
        "the likelihood is counted twice": 2,
        "the likelihood has a power": 0.5,
    },
    prior={
        "": 1,
        "the prior is missing": 0,
        "the prior is divided by": -1,
        "the prior is counted twice": 2,
    },
    q={
        "": -1,
        "log q is missing": 0,
        "log q is added, where the weights divide by q": 1,
        "log q is subtracted twice": -2,
    },
    average={
        "": bound,
        "the mean of log w, where the log of the mean is meant": lambda a: a.mean(axis=0),
        "the largest weight alone": lambda a: a.max(axis=0),
        "a sum of weights, where their mean is meant": lambda a: bound(a) + np.log(len(a)),
        "the logarithm is multiplied by S": lambda a: (
            a.max(axis=0) + len(a) * (bound(a) - a.max(axis=0))
        ),
        "divided by S twice": lambda a: bound(a) - np.log(len(a)),
        "the mean is over the data: the samples lie along axis 0": lambda a: bound(a.T)[
            : a.shape[1]
        ],
        "the mean is over everything: each datum has a bound of its own": lambda a: (
            a.max(axis=0) + np.log(np.exp(a - a.max(axis=0)).mean())
        ),
        "this has the effective sample size of equation IWAE.3, where a mean is meant": lambda a: (
            a.max(axis=0) + np.log(np.exp(a).sum(axis=0) ** 2 / (np.exp(a) ** 2).sum(axis=0))
        ),
        "the largest weight is not added again": lambda a: bound(a) - a.max(axis=0),
    },
)
SUSPECTS |= {
    "the log-weights are averaged with normalised weights: take the log of the mean weight": (
        lambda a, p, q: np.sum(
            np.exp(a + p - q) / np.exp(a + p - q).sum(axis=0) * (a + p - q), axis=0
        )
    ),
    "logarithms are multiplied: the logarithm of a product is a sum": lambda a, p, q: bound(
        a * (p - q)
    ),
    "logarithms are multiplied and divided: those of products and quotients are sums and "
    "differences": lambda a, p, q: bound(a * p / q),
    "logarithms are divided: the logarithm of a quotient is a difference": lambda a, p, q: bound(
        a + p / q
    ),
    "the ratio p(z) / q(z | x) is added to a logarithm: add its logarithm": lambda a, p, q: bound(
        a + np.exp(p - q)
    ),
    "the likelihood is averaged outside: it belongs into each weight": lambda a, p, q: (
        bound(p - q) + a.mean(axis=0)
    ),
}


def check(answer):
    densities = {
        "log_likelihood": draw(5, 4, seed=1) - 3.0,
        "log_prior": draw(5, 4, seed=2) - 1.0,
        "log_q": draw(5, 4, seed=3) + 0.5,
    }
    check_function(
        answer.importance_weighted_bound, importance_weighted_bound, suspects=SUSPECTS,
        elsewhere={
            "for a picture, with log-likelihoods near -1500: exp is 0 there (the logarithms were "
            "safe)": {"log_likelihood": densities["log_likelihood"] - 1500.0},
            "where log-weights differ by thousands: take out the largest of each datum": {
                "log_likelihood": 3000 * draw(5, 4, seed=4),
            },
        },
        **densities,
    )  # fmt: skip


REST = "top = log_w.max(axis=0)\nreturn top + np.log(np.mean(np.exp(log_w - top), axis=0))"

BUG = Wrong(
    "log_w = log_likelihood + log_q - log_prior\n" + REST, "prior and q have the wrong sign"
)

WRONG = [
    Wrong("log_w = log_likelihood + log_prior + log_q\n" + REST, "log q is added"),
    Wrong("log_w = log_likelihood - log_prior - log_q\n" + REST, "prior is divided by"),
    Wrong("log_w = log_q - log_likelihood - log_prior\n" + REST, "upside down"),
    Wrong("log_w = log_likelihood + log_prior\n" + REST, "q is missing"),
    Wrong("log_w = log_likelihood - log_q\n" + REST, "prior is missing"),
    Wrong("log_w = log_prior - log_q\n" + REST, "likelihood is missing"),
    Wrong("log_w = log_likelihood\n" + REST, "likelihood alone"),
    Wrong("return np.mean(log_likelihood + log_prior - log_q, axis=0)", "this is the ELBO"),
    Wrong(
        "log_w = log_likelihood + log_prior - log_q\nreturn np.log(np.mean(np.exp(log_w), axis=0))",
        "near -1500",
    ),
    Wrong(
        "log_w = log_likelihood + log_prior - log_q\ntop = log_w.max(axis=0)\n"
        "return top + np.log(np.sum(np.exp(log_w - top), axis=0))",
        "1/S is missing",
    ),
    Wrong(
        "log_w = -(log_likelihood + log_prior - log_q)\ntop = log_w.max(axis=0)\n"
        "return -(top + np.log(np.mean(np.exp(log_w - top), axis=0)))",
        "harmonic",
    ),
    Wrong(
        "log_w = log_likelihood + log_prior - log_q\n"
        "top = log_w.max()\n"
        "return top + np.log(np.exp(log_w - top).mean(axis=0))",
        "differ by thousands",
    ),
]

SUSPECTS["this is the harmonic mean of the weights; the bound has their arithmetic mean"] = (
    lambda a, p, q: -bound(q - a - p)
)
