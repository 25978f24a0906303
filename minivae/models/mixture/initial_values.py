"""Initial values from the user, and their checks.

The messages keep the phrases of scikit-learn's, because people look for them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minivae.checks import as_float64
from minivae.distributions.mixture import first_asymmetric
from minivae.tensor import Array
from minivae_kernels.mixture import covariance_shapes

__all__ = ["Given", "check_initial"]

_LEAST = np.finfo(np.float64).tiny  # of a precision: the inverse of less is not a number


class Given(NamedTuple):
    """What the user has said of the start; None for what is to be found."""

    weights: Array | None
    means: Array | None
    precisions: Array | None


def check_initial(
    weights: Any, means: Any, precisions: Any, covariance_type: str, K: int, D: int
) -> Given:
    """Initial values as new float64 arrays; None stays None.

    Raises
    ------
    ValueError
        If a shape is wrong, a number is not finite, the weights are not probabilities, or a
        precision is not positive definite; the component is named, and its smallest eigenvalue.
    """
    pi = _as_numbers(weights, "weights", (K,))
    mu = _as_numbers(means, "means", (K, D))
    P = _as_numbers(
        precisions, f"{covariance_type} precision", covariance_shapes(K, D)[covariance_type]
    )
    if pi is not None:
        _check_probabilities(pi)
    if P is not None:
        _check_positive(P, covariance_type)
    return Given(pi, mu, P)


def _as_numbers(value: Any, name: str, shape: tuple[int, ...]) -> Array | None:
    if value is None:
        return None
    array = as_float64(value, f"fit: The parameter '{name}'")
    if array.shape != shape:
        raise ValueError(
            f"fit: The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )
    if not np.isfinite(array).all():
        place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise ValueError(f"fit: The parameter '{name}' is {array[place]} at {place}")
    return array


def _check_probabilities(weights: Array) -> None:
    if (weights < 0).any() or (weights > 1).any():
        low, high = weights.min(), weights.max()
        raise ValueError(
            f"fit: weights_init must be probabilities; they run from {low:.5f} to {high:.5f}. (In "
            "scikit-learn's words, which name the two the wrong way round: The parameter 'weights' "
            f"should be in the range [0, 1], but got max value {low:.5f}, min value {high:.5f})"
        )
    if abs(weights.sum() - 1) > 1e-6:
        raise ValueError(
            "fit: The parameter 'weights' should be normalized, but got sum(weights) = "
            f"{weights.sum():.5f}; divide them by their sum"
        )


def _check_positive(precisions: Array, covariance_type: str) -> None:
    if covariance_type in ("diag", "spherical"):
        if not (precisions > _LEAST).all():
            place = np.argwhere(~(precisions > _LEAST))[0]
            raise ValueError(
                f"fit: '{covariance_type} precision' should be positive; that of component "
                f"{place[0]} is {precisions[tuple(place)]}"
            )
        return
    rule = f"fit: '{covariance_type} precision' should be symmetric, positive-definite; "

    def that_of(k: int) -> str:
        return "that of " + (f"component {k}" if covariance_type == "full" else "all components")

    k = first_asymmetric(precisions)
    if k is not None:
        raise ValueError(f"{rule}{that_of(k)} is not symmetric")
    for k, P in enumerate(precisions.reshape(-1, *precisions.shape[-2:])):
        values = np.linalg.eigvalsh(P)
        least = values[0]
        if not least > max(len(P) * np.finfo(float).eps * values[-1], _LEAST):
            raise ValueError(f"{rule}{that_of(k)} has the eigenvalue {least:.6g}")
