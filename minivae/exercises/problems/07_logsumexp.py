"""07 Logsumexp

For each row of a, (N, K), the logarithm of the sum of the exponentials, (N,).
Computed as written it overflows at 1000 and is log(0) at -1000. With the
largest element m of the row taken out, log sum exp(a) = m + log sum exp(a - m),
no exponent is positive and one is 0. Its derivative is equation AD.7.
"""

import numpy as np


def logsumexp(a):
    """Return log sum_k exp(a[n, k]) for each row n of a, (N, K): an array (N,)."""
    # --- your code: neither overflow nor log(0) ---
    m = a.max(axis=1)
    return m + np.log(np.exp(a - m[:, None]).sum(axis=1))
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, draw

EQUATIONS = ["AD.7"]
SECTION = "reverse_mode#five-derivations"

HINTS = [
    "exp(710) is infinite in double precision, and exp(-750) is 0. What can be subtracted from all "
    "elements of a row, and added again outside the logarithm?",
    "The maximum of the row, with keepdims=True or m[:, None], so that each row loses its own.",
    "m = a.max(axis=1), then m + np.log(... .sum(axis=1)).",
]


def naive(a):
    return np.log(np.exp(a).sum(axis=1))


def shifted(a):
    return np.exp(a - a.max(axis=1, keepdims=True))


SUSPECTS = {
    "exp overflows at 1000, and at -1000 it is 0, whose log is -inf: take the largest element of "
    "each row out first": naive,
    "the largest |a| of each row is taken out, where the largest a is meant: rows far below it "
    "underflow": lambda a: (
        np.abs(a).max(1) + np.log(np.exp(a - np.abs(a).max(1, keepdims=True)).sum(1))
    ),
    "one maximum is taken from the whole array, where each row needs its own: rows far below it "
    "underflow to log(0)": lambda a: a.max() + np.log(np.exp(a - a.max()).sum(1)),
    "the maximum is not added again outside the logarithm": lambda a: np.log(shifted(a).sum(1)),
    "the maximum is subtracted outside, where it should be added": lambda a: (
        -a.max(1) + np.log(shifted(a).sum(1))
    ),
    "the logarithm is missing": lambda a: a.max(1) + shifted(a).sum(1),
    "the sum of the exponentials, with no logarithm": lambda a: np.exp(a).sum(1),
    "the mean of the exponentials where their sum is meant": lambda a: np.log(np.exp(a).mean(1)),
    "the sum of the elements themselves: log and exp cancel only element by element": (
        lambda a: a.sum(1)
    ),
    "the maximum alone, a bound from below": lambda a: a.max(1),
    "the maximum is multiplied, where it is added": lambda a: a.max(1) * np.log(shifted(a).sum(1)),
    "log1p adds a 1 to the sum: one of its terms is 1 already": lambda a: (
        a.max(1) + np.log1p(shifted(a).sum(1))
    ),
    "the logarithm is subtracted from the maximum, where it is added": lambda a: (
        a.max(1) - np.log(shifted(a).sum(1))
    ),
    "the maximum is added twice": lambda a: 2 * a.max(1) + np.log(shifted(a).sum(1)),
    "divided by K outside: the mean of nothing": lambda a: naive(a) / a.shape[1],
    "log2 where the natural logarithm is meant": lambda a: a.max(1) + np.log2(shifted(a).sum(1)),
    "log10 where the natural logarithm is meant": lambda a: (
        a.max(1) + np.log10(shifted(a).sum(1))
    ),
    "exp(a) - exp(m) stands where exp(a - m) is meant": lambda a: (
        a.max(1) + np.log((np.exp(a) - np.exp(a.max(1, keepdims=True))).sum(1))
    ),
    "the columns' maxima are taken out, where each row has its own": lambda a: (
        a.max() + np.log(np.exp(a - a.max(0)).sum(1))
    ),
    "a is clipped at 700: then exp does not overflow, and the answer is wrong": lambda a: naive(
        np.clip(a, -700, 700)
    ),
    "a is clipped at 500: then exp does not overflow, and the answer is wrong": lambda a: naive(
        np.clip(a, -500, 500)
    ),
    "this is the maximum and log K: right only where a row's elements are equal": lambda a: (
        a.max(1) + np.log(a.shape[1])
    ),
    "two logarithms": lambda a: np.log(naive(a)),
}


