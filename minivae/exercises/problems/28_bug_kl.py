"""28 Find the bug: the KL of two Gaussians

KL(q || p) for q = N(mu, sigma^2) and p = N(mu_p, sigma_p^2), summed over the
independent dimensions: equation KL.4, with sigma for the scale. The lines give 0
where q = p, as they should, and are wrong elsewhere. Mend them.
"""

import numpy as np


def kl_of_gaussians(mu, sigma, mu_p, sigma_p):
    """Return the KL of each row, ``(N,)``; all four are ``(N, K)``."""
    # --- your code: find the bug ---
    ratio = sigma**2 / sigma_p**2
    return 0.5 * np.sum(ratio + ((mu - mu_p) / sigma_p) ** 2 - 1 - np.log(ratio), axis=1)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["KL.4"]
SECTION = "kl_and_elbo#between-gaussians"

HINTS = [
    "Units. If z is in metres, so are mu and sigma, and a KL has no unit. Which term of the code "
    "has one?",
    "Every sigma in the equation is squared; the logarithm's as well.",
    "ratio = sigma**2 / sigma_p**2, and the squared distance of the means is divided by ...",
]


def kl(mu, var, mu_p, var_p, distance=None, inner=None):
    """From variances; with another quotient of the distance, or inside the logarithm."""
    ratio = var / var_p
    d = (mu - mu_p) ** 2 / var_p if distance is None else distance
    return 0.5 * np.sum(ratio + d - 1 - (np.log(ratio) if inner is None else inner), axis=1)


SUSPECTS = {
    "every sigma is taken for a variance: sigma against sigma squared": kl,
    "the logarithm has sigma for sigma squared, or lacks a factor 2": lambda m, s, n, t: kl(
        m, s**2, n, t**2, inner=np.log(s / t)
    ),
    "the distance is divided by sigma_p, where sigma_p squared is meant": lambda m, s, n, t: kl(
        m, s**2, n, t**2, distance=(m - n) ** 2 / t
    ),
    "the quotient sigma / sigma_p stands where that of their squares is meant": lambda m, s, n, t: (
        0.5 * np.sum(s / t + ((m - n) / t) ** 2 - 1 - 2 * np.log(s / t), axis=1)
    ),
    "of the two scales only sigma_p is squared: sigma against sigma squared": lambda m, s, n, t: kl(
        m, s, n, t**2
    ),
    "of the two scales only sigma is squared: sigma against sigma squared": lambda m, s, n, t: kl(
        m, s**2, n, t
    ),
    "squared twice: the fourth power of sigma": lambda m, s, n, t: kl(m, s**4, n, t**4),
    "the distance of the means is divided by q's variance: p's belongs there": lambda m, s, n, t: (
        kl(m, s**2, n, t**2, distance=(m - n) ** 2 / s**2)
    ),
    "this is the other direction, KL(p || q)": lambda m, s, n, t: kl(n, t**2, m, s**2),
    "the distance of the means is not divided by the variance": lambda m, s, n, t: kl(
        m, s**2, n, t**2, distance=(m - n) ** 2
    ),
    "the distance of the means is not squared": lambda m, s, n, t: kl(
        m, s**2, n, t**2, distance=(m - n) / t**2
    ),
    "the quotient in the logarithm is upside down": lambda m, s, n, t: kl(
        m, s**2, n, t**2, inner=np.log(t**2 / s**2)
    ),
    "the logarithm is missing": lambda m, s, n, t: kl(m, s**2, n, t**2, inner=0.0),
    "the distance of the means is missing": lambda m, s, n, t: kl(m, s**2, n, t**2, distance=0.0),
    "the -1 is missing, or stands outside the sum over dimensions": lambda m, s, n, t: (
        kl_of_gaussians(m, s, n, t) + 0.5 * m.shape[1]
    ),
    "the -1 is counted once, where every dimension has one": lambda m, s, n, t: (
        kl_of_gaussians(m, s, n, t) + 0.5 * (m.shape[1] - 1)
    ),
    "the prior is taken for N(0, I): p has a mean and a scale of its own": lambda m, s, n, t: kl(
        m, s**2, 0.0, np.ones_like(t)
    ),
    "the scale is taken for a log-variance": lambda m, s, n, t: kl(m, np.exp(s), n, np.exp(t)),
}


