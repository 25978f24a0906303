"""26 Find the bug: an E-step

The responsibilities of a mixture of Gaussians, equation GMM.2 with the density
below equation GMM.1. The lines were copied from a published article. More than
one thing is wrong with them: mend all. They are to be right for a datum that is
far from every component too, and in 40 dimensions.
"""

import numpy as np


def responsibilities(x, pi, mu, Sigma):
    """Return r ``(N, K)``; x ``(N, D)``, pi ``(K,)``, mu ``(K, D)``, Sigma ``(K, D, D)``."""
    offset = x[:, None, :] - mu
    squares = np.einsum("nki,kij,nkj->nk", offset, np.linalg.inv(Sigma), offset)
    # --- your code: find the bugs ---
    log_det = np.linalg.slogdet(Sigma)[1]
    log_joint = np.log(pi) - 0.5 * log_det - 0.5 * squares
    joint = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return joint / joint.sum(axis=1, keepdims=True)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, check_logarithm, combined, draw

EQUATIONS = ["GMM.1", "GMM.2"]
SECTION = "mixtures_and_em#the-model-and-its-posterior"

HINTS = [
    "A row of r is a distribution over the labels of one datum. What must each row sum to? Of what "
    "is it the posterior, and where is its prior?",
    "Compare with the equations: the weight pi_k, the power of the determinant, the power of 2 pi, "
    "and the denominator.",
    "log_joint = np.log(pi) - log_det / 2 - squares / 2, with np.linalg.slogdet(Sigma)[1], for a "
    "determinant may underflow; take out the largest of each row, exp, and divide by ...",
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


def made(x, pi, mu, Sigma, prior, height, exponent, rows):
    offset = x[:, None, :] - mu
    squares = np.einsum("nki,kij,nkj->nk", offset, np.linalg.inv(Sigma), offset)
    two_pi = (2 * np.pi) ** (-x.shape[1] / 2)
    return rows(prior(pi) * two_pi * height(Sigma) * np.exp(exponent(squares)))


SUSPECTS |= combined(
    made,
    at_most=3,
    prior={
        "": lambda p: p,
        "the weights pi are left out": lambda p: 1.0,
        "the weights are squared": np.square,
        "the weights have a root": np.sqrt,
        "the weights are divided by": lambda p: 1 / p,
        "the logarithms of the weights are multiplied": np.log,
    },
    height={
        "": lambda S: np.linalg.det(S) ** -0.5,
        "the determinant has the power -1, where a density has -1/2": lambda S: (
            np.linalg.det(S) ** -1.0
        ),
        "the determinant is missing": lambda S: 1.0,
        "the determinant is multiplied by": lambda S: np.linalg.det(S) ** 0.5,
        "the determinant has the power -D/2: that is for 2 pi": lambda S: (
            np.linalg.det(S) ** (-S.shape[1] / 2)
        ),
        "the trace stands where the determinant is meant": lambda S: (
            np.trace(S, axis1=1, axis2=2) ** -0.5
        ),
        "the product of the diagonal stands where the determinant is meant": lambda S: (
            np.prod(np.diagonal(S, axis1=1, axis2=2), axis=1) ** -0.5
        ),
    },
    exponent={
        "": lambda s: -s / 2,
        "the exponent lacks its 1/2": lambda s: -s,
        "the exponent has the wrong sign": lambda s: s / 2,
        "the exponent has a root: squares are what is needed": lambda s: -np.sqrt(s) / 2,
        "the exponential is missing": lambda s: np.log(s),
    },
    rows={
        "": lambda e: e / e.sum(axis=1, keepdims=True),
        "the rows are not normalised": lambda e: e,
        "each column is normalised, where each row must sum to 1": lambda e: e / e.sum(axis=0),
        "divided by the sum over everything: each row must sum to 1": lambda e: e / e.sum(),
        "divided by the largest of the row, where its sum is meant": lambda e: (
            e / e.max(axis=1, keepdims=True)
        ),
        "divided by the root of the sum of squares: probabilities sum to 1": lambda e: (
            e / np.sqrt((e**2).sum(axis=1, keepdims=True))
        ),
        "divided by the mean of the row, where its sum is meant": lambda e: (
            e / e.mean(axis=1, keepdims=True)
        ),
    },
)
SUSPECTS |= {
    "the weights are added, where they multiply": lambda x, p, m, S: rows(
        p + np.linalg.det(2 * np.pi * S) ** 0.5 * 0 + joint(x, 1.0, m, S)
    ),
    "the weights are added, where they multiply, and 2 pi is missing besides": lambda x, p, m, S: (
        rows(p + joint(x, 1.0, m, S) * (2 * np.pi) ** (x.shape[1] / 2))
    ),
}


def check(answer):
    root = draw(3, 4, 4, seed=3)
    arguments = {
        "x": draw(7, 4, seed=1),
        "pi": np.array([0.2, 0.5, 0.3]),
        "mu": 0.5 * draw(3, 4, seed=2),
        "Sigma": root @ root.swapaxes(1, 2) + np.eye(4),
    }
    wide = draw(3, 40, 40, seed=4)
    check_function(
        answer.responsibilities, responsibilities, suspects=SUSPECTS,
        elsewhere={
            "for a datum far from every component: all densities underflow to 0, and 0/0 follows; "
            "add logarithms, and take out the largest of each row": {
                "x": 60 * draw(7, 4, seed=1),
            },
            "in 40 dimensions of small scale: a determinant underflows; take slogdet": {
                "x": 3e-5 * draw(7, 40, seed=1),
                "mu": 3e-6 * draw(3, 40, seed=2),
                "Sigma": 1e-9 * (wide @ wide.swapaxes(1, 2) / 40 + np.eye(40)),
            },
        },
        fixed=("Sigma", "pi"),
        lengths=(2,),
        **arguments,
    )  # fmt: skip
    rare = {**arguments, "pi": np.array([1e-12, 0.5, 0.5 - 1e-12])}
    check_logarithm(
        answer.responsibilities, responsibilities,
        "where a component is rare, 1e-12: something was added to the weights",
        fixed=("Sigma", "pi"), lengths=(2,), **rare,
    )  # fmt: skip


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
    Wrong(
        "joint = pi * np.linalg.det(2 * np.pi * Sigma) ** -0.5 * np.exp(-0.5 * squares)\n"
        "return joint / joint.sum(axis=1, keepdims=True)",
        "far from every component",
    ),
    Wrong(
        "a = np.log(pi) - 0.5 * np.log(np.linalg.det(Sigma)) - 0.5 * squares\n"
        "joint = np.exp(a - a.max(axis=1, keepdims=True))\n"
        "return joint / joint.sum(axis=1, keepdims=True)",
        "in 40 dimensions .* a determinant underflows",
    ),
    Wrong(
        "a = np.log(pi + 1e-12) - 0.5 * np.linalg.slogdet(Sigma)[1] - 0.5 * squares\n"
        "joint = np.exp(a - a.max(axis=1, keepdims=True))\n"
        "return joint / joint.sum(axis=1, keepdims=True)",
        "something was added to the weights",
    ),
]
