"""06 The VJPs of tanh and softplus

Two activations, element by element: tanh(x), and softplus(x) = log(1 + exp(x)),
whose derivative is the sigmoid. A VJP multiplies the cotangent g by the
derivative, equation AD.2. It is handed the output too: where the derivative can
be written with it, nothing has to be computed again. Both must stay right at x
= 1000 and x = -1000.
"""

import numpy as np


def tanh(x):
    """Compute the hyperbolic tangent."""
    return np.tanh(x)


def softplus(x):
    """Compute log(1 + exp(x)) without overflow."""
    return np.logaddexp(0.0, x)


def activations_vjp(g, tanh_x, softplus_x, x):
    """Return the cotangents of x through tanh and through softplus, in this order.

    tanh_x and softplus_x are the outputs; all arrays have one shape.
    """
    # --- your code: return two arrays ---
    return g * (1 - tanh_x**2), g * np.exp(x - softplus_x)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, call, check_function, check_vjp, draw, fail, named

EQUATIONS = ["AD.2"]
SECTION = "reverse_mode#one-operation"

HINTS = [
    "Differentiate both by hand. Then look whether the result can be written with the output: "
    "tanh'(x) = 1 / cosh(x)**2, and cosh(x)**2 - sinh(x)**2 = 1.",
    "tanh' = 1 - tanh**2. softplus' = exp(x) / (1 + exp(x)), the sigmoid; exp(1000) overflows, so "
    "write it as an exponential of something that is never positive.",
    "return g * (1 - tanh_x**2), g * np.exp(x - ...), where log(1 + exp(x)) is known already.",
]


def sigmoid(x):
    return np.exp(-np.logaddexp(0.0, -x))


def check(answer):
    def vjp(which):
        @named("activations_vjp")
        def one(g, out, x):
            found = call(answer.activations_vjp, g, np.tanh(x), softplus(x), x)
            if not isinstance(found, tuple | list) or len(found) != 2:
                fail("It does not return two arrays: that through tanh and that through softplus")
            return found[which]

        return one

    def right(which):
        return lambda g, out, x: activations_vjp(g, np.tanh(x), softplus(x), x)[which]

    x = draw(3, 4)
    check_vjp(
        vjp(0),
        tanh,
        right(0),
        suspects={
            "through tanh: the square is missing in 1 - tanh**2": lambda g, out, x: g * (1 - out),
            "through tanh: the derivative is 1 - tanh(x)**2, with the output in place of x": (
                lambda g, out, x: g * (1 - x**2)
            ),
            "through tanh: out is tanh(x) already, here tanh is taken twice": (
                lambda g, out, x: g * (1 - np.tanh(out) ** 2)
            ),
            "through tanh: the square belongs to tanh alone, 1 - tanh**2": (
                lambda g, out, x: g * (1 - out) ** 2
            ),
            "through tanh: divided by the derivative, where it is multiplied": (
                lambda g, out, x: g / (1 - out**2)
            ),
            "through tanh: the square is inside tanh, where that of tanh(x) is meant": (
                lambda g, out, x: g * (1 - np.tanh(x**2))
            ),
            "through tanh: this is 1 - tanh(x) * x": lambda g, out, x: g * (1 - out * x),
            "through tanh: the output stands where its derivative is meant": (
                lambda g, out, x: g * out
            ),
            "through tanh: the square of the output, not 1 less that": lambda g, out, x: g * out**2,
            "through tanh: this is the root of the derivative": (
                lambda g, out, x: g * np.sqrt(1 - out**2)
            ),
            "through tanh: the sign of the derivative is wrong, tanh**2 - 1": (
                lambda g, out, x: g * (out**2 - 1)
            ),
            "through tanh: the plus should be a minus": lambda g, out, x: g * (1 + out**2),
            "through tanh: this is the derivative of the sigmoid": (
                lambda g, out, x: g * out * (1 - out)
            ),
            "the two results are exchanged: tanh comes first": lambda g, out, x: g * sigmoid(x),
        },
        x=x,
    )
    check_vjp(
        vjp(1),
        softplus,
        right(1),
        suspects={
            "through softplus: this is the derivative of the sigmoid, which is softplus' itself": (
                lambda g, out, x: g * sigmoid(x) * (1 - sigmoid(x))
            ),
            "through softplus: a step, the derivative of relu; softplus is smooth": (
                lambda g, out, x: g * (x > 0)
            ),
            "through softplus: the output stands where its derivative is meant": (
                lambda g, out, x: g * out
            ),
            "through softplus: tanh stands where the sigmoid is meant": (
                lambda g, out, x: g * np.tanh(x)
            ),
            "through softplus: the derivative is the sigmoid, and not out (1 - out)": (
                lambda g, out, x: g * out * (1 - out)
            ),
            "through softplus: 1 - out**2 belongs to tanh": lambda g, out, x: g * (1 - out**2),
            "through softplus: divided by the derivative, where it is multiplied": (
                lambda g, out, x: g / sigmoid(x)
            ),
            "through softplus: the reciprocal of 1 + exp(x), which is 1 - sigmoid(x)": (
                lambda g, out, x: g / (1 + np.exp(x))
            ),
            "through softplus: the sign of x is wrong, this is 1 - sigmoid": (
                lambda g, out, x: g * sigmoid(-x)
            ),
            "through softplus: the exponential alone; divide by 1 + exp(x)": (
                lambda g, out, x: g * np.exp(x)
            ),
            "through softplus: the logarithm of the sigmoid, where the sigmoid itself is meant": (
                lambda g, out, x: g * np.log(sigmoid(x))
            ),
            "through softplus: exp(softplus) stands where exp(-softplus) is meant": (
                lambda g, out, x: g * (1 - np.exp(out))
            ),
            "through softplus: a sigmoid of the output, where the output is softplus already": (
                lambda g, out, x: g * sigmoid(out)
            ),
        },
        x=x,
    )
    def values(g, x):
        return activations_vjp(g, np.tanh(x), softplus(x), x)

    @named("activations_vjp")
    def theirs(g, x):
        return answer.activations_vjp(g, np.tanh(x), softplus(x), x)

    names = ("the cotangent through tanh", "the cotangent through softplus")
    far = np.array([-1000.0, -40.0, 0.5, 40.0, 1000.0])
    check_function(
        theirs, values, names=names,
        elsewhere={
            "where x is 40 or 1000, of either sign: exp overflows there, or a number was clipped": {
                "x": far,
            },
        },
        g=np.linspace(0.5, 1.5, 5), x=draw(5, seed=6),
    )  # fmt: skip


