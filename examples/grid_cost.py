"""What a grid costs: the error of log p(x) against the number of points, Eq. LVM.7.

The model is linear, x = W z + sigma noise, so Eq. LVM.5 gives the exact answer. The script draws
``examples/grid_cost.png``: twenty or thirty points for each dimension of z would suffice, but the
grid needs all their combinations.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import logsumexp


def log_marginal(x, W, sigma):
    """log p(x) = log N(x; 0, W W^T + sigma^2 I), Eq. LVM.5, for one x of shape ``(D,)``."""
    cov = W @ W.T + sigma**2 * np.eye(len(x))
    return -0.5 * (np.linalg.slogdet(2 * np.pi * cov)[1] + x @ np.linalg.solve(cov, x))


def grid_log_marginal(x, W, sigma, n, limit=6.0):
    """log p(x) from n points per dimension of z in [-limit, limit], n^K in all, Eq. LVM.7."""
    axis, step = np.linspace(-limit, limit, n, retstep=True)
    K, D = W.shape[1], len(x)
    z = np.stack(np.meshgrid(*[axis] * K, indexing="ij"), axis=-1).reshape(-1, K)
    log_prior = -0.5 * (np.square(z).sum(1) + K * np.log(2 * np.pi))
    squares = np.square((x - z @ W.T) / sigma).sum(1)
    log_likelihood = -0.5 * (squares + D * np.log(2 * np.pi * sigma**2))
    return logsumexp(log_prior + log_likelihood) + K * np.log(step)


def model(K, D=4):
    """A datum, W and sigma."""
    rng = np.random.default_rng(K)
    return rng.standard_normal(D), rng.standard_normal((D, K)), 1.0


# %%
def main(path):
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for K, colour in zip(range(1, 5), ("#1b45b4", "#e96006", "#3ea282", "#7c0300"), strict=True):
        sizes = [n for n in range(4, 41, 2) if n**K <= 1_000_000]
        exact = log_marginal(*model(K))
        errors = [abs(grid_log_marginal(*model(K), n) - exact) for n in sizes]
        axes.loglog([n**K for n in sizes], errors, "o-", ms=3, color=colour, label=f"K = {K}")
    axes.set(xlabel="points of the grid", ylabel="error of log p(x) in nats", ylim=(1e-12, 3))
    axes.legend(frameon=False, title="dimensions of z")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
