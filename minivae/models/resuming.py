"""Going on with a training run from its checkpoint."""

from __future__ import annotations

from typing import Any

from minivae import datasets
from minivae.checkpoint import data_checksum, load_checkpoint, restore_generator
from minivae.errors import CheckpointError
from minivae.models.categorical_vae import CategoricalVAE
from minivae.models.conditional import ConditionalVAE
from minivae.models.semi_supervised import SemiSupervisedVAE
from minivae.models.vae.files import reading
from minivae.models.vae.model import VAE, OnEpoch, Path, order_of
from minivae.stored import data_at_door
from minivae.training import without_prefix

__all__ = ["KINDS", "load_model", "resume"]

KINDS: dict[str, type[VAE]] = {
    kind._kind: kind for kind in (VAE, ConditionalVAE, SemiSupervisedVAE, CategoricalVAE)
}
"""The models that are trained by gradients, by what their files call them."""


def kind_of(path: Path, metadata: Any) -> type[VAE]:
    """The class of the model in a file.

    Raises
    ------
    CheckpointError
        If it is of another kind.
    """
    kind = metadata.get("kind")
    if kind not in KINDS:
        known = ", ".join(map(repr, KINDS))
        raise CheckpointError(f"{path} holds a model of kind {kind!r}, not one of {known}")
    return KINDS[kind]


def load_model(path: Path, **modules: Any) -> VAE:
    """A VAE or a relative of it, whichever a file holds; see :meth:`VAE.load`."""
    arrays, metadata = load_checkpoint(path)
    return kind_of(path, metadata)._from_checkpoint(path, arrays, metadata, modules)


def _in_words(order: Any) -> str:
    """The order of an epoch's rows."""
    if order is None:
        return "in an order of all"
    return f"in blocks of {order[0]}, {order[1]} at a time"


def resume(
    path: Path,
    X: Any = None,
    y: Any = None,
    *,
    on_epoch: OnEpoch | None = None,
    verbose: bool = False,
    **modules: Any,
) -> VAE:
    """Continue a training run from its checkpoint, as if it had never stopped: bit for bit.

    Parameters
    ----------
    path
        What ``fit(X, checkpoint=path)`` wrote; the run continues to write there.
    X
        The data that the run was started on; may be left out if ``fit`` was told their ``source``.
    y
        Their classes or conditions, for a model that takes them; likewise.
    on_epoch, verbose
        As for :meth:`VAE.fit` and :class:`VAE`.
    modules
        As for :meth:`VAE.load`.

    Raises
    ------
    CheckpointError
        If the file is not a checkpoint of a training run, or ``X`` are other data.
    DatasetError
        If the recorded ``source`` is not available.
    """
    arrays, metadata = load_checkpoint(path)
    vae = kind_of(path, metadata)._from_checkpoint(path, arrays, metadata, modules)
    vae.verbose = verbose
    if "training" not in metadata:
        raise CheckpointError(f"{path} is a saved model, not a training run: use VAE.load")
    training = metadata["training"]
    with reading(path, "VAE"):
        source, checksum = training["source"], training["checksum"]
    if X is None:
        if source is None:
            raise CheckpointError(
                f"{path} does not say where the data of its run are: hand them over, "
                "resume(path, X)"
            )
        data = datasets.load(source)
        X, y = data.model_arrays(counts=vae.likelihood_.takes_counts)[0], data.y_train
    vae._check_columns(X, "resume")
    X = data_at_door(
        X, "resume", dtype=vae.dtype, check=lambda rows: None, missing=vae.missing
    )
    C = vae._training_conditions(y, len(X))
    if data_checksum(X, C) != checksum:
        raise CheckpointError(
            f"{path}: X, of shape {X.shape}, is not what this run was started on; resume with the "
            "same data in the same order"
        )
    with reading(path, "VAE"):
        vae.load_state_dict(without_prefix("parameters.", arrays))
        run = vae._run(X, C, path, source, on_epoch)
        run.restore(training["position"], arrays)
        vae._sampling_ = restore_generator(training["sampling"])
    then, now = training.get("order"), order_of(run.data[0], run.batch_size)
    if then != now:
        raise CheckpointError(
            f"{path}: the run took its rows {_in_words(then)}, and these come {_in_words(now)}: "
            "hand X over as it was then, in memory or in a file of the same kind"
        )
    run.run()
    vae._check_outcome(run)
    return vae
