"""What a latent-variable model is trained on: the ELBO, tighter bounds, minibatch estimates.

Throughout, ``model`` is p(x, z given c), a :class:`~minivae.latent_model.LatentModel`; ``q`` is a
distribution over z for each of N data; ``x`` has shape ``(N, D)``; and ``eps`` is the noise of q,
of shape ``(S, N, K)``: S samples for each datum. All results are in nats per datum.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minivae import ops
from minivae.distributions import Categorical, Distribution
from minivae.latent_model import LatentModel
from minivae.tensor import Array, values

__all__ = [
    "ElboTerms",
    "SampleTerms",
    "at_best_scale",
    "categorical_log_prob",
    "doubly_reparameterised_bound",
    "effective_sample_size",
    "elbo_terms",
    "expected_log_joint",
    "importance_weighted_bound",
    "minibatch_estimate",
    "relaxed_sample",
    "sample_terms",
    "score_function_elbo",
    "sticking_the_landing",
]


class ElboTerms(NamedTuple):
    """The two terms of the ELBO, each of shape ``(N,)`` in nats per datum."""

    reconstruction: Any
    kl: Any

    @property
    def elbo(self) -> Any:
        """reconstruction - KL, Eq. ELBO.4."""
        return self.reconstruction - self.kl


class SampleTerms(NamedTuple):
    """Both terms of the ELBO at each sample of z, of shape ``(S, N)`` in nats per datum."""

    log_likelihood: Any  # log p(x | z)
    log_ratio: Any  # log q(z | x) - log p(z)

    @property
    def log_weights(self) -> Any:
        """log w = log p(x | z) + log p(z) - log q(z | x), Eq. IWAE.1."""
        return self.log_likelihood - self.log_ratio

    @property
    def means(self) -> ElboTerms:
        """The Monte-Carlo ELBO's two terms, Eq. ELBO.5."""
        return ElboTerms(ops.mean(self.log_likelihood, 0), ops.mean(self.log_ratio, 0))


def elbo_terms(
    model: LatentModel, q: Distribution, x: Any, eps: Array, c: Any = None
) -> ElboTerms:
    """The evidence lower bound E_q[log p(x | z)] - KL(q(z | x) || p(z)), Eq. ELBO.4.

    The KL is in closed form, if q and the prior have one. Its twin with a Monte-Carlo KL is
    ``sample_terms(...).means``, Eq. ELBO.5; for the joint form, the mean of log p(x, z) -
    log q(z | x), average ``sample_terms(...).log_weights``, Eq. ELBO.2. Kingma and Welling (2014).
    """
    z = q.rsample(eps)
    reconstruction = model.mean_log_prob_given(x, z, c)
    return ElboTerms(reconstruction, q.kl_to(model.prior_given(c), z))


def at_best_scale(model: LatentModel, terms: ElboTerms, x: Any) -> ElboTerms:
    """The terms of a training batch, at the likelihood's best scale if it asks for that."""
    return ElboTerms(model.likelihood.at_best_scale(terms.reconstruction, x), terms.kl)


def sample_terms(
    model: LatentModel, q: Distribution, x: Any, eps: Array, c: Any = None
) -> SampleTerms:
    """log p(x | z) and log q(z | x) - log p(z) at S samples of z for each datum, ``(S, N)``."""
    z, log_q = q.rsample_and_log_prob(eps)
    log_prior = model.prior_given(c).log_prob(z)
    return SampleTerms(model.log_prob_given(x, z, c), log_q - log_prior)


def importance_weighted_bound(log_weights: Any) -> Any:
    """log (1/S sum_s w_s), from log-weights of shape ``(S, N)``, Eq. IWAE.2.

    In expectation it lies between the ELBO (S = 1) and log p(x), and rises with S. Burda et al.
    (2016).
    """
    return ops.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


# ---- gradient estimators: functions of the samples whose gradient is the estimate ----


def score_function_elbo(
    model: LatentModel,
    q: Distribution,
    x: Any,
    eps: Array,
    c: Any = None,
    baseline: str | Array | None = "leave-one-out",
) -> Any:
    """A surrogate of the ELBO, ``(N,)``, whose gradient is the score-function estimate, Eq. GRAD.2.

    It needs no derivative of log p(x, z) in z, so z may be discrete. A baseline can reduce the
    variance and leaves the mean unchanged, provided it does not depend on the sample it is used
    for. Williams (1992); Mnih and Rezende (2016).

    Parameters
    ----------
    model, q, x, eps, c
        As everywhere here; z is drawn from q with the noise and then held fixed.
    baseline
        ``"leave-one-out"``, the mean of the other samples' values, which needs S >= 2; an
        array ``(N,)`` of constants, or None.

    Raises
    ------
    ValueError
        If the baseline is unknown, or is "leave-one-out" with a single sample.
    """
    z = q.draw(eps, np.random.default_rng(0))
    log_q, log_joint = q.log_prob(z), model.log_joint(x, z, c)
    gain = values(log_joint) - values(log_q)
    S = len(gain)
    if isinstance(baseline, str):
        if baseline != "leave-one-out" or S < 2:
            raise ValueError(
                f"score_function_elbo: baseline={baseline!r} with S={S}; it must be "
                "'leave-one-out' with S from 2, an array (N,), or None"
            )
        gain = gain - (gain.sum(axis=0) - gain) / (S - 1)
    elif baseline is not None:
        gain = gain - baseline
    return ops.mean(gain * log_q + log_joint, 0)


