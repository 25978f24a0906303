"""One run of training a variational autoencoder, and all that must survive a restart."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import minivae_kernels as kernels
from minivae import ops
from minivae.checkpoint import data_checksum, generator_state, restore_generator, save_checkpoint
from minivae.distributions import Likelihood
from minivae.errors import CheckpointError
from minivae.estimator import stream
from minivae.objectives import elbo_terms, importance_weighted_bound, sample_terms
from minivae.optim import Adam
from minivae.tensor import Array, Tensor, wrap
from minivae.training import EarlyStopping, TrainingLoop

if TYPE_CHECKING:
    from minivae.vae.model import VAE

# The numbered random streams: training, evaluation and sampling never disturb each other.
WEIGHTS, ORDER, NOISE, SPLIT, EVALUATION, PIXELS, SAMPLES = range(7)


class Fitting:
    """One run of training: the model, the data and everything that must survive a restart."""

    def __init__(
        self,
        vae: VAE,
        likelihood: Likelihood,
        X: Array,
        entropy: int,
        checkpoint: str | os.PathLike[str] | None,
        source: str | None,
        on_epoch: Callable[[VAE, int], None] | None,
    ) -> None:
        self.vae, self.checkpoint, self.source, self.on_epoch = vae, checkpoint, source, on_epoch
        self.checksum = data_checksum(X) if checkpoint is not None else ""
        vae._entropy_ = entropy
        vae._sampling_ = stream(entropy, SAMPLES)
        vae._build(likelihood, X.shape[1], stream(entropy, WEIGHTS))
        self.X, self.X_validation = self._split(X, stream(entropy, SPLIT))
        vae._start_at(self.X)
        self.noise = stream(entropy, NOISE)
        self.parameters = [p for _, p in vae.named_parameters()]
        self.optimiser = Adam(self.parameters, vae.learning_rate)
        self.best: dict[str, Array] = {}
        self.loop = TrainingLoop(
            self,
            len(self.X),
            epochs=vae.epochs,
            batch_size=vae.batch_size,
            order=stream(entropy, ORDER),
            early_stopping=EarlyStopping(vae.patience) if vae.validation else None,
            verbose=vae.verbose,
        )
        vae.history_ = self.loop.history

    def _split(self, X: Array, rng: np.random.Generator) -> tuple[Array, Array | None]:
        if not self.vae.validation:
            return X, None
        held_out = self.vae._n_held_out(X)
        chosen = rng.permutation(len(X))
        return X[np.sort(chosen[held_out:])], self.vae._checked(
            X[np.sort(chosen[:held_out])], "fit"
        )

    def start(self) -> None:
        """Run the loop, and give the model its best parameters at the end."""
        self.loop.run()
        if self.best:
            self.vae.load_state_dict(self.best)

    # what the loop calls

    def step(self, index: Array, progress: float) -> dict[str, float]:
        """One step of Adam on a minibatch's loss, beta KL - reconstruction, Eq. VAE.4."""
        vae = self.vae
        x = kernels.take_rows(self.X, index)
        if vae.grey == "threshold":
            x = threshold(x)
        elif vae.grey == "sample":
            x = sample_pixels(x, self.noise)
        eps = standard_normal(self.noise, (vae.n_samples, len(x), vae.latent_dim), vae.dtype)
        beta = vae.beta * (min(1.0, progress / vae.beta_warmup) if vae.beta_warmup else 1.0)
        model = (self._encode, vae.decoder_, vae.likelihood_, wrap(x), eps, vae.prior_)
        if vae.objective == "importance-weighted":
            samples = sample_terms(*model)
            terms = samples.means
            log_weights = samples.log_likelihood - beta * samples.log_ratio
            loss = -ops.mean(importance_weighted_bound(log_weights))
        else:
            terms = elbo_terms(*model) if vae.kl == "analytic" else sample_terms(*model).means
            loss = ops.mean(beta * terms.kl - terms.reconstruction)
        loss.backward()
        self.optimiser.step()
        for p in self.parameters:
            p.grad = None
        reconstruction = float(terms.reconstruction.data.mean(dtype=np.float64))
        kl = float(terms.kl.data.mean(dtype=np.float64))
        return {
            "loss": loss.item(),
            "elbo": reconstruction - kl,
            "reconstruction": reconstruction,
            "kl": kl,
        }

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.vae.encoder_(wrap(np.asarray(self.vae.likelihood_.encoder_input(x.data))))

    def validate(self) -> dict[str, float]:
        """The ELBO of the held-out data."""
        if self.X_validation is None:
            return {}
        return {
            "validation_elbo": float(
                self.vae._elbo_terms(self.X_validation).elbo.mean(dtype=np.float64)
            )
        }

    def remember_best(self) -> None:
        """Keep the present parameters as the best so far."""
        self.best = self.vae.state_dict()

    def epoch_ended(self, epoch: int) -> None:
        """Tell the caller."""
        if self.on_epoch is not None:
            self.on_epoch(self.vae, epoch)

    def save(self) -> None:
        """Write all that a restart needs."""
        if self.checkpoint is None:
            return
        arrays = {f"parameters.{name}": p.data for name, p in self.vae.named_parameters()}
        arrays |= {
            f"optimiser.{name}": value for name, value in self.optimiser.state_dict().items()
        }
        arrays |= {f"best.{name}": value for name, value in self.best.items()}
        training = {
            "loop": self.loop.state(),
            "noise": generator_state(self.noise),
            "checksum": self.checksum,
            "source": self.source,
        }
        save_checkpoint(self.checkpoint, arrays, {**self.vae._metadata(), "training": training})

    def restore(
        self, path: str | os.PathLike[str], arrays: Mapping[str, Array], metadata: Mapping[str, Any]
    ) -> None:
        """Go on from where :meth:`save` was called."""
        training = metadata["training"]
        if training["checksum"] != self.checksum:
            raise CheckpointError(
                f"{path}: X is not what this run was started on; resume with the same data"
            )
        self.vae.load_state_dict(under("parameters.", arrays))
        self.optimiser.load_state_dict(under("optimiser.", arrays))
        self.best = under("best.", arrays)
        self.noise = restore_generator(training["noise"])
        self.loop.restore(training["loop"])
        self.vae.history_ = self.loop.history


def under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays whose names start with a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def threshold(X: Array) -> Array:
    """Pixels that are on from 1/2."""
    return (X >= 0.5).astype(X.dtype)


def sample_pixels(X: Array, rng: np.random.Generator) -> Array:
    """Pixels that are on with the grey value's probability."""
    return (rng.random(X.shape) < X).astype(X.dtype)


def standard_normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Standard normal noise in the model's dtype."""
    return rng.standard_normal(shape, dtype=dtype)
