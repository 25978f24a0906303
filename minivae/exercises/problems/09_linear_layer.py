"""09 A linear layer

A layer computes Y = tanh(X @ W + b) for N data at once: X is (N, D), W is (D,
H), b is (H,). Its VJP first goes back through tanh, to P, the cotangent of X @
W + b, and from there to the three inputs, equation MLP.2. The bias is used by
every datum.
"""

import numpy as np


def layer(X, W, b):
    """Compute the activations, (N, H)."""
    return np.tanh(X @ W + b)


def layer_vjp(g, out, X, W, b):
    """Return the cotangents of X, (N, D), of W, (D, H), and of b, (H,); g and out are (N, H)."""
    # --- your code: return three arrays ---
    P = g * (1 - out**2)
    return P @ W.T, X.T @ P, P.sum(axis=0)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_vjp, draw

EQUATIONS = ["MLP.2", "AD.4"]
SECTION = "networks#its-gradient"

HINTS = [
    "Go back one step at a time. What is the cotangent of A = X @ W + b, when that of tanh(A) is "
    "g? The output is at hand.",
    "P = g * (1 - out**2) is (N, H). Then it is a matrix product, whose two cotangents are matrix "
    "products; and b was broadcast over the N data, so that its cotangent is a sum.",
    "return P @ W.T, ... @ P, P.sum(axis=...)",
]


def parts(P, X, W):
    return P @ W.T, X.T @ P, P.sum(axis=0)


def check(answer):
    inputs = dict(X=draw(3, 4), W=0.5 * draw(4, 5), b=draw(5))
    suspects = {
        "the derivative of tanh is missing: P is g itself": lambda g, out, X, W, b: parts(g, X, W),
        "in the derivative of tanh the square is missing": lambda g, out, X, W, b: parts(
            g * (1 - out), X, W
        ),
        "the derivative of tanh is 1 - tanh**2, and out is tanh already: tanh is taken twice": (
            lambda g, out, X, W, b: parts(g * (1 - np.tanh(out) ** 2), X, W)
        ),
        "the derivative of tanh takes the tanh of X @ W + b: the sum itself is squared": (
            lambda g, out, X, W, b: parts(g * (1 - (X @ W + b) ** 2), X, W)
        ),
        "the derivative of tanh is taken at X @ W: the bias b is left out": (
            lambda g, out, X, W, b: parts(g * (1 - np.tanh(X @ W) ** 2), X, W)
        ),
        "the derivative of tanh has X @ W, where the tanh of X @ W + b is meant": (
            lambda g, out, X, W, b: parts(g * (1 - (X @ W) ** 2), X, W)
        ),
        "this is the derivative of relu, not of tanh": lambda g, out, X, W, b: parts(
            g * (out > 0), X, W
        ),
        "the square belongs to tanh alone, 1 - tanh**2": lambda g, out, X, W, b: parts(
            g * (1 - out) ** 2, X, W
        ),
        "the derivative of tanh has a plus for its minus": lambda g, out, X, W, b: parts(
            g * (1 + out**2), X, W
        ),
        "the derivative of tanh divides, where it multiplies": lambda g, out, X, W, b: parts(
            g / (1 - out**2), X, W
        ),
        "out stands where the derivative of tanh is meant": lambda g, out, X, W, b: parts(
            g * out, X, W
        ),
        "out stands where g is meant": lambda g, out, X, W, b: parts(P_of(out, out), X, W),
        "this is the derivative of the sigmoid, not of tanh": lambda g, out, X, W, b: parts(
            g * out * (1 - out), X, W
        ),
        "a mean over the data, where the equation sums": lambda g, out, X, W, b: (
            P_of(g, out) @ W.T,
            X.T @ P_of(g, out) / len(X),
            P_of(g, out).mean(axis=0),
        ),
        "b's cotangent is a mean over the data, where it is their sum: every datum uses b": (
            lambda g, out, X, W, b: (
                P_of(g, out) @ W.T,
                X.T @ P_of(g, out),
                P_of(g, out).mean(axis=0),
            )
        ),
        "b's cotangent is that of one datum; every datum uses b": lambda g, out, X, W, b: (
            P_of(g, out) @ W.T,
            X.T @ P_of(g, out),
            P_of(g, out)[-1],
        ),
        "the derivative of tanh is missing in b's cotangent": lambda g, out, X, W, b: (
            P_of(g, out) @ W.T,
            X.T @ P_of(g, out),
            g.sum(axis=0),
        ),
        "the derivative of tanh is missing in X's cotangent": lambda g, out, X, W, b: (
            g @ W.T,
            X.T @ P_of(g, out),
            P_of(g, out).sum(axis=0),
        ),
        "the derivative of tanh is missing in W's cotangent": lambda g, out, X, W, b: (
            P_of(g, out) @ W.T,
            X.T @ g,
            P_of(g, out).sum(axis=0),
        ),
    }
    check_vjp(answer.layer_vjp, layer, layer_vjp, suspects=suspects, **inputs)


def P_of(g, out):
    return g * (1 - out**2)


WRONG = [
    Wrong("return g @ W.T, X.T @ g, g.sum(axis=0)", "derivative of tanh is missing: P is g"),
    Wrong("P = g * (1 - out)\nreturn P @ W.T, X.T @ P, P.sum(axis=0)", "the square is missing"),
    Wrong("P = g * (1 - out**2)\nreturn P @ W.T, X.T @ P, P", "cotangent of b .* sum"),
    Wrong(
        "P = g * (1 - out**2)\nreturn P @ W.T, X.T @ P, P.mean(axis=0)",
        "b's cotangent is a mean",
    ),
    Wrong("P = g * (1 - out**2)\nreturn P @ W.T, X.T @ P, P.sum(axis=1)", "cotangent of b"),
    Wrong("P = g * (1 - out**2)\nreturn P @ W.T, P.T @ X, P.sum(axis=0)", "transposed"),
    Wrong("P = g * (1 - out**2)\nreturn P @ W.T, X.T @ P, g.sum(axis=0)", "in b's cotangent"),
    Wrong("P = g * (1 - out**2)\nreturn P @ W.T, X.T @ P, P.sum()", "cotangent of b has shape"),
    Wrong("P = 1 - out**2\nreturn P @ W.T, X.T @ P, P.sum(axis=0)", "cotangent g is left out"),
    Wrong(
        "P = g * (1 - out**2)\nreturn P @ W.T, X.T @ P / len(X), P.mean(axis=0)",
        "a mean over the data",
    ),
    Wrong(
        "P = g * (1 - np.tanh(X @ W) ** 2)\nreturn P @ W.T, X.T @ P, P.sum(axis=0)",
        "bias b is left out",
    ),
    Wrong("P = g * (1 - out**2)\nreturn P @ W.T, X.T @ P", "2 results where 3"),
    Wrong(
        "P = g * (1 - out**2)\n"
        "return P @ W, X @ P, P.sum(axis=0)",
        "a transpose?",
    ),
    Wrong(
        "P = g * (1 - out**2)\n"
        "return W @ P.T, P.T @ X, P.sum(axis=0)",
        "cotangent of X .* transposed",
    ),
    Wrong(
        "P = g * (1 - out**2)\n"
        "return P @ W.T, X.T @ P / 3, P.sum(axis=0) / 3",
        "mean over the data",
    ),
]
