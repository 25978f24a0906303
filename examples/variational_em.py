"""Variational EM and gradient ascent on one bound, from one start to one top, Eq. VI.4.

The model is x = w z + noise with a Gaussian q for each datum. By symmetry the means of the q stay a
multiple of x, so the bound can be drawn over that slope and the model's w, at the best variance of
q. EM moves parallel to the axes, with an E-step to the best q and an M-step to the best w; gradient
ascent moves diagonally.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import ops, value_and_grad
from minivae.alternate import variational_em

x, sigma = np.array([1.2, -0.4, 2.1, -1.7]), 0.5
START = (0.3 * x, np.zeros(4)), np.array(0.3)


# %%
def bound(q, w):
    """F(q, w), the mean ELBO of the data in nats, Eq. VI.4."""
    m, log_var = q
    v = ops.exp(log_var)
    squares = ops.square(x - w * m) + ops.square(w) * v
    log_joint = -0.5 * squares / sigma**2 - 0.5 * (ops.square(m) + v)
    log_joint = log_joint - np.log(2 * np.pi * sigma)
    return ops.mean(log_joint + 0.5 * (log_var + np.log(2 * np.pi * np.e)))


def em_path(turns):
    """(q, w) at the start and after each half-step."""
    (q, w), places = START, [START]
    for _ in range(turns):
        better, new = variational_em(bound, q, w, 0.0, 1).theta
        places += [(better, w), (better, new)]
        q, w = better, new
    return places


def ascent_path(steps, rate=0.1):
    """The same for plain gradient ascent in everything at once."""
    (q, w), places = START, [START]
    for _ in range(steps):
        (m, log_var), slope = value_and_grad(bound, argnums=(0, 1))(q, w)[1]
        q, w = (q[0] + rate * m, q[1] + rate * log_var), w + rate * slope
        places.append((q, w))
    return places


# %%
def main(path):
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    slope, w = np.meshgrid(np.linspace(0.1, 1.1, 81), np.linspace(0.1, 1.7, 81))
    best = np.log(sigma**2 / (w**2 + sigma**2))  # the log-variance of the best q at w
    at = zip(slope.ravel(), best.ravel(), w.ravel(), strict=True)
    heights = [bound((s * x, np.full(4, v)), w) for s, v, w in at]
    heights = np.reshape(heights, w.shape)
    levels = heights.max() - np.geomspace(0.01, 6, 14)[::-1]
    left.contour(slope, w, heights, levels, colors="0.8", linestyles="-", linewidths=0.8)
    runs = (("gradient ascent", "#1b45b4", ascent_path(400)), ("EM", "#e96006", em_path(40)))
    top = max(bound(*places[-1]) for _, _, places in runs)
    for name, colour, places in runs:
        path_ = np.array([(q[0] @ x / (x @ x), w) for q, w in places])
        left.plot(*path_.T, ".-", color=colour, lw=1.2, ms=3, label=name)
        gap = [top - bound(*place) for place in places]
        right.semilogy(np.maximum(gap, 1e-16), color=colour, label=name)
    left.set(xlabel="slope of q's mean in x", ylabel="w", title="the bound, and two ways up")
    right.legend(frameon=False)
    right.set(xlabel="half-step of EM, step of ascent", ylabel="nats per datum below the top")
    right.set(ylim=(1e-9, 5), xlim=(0, 200))
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
