"""04 A shared subexpression

The function f(x) = s * sin(s) with s = x**2 uses s twice, and s itself uses x.
On the way back the cotangents of both uses add up before they go on to x,
equation AD.3.
"""

import numpy as np


def f(x):
    """Compute s * sin(s) with s = x**2, element by element."""
    s = x**2
    return s * np.sin(s)


def f_vjp(g, out, x):
    """Return the cotangent of x; g, out and x have one shape."""
    s = x**2
    # --- your code: the cotangent of s, from both of its uses, then that of x ---
    s_bar = g * np.sin(s) + g * s * np.cos(s)
    return s_bar * 2 * x
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_vjp, combined, draw

EQUATIONS = ["AD.3"]
SECTION = "reverse_mode#the-walk"

HINTS = [
    "Draw the graph: x feeds s; s feeds the product directly, and sin(s), which feeds the product "
    "too. Two arrows lead back into s.",
    "Name the product's inputs a = s and b = sin(s). Their cotangents are g * b and g * a; the "
    "second goes on through sin to s. The cotangent of s is the sum of what comes from both.",
    "s_bar = g * np.sin(s) + g * s * np.cos(s), and then the derivative of x**2.",
]

LAST = "only the use in sin(s) is counted: the product's own use of s hands back a share too"
FIRST = "only the product's direct use of s is counted: sin(s) hands back a share too"


FIRST_MISSING = "the product's own use of s is not counted"
LAST_MISSING = "the use in sin(s) is not counted"


def made(g, out, x, direct, through, step, back):
    s = x**2
    return back(g, out) * (direct(s, x) + through(s, x)) * step(x)


def both(s):
    return np.sin(s) + s * np.cos(s)


def check(answer):
    x = draw(3, 4, seed=3)
    suspects = {
        FIRST: lambda g, out, x: g * np.sin(x**2) * 2 * x,
        LAST: lambda g, out, x: g * x**2 * np.cos(x**2) * 2 * x,
        "the step from s to x is missing: this is the cotangent of s": lambda g, out, x: (
            g * both(x**2)
        ),
        "the step from s to x is incomplete: the derivative of x**2 is 2 x": lambda g, out, x: (
            g * both(x**2) * x
        ),
        "the cotangents of the two uses are multiplied: they add up": lambda g, out, x: (
            g * np.sin(x**2) * x**2 * np.cos(x**2) * 2 * x
        ),
        "the cotangent of sin(s) goes on to s through the cosine of s times s, the other "
        "factor of the product; that factor is missing": lambda g, out, x: (
            g * (np.sin(x**2) + np.cos(x**2)) * 2 * x
        ),
        "the two uses are subtracted: they add up": lambda g, out, x: (
            g * (np.sin(x**2) - x**2 * np.cos(x**2)) * 2 * x
        ),
    }
    suspects |= combined(
        made,
        direct={
            "": lambda s, x: np.sin(s),
            FIRST_MISSING: lambda s, x: 0 * s,
            "the product's direct use of s hands back the other factor, sin(s), not s": (
                lambda s, x: s
            ),
            "sin(s) is taken at x, not at s": lambda s, x: np.sin(x),
            "the product's direct use of s has cos(s) where sin(s) is meant": (
                lambda s, x: np.cos(s)
            ),
        },
        through={
            "": lambda s, x: s * np.cos(s),
            LAST_MISSING: lambda s, x: 0 * s,
            "the use in sin(s) lacks the other factor of the product, s": lambda s, x: np.cos(s),
            "the use in sin(s) lacks the derivative of the sine, cos(s)": lambda s, x: s,
            "the derivative of the sine is the cosine": lambda s, x: s * np.sin(s),
            "the derivative of the sine has the wrong sign": lambda s, x: -s * np.cos(s),
            "the use in sin(s) is taken at x, not at s": lambda s, x: x * np.cos(x),
            "the use in sin(s) has x for the other factor of the product, s": lambda s, x: (
                x * np.cos(s)
            ),
        },
        step={
            "": lambda x: 2 * x,
            "the step from s to x is missing": np.ones_like,
            "the step from s to x lacks its 2": lambda x: x,
            "the step from s to x has x**2, where its derivative 2 x is meant": lambda x: x**2,
            "the step from s to x has 2 s for 2 x": lambda x: 2 * x**2,
            "the step from s to x lacks its x": lambda x: 2 + 0 * x,
        },
        back={
            "": lambda g, out: g,
            "the cotangent g is left out": lambda g, out: np.ones_like(g),
            "out stands where g is meant": lambda g, out: out,
            "g is multiplied by out": lambda g, out: g * out,
        },
    )
    suspects |= {
        "only one of the two uses goes on to x by its 2 x: both have to": lambda g, out, x: (
            g * (np.sin(x**2) * 2 * x + x**2 * np.cos(x**2))
        ),
        "of the two uses only that in sin(s) goes on to x by its 2 x: both have to": (
            lambda g, out, x: g * (np.sin(x**2) + x**2 * np.cos(x**2) * 2 * x)
        ),
    }
    check_vjp(answer.f_vjp, f, f_vjp, suspects=suspects, x=x)


WRONG = [
    Wrong("s_bar = g * s * np.cos(s)\nreturn s_bar * 2 * x", "only the use in sin"),
    Wrong("s_bar = g * np.sin(s)\nreturn s_bar * 2 * x", "only the product's direct use"),
    Wrong(
        "s_bar = g * np.sin(s)\ns_bar = g * s * np.cos(s)\nreturn s_bar * 2 * x",
        "only the use in sin",
    ),
    Wrong("return g * np.sin(s) + g * s * np.cos(s)", "step from s to x is missing"),
    Wrong("return (g * np.sin(s) + g * s * np.cos(s)) * x", "incomplete"),
    Wrong("return (g * np.sin(s) - g * s * np.cos(s)) * 2 * x", "subtracted"),
    Wrong("return (np.sin(s) + s * np.cos(s)) * 2 * x", "cotangent g is left out"),
    Wrong("return (g * np.sin(s) + g * np.cos(s)) * 2 * x", "that factor is missing"),
    Wrong("return -(g * np.sin(s) + g * s * np.cos(s)) * 2 * x", "wrong sign"),
    Wrong("return np.sum((g * np.sin(s) + g * s * np.cos(s)) * 2 * x)", "shape"),
    Wrong("return g * (out / s + s * np.cos(s)) * 2 * x", "where x is 0.* divided by x"),
    Wrong(
        "h = 1e-5\n"
        "return g * (f(x + h) - f(x - h)) / (2 * h)",
        "difference quotient",
    ),
    Wrong("return s_bar * 2 * x", "known here: g, out, x, s"),
]