def sticking_the_landing(
    model: LatentModel, q: Distribution, x: Any, eps: Array, c: Any = None
) -> Any:
    """A surrogate of the ELBO, ``(N,)``: the pathwise gradient without the score, Eq. GRAD.3.

    The score of q has mean 0. Without it the estimate has no variance if q is the posterior.
    Roeder, Wu and Duvenaud (2017).
    """
    z = q.rsample(eps)
    return ops.mean(model.log_joint(x, z, c) - q.detach().log_prob(z), 0)


def doubly_reparameterised_bound(
    model: LatentModel, q: Distribution, x: Any, eps: Array, c: Any = None
) -> Any:
    """A surrogate of the importance-weighted bound, ``(N,)``, Eq. GRAD.4.

    Its gradient in q's parameters weights each path by the square of its normalised weight, so it
    does not drown in noise as S grows. The gradient in the model's parameters is the usual one.
    Tucker et al. (2019).
    """
    z = q.rsample(eps)
    log_w = model.log_joint(x, z, c) - q.detach().log_prob(z)
    w = ops.softmax(values(log_w), 0)
    # log_w brings the model's parameters with weight w^2, and they are to have w
    rest = (w - np.square(w)) * model.log_joint(x, values(z), c)
    return ops.sum(np.square(w) * log_w + rest, 0)


def relaxed_sample(q: Categorical, eps: Array, temperature: float, straight: bool = False) -> Any:
    """softmax((logits + Gumbel noise) / temperature), a class made soft, Eq. GRAD.5.

    Its gradient is biased at any temperature, and its variance grows as the temperature falls. With
    ``straight`` the value is the one-hot class and the gradient that of the soft one. Jang, Gu and
    Poole (2017); Maddison, Mnih and Teh (2017).

    Raises
    ------
    ValueError
        If the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"relaxed_sample: temperature={temperature} must be positive")
    soft = ops.softmax((q.logits + eps) / temperature, -1)
    if not straight:
        return soft
    hard = q.draw(eps, np.random.default_rng(0))
    return soft + (hard - values(soft))


def effective_sample_size(log_weights: Array) -> Array:
    """(sum_s w_s)^2 / sum_s w_s^2 for each datum, from log-weights ``(S, N)``, Eq. IWAE.3.

    Between 1 (one sample carries the whole weight) and S (all weigh the same). Kong (1992).
    """
    w: Array = ops.softmax(log_weights, 0)
    sizes: Array = 1.0 / np.square(w).sum(axis=0)
    return sizes


def expected_log_joint(log_joint: Any, responsibilities: Array) -> Any:
    """sum_k r_nk log p(x_n, z_n = k), the expected complete-data log-likelihood of each datum.

    Its gradient, with the responsibilities of the same parameters held, is the gradient of
    log p(x_n): Fisher's identity, Eq. GMM.10. So the M-step's objective leads uphill, and where EM
    stands still the likelihood is level. Dempster, Laird and Rubin (1977).

    Parameters
    ----------
    log_joint
        log p(x_n, z_n = k), of shape ``(N, K)``.
    responsibilities
        p(z_n = k | x_n), of shape ``(N, K)``; numbers that no gradient passes through.
    """
    return ops.sum(responsibilities * log_joint, -1)


def categorical_log_prob(model: LatentModel, x: Any, c: Any = None) -> Any:
    """log p(x) = log sum_k pi_k p(x | z = k), one number per row: z summed out, Eq. GMM.12.

    Parameters
    ----------
    model
        With a :class:`~minivae.distributions.Categorical` prior. With a Gaussian likelihood it is a
        mixture of K Gaussians with diagonal covariances.
    x
        Data of shape ``(N, D)``.
    c
        Conditions, or None.

    Raises
    ------
    TypeError
        If the prior is not categorical.
    """
    prior = model.prior_given(c)
    if not isinstance(prior, Categorical):
        raise TypeError(
            f"categorical_log_prob: the prior is a {type(prior).__name__}; z can be summed out if "
            "it is Categorical"
        )
    return ops.logsumexp(model.log_joint(x, prior.support(x.shape[0]), c), 0)


def minibatch_estimate(terms: Any, n_total: int) -> Any:
    """(N / M) sum of M terms: an unbiased estimate of the sum over all N data, Eq. MB.2.

    Parameters
    ----------
    terms
        One number for each datum of a minibatch drawn uniformly, of shape ``(M,)``.
    n_total
        N, the number of data that the minibatch was drawn from.
    """
    return ops.sum(terms) * (n_total / terms.shape[0])
