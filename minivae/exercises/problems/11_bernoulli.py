"""11 Bernoulli log-likelihood from logits

A black pixel has probability p = sigmoid(l) of being 1, where l is the logit
that the decoder gives. The log-likelihood of an image x is the sum over its D
pixels of equation LIK.1, whose second form needs only softplus(l) = log(1 +
exp(l)): it stays right for logits of 1000.
"""

import numpy as np


def softplus(a):
    """Compute log(1 + exp(a)) without overflow."""
    return np.logaddexp(0.0, a)


def bernoulli_log_prob(x, logits):
    """Return log p(x | z) of each image, (N,), in nats; x (zeros and ones), logits: (N, D)."""
    # --- your code: return an array (N,) ---
    return np.sum(x * logits - softplus(logits), axis=1)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Mistake, Wrong, check_function, combined, draw, fail

EQUATIONS = ["LIK.1"]
SECTION = "families#on-or-off-the-bernoulli"

HINTS = [
    "Start from x log p + (1 - x) log(1 - p), and put p = 1 / (1 + exp(-l)) into both logarithms. "
    "Much of it cancels.",
    "log p = -softplus(-l) = l - softplus(l), and log(1 - p) = -softplus(l). Collect the terms "
    "with x, and sum over pixels, not over data.",
    "np.sum(x * logits - ..., axis=...)",
]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def from_p(x, p):
    return np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)


def terms(x, logits):
    return {
        "x l": np.sum(x * logits, axis=1),
        "-softplus(l)": -np.sum(softplus(logits), axis=1),
    }


CLIPPED = (
    "the probability was clipped or shifted by a small constant: at logits of 1000 the logarithm "
    "can be written without it"
)


def eps_variant(eps, clip):
    def wrong(x, logits):
        p = 0.5 * (1 + np.tanh(logits / 2))
        if clip:
            return from_p(x, np.clip(p, eps, 1 - eps))
        return np.sum(x * np.log(p + eps) + (1 - x) * np.log(1 - p + eps), axis=1)

    return wrong


SUSPECTS = {
    "the sigmoid is taken twice: softplus already has it inside": lambda x, logits: np.sum(
        x * sigmoid(logits) - softplus(logits), axis=1
    ),
    "the logits are taken for probabilities: the sigmoid is missing": lambda x, logits: from_p(
        x, np.clip(logits, 1e-7, 1 - 1e-7)
    ),
    "the squared error of the probabilities, which is not a log-likelihood": lambda x, logits: (
        -np.sum((x - sigmoid(logits)) ** 2, axis=1)
    ),
    "only the pixels that are 1 count: the term of those that are 0 is missing": (
        lambda x, logits: np.sum(x * np.log(sigmoid(logits)), axis=1)
    ),
    "relu stands where softplus is meant": lambda x, logits: np.sum(
        x * logits - np.maximum(logits, 0), axis=1
    ),
    "softplus is max(l, 0) + log1p(exp(-|l|)): here the exponent is l": lambda x, logits: np.sum(
        x * logits - np.maximum(logits, 0) - np.log1p(np.exp(logits)), axis=1
    ),
    "softplus is taken of the sum over pixels: each pixel has its own": lambda x, logits: (
        np.sum(x * logits, axis=1) - softplus(logits.sum(axis=1))
    ),
    "the logarithm of softplus: softplus is a logarithm already": lambda x, logits: np.sum(
        x * logits - np.log(softplus(logits)), axis=1
    ),
    "x multiplies softplus, where it multiplies the logit": lambda x, logits: np.sum(
        x * softplus(logits), axis=1
    ),
    "x multiplies both terms: zeros count too, by their softplus": lambda x, logits: np.sum(
        x * (logits - softplus(logits)), axis=1
    ),
    "one of the terms is summed over the images too": lambda x, logits: (
        np.sum(x * logits) - np.sum(softplus(logits), axis=1)
    ),
    "the other term is summed over the images too": lambda x, logits: (
        np.sum(x * logits, axis=1) - np.sum(softplus(logits))
    ),
    "a product over the pixels, where logarithms add up": lambda x, logits: np.prod(
        x * logits - softplus(logits), axis=1
    ),
    "the logarithm is of the logit, where that of the probability is meant": lambda x, logits: (
        np.sum(x * np.log(np.abs(logits)), axis=1)
    ),
    "only the pixels that are 0 count: the term of those that are 1 is missing": (
        lambda x, logits: np.sum((1 - x) * np.log(1 - sigmoid(logits)), axis=1)
    ),
    "1 - x stands where x is meant: zeros and ones are exchanged": lambda x, logits: np.sum(
        (1 - x) * logits - softplus(logits), axis=1
    ),
    "softplus is taken of -l, where x l - softplus(l) has it of l": lambda x, logits: np.sum(
        x * logits - softplus(-logits), axis=1
    ),
    "the probability itself is summed: the logarithm is missing": lambda x, logits: np.sum(
        x * sigmoid(logits) + (1 - x) * (1 - sigmoid(logits)), axis=1
    ),
    "the probability of the image: the logarithm is missing": lambda x, logits: np.exp(
        np.sum(x * logits - softplus(logits), axis=1)
    ),
    "these are the negative logits' log-likelihood: sigmoid(l) is 1 / (1 + exp(-l))": (
        lambda x, logits: np.sum(-x * logits - softplus(-logits), axis=1)
    ),
    "a mean over the pixels, where log-likelihoods of pixels add up": lambda x, logits: np.mean(
        x * logits - softplus(logits), axis=1
    ),
}


