"""40 Find the bug: a reshape for a transpose

How informative each dimension of a code is about factors of variation: for each
factor, the largest mutual information less the second largest (the gap of Chen et al.
2018). The probabilities come as ``(K, F, B)``, for each of K dimensions and F factors
those of B cells of a histogram, and are wanted as ``(F, K, B)``. The lines below run,
and the shapes are right. Mend them.
"""

import numpy as np


def information_gap(information, joint):
    """Return the gap of each factor ``(F,)``, in units of its entropy.

    `information` is I(z_k; v_f) in nats, ``(K, F)``; `joint` are the frequencies of the
    B values of factor f beside dimension k, ``(K, F, B)``, the same for every k.
    """
    # --- your code: find the bug ---
    by_factor = information.T
    frequencies = joint.transpose(1, 0, 2)[:, 0]
    entropy = -np.sum(frequencies * np.log(frequencies), axis=-1)
    ordered = np.sort(by_factor, axis=1)
    return (ordered[:, -1] - ordered[:, -2]) / entropy
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, draw

EQUATIONS = ["SURG.2"]
SECTION = "discrete_and_better_priors#elbo-surgery"

HINTS = [
    "Fill a small array with 0, 1, 2, ... and look at x.reshape(3, 2) beside x.T of one of shape "
    "(2, 3). The shapes are equal; are the numbers?",
    "reshape (view, in PyTorch) keeps the order of the numbers in memory and cuts it anew. To "
    "exchange two axes is to change the order.",
    "Two lines exchange axes: information.T, and joint.transpose(1, 0, 2).",
]


def gap(by_factor, frequencies, largest=-1, second=-2):
    entropy = -np.sum(frequencies * np.log(frequencies), axis=-1)
    ordered = np.sort(by_factor, axis=1)
    return (ordered[:, largest] - ordered[:, second]) / entropy


def reshaped(x, first, second):
    return x.reshape(first, second, *x.shape[2:])


SUSPECTS = {
    "reshape stands for a transpose twice: the numbers are cut anew, not exchanged": lambda i, j: (
        gap(reshaped(i, *i.shape[::-1]), reshaped(j, j.shape[1], j.shape[0])[:, 0])
    ),
    "reshape stands for a transpose of the information": lambda i, j: (
        gap(reshaped(i, *i.shape[::-1]), j[0])
    ),
    "reshape stands for a transpose of the frequencies": lambda i, j: (
        gap(i.T, reshaped(j, j.shape[1], j.shape[0])[:, 0])
    ),
    "the entropy is missing: the gap is in units of it": lambda i, j: (
        np.sort(i.T, axis=1)[:, -1] - np.sort(i.T, axis=1)[:, -2]
    ),
    "the entropy is subtracted, where it divides": lambda i, j: (
        np.sort(i.T, axis=1)[:, -1] - np.sort(i.T, axis=1)[:, -2]
        + np.sum(j[0] * np.log(j[0]), axis=-1)
    ),
    "this is the largest less the smallest": lambda i, j: gap(i.T, j[0], second=0),
    "this is the second less the third": lambda i, j: gap(i.T, j[0], -2, -3),
    "nothing is subtracted from the largest": lambda i, j: (
        i.T.max(axis=1) / -np.sum(j[0] * np.log(j[0]), axis=-1)
    ),
    "the information is not sorted": lambda i, j: (
        (i.T[:, -1] - i.T[:, -2]) / -np.sum(j[0] * np.log(j[0]), axis=-1)
    ),
    "the entropy has the wrong sign": lambda i, j: -gap(i.T, j[0]),
    "the second less the largest: the sign": lambda i, j: gap(i.T, j[0], -2, -1),
    "the entropy is in bits: the information is in nats": lambda i, j: (
        gap(i.T, j[0]) * np.log(2)
    ),
    "the frequencies stand before the logarithm no more": lambda i, j: (
        (np.sort(i.T, axis=1)[:, -1] - np.sort(i.T, axis=1)[:, -2])
        / -np.sum(np.log(j[0]), axis=-1)
    ),
}


def histogram(K, F, B, seed):
    """Frequencies of each factor's B values, the same for every dimension."""
    each = draw(F, B, seed=seed, low=0.2, high=1.0)
    each = each / each.sum(axis=-1, keepdims=True)
    return np.repeat(each[None], K, axis=0)


def check(answer):
    check_function(
        answer.information_gap,
        information_gap,
        suspects=SUSPECTS,
        fixed=("information", "joint"),
        elsewhere={
            "with two dimensions": {
                "information": draw(2, 4, seed=5, low=0.1, high=2.0),
                "joint": histogram(2, 4, 6, seed=6),
            },
        },
        information=draw(5, 3, seed=1, low=0.1, high=2.0),
        joint=histogram(5, 3, 4, seed=2),
    )


END = (
    "entropy = -np.sum(frequencies * np.log(frequencies), axis=-1)\n"
    "ordered = np.sort(by_factor, axis=1)\n"
    "return (ordered[:, -1] - ordered[:, -2]) / entropy"
)
RIGHT = "by_factor = information.T\nfrequencies = joint.transpose(1, 0, 2)[:, 0]\n"

BUG = Wrong(
    "K, F, B = joint.shape\nby_factor = information.reshape(F, K)\n"
    "frequencies = joint.reshape(F, K, B)[:, 0]\n" + END,
    "reshape stands for a transpose twice",
)

WRONG = [
    Wrong(
        "by_factor = information.reshape(information.shape[::-1])\n"
        "frequencies = joint.transpose(1, 0, 2)[:, 0]\n" + END,
        "transpose of the information",
    ),
    Wrong(
        "K, F, B = joint.shape\nby_factor = information.T\n"
        "frequencies = joint.reshape(F, K, B)[:, 0]\n" + END,
        "transpose of the frequencies",
    ),
    Wrong(RIGHT + END.replace(") / entropy", ")"), "entropy is missing"),
    Wrong(RIGHT + END.replace("ordered[:, -2]", "ordered[:, 0]"), "less the smallest"),
    Wrong(RIGHT + END.replace("np.log(", "np.log2("), "bits|base 2"),
    Wrong(RIGHT + END.replace("np.sort(by_factor, axis=1)", "by_factor"), "not sorted"),
    Wrong(RIGHT + END.replace("-np.sum", "np.sum"), "sign|negative"),
]
