"""26 Find the bug: an E-step

The responsibilities of a mixture of Gaussians, equation GMM.2 with the density
below equation GMM.1. The lines were copied from a published article. More than
one thing is wrong with them: mend all.
"""

import numpy as np


def responsibilities(x, pi, mu, Sigma):
    """Return r ``(N, K)``; x ``(N, D)``, pi ``(K,)``, mu ``(K, D)``, Sigma ``(K, D, D)``."""
    offset = x[:, None, :] - mu
    squares = np.einsum("nki,kij,nkj->nk", offset, np.linalg.inv(Sigma), offset)
    # --- your code: find the bugs ---
    det = np.linalg.det(2 * np.pi * Sigma)
    joint = pi * det ** (-1 / 2) * np.exp(-0.5 * squares)
    return joint / joint.sum(axis=1, keepdims=True)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, draw

EQUATIONS = ["GMM.1", "GMM.2"]

HINTS = [
    "A row of r is a distribution over the labels of one datum. What must each row sum to? Of what "
    "is it the posterior, and where is its prior?",
    "Compare with the equations: the weight pi_k, the power of the determinant, the power of 2 pi, "
    "and the denominator.",
    "joint = pi * (2 * np.pi) ** (-D / 2) * det ** (-1 / 2) * exp(-squares / 2), and each row of "
    "joint is divided by its ...",
]


def joint(x, pi, mu, Sigma, power=-0.5, half=-0.5):
    offset = x[:, None, :] - mu
    squares = np.einsum("nki,kij,nkj->nk", offset, np.linalg.inv(Sigma), offset)
    return pi * np.linalg.det(2 * np.pi * Sigma) ** power * np.exp(half * squares)


def rows(a):
    return a / a.sum(axis=1, keepdims=True)


SUSPECTS = {
    "the weights pi are left out: a common label is as likely as a rare one": lambda x, p, m, S: (
        rows(joint(x, 1.0, m, S))
    ),
    "the determinant has the power -1; a density has -1/2": lambda x, p, m, S: rows(
        joint(x, p, m, S, power=-1)
    ),
    "the determinant has the power -1, where a density has -1/2, and the weights pi are left "
    "out": lambda x, p, m, S: rows(joint(x, 1.0, m, S, power=-1)),
    "the determinant is missing: wide components must be lower": lambda x, p, m, S: rows(
        joint(x, p, m, S, power=0)
    ),
    "the determinant is multiplied by; a density divides by its root": lambda x, p, m, S: rows(
        joint(x, p, m, S, power=0.5)
    ),
    "the exponent lacks its 1/2": lambda x, p, m, S: rows(joint(x, p, m, S, half=-1)),
    "the exponent has the wrong sign": lambda x, p, m, S: rows(joint(x, p, m, S, half=0.5)),
    "not normalised: these are joint densities, and a row does not sum to 1": joint,
    "not normalised, and the weights pi are left out: these are densities": lambda x, p, m, S: (
        joint(x, 1.0, m, S)
    ),
    "each column sums to 1: it is the rows, the labels of one datum, that must": (
        lambda x, p, m, S: joint(x, p, m, S) / joint(x, p, m, S).sum(axis=0)
    ),
    "divided by the sum over everything: each row must sum to 1": lambda x, p, m, S: (
        joint(x, p, m, S) / joint(x, p, m, S).sum()
    ),
    "the denominator has no weights": lambda x, p, m, S: (
        joint(x, p, m, S) / joint(x, 1.0, m, S).sum(axis=1, keepdims=True)
    ),
    "the numerator has no weights": lambda x, p, m, S: (
        joint(x, 1.0, m, S) / joint(x, p, m, S).sum(axis=1, keepdims=True)
    ),
    "the weights are divided by": lambda x, p, m, S: rows(joint(x, 1 / p, m, S)),
    "the weights are there twice": lambda x, p, m, S: rows(joint(x, p * p, m, S)),
    "these are labels, 0 or 1: responsibilities are probabilities": lambda x, p, m, S: np.eye(
        len(p)
    )[joint(x, p, m, S).argmax(axis=1)],
}


def check(answer):
    root = draw(3, 4, 4, seed=3)
    arguments = {
        "x": draw(7, 4, seed=1),
        "pi": np.array([0.2, 0.5, 0.3]),
        "mu": 0.5 * draw(3, 4, seed=2),
        "Sigma": root @ root.swapaxes(1, 2) + np.eye(4),
    }
    check_function(answer.responsibilities, responsibilities, suspects=SUSPECTS, **arguments)


DET = "det = np.linalg.det(Sigma)\n"
EXP = "np.exp(-0.5 * squares)"
TWO_PI = "(2 * np.pi) ** (-(x.shape[1] + 1) / 2)"

BUG = Wrong(DET + f"return {TWO_PI} * det ** (-1) * {EXP}", "must sum to 1 along axis 1")

WRONG = [
    Wrong(
        DET + f"joint = {TWO_PI} / det * {EXP}\nreturn joint / joint.sum(axis=1, keepdims=True)",
        "power -1.*pi are left out",
    ),
    Wrong(
        DET + f"joint = pi / det * {EXP}\nreturn joint / joint.sum(axis=1, keepdims=True)",
        "power -1",
    ),
    Wrong(
        DET + f"joint = det**-0.5 * {EXP}\nreturn joint / joint.sum(axis=1, keepdims=True)",
        "pi are left out",
    ),
    Wrong(
        f"joint = pi * {EXP}\nreturn joint / joint.sum(axis=1, keepdims=True)",
        "determinant is missing",
    ),
    Wrong(
        DET + f"return pi * (2 * np.pi) ** (-x.shape[1] / 2) * det**-0.5 * {EXP}", "not normalised"
    ),
    Wrong(DET + f"joint = pi * det**-0.5 * {EXP}\nreturn joint / joint.sum(axis=0)", "each column"),
    Wrong(
        DET + "joint = pi * det**-0.5 * np.exp(-squares)\n"
        "return joint / joint.sum(axis=1, keepdims=True)",
        "lacks its 1/2",
    ),
    Wrong(
        DET + f"joint = det**-0.5 * {EXP}\nreturn pi * joint / joint.sum(axis=1, keepdims=True)",
        "denominator has no weights",
    ),
    Wrong(DET + f"joint = pi * det**-0.5 * {EXP}\nreturn joint / joint.sum()", "over everything"),
    Wrong(
        DET + f"joint = pi * det**0.5 * {EXP}\nreturn joint / joint.sum(axis=1, keepdims=True)",
        "multiplied by",
    ),
]
