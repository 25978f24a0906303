"""One run of training a variational autoencoder, and all that must survive a restart."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

import minivae_kernels as kernels
from minivae import ops
from minivae.checkpoint import (
    data_checksum,
    generator_state,
    remove_partial_files,
    restore_generator,
    save_checkpoint,
)
from minivae.errors import ShapeError
from minivae.objectives import elbo_terms, importance_weighted_bound, sample_terms
from minivae.optim import Adam
from minivae.randomness import stream
from minivae.tensor import Array, Tensor, wrap
from minivae.training import EarlyStopping, TrainingLoop
from minivae.vae.prior import MixturePrior

if TYPE_CHECKING:
    from minivae.vae.model import VAE

__all__ = [
    "Fitting", "OnEpoch", "n_held_out", "over", "sample_pixels", "threshold_pixels", "under",
]  # fmt: skip

OnEpoch = Callable[["VAE", int], object]

# The numbered random streams: training, evaluation and sampling never disturb each other.
WEIGHTS, ORDER, NOISE, SPLIT, EVALUATION, PIXELS, SAMPLES, PRIOR = range(8)


class Fitting:
    """One run of training: a model, its data, and what the loop asks of the two.

    Parameters
    ----------
    vae
        With its networks built.
    X
        Checked data ``(N, D)``.
    checkpoint, source, on_epoch
        As for ``VAE.fit``.
    """

    def __init__(
        self,
        vae: VAE,
        X: Array,
        checkpoint: str | os.PathLike[str] | None,
        source: str | None,
        on_epoch: OnEpoch | None,
    ) -> None:
        self.vae, self.settings = vae, vae._settings_
        settings = self.settings
        self.checkpoint, self.source, self.on_epoch = checkpoint, source, on_epoch
        self.checksum = "" if checkpoint is None else data_checksum(X)
        self.X, self.X_validation = self._split(X)
        self.noise = stream(vae._entropy_, NOISE)
        self.parameters = [p for _, p in vae.named_parameters()]
        self.optimiser = Adam(self.parameters, settings.learning_rate)
        self.best: dict[str, Array] = {}  # parameters by name, where there are validation data
        # While the prior is held at N(0, I), the ELBO is that of another model.
        held = settings.prior_warmup if isinstance(vae.prior_, MixturePrior) else 0
        stopping = EarlyStopping(settings.patience, held) if settings.validation else None
        self.loop = TrainingLoop(
            self,
            len(self.X),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            order=stream(vae._entropy_, ORDER),
            early_stopping=stopping,
            verbose=vae.verbose,
        )
        self.loop.history = vae.history_  # one and the same: it grows where all can see it

    def _split(self, X: Array) -> tuple[Array, Array | None]:
        """Data to train on and data to validate on, both as the likelihood takes them if it may."""
        X_validation = None
        if held_out := n_held_out(len(X), self.settings.validation):
            chosen = stream(self.vae._entropy_, SPLIT).permutation(len(X))
            X_validation = self.vae._pixels(X[np.sort(chosen[:held_out])])
            X = X[np.sort(chosen[held_out:])]
        # Pixels that are drawn afresh in each epoch stay grey until they are used.
        return X if self.settings.grey == "sample" else self.vae._pixels(X), X_validation

    def run(self) -> None:
        """Train to the end, and give the model its best parameters then."""
        if self.checkpoint is not None:
            with suppress(OSError):  # of the same folder `save` will have a clearer word
                remove_partial_files(self.checkpoint)
        try:
            self.loop.run()
        finally:
            if self.best and self.loop.finished:
                self.vae.load_state_dict(self.best)

    # ---- what the loop calls ----

    def step(self, index: Array, progress: float) -> dict[str, float]:
        """One step of Adam on a minibatch's loss, beta KL - reconstruction, Eq. VAE.4."""
        settings = self.settings
        if progress == settings.prior_warmup:
            self._start_prior()
        x = kernels.take_rows(self.X, index)
        if settings.grey == "sample":
            x = sample_pixels(x, self.noise)
        shape = (settings.n_samples, len(x), settings.latent_dim)
        eps = self.noise.standard_normal(shape, dtype=settings.dtype)
        beta = settings.beta
        if progress < settings.beta_warmup:
            beta *= progress / settings.beta_warmup
        loss, metrics = self._loss(x, eps, beta)
        if not math.isfinite(metrics["loss"]):
            raise FloatingPointError(
                f"fit: the loss became {metrics['loss']} in epoch {int(progress) + 1}; try a "
                f"smaller learning_rate than {settings.learning_rate}, or data divided by their "
                "scale; to resume would lead here again"
            )
        loss.backward()
        del loss  # and with it the tape, which holds the parameters: now they may be written to
        if progress < settings.prior_warmup:
            self._hold_prior()
        self.optimiser.step()
        for p in self.parameters:
            p.grad = None
        return metrics

    def _loss(self, x: Array, eps: Array, beta: float) -> tuple[Tensor, dict[str, float]]:
        """A minibatch's loss, and what the history keeps of it."""
        settings = self.settings
        model = self.vae._model(wrap(x), eps)
        if settings.objective == "importance-weighted":
            samples = sample_terms(*model)
            terms = samples.means
            log_weights = samples.log_likelihood - beta * samples.log_ratio
            loss = -ops.mean(importance_weighted_bound(log_weights))
        else:
            terms = elbo_terms(*model) if settings.kl == "analytic" else sample_terms(*model).means
            cost = terms.kl if beta == 1 else beta * terms.kl
            loss = ops.mean(cost - terms.reconstruction)
        reconstruction, kl = (float(t.data.sum(dtype=np.float64)) / len(x) for t in terms)
        elbo = reconstruction - kl
        metrics = {"loss": loss.item(), "elbo": elbo, "reconstruction": reconstruction, "kl": kl}
        return loss, metrics

    def _start_prior(self) -> None:
        """After the warm-up, begin with a mixture prior where the encoder has put the data."""
        vae, prior = self.vae, self.vae.prior_
        if isinstance(prior, MixturePrior):
            prior.start_at(*vae._posterior(vae._pixels(self.X)), stream(vae._entropy_, PRIOR))
            # The loss is another one from here on, of which Adam's averages know nothing.
            self.optimiser = Adam(self.parameters, self.settings.learning_rate)

    def _hold_prior(self) -> None:
        """During the warm-up, leave a mixture prior at N(0, I)."""
        if isinstance(self.vae.prior_, MixturePrior):
            for p in self.vae.prior_.parameters():
                p.grad = None

    def validate(self) -> dict[str, float]:
        """The ELBO of the held-out data."""
        if self.X_validation is None:
            return {}
        elbo = self.vae._evaluate(self.X_validation, self.settings).elbo
        return {"validation_elbo": float(elbo.mean(dtype=np.float64))}

    def remember_best(self) -> None:
        """Keep the present parameters as the best so far."""
        self.best = self.vae.state_dict()

    def epoch_ended(self, epoch: int) -> None:
        """Tell the caller."""
        if self.on_epoch is not None:
            self.on_epoch(self.vae, epoch)

    # ---- stopping and going on ----

    def save(self) -> None:
        """Write all that a restart needs."""
        if self.checkpoint is None:
            return
        arrays = {
            **over("parameters.", {name: p.data for name, p in self.vae.named_parameters()}),
            **over("optimiser.", self.optimiser.state_dict()),
            **over("best.", self.best),
        }
        training = {
            "loop": self.loop.state(),
            "noise": generator_state(self.noise),
            "sampling": generator_state(self.vae._sampling_),
            "checksum": self.checksum,
            "source": self.source,
        }
        save_checkpoint(self.checkpoint, arrays, {**self.vae._metadata(), "training": training})

    def restore(self, arrays: Mapping[str, Array], training: Mapping[str, Any]) -> None:
        """Go on from where :meth:`save` was called."""
        self.vae.load_state_dict(under("parameters.", arrays))
        self.optimiser.load_state_dict(under("optimiser.", arrays))
        self.best = under("best.", arrays)
        self.noise = restore_generator(training["noise"])
        self.vae._sampling_ = restore_generator(training["sampling"])
        self.loop.restore(training["loop"])


def over(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays with a prefix before their names."""
    return {prefix + name: array for name, array in arrays.items()}


def under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays whose names start with a prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


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


def threshold_pixels(X: Array) -> Array:
    """Pixels that are on from 1/2."""
    return (X >= 0.5).astype(X.dtype)


def sample_pixels(X: Array, rng: np.random.Generator) -> Array:
    """Pixels that are on with the grey value's probability."""
    return (rng.random(X.shape, dtype=X.dtype) < X).astype(X.dtype)
