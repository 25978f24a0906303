"""Distributions as objects: posteriors q(z | x), priors p(z), and likelihoods p(x | z).

- `base`: what a distribution over z can do;
- `gaussian`, `categorical`, `flow`, `mixture_prior`, `vamp`, `implicit`: the families;
- `mixture`: a mixture of Gaussians as a value, which EM fits;
- `likelihoods`: modules that turn a decoder's output into p(x | z).

Everything is in nats, with every constant.
"""

from minivae.distributions.base import Distribution
from minivae.distributions.categorical import Categorical
from minivae.distributions.flow import AffineCoupling, Flow
from minivae.distributions.gaussian import (
    DiagonalGaussian,
    FullGaussian,
    StandardNormal,
    gaussian_entropy,
    kl_divergence,
    standard_normal_log_prob,
)
from minivae.distributions.implicit import Implicit
from minivae.distributions.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Binomial,
    CategoricalLikelihood,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    Masked,
    Poisson,
)
from minivae.distributions.mixture import MixtureOfGaussians
from minivae.distributions.mixture_prior import MixturePrior, mixture_log_joint, mixture_log_prob
from minivae.distributions.vamp import VampPrior

__all__ = [
    "LIKELIHOODS", "AffineCoupling", "Bernoulli", "Binomial", "Categorical",
    "CategoricalLikelihood", "ContinuousBernoulli", "DiagonalGaussian", "Distribution", "Flow",
    "FullGaussian", "Gaussian", "Implicit", "Likelihood", "Masked", "MixtureOfGaussians",
    "MixturePrior", "Poisson", "StandardNormal", "VampPrior", "gaussian_entropy", "kl_divergence",
    "mixture_log_joint", "mixture_log_prob", "standard_normal_log_prob",
]  # fmt: skip
