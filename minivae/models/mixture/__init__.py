"""Mixtures fitted by EM: coordinate ascent on the same bound that trains a VAE.

For responsibilities q(z | x) the bound sum_n E_q log p(x_n, z) + H(q) falls short of the
log-likelihood by KL(q || p(z | x)). The E-step takes the KL to zero, the M-step raises the bound
with q held, and no step lowers it.

- `data`: rows in memory, on disk or in chunks;
- `em`: the E-step and the M-step of Gaussians;
- `initialise`: where EM begins;
- `missing`: what EM takes from rows with missing values;
- `estimator`: what mixtures of every family share; `components`: what those of Gaussians share;
- `gaussian`: the estimator `GaussianMixture`;
- `posterior`: coordinate ascent where parameters are latent, too; `bayesian`: its estimator,
  `BayesianGaussianMixture`;
- `bernoulli`: `BernoulliMixture`, for data of 0 and 1, from its density to its estimator.
"""

from minivae.models.mixture.bayesian import BayesianGaussianMixture
from minivae.models.mixture.bernoulli import BernoulliMixture, MixtureOfBernoullis
from minivae.models.mixture.components import GaussianComponents
from minivae.models.mixture.estimator import Mixture, MixtureDistribution
from minivae.models.mixture.gaussian import GaussianMixture
from minivae.models.mixture.posterior import Posterior

__all__ = [
    "BayesianGaussianMixture",
    "BernoulliMixture",
    "GaussianComponents",
    "GaussianMixture",
    "Mixture",
    "MixtureDistribution",
    "MixtureOfBernoullis",
    "Posterior",
]
