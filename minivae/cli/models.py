"""The models that ``minivae train`` knows, and what to ask each with: data alone, or y as well."""

from typing import Any

import numpy as np

from minivae import VAE, ConditionalVAE, SemiSupervisedVAE
from minivae.datasets import Dataset
from minivae.errors import DatasetError
from minivae.models.resuming import KINDS
from minivae.tensor import Array

__all__ = ["MODELS", "asked", "decoded", "model_name", "require_y", "rows_of_y"]

MODELS: dict[str, type[VAE]] = {name.removesuffix("-vae"): kind for name, kind in KINDS.items()}
"""By what ``--model`` calls them."""

_MOST_ROWS = 10  # of conditions in a picture


def model_name(vae: VAE) -> str:
    """Return what ``--model`` calls a model."""
    return next(name for name, kind in MODELS.items() if kind is type(vae))


def require_y(vae: VAE, data: Dataset, y: Array | None, part: str) -> None:
    """Refuse data without the labels or conditions that a model is asked with.

    Raises
    ------
    DatasetError
        If they are missing.
    """
    if not isinstance(vae, ConditionalVAE):
        return
    halfway = isinstance(vae, SemiSupervisedVAE)
    if y is None and not (halfway and part == "test"):
        raise DatasetError(
            f"{data.name} has no labels for its {part} data, and --model {model_name(vae)} needs "
            "them: call a column of whole numbers label, or name columns by --conditions"
        )
    if not halfway and y is not None and y.ndim == 1 and (y < 0).any():
        raise DatasetError(
            f"{data.name} has {int((y < 0).sum())} data without a label; --model conditional "
            "needs all, and --model semi-supervised does not"
        )


def asked(vae: VAE, y: Array | None) -> tuple[Any, ...]:
    """Return what follows the data in a question: y, where p(x) is p(x given y), else nothing.

    A semi-supervised model is asked about x alone: what it says is of p(x).
    """
    if isinstance(vae, ConditionalVAE) and not isinstance(vae, SemiSupervisedVAE):
        return (y,)
    return ()


def decoded(vae: VAE, X: Array, y: Array | None) -> tuple[Any, ...]:
    """Return what follows the data where a code is decoded: a semi-supervised model finds y."""
    return (vae.predict(X),) if isinstance(vae, SemiSupervisedVAE) else asked(vae, y)


def rows_of_y(vae: VAE, y: Array | None) -> tuple[Any, list[str]] | None:
    """Return the conditions of a picture with a row for each, and what they are called.

    All classes; of one real-valued condition some from the least to the greatest; of several the
    first of the data.
    """
    if not isinstance(vae, ConditionalVAE):
        return None
    if vae.classes_ is not None:
        some = vae.classes_[: 2 * _MOST_ROWS]
        return some, [f"y = {k}" for k in some]
    if y is None:
        return None
    width = y.shape[1]
    rows = np.quantile(y, np.linspace(0.0, 1.0, 5), axis=0) if width == 1 else y[:_MOST_ROWS]
    return rows, [", ".join(f"{v:.3g}" for v in row[:3]) for row in rows]
