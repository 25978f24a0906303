"""EM and gradient ascent climb one likelihood, Eq. PRIOR.1, from one start to one optimum.

EM (Eq. GMM.2 to GMM.6) solves for the parameters; gradient ascent (Eq. GMM.10) has to choose its
steps.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import datasets, grad, ops
from minivae.distributions import mixture_log_prob
from minivae.distributions.mixture import MixtureOfGaussians
from minivae.models.mixture import data, em

X = (datasets.load_faithful() - [3.5, 71]) / [1.1, 14]  # near mean 0 and variance 1
means, eyes = np.array([[-1.0, 1.0], [1.5, 0.0]]), np.stack([np.eye(2)] * 2)


def by_em(iterations):
    theta = MixtureOfGaussians.from_factors(np.full(2, 0.5), means, eyes)
    for _ in range(iterations):
        sums = em.e_step(data.Data("by_em", X), theta)
        yield sums.log_likelihood / len(X), theta.means
        theta = em.m_step(sums, theta.means, theta, floor=0.0).parameters


# %% The gradient knows no constraints: a softmax and an exponential keep the parameters in place.
def log_likelihood(logits, mu, free):
    factors = free * (1 - np.eye(2)) + ops.exp(free) * np.eye(2)
    return ops.mean(mixture_log_prob(X, ops.log_softmax(logits), mu, factors))


def by_gradient(iterations, rate=0.25):
    theta = [np.zeros(2), means, 0 * eyes]
    for _ in range(iterations):
        yield log_likelihood(*theta), theta[1]
        uphill = grad(log_likelihood, argnums=(0, 1, 2))(*theta)
        theta = [value + rate * slope for value, slope in zip(theta, uphill, strict=True)]


# %%
def main(folder=Path(__file__).parent, iterations=200):
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*X.T, ".", color="0.8", markersize=4)
    for climb, name, colour in ((by_gradient, "gradient ascent", "C0"), (by_em, "EM", "C1")):
        bounds, mu = map(np.array, zip(*climb(iterations), strict=True))
        right.loglog(np.arange(iterations) + 1, bounds.max() - bounds, colour, label=name)
        left.plot(*mu.transpose(2, 0, 1), "o-", color=colour, markersize=3, linewidth=1)
    left.plot(*means.T, "k+", *mu[-1].T, "k*", markersize=10)
    left.set(title="the two means, from + to *", xlabel="eruption", ylabel="waiting time, scaled")
    right.set(title="nats per datum below the optimum", xlabel="iteration", ylim=(1e-13, 3))
    right.legend()
    figure.savefig(folder / "em_and_gradient.png", dpi=150)


if __name__ == "__main__":
    main()