def check(answer):
    apart = draw(3, 4, seed=2) + np.array([[-900.0], [0.0], [900.0]])
    large = draw(3, 4, seed=1) + np.array([[-1000.0], [1000.0], [1000.0]])
    larger = draw(3, 4, seed=1) + np.array([[-1e5], [1e5], [1e5]])
    within = draw(3, 4, seed=3)
    within[:, 1] = [-9000.0, 9000.0, 0.5]
    check_function(
        answer.logsumexp, logsumexp, suspects=SUSPECTS,
        elsewhere={
            "where the rows differ by 900: each row needs a maximum of its own": {"a": apart},
            "where rows lie near -1000 and 1000: exp is 0 or infinite there": {"a": large},
            "where rows lie near -100000 and 100000: more bits only move that": {"a": larger},
            "where one element is far from the rest of its row: the largest has to be taken out, "
            "or something was added to the sum": {"a": within},
        },
        a=draw(3, 4),
    )  # fmt: skip


WRONG = [
    Wrong("return np.log(np.exp(a).sum(axis=1))", "overflows"),
    Wrong(
        "m = a.max(axis=1, keepdims=True)\nreturn np.log(np.exp(a - m).sum(axis=1))",
        "not added again",
    ),
    Wrong("m = a.max()\nreturn m + np.log(np.exp(a - m).sum(axis=1))", "each row needs its own"),
    Wrong(
        "m = a.max(axis=1)\nreturn m + np.exp(a - m[:, None]).sum(axis=1)", "logarithm is missing"
    ),
    Wrong("m = a.max(axis=1)\nreturn m + np.log(np.exp(a - m[:, None]).mean(axis=1))", "mean"),
    Wrong("m = a.max(axis=1)\nreturn m + np.log(np.exp(a - m[:, None]))", "shape|broadcast"),
    Wrong("m = a.max()\nreturn m + np.log(np.exp(a - m).sum())", "shape .* should stay"),
    Wrong("m = a.max(axis=0)\nreturn m + np.log(np.exp(a - m).sum(axis=0))", "wrong axis|axis 0"),
    Wrong(
        "m = a.max(axis=1, keepdims=True)\n"
        "return m + np.log(np.exp(a - m).sum(axis=1, keepdims=True))",
        "keepdims",
    ),
    Wrong("return np.log(np.exp(np.clip(a, -700, 700)).sum(axis=1))", "clipped at 700"),
    Wrong("m = a.max(axis=1)\nreturn -(m + np.log(np.exp(a - m[:, None]).sum(axis=1)))", "sign"),
    Wrong(
        "m = a.max(axis=1)\nreturn m + np.log(np.exp(a - m[:, None]).sum(axis=1) + 1e-6)", "almost"
    ),
    Wrong(
        "m = np.abs(a).max(axis=1, keepdims=True)\n"
        "return m[:, 0] + np.log(np.exp(a - m).sum(axis=1))",
        "largest .a. of each row",
    ),
    Wrong(
        "a = a.astype(np.float32)\n"
        "m = a.max(axis=1)\n"
        "return m + np.log(np.exp(a - m[:, None]).sum(axis=1))",
        "float32",
    ),
    Wrong(
        "a = a.astype(np.float32)\n"
        "m = a.max(axis=1)\n"
        "return (m + np.log(np.exp(a - m[:, None]).sum(axis=1))).astype(float)",
        "float32",
    ),
    Wrong("return np.log(np.exp(a.astype(np.longdouble)).sum(axis=1)).astype(float)", "100000"),
    Wrong(
        "m = a.max()\n"
        "return m + np.log(np.exp(a - m).sum(axis=1) + 1e-300)",
        "a maximum of its own",
    ),
]
