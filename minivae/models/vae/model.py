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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, ClassVar, Self

import numpy as np

from minivae.checkpoint import (
    data_checksum,
    generator_state,
    load_checkpoint,
    remove_partial_files,
    save_checkpoint,
)
from minivae.checks import column_names, is_real, require_values
from minivae.distributions import Distribution, Likelihood, MixturePrior, VampPrior
from minivae.errors import CheckpointError, ConvergenceWarning, ShapeError, warn
from minivae.latent_model import LatentModel
from minivae.models.mixture import GaussianMixture
from minivae.models.vae import hyperparameters as rules
from minivae.models.vae.evaluation import (
    NOISE,
    ORDER,
    PRIOR,
    SAMPLES,
    SPLIT,
    START,
    WEIGHTS,
)
from minivae.models.vae.files import (
    check_sizes,
    is_plain,
    params_from_json,
    params_to_json,
    reading,
)
from minivae.models.vae.fitted import FittedVAE
from minivae.models.vae.networks import Encoder, trunk
from minivae.models.vae.objective import Objective
from minivae.models.vae.prior_warmup import PriorWarmup, prior_of
from minivae.optim import Adam
from minivae.randomness import entropy_from, stream
from minivae.stored import StoredRows, at_most, data_at_door
from minivae.tensor import Array
from minivae.training import (
    EachEpoch,
    EarlyStopping,
    Hook,
    Loss,
    Metrics,
    Player,
    Run,
    with_prefix,
    without_prefix,
)

__all__ = ["VAE"]

Path = str | os.PathLike[str]
OnEpoch = Callable[["VAE", int], object]
MOST_TO_START = 2**16  # rows on disk that the first biases and scales are found on