def made(x, logits, on, off, over):
    return over(on(x, logits) + off(x, logits))


SUSPECTS |= {
    "the absolute error of the probabilities, which is not a log-likelihood": lambda x, logits: (
        -np.sum(np.abs(x - sigmoid(logits)), axis=1)
    ),
} | combined(
    made,
    on={
        "": lambda x, a: -x * softplus(-a),
        "pixels that are 1 have log p with the wrong sign": lambda x, a: x * softplus(-a),
        "pixels that are 1 have softplus(l), where log p = -softplus(-l)": lambda x, a: (
            x * softplus(a)
        ),
        "pixels that are 1 have -softplus(l), which is log(1 - p)": lambda x, a: -x * softplus(a),
        "pixels that are 1 have p, not its logarithm": lambda x, a: x * sigmoid(a),
        "pixels that are 1 have the sigmoid twice": lambda x, a: x * np.log(sigmoid(sigmoid(a))),
        "pixels that are 1 are missing": lambda x, a: 0 * a,
    },
    off={
        "": lambda x, a: -(1 - x) * softplus(a),
        "pixels that are 0 have log(1 - p) with the wrong sign": lambda x, a: (
            (1 - x) * softplus(a)
        ),
        "pixels that are 0 have log p, where log(1 - p) is meant": lambda x, a: (
            -(1 - x) * softplus(-a)
        ),
        "pixels that are 0 have 1 - p, not its logarithm": lambda x, a: (1 - x) * sigmoid(-a),
        "pixels that are 0 have minus the logit": lambda x, a: -(1 - x) * a,
        "pixels that are 0 are missing": lambda x, a: 0 * a,
        "log(1 - p) stands for all pixels: it is that of those that are 0": lambda x, a: (
            -softplus(a)
        ),
    },
    over={
        "": lambda a: a.sum(axis=1),
        "a mean over the pixels": lambda a: a.mean(axis=1),
        "the sign of the whole is wrong": lambda a: -a.sum(axis=1),
        "the largest pixel alone": lambda a: a.max(axis=1),
        "in bits, and not in nats": lambda a: a.sum(axis=1) / np.log(2),
    },
)
FAR = {
    f"{CLIPPED} ({eps:g})": eps_variant(eps, clip)
    for eps in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)
    for clip in (True, False)
} | {
    f"the logits are clipped at {most}: at logits of 1000 too the formula needs no clip": (
        lambda x, logits, most=most: bernoulli_log_prob(x, np.clip(logits, -most, most))
    )
    for most in (5, 10, 15, 20, 30, 40, 50, 88, 100, 500, 700)
}


