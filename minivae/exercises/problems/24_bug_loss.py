"""24 Find the bug: the loss of a sure decoder

The loss of a Bernoulli decoder is minus equation LIK.1, for each datum the sum
over pixels; here it comes with its slope by each logit. Nothing overflows, and
for most pixels the numbers are right. Where the decoder is sure of itself and
wrong they are not, and there it matters most. Mend it.
"""

import numpy as np


def loss_and_slope(logits, x):
    """Return -log p(x | z) ``(N,)`` and its slopes by the logits ``(N, D)``; x is 0 or 1."""
    # --- your code: find the bug ---
    loss = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
    slope = 0.5 * (1 + np.tanh(logits / 2)) - x
    return loss, slope
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, call, check_function, combined, draw, fail
from minivae.exercises.verdict import Row

EQUATIONS = ["LIK.1"]
SECTION = "families#on-or-off-the-bernoulli"

HINTS = [
    "Try one pixel with x = 0 and the logit 40. What should the loss be? What is it, and what is "
    "the slope? A loss that does not fall is a loss that nobody can descend.",
    "A probability near 0 or 1 has no digits left, and clipping puts a constant there, whose slope "
    "is zero. The right-hand side of the equation has no probability in it.",
    "loss: the sum of softplus(logits) - x * logits, with softplus(l) = np.logaddexp(0, l); slope: "
    "sigmoid(logits) - x, which needs no clipping.",
]


SUSPECTS = {
    "the slope is that by the probability; by the logit it is multiplied by p (1 - p)": (
        lambda a, x: (loss_and_slope(a, x)[0], np.where(x == 1, -1 - np.exp(-a), 1 + np.exp(a)))
    ),
    "the slope is that of the log-likelihood; the loss is minus that": lambda a, x: (
        loss_and_slope(a, x)[0],
        -loss_and_slope(a, x)[1],
    ),
    "the loss is the log-likelihood: the minus is missing": lambda a, x: (
        -loss_and_slope(a, x)[0],
        loss_and_slope(a, x)[1],
    ),
    "pixels that are off cost nothing: (1 - x) log(1 - p) is missing": lambda a, x: (
        np.sum(x * np.logaddexp(0, -a), axis=1),
        loss_and_slope(a, x)[1],
    ),
    "the loss is a mean over pixels, where the equation sums": lambda a, x: (
        loss_and_slope(a, x)[0] / a.shape[1],
        loss_and_slope(a, x)[1],
    ),
    "x and 1 - x are exchanged": lambda a, x: loss_and_slope(a, 1 - x),
    "the slope is the probability alone: x is not subtracted": lambda a, x: (
        loss_and_slope(a, x)[0],
        loss_and_slope(a, 0 * x)[1],
    ),
    "the slope has x less the logit; the sigmoid is missing": lambda a, x: (
        loss_and_slope(a, x)[0],
        a - x,
    ),
}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def made(logits, x, first, second, over, p, less, factor):
    N, D = logits.shape
    return (
        over(first(logits) + second(logits, x)),
        (p(logits) + less(x)) * factor(sigmoid(logits), N, D),
    )


SUSPECTS |= combined(
    made,
    first={
        "": lambda a: np.logaddexp(0, a),
        "a ReLU stands where the softplus is meant": lambda a: np.maximum(a, 0),
        "the softplus has the wrong sign inside": lambda a: np.logaddexp(0, -a),
        "the softplus has the wrong sign": lambda a: -np.logaddexp(0, a),
        "the softplus is missing": lambda a: 0,
        "the logarithm is missing in log(1 + exp)": lambda a: 1 + np.exp(a),
    },
    second={
        "": lambda a, x: -x * a,
        "x times the logit is added, where it is subtracted": lambda a, x: x * a,
        "x times the logit is missing": lambda a, x: 0,
        "1 - x stands where x is meant": lambda a, x: -(1 - x) * a,
        "x times p stands where x times the logit is meant": lambda a, x: -x * sigmoid(a),
    },
    over={
        "": lambda a: a.sum(axis=1),
        "a mean over pixels, where the equation sums": lambda a: a.mean(axis=1),
        "the largest pixel alone": lambda a: a.max(axis=1),
    },
    p={
        "": sigmoid,
        "a tanh stands where the sigmoid is meant": np.tanh,
        "the logit stands where the sigmoid is meant": lambda a: a,
        "the sigmoid of the logit's negative: p and 1 - p are exchanged": lambda a: sigmoid(-a),
        "the softplus stands where its derivative, the sigmoid, is meant": lambda a: np.logaddexp(
            0, a
        ),
        "p is missing in the slope": lambda a: 0,
        "the slope is that of the sigmoid, p (1 - p); asked for is that of the loss": lambda a: (
            sigmoid(a) * sigmoid(-a)
        ),
    },
    less={
        "": lambda x: -x,
        "x is not subtracted in the slope": lambda x: 0,
        "x is added in the slope": lambda x: x,
        "1 - x is subtracted in the slope": lambda x: x - 1,
    },
    factor={
        "": lambda p, N, D: 1,
        "the slope has the wrong sign": lambda p, N, D: -1,
        "the slope has p (1 - p) too many: that cancels": lambda p, N, D: p * (1 - p),
        "the slope is divided by p (1 - p): that cancels": lambda p, N, D: 1 / (p * (1 - p)),
        "the slope is divided by D": lambda p, N, D: 1 / D,
        "the slope is divided by N": lambda p, N, D: 1 / N,
        "the slope is twice what it should be": lambda p, N, D: 2,
    },
)
SUSPECTS |= {
    "this is the squared error: the likelihood here is Bernoulli": lambda a, x: (
        np.sum((x - sigmoid(a)) ** 2, axis=1),
        loss_and_slope(a, x)[1],
    ),
}


