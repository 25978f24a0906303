"""29 Find the bug: picking rows

out = x[index] picks rows of x, some of them twice. Uses add up: equation AD.10
says what the cotangent of x is. The lines below seem to add, and pass every
test in which no row is picked twice. Mend them.
"""

import numpy as np


def pick(x, index):
    """Rows of x ``(N, K)``, those of the integers index ``(M,)``."""
    return x[index]


def pick_vjp(g, x, index):
    """Return the cotangent of x, ``(N, K)``, from that of the picked rows, g ``(M, K)``."""
    # --- your code: find the bug ---
    g_x = np.zeros_like(x)
    np.add.at(g_x, index, g)
    return g_x
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["AD.10"]
SECTION = "reverse_mode#five-derivations"

HINTS = [
    "Try index = [0, 0] and g = [[1.0], [2.0]] for an x with one column. What should come out, and "
    "what does?",
    "a[index] += b reads all of a[index], adds b, and writes all back: a place that is there twice "
    "is written twice, and the first is lost.",
    "np.add.at(g_x, index, g) adds one after the other; so does a loop over index.",
]


def last(g, x, index):
    g_x = np.zeros_like(x)
    g_x[index] = g
    return g_x


def added(g, x, index):
    g_x = np.zeros_like(x)
    np.add.at(g_x, index, g)
    return g_x


def counts(x, index):
    return np.bincount(index, minlength=len(x))[:, None]


SUSPECTS = {
    "of a row that is picked more than once only the last use counts: the second overwrites the "
    "first": last,
    "of a row that is picked more than once only the first use counts": lambda g, x, index: last(
        g[::-1], x, index[::-1]
    ),
    "the uses of a row are averaged; they add up": lambda g, x, index: (
        added(g, x, index) / np.maximum(counts(x, index), 1)
    ),
    "these are the uses of each row, counted; the cotangent g is not in them": lambda g, x, index: (
        np.zeros_like(x) + counts(x, index)
    ),
    "the last use is multiplied by the number of uses; each use has a cotangent of its own": (
        lambda g, x, index: last(g, x, index) * counts(x, index)
    ),
    "rows that are never picked must get 0; here they get the cotangent's or x's numbers": (
        lambda g, x, index: np.where(counts(x, index) > 0, added(g, x, index), x)
    ),
    "the sum starts at ones: it must start at zeros": lambda g, x, index: added(g, x, index) + 1,
    "the sum starts at x: it must start at zeros": lambda g, x, index: added(g, x, index) + x,
    "the cotangent is picked by index where it is to be put there, or permuted": (
        lambda g, x, index: g[index[: len(x)] % len(g)]
    ),
    "the uses are multiplied; they add up": lambda g, x, index: np.stack(
        [np.prod(g[index == i], axis=0) if i in index else 0 * x[i] for i in range(len(x))]
    ),
    "the largest of the uses; they add up": lambda g, x, index: np.stack(
        [np.max(g[index == i], axis=0) if i in index else 0 * x[i] for i in range(len(x))]
    ),
}


def made(g, x, index, start, what, how, scale):
    g_x = start(x)
    rows = what(g, x, index)
    for i in set(index.tolist()):
        g_x[i] += how(rows[index == i])
    return scale * g_x


