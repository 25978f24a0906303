"""p(x | z): one file per likelihood, and the names under which estimators know them."""

from minivae.distributions.likelihoods.base import Likelihood
from minivae.distributions.likelihoods.binomial import Bernoulli, Binomial
from minivae.distributions.likelihoods.categorical import CategoricalLikelihood
from minivae.distributions.likelihoods.continuous_bernoulli import ContinuousBernoulli
from minivae.distributions.likelihoods.gaussian import Gaussian
from minivae.distributions.likelihoods.masked import Masked
from minivae.distributions.likelihoods.poisson import Poisson

__all__ = [
    "LIKELIHOODS", "Bernoulli", "Binomial", "CategoricalLikelihood", "ContinuousBernoulli",
    "Gaussian", "Likelihood", "Masked", "Poisson",
]  # fmt: skip

LIKELIHOODS: dict[str, type[Likelihood]] = {
    kind.name: kind
    for kind in (
        Bernoulli, Binomial, ContinuousBernoulli, Gaussian, Poisson, CategoricalLikelihood,
    )
}  # fmt: skip
