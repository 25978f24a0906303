"""The variational autoencoder: an encoder q(z | x) and a decoder p(x | z), trained on the ELBO.

>>> from minivae import VAE, datasets, recipe
>>> digits = datasets.load("optdigits")
>>> X, X_test = digits.model_arrays()
>>> vae = VAE(**{**recipe(digits), "epochs": 1}, random_state=0)
>>> vae.fit(X).sample(16).shape
(16, 64)
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.checkpoint import (
    data_checksum,
    generator_state,
    load_checkpoint,
    remove_partial_files,
    save_checkpoint,
)
from minivae.checks import check_data, require_whole
from minivae.distributions import Distribution, Likelihood, MixturePrior
from minivae.errors import (
    CheckpointError,
    EffectiveSampleSizeWarning,
    LikelihoodWarning,
    ShapeError,
)
from minivae.estimator import Estimator, anything, boolean, choice, number, parameter, whole
from minivae.gmm import GaussianMixture
from minivae.inference import estimate_from
from minivae.latent_model import LatentModel
from minivae.models.vae import hyperparameters as rules
from minivae.models.vae.evaluation import Evaluation
from minivae.models.vae.files import params_from_json, params_to_json, reading
from minivae.models.vae.networks import Encoder, decoder
from minivae.models.vae.objective import Objective
from minivae.models.vae.prior_warmup import PriorWarmup, prior_of
from minivae.nn import Module
from minivae.objectives import ElboTerms
from minivae.optim import Adam
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, Tensor
from minivae.training import (
    EachEpoch,
    EarlyStopping,
    Hook,
    Metrics,
    Player,
    Run,
    with_prefix,
    without_prefix,
)

__all__ = ["VAE"]

Path = str | os.PathLike[str]
OnEpoch = Callable[["VAE", int], object]

# The numbered random streams: training, evaluation and sampling never disturb each other.
WEIGHTS, ORDER, NOISE, SPLIT, EVALUATION, PIXELS, SAMPLES, PRIOR = range(8)


class VAE(Estimator):
    """A variational autoencoder: q(z | x) by an encoder, p(x | z) by a decoder and a likelihood.

    Hyper-parameters that are changed after ``fit`` count from the next ``fit`` on, but for
    ``n_samples`` and ``kl``, which say how :meth:`elbo` is evaluated as well.

    %parameters%

    Attributes
    ----------
    encoder_
        The module that gives q(z | x).
    model_
        p(x, z), with the parts ``decoder_``, ``likelihood_`` and ``prior_``. A mixture's
        ``prior_.responsibilities(z)`` say which component a code belongs to.
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

    latent_dim: int = parameter(2, whole(1), "K, the number of latent dimensions.", metavar="K")
    hidden: Sequence[int] = parameter(
        (400,), rules.WIDTHS,
        "The widths of the encoder's hidden layers; the decoder mirrors them.", metavar="H1,H2",
    )  # fmt: skip
    activation: str = parameter(
        "relu", choice(*ops.ACTIVATIONS),
        'Of the hidden layers: "relu", "tanh", "softplus", "sigmoid" or "identity".',
        metavar="NAME",
    )  # fmt: skip
    likelihood: str | Likelihood = parameter(
        "bernoulli", rules.LIKELIHOOD,
        'Of pixels 0 or 1: "bernoulli"; of counts of ``n_trials``: "binomial"; of grey values in '
        '[0, 1]: "continuous-bernoulli"; of real numbers: "gaussian"; of counts without a ceiling: '
        '"poisson"; of ``n_classes`` classes: "categorical". Or an instance, which ``fit`` copies.',
        metavar="NAME",
    )  # fmt: skip
    n_trials: int | None = parameter(
        None, whole(1).or_none(),
        'The largest count that a feature can take, such as 16; for "binomial".', metavar="N",
    )  # fmt: skip
    n_classes: int | None = parameter(
        None, whole(2).or_none(),
        'The number of classes that a feature can take, such as 10; for "categorical".',
        metavar="N",
    )  # fmt: skip
    sigma: str | float = parameter(
        "network", rules.SIGMA,
        'For "gaussian": "network" (a variance for each value), "shared" (one scale, learnt) or a '
        "number.", metavar="S",
    )  # fmt: skip
    sigma_floor: float = parameter(
        1e-3, number(above=True),
        'For "gaussian": the least scale that can be learnt, in the data\'s units.', metavar="S",
    )  # fmt: skip
    grey: str | None = parameter(
        None, choice("threshold", "sample", "cross-entropy", none=True),
        'What grey pixels mean under "bernoulli": "threshold" (on from 1/2), "sample" (drawn on '
        'with that probability, afresh in each epoch) or "cross-entropy" (what many tutorials do; '
        "not a likelihood).", metavar="HOW",
    )  # fmt: skip
    prior: str | Distribution = parameter(
        "standard", rules.PRIOR,
        '"standard", N(0, I), or "mixture", of Gaussians that are learnt (Eq. PRIOR.1). To fit one '
        "to a trained model instead, see :meth:`with_prior`. Or a distribution, which ``fit`` "
        "copies and, if it is a module, trains.", metavar="NAME",
    )  # fmt: skip
    prior_components: int = parameter(
        10, whole(1), "C, the number of Gaussians in a mixture.", metavar="C"
    )
    prior_warmup: int = parameter(
        5, whole(1),
        "For how many epochs a mixture is held at N(0, I). Then it begins where EM finds clusters "
        "of the encoder's means, and is trained along.", metavar="N",
    )  # fmt: skip
    beta: float = parameter(
        1.0, number(), "The weight of the KL in the loss. Higgins et al. (2017).", metavar="B"
    )
    beta_warmup: float = parameter(
        0.0, number(), "Over how many epochs the weight rises from 0 to ``beta``.", metavar="N"
    )
    n_samples: int = parameter(
        1, whole(1), "S, how many z are drawn for each datum, in each step and by ``elbo``.",
        metavar="S",
    )  # fmt: skip
    kl: str = parameter(
        "analytic", choice("analytic", "monte-carlo"),
        '"analytic", or "monte-carlo" from the same samples. To a mixture, only the entropy in it '
        "is analytic (Eq. PRIOR.2).", metavar="HOW",
    )  # fmt: skip
    objective: str = parameter(
        "elbo", choice("elbo", "importance-weighted"),
        '"elbo", or "importance-weighted": the tighter bound of ``n_samples`` samples.',
        metavar="NAME",
    )  # fmt: skip
    epochs: int = parameter(20, whole(1), "Passes over the data.", metavar="N")
    batch_size: int = parameter(128, whole(1), "Data in a minibatch.", metavar="N")
    learning_rate: float = parameter(1e-3, number(above=True), "Of Adam.", metavar="A")
    validation: float | None = parameter(
        None, rules.SHARE,
        "The share of the data held out to judge when to stop, such as 0.1; the best epoch's "
        "parameters are kept.", metavar="SHARE",
    )  # fmt: skip
    patience: int = parameter(
        10, whole(1), "After how many epochs without a better validation ELBO to stop.",
        metavar="N",
    )  # fmt: skip
    dtype: Any = parameter(
        "float32", rules.FLOAT_TYPE, '"float32" or "float64".', metavar="NAME"
    )
    random_state: Any = parameter(
        None, anything(), "An int, a ``RandomState``, a ``Generator`` or None."
    )
    verbose: bool = parameter(False, boolean(), "Whether to show a progress bar.")
    encoder: Any = parameter(
        None, rules.NETWORK,
        "A module of your own in the encoder's place, from data ``(N, D)`` as the likelihood shows "
        "them to a distribution over z; ``fit`` copies it.",
    )  # fmt: skip
    decoder: Any = parameter(
        None, rules.NETWORK,
        "A module of your own in the decoder's place, from z ``(n, K)`` to features ``(n, H)`` for "
        "the likelihood's heads, or to a tuple of the likelihood's parameters; ``fit`` copies it.",
    )  # fmt: skip

    encoder_: Any
    model_: LatentModel
    history_: dict[str, list[float]]
    n_features_in_: int
    _settings_: SimpleNamespace  # the hyper-parameters as they were when `fit` was called
    _entropy_: int  # what all random streams are drawn from
    _sampling_: np.random.Generator

    decoder_ = property(lambda self: self._fitted_model("decoder_").decoder, doc="z to features.")
    likelihood_ = property(lambda self: self._fitted_model("likelihood_").likelihood, doc="p(x|z).")
    prior_ = property(lambda self: self._fitted_model("prior_").prior, doc="p(z).")

    def _fitted_model(self, name: str) -> LatentModel:
        if "model_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit or load")
        return self.model_

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
            A file to write before the first step, after every epoch and on Ctrl-C;
            :func:`minivae.resume` goes on from it.
        source
            The name or path under which :func:`minivae.datasets.load` finds the data again;
            recorded in the checkpoint so that ``resume`` need not be handed them.
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
        self.check_params()
        rules.check_together(self)
        settings, likelihood = self._settings(), rules.make_likelihood(self)
        X = check_data(X, "fit", dtype=self.dtype)
        likelihood.check(X)
        rules.check_mixture(settings, len(X) - n_held_out(len(X), self.validation))
        before = vars(self).copy()
        try:
            self._build(settings, likelihood, X.shape[1], entropy_from(self.random_state))
            run = self._run(X, checkpoint, source, on_epoch)
        except (ValueError, TypeError):
            self._become(before)
            raise
        self.likelihood_.start_at(run.data[0])
        try:
            run.run()
        except CheckpointError:
            if run.epoch == run.batch == 0:  # nothing has been learnt yet
                self._become(before)
            raise
        return self

    def _become(self, attributes: Mapping[str, Any]) -> None:
        vars(self).clear()
        vars(self).update(attributes)

    def _build(
        self, settings: SimpleNamespace, likelihood: Likelihood, D: int, entropy: int
    ) -> None:
        """Everything that is fitted, at its initial value."""
        settings.hidden, settings.dtype = tuple(settings.hidden), np.dtype(settings.dtype).name
        self._settings_, self._entropy_ = settings, entropy
        self._sampling_, self.history_ = stream(entropy, SAMPLES), {}
        self.n_features_in_ = D
        rng, dtype, K = stream(entropy, WEIGHTS), settings.dtype, settings.latent_dim
        style: dict[str, Any] = {"activation": settings.activation, "rng": rng, "dtype": dtype}
        seen = likelihood.encoder_input(np.zeros((2, D), dtype))
        self.encoder_ = copy.deepcopy(settings.encoder)
        if self.encoder_ is None:
            self.encoder_ = Encoder(seen.shape[1], settings.hidden, K, **style)
        own_decoder = copy.deepcopy(settings.decoder)
        if own_decoder is None:
            own_decoder = decoder(K, settings.hidden[::-1], **style)
        else:
            rules.check_encoder(self.encoder_, seen, K)
        width = rules.check_decoder(own_decoder, np.zeros((2, K), dtype), likelihood, D)
        built = likelihood.built(width, D, rng=rng, dtype=dtype)
        self.model_ = LatentModel(rules.make_prior(settings), own_decoder, built)

    def _run(
        self, X: Array, checkpoint: Path | None, source: str | None, on_epoch: OnEpoch | None
    ) -> Run:
        """The run that trains this model on checked data."""
        settings, likelihood = self._settings_, self.likelihood_
        X_train, X_held = self._split(X)
        hooks: list[Hook] = []
        prior, warmup = self.prior_, 0
        if settings.prior == "mixture" and isinstance(prior, MixturePrior):
            # While the prior is held at N(0, I), the ELBO is that of another model.
            warmup = settings.prior_warmup
            codes, rng = self._as_taken(X_train), stream(self._entropy_, PRIOR)
            hooks.append(
                PriorWarmup(prior, warmup, lambda: self._evaluation().posterior(codes), rng)
            )
        if X_held is not None:
            hooks.append(
                EarlyStopping(
                    "validation_elbo", settings.patience, warmup, self.state_dict,
                    self.load_state_dict,
                )
            )  # fmt: skip
        if on_epoch is not None:
            hooks.append(EachEpoch(lambda epoch: on_epoch(self, epoch)))

        def monitor() -> Metrics:
            if X_held is None:
                return {}
            terms = self._evaluation().elbo_terms(X_held, settings.n_samples, settings.kl)
            return {"validation_elbo": float(terms.elbo.mean(dtype=np.float64))}

        checksum = "" if checkpoint is None else data_checksum(X)

        def save(run: Run) -> None:
            position, arrays = run.state()
            training = {
                "position": position,
                "sampling": generator_state(self._sampling_),
                "checksum": checksum,
                "source": source,
            }
            arrays |= with_prefix("parameters.", {n: p.data for n, p in self.named_parameters()})
            save_checkpoint(checkpoint, arrays, {**self._metadata(), "training": training})  # type: ignore[arg-type]

        if checkpoint is not None:
            with suppress(OSError):  # of the same folder `save` will have a clearer word
                remove_partial_files(checkpoint)
        parameters = [p for _, p in self.named_parameters()]
        run = Run(
            [Player(parameters, Objective(settings, self.model_, self._encode))],
            # Pixels that are drawn afresh in each epoch stay grey until they are used.
            [X_train if likelihood.drawn_afresh else self._as_taken(X_train)],
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            order=stream(self._entropy_, ORDER),
            noise=stream(self._entropy_, NOISE),
            optimiser=lambda parameters: Adam(parameters, settings.learning_rate),
            monitor=monitor,
            hooks=hooks,
            save=None if checkpoint is None else save,
            show=_show if self.verbose else None,
        )
        run.history = self.history_  # one and the same: it grows where all can see it
        return run

    def _split(self, X: Array) -> tuple[Array, Array | None]:
        """Data to train on, and those held out, as the likelihood takes them."""
        held_out = n_held_out(len(X), self._settings_.validation)
        if not held_out:
            return X, None
        chosen = stream(self._entropy_, SPLIT).permutation(len(X))
        X_held = self._as_taken(X[np.sort(chosen[:held_out])])
        return X[np.sort(chosen[held_out:])], X_held

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

    # ---- looking at data through the model: it leaves the training's random streams alone ----

    def _encode(self, x: Any) -> Any:
        """q(z | x) of data as the likelihood takes them, Eq. VAE.1."""
        return self.encoder_(self.likelihood_.encoder_input(x))

    def _evaluation(self) -> Evaluation:
        settings = self._settings_
        K, components = settings.latent_dim, 1
        if isinstance(self.prior_, MixturePrior):
            components = len(self.prior_.means.data)
        return Evaluation(
            self.model_, self._encode, latent_dim=K, dtype=settings.dtype, entropy=self._entropy_,
            widest=max(self.n_features_in_, components * K, *settings.hidden),
        )  # fmt: skip

    def _checked(self, X: Any, operation: str) -> Array:
        """Data of the right width inside the likelihood's support, as the likelihood takes them."""
        self._require_fitted(operation, "model_")
        X = check_data(X, operation, dtype=self._settings_.dtype, n_features=self.n_features_in_)
        self.likelihood_.check(X)
        return self._as_taken(X)

    def _as_taken(self, X: Array) -> Array:
        """What the likelihood makes of the data; the same in each call."""
        taken: Array = self.likelihood_.as_taken(X, stream(self._entropy_, PIXELS))
        return taken

    def _check_eps(self, eps: Any, n: int, operation: str) -> Array | None:
        if eps is None:
            return None
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
            If it is not a bound on a likelihood (``grey="cross-entropy"``).
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
        if not self.likelihood_.is_density:
            warnings.warn(
                f"{operation}: with grey='cross-entropy' this is not a bound on a log-likelihood, "
                "for the Bernoulli density does not integrate to 1 over grey values; "
                "likelihood='continuous-bernoulli' is one that does",
                LikelihoodWarning,
                stacklevel=3,
            )
        self.check_params(("n_samples", "kl"))
        return self._evaluation().elbo_terms(X, self.n_samples, self.kl, eps)

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
            (``minivae.inference.laplace``), at the cost of one or two thousand samples more.

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
        if not self.likelihood_.is_density:
            raise ValueError(
                "log_likelihood: with grey='cross-entropy' the model has no likelihood of grey "
                "pixels; fit with likelihood='continuous-bernoulli', or with grey='threshold' or "
                "'sample'"
            )
        S, evaluation = n_samples if eps is None else len(eps), self._evaluation()
        if eps is not None or proposal == "encoder":
            weighed = evaluation.weights_from_encoder(X, S, eps)
        else:
            weighed = evaluation.weights_from_peaks(X, S)
        log_p, ess = (np.empty(len(X), self._settings_.dtype) for _ in range(2))
        for part, log_weights in weighed:
            log_p[part], _, ess[part] = estimate_from(log_weights)
        few = ~(ess >= min(10.0, 0.5 * S))  # an effective sample size that is NaN among them
        if few.any():
            warnings.warn(
                f"log_likelihood: {few.sum()} of {len(X)} estimates rest on fewer than 10 "
                f"effective samples (the least on {ess.min():.1f} of {S}) and are likely too low; "
                "raise n_samples",
                EffectiveSampleSizeWarning,
                stacklevel=2,
            )
        return (log_p, ess) if return_ess else log_p

    def posterior(self, X: Any) -> Any:
        """q(z | x) for each datum, with arrays ``mu`` and ``log_var`` of shape ``(N, K)``.

        Eq. VAE.1. Its ``sample(random_state)`` draws one z for each datum: together, draws from the
        aggregate posterior.
        """
        X = self._checked(X, "posterior")
        return self._evaluation().posterior(X)

    def transform(self, X: Any) -> Array:
        """The posterior means, of shape ``(N, K)``."""
        return self._codes(X, "transform")

    def _codes(self, X: Any, operation: str) -> Array:
        X = self._checked(X, operation)
        mean, _ = self._evaluation().posterior(X).moments()
        codes: Array = mean
        return codes

    def active_units(self, X: Any, threshold: float = 0.01) -> Array:
        """Which latent dimensions are in use: Var_x(E[z_k | x]) > threshold, Eq. VAE.5.

        Booleans of shape ``(K,)``, for data ``(N, D)``. Burda et al. (2016).
        """
        active: Array = self._codes(X, "active_units").var(axis=0, dtype=np.float64) > threshold
        return active

    def decode(self, z: Any) -> Array:
        """E[x | z] in the data's units, of shape ``(n, D)``, for z of shape ``(n, K)``."""
        self._require_fitted("decode", "model_")
        K, dtype = self._settings_.latent_dim, self._settings_.dtype
        return self._decode(check_data(z, "decode", dtype=dtype, n_features=K, name="z"))

    def _decode(self, z: Array) -> Array:
        return self._evaluation().decode(z, self.n_features_in_)

    def reconstruct(self, X: Any) -> Array:
        """E[x | z] at the posterior mean of each datum, of shape ``(N, D)``."""
        return self._decode(self._codes(X, "reconstruct"))

    def interpolate(self, a: Any, b: Any, n: int = 10) -> Array:
        """E[x | z] at ``n`` points on the line between the codes of two data, ``(n, D)``."""
        require_whole("interpolate", "n", n, least=2)
        start, end = (self._codes(np.reshape(x, (1, -1)), "interpolate") for x in (a, b))
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
        self._require_fitted("sample", "model_")
        require_whole("sample", "n", n, least=1)
        rng = self._sampling_
        if random_state is not None:
            rng = stream(entropy_from(random_state), SAMPLES)
        return self.model_.sample(n, rng)

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
            If it is not a ``minivae.GaussianMixture``.
        """
        self._require_fitted("with_prior", "model_")
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
        vae.model_.prior = prior_of(mixture, self._settings_.dtype)
        for place in (vars(vae), vars(vae._settings_)):
            place.update(prior="mixture", prior_components=C)
        return vae

    # ---- files ----

    def save(self, path: Path) -> None:
        """Write the fitted model to one file, without pickle; :meth:`load` reads it."""
        self._require_fitted("save", "model_")
        save_checkpoint(path, with_prefix("parameters.", self.state_dict()), self._metadata())

    def _metadata(self) -> dict[str, Any]:
        return {
            "kind": "vae",
            "params": params_to_json(vars(self._settings_)),
            "n_features": self.n_features_in_,
            "entropy": self._entropy_,
            "history": self.history_,
        }

    @classmethod
    def load(cls, path: Path, **modules: Any) -> Self:
        """Read a model that :meth:`save` or a training run wrote, the latter at its best so far.

        Parameters
        ----------
        path
            The file.
        modules
            ``encoder=``, ``decoder=``, ``likelihood=`` or ``prior=``, where the model has one of
            its own that a file without pickle cannot hold.

        Raises
        ------
        CheckpointError
            If the file is missing, truncated, not a checkpoint, or not of a VAE.
        """
        return cls._from_checkpoint(path, *load_checkpoint(path), modules)

    @classmethod
    def _from_checkpoint(
        cls,
        path: Path,
        arrays: Mapping[str, Array],
        metadata: Mapping[str, Any],
        modules: Mapping[str, Any],
    ) -> Self:
        with reading(path, "VAE"):
            if metadata["kind"] != "vae":
                raise CheckpointError(f"it is of kind {metadata['kind']!r}, not of a VAE")
            vae = cls._from_settings(params_from_json(metadata["params"], modules, cls.__name__))
            vae.check_params()
            rules.check_together(vae)
            likelihood, D = rules.make_likelihood(vae), metadata["n_features"]
            vae._build(vae._settings(), likelihood, D, metadata["entropy"])
            own = without_prefix("parameters.", arrays)
            # the best so far, if the run stops early: the only hook that keeps arrays
            best = {name.split(".", 2)[2]: a for name, a in arrays.items() if name[:5] == "hook."}
            vae.load_state_dict(best or own)
            vae.history_ = {name: list(values) for name, values in metadata["history"].items()}
        return vae


def n_held_out(n: int, share: float | None) -> int:
    """How many of ``n`` data a share of them is, at least one if there is a share.

    Raises
    ------
    ShapeError
        If none would be left.
    """
    if share is None:
        return 0
    held_out = max(1, round(share * n))
    if held_out >= n:
        raise ShapeError(f"fit: validation={share} leaves none of {n} data to train on")
    return held_out


def _show(metrics: Metrics) -> str:
    """The ELBO and its two terms, for the progress bar."""
    return f"ELBO {metrics['elbo']:.2f} = {metrics['reconstruction']:.2f} - {metrics['kl']:.2f}"
