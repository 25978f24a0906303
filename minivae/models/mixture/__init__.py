"""Mixtures fitted by EM: coordinate ascent on the same bound that trains a VAE.

For responsibilities q(z | x) the bound sum_n E_q log p(x_n, z) + H(q) falls short of the
log-likelihood by KL(q || p(z | x)). The E-step takes the KL to zero, the M-step raises the bound
with q held, and no step lowers it.

- `data`: rows in memory, on disk or in chunks;
- `em`: the E-step and the M-step of Gaussians;
- `initialise`: where EM begins;
- `estimator`: what mixtures of every family share;
- `gaussian`: the estimator `GaussianMixture`;
- `bernoulli`: `BernoulliMixture`, for data of 0 and 1, from its density to its estimator.
"""

from minivae.models.mixture.bernoulli import BernoulliMixture, MixtureOfBernoullis
from minivae.models.mixture.estimator import Mixture, MixtureDistribution
from minivae.models.mixture.gaussian import GaussianMixture

__all__ = [
    "BernoulliMixture",
    "GaussianMixture",
    "Mixture",
    "MixtureDistribution",
    "MixtureOfBernoullis",
]
