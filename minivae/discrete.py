"""The ELBO of a z that is one of a few classes: summed over all of them, or relaxed."""

from __future__ import annotations

from typing import Any

from minivae import ops
from minivae.distributions import Categorical
from minivae.latent_model import LatentModel
from minivae.objectives import ElboTerms, relaxed_sample
from minivae.tensor import Array

__all__ = ["enumerated_terms", "relaxed_terms"]


def enumerated_terms(model: LatentModel, q: Categorical, x: Any, c: Any = None) -> ElboTerms:
    """The ELBO's two terms, summed over z and so without noise, each ``(N,)``, Eq. DISC.1.

    It takes one pass through the decoder for each class. If q is the posterior, the ELBO is
    log p(x), Eq. GMM.12.
    """
    each = model.log_prob_given(x, q.support(), c)  # (C, N)
    weights = ops.exp(q.log_probabilities())
    reconstruction = ops.sum(weights * ops.swapaxes(each, 0, 1), -1)
    return ElboTerms(reconstruction, q.kl_to(model.prior_given(c)))


def relaxed_terms(
    model: LatentModel,
    q: Categorical,
    x: Any,
    eps: Array,
    temperature: float,
    straight: bool = False,
    c: Any = None,
) -> ElboTerms:
    """The ELBO's two terms for classes made soft by Gumbel noise ``(S, N, C)``, Eq. DISC.2.

    It takes one pass per sample, whatever the number of classes. The decoder sees mixtures of
    classes that the model does not have, so the value is not a bound and the gradient is biased.
    With ``straight`` the value is an unbiased estimate of Eq. DISC.1, but the gradient is still
    biased.
    Jang, Gu and Poole (2017).
    """
    z = relaxed_sample(q, eps, temperature, straight)
    return ElboTerms(model.mean_log_prob_given(x, z, c), q.kl_to(model.prior_given(c)))