def made(mu, sigma, mu_p, sigma_p, ratio, distance, log, one, half):
    d = mu - mu_p
    inside = ratio(sigma, sigma_p) + distance(d, sigma, sigma_p) + one - log(sigma / sigma_p)
    return half * np.sum(inside, axis=1)


SUSPECTS |= combined(
    made,
    ratio={
        "": lambda s, t: s**2 / t**2,
        "the first quotient has sigma for sigma squared": lambda s, t: s / t,
        "the first quotient has the fourth powers": lambda s, t: (s / t) ** 4,
        "the first quotient is upside down": lambda s, t: t**2 / s**2,
        "in the first quotient sigma is not squared": lambda s, t: s / t**2,
        "in the first quotient sigma_p is not squared": lambda s, t: s**2 / t,
        "the first quotient is missing": lambda s, t: 0.0,
        "the first quotient has the wrong sign": lambda s, t: -(s**2) / t**2,
        "the first quotient lacks sigma_p": lambda s, t: s**2,
        "the first quotient is counted twice: the 1/2 is for it too": lambda s, t: 2 * s**2 / t**2,
    },
    distance={
        "": lambda d, s, t: (d / t) ** 2,
        "the distance is divided by sigma_p, where its square is meant": lambda d, s, t: d**2 / t,
        "the distance is divided by q's variance, where p's is meant": lambda d, s, t: (d / s) ** 2,
        "the distance is divided by sigma": lambda d, s, t: d**2 / s,
        "the distance is not divided by the variance": lambda d, s, t: d**2,
        "the distance is not squared": lambda d, s, t: d / t**2,
        "the distance is neither squared nor its divisor": lambda d, s, t: np.abs(d) / t,
        "the distance has the wrong sign": lambda d, s, t: -((d / t) ** 2),
        "the distance is missing": lambda d, s, t: 0.0,
        "the distance is counted twice: the 1/2 is for it too": lambda d, s, t: 2 * (d / t) ** 2,
        "the distance is divided by the fourth power of sigma_p": lambda d, s, t: d**2 / t**4,
        "the distance is divided by both variances added": lambda d, s, t: d**2 / (s**2 + t**2),
    },
    log={
        "": lambda q: 2 * np.log(q),
        "the logarithm has sigma for sigma squared, or lacks a factor 2": np.log,
        "the logarithm has the wrong sign": lambda q: -2 * np.log(q),
        "the logarithm is missing": lambda q: 0.0,
        "the logarithm is counted twice, or lacks the 1/2 that stands before all": lambda q: (
            4 * np.log(q)
        ),
        "the logarithm is to the base 2: a KL in nats has the natural one": lambda q: (
            2 * np.log2(q)
        ),
        "the logarithm itself is missing, its quotient is there": lambda q: q**2,
    },
    one={
        "": -1.0,
        "the -1 is missing": 0.0,
        "the -1 has the wrong sign": 1.0,
        "the -1 is counted twice, or lacks the 1/2": -2.0,
        "the -1 is halved twice": -0.5,
    },
    half={
        "": 0.5,
        "the 1/2 is missing": 1.0,
        "a minus too many": -0.5,
    },
)
SUSPECTS |= {
    "this is mu^2 - mu_p^2, where the difference is squared": lambda m, s, n, t: kl(
        m, s**2, n, t**2, distance=(m**2 - n**2) / t**2
    ),
    "the means are added, where their difference is meant": lambda m, s, n, t: kl(
        m, s**2, -n, t**2
    ),
}


