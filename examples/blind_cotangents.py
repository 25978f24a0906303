"""Wrong VJPs that an all-ones cotangent cannot see, and a random one can: Eq. CHECK.5.

Each row of ``examples/blind_cotangents.png`` is a mistake; the dots show how far the VJP is from
finite differences, for the gradient of the sum of the outputs and for that of a random weighting.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import ops

WRONG = {  # what is wrong: the function, and a VJP with that mistake
    "softmax: returns zeros": (ops.softmax, lambda g, out, x: 0 * g),
    "x - mean(x): returns zeros": (lambda x: x - x.mean(), lambda g, out, x: 0 * g),
    "flip: forgets to flip back": (lambda x: x[::-1], lambda g, out, x: g),
    "exp: leaves the cotangent out": (np.exp, lambda g, out, x: out),
    "sin: the cotangent squared": (np.sin, lambda g, out, x: g**2 * np.cos(x)),
    "log_softmax: n g for sum(g)": (
        ops.log_softmax,
        lambda g, out, x: g - np.exp(out) * len(g) * g,
    ),
    "tanh: 1 - out (seen by both)": (np.tanh, lambda g, out, x: g * (1 - out)),
}


def disagreement(forward, vjp, x, g, h=1e-5):
    """The largest error of a VJP at a cotangent g, against differences of g . f, Eq. CHECK.5."""
    numeric = [g @ (forward(x + step) - forward(x - step)) / (2 * h) for step in h * np.eye(len(x))]
    return np.abs(vjp(g, forward(x), x) - numeric).max()


# %%
def main(path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(6)
    cotangents = {
        "all ones": np.ones(6),
        "random": rng.uniform(0.5, 1.5, 6) * [1, -1, 1, -1, 1, -1],
    }
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for (name, g), colour in zip(cotangents.items(), ("#e96006", "#1b45b4"), strict=True):
        errors = [disagreement(*pair, x, g) for pair in WRONG.values()]
        axes.semilogx(errors, list(WRONG), "o", color=colour, label=f"cotangent {name}")
    axes.axvspan(1e-13, 1e-8, color="#cfd9e4", lw=0, label="within the error of differences")
    axes.set(xlabel="largest error of the VJP", xlim=(1e-13, 30))
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
