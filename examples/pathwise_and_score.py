"""How noisy two estimates of one gradient are: Eq. REP.2 and Eq. SCORE.2, and where each wins.

On the left, f = sin wz: the noise of the pathwise gradient grows with the slope, that of the score
function does not. On the right, f is the sum of z_k^2: the pathwise gradient has the noise of one
coordinate, the score function that of all, and a baseline (Eq. SCORE.3) helps.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import grad, ops


# %% Both take f of z (S, K), parameters (K,) and noise (S, K), and give a row for each sample.
def pathwise_gradient(f, mu, log_var, eps):
    """df(z)/dmu and df(z)/dlog_var through z = mu + exp(log_var / 2) eps, Eq. REP.2."""
    rows = [np.broadcast_to(p, eps.shape).copy() for p in (mu, log_var)]
    return grad(lambda m, v: ops.sum(f(ops.reparameterise(m, v, eps))), argnums=(0, 1))(*rows)


def score(log_var, eps):
    """dlog q(z)/dmu = eps / sigma and dlog q(z)/dlog_var = (eps^2 - 1) / 2, Eq. SCORE.1."""
    return eps * np.exp(-0.5 * log_var), 0.5 * (eps**2 - 1.0)


def score_gradient(f, mu, log_var, eps, baseline=0.0):
    """(f(z) - b) times the score, Eq. SCORE.2; f need not have a slope."""
    height = np.asarray(f(mu + np.exp(0.5 * log_var) * eps))[:, None] - baseline
    return tuple(height * s for s in score(log_var, eps))


def best_baseline(f, s, weight):
    """b = E[f s^2] / E[s^2], which leaves the least variance, Eq. SCORE.3."""
    return (weight @ (f * s**2)) / (weight @ s**2)


# %%
def variance(g, weight):
    return weight @ (g - weight @ g) ** 2


def main(folder=Path(__file__).parent):
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    eps = np.linspace(-9, 9, 1801)[:, None]  # expectations are integrals: no noise in the picture
    weight = np.exp(-0.5 * eps[:, 0] ** 2) * 0.01 / np.sqrt(2 * np.pi)
    speeds = np.geomspace(0.1, 10, 60)
    for name, gradient in (("pathwise", pathwise_gradient), ("score function", score_gradient)):
        noise = [
            variance(gradient(lambda z, w=w: ops.sin(w * z)[:, 0], 0.0, 0.0, eps)[0][:, 0], weight)
            for w in speeds
        ]
        left.loglog(speeds, noise, label=name)
    left.set(xlabel="w", ylabel="variance of the gradient of mu", title="f = sin wz, z ~ N(0, 1)")
    left.legend()

    rng, sizes, noise = np.random.default_rng(0), [1, 2, 4, 8, 16, 32, 64], []
    for K in sizes:
        eps = rng.standard_normal((20_000, K))
        weight, f = np.full(len(eps), 1 / len(eps)), lambda z: ops.sum(ops.square(z), -1)
        b = best_baseline(np.square(eps).sum(1), eps[:, 0], weight)
        ways = [pathwise_gradient(f, 0.0, 0.0, eps), score_gradient(f, 0.0, np.zeros(K), eps)]
        ways.append(score_gradient(f, 0.0, np.zeros(K), eps, b))
        noise.append([variance(g[0][:, 0], weight) for g in ways])
    names = ("pathwise", "score function", "score function, best baseline")
    for name, values in zip(names, np.transpose(noise), strict=True):
        right.loglog(sizes, values, "o-", label=name)
    right.set(xlabel="K", title="f = z1^2 + ... + zK^2, z ~ N(0, I)")
    right.legend()
    figure.savefig(folder / "pathwise_and_score.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
