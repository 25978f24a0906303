"""The importance-weighted bound climbs to log p(x) as it gets more samples: Eq. IWAE.2.

A datum of twelve pixels, one latent, and two encoders: one near the posterior, one that misses most
of it. log p(x) is an integral over one dimension, so the gap is known. The lower panel shows the
effective sample size as a share of the samples, Eq. IWAE.3. It warns of the second encoder.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import logsumexp

from minivae import LatentModel
from minivae.distributions import Bernoulli, DiagonalGaussian, StandardNormal
from minivae.objectives import effective_sample_size, importance_weighted_bound, sample_terms

rng = np.random.default_rng(3)
weight, bias = 2.5 * rng.standard_normal(12), rng.standard_normal(12)
x = (rng.random((1, 12)) < 0.5).astype(float)


model = LatentModel(StandardNormal(1), lambda z: (z * weight + bias,), Bernoulli())

# %% The truth: log of the integral of p(x | z) p(z)
z = np.linspace(-8, 8, 4001)
log_joint = model.log_joint(x, z.reshape(-1, 1, 1))[:, 0]
log_p = logsumexp(log_joint) + np.log(z[1] - z[0])
posterior = np.exp(log_joint - logsumexp(log_joint))
mean = posterior @ z
sd = np.sqrt(posterior @ (z - mean) ** 2)
encoders = {"near the posterior": (mean + 0.3 * sd, 1.2 * sd), "too narrow": (mean + sd, 0.4 * sd)}


# %%
def main(folder=Path(__file__).parent, repeats=2000, sizes=(1, 2, 5, 10, 20, 50, 100)):
    figure = Figure(figsize=(6, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for name, (mu, sigma) in encoders.items():
        q = DiagonalGaussian(np.full((1, 1), mu), np.full((1, 1), 2 * np.log(sigma)))
        eps = rng.standard_normal((repeats * max(sizes), 1, 1))
        log_w = sample_terms(model, q, x, eps).log_weights
        bounds, shares = [], []
        for S in sizes:
            parts = np.asarray(log_w).reshape(-1, max(sizes))[:, :S].T  # (S, repeats)
            bounds.append(np.mean(importance_weighted_bound(parts)))
            shares.append(np.mean(effective_sample_size(parts)) / S)
        above.plot(sizes, bounds, "o-", label=f"q {name}")
        below.plot(sizes, shares, "o-")
    above.axhline(log_p, color="black", linestyle="--", label="log p(x), by integration")
    above.set(ylabel="nats", title="mean bound of S samples; S = 1 is the ELBO")
    above.legend()
    below.set(xlabel="S", ylabel="effective share", xscale="log", ylim=(0, 1.05))
    figure.savefig(folder / "iwae.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
