"""The variational autoencoder: an encoder q(z | x) and a decoder p(x | z), trained on the ELBO.

>>> from minivae import VAE, datasets
>>> digits = datasets.load("optdigits")
>>> X, X_test = digits.model_arrays()
>>> vae = VAE(likelihood="binomial", n_trials=16, hidden=(200, 100), epochs=1, random_state=0)
>>> vae.fit(X).sample(16).shape
(16, 64)
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

from minivae import datasets, ops
from minivae.checkpoint import data_checksum, load_checkpoint, save_checkpoint
from minivae.checks import check_data, is_whole, require_whole
from minivae.distributions import Bernoulli, Gaussian, Likelihood, StandardNormal
from minivae.errors import (
    CheckpointError,
    EffectiveSampleSizeWarning,
    LikelihoodWarning,
    ShapeError,
)
from minivae.estimator import Estimator
from minivae.gmm import GaussianMixture
from minivae.objectives import (
    ElboTerms,
    effective_sample_size,
    elbo_terms,
    importance_weighted_bound,
    sample_terms,
)
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, Tensor, no_grad
from minivae.vae.fitting import (
    EVALUATION,
    PIXELS,
    SAMPLES,
    WEIGHTS,
    Fitting,
    OnEpoch,
    n_held_out,
    over,
    sample_pixels,
    threshold_pixels,
    under,
)
from minivae.vae.hyperparameters import (
    check_evaluation,
    check_hyper_parameters,
    check_mixture,
    make_likelihood,
)
from minivae.vae.networks import Decoder, Encoder, Networks
from minivae.vae.prior import MixturePrior
from minivae.vae.proposal import PEAKS, laplace_proposal

__all__ = ["VAE", "Posterior", "resume"]

Path = str | os.PathLike[str]
NUMBERS_AT_ONCE = 2**21  # in the widest array of an evaluation, which bounds its memory


class Posterior(NamedTuple):
    """q(z | x) = N(mu, exp(log_var)), both of shape ``(N, K)``."""

    mu: Array
    log_var: Array

    def sample(self, random_state: Any = None) -> Array:
        """One draw of z for each datum, ``(N, K)``: together, draws from the aggregate posterior.

        Parameters
        ----------
        random_state
            An int, a ``RandomState``, a ``Generator`` or None.
        """
        eps = stream(entropy_from(random_state), 0).standard_normal(self.mu.shape)
        z: Array = self.mu + np.exp(0.5 * self.log_var) * eps.astype(self.mu.dtype)
        return z


class VAE(Estimator):
    """A variational autoencoder with Gaussian q(z | x), and a prior that is Gaussian or a mixture.

    Hyper-parameters that are changed after ``fit`` count from the next ``fit`` on, but for
    ``n_samples`` and ``kl``, which say how :meth:`elbo` is evaluated as well.

    Parameters
    ----------
    latent_dim
        K, the number of latent dimensions.
    hidden
        The widths of the encoder's hidden layers; the decoder mirrors them.
    activation
        Of the hidden layers: ``"relu"``, ``"tanh"``, ``"softplus"``, ``"sigmoid"`` or
        ``"identity"``.
    likelihood
        ``"bernoulli"`` (pixels 0 or 1), ``"binomial"`` (counts of ``n_trials``),
        ``"continuous-bernoulli"`` (grey values in [0, 1]) or ``"gaussian"``.
    n_trials
        The largest count, for ``"binomial"``.
    sigma
        For ``"gaussian"``: ``"network"`` (a variance for each value), ``"shared"`` (one scale,
        learnt) or a number.
    sigma_floor
        The least scale that can be learnt, in the data's units.
    grey
        What grey pixels mean under ``"bernoulli"``: ``"threshold"`` (on from 1/2), ``"sample"``
        (drawn on with that probability, afresh in each epoch) or ``"cross-entropy"`` (what many
        tutorials do; no likelihood).
    prior
        ``"standard"``, N(0, I), or ``"mixture"``, of Gaussians that are learnt (Eq. PRIOR.1). To
        fit one to a trained model instead, see :meth:`with_prior`.
    prior_components
        C, the number of Gaussians in a mixture.
    prior_warmup
        For how many epochs a mixture is held at N(0, I). Then it begins where EM finds clusters of
        the encoder's means, and is trained along.
    beta
        The weight of the KL in the loss. Higgins et al. (2017).
    beta_warmup
        Over how many epochs the weight rises from 0 to ``beta``.
    n_samples
        S, how many z are drawn for each datum, in each step and by ``elbo``.
    kl
        ``"analytic"``, or ``"monte-carlo"`` from the same samples. To a mixture, only the entropy
        in it is analytic (Eq. PRIOR.2).
    objective
        ``"elbo"``, or ``"importance-weighted"``: the tighter bound of ``n_samples`` samples.
    epochs, batch_size, learning_rate
        Of the training by Adam.
    validation
        The share of the data held out to judge when to stop, such as 0.1; the best epoch's
        parameters are kept.
    patience
        After how many epochs without a better validation ELBO to stop.
    dtype
        ``"float32"`` or ``"float64"``.
    random_state
        An int, a ``RandomState``, a ``Generator`` or None.
    verbose
        Whether to show a progress bar.

    Attributes
    ----------
    encoder_, decoder_
        The networks.
    likelihood_, prior_
        p(x | z) and p(z). A mixture's ``prior_.responsibilities(z)`` say which component a code
        belongs to.
    history_
        Lists with one number for each finished epoch: ``epoch``, ``loss`` (with beta and its
        warm-up), ``elbo``, ``reconstruction`` and ``kl`` (all with beta = 1), and
        ``validation_elbo`` if data are held out; in nats per datum.
    n_features_in_
        D, the number of features.

    References
    ----------
    Kingma and Welling (2014), Auto-Encoding Variational Bayes; Rezende, Mohamed and Wierstra
    (2014).
    """

    encoder_: Encoder
    decoder_: Decoder
    likelihood_: Likelihood
    prior_: StandardNormal | MixturePrior
    history_: dict[str, list[float]]
    n_features_in_: int
    _settings_: VAE  # the hyper-parameters as they were when `fit` was called
    _entropy_: int  # what all random streams are drawn from
    _sampling_: np.random.Generator

    def __init__(
        self,
        latent_dim: int = 2,
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        likelihood: str = "bernoulli",
        n_trials: int | None = None,
        sigma: str | float = "network",
        sigma_floor: float = 1e-3,
        grey: str | None = None,
        prior: str = "standard",
        prior_components: int = 10,
        prior_warmup: int = 5,
        beta: float = 1.0,
        beta_warmup: float = 0.0,
        n_samples: int = 1,
        kl: str = "analytic",
        objective: str = "elbo",
        epochs: int = 20,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        validation: float | None = None,
        patience: int = 10,
        dtype: Any = "float32",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.activation = activation
        self.likelihood = likelihood
        self.n_trials = n_trials
        self.sigma = sigma
        self.sigma_floor = sigma_floor
        self.grey = grey
        self.prior = prior
        self.prior_components = prior_components
        self.prior_warmup = prior_warmup
        self.beta = beta
        self.beta_warmup = beta_warmup
        self.n_samples = n_samples
        self.kl = kl
        self.objective = objective
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation = validation
        self.patience = patience
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    # ---- fitting ----

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        checkpoint: Path | None = None,
        source: str | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Train on data, from fresh parameters.

        Parameters
        ----------
        X
            Data of shape ``(N, D)``, in the units of the likelihood.
        y
            Ignored; there for pipelines.
        checkpoint
            A file to write before the first step, after every epoch and on Ctrl-C; :func:`resume`
            goes on from it.
        source
            The name or path under which :func:`minivae.datasets.load` finds the data again;
            recorded in the checkpoint so that :func:`resume` need not be handed them.
        on_epoch
            Called as ``on_epoch(self, epoch)`` before the first step (epoch 0) and after each
            epoch, just before its checkpoint: after a kill in between it is called again. Whatever
            it looks at or samples, the training goes on as if it had not.

        Raises
        ------
        ValueError, TypeError
            If a hyper-parameter makes no sense, or the data are not what the likelihood is a
            density of; the model is as it was.
        FloatingPointError
            If the loss becomes infinite or NaN; the model is as it was before that step.
        CheckpointError
            If the checkpoint cannot be written; the last one is intact, and the model usable. If
            it is the first, the model is as it was.
        KeyboardInterrupt
            After Ctrl-C, between two steps; the model is usable as far as it got.
        """
        check_hyper_parameters(self)
        likelihood = make_likelihood(self)
        X = check_data(X, "fit", dtype=self.dtype)
        _check_support(likelihood, self.grey, X)
        check_mixture(self, len(X) - n_held_out(len(X), self.validation))
        before = vars(self).copy()
        self._build(likelihood, X.shape[1], entropy_from(self.random_state))
        fitting = Fitting(self, X, checkpoint, source, on_epoch)
        self._start_at(fitting.X)
        try:
            fitting.run()
        except CheckpointError:
            if fitting.loop.epoch == fitting.loop.batch == 0:  # nothing has been learnt yet
                vars(self).clear()
                vars(self).update(before)
            raise
        return self

    def _build(self, likelihood: Likelihood, D: int, entropy: int) -> None:
        """Everything that is fitted, at its initial value."""
        params = self.get_params()
        params.update(hidden=tuple(self.hidden), dtype=np.dtype(self.dtype).name)
        settings = self._settings_ = type(self)(**params)
        self._entropy_, self._sampling_ = entropy, stream(entropy, SAMPLES)
        self.likelihood_, self.history_, self.n_features_in_ = likelihood, {}, D
        style: dict[str, Any] = {
            "activation": settings.activation,
            "rng": stream(entropy, WEIGHTS),
            "dtype": settings.dtype,
        }
        hidden, K = settings.hidden, settings.latent_dim
        shared_scale = isinstance(likelihood, Gaussian) and likelihood.sigma == "shared"
        self.encoder_ = Encoder(D, hidden, K, **style)
        self.decoder_ = Decoder(
            K, hidden[::-1], D, len(likelihood.heads), shared_scale=shared_scale, **style
        )
        self.prior_ = StandardNormal()
        if settings.prior == "mixture":
            self.prior_ = MixturePrior.standard(settings.prior_components, K, settings.dtype)

    def _start_at(self, X: Array) -> None:
        """Set the decoder's last biases to the data's mean: it is what decodes from z = 0."""
        for head, bias in zip(self.decoder_.heads, self.likelihood_.initial_biases(X), strict=True):
            head.bias.data = bias
        if isinstance(self.likelihood_, Gaussian) and self.decoder_.shared is not None:
            self.decoder_.shared.data = self.likelihood_.initial_shared(X)

    # ---- parameters ----

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

    def _networks(self, operation: str) -> Networks:
        self._require_fitted(operation, "encoder_")
        return Networks(self.encoder_, self.decoder_, self.prior_)

    # ---- looking at data through the model: it leaves the training's random streams alone ----

    def _checked(self, X: Any, operation: str) -> Array:
        """Data of the right width inside the likelihood's support, as the likelihood takes them."""
        self._require_fitted(operation, "encoder_")
        X = check_data(X, operation, dtype=self._settings_.dtype, n_features=self.n_features_in_)
        _check_support(self.likelihood_, self._settings_.grey, X)
        return self._pixels(X)

    def _pixels(self, X: Array) -> Array:
        """What ``grey`` makes of the data; the same in each call."""
        if self._settings_.grey == "threshold":
            return threshold_pixels(X)
        if self._settings_.grey == "sample":
            return sample_pixels(X, stream(self._entropy_, PIXELS))
        return X

    def _encode(self, x: Any) -> tuple[Any, Any]:
        return self.encoder_(self.likelihood_.encoder_input(x))

    def _model(self, x: Any, eps: Array) -> tuple[Any, ...]:
        """What the objectives take: encode, decode, likelihood, data, noise, prior."""
        return self._encode, self.decoder_, self.likelihood_, x, eps, self.prior_

    def _at_once(self, S: int = 1) -> int:
        """How many data, with S samples each, an evaluation takes in one portion."""
        settings = self._settings_
        components = settings.prior_components if settings.prior == "mixture" else 1
        in_prior = components * settings.latent_dim
        widest = max(self.n_features_in_, in_prior, *settings.hidden)
        return max(1, NUMBERS_AT_ONCE // (S * widest))

    def _portions(self, n: int, S: int = 1) -> Iterator[slice]:
        rows = self._at_once(S)
        return (slice(start, min(start + rows, n)) for start in range(0, n, rows))

    def _with_noise(self, X: Array, S: int, eps: Any) -> Iterator[tuple[slice, Array, Array]]:
        """Portions of the data with noise ``(S, n, K)`` that does not depend on the portions."""
        dtype, K = self._settings_.dtype, self._settings_.latent_dim
        rng = stream(self._entropy_, EVALUATION)
        for part in self._portions(len(X), S):
            x = X[part]
            if eps is None:
                noise = rng.standard_normal((len(x), S, K), dtype=dtype).transpose(1, 0, 2)
            else:
                noise = eps[:, part]
            yield part, x, np.ascontiguousarray(noise)

    def _check_eps(self, eps: Any, n: int, operation: str) -> Array | None:
        if eps is None:
            return None
        try:
            noise: Array = np.asarray(eps, dtype=self._settings_.dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{operation}: eps is no array of numbers: {error}") from error
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
        """The ELBO's two terms for each datum, in nats, Eq. ELBO.3.

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
            If it is no bound on a likelihood (``grey="cross-entropy"``).
        """
        return self._elbo_terms(X, eps, "elbo_terms")

    def elbo(self, X: Any, eps: Any = None) -> Array:
        """The evidence lower bound of each datum, in nats, of shape ``(N,)``, Eq. ELBO.3.

        It is reconstruction - KL of :meth:`elbo_terms`, which says what ``eps`` is.
        """
        elbo: Array = self._elbo_terms(X, eps, "elbo").elbo
        return elbo

    def score(self, X: Any, y: Any = None) -> float:
        """The mean ELBO, in nats per datum."""
        return float(self._elbo_terms(X, None, "score").elbo.mean(dtype=np.float64))

    def _elbo_terms(self, X: Any, eps: Any, operation: str) -> ElboTerms:
        X = self._checked(X, operation)
        eps = self._check_eps(eps, len(X), operation)
        if self._settings_.grey == "cross-entropy":
            warnings.warn(
                f"{operation}: with grey='cross-entropy' this is no bound on a log-likelihood, for "
                "the Bernoulli density does not integrate to 1 over grey values; "
                "likelihood='continuous-bernoulli' is one that does",
                LikelihoodWarning,
                stacklevel=3,
            )
        check_evaluation(self)
        return self._evaluate(X, self, eps)

    def _evaluate(self, X: Array, how: VAE, eps: Array | None = None) -> ElboTerms:
        """The two terms at checked data, with the ``n_samples`` and the ``kl`` of ``how``."""
        S = how.n_samples if eps is None else len(eps)
        reconstruction, kl = (np.empty(len(X), self._settings_.dtype) for _ in range(2))
        with no_grad():
            for part, x, noise in self._with_noise(X, S, eps):
                model = self._model(x, noise)
                terms = elbo_terms(*model) if how.kl == "analytic" else sample_terms(*model).means
                reconstruction[part], kl[part] = terms.reconstruction.data, terms.kl.data
        return ElboTerms(reconstruction, kl)

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
            (``minivae.vae.proposal``), at the cost of one or two thousand samples more.

        Raises
        ------
        ValueError
            If the model has no likelihood (``grey="cross-entropy"``).

        Warns
        -----
        EffectiveSampleSizeWarning
            If some estimate rests on fewer than 10 effective samples.
        """
        require_whole("log_likelihood", "n_samples", n_samples, least=1)
        if proposal not in ("laplace", "encoder"):
            raise ValueError(
                f"log_likelihood: proposal={proposal!r} is unknown; use 'laplace' or 'encoder'"
            )
        X = self._checked(X, "log_likelihood")
        eps = self._check_eps(eps, len(X), "log_likelihood")
        if self._settings_.grey == "cross-entropy":
            raise ValueError(
                "log_likelihood: with grey='cross-entropy' the model has no likelihood of grey "
                "pixels; fit with likelihood='continuous-bernoulli', or with grey='threshold' or "
                "'sample'"
            )
        S = n_samples if eps is None else len(eps)
        log_p, ess = (np.empty(len(X), self._settings_.dtype) for _ in range(2))
        from_encoder = eps is not None or proposal == "encoder"
        weighed = (
            self._weights_from_encoder(X, S, eps)
            if from_encoder
            else self._weights_from_peaks(X, S)
        )
        for part, log_weights in weighed:
            log_p[part] = importance_weighted_bound(log_weights)
            ess[part] = effective_sample_size(log_weights)
        few = ess < min(10.0, 0.5 * S)
        if few.any():
            warnings.warn(
                f"log_likelihood: {few.sum()} of {len(X)} estimates rest on fewer than 10 "
                f"effective samples (the least on {ess.min():.1f} of {S}) and are likely too low; "
                "raise n_samples",
                EffectiveSampleSizeWarning,
                stacklevel=2,
            )
        return (log_p, ess) if return_ess else log_p

    def _weights_from_encoder(
        self, X: Array, S: int, eps: Array | None
    ) -> Iterator[tuple[slice, Array]]:
        """Portions of the data with log p(x, z) - log q(z | x) at samples from q, ``(S, n)``."""
        for part, x, noise in self._with_noise(X, S, eps):
            with no_grad():
                log_weights = [
                    sample_terms(*self._model(x, noise[some])).log_weights.data
                    for some in self._portions(S, len(x))
                ]
            yield part, np.concatenate(log_weights)

    def _weights_from_peaks(self, X: Array, S: int) -> Iterator[tuple[slice, Array]]:
        """The same at samples from a proposal around the peaks of each datum's posterior."""
        for part in self._portions(len(X), max(4 * PEAKS, S // 32)):
            x = X[part]
            log_joint = partial(self._log_joint, x)
            generators = [
                stream(self._entropy_, EVALUATION, i) for i in range(part.start, part.stop)
            ]
            proposal = laplace_proposal(log_joint, self.prior_, *self._posterior(x), generators)
            z = proposal.sample(S, generators)
            by_sample = z.swapaxes(0, 1).astype(x.dtype)
            with no_grad():
                log_p = [log_joint(by_sample[some]).data for some in self._portions(S, len(x))]
            yield part, np.concatenate(log_p) - proposal.log_prob(z).T

    def _log_joint(self, x: Array, z: Any) -> Any:
        """log p(x, z), ``(S, n)``, of data ``(n, D)`` and z ``(S, n, K)``."""
        rows = ops.reshape(z, (-1, z.shape[-1]))
        log_p = self.likelihood_.log_prob(self.decoder_(rows), x) + self.prior_.log_prob(rows)
        return ops.reshape(log_p, z.shape[:2])

    def posterior(self, X: Any) -> Posterior:
        """q(z | x) for each datum, Eq. VAE.1."""
        return self._posterior(self._checked(X, "posterior"))

    def transform(self, X: Any) -> Array:
        """The posterior means, of shape ``(N, K)``."""
        return self._posterior(self._checked(X, "transform")).mu

    def _posterior(self, X: Array) -> Posterior:
        shape = (len(X), self._settings_.latent_dim)
        mu, log_var = (np.empty(shape, self._settings_.dtype) for _ in range(2))
        with no_grad():
            for part in self._portions(len(X)):
                mu[part], log_var[part] = (t.data for t in self._encode(X[part]))
        return Posterior(mu, log_var)

    def active_units(self, X: Any, threshold: float = 0.01) -> Array:
        """Which latent dimensions are in use: Var_x(E[z_k | x]) > threshold, Eq. VAE.5.

        Booleans of shape ``(K,)``, for data ``(N, D)``. Burda et al. (2016).
        """
        mu = self._posterior(self._checked(X, "active_units")).mu
        active: Array = mu.var(axis=0, dtype=np.float64) > threshold
        return active

    def decode(self, z: Any) -> Array:
        """E[x | z] in the data's units, of shape ``(n, D)``, for z of shape ``(n, K)``."""
        self._require_fitted("decode", "decoder_")
        K, dtype = self._settings_.latent_dim, self._settings_.dtype
        return self._decode(check_data(z, "decode", dtype=dtype, n_features=K, name="z"))

    def _decode(self, z: Array) -> Array:
        means = np.empty((len(z), self.n_features_in_), self._settings_.dtype)
        with no_grad():
            for part in self._portions(len(z)):
                means[part] = self.likelihood_.mean(self.decoder_(z[part]))
        return means

    def reconstruct(self, X: Any) -> Array:
        """E[x | z] at the posterior mean of each datum, of shape ``(N, D)``."""
        return self._decode(self._posterior(self._checked(X, "reconstruct")).mu)

    def interpolate(self, a: Any, b: Any, n: int = 10) -> Array:
        """E[x | z] at ``n`` points on the line between the codes of two data, ``(n, D)``."""
        require_whole("interpolate", "n", n, least=2)
        ends = [self._checked(np.reshape(x, (1, -1)), "interpolate") for x in (a, b)]
        start, end = (self._posterior(x).mu for x in ends)
        t = np.linspace(0.0, 1.0, n, dtype=start.dtype)[:, None]
        return self._decode((1 - t) * start + t * end)

    def sample(self, n: int = 1, random_state: Any = None) -> Array:
        """``n`` draws of x, of shape ``(n, D)``: z from the prior, x from p(x | z), Eq. VAE.3.

        Use :meth:`decode` for noiseless pictures.

        Parameters
        ----------
        n
            How many.
        random_state
            An int, a ``RandomState`` or a ``Generator``; by default each call goes on in the
            model's own random stream.
        """
        self._require_fitted("sample", "decoder_")
        require_whole("sample", "n", n, least=1)
        rng, settings = self._sampling_, self._settings_
        if random_state is not None:
            rng = stream(entropy_from(random_state), SAMPLES)
        eps = rng.standard_normal((n, settings.latent_dim))
        z = self.prior_.sample(eps, rng).astype(settings.dtype)
        with no_grad():
            return self.likelihood_.sample(self.decoder_(z), rng)

    def with_prior(self, mixture: GaussianMixture) -> Self:
        """A copy of this model with another prior, a mixture that was fitted to its codes.

        The prior that serves the ELBO best is the aggregate posterior, whose draws
        ``posterior(X).sample()`` gives::

            mixture = GaussianMixture(10).fit(vae.posterior(X).sample(random_state=0))
            better = vae.with_prior(mixture)

        Parameters
        ----------
        mixture
            Fitted, of ``latent_dim`` features and any covariance type.

        Raises
        ------
        ShapeError
            If it is a mixture over another number of dimensions.
        NotFittedError
            If one of the two is not fitted.
        TypeError
            If it is no ``minivae.GaussianMixture``.
        """
        self._require_fitted("with_prior", "encoder_")
        if not isinstance(mixture, GaussianMixture):
            given = f"{type(mixture).__module__}.{type(mixture).__name__}"
            raise TypeError(f"with_prior: the prior must be a minivae.GaussianMixture, not {given}")
        mixture._require_fitted("with_prior", "means_")
        (C, D), K = mixture.means_.shape, self._settings_.latent_dim
        if D != K:
            raise ShapeError(
                f"with_prior: the mixture is over {D} features, z has {K} dimensions; fit it to "
                "posterior(X).sample()"
            )
        vae = copy.deepcopy(self)
        vae.prior_ = MixturePrior.of(mixture, self._settings_.dtype)
        for estimator in (vae, vae._settings_):
            estimator.set_params(prior="mixture", prior_components=C)
        return vae

    # ---- files ----

    def save(self, path: Path) -> None:
        """Write the fitted model to one file, without pickle; :meth:`load` reads it."""
        self._require_fitted("save", "encoder_")
        save_checkpoint(path, over("parameters.", self.state_dict()), self._metadata())

    def _metadata(self) -> dict[str, Any]:
        params = self._settings_.get_params()
        if not is_whole(params["random_state"]):
            params["random_state"] = None  # what was drawn from a generator is the entropy
        return {
            "kind": "vae",
            "params": params,
            "n_features": self.n_features_in_,
            "entropy": self._entropy_,
            "history": self.history_,
        }

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model that :meth:`save` or a training run wrote, the latter at its best so far.

        Raises
        ------
        CheckpointError
            If the file is missing, truncated, no checkpoint, or not of a VAE.
        """
        return cls._from_checkpoint(path, *load_checkpoint(path))

    @classmethod
    def _from_checkpoint(
        cls, path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, Any]
    ) -> Self:
        with _reading(path):
            if metadata["kind"] != "vae":
                raise CheckpointError(f"it is of kind {metadata['kind']!r}, not of a VAE")
            params = metadata["params"]
            vae = cls(**{**params, "hidden": tuple(params["hidden"])})
            check_hyper_parameters(vae)
            vae._build(make_likelihood(vae), metadata["n_features"], metadata["entropy"])
            vae.load_state_dict(under("best.", arrays) or under("parameters.", arrays))
            vae.history_ = {name: list(values) for name, values in metadata["history"].items()}
        return vae


def resume(
    path: Path, X: Any = None, *, on_epoch: OnEpoch | None = None, verbose: bool = False
) -> VAE:
    """Continue a training run from its checkpoint, as if it had never stopped: bit for bit.

    Parameters
    ----------
    path
        What ``fit(X, checkpoint=path)`` wrote; the run goes on writing there.
    X
        The data that the run was started on; may be left out if ``fit`` was told their ``source``.
    on_epoch, verbose
        As for :meth:`VAE.fit` and :class:`VAE`.

    Raises
    ------
    CheckpointError
        If the file is no checkpoint of a training run, or ``X`` are other data.
    DatasetError
        If the recorded ``source`` cannot be had.
    """
    arrays, metadata = load_checkpoint(path)
    vae = VAE._from_checkpoint(path, arrays, metadata)
    vae.verbose = verbose
    if "training" not in metadata:
        raise CheckpointError(f"{path} is a saved model, not a training run: use VAE.load")
    training = metadata["training"]
    with _reading(path):
        source, checksum = training["source"], training["checksum"]
    if X is None:
        if source is None:
            raise CheckpointError(
                f"{path} does not say where the data of its run are: hand them over, "
                "resume(path, X)"
            )
        X = datasets.load(source).model_arrays(vae.likelihood)[0]
    X = check_data(X, "resume", dtype=vae.dtype)
    if data_checksum(X) != checksum:
        raise CheckpointError(
            f"{path}: X, of shape {X.shape}, is not what this run was started on; resume with the "
            "same data in the same order"
        )
    with _reading(path):
        fitting = Fitting(vae, X, path, source, on_epoch)
        fitting.restore(arrays, training)
    fitting.run()
    return vae


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong with the contents of a checkpoint into a sentence about the file."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        missing = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(
            f"{path} is not a checkpoint of this version's VAE: {missing}"
        ) from error


def _check_support(likelihood: Likelihood, grey: str | None, X: Array) -> None:
    """Refuse data outside the likelihood's support; what ``grey`` makes pixels of may be grey."""
    if grey in ("threshold", "sample"):
        likelihood = Bernoulli(grey=True)
    likelihood.check(X)