class VAE(FittedVAE):
    """A variational autoencoder: q(z | x) by an encoder, p(x | z) by a decoder and a likelihood.

    Hyper-parameters that are changed after ``fit`` take effect in the next ``fit``, except
    ``n_samples`` and ``kl``, which also say how :meth:`elbo` is evaluated.

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
    n_features_in_, feature_names_in_
        D, the number of features, and what they are called, if all have names that are strings.

    References
    ----------
    Kingma and Welling (2014), Auto-Encoding Variational Bayes; Rezende, Mohamed and Wierstra
    (2014).
    """

    _kind = "vae"  # what a file calls it
    _encoder_kind: ClassVar[Any] = Encoder

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
            Data of shape ``(N, D)``, in the units of the likelihood: in memory, or a
            ``numpy.memmap``, an HDF5 or a Zarr array, which stays on disk. Of these rows come in
            the order of Eq. LARGE.2, and at most 65,536 drawn at random set the first biases.
        y
            Ignored; there for pipelines.
        checkpoint
            A file to write before the first step, after every epoch and on Ctrl-C;
            ``minivae.resume`` goes on from it.
        source
            The name or path under which :func:`minivae.datasets.load` finds the data again;
            recorded in the checkpoint so that ``resume`` need not be handed them.
        on_epoch
            Called as ``on_epoch(self, epoch)`` before the first step (epoch 0) and after each
            epoch, just before its checkpoint; if the process is killed in between, it is called
            again. What it evaluates or samples does not change the training.

        Raises
        ------
        ValueError, TypeError
            If a hyper-parameter makes no sense, or the data are not what the likelihood is a
            density of; the model is as it was.
        FloatingPointError
            If the loss becomes infinite or NaN, and the model is as it was before that step; or if
            the trained model gives its data no finite ELBO, and it is as it was before ``fit``.
        CheckpointError
            If the checkpoint cannot be written; the last one is intact, and the model usable. If
            it is the first, the model is as it was.
        KeyboardInterrupt
            After Ctrl-C, between two steps; the model is usable as far as it got.

        Warns
        -----
        ConvergenceWarning
            If the ELBO fell by more than ten times its size during training.
        """
        return self._fit(X, None, checkpoint, source, on_epoch)

    def _fit(
        self,
        X: Any,
        C: Array | None,
        checkpoint: Path | None,
        source: str | None,
        on_epoch: OnEpoch | None,
    ) -> Self:
        """Train on data, and on conditions ``(N, C)`` where a model takes them."""
        self.check_params()
        rules.check_together(self)
        if C is not None and self.prior == "vamp":
            raise ValueError(
                f"{type(self).__name__}: prior='vamp' goes with an encoder that sees x alone; "
                "use 'standard' or 'mixture'"
            )
        settings, likelihood = self._settings(), rules.make_likelihood(self)
        names = column_names(X, "fit")
        X = data_at_door(
            X, "fit", dtype=self.dtype, check=likelihood.check, missing=self.missing
        )
        if isinstance(X, StoredRows):
            X.check()
        elif self.missing == "marginalise":
            require_values("fit", ~np.isnan(X))
        rules.check_mixture(settings, len(X) - n_held_out(len(X), self.validation))
        before = vars(self).copy()
        try:
            width = None if C is None else C.shape[1]
            entropy = entropy_from(self.random_state)
            self._build(settings, likelihood, X.shape[1], entropy, width)
            self._take_columns(names)
            run = self._run(X, C, checkpoint, source, on_epoch)
            first = run.data[0]
            if isinstance(first, StoredRows):
                first = first.sample(MOST_TO_START, stream(entropy, START))
            self.likelihood_.start_at(first)
            self._start_prior(first)
        except BaseException:  # also what a module of the user's raises, and Ctrl-C
            self._become(before)
            raise
        try:
            run.run()
        except Exception:
            if run.epoch == run.batch == 0:  # nothing has been learnt yet
                self._become(before)
            raise
        try:
            self._check_outcome(run)
        except FloatingPointError:
            self._become(before)
            raise
        return self

    def _start_prior(self, X: Array) -> None:
        """Let pseudo-inputs begin at data, no datum twice."""
        if self._settings_.prior == "vamp" and isinstance(self.prior_, VampPrior):
            rng = stream(self._entropy_, PRIOR)
            chosen = rng.choice(len(X), self.prior_.n_components, replace=False)
            self.prior_.inputs.data = self.likelihood_.encoder_input(self._as_taken(X[chosen]))

    def _check_outcome(self, run: Run) -> None:
        """Look at where the last step led: the loss that was watched is that before it."""
        elbo = np.array(run.history["elbo"])
        best = np.maximum.accumulate(elbo)
        mend = f"try a smaller learning_rate than {self._settings_.learning_rate}"
        if self._settings_.likelihood == "gaussian" and not self._settings_.standardise:
            mend += ", or standardise=True for data far from zero"
        x, *conditions = (a[: self._settings_.batch_size] for a in run.data)
        terms = self._evaluation().elbo_terms(self._as_taken(x), 1, "analytic", None, *conditions)
        final = terms.elbo
        if not np.isfinite(final).all():
            i = int(np.argmin(np.isfinite(final)))
            raise FloatingPointError(
                f"fit: after the last step the ELBO of datum {i} is {final[i]}: training has "
                f"diverged; {mend}"
            )
        fell = np.flatnonzero(best - elbo > 10.0 * np.maximum(1.0, np.abs(best)))
        if len(fell):
            t = int(fell[0])
            warn(
                f"fit: in epoch {t + 1} the ELBO was {elbo[t]:.3g}, after {best[t]:.3g}: training "
                f"is unstable; {mend}",
                ConvergenceWarning,
            )

    def _become(self, attributes: Mapping[str, Any]) -> None:
        vars(self).clear()
        vars(self).update(attributes)

    def _build(
        self,
        settings: SimpleNamespace,
        likelihood: Likelihood,
        D: int,
        entropy: int,
        width: int | None = None,
    ) -> None:
        """Everything that is fitted, at its initial value; conditions have ``width`` columns."""
        settings.hidden, settings.dtype = tuple(settings.hidden), np.dtype(settings.dtype).name
        self._settings_, self._entropy_ = settings, entropy
        self._sampling_, self.history_ = stream(entropy, SAMPLES), {}
        self.n_features_in_, self._condition_width_ = D, width
        rng, dtype, K = stream(entropy, WEIGHTS), settings.dtype, settings.latent_dim
        style: dict[str, Any] = {"activation": settings.activation, "rng": rng, "dtype": dtype}
        c = () if width is None else (np.zeros((2, width), dtype),)
        seen, z = likelihood.encoder_input(np.zeros((2, D), dtype)), np.zeros((2, K), dtype)
        self.encoder_ = copy.deepcopy(settings.encoder)
        if self.encoder_ is None:
            self.encoder_ = self._encoder_kind(
                seen.shape[1], settings.hidden, K, condition=width, **style
            )
        else:
            rules.check_encoder(self.encoder_, (seen, *c), K)
        own_decoder = copy.deepcopy(settings.decoder)
        if own_decoder is None:
            own_decoder = trunk(K, settings.hidden[::-1], width, **style)
        features = rules.check_decoder(own_decoder, (z, *c), likelihood, D)
        built = likelihood.built(features, D, rng=rng, dtype=dtype)
        prior = self._prior_of(settings, seen.shape[1])
        self.model_ = LatentModel(prior, own_decoder, built)

    def _prior_of(self, settings: SimpleNamespace, seen: int) -> Distribution:
        """p(z), for an encoder that sees so many columns."""
        return rules.make_prior(settings, self.encoder_, seen)

    def _run(
        self,
        X: Array,
        C: Array | None,
        checkpoint: Path | None,
        source: str | None,
        on_epoch: OnEpoch | None,
    ) -> Run:
        """The run that trains this model on checked data and conditions."""
        settings, likelihood = self._settings_, self.likelihood_
        train, held = self._split(len(X))
        X_train, *C_train = (_some(a, train) for a in (X, C) if a is not None)
        X_held, *C_held = (_some(a, held) for a in (X, C) if a is not None)
        hooks: list[Hook] = []
        prior, warmup = self.prior_, 0
        if settings.prior == "mixture" and isinstance(prior, MixturePrior):
            # While the prior is held at N(0, I), the ELBO is that of another model.
            warmup = settings.prior_warmup
            codes, rng = self._as_taken(X_train), stream(self._entropy_, PRIOR)
            hooks.append(
                PriorWarmup(
                    prior, warmup, lambda: self._evaluation().posterior(codes, *C_train), rng
                )
            )
        if len(X_held):
            hooks.append(
                EarlyStopping(
                    "validation_elbo", settings.patience, warmup, self.state_dict,
                    self.load_state_dict,
                )
            )  # fmt: skip
        if on_epoch is not None:
            hooks.append(EachEpoch(lambda epoch: on_epoch(self, epoch)))

        taken = self._as_taken(X_held)

        def keep_best_scale() -> None:
            rows = at_most(len(X_train), MOST_TO_START, stream(self._entropy_, START))
            x, *c = (_some(a, rows)[:] for a in (X_train, *C_train))
            evaluation = self._evaluation()
            evaluation.model = self.model_.in_training()
            terms = evaluation.elbo_terms(x, settings.n_samples, settings.kl, None, *c)
            likelihood.keep_best_scale(terms.reconstruction, x)

        def monitor() -> Metrics:
            if likelihood.in_training() is not likelihood:
                keep_best_scale()
            if not len(X_held):
                return {}
            terms = self._evaluation().elbo_terms(
                taken, settings.n_samples, settings.kl, None, *C_held
            )
            return {"validation_elbo": float(terms.elbo.mean(dtype=np.float64))}

        checksum = "" if checkpoint is None else data_checksum(X, C)

        def save(run: Run) -> None:
            position, arrays = run.state()
            training = {
                "position": position,
                "sampling": generator_state(self._sampling_),
                "checksum": checksum,
                "order": order_of(X_train, settings.batch_size),
                "source": source,
            }
            arrays |= with_prefix("parameters.", {n: p.data for n, p in self.named_parameters()})
            save_checkpoint(checkpoint, arrays, {**self._metadata(), "training": training})  # type: ignore[arg-type]

        if checkpoint is not None:
            with suppress(OSError):  # of the same folder `save` will have a clearer word
                remove_partial_files(checkpoint)
        parameters = [p for _, p in self.named_parameters()]
        run = Run(
            [Player(parameters, self._objective(C_train))],
            # Pixels that are drawn afresh in each epoch stay grey until they are used.
            [X_train if likelihood.drawn_afresh else self._as_taken(X_train), *C_train],
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            order=stream(self._entropy_, ORDER),
            noise=stream(self._entropy_, NOISE),
            optimiser=lambda parameters: Adam(parameters, settings.learning_rate),
            monitor=monitor,
            hooks=hooks,
            save=None if checkpoint is None else save,
            show=_show if self.verbose else None,
            # A module of one's own may do more than compute, and is called in every step.
            replay=all(map(_is_ours, [settings.encoder, settings.decoder, likelihood, prior])),
        )
        run.history = self.history_  # one and the same: it grows where all can see it
        return run

    def _objective(self, conditions: Sequence[Array]) -> Loss:
        """The loss of a minibatch; ``conditions`` are those of the data to train on, if any."""
        return Objective(self._settings_, self.model_, self._encode)

    def _split(self, n: int) -> tuple[Any, Any]:
        """The rows to train on, and those held out."""
        held_out = n_held_out(n, self._settings_.validation)
        if not held_out:
            return slice(None), slice(0)
        chosen = stream(self._entropy_, SPLIT).permutation(n)
        return np.sort(chosen[held_out:]), np.sort(chosen[:held_out])

    def with_prior(self, mixture: GaussianMixture) -> Self:
        """A copy of this model whose prior is a mixture that was fitted to its codes.

        The best prior for the ELBO is the aggregate posterior, whose draws
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
        settings = vars(self._settings_)
        return {
            "kind": self._kind,
            "condition": self._condition_width_,
            "params": params_to_json({name: settings[name] for name in self.declared}),
            # what a subclass's own constructor takes, as far as a file can hold it
            "own": {k: v for k, v in settings.items() if k not in self.declared and is_plain(v)},
            "n_features": self.n_features_in_,
            "feature_names": list(getattr(self, "feature_names_in_", ())),
            "entropy": self._entropy_,
            "history": self.history_,
        }

    def _training_conditions(self, y: Any, n: int) -> Array | None:
        """What a resumed run is trained on besides data: nothing here."""
        return None

    def _take_metadata(self, metadata: Mapping[str, Any]) -> None:
        """What a file says besides settings and parameters."""
        self.history_ = {name: list(values) for name, values in metadata["history"].items()}
        if not all(is_real(value) for values in self.history_.values() for value in values):
            raise ValueError("its history holds what is not a number")
        self._load_columns(metadata.get("feature_names"), self.n_features_in_)

    @classmethod
    def load(cls, path: Path, **modules: Any) -> Self:
        """Read a model that :meth:`save` or a training run wrote; of a run, the best model so far.

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
            if metadata["kind"] != cls._kind:
                raise CheckpointError(f"it is of kind {metadata['kind']!r}, not {cls._kind!r}")
            params = params_from_json(metadata["params"], modules, cls.__name__)
            own = {name: v for name, v in metadata["own"].items() if name in cls._names()}
            vae = cls._from_settings({**params, **own})
            vae.check_params()
            rules.check_together(vae)
            likelihood, D = rules.make_likelihood(vae), metadata["n_features"]
            check_sizes(vae, likelihood, metadata, arrays)
            vae._build(vae._settings(), likelihood, D, metadata["entropy"], metadata["condition"])
            best = without_prefix(f"{EarlyStopping.name}.", arrays)
            vae.load_state_dict(best or without_prefix("parameters.", arrays))
            vae._take_metadata(metadata)
        return vae


def order_of(X: Any, batch_size: int) -> list[int] | None:
    """Rows in a block and blocks in a pool, which decide the order of rows; None for any order."""
    if not isinstance(X, StoredRows):
        return None
    B, W = X.block_rows, X.pool_blocks(batch_size)
    return [B, W] if len(X) > B * W else None


def _some(a: Any, rows: Any) -> Any:
    """Some rows of data in memory, or the promise of some on disk."""
    return a.select(rows) if isinstance(a, StoredRows) else a[rows]


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


def _is_ours(part: Any) -> bool:
    """Whether a part of a model is not there, or of a class of this package."""
    return part is None or type(part).__module__.partition(".")[0] == __name__.partition(".")[0]


def _show(metrics: Metrics) -> str:
    """The ELBO and its two terms, for the progress bar."""
    return f"ELBO {metrics['elbo']:.2f} = {metrics['reconstruction']:.2f} - {metrics['kl']:.2f}"
