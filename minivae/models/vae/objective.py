"""The loss of a minibatch, and what the history keeps of it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from minivae import ops
from minivae.latent_model import LatentModel
from minivae.objectives import (
    at_best_scale,
    doubly_reparameterised_bound,
    elbo_terms,
    importance_weighted_bound,
    sample_terms,
    score_function_elbo,
    sticking_the_landing,
)
from minivae.rates import free_bits
from minivae.tensor import Tensor, wrap
from minivae.training import Batch, Metrics

__all__ = ["SURROGATES", "Objective"]

SURROGATES: dict[str, Callable[..., Any]] = {
    "sticking-the-landing": sticking_the_landing,
    "score-function": score_function_elbo,
    "doubly-reparameterised": doubly_reparameterised_bound,
}
"""Functions whose gradient is another estimate of a bound's gradient than the pathwise one."""


class Objective:
    """beta KL - reconstruction, averaged over a minibatch, Eq. VAE.4; or the tighter bound's.

    Parameters
    ----------
    settings
        ``n_samples``, ``beta``, ``beta_warmup``, ``kl`` and ``objective`` of a VAE.
    model, encode
        p(x, z), and the function from data (and conditions) to q(z | x).
    """

    def __init__(
        self, settings: SimpleNamespace, model: LatentModel, encode: Callable[..., Any]
    ) -> None:
        self.settings, self.model, self.encode = settings, model.in_training(), encode

    def __call__(
        self, batch: Batch, rng: np.random.Generator, progress: float
    ) -> tuple[Tensor, Metrics]:
        """The loss of a batch, and means over it in nats per datum."""
        settings, (taken, *conditions) = self.settings, batch
        c = conditions[0] if conditions else None
        if self.model.likelihood.drawn_afresh:
            taken = self.model.likelihood.as_taken(taken, rng)
        q = self.encode(taken, c)
        x = wrap(taken)
        eps = q.noise(rng, settings.n_samples)
        beta = settings.beta
        if progress < settings.beta_warmup:
            beta *= progress / settings.beta_warmup
        if settings.objective == "importance-weighted":
            samples = sample_terms(self.model, q, x, eps, c)
            terms = samples.means
            log_weights = samples.log_likelihood - beta * samples.log_ratio
            loss = -ops.mean(importance_weighted_bound(log_weights))
        else:
            if settings.kl == "analytic":
                terms = elbo_terms(self.model, q, x, eps, c)
            else:
                terms = sample_terms(self.model, q, x, eps, c).means
            terms = at_best_scale(self.model, terms, x)
            if settings.free_bits:
                each = q.kl_to(self.model.prior_given(c), per_dimension=True)
                cost = beta * free_bits(each, settings.free_bits)
            else:
                cost = terms.kl if beta == 1 else beta * terms.kl
            loss = ops.mean(cost - terms.reconstruction)
        reconstruction, kl = (ops.mean(t.data) for t in terms)
        measured = {
            "loss": loss.item(), "elbo": float(np.subtract(reconstruction, kl, dtype=np.float64)),
            "reconstruction": float(reconstruction), "kl": float(kl),
        }  # fmt: skip
        if settings.gradient != "pathwise":
            loss = -ops.mean(SURROGATES[settings.gradient](self.model, q, x, eps, c))
        return loss, measured
