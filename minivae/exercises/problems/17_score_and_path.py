"""17 Score function against path

Samples z_s = mu + exp(log_var / 2) eps_s were drawn, and f evaluated there.
Estimate the gradient of E[f(z)] by log_var in two ways, each a mean over the
samples: by the score, equation SCORE.2 with the score s_v of equation SCORE.1
and b = 0; and along the path, equation REP.2. Their means agree, their noise
does not.
"""

import numpy as np


def gradients(values, slopes, log_var, eps):
    """Return the estimates by score and by path, in this order, each ``(K,)``.

    values ``(S,)`` holds f(z_s), slopes ``(S, K)`` the derivatives of f by z at
    each sample; log_var is ``(K,)``, eps ``(S, K)``.
    """
    # --- your code: return two arrays ---
    score = np.mean(values[:, None] * (eps**2 - 1) / 2, axis=0)
    path = np.mean(slopes * np.exp(log_var / 2) * eps / 2, axis=0)
    return score, path
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["SCORE.1", "SCORE.2", "REP.2"]
SECTION = "reparameterisation#differentiating-the-density"

HINTS = [
    "One way differentiates log q and uses the values of f; the other differentiates z and uses "
    "the slopes of f. Neither needs both.",
    "The derivative of log q(z) by the log-variance is (eps**2 - 1) / 2; that of z is "
    "exp(log_var / 2) * eps / 2. Multiply by f, or by its slope, and average over s.",
    "score = the mean over axis 0 of values[:, None] * ...; path = the mean over axis 0 of "
    "slopes * ...",
]


def mean(a):
    return np.mean(a, axis=0)


def suspect(score=None, path=None):
    """Either estimate as a mistake makes it, the other right."""

    def wrong(values, slopes, log_var, eps):
        right = gradients(values, slopes, log_var, eps)
        f = values[:, None]
        sigma = np.exp(log_var / 2)
        return (
            right[0] if score is None else mean(score(f, eps, sigma)),
            right[1] if path is None else mean(path(slopes, eps, sigma)),
        )

    return wrong


SUSPECTS = {
    "the score is that of mu, eps / sigma; by the log-variance it is (eps**2 - 1) / 2": suspect(
        score=lambda f, eps, sigma: f * eps / sigma
    ),
    "the -1 in the score is missing: a score has mean zero": suspect(
        score=lambda f, eps, sigma: f * eps**2 / 2
    ),
    "the score is that of sigma, (eps**2 - 1) / sigma; by the log-variance it is half of that "
    "times sigma": suspect(score=lambda f, eps, sigma: f * (eps**2 - 1) / sigma),
    "the score is that of the variance; by its logarithm it is the variance times that": suspect(
        score=lambda f, eps, sigma: f * (eps**2 - 1) / 2 / sigma**2
    ),
    "the path is that of mu: where is the derivative of z by log_var?": suspect(
        path=lambda d, eps, sigma: d
    ),
    "the path is that of sigma; log_var enters sigma as exp(log_var / 2)": suspect(
        path=lambda d, eps, sigma: d * eps
    ),
    "the derivative of exp(log_var / 2) lacks its factor 1/2": suspect(
        path=lambda d, eps, sigma: d * eps * sigma
    ),
    "the path has exp(log_var) where it should have exp(log_var / 2): sigma against sigma "
    "squared": suspect(path=lambda d, eps, sigma: d * eps * sigma**2 / 2),
    "the noise eps is missing in the path": suspect(path=lambda d, eps, sigma: d * sigma / 2),
    "the path is multiplied by f: it needs the slopes only": lambda values, slopes, log_var, eps: (
        gradients(values, slopes, log_var, eps)[0],
        mean(values[:, None] * slopes * np.exp(log_var / 2) * eps / 2),
    ),
    "the score is multiplied by the slopes: it needs the values of f only": (
        lambda values, slopes, log_var, eps: (
            mean(slopes * (eps**2 - 1) / 2),
            gradients(values, slopes, log_var, eps)[1],
        )
    ),
    "the mean of a product is not the product of the means: average last": (
        lambda values, slopes, log_var, eps: (
            values.mean() * mean(eps**2 - 1) / 2,
            gradients(values, slopes, log_var, eps)[1],
        )
    ),
    "a baseline is subtracted, which leaves the mean as it is; here it is to be 0": (
        lambda values, slopes, log_var, eps: (
            mean((values - values.mean())[:, None] * (eps**2 - 1) / 2),
            gradients(values, slopes, log_var, eps)[1],
        )
    ),
    "the two come in the wrong order: first the score, then the path": (
        lambda values, slopes, log_var, eps: gradients(values, slopes, log_var, eps)[::-1]
    ),
}


def made(values, slopes, log_var, eps, f, factor, average, d, scale, noise, half):
    sigma = np.exp(log_var / 2)
    return (
        average(f(values, slopes), factor(eps, sigma, log_var) * np.ones_like(eps)),
        half * average(d(values, slopes), scale(sigma, log_var) * noise(eps, log_var)),
    )


