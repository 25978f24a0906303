"""What is z given x, and what is log p(x)? Methods for every model: they see only densities.

A method takes log-densities ``(C, n, K) -> (C, n)`` and distributions, and returns a distribution,
draws, or an estimate with its error.

- `importance`: log p(x) by weighted draws; `laplace`: where to draw them from;
- `variational`: the best q of a family for each datum, and mean-field coordinate ascent;
  `variational_em`, of `minivae.alternate`, raises one bound in q and in the model by turns;
- `chains`, `diagnostics`: Metropolis and HMC, and what their draws are worth;
- `slopes`: log p(z) and its gradient, for what asks for them again and again;
- `annealed`: log p(x) by chains from the prior, from below and from above;
- `compare`: all of them on one datum, against the posterior by the trapezoid rule.
"""

from minivae.alternate import variational_em
from minivae.inference.annealed import annealed_importance_sampling
from minivae.inference.chains import Chain, hmc, metropolis
from minivae.inference.compare import Answer, Comparison, compare
from minivae.inference.importance import Estimate, estimate_from, importance_sampling
from minivae.inference.laplace import StudentMixture, laplace_proposal
from minivae.inference.variational import Fit, cavi, fit_posterior

__all__ = [
    "Answer", "Chain", "Comparison", "Estimate", "Fit", "StudentMixture",
    "annealed_importance_sampling", "cavi", "compare", "estimate_from", "fit_posterior", "hmc",
    "importance_sampling", "laplace_proposal", "metropolis", "variational_em",
]  # fmt: skip
