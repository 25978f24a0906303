"""01 The VJP of multiply

A node of the graph computes out = x * y, element by element. On the way back it
is handed the cotangent g, which is the derivative of the final scalar by out,
and hands on the cotangents of its inputs: the transposed Jacobian times g,
equation AD.2.
"""

import numpy as np


def multiply(x, y):
    """Multiply two arrays of one shape."""
    return np.multiply(x, y)


def multiply_vjp(g, out, x, y):
    """Return the cotangents of x and of y, in this order; g and out have the shape of both."""
    # --- your code: return two arrays ---
    return g * y, g * x
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_vjp, draw

EQUATIONS = ["AD.2"]
SECTION = "reverse_mode#one-operation"

HINTS = [
    "The Jacobian of an element-wise operation is diagonal: each element of out depends on one "
    "element of x and one of y. What is the derivative of x[i] * y[i] by x[i]?",
    "Each cotangent is the chain rule's product: g times the derivative of out by that input. The "
    "derivative by x is y, and that by y is x.",
    "return g * ..., g * x",
]


def check(answer):
    x, y = draw(3, 4), draw(3, 4, seed=1)
    suspects = {
        "both cotangents are that of x": lambda g, out, x, y: (g * y, g * y),
        "both cotangents are that of y": lambda g, out, x, y: (g * x, g * x),
    }
    check_vjp(answer.multiply_vjp, multiply, multiply_vjp, suspects=suspects, x=x, y=y)


WRONG = [
    Wrong("return g * x, g * y", "exchanged"),
    Wrong("return y, x", "cotangent g is left out"),
    Wrong("return g, g", "equals the cotangent g itself"),
    Wrong("return g * y, -g * x", "gradient of y has the wrong sign"),
    Wrong("return 2 * g * y, 2 * g * x", "twice what it should be"),
    Wrong("return g * y", "one array where 2 are asked for"),
    Wrong("return (g * y).sum(), (g * x).sum()", "shape"),
    Wrong("return g * y, g * y", "both cotangents are that of x"),
    Wrong("return np.zeros_like(x), g * x", "is zero"),
    Wrong("return g * out, g * out", "has a factor x too many|out"),
    Wrong("return g * out / x, g * out / y", "where x is 0.* divided by x"),
    Wrong("return g * out / (x + 1e-30), g * x", "where x is 0"),
    Wrong("return g * abs(y), g * abs(x)", "only where y < 0"),
    Wrong("return g * y + 1e-9, g * x", "small constant is added"),
    Wrong("return g * y * np.random.rand(), g * x", "two calls"),
    Wrong("return (g * y).astype(np.float32), (g * x).astype(np.float32)", "float32"),
    Wrong(
        "raise NotImplementedError('exercise 01')\n"
        "return g * y, g * x",
        "nothing that stands below it runs",
    ),
    Wrong(
        "a, b = g * y, g * x\n"
        "raise NotImplementedError('exercise 01')",
        "has no return",
    ),
    Wrong("return {'x': g * y, 'y': g * x}", "returns a dict"),
]