def check(answer):
    check_function(
        answer.kl_of_gaussians,
        kl_of_gaussians,
        suspects=SUSPECTS,
        elsewhere={
            "for means near a million: expanded squares lose all digits there; subtract first": {
                "mu": 1e6 + draw(4, 5, seed=1),
                "mu_p": 1e6 + draw(4, 5, seed=3),
            },
            "where sigma is a millionth of sigma_p: something was added to the quotient": {
                "sigma": draw(4, 5, seed=2, low=0.4e-6, high=2.5e-6),
            },
            "for scales near 1e-6: was something added to them?": {
                "mu": 1e-6 * draw(4, 5, seed=1),
                "sigma": draw(4, 5, seed=2, low=0.4e-6, high=2.5e-6),
                "mu_p": 1e-6 * draw(4, 5, seed=3),
                "sigma_p": draw(4, 5, seed=4, low=0.4e-6, high=2.5e-6),
            },
        },
        mu=draw(4, 5, seed=1),
        sigma=draw(4, 5, seed=2, low=0.4, high=2.5),
        mu_p=draw(4, 5, seed=3),
        sigma_p=draw(4, 5, seed=4, low=0.4, high=2.5),
    )


D2 = "(mu - mu_p) ** 2"

BUG = Wrong(
    f"ratio = sigma / sigma_p\n"
    f"return 0.5 * np.sum(ratio + {D2} / sigma_p - 1 - np.log(ratio), axis=1)",
    "every sigma is taken for a variance",
)

SQUARE = "ratio = sigma**2 / sigma_p**2\n"

WRONG = [
    Wrong(
        "ratio = sigma / sigma_p\n"
        f"return 0.5 * np.sum(ratio**2 + {D2} / sigma_p**2 - 1 - np.log(ratio), axis=1)",
        "logarithm has sigma",
    ),
    Wrong(
        SQUARE + f"return 0.5 * np.sum(ratio + {D2} / sigma_p - 1 - np.log(ratio), axis=1)",
        "divided by sigma_p, where",
    ),
    Wrong(
        "ratio = sigma / sigma_p\n"
        f"return 0.5 * np.sum(ratio + {D2} / sigma_p**2 - 1 - 2 * np.log(ratio), axis=1)",
        "that of their squares",
    ),
    Wrong(
        "ratio = sigma**2 / sigma_p\n"
        f"return 0.5 * np.sum(ratio + {D2} / sigma_p - 1 - np.log(ratio), axis=1)",
        "only sigma is squared",
    ),
    Wrong(
        SQUARE + f"return 0.5 * np.sum(ratio + {D2} / sigma**2 - 1 - np.log(ratio), axis=1)",
        "p's belongs there",
    ),
    Wrong(
        "ratio = sigma_p**2 / sigma**2\n"
        f"return 0.5 * np.sum(ratio + {D2} / sigma**2 - 1 - np.log(ratio), axis=1)",
        "other direction",
    ),
    Wrong(
        SQUARE + f"return np.sum(ratio + {D2} / sigma_p**2 - 1 - np.log(ratio), axis=1)",
        "1/2 is missing",
    ),
    Wrong(
        SQUARE + f"return 0.5 * np.sum(ratio + {D2} / sigma_p**2 - 1 + np.log(ratio), axis=1)",
        "upside down",
    ),
    Wrong(
        SQUARE + f"return 0.5 * np.sum(ratio + {D2} / sigma_p**2 - np.log(ratio), axis=1)",
        "-1 is missing",
    ),
    Wrong(
        SQUARE + f"return 0.5 * np.mean(ratio + {D2} / sigma_p**2 - 1 - np.log(ratio), axis=1)",
        "mean",
    ),
    Wrong(SQUARE + f"return 0.5 * np.sum(ratio + {D2} / sigma_p**2 - 1 - np.log(ratio))", "shape"),
    Wrong(
        "ratio = sigma**2 / sigma_p**2\n"
        "square = mu**2 - 2 * mu * mu_p + mu_p**2\n"
        "return 0.5 * np.sum(ratio + square / sigma_p**2 - 1 - np.log(ratio), axis=1)",
        "subtract first",
    ),
    Wrong(
        "ratio = sigma**2 / sigma_p**2\n"
        "square = (mu - mu_p) ** 2\n"
        "return 0.5 * np.sum(ratio + square / sigma_p**2 - 1 - np.log(ratio + 1e-12), axis=1)",
        "added to the quotient",
    ),
]