SUSPECTS |= combined(
    made,
    start={
        "": np.zeros_like,
        "the sum starts at ones": np.ones_like,
        "the sum starts at x": np.copy,
    },
    what={
        "": lambda g, x, index: g,
        "these are rows of x: the cotangent g is what goes back": lambda g, x, index: x[index],
        "g is multiplied by x: picking has the derivative 1": lambda g, x, index: g * x[index],
        "g is cut to whole numbers: g_x has the dtype of integers": lambda g, x, index: np.trunc(g),
        "the cotangent is in reverse order": lambda g, x, index: g[::-1],
        "the index is in reverse order": lambda g, x, index: g[::-1],
        "g is taken by the row of x, where it is taken by the place in index": lambda g, x, index: (
            g[index]
        ),
        "g is summed over its columns: each keeps its own": lambda g, x, index: (
            g.sum(axis=1, keepdims=True) + 0 * g
        ),
        "ones stand where g is meant": lambda g, x, index: np.ones_like(g),
        "the first place of index is left out": lambda g, x, index: (
            (np.arange(len(g))[:, None] > 0) * g
        ),
        "the last place of index is left out": lambda g, x, index: (
            (np.arange(len(g))[:, None] < len(g) - 1) * g
        ),
        "every picked row gets the sum of all of g: each use has its own row of g": (
            lambda g, x, index: g.sum(axis=0) / counts(x, index)[index]
        ),
    },
    how={
        "": lambda a: a.sum(axis=0),
        "only the last use of a row counts": lambda a: a[-1],
        "only the first use of a row counts": lambda a: a[0],
        "the uses are averaged": lambda a: a.mean(axis=0),
        "the largest use counts": lambda a: a.max(axis=0),
        "the largest use counts, or 0": lambda a: a.max(axis=0, initial=0),
        "the uses are multiplied": lambda a: a.prod(axis=0),
        "only the first and the last use count": lambda a: a[0] + a[-1],
        "the last use is counted twice": lambda a: 2 * a[-1],
        "the last use is counted besides the sum": lambda a: a.sum(axis=0) + a[-1],
    },
    scale={"": 1.0, "the whole is doubled": 2.0, "the sign is wrong": -1.0},
)
SUSPECTS |= {
    "the picked rows, in order, get the first rows of g: each must get those at its places": (
        lambda g, x, index: last(g[: len(set(index))], x, np.unique(index))
    ),
    "the rows of g are put in order, without index": lambda g, x, index: g[: len(x)].copy(),
}


def check(answer):
    check_function(
        answer.pick_vjp,
        pick_vjp,
        suspects=SUSPECTS,
        elsewhere={
            "where all rows are picked, one of them twice": {
                "index": np.array([3, 5, 0, 1, 4, 2, 3]),
            },
            "where the last rows are never picked: they are rows of the result too, of zeros": {
                "index": np.array([0, 2, 0, 1, 3, 0, 1]),
            },
        },
        g=draw(7, 3, seed=1),
        x=draw(6, 3, seed=2),
        index=np.array([4, 1, 4, 0, 4, 1, 5]),
    )


ZEROS = "g_x = np.zeros_like(x)\n"

BUG = Wrong(ZEROS + "g_x[index] += g\nreturn g_x", "only the last use counts")

WRONG = [
    Wrong(ZEROS + "g_x[index] = g\nreturn g_x", "only the last use counts"),
    Wrong(ZEROS + "for m, i in enumerate(index):\n    g_x[i] = g[m]\nreturn g_x", "only the last"),
    Wrong(
        ZEROS + "for i in set(index):\n    g_x[i] = g[index == i].mean(axis=0)\nreturn g_x",
        "averaged",
    ),
    Wrong("return g[index]", "shape"),
    Wrong(ZEROS + "np.add.at(g_x, index, 1)\nreturn g_x", "cotangent g is not"),
    Wrong("g_x = np.ones_like(x)\nnp.add.at(g_x, index, g)\nreturn g_x", "starts at ones"),
    Wrong("g_x = x.copy()\nnp.add.at(g_x, index, g)\nreturn g_x", "starts at x"),
    Wrong("np.add.at(x, index, g)\nreturn x", "overwrit|input|chang"),
    Wrong(ZEROS + "for i in index:\n    g_x[i] += g[i]\nreturn g_x", "index|no simple|wrong"),
    Wrong(ZEROS + "np.subtract.at(g_x, index, g)\nreturn g_x", "sign"),
    Wrong(
        ZEROS + "for m, i in reversed(list(enumerate(index))):\n    g_x[i] = g[m]\nreturn g_x",
        "only the first",
    ),
    Wrong(
        "return np.stack([np.bincount(index, weights=c) for c in g.T], axis=1)",
        "rows of the result too, of zeros",
    ),
    Wrong(
        "g_x = np.zeros_like(x, dtype=int)\n"
        "np.add.at(g_x, index, g.astype(int))\n"
        "return g_x",
        "whole numbers",
    ),
]
