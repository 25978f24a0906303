"""38 Find the bug: beta, stored and never used

The loss of a minibatch, equation VAE.4, with a weight of the KL that rises from 0 to
beta over the first epochs. `progress` counts epochs, as 2.5. The lines below run, and
with beta = 1 and no warm-up they are right. Mend them.
"""

import numpy as np


def loss(reconstruction, kl, beta, warmup, progress):
    """Return one number from two terms ``(M,)`` and three numbers."""
    # --- your code: find the bug ---
    weight = beta * min(1.0, progress / warmup) if warmup > 0 else beta
    return np.mean(weight * kl - reconstruction)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["VAE.4"]
SECTION = "vae#objective-and-algorithm"

HINTS = [
    "Call it twice, with beta = 1 and with beta = 4, long after the warm-up. What differs?",
    "The weight is computed with care, and then? A name that is assigned and not read again is "
    "worth a look; so is what the weight becomes once the warm-up is over.",
    "The weight multiplies the KL in the last line, and ends at beta, not at 1.",
]


def made(r, k, beta, warmup, progress, weight, combine):
    return combine(weight(beta, warmup, progress), r, k)


def rising(beta, warmup, progress):
    return beta * min(1.0, progress / warmup) if warmup > 0 else beta


SUSPECTS = {
    "beta changes nothing: the weight is computed and never used": lambda r, k, b, w, p: (
        np.mean(k - r)
    ),
    "beta is not used: the weight rises to 1 and stays there": lambda r, k, b, w, p: (
        np.mean(min(1.0, p / w) * k - r)
    ),
    "the warm-up is not used: the weight is beta from the start": lambda r, k, b, w, p: (
        np.mean(b * k - r)
    ),
    "the weight goes on rising after the warm-up": lambda r, k, b, w, p: np.mean(b * p / w * k - r),
    "beta weighs the reconstruction: it belongs to the KL": lambda r, k, b, w, p: (
        np.mean(k - rising(b, w, p) * r)
    ),
    "beta weighs both terms": lambda r, k, b, w, p: rising(b, w, p) * np.mean(k - r),
    "this is the bound: the loss is its negative": lambda r, k, b, w, p: (
        np.mean(r - rising(b, w, p) * k)
    ),
    "the weight stops at 1, where it ends at beta": lambda r, k, b, w, p: (
        np.mean(min(1.0, b * p / w) * k - r)
    ),
}
SUSPECTS |= combined(
    made,
    weight={
        "": rising,
        "the weight falls, where it rises": lambda b, w, p: b * max(0.0, 1.0 - p / w),
        "the weight has beta twice": lambda b, w, p: b * rising(b, w, p),
        "the weight is 1 less its share": lambda b, w, p: 1.0 - rising(b, w, p),
        "the weight is 0 during the warm-up, and does not rise": lambda b, w, p: b * (p >= w),
    },
    combine={
        "": lambda weight, r, k: np.mean(weight * k - r),
        "the KL is added to the reconstruction": lambda weight, r, k: np.mean(weight * k + r),
        "the reconstruction is missing": lambda weight, r, k: np.mean(weight * k),
        "this is a sum over the data: the loss is a mean": lambda weight, r, k: (
            np.sum(weight * k - r)
        ),
    },
)


def check(answer):
    check_function(
        answer.loss,
        loss,
        suspects=SUSPECTS,
        fixed=("warmup",),
        elsewhere={
            "after the warm-up: the weight stays at beta": {"progress": 7.5},
            "without a warm-up: nothing may be divided by it": {"warmup": 0.0},
            "for beta below 1": {"beta": 0.3},
        },
        reconstruction=draw(7, seed=1) - 20.0,
        kl=draw(7, seed=2, low=1.0, high=9.0),
        beta=4.0,
        warmup=5.0,
        progress=3.5,
    )


BUG = Wrong(
    "weight = beta * min(1.0, progress / warmup) if warmup > 0 else beta\n"
    "return np.mean(kl - reconstruction)",
    "beta changes nothing|not used",
)

RISE = "weight = beta * min(1.0, progress / warmup) if warmup > 0 else beta\n"

WRONG = [
    Wrong(
        "weight = min(1.0, progress / warmup) if warmup > 0 else 1.0\n"
        "return np.mean(weight * kl - reconstruction)",
        "beta is not used",
    ),
    Wrong("return np.mean(beta * kl - reconstruction)", "warm-up is not used|warmup"),
    Wrong(
        "weight = beta * progress / warmup if warmup > 0 else beta\n"
        "return np.mean(weight * kl - reconstruction)",
        "after the warm-up",
    ),
    Wrong(RISE + "return np.mean(kl - weight * reconstruction)", "beta weighs the reconstruction"),
    Wrong(RISE + "return weight * np.mean(kl - reconstruction)", "beta weighs both terms"),
    Wrong(RISE + "return np.mean(reconstruction - weight * kl)", "sign|negative"),
    Wrong(RISE + "return np.sum(weight * kl - reconstruction)", "sum"),
    Wrong(
        "weight = beta * min(1.0, progress / warmup)\n"
        "return np.mean(weight * kl - reconstruction)",
        "without a warm-up|ZeroDivision|division",
    ),
]
