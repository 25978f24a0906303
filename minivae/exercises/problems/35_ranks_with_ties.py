"""35 R-hat of ranks, with ties

Heavy tails spoil a comparison of chains, so each draw is replaced by its rank
among all draws of all chains, from 1 on; draws that are equal share the mean of
their ranks. R-hat is equation CHAIN.4 of these ranks, with one less than their
number below in both variances. Coins must not look like chains that disagree.
"""

import numpy as np


def r_hat(draws):
    """Return one number from draws ``(C, T)``, C chains of T draws each."""
    C, T = draws.shape
    # --- your code: return R-hat ---
    _, which, counts = np.unique(draws.ravel(), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which.ravel()].reshape(C, T)
    W = ranks.var(axis=1, ddof=1).mean()
    B = ranks.mean(axis=1).var(ddof=1)
    return np.sqrt(((T - 1) / T * W + B) / W)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["CHAIN.4"]
SECTION = "sampling#what-the-draws-are-worth"

HINTS = [
    "Among 0, 0, 0, 1 the zeros have the ranks 1, 2 and 3. What is shared by all three?",
    "np.unique gives the values that occur, in order, how often each, and which one each draw is. "
    "The last rank of a value is the sum of the counts so far; the mean is (count - 1) / 2 lower.",
    "ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]; then W, B and the square root",
]


def shared(draws, place):
    _, which, counts = np.unique(draws.ravel(), return_inverse=True, return_counts=True)
    return place(np.cumsum(counts), counts)[which.ravel()].reshape(draws.shape)


def made(draws, ranks, within, between, share, end):
    T = draws.shape[1]
    r = ranks(draws)
    W, B = within(r), between(r)
    return end((share(T) * W + B) / W)


SUSPECTS = combined(
    made,
    ranks={
        "": lambda a: shared(a, lambda last, n: last - (n - 1) / 2),
        "equal draws get different ranks, in the order in which they come: ties have to share "
        "theirs": lambda a: a.ravel().argsort(kind="stable").argsort().reshape(a.shape) + 1.0,
        "equal draws get the lowest of their ranks, where the mean is meant": lambda a: shared(
            a, lambda last, n: last - n + 1.0
        ),
        "equal draws get the highest of their ranks, where the mean is meant": lambda a: shared(
            a, lambda last, n: 1.0 * last
        ),
        "the ranks go up by 1 from value to value, however often it occurs": lambda a: shared(
            a, lambda last, n: np.arange(len(n)) + 1.0
        ),
        "these are the draws themselves, not their ranks": lambda a: a,
        "the ranks are within each chain, where those among all draws are meant": lambda a: (
            np.stack([shared(row[None], lambda last, n: last - (n - 1) / 2)[0] for row in a])
        ),
    },
    within={
        "": lambda r: r.var(axis=1, ddof=1).mean(),
        "W has T below, where T - 1 is meant": lambda r: r.var(axis=1).mean(),
        "W is the variance of all draws together": lambda r: r.var(ddof=1),
        "W is a mean of standard deviations, where variances are meant": lambda r: (
            r.std(axis=1, ddof=1).mean()
        ),
        "W is within draws, along axis 0: the chains lie along it": lambda r: (
            r.var(axis=0, ddof=1).mean()
        ),
    },
    between={
        "": lambda r: r.mean(axis=1).var(ddof=1),
        "B has C below, where C - 1 is meant": lambda r: r.mean(axis=1).var(),
        "B is T times the variance of the means": lambda r: (
            r.shape[1] * r.mean(axis=1).var(ddof=1)
        ),
        "B is missing": lambda r: 0.0,
        "B is of the means over the chains": lambda r: r.mean(axis=0).var(ddof=1),
        "B is the standard deviation of the means": lambda r: r.mean(axis=1).std(ddof=1),
        "B has the wrong sign": lambda r: -r.mean(axis=1).var(ddof=1),
    },
    share={
        "": lambda T: (T - 1) / T,
        "the factor (T - 1)/T is missing": lambda T: 1.0,
        "the factor is (T + 1)/T": lambda T: (T + 1) / T,
        "the factor is upside down": lambda T: T / (T - 1),
    },
    end={
        "": np.sqrt,
        "the square root is missing": lambda a: a,
        "the ratio is upside down": lambda a: 1 / np.sqrt(a),
        "the 1 is subtracted: R-hat itself is asked for": lambda a: np.sqrt(a) - 1,
    },
)


def check(answer):
    draws = np.round(draw(4, 7, seed=1) + np.arange(4)[:, None] / 2) ** 3
    check_function(
        answer.r_hat, r_hat, suspects=SUSPECTS, lengths=(),
        elsewhere={
            "where no two draws are equal": {"draws": draw(4, 7, seed=2)},
            "for coins, half of whose draws are equal: ties have to share their rank": {
                "draws": (draw(4, 40, seed=3) > 0) * 1.0
            },
            "where one draw is far out: ranks do not see how far": {
                "draws": draw(4, 7, seed=4) ** 9
            },
        },
        draws=draws,
    )  # fmt: skip


REST = (
    "W = ranks.var(axis=1, ddof=1).mean()\nB = ranks.mean(axis=1).var(ddof=1)\n"
    "return np.sqrt(((T - 1) / T * W + B) / W)"
)
COUNTED = "_, which, counts = np.unique(draws.ravel(), return_inverse=True, return_counts=True)\n"
RANKS = COUNTED + (
    "ranks = (np.cumsum(counts) - (counts - 1) / 2)[which.ravel()].reshape(C, T)\n"
)

WRONG = [
    Wrong("ranks = draws\n" + REST, "draws themselves"),
    Wrong(
        "ranks = draws.ravel().argsort(kind='stable').argsort().reshape(C, T) + 1\n" + REST,
        "in the order in which they come",
    ),
    Wrong(
        COUNTED + "ranks = (np.cumsum(counts) - counts + 1)[which.ravel()].reshape(C, T)\n" + REST,
        "the lowest of their ranks",
    ),
    Wrong(
        COUNTED + "ranks = np.cumsum(counts)[which.ravel()].reshape(C, T)\n" + REST,
        "the highest of their ranks",
    ),
    Wrong(COUNTED + "ranks = which.reshape(C, T) + 1.0\n" + REST, "from value to value"),
    Wrong(RANKS + REST.replace(", ddof=1).mean()", ").mean()"), "W has T below"),
    Wrong(RANKS + REST.replace("(T - 1) / T * ", ""), "factor .* is missing"),
    Wrong(RANKS + REST.replace("np.sqrt", ""), "square root is missing"),
    Wrong(RANKS + REST.replace("B = ", "B = T * "), "T times the variance"),
    Wrong(RANKS + REST.replace("W + B", "W"), "B is missing"),
]
