"""Looking at data through a fitted VAE, whatever trained it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from minivae.checks import check_data, refuse_masked, require_whole
from minivae.errors import EffectiveSampleSizeWarning, LikelihoodWarning, ShapeError, warn
from minivae.estimator import Transformer
from minivae.inference import estimate_from
from minivae.information import Surgery, elbo_surgery
from minivae.latent_model import LatentModel
from minivae.models.on_dask import row_by_row
from minivae.models.vae.evaluation import EVALUATION, PIXELS, SAMPLES, Evaluation
from minivae.models.vae.hyperparameters import HyperParameters
from minivae.nn import Module
from minivae.objectives import ElboTerms
from minivae.randomness import entropy_from, stream
from minivae.stored import StoredRows, data_at_door
from minivae.tensor import Array, Tensor

__all__ = ["FittedVAE", "like_data"]

# of a method that gives rows of D values, in the order of those of X
like_data = row_by_row(
    fitted="model_",
    columns=lambda vae: vae.n_features_in_,
    dtype=lambda vae: vae._settings_.dtype,
    numbered=True,
)


class _State:
    """The types of what a fit leaves; not of the estimator, whose annotations are its settings."""

    encoder_: Any
    model_: LatentModel
    history_: dict[str, list[float]]
    n_features_in_: int
    _settings_: SimpleNamespace  # the hyper-parameters as they were when `fit` was called
    classes_: Array | None  # of a model given classes
    _condition_width_: int | None  # how many columns a condition has, where there is one
    _entropy_: int  # what all random streams are drawn from
    _sampling_: np.random.Generator


class FittedVAE(HyperParameters, Transformer, _State):
    """What a VAE can do once it is fitted; none of it touches the training's random streams."""

    _first_row = 0
    """The number of the first row of X among all, where it is a block of them."""

    decoder_ = property(lambda self: self._fitted_model("decoder_").decoder, doc="z to features.")
    likelihood_ = property(lambda self: self._fitted_model("likelihood_").likelihood, doc="p(x|z).")
    prior_ = property(lambda self: self._fitted_model("prior_").prior, doc="p(z).")

    def _fitted_model(self, name: str) -> LatentModel:
        if "model_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit or load")
        return self.model_

    # ---- parameters ----

    def _networks(self, operation: str) -> Module:
        """All that may be learnt, in reading order: phi of the encoder, theta of the model."""
        self._require_fitted(operation, "model_")
        networks, model = Module(), self.model_
        vars(networks).update(
            encoder=self.encoder_, decoder=model.decoder, likelihood=model.likelihood,
            prior=model.prior,
        )  # fmt: skip
        return networks

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """All parameters with their names, in reading order."""
        return list(self._networks("named_parameters").named_parameters())

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters' values by name, in reading order."""
        return self._networks("state_dict").state_dict()

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take all parameters' values from ``state``.

        Raises
        ------
        ShapeError
            If names or shapes differ; nothing is changed then.
        """
        self._networks("load_state_dict").load_state_dict(state)

    # ---- looking at data through the model ----

    def _encode(self, x: Any, c: Any = None) -> Any:
        """q(z | x) of data as the likelihood takes them, Eq. VAE.3."""
        seen = self.likelihood_.encoder_input(x)
        return self.encoder_(seen) if c is None else self.encoder_(seen, c)

    def _evaluation(self) -> Evaluation:
        settings = self._settings_
        K, components = settings.latent_dim, getattr(self.prior_, "n_components", 1)
        D = self.n_features_in_ * max(self.likelihood_.outputs(), default=1)
        return Evaluation(
            self.model_, self._encode, latent_dim=K, dtype=settings.dtype, entropy=self._entropy_,
            widest=max(D, components * K, *settings.hidden), first=self._first_row,
        )  # fmt: skip

    def _checked(self, X: Any, operation: str) -> Any:
        """Data of the right width inside the likelihood's support, as the likelihood takes them."""
        self._require_fitted(operation, "model_")
        self._check_columns(X, operation)
        missing = "refit" if self._settings_.missing == "refuse" else self._settings_.missing
        return self._as_taken(
            data_at_door(
                X, operation, dtype=self._settings_.dtype, n_features=self.n_features_in_,
                check=self.likelihood_.check, missing=missing,
            )
        )  # fmt: skip

    def _as_taken(self, X: Any) -> Any:
        """What the likelihood makes of the data, in memory or on disk; the same in each call."""
        take, pixels = self.likelihood_.as_taken, partial(stream, self._entropy_, PIXELS)
        if isinstance(X, StoredRows):
            return X.taken(take, pixels)
        rng, left = pixels(), self._first_row if self.likelihood_.drawn_afresh else 0
        while left:  # for the rows before, any data draw as much
            left -= len(take(X[:left], rng))
        return take(X, rng)

    def _check_eps(self, eps: Any, n: int, operation: str) -> Array | None:
        if eps is None:
            return None
        refuse_masked(eps, f"{operation}: eps")
        try:
            noise: Array = np.asarray(eps, dtype=self._settings_.dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{operation}: eps is not an array of numbers: {error}") from error
        K = self._settings_.latent_dim
        if noise.ndim != 3 or noise.shape[1:] != (n, K) or len(noise) < 1:
            raise ShapeError(
                f"{operation}: eps has shape {noise.shape}; for {n} data it must be "
                f"(S, {n}, {K}), S samples for each"
            )
        if not np.isfinite(noise).all():
            raise ValueError(f"{operation}: eps holds NaN or infinity; it must be normal noise")
        return noise

    def elbo_terms(self, X: Any, eps: Any = None) -> ElboTerms:
        """The ELBO's two terms for each datum, in nats, Eq. ELBO.4.

        Parameters
        ----------
        X
            Data of shape ``(N, D)``.
        eps
            Standard normal noise of shape ``(S, N, K)``; by default ``n_samples`` draws that are
            the same in every call.

        Warns
        -----
        LikelihoodWarning
            If it is not a bound on a likelihood (``grey="cross-entropy"``), or not finite.
        """
        return self._elbo_terms(X, eps, "elbo_terms")

    @row_by_row(fitted="model_", dtype=lambda vae: vae._settings_.dtype, numbered=True)
    def elbo(self, X: Any, eps: Any = None) -> Array:
        """The evidence lower bound of each datum, in nats, of shape ``(N,)``, Eq. ELBO.4.

        It is reconstruction - KL of :meth:`elbo_terms`, which says what ``eps`` is.
        """
        elbo: Array = self._elbo_terms(X, eps, "elbo").elbo
        return elbo

    def score(self, X: Any, y: Any = None) -> float:
        """The mean ELBO, in nats per datum."""
        return float(self._elbo_terms(X, None, "score").elbo.mean(dtype=np.float64))

    def _elbo_terms(
        self, X: Any, eps: Any, operation: str, C: Array | None = None
    ) -> ElboTerms:
        X = self._checked(X, operation)
        eps = self._check_eps(eps, len(X), operation)
        if not self.likelihood_.is_density:
            warn(
                f"{operation}: with grey='cross-entropy' this is not a bound on a log-likelihood, "
                "for the Bernoulli density does not integrate to 1 over grey values; "
                "likelihood='continuous-bernoulli' is one that does",
                LikelihoodWarning,
            )
        self.check_params(("n_samples", "kl"))
        terms = self._evaluation().elbo_terms(X, self.n_samples, self.kl, eps, C)
        _are_finite(terms.elbo, f"{operation}: the ELBO")
        return terms

    @row_by_row(fitted="model_", dtype=lambda vae: vae._settings_.dtype, numbered=True)
    def log_likelihood(
        self,
        X: Any,
        n_samples: int = 1000,
        return_ess: bool = False,
        eps: Any = None,
        proposal: str = "laplace",
    ) -> Array | tuple[Array, Array]:
        """An estimate of log p(x) for each datum by importance sampling, in nats, Eq. IWAE.2.

        In expectation it lies below log p(x), and rises to it with ``n_samples``.

        Parameters
        ----------
        X
            Data of shape ``(N, D)``.
        n_samples
            S, how many z are drawn for each datum.
        return_ess
            Whether to return the effective sample sizes as well, of shape ``(N,)``, between 1 and
            S (Eq. IWAE.3).
        eps
            The noise of ``proposal="encoder"``, of shape ``(S, N, K)``, instead of ``n_samples``
            draws.
        proposal
            Where z is drawn from: ``"encoder"`` is q(z | x), the bound of Burda et al. (2016),
            often far too low; ``"laplace"`` looks for the peaks of the posterior p(z | x) first
            (``minivae.inference.laplace``), at the cost of one or two thousand more samples.

        Raises
        ------
        ValueError
            If the model has no likelihood (``grey="cross-entropy"``).

        Warns
        -----
        EffectiveSampleSizeWarning
            If some estimate rests on fewer than 10 effective samples.
        LikelihoodWarning
            If some estimate is not finite.
        """
        return self._log_likelihood(X, n_samples, return_ess, eps, proposal)

    def _log_likelihood(
        self,
        X: Any,
        n_samples: int,
        return_ess: bool,
        eps: Any,
        proposal: str,
        C: Array | None = None,
    ) -> Array | tuple[Array, Array]:
        require_whole("log_likelihood", "n_samples", n_samples, least=1)
        if proposal not in ("laplace", "encoder"):
            raise ValueError(
                f"log_likelihood: proposal={proposal!r} is unknown; use 'laplace' or 'encoder'"
            )
        X = self._checked(X, "log_likelihood")
        eps = self._check_eps(eps, len(X), "log_likelihood")
        if not self.likelihood_.is_density:
            raise ValueError(
                "log_likelihood: with grey='cross-entropy' the model has no likelihood of grey "
                "pixels; fit with likelihood='continuous-bernoulli', or with grey='threshold' or "
                "'sample'"
            )
        S, evaluation = n_samples if eps is None else len(eps), self._evaluation()
        if eps is not None or proposal == "encoder":
            weighed = evaluation.weights_from_encoder(X, S, eps, C)
        else:
            weighed = evaluation.weights_from_peaks(X, S, C)
        log_p, ess = (np.empty(len(X), self._settings_.dtype) for _ in range(2))
        for part, log_weights in weighed:
            log_p[part], _, ess[part] = estimate_from(log_weights)
        few = ~(ess >= min(10.0, 0.5 * S)) & _are_finite(log_p, "log_likelihood: log p(x)")
        if few.any():
            warn(
                f"log_likelihood: {few.sum()} of {len(X)} estimates rest on fewer than 10 "
                f"effective samples (the least on {ess[few].min():.1f} of {S}) and are likely too "
                "low; raise n_samples",
                EffectiveSampleSizeWarning,
            )
        return (log_p, ess) if return_ess else log_p

    def posterior(self, X: Any) -> Any:
        """q(z | x) for each datum, with arrays ``mu`` and ``log_var`` of shape ``(N, K)``.

        Eq. VAE.3. Its ``sample(random_state)`` draws one z for each datum: together, draws from the
        aggregate posterior.
        """
        X = self._checked(X, "posterior")
        return self._evaluation().posterior(X)

    @row_by_row(
        fitted="model_",
        columns=lambda vae: vae._settings_.latent_dim,
        dtype=lambda vae: vae._settings_.dtype,
        numbered=True,
    )
    def transform(self, X: Any) -> Any:
        """The posterior means, of shape ``(N, K)``, as an array or as :meth:`set_output` says."""
        return self._dressed(self._codes(X, "transform"), X)

    def _n_features_out(self) -> int:
        return int(self._settings_.latent_dim)

    def _codes(self, X: Any, operation: str, C: Array | None = None) -> Array:
        X = self._checked(X, operation)
        mean, _ = self._evaluation().posterior(X, C).moments()
        codes: Array = mean
        return codes

    def active_units(self, X: Any, threshold: float = 0.01) -> Array:
        """Which latent dimensions are in use: Var_x(E[z_k | x]) > threshold, Eq. VAE.6.

        Booleans of shape ``(K,)``, for data ``(N, D)``. Burda et al. (2016).
        """
        active: Array = self._codes(X, "active_units").var(axis=0, dtype=np.float64) > threshold
        return active

    def surgery(self, X: Any, n_samples: int = 1) -> Surgery:
        """The mean KL in two parts: what codes tell about data, and the prior's cost, Eq. SURG.2.

        In nats per datum, with n_samples z for each of the N data, the same in each call; it takes
        N^2 densities for each.
        """
        return self._surgery(X, n_samples)

    def _surgery(self, X: Any, n_samples: int, C: Array | None = None) -> Surgery:
        require_whole("surgery", "n_samples", n_samples, least=1)
        q = self._evaluation().posterior(self._checked(X, "surgery"), C)
        z = q.rsample(q.noise(stream(self._entropy_, EVALUATION), n_samples))
        return elbo_surgery(q, self.prior_, np.asarray(z))

    def decode(self, z: Any) -> Array:
        """E[x | z] in the data's units, of shape ``(n, D)``, for z of shape ``(n, K)``."""
        return self._decode(self._checked_codes(z, "decode"))

    def _checked_codes(self, z: Any, operation: str) -> Array:
        self._require_fitted(operation, "model_")
        K, dtype = self._settings_.latent_dim, self._settings_.dtype
        return check_data(z, operation, dtype=dtype, n_features=K, name="z")

    def _decode(self, z: Array, C: Array | None = None) -> Array:
        return self._evaluation().decode(z, self.n_features_in_, C)

    @like_data
    def reconstruct(self, X: Any) -> Array:
        """E[x | z] at the posterior mean of each datum, of shape ``(N, D)``."""
        return self._decode(self._codes(X, "reconstruct"))

    @like_data
    def impute(self, X: Any, n_samples: int = 100) -> Array:
        """The data, each missing value replaced by an estimate of E[x_m | x_o], Eq. MISS.8.

        Draws of z from q(z | x_o) are weighted as in :meth:`log_likelihood`, and what they decode
        to is averaged. With ``missing="refuse"`` there is nothing to replace.

        Parameters
        ----------
        X
            Data of shape ``(N, D)``, in which NaN is missing.
        n_samples
            How many z are drawn for each datum.
        """
        return self._impute(X, n_samples, None)

    def _impute(self, X: Any, n_samples: int, C: Array | None) -> Array:
        require_whole("impute", "n_samples", n_samples, least=1)
        X = self._checked(X, "impute")
        means = self._evaluation().posterior_means(X, n_samples, C)
        X = X[:] if isinstance(X, StoredRows) else X
        filled: Array = np.where(np.isnan(X), means, X)
        return filled

    def interpolate(self, a: Any, b: Any, n: int = 10) -> Array:
        """E[x | z] at ``n`` points on the line between the codes of two data, ``(n, D)``."""
        require_whole("interpolate", "n", n, least=2)
        start, end = (self._codes(np.reshape(x, (1, -1)), "interpolate") for x in (a, b))
        t = np.linspace(0.0, 1.0, n, dtype=start.dtype)[:, None]
        return self._decode((1 - t) * start + t * end)

    def sample(self, n: int = 1, random_state: Any = None) -> Array:
        """``n`` draws of x, of shape ``(n, D)``: z from the prior, x from p(x | z), Eq. VAE.2.

        Use :meth:`decode` for noiseless pictures.

        Parameters
        ----------
        n
            How many.
        random_state
            An int, a ``RandomState`` or a ``Generator``; by default each call goes on in the
            model's own random stream.
        """
        self._require_fitted("sample", "model_")
        return self._sample(n, random_state)

    def _sample(self, n: int, random_state: Any, C: Array | None = None) -> Array:
        require_whole("sample", "n", n, least=1)
        rng = self._sampling_
        if random_state is not None:
            rng = stream(entropy_from(random_state), SAMPLES)
        return self.model_.sample(n, rng, C)


def _are_finite(found: Array, what: str) -> Array:
    """Which of the data have a finite value; warns of the others."""
    finite: Array = np.isfinite(found)
    if not finite.all():
        i = int(np.argmin(finite))
        warn(
            f"{what} of {(~finite).sum()} of {len(found)} data is not finite (that of X[{i}] is "
            f"{found[i]}); they are too far from the data of fit, or training has diverged",
            LikelihoodWarning,
        )
    return finite
