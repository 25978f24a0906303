"""A variational autoencoder whose code is one of K words, which is summed over or made soft.

If the decoder is a table, hidden=(), the model is a mixture; with networks, its components share
their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from minivae import ops
from minivae.discrete import enumerated_terms, relaxed_terms
from minivae.distributions import Categorical, Distribution
from minivae.distributions.base import numbers
from minivae.estimator import Rule, boolean, number, parameter
from minivae.information import Surgery
from minivae.models.on_dask import row_by_row
from minivae.models.vae.evaluation import Evaluation
from minivae.models.vae.fitted import like_data
from minivae.models.vae.model import VAE
from minivae.models.vae.networks import Heads
from minivae.nn import Module
from minivae.objectives import ElboTerms, at_best_scale, categorical_log_prob
from minivae.tensor import Array, Tensor, no_grad, values
from minivae.training import Batch, Loss, Metrics

__all__ = ["CategoricalEncoder", "CategoricalPrior", "CategoricalVAE"]

FIXED = {"kl": "analytic", "objective": "elbo", "gradient": "pathwise", "free_bits": 0.0}
ABOVE_ZERO: Rule = number(above=True).or_none()


class CategoricalPrior(Module, Categorical):
    """p(z = k), learnt, of K classes that are equally frequent at first."""

    def __init__(self, K: int, dtype: Any) -> None:
        self.logits = Tensor(np.zeros(K), requires_grad=True, dtype=dtype)


class CategoricalEncoder(Heads):
    """x to q(z | x) over K classes: dense layers and one head that starts at zero."""

    names = ("logits",)

    def __call__(self, x: Any, c: Any = None) -> Categorical:
        """q(z | x) for x ``(N, D)`` as the encoder sees it."""
        return Categorical(*self.outputs(x, c))


class _Enumeration(Evaluation):
    """Looking at data through a model whose z is summed over; nothing is left to chance."""

    def __init__(self, plain: Evaluation) -> None:
        vars(self).update(vars(plain))

    def elbo_terms(
        self, X: Array, S: int, kl: str, eps: Array | None = None, C: Array | None = None
    ) -> ElboTerms:
        """The ELBO's two terms, Eq. DISC.1."""
        found = [np.empty(len(X), self.dtype) for _ in range(2)]
        for part in self.portions(len(X), self.latent_dim):
            with no_grad():
                terms = enumerated_terms(self.model, self.encode(X[part]), X[part])
            for whole, term in zip(found, terms, strict=True):
                whole[part] = values(term)
        return ElboTerms(*found)

    def log_prob(self, X: Array) -> Array:
        """log p(x), exactly, ``(N,)``."""
        with no_grad():
            portions = [
                values(categorical_log_prob(self.model, X[part]))
                for part in self.portions(len(X), self.latent_dim)
            ]
        return np.concatenate(portions)

    def posterior_means(self, X: Array, S: int, C: Array | None = None) -> Array:
        """E[x | z] averaged over p(z | x), exactly, ``(N, D)``, Eq. MISS.8."""
        means = np.empty(X.shape, self.dtype)
        classes = np.eye(self.latent_dim, dtype=self.dtype)
        decoded = self.model.decode(classes)
        for part in self.portions(len(X), self.latent_dim):
            x = X[part]
            with no_grad():
                log_joint = self.model.log_joint(x, np.repeat(classes[:, None], len(x), axis=1))
            means[part] = numbers(ops.softmax(log_joint, 0)).T @ decoded
        return means


class _Objective:
    """beta KL - reconstruction with z summed over, or relaxed; the history's ELBO is exact."""

    def __init__(self, vae: CategoricalVAE) -> None:
        self.vae, self.settings, self.model = vae, vae._settings_, vae.model_.in_training()

    def __call__(
        self, batch: Batch, rng: np.random.Generator, progress: float
    ) -> tuple[Tensor, Metrics]:
        """The loss of a batch, and means over it in nats per datum."""
        settings, model, (x,) = self.settings, self.model, batch
        if model.likelihood.drawn_afresh:
            x = model.likelihood.as_taken(x, rng)
        q = self.vae._encode(x)
        if settings.temperature is None:
            terms = exact = at_best_scale(model, enumerated_terms(model, q, x), x)
        else:
            eps = q.noise(rng, settings.n_samples)
            how = (settings.temperature, settings.straight_through)
            terms = at_best_scale(model, relaxed_terms(model, q, x, eps, *how), x)
            with no_grad():
                exact = at_best_scale(model, enumerated_terms(model, q, x), x)
        warming = progress < settings.beta_warmup
        beta = settings.beta * (progress / settings.beta_warmup if warming else 1.0)
        loss = ops.mean(beta * terms.kl - terms.reconstruction)
        reconstruction, kl = (float(values(t).mean(dtype=np.float64)) for t in exact)
        return loss, {
            "loss": loss.item(), "elbo": reconstruction - kl, "reconstruction": reconstruction,
            "kl": kl,
        }  # fmt: skip


