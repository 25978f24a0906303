"""What is z, given x, and what is log p(x)? Answers for every model, because they see none.

A method takes log-densities ``(C, n, K) -> (C, n)`` and distributions, and returns a distribution,
draws, or an estimate with its error.
"""

from minivae.inference.importance import Estimate, estimate_from, importance_sampling
from minivae.inference.laplace import StudentMixture, laplace_proposal

__all__ = [
    "Estimate", "StudentMixture", "estimate_from", "importance_sampling", "laplace_proposal",
]  # fmt: skip