def check(answer):
    x = (draw(4, 7, seed=1) > 0).astype(float)
    check_function(
        answer.loss_and_slope,
        loss_and_slope,
        suspects=SUSPECTS,
        names=("the loss", "the slope"),
        logits=2 * draw(4, 7, seed=2),
        x=x,
    )
    for size in (18.0, 40.0, 800.0):
        for logit, on in ((size, 0.0), (-size, 1.0), (size, 1.0), (-size, 0.0)):
            pixel = np.full((3, 1), logit), np.full((3, 1), on)
            loss, slope = (np.ravel(found)[0] for found in call(answer.loss_and_slope, *pixel))
            right_loss, right_slope = (found.flat[0] for found in loss_and_slope(*pixel))
            where = f"for a pixel that is {'on' if on else 'off'} at the logit {logit:.0f}"
            rows = [Row("loss", loss, right_loss), Row("slope", slope, right_slope)]
            if not np.isclose(loss, right_loss, rtol=1e-9, atol=1e-12):
                why = "clipped" if np.isfinite(loss) else "rounded to 0 or 1 (or exp overflowed)"
                fail(
                    f"Right for moderate logits, but {where} the loss should be "
                    f"{right_loss:.6g}: the probability was {why} before its logarithm was taken",
                    rows=rows,
                )
            if not np.isclose(slope, right_slope, rtol=1e-9, atol=1e-12):
                fail(
                    f"The loss is right; the slope is not, {where}: where a probability is clipped "
                    "or rounded nothing can be learnt",
                    rows=rows,
                )


SIGMOID = "p = 0.5 * (1 + np.tanh(logits / 2))\n"
LOSS = "loss = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)\n"
SLOPE = "slope = 0.5 * (1 + np.tanh(logits / 2)) - x\n"
CLIPPED = "loss = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)\n"
MASK = "slope = np.where((p > 1e-7) & (p < 1 - 1e-7), p - x, 0.0)\n"

BUG = Wrong(
    SIGMOID + "p = np.clip(p, 1e-7, 1 - 1e-7)\n" + CLIPPED + MASK + "return loss, slope",
    "the probability was clipped",
)

WRONG = [
    Wrong(
        SIGMOID + "p = np.clip(p, 1e-12, 1 - 1e-12)\n" + CLIPPED + SLOPE + "return loss, slope",
        "the probability was clipped",
    ),
    Wrong(
        SIGMOID
        + "loss = -np.sum(x * np.log(p + 1e-12) + (1 - x) * np.log(1 - p + 1e-12), axis=1)\n"
        + SLOPE
        + "return loss, slope",
        "the probability was clipped",
    ),
    Wrong(SIGMOID + CLIPPED + SLOPE + "return loss, slope", "rounded to 0 or 1"),
    Wrong(SIGMOID + LOSS + MASK + "return loss, slope", "nothing can be learnt"),
    Wrong(
        "logits = np.clip(logits, -30, 30)\n" + LOSS + SLOPE + "return loss, slope",
        "the probability was clipped",
    ),
    Wrong(
        "loss = np.sum(np.log(1 + np.exp(logits)) - x * logits, axis=1)\n"
        + SLOPE
        + "return loss, slope",
        "exp overflowed",
    ),
    Wrong(LOSS + SLOPE + "return -loss, slope", "minus is missing"),
    Wrong(LOSS + SLOPE + "return loss, -slope", "minus that|sign"),
    Wrong(LOSS + SIGMOID + "return loss, (p - x) / (p * (1 - p))", "by the probability"),
    Wrong(LOSS + SLOPE + "return loss / logits.shape[1], slope", "mean over pixels"),
    Wrong(LOSS + SLOPE + "return loss.sum(), slope", "shape|sum"),
    Wrong(LOSS + "return loss, logits - x", "sigmoid is missing"),
    Wrong(
        "loss = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)\n"
        "slope = np.exp(logits) / (1 + np.exp(logits)) - x\n"
        "return loss, slope",
        "the slope is not, for a pixel",
    ),
]