class CategoricalVAE(VAE):
    """A variational autoencoder whose z is one of ``latent_dim`` classes, a one-hot row.

    The sum over z is exact, and so are ``elbo`` and :meth:`log_likelihood`, however the model was
    trained. p(z) is learnt.

    %parameters%

    Attributes
    ----------
    encoder_, model_, history_, n_features_in_
        As for ``VAE``.

    References
    ----------
    Jang, Gu and Poole (2017); Maddison, Mnih and Teh (2017).
    """

    temperature: float | None = parameter(
        default=None,
        rule=ABOVE_ZERO,
        sentence=(
            "How soft Gumbel noise makes the classes in training (Eq. DISC.2), with one pass "
            "through the decoder instead of K; if left out, z is summed over (Eq. DISC.1)."
        ),
        metavar="T",
    )
    straight_through: bool = parameter(
        default=False,
        rule=boolean(),
        sentence=(
            "With a temperature: whether the decoder sees the hard class, while the gradient is "
            "that of the soft one."
        ),
        metavar="YES|NO",
    )

    _kind = "categorical-vae"
    _encoder_kind = CategoricalEncoder

    def check_params(self, names: Sequence[str] | None = None) -> None:
        """Refuse hyper-parameters that break their rules, or do not go with a z of classes.

        Raises
        ------
        ValueError
            It names the hyper-parameter, its value and what is allowed.
        """
        super().check_params(names)
        for name, only in FIXED.items():
            if getattr(self, name) != only:
                raise ValueError(
                    f"CategoricalVAE: {name}={getattr(self, name)!r} does not go with a z of "
                    f"classes; it must be {only!r}"
                )
        if not (isinstance(self.prior, Categorical) or self.prior == "standard"):
            raise ValueError(
                f"CategoricalVAE: prior={self.prior!r} is over real numbers; 'standard' is a "
                "learnt share of each class, or hand over a Categorical"
            )
        if self.straight_through and self.temperature is None:
            raise ValueError("CategoricalVAE: straight_through=True goes with a temperature")

    def _prior_of(self, settings: SimpleNamespace, seen: int) -> Distribution:
        if settings.prior == "standard":
            return CategoricalPrior(settings.latent_dim, settings.dtype)
        return super()._prior_of(settings, seen)

    def _objective(self, conditions: Sequence[Array]) -> Loss:
        return _Objective(self)

    def _evaluation(self) -> _Enumeration:
        return _Enumeration(super()._evaluation())

    @row_by_row(fitted="model_", dtype=lambda vae: vae._settings_.dtype, numbered=True)
    def log_likelihood(self, X: Any) -> Array:  # type: ignore[override]
        """log p(x) of each datum, exactly, in nats, ``(N,)``, Eq. GMM.12."""
        return self._evaluation().log_prob(self._checked(X, "log_likelihood"))

    def posterior(self, X: Any) -> Any:
        """q(z | x) for each datum, with ``logits`` of shape ``(N, K)``."""
        return super().posterior(X)

    def transform(self, X: Any) -> Any:
        """q(z = k | x), ``(N, K)``."""
        return super().transform(X)

    @like_data
    def reconstruct(self, X: Any) -> Array:
        """E[x | z] averaged over q(z | x), ``(N, D)``: classes are weighted by probability."""
        q = self._codes(X, "reconstruct")
        means: Array = q @ self.decode(np.eye(q.shape[1], dtype=q.dtype))
        return means

    @like_data
    def impute(self, X: Any) -> Array:  # type: ignore[override]
        """The data, each missing value replaced by E[x_m | x_o], exactly, Eq. MISS.8."""
        return self._impute(X, 1, None)

    def surgery(self, X: Any, n_samples: int = 1) -> Surgery:
        """The mean KL in two parts, Eq. SURG.2, exact because z is summed over."""
        p = self._codes(X, "surgery").astype(np.float64)
        aggregate = p.mean(axis=0)
        log_prior = values(self.prior_.log_prob(np.eye(len(aggregate))))
        own = np.asarray(ops.xlogy(p, p)).sum(axis=1).mean()
        entropy = -float(ops.xlogy(aggregate, aggregate).sum())
        return Surgery(float(own + entropy), float(-entropy - aggregate @ log_prior))

    def interpolate(self, a: Any, b: Any, n: int = 10) -> Array:
        """Raise NotImplementedError, because there is nothing between two classes."""
        raise NotImplementedError("interpolate: z is a class, and there is nothing between two")
