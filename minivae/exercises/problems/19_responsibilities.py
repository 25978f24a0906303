"""19 Responsibilities in log space

Which component did a datum come from? The posterior of its label is equation
GMM.2. Far from every component all densities are 0 on a computer, and the
quotient is 0/0. In logarithms it is a softmax of log pi_k + log N_k, and always
defined.
"""

import numpy as np


def responsibilities(log_pi, log_density):
    """Return r ``(N, K)`` from log pi_k ``(K,)`` and log N(x_n; k) ``(N, K)``."""
    # --- your code: return an array of N rows that sum to 1 ---
    log_joint = log_pi + log_density
    joint = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return joint / joint.sum(axis=1, keepdims=True)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, check_logarithm, combined, draw

EQUATIONS = ["GMM.2"]
SECTION = "mixtures_and_em#the-model-and-its-posterior"

HINTS = [
    "Bayes' rule: the weight of a component times its density there, divided by the sum of that "
    "over the components. Logarithms turn the product into a sum.",
    "Subtract the largest of each row before exp: numerator and denominator change by one factor. "
    "Each datum has a largest of its own.",
    "joint = np.exp(log_joint - log_joint.max(axis=1, keepdims=True)), then divide each row of it "
    "by ...",
]


def softmax(a, axis=1):
    e = np.exp(a - a.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


SUSPECTS = {
    "the largest of each column is subtracted; each row has to lose one number": lambda p, d: (
        softmax(p + d - (p + d).max(axis=0))
    ),
    "the weights pi are left out: this is the softmax of the densities alone": lambda p, d: softmax(
        d
    ),
    "each column sums to 1: it is the rows, the labels of one datum, that must": lambda p, d: (
        softmax(p + d, axis=0)
    ),
    "not normalised: this is the joint density, whose rows do not sum to 1": lambda p, d: np.exp(
        p + d
    ),
    "these are the log-responsibilities: exp is missing": lambda p, d: np.log(softmax(p + d)),
    "the logarithms are multiplied: that of a product is their sum": lambda p, d: softmax(p * d),
    "the weights entered as exp(log_pi), next to a logarithm: log pi itself is added to log N": (
        lambda p, d: softmax(np.exp(p) + d)
    ),
    "the weights pi multiply the log-densities: the logarithm of a product is a sum": (
        lambda p, d: softmax(np.exp(p) * d)
    ),
    "the log pi is subtracted: it has to be added": lambda p, d: softmax(d - p),
    "the densities have the wrong sign": lambda p, d: softmax(p - d),
    "the densities entered without their logarithm: exp is applied twice": lambda p, d: softmax(
        p + np.exp(d)
    ),
    "these are labels, 0 or 1 (k-means): responsibilities are probabilities": lambda p, d: np.eye(
        d.shape[1]
    )[np.argmax(p + d, axis=1)],
    "normalised before pi was multiplied in: pi belongs into the denominator too": lambda p, d: (
        np.exp(p) * softmax(d)
    ),
    "divided by the largest of the row, where its sum is meant": lambda p, d: np.exp(
        p + d - (p + d).max(axis=1, keepdims=True)
    ),
    "divided by the sum over everything: each row must sum to 1": lambda p, d: (
        np.exp(p + d) / np.exp(p + d).sum()
    ),
    "the denominator is the sum of the densities without their weights": lambda p, d: (
        np.exp(p + d) / np.exp(d).sum(axis=1, keepdims=True)
    ),
}


def made(log_pi, log_density, prior, density, turn, rows):
    return rows(turn(prior(log_pi) + density(log_density)))


SUSPECTS |= combined(
    made,
    prior={
        "": lambda p: p,
        "the weights pi are left out": lambda p: 0 * p,
        "log_pi is exponentiated: log pi and log N are added": np.exp,
        "log_pi is subtracted": lambda p: -p,
        "log_pi is counted twice": lambda p: 2 * p,
        "log_pi is halved": lambda p: p / 2,
    },
    density={
        "": lambda d: d,
        "log_density is left out": lambda d: 0 * d,
        "log_density is exponentiated: log pi and log N are added": np.exp,
        "log_density has the wrong sign": lambda d: -d,
        "log_density is halved": lambda d: d / 2,
        "log_density is counted twice": lambda d: 2 * d,
        "a largest or mean was subtracted from each column and not from each row: that changes "
        "the quotients": lambda d: d - d.max(axis=0),
    },
    turn={
        "": np.exp,
        "exp is missing: logarithms are divided by their sum": lambda a: a,
        "2 to the power is not exp": np.exp2,
        "1 / (1 + exp(-a)), a sigmoid, stands where exp is meant": lambda a: 1 / (1 + np.exp(-a)),
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


FAR = {
    "the datum is far from every component: all densities underflow to 0": np.full(5, -2000.0),
    "densities overflow: exp is infinite at 1000": np.full(5, 1000.0),
    "the rows differ in size: take out each row's own largest, not one for all": (
        np.array([0.0, -2000.0, 700.0, -30.0, 3.0])
    ),
    "one component is far likelier than the rest: the small densities may underflow, the largest "
    "may not overflow": np.array([[0.0, 9000.0, 0.0, 0.0, 0.0], [0.0] * 5, [-9000.0] * 5]),
}


def check(answer):
    log_pi = np.log([0.2, 0.5, 0.3])
    log_density = draw(5, 3, seed=1) - 1.0
    check_function(
        answer.responsibilities,
        responsibilities,
        suspects=SUSPECTS,
        elsewhere={
            f"where {what}": {"log_density": (log_density.T + by).T} for what, by in FAR.items()
        },
        repair=weighted,
        log_pi=log_pi,
        log_density=log_density,
    )
    check_logarithm(
        answer.responsibilities,
        responsibilities,
        "for components that are 40 nats less likely than the best: r is near 1e-17 there, and "
        "something was added, or it was clipped",
        fixed=("log_pi",),
        log_pi=log_pi,
        log_density=draw(5, 3, seed=2) - 40.0 * np.eye(3)[[0, 1, 2, 0, 1]],
    )


def weighted(inputs):
    """The same inputs with weights that sum to 1."""
    log_pi = inputs["log_pi"]
    return {**inputs, "log_pi": log_pi - np.log(np.exp(log_pi).sum())}


JOINT = "joint = np.exp(log_pi + log_density)\n"
STABLE = "a = log_pi + log_density\njoint = np.exp(a - a.max(axis=1, keepdims=True))\n"

WRONG = [
    Wrong(JOINT + "return joint / joint.sum(axis=1, keepdims=True)", "underflow"),
    Wrong(
        "joint = np.exp(log_density - log_density.max(axis=1, keepdims=True))\n"
        "return joint / joint.sum(axis=1, keepdims=True)",
        "weights pi are left out",
    ),
    Wrong(JOINT + "return joint", "not normalised"),
    Wrong(JOINT + "return joint / joint.sum(axis=0)", "each column sums to 1"),
    Wrong(JOINT + "return joint / joint.sum()", "sum over everything"),
    Wrong(
        "a = log_pi + log_density\njoint = np.exp(a - a.max())\n"
        "return joint / joint.sum(axis=1, keepdims=True)",
        "own largest",
    ),
    Wrong(STABLE + "return joint", "divided by the largest"),
    Wrong(STABLE + "return np.log(joint / joint.sum(axis=1, keepdims=True))", "exp is missing"),
    Wrong(STABLE + "return (joint == 1.0).astype(float)", "labels, 0 or 1"),
    Wrong(
        "joint = np.exp(log_density - log_density.max(axis=1, keepdims=True))\n"
        "return np.exp(log_pi) * joint / joint.sum(axis=1, keepdims=True)",
        "normalised before pi",
    ),
    Wrong(
        STABLE + "return joint / (joint.sum(axis=1, keepdims=True) + 1e-3)",
        "must sum to 1|small constant",
    ),
    Wrong(JOINT + "return joint / (joint.sum(axis=1, keepdims=True) + 1e-300)", "underflow"),
    Wrong(
        "a = np.exp(log_pi) * log_density\njoint = np.exp(a - a.max(axis=1, keepdims=True))\n"
        "return joint / joint.sum(axis=1, keepdims=True)",
        "pi multiply the log-densities",
    ),
    Wrong(
        "a = log_pi + log_density\n"
        "joint = np.exp(a - a.max(axis=1, keepdims=True)) + 1e-12\n"
        "return joint / joint.sum(axis=1, keepdims=True)",
        "something was added",
    ),
    Wrong(
        "a = log_pi + log_density\n"
        "a -= a.max(axis=1)\n"
        "return np.exp(a)",
        r"there: a \(5, 3\)",
    ),
]
