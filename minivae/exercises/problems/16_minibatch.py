"""16 The factor N/M

The logarithm of the posterior of a model's parameters is, up to a constant,
the sum over all N data of log p(x_n | theta), plus log p(theta). Only a
minibatch of M data is at hand, drawn uniformly. Return the estimate whose mean
over all minibatches is the whole, equation MB.2.
"""

import numpy as np


def log_posterior(log_likelihoods, log_prior, n_total):
    """Return one number from log p(x_n | theta) ``(M,)``, log p(theta) and N."""
    # --- your code: return a number ---
    return n_total / len(log_likelihoods) * np.sum(log_likelihoods) + log_prior
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["MB.2"]
SECTION = "minibatches#the-estimate"

HINTS = [
    "What is a sum over all data, and what is not? Only the sum has to be scaled from M data to N.",
    "M terms stand for N: each counts N/M times. The prior is known exactly, and counts once.",
    "return n_total / len(log_likelihoods) * (the sum of ...) + ...",
]

SUSPECTS = {
    "the prior is multiplied by N/M too: not a sum over data, it counts once": lambda a, p, n: (
        n / len(a) * (a.sum() + p)
    ),
    "the factor N/M is missing: M data cannot stand for N without it": lambda a, p, n: a.sum() + p,
    "the whole is divided by N/M, that is, the prior is scaled down instead of the sum up: the "
    "maximum is the same, the value is not": lambda a, p, n: a.sum() + len(a) / n * p,
    "a mean where N times the mean is meant: the prior then counts N times as much as it "
    "should": lambda a, p, n: a.mean() + p,
    "divided by N: this is the estimate for one datum": lambda a, p, n: a.mean() + p / n,
    "the factor is the wrong way round, M/N for N/M": lambda a, p, n: len(a) / n * a.sum() + p,
    "each term counts N times, but there are M of them: divide by M": lambda a, p, n: (
        n * a.sum() + p
    ),
    "the sum is divided by N, although only M terms are in it": lambda a, p, n: a.sum() / n + p,
    "the prior is missing": lambda a, p, n: n / len(a) * a.sum(),
    "the prior is subtracted": lambda a, p, n: n / len(a) * a.sum() - p,
    "the prior is counted N times": lambda a, p, n: n / len(a) * a.sum() + n * p,
    "the prior is counted M times": lambda a, p, n: n / len(a) * a.sum() + len(a) * p,
    "a median, where the mean of the M estimates that of all N": lambda a, p, n: (
        n * np.median(a) + p
    ),
    "the largest log-likelihood alone": lambda a, p, n: n * a.max() + p,
    "only the first of the M data is used": lambda a, p, n: n * a[0] + p,
    "only the last of the M data is used": lambda a, p, n: n * a[-1] + p,
}


def made(a, prior, n, scale, count, of):
    return scale(len(a), n) * of(a).sum() + count(len(a), n) * prior


SUSPECTS |= combined(
    made,
    scale={
        "": lambda M, N: N / M,
        "the sum lacks its factor N/M": lambda M, N: 1.0,
        "// rounds N/M down": lambda M, N: N // M,
        "the sum is scaled by N - M over M: the M are not left out": lambda M, N: (N - M) / M,
        "the sum has the root of N/M": lambda M, N: (N / M) ** 0.5,
        "the sum is divided by M - 1": lambda M, N: N / (M - 1),
        "the sum is divided by M": lambda M, N: 1 / M,
        "the sum is divided by N, where it is multiplied": lambda M, N: 1 / (M * N),
        "the sum has M/N for N/M": lambda M, N: M / N,
        "the sum has N/M twice": lambda M, N: (N / M) ** 2,
        "the sum has the wrong sign": lambda M, N: -N / M,
    },
    count={
        "": lambda M, N: 1,
        "the prior is missing": lambda M, N: 0,
        "the prior is counted N times": lambda M, N: N,
        "the prior is counted M times": lambda M, N: M,
        "the prior is counted N/M times": lambda M, N: N / M,
        "the prior is divided by N": lambda M, N: 1 / N,
        "the prior has M/N: it counts once": lambda M, N: M / N,
        "the prior is divided by M": lambda M, N: 1 / M,
        "the prior has the wrong sign": lambda M, N: -1,
    },
    of={
        "": lambda a: a,
        "the log-likelihoods are exponentiated: log p is added up, not p": np.exp,
    },
)


def check(answer):
    check_function(
        answer.log_posterior,
        log_posterior,
        suspects=SUSPECTS,
        elsewhere={
            "where the minibatch is all of the data": {"n_total": 7},
            "where there are a million data": {"n_total": 10**6},
            "where log-likelihoods are near -1000: nothing has to be exponentiated": {
                "log_likelihoods": draw(7, seed=1) - 1000.0,
            },
        },
        log_likelihoods=draw(7),
        log_prior=-2.3,
        n_total=60,
    )


WRONG = [
    Wrong("return np.sum(log_likelihoods) + log_prior", "factor N/M is missing"),
    Wrong(
        "return n_total / len(log_likelihoods) * (np.sum(log_likelihoods) + log_prior)",
        "prior is multiplied by N/M too",
    ),
    Wrong("return np.mean(log_likelihoods) + log_prior", "a mean where N times the mean"),
    Wrong("return np.mean(log_likelihoods) + log_prior / n_total", "for one datum"),
    Wrong(
        "return len(log_likelihoods) / n_total * np.sum(log_likelihoods) + log_prior",
        "wrong way round",
    ),
    Wrong("return n_total * np.sum(log_likelihoods) + log_prior", "divide by M"),
    Wrong("return n_total * np.mean(log_likelihoods)", "prior is missing"),
    Wrong("return n_total * np.mean(log_likelihoods) - log_prior", "prior is subtracted"),
    Wrong("return -(n_total * np.mean(log_likelihoods) + log_prior)", "sign"),
    Wrong(
        "return n_total / len(log_likelihoods) * log_likelihoods + log_prior",
        "shape|sum .*missing|not summed",
    ),
    Wrong(
        "return np.mean(log_likelihoods) / n_total + log_prior", "divided by N, where it is multi"
    ),
    Wrong("return np.inf", "is inf"),
    Wrong(
        "return n_total / 7 * np.sum(log_likelihoods) + log_prior",
        "does a number stand in the code",
    ),
    Wrong("return n_total * np.log(np.exp(np.mean(log_likelihoods))) + log_prior", "near -1000"),
]
