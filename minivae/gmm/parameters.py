"""What a mixture is made of, and covariances held above a floor.

- `Parameters`: pi, mu, Sigma, and the factors of the precisions;
- `constrained`: the covariances nearest to the data's scatter that respect the floor;
- `check_initial`: initial values from the user.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack, solve_triangular

from minivae.gmm.data import as_floats
from minivae.tensor import Array
from minivae_kernels.mixture import covariance_shapes

__all__ = [
    "Parameters",
    "SingularError",
    "as_matrices",
    "check_initial",
    "constrained",
    "factors_of_precisions",
]

_LEAST = np.finfo(np.float64).tiny  # of a precision: the inverse of less is no number


class SingularError(ValueError):
    """Covariances that are not positive definite, where no floor holds them up."""

    def __init__(self, components: list[int]) -> None:
        super().__init__(f"singular covariances of components {components}")
        self.components = components


class Parameters(NamedTuple):
    """p(x) = sum_k pi_k N(x; mu_k, Sigma_k)."""

    covariance_type: str

    weights: Array
    """pi, of shape ``(K,)``."""

    means: Array
    """mu, of shape ``(K, D)``."""

    covariances: Array
    """Sigma: ``(K, D, D)`` for full, ``(D, D)`` for tied, ``(K, D)`` for diag, ``(K,)`` for
    spherical."""

    precisions_cholesky: Array
    """U, upper triangular, with Sigma^-1 = U U^T; 1/sigma for diag and spherical."""

    @property
    def mixture(self) -> tuple[Array, Array, Array, str]:
        """What the kernels take after the data."""
        return self.weights, self.means, self.precisions_cholesky, self.covariance_type

    @property
    def precisions(self) -> Array:
        """Sigma^-1, in the shape of the covariances."""
        U = self.precisions_cholesky
        if self.covariance_type in ("diag", "spherical"):
            return np.asarray(U**2)
        return U @ np.swapaxes(U, -1, -2)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """n draws in the order of their components, ``(n, D)``, and the components ``(n,)``."""
        D = self.means.shape[1]
        counts = rng.multinomial(n, self.weights / self.weights.sum())
        z = np.repeat(np.arange(len(counts)), counts)
        eps = rng.standard_normal((n, D))
        U = self.precisions_cholesky
        if self.covariance_type == "diag":
            eps /= U[z]
        elif self.covariance_type == "spherical":
            eps /= U[z, None]
        elif self.covariance_type == "tied":
            eps = solve_triangular(U, eps.T, trans="T").T
        else:  # x - mu = U^-T eps has covariance U^-T U^-1 = Sigma
            for k in np.flatnonzero(counts):
                eps[z == k] = solve_triangular(U[k], eps[z == k].T, trans="T").T
        return self.means[z] + eps, z


def as_matrices(covariances: Array, covariance_type: str, K: int, D: int) -> Array:
    """Covariances of any type as K matrices, ``(K, D, D)``."""
    if covariance_type in ("full", "tied"):
        return np.broadcast_to(covariances, (K, D, D))
    variances = np.broadcast_to(np.reshape(covariances, (K, -1)), (K, D))
    return variances[:, :, None] * np.eye(D)


def n_parameters(covariance_type: str, K: int, D: int) -> int:
    """How many numbers are free in a mixture, for BIC and AIC."""
    matrix = D * (D + 1) // 2
    covariances = {"full": K * matrix, "tied": matrix, "diag": K * D, "spherical": K}
    return covariances[covariance_type] + K * D + K - 1


def constrained(scatter: Array, covariance_type: str, floor: float) -> tuple[Array, Array, Array]:
    """The most likely covariances none of whose eigenvalues is below the floor, Eq. GMM.7.

    Given the scatter S of its data, the covariance that maximises
    -log|Sigma| - tr(Sigma^-1 S) subject to Sigma >= floor I has S's eigenvectors, and S's
    eigenvalues raised to the floor where they are below.

    Parameters
    ----------
    scatter
        S, in the shape of the covariances.
    covariance_type
        ``"full"``, ``"tied"``, ``"diag"`` or ``"spherical"``.
    floor
        The least eigenvalue.

    Returns
    -------
    The covariances, the factors of their inverses, and how many eigenvalues were raised in each.

    Raises
    ------
    SingularError
        If the floor is 0 and a covariance is singular to working precision.
    """
    if covariance_type in ("diag", "spherical"):
        low = scatter < floor if floor > 0 else ~(scatter > 0)
        raised = low if low.ndim == 1 else low.sum(axis=1)
        if floor == 0 and raised.any():
            raise SingularError(np.flatnonzero(raised).tolist())
        covariances = np.maximum(scatter, floor)
        return covariances, 1 / np.sqrt(covariances), raised.astype(np.int64)
    if covariance_type == "tied":
        S, U, raised = constrained(scatter[None], "full", floor)
        return S[0], U[0], raised
    covariances, factors = scatter.copy(), np.empty_like(scatter)
    raised = np.zeros(len(scatter), np.int64)
    for k, S in enumerate(scatter):
        if _exceeds(S, floor):
            factors[k] = _inverse_factor(S)
        elif floor > 0:
            covariances[k], factors[k], raised[k] = _raise_eigenvalues(S, floor)
        else:
            raised[k] = 1
    if floor == 0 and raised.any():
        raise SingularError(np.flatnonzero(raised).tolist())
    return covariances, factors, raised


def _exceeds(S: Array, floor: float) -> bool:
    """Whether S > floor I, to working precision if the floor is 0."""
    D = len(S)
    L, info = lapack.dpotrf(S - floor * np.eye(D), lower=1)
    if info != 0:
        return False
    # A pivot that is all rounding error stands for a direction without variance.
    noise = 4 * D * np.finfo(float).eps * np.diagonal(S)
    return floor > 0 or bool((np.diagonal(L) ** 2 > noise).all())


def _inverse_factor(S: Array) -> Array:
    """U = L^-T for S = L L^T, so that S^-1 = U U^T."""
    L, _ = lapack.dpotrf(S, lower=1, clean=1)
    inverse, _ = lapack.dtrtri(L, lower=1)
    return np.asarray(inverse).T


def _raise_eigenvalues(S: Array, floor: float) -> tuple[Array, Array, int]:
    """S with its eigenvalues raised to the floor, the factor of its inverse, how many were raised.

    The factor is had from the eigenvectors and not from the matrix, in whose rounding a floor far
    below the largest eigenvalue would drown.
    """
    values, vectors = np.linalg.eigh(S)
    raised = int((values < floor).sum())
    values = np.maximum(values, floor)
    covariance = (vectors * values) @ vectors.T
    # Sigma^-1 = A A^T with A = V / sqrt(values). Reversing rows makes of A^T = Q R a triangular U.
    R: Array = np.linalg.qr((vectors / np.sqrt(values)).T[:, ::-1])[1]
    U = R.T[::-1, ::-1]
    return 0.5 * (covariance + covariance.T), U * np.sign(np.diagonal(U)), raised


def factors_of_precisions(precisions: Array, covariance_type: str) -> tuple[Array, Array]:
    """The covariances that belong to precisions, and the upper triangular factors of the latter."""
    if covariance_type in ("diag", "spherical"):
        return 1 / precisions, np.sqrt(precisions)
    # P reversed in rows and columns is L L^T; so P is U U^T with U = L reversed.
    U = np.linalg.cholesky(precisions[..., ::-1, ::-1])[..., ::-1, ::-1]
    inverse = np.linalg.inv(U)
    return np.swapaxes(inverse, -1, -2) @ inverse, np.ascontiguousarray(U)


# Initial values from the user --------------------------------------------------------------------
#
# The messages keep the phrases of scikit-learn's, because people look for them.


def check_initial(
    weights: Any, means: Any, precisions: Any, covariance_type: str, K: int, D: int
) -> tuple[Array | None, Array | None, Array | None]:
    """Initial values as float64 arrays of their own; None stays None.

    Raises
    ------
    ValueError
        If a shape is wrong, a number is not finite, the weights are no probabilities, or a
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
    return pi, mu, P


def _as_numbers(value: Any, name: str, shape: tuple[int, ...]) -> Array | None:
    if value is None:
        return None
    array = as_floats(value, f"fit: The parameter '{name}'")
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
    for k, P in enumerate(precisions.reshape(-1, *precisions.shape[-2:])):
        which = f"component {k}" if covariance_type == "full" else "all components"
        rule = f"fit: '{covariance_type} precision' should be symmetric, positive-definite; "
        if not np.allclose(P, P.T):
            raise ValueError(f"{rule}that of {which} is not symmetric")
        values = np.linalg.eigvalsh(P)
        least = values[0]
        if not least > max(len(P) * np.finfo(float).eps * values[-1], _LEAST):
            raise ValueError(f"{rule}that of {which} has the eigenvalue {least:.6g}")
