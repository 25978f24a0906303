"""The variational autoencoder: an encoder q(z | x), a decoder p(x | z), trained together on the ELBO.

>>> from minivae import VAE, datasets
>>> digits = datasets.load("optdigits")
>>> X, X_test = digits.model_arrays()
>>> vae = VAE(likelihood="binomial", n_trials=16, hidden=(200, 100), activation="tanh", epochs=1, random_state=0)
>>> vae.fit(X).sample(16).shape
(16, 64)
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from minivae import datasets, ops
from minivae.checkpoint import load_checkpoint, save_checkpoint
from minivae.distributions import (
    Bernoulli,
    Binomial,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    StandardNormal,
)
from minivae.errors import (
    CheckpointError,
    EffectiveSampleSizeWarning,
    LikelihoodWarning,
    ShapeError,
)
from minivae.estimator import Estimator, check_data, entropy_from, stream
from minivae.nn import Module
from minivae.objectives import (
    ElboTerms,
    effective_sample_size,
    elbo_terms,
    importance_weighted_bound,
    sample_terms,
)
from minivae.tensor import Array, Tensor, no_grad
from minivae.vae.fitting import (
    EVALUATION,
    PIXELS,
    SAMPLES,
    WEIGHTS,
    Fitting,
    sample_pixels,
    standard_normal,
    threshold,
    under,
)
from minivae.vae.networks import Decoder, Encoder

__all__ = ["VAE", "Posterior", "resume"]
LIKELIHOODS = ("bernoulli", "binomial", "continuous-bernoulli", "gaussian")
GREY = ("threshold", "sample", "cross-entropy")
NUMBERS_AT_ONCE = 2**21  # in the widest array of an evaluation, which bounds its memory


class Posterior(NamedTuple):
    """q(z | x) = N(mu, exp(log_var)), both of shape ``(N, K)``."""

    mu: Array
    log_var: Array


class VAE(Estimator):
    """A variational autoencoder with Gaussian q(z | x) and prior N(0, I).

    Parameters
    ----------
    latent_dim
        K, the number of latent dimensions.
    hidden
        The widths of the encoder's hidden layers; the decoder mirrors them.
    activation
        Of the hidden layers: ``"relu"``, ``"tanh"``, ``"softplus"``, ``"sigmoid"`` or ``"identity"``.
    likelihood
        ``"bernoulli"`` (pixels 0 or 1), ``"binomial"`` (counts of ``n_trials``), ``"continuous-bernoulli"`` (grey
        values in [0, 1]) or ``"gaussian"``.
    n_trials
        The largest count, for ``"binomial"``.
    sigma
        For ``"gaussian"``: ``"network"`` (a variance for each value), ``"shared"`` (one scale, learnt) or a number.
    sigma_floor
        The least scale that can be learnt, in the data's units.
    grey
        What grey pixels mean under ``"bernoulli"``: ``"threshold"`` (on from 1/2), ``"sample"`` (drawn on with that
        probability, afresh in each epoch) or ``"cross-entropy"`` (what many tutorials do; no likelihood).
    prior
        ``"standard"``, N(0, I).
    beta
        The weight of the KL in the loss.
    beta_warmup
        Over how many epochs the weight rises from 0 to ``beta``.
    n_samples
        S, how many z are drawn for each datum and step.
    kl
        ``"analytic"``, or ``"monte-carlo"`` from the same samples.
    objective
        ``"elbo"``, or ``"importance-weighted"``: the tighter bound of ``n_samples`` samples.
    epochs, batch_size, learning_rate
        Of the training by Adam.
    validation
        The share of the data held out to judge when to stop, such as 0.1; the best epoch's parameters are kept.
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
    history_
        Lists with one number for each epoch: ``loss`` (with beta and its warm-up), ``elbo``, ``reconstruction``, ``kl``
        (all with beta = 1) and ``validation_elbo``, in nats per datum.
    n_features_in_
        D, the number of features.

    References
    ----------
    Kingma and Welling (2014), Auto-Encoding Variational Bayes; Rezende, Mohamed and Wierstra (2014).
    """

    encoder_: Encoder
    decoder_: Decoder
    likelihood_: Likelihood
    prior_: StandardNormal
    history_: dict[str, list[float]]
    n_features_in_: int
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
        dtype: str = "float32",
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
        checkpoint: str | os.PathLike[str] | None = None,
        source: str | None = None,
        on_epoch: Callable[[VAE, int], None] | None = None,
    ) -> Self:
        """Train on data, from fresh parameters.

        Parameters
        ----------
        X
            Data of shape ``(N, D)``, in the units of the likelihood.
        y
            Ignored; there for pipelines.
        checkpoint
            A file to write before the first step, after every epoch and on Ctrl-C; :func:`resume` goes on from it.
        source
            The name or path under which :func:`minivae.datasets.load` finds the data again; recorded in the checkpoint
            so that :func:`resume` need not be handed them.
        on_epoch
            Called as ``on_epoch(self, epoch)`` before the first step (epoch 0) and after each epoch.

        Raises
        ------
        ValueError
            If a hyper-parameter makes no sense, or the data are not what the likelihood is a density of. Nothing is
            changed then.
        KeyboardInterrupt
            After Ctrl-C, between two steps; the model is usable as far as it got.
        """
        likelihood = self._check_hyper_parameters()
        X = check_data(X, "fit", dtype=self.dtype)
        self._check_support(likelihood, X)
        if self.validation and not 0 < self._n_held_out(X) < len(X):
            raise ShapeError(
                f"fit: validation={self.validation} leaves nothing of {len(X)} data to train on"
            )
        fitting = Fitting(
            self, likelihood, X, entropy_from(self.random_state), checkpoint, source, on_epoch
        )
        fitting.start()
        return self

    def _n_held_out(self, X: Array) -> int:
        return max(1, round((self.validation or 0.0) * len(X)))

    def _check_hyper_parameters(self) -> Likelihood:
        """Refuse hyper-parameters that make no sense, and make the likelihood."""

        def require(holds: bool, name: str, rule: str) -> None:
            if not holds:
                raise ValueError(
                    f"VAE: {name}={getattr(self, name)!r} makes no sense; it must be {rule}"
                )

        for name in ("latent_dim", "n_samples", "epochs", "batch_size", "patience"):
            require(
                _is_whole(getattr(self, name)) and getattr(self, name) >= 1,
                name,
                "a whole number from 1",
            )
        for name in ("beta", "beta_warmup"):
            require(
                _is_real(getattr(self, name)) and 0 <= getattr(self, name) < math.inf,
                name,
                "a number from 0",
            )
        for name in ("learning_rate", "sigma_floor"):
            require(
                _is_real(getattr(self, name)) and 0 < getattr(self, name) < math.inf,
                name,
                "a positive number",
            )
        require(
            isinstance(self.hidden, Sequence) and all(_is_whole(h) and h >= 1 for h in self.hidden),
            "hidden", "a tuple of whole numbers from 1, such as (400,)",
        )  # fmt: skip
        require(
            self.validation is None or (_is_real(self.validation) and 0 < self.validation < 1),
            "validation", "None or a share between 0 and 1",
        )  # fmt: skip
        for name, known in (
            ("activation", tuple(ops.ACTIVATIONS)),
            ("likelihood", LIKELIHOODS),
            ("prior", ("standard",)),
            ("kl", ("analytic", "monte-carlo")),
            ("objective", ("elbo", "importance-weighted")),
            ("dtype", ("float32", "float64")),
        ):
            require(getattr(self, name) in known, name, "one of " + ", ".join(map(repr, known)))
        require(
            self.grey is None or self.grey in GREY,
            "grey",
            "None or one of " + ", ".join(map(repr, GREY)),
        )
        if self.grey is not None and self.likelihood != "bernoulli":
            raise ValueError(
                f"VAE: grey={self.grey!r} goes with likelihood='bernoulli', not {self.likelihood!r}"
            )
        if (self.n_trials is None) == (self.likelihood == "binomial"):
            raise ValueError(
                f"VAE: n_trials={self.n_trials} with likelihood={self.likelihood!r}; 'binomial' needs the largest count, "
                "the others take none"
            )
        if self.likelihood == "binomial":
            return Binomial(self.n_trials)  # type: ignore[arg-type]
        if self.likelihood == "gaussian":
            return Gaussian(self.sigma, self.sigma_floor)
        if self.likelihood == "continuous-bernoulli":
            return ContinuousBernoulli()
        return Bernoulli(grey=self.grey == "cross-entropy")

    def _check_support(self, likelihood: Likelihood, X: Array) -> None:
        """Refuse data outside the likelihood's support; what ``grey`` turns into pixels may be grey."""
        if self.grey in ("threshold", "sample"):
            likelihood = Bernoulli(grey=True)
        likelihood.check(X)

    def _build(self, likelihood: Likelihood, D: int, rng: np.random.Generator) -> None:
        """The networks at their initial values."""
        hidden, K = list(self.hidden), self.latent_dim
        style: dict[str, Any] = {"activation": self.activation, "rng": rng, "dtype": self.dtype}
        self.likelihood_ = likelihood
        self.prior_ = StandardNormal()
        self.encoder_ = Encoder(D, hidden, K, **style)
        self.decoder_ = Decoder(K, hidden[::-1], D, len(likelihood.heads), **style)
        if isinstance(likelihood, Gaussian) and likelihood.sigma == "shared":
            self.decoder_.shared = Tensor(np.zeros((1, 1)), requires_grad=True, dtype=self.dtype)
        self.n_features_in_ = D

    def _start_at(self, X: Array) -> None:
        """Set the decoder's last biases so that it starts at the data's mean, whatever z."""
        if self.grey == "threshold":
            X = threshold(X)
        for head, bias in zip(self.decoder_.heads, self.likelihood_.initial_biases(X), strict=True):
            head.bias.data = bias
        if self.decoder_.shared is not None:
            self.decoder_.shared.data = self.likelihood_.initial_shared(X)  # type: ignore[attr-defined]

    def _modules(self) -> Iterator[tuple[str, Module]]:
        yield "encoder.", self.encoder_
        yield "decoder.", self.decoder_

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """All parameters with their names, in reading order."""
        self._require_fitted("named_parameters", "encoder_")
        return [
            item for prefix, module in self._modules() for item in module.named_parameters(prefix)
        ]

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters' values by name, in reading order."""
        return {name: p.numpy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take all parameters' values from ``state``.

        Raises
        ------
        ShapeError
            If names or shapes differ; nothing is changed then.
        """
        own = {name: p.shape for name, p in self.named_parameters()}
        given = {name: np.shape(value) for name, value in state.items()}
        if own != given:
            wrong = sorted(
                name for name in own.keys() | given.keys() if own.get(name) != given.get(name)
            )
            raise ShapeError(
                f"load_state_dict: {wrong[0]} has shape {own.get(wrong[0])} here and {given.get(wrong[0])} in the state; "
                "the architectures differ"
            )
        for name, p in self.named_parameters():
            p.data = state[name]

    # ---- looking at data through the model; everything below leaves the training's random streams alone ----

    def _checked(self, X: Any, operation: str) -> Array:
        """Data of the right width inside the likelihood's support, as the likelihood takes them."""
        self._require_fitted(operation, "encoder_")
        X = check_data(X, operation, dtype=self.dtype, n_features=self.n_features_in_)
        self._check_support(self.likelihood_, X)
        if self.grey == "threshold":
            return threshold(X)
        if self.grey == "sample":
            return sample_pixels(X, stream(self._entropy_, PIXELS))
        return X

    def _encode(self, x: Any) -> tuple[Any, Any]:
        return self.encoder_(self.likelihood_.encoder_input(x))

    def _chunks(self, X: Array, S: int, eps: Any) -> Iterator[tuple[slice, Array, Array]]:
        """Portions of the data with their noise ``(S, n, K)``, which does not depend on the portions."""
        K, widest = self.latent_dim, max(self.n_features_in_, *self.hidden, 1)
        if eps is not None:
            eps = np.asarray(eps, dtype=self.dtype)
            if eps.ndim != 3 or eps.shape[1:] != (len(X), K):
                raise ShapeError(
                    f"eps has shape {eps.shape}; for {len(X)} data it must be (S, {len(X)}, {K})"
                )
        rng = stream(self._entropy_, EVALUATION)
        rows = max(1, NUMBERS_AT_ONCE // (S * widest))
        for start in range(0, len(X), rows):
            part = slice(start, min(start + rows, len(X)))
            n = part.stop - start
            if eps is None:
                noise = standard_normal(rng, (n, S, K), self.dtype).transpose(1, 0, 2)
            else:
                noise = eps[:, part]
            yield part, X[part], np.ascontiguousarray(noise)

    def elbo_terms(self, X: Any, eps: Any = None) -> ElboTerms:
        """The ELBO's two terms for each datum, in nats, Eq. ELBO.3.

        Parameters
        ----------
        X
            Data of shape ``(N, D)``.
        eps
            Standard normal noise of shape ``(S, N, K)``; by default ``n_samples`` draws that are the same in every call.
        """
        X = self._checked(X, "elbo")
        if self.grey == "cross-entropy":
            warnings.warn(
                "elbo: with grey='cross-entropy' this is no bound on a log-likelihood, for the Bernoulli density does not "
                "integrate to 1 over grey values; likelihood='continuous-bernoulli' is one that does",
                LikelihoodWarning,
                stacklevel=3,
            )
        return self._elbo_terms(X, eps)

    def _elbo_terms(self, X: Array, eps: Any = None) -> ElboTerms:
        S = self.n_samples if eps is None else len(eps)
        reconstruction, kl = np.empty(len(X), self.dtype), np.empty(len(X), self.dtype)
        with no_grad():
            for part, x, noise in self._chunks(X, S, eps):
                model = (self._encode, self.decoder_, self.likelihood_, x, noise, self.prior_)
                terms = elbo_terms(*model) if self.kl == "analytic" else sample_terms(*model).means
                reconstruction[part], kl[part] = terms.reconstruction.data, terms.kl.data
        return ElboTerms(reconstruction, kl)

    def elbo(self, X: Any, eps: Any = None) -> Array:
        """The evidence lower bound of each datum, in nats, of shape ``(N,)``; see :meth:`elbo_terms` (Eq. ELBO.3)."""
        elbo: Array = self.elbo_terms(X, eps).elbo
        return elbo

    def log_likelihood(
        self, X: Any, n_samples: int = 1000, return_ess: bool = False, eps: Any = None
    ) -> Array | tuple[Array, Array]:
        """An estimate of log p(x) for each datum by importance sampling from q(z | x), in nats, Eq. IWAE.2.

        In expectation it lies below log p(x), and rises to it with ``n_samples``.

        Parameters
        ----------
        X
            Data of shape ``(N, D)``.
        n_samples
            S, how many z are drawn for each datum.
        return_ess
            Whether to return the effective sample sizes as well, of shape ``(N,)``, between 1 and S.
        eps
            The noise, of shape ``(S, N, K)``.

        Raises
        ------
        ValueError
            If the model has no likelihood (``grey="cross-entropy"``).

        Warns
        -----
        EffectiveSampleSizeWarning
            If some estimate rests on fewer than 10 effective samples.
        """
        if not _is_whole(n_samples) or n_samples < 1:
            raise ValueError(
                f"log_likelihood: n_samples={n_samples!r} must be a whole number from 1"
            )
        X = self._checked(X, "log_likelihood")
        if self.grey == "cross-entropy":
            raise ValueError(
                "log_likelihood: with grey='cross-entropy' the model has no likelihood of grey pixels; fit with "
                "likelihood='continuous-bernoulli', or with grey='threshold' or 'sample'"
            )
        S = n_samples if eps is None else len(eps)
        log_p, ess = np.empty(len(X), self.dtype), np.empty(len(X), self.dtype)
        with no_grad():
            for part, x, noise in self._chunks(X, S, eps):
                terms = sample_terms(
                    self._encode, self.decoder_, self.likelihood_, x, noise, self.prior_
                )
                log_p[part] = importance_weighted_bound(terms.log_weights).data
                ess[part] = effective_sample_size(terms.log_weights.data)
        few = ess < min(10.0, 0.5 * S)
        if few.any():
            warnings.warn(
                f"log_likelihood: {few.sum()} of {len(X)} estimates rest on fewer than 10 effective samples (the least on "
                f"{ess.min():.1f} of {S}), so they are likely too low; raise n_samples",
                EffectiveSampleSizeWarning,
                stacklevel=2,
            )
        return (log_p, ess) if return_ess else log_p

    def score(self, X: Any, y: Any = None) -> float:
        """The mean ELBO, in nats per datum."""
        return float(self.elbo(X).mean(dtype=np.float64))

    def posterior(self, X: Any) -> Posterior:
        """q(z | x) for each datum, Eq. VAE.1."""
        X = self._checked(X, "posterior")
        mu, log_var = (np.empty((len(X), self.latent_dim), self.dtype) for _ in range(2))
        with no_grad():
            for part, x, _ in self._chunks(X, 1, np.zeros((1, len(X), self.latent_dim))):
                mu[part], log_var[part] = (t.data for t in self._encode(x))
        return Posterior(mu, log_var)

    def transform(self, X: Any) -> Array:
        """The posterior means, of shape ``(N, K)``."""
        return self.posterior(X).mu

    def active_units(self, X: Any, threshold: float = 0.01) -> Array:
        """Which latent dimensions are in use: Var_x(E[z_k | x]) > threshold, Eq. VAE.5. Burda et al. (2016)."""
        active: Array = self.transform(X).var(axis=0) > threshold
        return active

    def decode(self, z: Any) -> Array:
        """E[x | z] in the data's units, of shape ``(n, D)``, for z of shape ``(n, K)``."""
        self._require_fitted("decode", "decoder_")
        z = check_data(z, "decode", dtype=self.dtype)
        if z.shape[1] != self.latent_dim:
            raise ShapeError(
                f"decode: z has shape {z.shape}; it must be (n, {self.latent_dim}), one latent point a row"
            )
        with no_grad():
            return self.likelihood_.mean(self.decoder_(z))

    def reconstruct(self, X: Any) -> Array:
        """E[x | z] at the posterior mean of each datum, of shape ``(N, D)``."""
        return self.decode(self.transform(X))

    def sample(self, n: int = 1) -> Array:
        """``n`` draws of x from the model, of shape ``(n, D)``: z from the prior, then x from p(x | z), Eq. VAE.3.

        Each call goes on in a random stream of its own; use :meth:`decode` for noiseless pictures.
        """
        self._require_fitted("sample", "decoder_")
        if not _is_whole(n) or n < 1:
            raise ValueError(f"sample: n={n!r} must be a whole number from 1")
        rng = self._sampling_
        z = self.prior_.sample(n, self.latent_dim, rng).astype(self.dtype)
        with no_grad():
            return self.likelihood_.sample(self.decoder_(z), rng)

    def interpolate(self, a: Any, b: Any, n: int = 10) -> Array:
        """E[x | z] at ``n`` points on the straight line between the codes of two data, of shape ``(n, D)``."""
        if not _is_whole(n) or n < 2:
            raise ValueError(f"interpolate: n={n!r} must be a whole number from 2")
        start, end = self.transform(np.stack([np.ravel(a), np.ravel(b)]))
        t = np.linspace(0.0, 1.0, n)[:, None]
        return self.decode((1.0 - t) * start + t * end)

    # ---- files ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; :meth:`load` reads it."""
        self._require_fitted("save", "encoder_")
        arrays = {f"parameters.{name}": value for name, value in self.state_dict().items()}
        save_checkpoint(path, arrays, self._metadata())

    def _metadata(self) -> dict[str, Any]:
        params = self.get_params()
        if not (params["random_state"] is None or _is_whole(params["random_state"])):
            params["random_state"] = (
                None  # a generator was drawn from: what came of it is in `entropy`
            )
        return {
            "kind": "vae",
            "params": {**params, "hidden": list(self.hidden)},
            "n_features": self.n_features_in_,
            "entropy": self._entropy_,
            "history": self.history_,
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that :meth:`save` or a training run wrote.

        Raises
        ------
        CheckpointError
            If the file is missing, truncated, no checkpoint, or not of a VAE.
        """
        return cls._from_checkpoint(path, *load_checkpoint(path))

    @classmethod
    def _from_checkpoint(
        cls, path: str | os.PathLike[str], arrays: Mapping[str, Array], metadata: Mapping[str, Any]
    ) -> Self:
        if metadata.get("kind") != "vae":
            raise CheckpointError(
                f"{path}: a checkpoint of kind {metadata.get('kind')!r}, not of a VAE"
            )
        try:
            vae = cls(**{**metadata["params"], "hidden": tuple(metadata["params"]["hidden"])})
            vae._entropy_ = metadata["entropy"]
            vae._build(
                vae._check_hyper_parameters(),
                metadata["n_features"],
                stream(vae._entropy_, WEIGHTS),
            )
            vae.load_state_dict(under("parameters.", arrays))
            vae.history_ = {k: list(v) for k, v in metadata["history"].items()}
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: not a checkpoint of this version's VAE: {error}"
            ) from error
        vae._sampling_ = stream(vae._entropy_, SAMPLES)
        return vae


def resume(
    path: str | os.PathLike[str],
    X: Any = None,
    *,
    on_epoch: Callable[[VAE, int], None] | None = None,
    verbose: bool = False,
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
    """
    arrays, metadata = load_checkpoint(path)
    vae = VAE._from_checkpoint(path, arrays, metadata)
    if "training" not in metadata:
        raise CheckpointError(
            f"{path}: a saved model, not a training run; there is nothing to continue"
        )
    source = metadata["training"]["source"]
    if X is None:
        if source is None:
            raise CheckpointError(
                f"{path}: this run did not record where its data are; hand them over: resume(path, X)"
            )
        X = datasets.load(source).model_arrays(vae.likelihood)[0]
    vae.verbose = verbose
    X = check_data(X, "resume", dtype=vae.dtype, n_features=vae.n_features_in_)
    fitting = Fitting(vae, vae.likelihood_, X, vae._entropy_, path, source, on_epoch)
    fitting.restore(path, arrays, metadata)
    fitting.start()
    return vae


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