def check(answer):
    logits = 2 * draw(3, 5)
    x = (draw(3, 5, seed=1) > 0).astype(float)

    def check_at(logits, suspects):
        check_function(
            answer.bernoulli_log_prob, bernoulli_log_prob, terms=terms, suspects=suspects,
            x=x, logits=logits,
        )  # fmt: skip

    check_at(logits, SUSPECTS)
    many = {"x": (draw(3, 784) > 0).astype(float), "logits": 4 * draw(3, 784, seed=1)}
    check_function(
        answer.bernoulli_log_prob, bernoulli_log_prob, x=x, logits=logits,
        elsewhere={
            "for 784 pixels: a product of 784 probabilities is 0 on a computer; add logarithms": (
                many
            ),
            "where all pixels are on": {"x": np.ones((3, 5))},
        },
    )  # fmt: skip
    try:
        check_at(400 * logits, FAR)
    except Mistake as mistake:
        if "no simple pattern" not in mistake.diagnosis:
            raise
        sentence = f"right for moderate logits, and wrong at 1000: {CLIPPED}"
        fail(sentence[0].upper() + sentence[1:], mistake.shapes, mistake.rows)


WRONG = [
    Wrong(
        "p = 1 / (1 + np.exp(-logits))\n"
        "return np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)",
        "nan|inf",
    ),
    Wrong(
        "p = 1 / (1 + np.exp(-logits))\np = np.clip(p, 1e-7, 1 - 1e-7)\n"
        "return np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)",
        "clipped",
    ),
    Wrong(
        "p = 1 / (1 + np.exp(-logits))\n"
        "return np.sum(x * np.log(p + 1e-8) + (1 - x) * np.log(1 - p + 1e-8), axis=1)",
        "small constant|clipped",
    ),
    Wrong("return np.sum(softplus(logits) - x * logits, axis=1)", "sign of the whole"),
    Wrong("return np.mean(x * logits - softplus(logits), axis=1)", "mean over the pixels"),
    Wrong("return np.sum(x * logits - softplus(logits), axis=0)", "axis"),
    Wrong("return np.sum(x * logits - softplus(logits))", "shape"),
    Wrong("return x * logits - softplus(logits)", "sum over axis 1 is missing"),
    Wrong("return np.sum(x * logits, axis=1)", r"softplus\(l\) is missing"),
    Wrong(
        "return np.sum(x * logits + softplus(logits), axis=1)", r"softplus\(l\) has the wrong sign"
    ),
    Wrong("return np.sum(x * logits - softplus(-logits), axis=1)", "taken of -l"),
    Wrong(
        "p = 0.5 * (1 + np.tanh(logits / 2))\nreturn -np.sum((x - p) ** 2, axis=1)",
        "squared error",
    ),
    Wrong("return np.exp(np.sum(x * logits - softplus(logits), axis=1))", "logarithm is missing"),
    Wrong("return np.sum((1 - x) * logits - softplus(logits), axis=1)", "1 - x stands"),
    Wrong(
        "return np.sum(x * np.log(logits) + (1 - x) * np.log(1 - logits), axis=1)",
        r"right with sigmoid\(logits\) in place of logits",
    ),
    Wrong(
        "return np.sum(x * logits - softplus(logits), axis=1).astype(int)",
        "cut to whole numbers",
    ),
    Wrong(
        "p = 1 / (1 + np.exp(-logits))\n"
        "return np.log(np.prod(np.where(x == 1, p, 1 - p), axis=1))",
        "product of 784",
    ),
]
