"""A posterior over parameters, where it is known: one mean, and two weights.

On the left the unknown mean of a Gaussian, Eq. CHAIN.7: the posterior narrows as data arrive. In
the middle the two weights of a logistic regression, Eq. CHAIN.8: the exact posterior from a grid in
grey, draws of HMC, and the highest point, the MAP estimate. On the right their predictions:
averaged over the posterior, the probability is less extreme.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit
from scipy.stats import norm

from minivae import ops
from minivae.alternate import ascend
from minivae.inference import hmc
from minivae.tensor import values


# %%
def normal_posterior(x, m_0, v_0, sigma):
    """Mean and variance of the posterior of a mean with the prior N(m_0, v_0), Eq. CHAIN.7."""
    v = 1.0 / (1.0 / v_0 + len(x) / sigma**2)
    return v * (m_0 / v_0 + np.sum(x) / sigma**2), v


def log_joint(w, x, y, v_0):
    """log p(w) + log p(y | x, w) of weights ``(C, 1, 2)``, with y of 1 and -1, Eq. CHAIN.8."""
    fit = -ops.sum(ops.softplus(-y * ops.matmul(w, x.T)), -1)
    return fit - ops.sum(ops.square(w), -1) / (2 * v_0) - np.log(2 * np.pi * v_0)


def data(n=12, seed=0):
    """Two columns, 1 and a number, and classes of 1 and -1 drawn with the weights (0.5, 2)."""
    rng = np.random.default_rng(seed)
    x = np.stack([np.ones(n), rng.normal(size=n)], -1)
    return x, np.where(rng.random(n) < expit(x @ [0.5, 2.0]), 1.0, -1.0)


def on_grid(x, y, v_0, limit=14.0, n=561):
    """The weights on a grid ``(n, n, 2)``, and the masses of the posterior there."""
    axis = np.linspace(-limit, limit, n)
    w = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    height = values(log_joint(w.reshape(-1, 1, 2), x, y, v_0)).reshape(n, n)
    mass = np.exp(height - height.max())
    return w, mass / mass.sum()


def map_estimate(x, y, v_0):
    """The weights of the highest posterior density, ``(2,)``."""
    return ascend(lambda w: ops.sum(log_joint(w, x, y, v_0)), np.zeros((1, 1, 2)))[0, 0]


def draw(x, y, v_0, draws=250, warmup=200):
    """HMC from four draws of the prior."""
    starts = np.sqrt(v_0) * np.random.default_rng(0).normal(size=(4, 1, 2))
    return hmc(lambda w: log_joint(w, x, y, v_0), starts, draws, warmup, random_state=0)


# %%
def main(path, v_0=9.0):
    x, y = data()
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    some, line = 1.5 + np.random.default_rng(0).normal(size=64), np.linspace(-3, 4, 400)
    for n, colour in ((0, "#98a1ab"), (1, "#76b8ff"), (8, "#1b45b4"), (64, "#7c0300")):
        m, v = normal_posterior(some[:n], 0.0, 1.0, 1.0)
        left.plot(line, norm.pdf(line, m, np.sqrt(v)), color=colour, label=f"after {n} data")
    left.set(title="the mean of a Gaussian", xlabel="the mean", ylabel="density")
    left.legend(frameon=False)
    (w, mass), best, chain = on_grid(x, y, v_0), map_estimate(x, y, v_0), draw(x, y, v_0)
    heights = np.sort(mass.ravel())[::-1]
    levels = [heights[np.searchsorted(heights.cumsum(), share)] for share in (0.95, 0.5)]
    shades = ["#dfe5ec", "#98a1ab"]
    middle.contourf(w[..., 0], w[..., 1], mass, [*levels, 1.0], colors=shades)
    middle.plot(*chain.draws[:, ::2].reshape(-1, 2).T, ".", color="#1b45b4", ms=3, label="HMC")
    middle.plot(*best, "P", color="#e96006", ms=9, label="MAP")
    middle.set(title="two weights", xlabel="intercept", ylabel="slope")
    middle.set(xlim=(-2.5, 3.5), ylim=(-1, 8))
    middle.legend(frameon=False, loc="upper right")
    at = np.stack([np.ones(200), np.linspace(-5, 5, 200)], -1)
    ours = expit(chain.draws.reshape(-1, 2) @ at.T)
    right.fill_between(at[:, 1], *np.quantile(ours, (0.05, 0.95), axis=0), color="#dfe5ec")
    right.plot(at[:, 1], ours.mean(axis=0), color="#1b45b4", label="averaged over HMC")
    right.plot(at[:, 1], expit(at @ best), color="#e96006", label="MAP weights")
    right.plot(x[:, 1], (y + 1) / 2, "k|", ms=10)
    right.set(title="p(y = 1 | x)", xlabel="x")
    right.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
