"""02 The adjoint of broadcasting

When a small array b meets a larger one, NumPy repeats b along the axes where it
has length 1, and along leading axes that it does not have. The adjoint of
repeating is summing: the cotangent of b is the sum of g over all the copies,
equation AD.4, in the shape of b.
"""

import numpy as np


def unbroadcast(g, shape):
    """Return the cotangent of an array of this shape, g being that of the array it was repeated to.

    g has any shape that an array of ``shape`` broadcasts to.
    """
    # --- your code: sum g until it has the shape asked for ---
    leading = g.ndim - len(shape)
    stretched = [leading + i for i, n in enumerate(shape) if n == 1]
    return g.sum(axis=(*range(leading), *stretched)).reshape(shape)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, call, check_value, check_vjp, draw, fail, named

EQUATIONS = ["AD.4"]
SECTION = "reverse_mode#broadcasting"

HINTS = [
    "Write down which axes of g come from repetition. There are two kinds: axes in front that the "
    "small array does not have at all, and axes where it has length 1.",
    "Sum over both kinds. The axes in front vanish by the sum; those of length 1 must stay, by "
    "keepdims=True or by a reshape to the shape asked for.",
    "leading = g.ndim - len(shape), then g.sum(axis=...) over range(leading) and over every "
    "leading + i where shape[i] == 1, then .reshape(shape).",
]


def repeated(to):
    def forward(b):
        return np.broadcast_to(b, to)

    return forward


SUSPECTS = {
    "one copy is taken where all copies are summed": lambda g, out, b: first(g, b.shape),
    "a mean over the copies where the adjoint sums them": lambda g, out, b: (
        unbroadcast(g, b.shape) * b.size / g.size
    ),
}


def first(g, shape):
    while g.ndim > len(shape):
        g = g[0]
    for i, n in enumerate(shape):
        g = g.take([0], axis=i) if n == 1 else g
    return g


MORE = [
    ("nothing repeated", (1, 4), (1, 4)),
    ("nothing repeated, one number", (), ()),
    ("three axes in front", (3, 4, 5, 6), (6,)),
    ("one axis in front and one of length 1", (3, 4, 5, 6), (4, 1, 6)),
    ("two axes of length 1", (3, 4, 5), (1, 4, 1)),
    ("all axes of length 1", (3, 4), (1, 1)),
    ("an axis of length 1 on both sides", (3, 1, 4), (1, 1, 4)),
    ("lengths that are equal, the row repeated", (4, 4), (4,)),
    ("lengths that are equal, the column repeated", (4, 4), (4, 1)),
    ("no copies at all, whose sum is 0", (0, 3), (1, 3)),
]


def check(answer):
    for case, shape in (
        ("the same shape", (3, 4)),
        ("an axis in front", (4,)),
        ("a last axis of length 1", (3, 1)),
        ("a first axis of length 1", (1, 4)),
        ("both kinds", (5, 1)),
        ("a scalar", ()),
    ):
        to = (3, 5, 4) if case == "both kinds" else (3, 4)

        @named("unbroadcast")
        def vjp(g, out, b, case=case):
            found = call(answer.unbroadcast, g, b.shape)
            got = np.shape(found)
            if got != b.shape:
                kind = (
                    "axes of length 1 must stay (keepdims=True)"
                    if np.size(found) == b.size
                    else "a sum is missing"
                    if np.size(found) > b.size
                    else "it is summed too far: nothing was repeated"
                    if g.shape == b.shape
                    else "it is summed over an axis that should stay"
                )
                fail(
                    f"unbroadcast has shape {got} where {b.shape} is asked for ({case}): {kind}",
                    f"unbroadcast: g {g.shape}, shape {b.shape}",
                )
            return found

        def right(g, out, b):
            return unbroadcast(g, b.shape)

        b = np.asarray(draw(*shape, seed=2))
        check_vjp(vjp, repeated(to), right, suspects=SUSPECTS, resized=False, b=b)
    for what, to, shape in MORE:
        g = np.asarray(draw(*to, seed=3))
        found = call(answer.unbroadcast, g, shape)
        sentence = f"g of shape {to} back to {shape}, {what}"
        if np.shape(found) != shape:
            fail(f"Right at first, and wrong for {sentence}: the result is {np.shape(found)}")
        check_value(found, unbroadcast(g, shape), f"the cotangent ({sentence})", g=g)


WRONG = [
    Wrong("return g", "has shape .* a sum is missing"),
    Wrong("return g.sum(axis=0)", "summed too far|length 1 must stay"),
    Wrong("return np.broadcast_to(g.sum(), shape)", "everywhere"),
    Wrong(
        "leading = g.ndim - len(shape)\nreturn g.sum(axis=tuple(range(leading)))",
        "a sum is missing",
    ),
    Wrong(
        "leading = g.ndim - len(shape)\n"
        "stretched = [leading + i for i, n in enumerate(shape) if n == 1]\n"
        "return g.sum(axis=(*range(leading), *stretched))",
        "length 1 must stay",
    ),
    Wrong(
        "leading = g.ndim - len(shape)\n"
        "stretched = [leading + i for i, n in enumerate(shape) if n == 1]\n"
        "return g.mean(axis=(*range(leading), *stretched)).reshape(shape)",
        "a mean over the copies",
    ),
    Wrong(
        "while g.ndim > len(shape):\n    g = g[0]\n"
        "for i, n in enumerate(shape):\n    g = g.take([0], axis=i) if n == 1 else g\n"
        "return g",
        "one copy is taken",
    ),
    Wrong(
        "stretched = [i for i, n in enumerate(shape) if n == 1]\n"
        "while g.ndim > len(shape):\n    g = g.sum(axis=-1)\n"
        "return g.sum(axis=tuple(stretched), keepdims=True)",
        "has shape|summed",
    ),
    Wrong("return np.zeros(shape)", "is zero"),
    Wrong(
        "leading = g.ndim - len(shape)\n"
        "stretched = [leading + i for i, n in enumerate(shape) if n == 1]\n"
        "return -g.sum(axis=(*range(leading), *stretched)).reshape(shape)",
        "sign",
    ),
    Wrong(
        "while g.ndim > len(shape):\n"
        "    g = g.sum(axis=0)\n"
        "for i, n in enumerate(shape):\n"
        "    if n == 1 and g.shape[i] > 1:\n"
        "        g = g.sum(axis=i, keepdims=True)\n"
        "return g",
        "no copies at all, whose sum is 0",
    ),
    Wrong(
        "axes = tuple(i for i, n in enumerate(g.shape) if n not in shape)\n"
        "return g.sum(axis=axes).reshape(shape)",
        "cannot reshape",
    ),
    Wrong("return np.resize(g, shape)", "one copy is taken"),
]
