"""The error of a difference quotient against its step: Eq. CHECK.1 to Eq. CHECK.4.

The script differentiates the sine at 1, where the answer is known, and draws
``examples/step_size.png``: curvature spoils large steps, rounding spoils small ones, and the best
step lies between.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

ROUNDING = 2.0**-53  # the relative error of one rounded float64


def one_sided(f, x, h):
    """(f(x + h) - f(x)) / h."""
    return (f(x + h) - f(x)) / ((x + h) - x)


def central(f, x, h):
    """(f(x + h) - f(x - h)) / 2h, Eq. CHECK.1, over the width that rounding left."""
    return (f(x + h) - f(x - h)) / ((x + h) - (x - h))


def extrapolated(f, x, h):
    """Two central differences, the error of order h^2 cancelled: Eq. CHECK.4."""
    return central(f, x, h / 2) + (central(f, x, h / 2) - central(f, x, h)) / 3


def error_of(h, value, third):
    """|f'''| h^2 / 6 + u |f| / h: what bounds the error of a central difference, Eq. CHECK.2."""
    return np.abs(third) * h**2 / 6 + ROUNDING * np.abs(value) / h


def best_step(value, third):
    """(3 u |f| / |f'''|)^(1/3), the step at which this bound is least, Eq. CHECK.3."""
    return np.cbrt(3 * ROUNDING * np.abs(value) / np.abs(third))


# %%
def main(path):
    x, steps = 1.0, np.logspace(0, -13, 261)
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for quotient, colour in (
        (one_sided, "#e96006"),
        (central, "#1b45b4"),
        (extrapolated, "#3ea282"),
    ):
        error = np.abs(quotient(np.sin, x, steps) - np.cos(x))
        axes.loglog(
            steps, error, ".", ms=3, color=colour, label=quotient.__name__.replace("_", "-")
        )
    axes.loglog(steps, error_of(steps, np.sin(x), np.cos(x)), "k", lw=1, label="bound of central")
    axes.axvline(best_step(np.sin(x), np.cos(x)), color="k", lw=1, ls=":", label="its best step")
    axes.set(xlabel="step h", ylabel="error of the slope of sin at 1", ylim=(1e-16, 3))
    axes.invert_xaxis()
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