SUSPECTS |= combined(
    made,
    f={
        "": lambda v, d: v[:, None],
        "the score has the slopes, where it needs the values of f": lambda v, d: d,
        "the score has the logarithm of f": lambda v, d: np.log(np.abs(v))[:, None],
        "the score lacks f": lambda v, d: np.ones((len(v), 1)),
    },
    factor={
        "": lambda e, s, v: (e**2 - 1) / 2,
        "the score's 1/2 is missing": lambda e, s, v: e**2 - 1,
        "eps is not squared in the score": lambda e, s, v: (e - 1) / 2,
        "the score's -1 is missing": lambda e, s, v: e**2 / 2,
        "the score is that of mu": lambda e, s, v: e / s,
        "the score has (z - mu)^2 where eps^2 is meant: divide by the variance": lambda e, s, v: (
            (e**2 * s**2 - 1) / 2
        ),
        "eps is taken for z - mu: it is divided by sigma already": lambda e, s, v: (
            (e**2 / s**2 - 1) / 2
        ),
        "this is log q itself; the score is its derivative": lambda e, s, v: (
            -0.5 * (np.log(2 * np.pi) + v + e**2)
        ),
        "the score is divided by sigma: it is that of sigma": lambda e, s, v: (e**2 - 1) / s,
        "the score is divided by the variance: it is that of the variance": lambda e, s, v: (
            (e**2 - 1) / 2 / s**2
        ),
        "the score lacks (eps^2 - 1) / 2": lambda e, s, v: 1.0,
        "the score sums (eps^2 - 1) / 2 over the dimensions: each parameter has its own": (
            lambda e, s, v: ((e**2 - 1) / 2).sum(axis=1, keepdims=True)
        ),
    },
    average={
        "": lambda a, b: mean(a * b),
        "a mean of products is not the product of the means: multiply first": lambda a, b: (
            mean(a) * mean(b)
        ),
        "a sum over the samples, where a mean is meant": lambda a, b: np.sum(a * b, axis=0),
        "a standard deviation, where a mean is meant": lambda a, b: np.std(a * b, axis=0),
        "this is one sample, the first; average over all": lambda a, b: (a * b)[0],
        "this is one sample, the last; average over all": lambda a, b: (a * b)[-1],
    },
    d={
        "": lambda v, d: d,
        "the path has the values of f, where it needs the slopes": lambda v, d: v[:, None],
        "the path has values times slopes": lambda v, d: v[:, None] * d,
    },
    scale={
        "": lambda s, v: s,
        "the path has exp(log_var), not its root: sigma against sigma squared": lambda s, v: s**2,
        "the path lacks sigma": lambda s, v: 1.0,
        "the path has log_var where exp(log_var / 2) is meant": lambda s, v: v,
        "the path is divided by sigma": lambda s, v: 1 / s,
    },
    noise={
        "": lambda e, v: e,
        "the path lacks eps": lambda e, v: np.ones_like(e),
        "the path has eps squared": lambda e, v: e**2,
        "the path has eps + 1": lambda e, v: e + 1,
        "mu is still in the path: it does not move with log_var": lambda e, v: e + np.exp(-v / 2),
    },
    half={"": 0.5, "the path's 1/2 is missing": 1.0, "the path's 1/2 is there twice": 0.25},
)


def check(answer):
    check_function(
        answer.gradients,
        gradients,
        suspects=SUSPECTS,
        names=("the score's estimate", "the path's estimate"),
        values=draw(7, seed=1),
        slopes=draw(7, 3, seed=2),
        log_var=draw(3, seed=3),
        eps=draw(7, 3, seed=4),
    )


PATH = "path = np.mean(slopes * np.exp(log_var / 2) * eps / 2, axis=0)\n"
SCORE = "score = np.mean(values[:, None] * (eps**2 - 1) / 2, axis=0)\n"

WRONG = [
    Wrong(
        "score = np.mean(values[:, None] * eps / np.exp(log_var / 2), axis=0)\n"
        + PATH
        + "return score, path",
        "score is that of mu",
    ),
    Wrong(
        "score = np.mean(values[:, None] * eps**2 / 2, axis=0)\n" + PATH + "return score, path",
        "the -1 in the score is missing",
    ),
    Wrong(
        "score = np.mean(values[:, None] * (eps**2 - 1), axis=0)\n" + PATH + "return score, path",
        "1/2 is missing",
    ),
    Wrong(
        SCORE + "path = np.mean(slopes * np.exp(log_var) * eps / 2, axis=0)\nreturn score, path",
        "sigma against sigma squared",
    ),
    Wrong(
        SCORE + "path = np.mean(slopes * np.exp(log_var / 2) * eps, axis=0)\nreturn score, path",
        "lacks its factor 1/2|path.* twice",
    ),
    Wrong(SCORE + "path = np.mean(slopes * eps, axis=0)\nreturn score, path", "that of sigma"),
    Wrong(SCORE + "path = slopes.mean(axis=0)\nreturn score, path", "path is that of mu"),
    Wrong(SCORE + PATH + "return path, score", "the order is"),
    Wrong(SCORE + PATH + "return len(eps) * score, len(eps) * path", "N = 7|sum.* mean"),
    Wrong(
        "score = values.mean() * np.mean(eps**2 - 1, axis=0) / 2\n" + PATH + "return score, path",
        "product of the means",
    ),
    Wrong(
        SCORE + "path = np.mean(values[:, None] * slopes * np.exp(log_var / 2) * eps / 2, axis=0)\n"
        "return score, path",
        "multiplied by f",
    ),
    Wrong(
        "score = np.mean((values - values.mean())[:, None] * (eps**2 - 1) / 2, axis=0)\n"
        + PATH
        + "return score, path",
        "baseline",
    ),
    Wrong(
        "score = np.mean(values[:, None] * (eps**2 * np.exp(-log_var) - 1) / 2, axis=0)\n"
        + PATH
        + "return score, path",
        "eps is taken for z - mu",
    ),
    Wrong(
        "return (np.mean(values[:, None] * eps / np.exp(log_var / 2), axis=0),\n"
        "        np.mean(slopes, axis=0))",
        "score is that of mu",
    ),
    Wrong(
        "z = np.exp(log_var / 2) * eps\n"
        "return np.mean(values[:, None] * (z**2 - 1) / 2, axis=0), np.mean(slopes * z / 2, "
        "axis=0)",
        "divide by the variance",
    ),
]
