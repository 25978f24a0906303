"""The gap between the ELBO and log p(x) as q leaves the posterior: Eq. ELBO.3.

The model is x = w z + sigma noise with z ~ N(0, 1), for which log p(x), the posterior and the ELBO
are known. The script draws ``examples/elbo_gap.png``: moving the mean of q costs the same in both
directions, while widening q by a factor costs more than narrowing it by the same factor.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import LatentModel
from minivae.distributions import DiagonalGaussian, Gaussian, StandardNormal
from minivae.objectives import elbo_terms


def log_marginal(x, w, sigma):
    """log p(x) = log N(x; 0, w^2 + sigma^2), Eq. LVM.5 of one dimension."""
    var = w**2 + sigma**2
    return -0.5 * (np.log(2 * np.pi * var) + x**2 / var)


def posterior(x, w, sigma):
    """The mean and log-variance of p(z | x), Eq. LVM.6."""
    return w * x / (w**2 + sigma**2), np.log(sigma**2 / (w**2 + sigma**2))


def kl_of_gaussians(mu, log_var, mu_p, log_var_p):
    """KL(N(mu, exp(log_var)) || N(mu_p, exp(log_var_p))) in nats, Eq. KL.4."""
    ratio = log_var - log_var_p
    return 0.5 * ((mu - mu_p) ** 2 / np.exp(log_var_p) + np.expm1(ratio) - ratio)


def elbo(x, w, sigma, mu, log_var):
    """The ELBO of q = N(mu, exp(log_var)), log p(x) less its gap, Eq. ELBO.3.

    Noise of 1 and -1 makes the expectation exact.
    """
    model = LatentModel(StandardNormal(1), lambda z: (w * z,), Gaussian(sigma))
    q = DiagonalGaussian(np.array([[mu]]), np.array([[log_var]]))
    eps = np.array([1.0, -1.0]).reshape(2, 1, 1)
    return elbo_terms(model, q, np.array([[x]]), eps).elbo[0]


# %%
def main(path):
    x, w, sigma = 1.5, 1.0, 0.5
    log_p, (mu, log_var) = log_marginal(x, w, sigma), posterior(x, w, sigma)
    shift, ratio = np.linspace(-1, 1, 81), np.linspace(-2, 2, 81)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, t, q in (
        (left, shift, [(mu + s, log_var) for s in shift]),
        (right, ratio, [(mu, log_var + r) for r in ratio]),
    ):
        bound = [elbo(x, w, sigma, *each) for each in q]
        gap = [kl_of_gaussians(*each, mu, log_var) for each in q]
        axes.axhline(log_p, color="#7c0300", label="log p(x)")
        axes.plot(t, bound, color="#1b45b4", lw=2, label="ELBO")
        axes.fill_between(t, bound, np.add(bound, gap), color="#cfd9e4", label="KL(q || posterior)")
    left.set(xlabel="mean of q minus that of the posterior", ylabel="nats")
    right.set(xlabel="log of q's variance over the posterior's variance")
    left.legend(loc="lower center", frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
