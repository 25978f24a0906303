"""39 Find the bug: weights in a column

A minibatch of M of N data estimates the aggregate posterior at z_i, which was drawn
from datum i, by equation SURG.3: datum i counts 1/N, and the others share the rest
evenly. The lines below make the M x M matrix of those weights; every row adds up to
1, as it should. Mend them.
"""

import numpy as np


def stratified_weights(M, N):
    """Return ``(M, M)``: in row i what q(z_i | x_j) counts for each j."""
    # --- your code: find the bug ---
    weights = np.full((M, M), (N - 1) / (N * (M - 1)))
    weights.reshape(-1)[:: M + 1] = 1 / N
    return weights
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function

EQUATIONS = ["SURG.3"]
SECTION = "discrete_and_better_priors#elbo-surgery"

HINTS = [
    "Print it for M = 3. Which j is the datum that z_i was drawn from, and where is its weight?",
    "The matrix as one long row: how many steps is it from one element of the diagonal to the "
    "next?",
    "Each row has M elements, and the diagonal moves one to the right from row to row: M + 1.",
]


def weights_with(M, N, own, other):
    weights = np.full((M, M), other(M, N))
    np.fill_diagonal(weights, own(M, N))
    return weights


def in_place(M, N, place):
    weights = np.full((M, M), (N - 1) / (N * (M - 1)))
    weights[place] = 1 / N
    return weights


def share(M, N):
    return (N - 1) / (N * (M - 1))


SUSPECTS = {
    "the weight 1/N stands in the first column: it belongs to datum i of row i": lambda M, N: (
        in_place(M, N, (slice(None), 0))
    ),
    "the weight 1/N stands in the first row: it belongs to datum i of row i": lambda M, N: (
        in_place(M, N, 0)
    ),
    "the weight 1/N stands in the last column": lambda M, N: in_place(M, N, (slice(None), -1)),
    "the weight 1/N stands on the other diagonal": lambda M, N: (
        weights_with(M, N, lambda M, N: 1 / N, share)[:, ::-1]
    ),
    "the weight 1/N stands one place right of the diagonal": lambda M, N: (
        np.roll(weights_with(M, N, lambda M, N: 1 / N, share), 1, axis=1)
    ),
    "every datum counts 1/M: datum i is certain to be in the batch, and counts too much": (
        lambda M, N: np.full((M, M), 1 / M)
    ),
    "the diagonal has 1/M for 1/N": lambda M, N: weights_with(M, N, lambda M, N: 1 / M, share),
    "the others have 1/M each: they share what 1/N leaves": lambda M, N: (
        weights_with(M, N, lambda M, N: 1 / N, lambda M, N: 1 / M)
    ),
    "the others are divided by M, and there are M - 1 of them": lambda M, N: (
        weights_with(M, N, lambda M, N: 1 / N, lambda M, N: (N - 1) / (N * M))
    ),
    "the others have 1/(M - 1): together with 1/N that is more than 1": lambda M, N: (
        weights_with(M, N, lambda M, N: 1 / N, lambda M, N: 1 / (M - 1))
    ),
    "the others stand for N data, and are N - 1": lambda M, N: (
        weights_with(M, N, lambda M, N: 1 / N, lambda M, N: 1 / M * N / (M - 1))
    ),
    "N and M are exchanged": lambda M, N: (
        weights_with(M, N, lambda M, N: 1 / M, lambda M, N: (M - 1) / (M * (N - 1)))
    ),
    "the logarithms are asked for elsewhere: here the weights themselves": lambda M, N: np.log(
        weights_with(M, N, lambda M, N: 1 / N, share)
    ),
    "the diagonal is 0: datum i counts 1/N": lambda M, N: (
        weights_with(M, N, lambda M, N: 0.0, share)
    ),
    "every datum counts the same share": lambda M, N: np.full((M, M), share(M, N)),
}


def check(answer):
    check_function(
        answer.stratified_weights,
        stratified_weights,
        suspects=SUSPECTS,
        fixed=("M", "N"),
        elsewhere={
            "where the batch is all the data: every weight is 1/N": {"M": 7, "N": 7},
            "for two of a thousand data": {"M": 2, "N": 1000},
        },
        M=4,
        N=7,
    )


REST = "weights = np.full((M, M), (N - 1) / (N * (M - 1)))\n"

BUG = Wrong(
    REST + "weights.reshape(-1)[::M] = 1 / N\nreturn weights",
    "first column",
)

WRONG = [
    Wrong(REST + "weights[0] = 1 / N\nreturn weights", "first row"),
    Wrong("return np.full((M, M), 1 / M)", "every datum counts 1/M"),
    Wrong(REST + "np.fill_diagonal(weights, 1 / M)\nreturn weights", "1/M for 1/N"),
    Wrong(
        "weights = np.full((M, M), 1 / M)\nnp.fill_diagonal(weights, 1 / N)\nreturn weights",
        "others have 1/M each",
    ),
    Wrong(
        "weights = np.full((M, M), (N - 1) / (N * M))\n"
        "np.fill_diagonal(weights, 1 / N)\nreturn weights",
        "there are M - 1 of them",
    ),
    Wrong(REST + "np.fill_diagonal(weights[:, ::-1], 1 / N)\nreturn weights", "other diagonal"),
    Wrong(REST + "return weights", "every datum counts the same share"),
    Wrong(
        REST + "np.fill_diagonal(weights, 1 / N)\nreturn np.log(weights)",
        "logarithms are asked for elsewhere|logarithm",
    ),
]
