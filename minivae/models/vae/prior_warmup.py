"""A mixture prior is held at N(0, I) for some epochs, and then started at the data's codes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minivae.distributions import DiagonalGaussian, MixturePrior
from minivae.errors import ConvergenceWarning
from minivae.models.mixture import GaussianMixture
from minivae.training import Hook, Run

__all__ = ["PriorWarmup", "begin_at_codes", "prior_of"]


def prior_of(mixture: GaussianMixture, dtype: Any) -> MixturePrior:
    """The density of a fitted mixture, of whatever covariance type, as a prior."""
    fitted = mixture.distribution_
    return MixturePrior(fitted.weights, fitted.means, fitted.factors, dtype)


def begin_at_codes(prior: MixturePrior, q: DiagonalGaussian, random_state: Any) -> None:
    """Begin at the mixture that EM finds in the means of q(z | x) over the data.

    Its covariances, widened by the variances of q, are those of the aggregate posterior: a latent
    dimension that is not in use has no spread of means, but q's variance.
    """
    mu, variances = q.mu.astype(np.float64), np.exp(q.log_var, dtype=np.float64)
    em = GaussianMixture(len(prior.means.data), random_state=random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not be an optimum
        r = em.fit(mu).predict_proba(mu)
    counts = np.maximum(r.sum(axis=0), np.finfo(float).tiny)[:, None]
    widths = (r.T @ variances / counts)[..., None] * np.eye(mu.shape[1])
    factors = np.linalg.cholesky(em.covariances_ + widths)
    start = MixturePrior(em.weights_, em.means_, factors, prior.means.dtype)
    prior.load_state_dict(start.state_dict())


class PriorWarmup(Hook):
    """Hold a mixture prior at N(0, I) for some epochs, and then start it at the codes.

    Parameters
    ----------
    prior
        The prior, which is N(0, I) until then.
    epochs
        For how many epochs.
    codes
        q(z | x) of the data that it begins at.
    rng
        The generator that EM's start is drawn from.
    """

    def __init__(
        self,
        prior: MixturePrior,
        epochs: int,
        codes: Callable[[], Any],
        rng: np.random.Generator,
    ) -> None:
        self.prior, self.epochs, self.codes, self.rng = prior, epochs, codes, rng

    def step_begins(self, run: Run, progress: float) -> None:
        """Begin with the first step after the warm-up."""
        if progress == self.epochs:
            begin_at_codes(self.prior, self.codes(), self.rng)
            # The loss is another one from here on, of which Adam's averages know nothing.
            run.restart_optimisers()

    def gradients_ready(self, run: Run, progress: float) -> None:
        """During the warm-up, leave the prior where it is."""
        if progress < self.epochs:
            for p in self.prior.parameters():
                p.grad = None