WRONG = [
    Wrong("return g * (1 - tanh_x), g * np.exp(x - softplus_x)", "square is missing"),
    Wrong("return g * (1 - x**2), g * np.exp(x - softplus_x)", "output in place of x"),
    Wrong("return 1 - tanh_x**2, np.exp(x - softplus_x)", "cotangent g is left out"),
    Wrong("return g * (1 - tanh_x**2), g * np.exp(x) / (1 + np.exp(x))", "overflows"),
    Wrong("return g * (1 - tanh_x**2), g / (1 + np.exp(x))", "reciprocal"),
    Wrong("return g * np.exp(x - softplus_x), g * (1 - tanh_x**2)", "exchanged"),
    Wrong(
        "s = 0.5 * (1 + np.tanh(x / 2))\nreturn g * (1 - tanh_x**2), g * s * (1 - s)",
        "derivative of the sigmoid",
    ),
    Wrong("return g / np.cosh(x), g * np.exp(x - softplus_x)", "root of the derivative"),
    Wrong("return g, g", "equals the cotangent g itself"),
    Wrong(
        "return g * (tanh_x**2 - 1), g * np.exp(x - softplus_x)", "sign of the derivative is wrong"
    ),
    Wrong("return g * (1 - tanh_x**2)", "two arrays"),
    Wrong(
        "s = np.clip(1 / (1 + np.exp(-x)), 1e-6, 1 - 1e-6)\n"
        "return g * (1 - tanh_x**2), g * s",
        "clipped",
    ),
    Wrong("return g * (1 - tanh_x**2), g * (1 - np.exp(softplus_x))", r"exp\(-softplus\) is meant"),
    Wrong("return g * (1 - np.tanh(x**2)), g / (1 + np.exp(-x))", "square is inside tanh"),
]
