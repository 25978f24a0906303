"""A mixture of Gaussians as a value, and covariances held above a floor.

- `MixtureOfGaussians`: weights, means, covariances, and the factors of their inverses;
- `constrained`: the covariances nearest to the data's scatter that respect the floor;
- `factors_of_precisions`: from inverses of covariances to both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy

from minivae.checks import as_float64
from minivae.errors import ShapeError
from minivae.tensor import Array
from minivae_kernels.mixture import (
    COVARIANCE_TYPES,
    covariance_shapes,
    mixture_labels,
    mixture_log_prob,
    mixture_responsibilities,
)

__all__ = [
    "MixtureOfGaussians",
    "SingularError",
    "as_matrices",
    "constrained",
    "factors_of_precisions",
    "first_asymmetric",
    "name_components",
]

_ASYMMETRY = 1e-5  # of a matrix whose diagonal is 1, that is taken for rounding
_ROUNDING = 1e4 * np.finfo(np.float64).eps  # of a product of factors, for each row
_LEAST_VARIANCE = np.finfo(np.float64).tiny  # below it digits are lost, and its inverse is infinite


class SingularError(ValueError):
    """Covariances that are not positive definite, without a floor to hold them up."""

    def __init__(self, components: list[int]) -> None:
        super().__init__(f"singular covariances of components {components}")
        self.components = components


@dataclass(frozen=True, eq=False)
class MixtureOfGaussians:
    """The distribution p(x) = sum_k pi_k N(x; mu_k, Sigma_k), Eq. GMM.1, in float64.

    Nothing is checked here: :meth:`from_covariances` and :meth:`checked` are the doors.
    """

    weights: Array
    """pi, of shape ``(K,)``."""

    means: Array
    """mu, of shape ``(K, D)``."""

    covariances: Array
    """The covariances Sigma, ``(K, D, D)`` for full, ``(D, D)`` for tied, ``(K, D)`` for diag and
    ``(K,)`` for spherical."""

    precisions_cholesky: Array
    """U, upper triangular, with Sigma^-1 = U U^T; 1/sigma for diag and spherical."""

    covariance_type: str = "full"
    """``"full"``, ``"tied"``, ``"diag"`` or ``"spherical"``."""

    @classmethod
    def from_covariances(
        cls,
        weights: Any,
        means: Any,
        covariances: Any,
        covariance_type: str = "full",
        operation: str = "MixtureOfGaussians",
    ) -> Self:
        """The mixture with these weights, means and covariances.

        Raises
        ------
        ShapeError, ValueError
            If the shapes do not fit together, the means are not finite, the weights are not
            probabilities, or a covariance is not symmetric and positive definite.
        """
        given = {"weights": weights, "means": means, "covariances": covariances}
        pi, mu, S = (as_float64(value, f"{operation}: {name}") for name, value in given.items())
        mixture = cls(pi, mu, S, S, covariance_type)  # to be told from the shapes what is wrong
        mixture._check_numbers(operation)
        try:
            S, U, _ = constrained(S, covariance_type, 0.0)
        except SingularError as error:
            which = name_components(error.components)
            raise ValueError(
                f"{operation}: covariances must be positive definite, those of {which} are not"
            ) from error
        return cls(pi, mu, S, U, covariance_type)

    @classmethod
    def from_precisions(
        cls, weights: Array, means: Array, precisions: Array, covariance_type: str = "full"
    ) -> Self:
        """The mixture whose covariances have these inverses, in the shape of the covariances."""
        S, U = factors_of_precisions(precisions, covariance_type)
        return cls(weights, means, S, U, covariance_type)

    @classmethod
    def from_factors(cls, weights: Array, means: Array, factors: Array) -> Self:
        """The mixture with the covariances L_k L_k^T of lower triangular L, ``(K, D, D)``."""
        L = np.asarray(factors, np.float64)
        transposed = np.swapaxes(L, -1, -2)  # upper triangular, and exactly so is its inverse
        return cls(weights, means, L @ transposed, np.linalg.inv(transposed))

    # ---- its parameters in other forms ----

    @property
    def mixture(self) -> tuple[Array, Array, Array, str]:
        """The arguments that the kernels take after the data."""
        return self.weights, self.means, self.precisions_cholesky, self.covariance_type

    @property
    def precisions(self) -> Array:
        """Sigma^-1, in the shape of the covariances."""
        U = self.precisions_cholesky
        if self.covariance_type in ("diag", "spherical"):
            return np.asarray(U**2)
        return U @ np.swapaxes(U, -1, -2)

    @property
    def matrices(self) -> Array:
        """Sigma as K matrices, ``(K, D, D)``, whatever the type."""
        return as_matrices(self.covariances, self.covariance_type, *self.means.shape)

    @property
    def factors(self) -> Array:
        """L, lower triangular, with Sigma_k = L_k L_k^T: ``(K, D, D)`` whatever the type."""
        U = as_matrices(self.precisions_cholesky, self.covariance_type, *self.means.shape)
        return np.swapaxes(np.linalg.inv(U), -1, -2)  # Sigma^-1 = U U^T, and so L = U^-T

    @property
    def n_parameters(self) -> int:
        """The number of free parameters, for BIC and AIC."""
        K, D = self.means.shape
        matrix = D * (D + 1) // 2
        covariances = {"full": K * matrix, "tied": matrix, "diag": K * D, "spherical": K}
        return int(covariances[self.covariance_type] + K * D + K - 1)

    def moments(self) -> tuple[Array, Array]:
        """The mean ``(D,)`` and the covariance ``(D, D)`` of x."""
        mean = self.weights @ self.means
        away = (self.means - mean)[..., None]
        between = away @ away.swapaxes(1, 2)
        return mean, np.tensordot(self.weights, self.matrices + between, axes=1)

    # ---- some of its columns ----

    def marginal(self, columns: Any) -> MixtureOfGaussians:
        """The distribution of some columns, in the order given, Eq. MISS.1."""
        columns, others = self._columns(columns, "marginal")
        return self.split(columns, others)[0]

    def condition(self, columns: Any, values: Any) -> MixtureOfGaussians:
        """The distribution of the other columns, given values of some, Eq. MISS.5.

        Raises
        ------
        ShapeError, ValueError
            If a column does not exist or occurs twice, no other column is left, or there is not one
            finite value for each column.
        """
        columns, others = self._columns(columns, "condition")
        x = as_float64(values, "condition: values")
        if x.shape != columns.shape or not len(others):
            raise ShapeError(
                f"condition: values have shape {x.shape} for {len(columns)} of "
                f"{self.means.shape[1]} columns; there must be a value for each column, and a "
                "column left"
            )
        if not np.isfinite(x).all():
            raise ValueError(f"condition: values={values!r} must be finite")
        marginal, slopes, rest = self.split(columns, others)
        means, away = rest.means, x - marginal.means
        if self.covariance_type in ("full", "tied"):
            means = means + (slopes @ away[..., None])[..., 0]
        r = marginal.responsibilities(x[None])[0]
        if not np.isfinite(r).all():
            raise ValueError("condition: the values are too far from every component to compare")
        return replace(rest, weights=r, means=means)

    def split(
        self, columns: Array, others: Array
    ) -> tuple[MixtureOfGaussians, Array, MixtureOfGaussians]:
        """The marginal of some columns, and the regression of the others on them, Eq. MISS.2.

        Returns
        -------
        The marginal; the slopes B of E[x_m | x_o] = mu_m + B (x_o - mu_o), ``(K, M, O)`` for full,
        ``(M, O)`` for tied and 0 else; and the others with their means mu_m and their covariances
        given x_o.
        """
        kind, S, U = self.covariance_type, self.covariances, self.precisions_cholesky
        pairs = [(S, U)] * 2
        slopes = np.zeros(())
        if kind == "diag":
            pairs = [(S[:, c], U[:, c]) for c in (columns, others)]
        elif kind in ("full", "tied"):
            # S = L L^T, and so R^T R for the R of L^T = Q R: no square of its condition on the way
            order, p = np.concatenate([columns, others]), len(columns)
            L = self._lower[..., order, :]
            R: Array = np.linalg.qr(np.swapaxes(L, -1, -2))[1]
            R = R * np.where(np.diagonal(R, axis1=-2, axis2=-1) < 0, -1.0, 1.0)[..., None]
            inner, across, outer = R[..., :p, :p], R[..., :p, p:], R[..., p:, p:]
            factor = np.linalg.inv(inner)
            slopes = np.swapaxes(factor @ across, -1, -2)
            pairs = [
                (S[..., columns[:, None], columns], factor),
                (np.swapaxes(outer, -1, -2) @ outer, np.linalg.inv(outer)),
            ]
        marginal, rest = (
            MixtureOfGaussians(self.weights, self.means[:, c], *pair, kind)
            for c, pair in zip((columns, others), pairs, strict=True)
        )
        return marginal, slopes, rest

    @cached_property
    def _lower(self) -> Array:
        """L with Sigma = L L^T, in the shape of the factors."""
        return np.swapaxes(np.linalg.inv(self.precisions_cholesky), -1, -2)

    def _columns(self, columns: Any, operation: str) -> tuple[Array, Array]:
        """Some columns by their numbers, and the others."""
        D, given = self.means.shape[1], np.atleast_1d(np.asarray(columns))
        numbers = given.dtype.kind in "iu" and given.ndim == 1 and len(given) > 0
        if not (numbers and (given >= -D).all() and (given < D).all()):
            raise ValueError(
                f"{operation}: columns={columns!r} must be numbers of columns, from 0 to {D - 1}"
            )
        given = given % D
        if len(np.unique(given)) < len(given):
            raise ValueError(f"{operation}: columns={columns!r} hold a column twice")
        return given, np.setdiff1d(np.arange(D), given)

    # ---- as a distribution ----

    def log_prob(self, X: Array) -> Array:
        """log p(x) of each row in nats, ``(N,)``, Eq. GMM.1."""
        return mixture_log_prob(X, *self.mixture)

    def responsibilities(self, X: Array) -> Array:
        """p(z = k | x) of each row, ``(N, K)``, Eq. GMM.2."""
        return mixture_responsibilities(X, *self.mixture)

    def labels(self, X: Array) -> Array:
        """The most probable component of each row, ``(N,)``; the first, if there are several."""
        return mixture_labels(X, *self.mixture)

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
            eps = scipy.linalg.solve_triangular(U, eps.T, trans="T").T
        else:  # x - mu = U^-T eps has covariance U^-T U^-1 = Sigma
            for k in np.flatnonzero(counts):
                eps[z == k] = scipy.linalg.solve_triangular(U[k], eps[z == k].T, trans="T").T
        return self.means[z] + eps, z

    # ---- what it must be ----

    def checked(self, operation: str) -> Self:
        """Return the mixture, factors included, if it is one.

        Raises
        ------
        ShapeError, ValueError
            If it breaks a rule of :meth:`from_covariances`, or its factors are not those of the
            inverses of its covariances.
        """
        self._check_numbers(operation)
        S, U = self.covariances, self.precisions_cholesky
        if self.covariance_type in ("diag", "spherical"):
            with np.errstate(all="ignore"):
                fits = (U > 0) & (np.abs(U**2 * S - 1) < _ROUNDING)
            fits = fits.reshape(len(fits), -1).all(axis=1)
        else:
            fits = np.array([_belong(*pair) for pair in zip(*map(_stacked, (S, U)), strict=True)])
        if not fits.all():
            which = name_components(np.flatnonzero(~fits))
            raise ValueError(
                f"{operation}: the factors of the precisions do not belong to the covariances of "
                f"{which}"
            )
        return self

    def _check_numbers(self, operation: str) -> None:
        if self.covariance_type not in COVARIANCE_TYPES:
            raise ValueError(
                f"{operation}: covariance_type={self.covariance_type!r} makes no sense; it must be "
                f"one of {', '.join(map(repr, COVARIANCE_TYPES))}"
            )
        K, D = self.means.shape if self.means.ndim == 2 else (0, 0)
        arrays = (self.weights, self.means, self.covariances, self.precisions_cholesky)
        shape = covariance_shapes(K, D)[self.covariance_type]
        found, wanted = [a.shape for a in arrays], [(K,), (K, D), shape, shape]
        if found != wanted or 0 in self.means.shape:
            raise ShapeError(
                f"{operation}: weights, means and {self.covariance_type} covariances have the "
                f"shapes {found[:3]}; for (K, D) = {K, D} they must be {wanted[:3]}"
            )
        probabilities = (self.weights >= 0).all() and abs(self.weights.sum() - 1.0) < 1e-6
        if not (probabilities and np.isfinite(self.means).all()):
            raise ValueError(
                f"{operation}: means must be finite, weights not negative, with sum 1"
            )
        for name, array in (("covariances", arrays[2]), ("factors", arrays[3])):
            if not np.isfinite(array).all():
                place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
                raise ValueError(f"{operation}: {name} at {place} must be finite: {array[place]}")
        if self.covariance_type in ("full", "tied"):
            k = first_asymmetric(self.covariances)
            if k is not None:
                raise ValueError(
                    f"{operation}: covariances must be symmetric, that of component {k} is not"
                )


def name_components(components: Any) -> str:
    """Components by their numbers, for messages."""
    numbers = [int(k) for k in components]
    return f"component {numbers[0]}" if len(numbers) == 1 else f"components {numbers}"


def as_matrices(covariances: Array, covariance_type: str, K: int, D: int) -> Array:
    """Covariances of any type, or their factors, as K matrices, ``(K, D, D)``."""
    if covariance_type in ("full", "tied"):
        return np.broadcast_to(covariances, (K, D, D))
    variances = np.broadcast_to(np.reshape(covariances, (K, -1)), (K, D))
    return variances[:, :, None] * np.eye(D)


def first_asymmetric(matrices: Array) -> int | None:
    """The first matrix of ``(K, D, D)`` or ``(D, D)`` that is not symmetric, None if all are.

    What counts as rounding is relative to the diagonal, and so does not depend on any scale.
    """
    for k, S in enumerate(_stacked(matrices)):
        scales = np.sqrt(np.abs(np.diagonal(S)))
        if (np.abs(S - S.T) > _ASYMMETRY * scales[:, None] * scales).any():
            return k
    return None


def _stacked(matrices: Array) -> Array:
    return matrices.reshape(-1, *matrices.shape[-2:])


def _belong(S: Array, U: Array) -> bool:
    """Whether U is upper triangular, of positive diagonal, and U^T S U = I but for rounding."""
    variances = np.diagonal(S)
    if not ((variances > 0).all() and (np.diagonal(U) > 0).all() and (np.triu(U) == U).all()):
        return False
    scales = np.sqrt(variances)  # with features of one scale the errors are of one scale
    S, U = S / scales[:, None] / scales, U * scales[:, None]
    lengths = np.linalg.norm(U, axis=0)
    error = np.abs(U.T @ S @ U - np.eye(len(S)))
    return bool((error <= _ROUNDING * len(S) ** 2 * lengths[:, None] * lengths).all())


def constrained(scatter: Array, covariance_type: str, floor: float) -> tuple[Array, Array, Array]:
    """The most likely covariances with no eigenvalue below the floor, Eq. GMM.7.

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
        low = scatter < floor if floor > 0 else ~(scatter > _LEAST_VARIANCE)
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
    L, info = scipy.linalg.lapack.dpotrf(S - floor * np.eye(D), lower=1)
    if info != 0:
        return False
    # A pivot that is all rounding error stands for a direction without variance.
    noise = 4 * D * np.finfo(float).eps * np.diagonal(S) + D * _LEAST_VARIANCE
    return floor > 0 or bool((np.diagonal(L) ** 2 > noise).all())


def _inverse_factor(S: Array) -> Array:
    """U = L^-T for S = L L^T, so that S^-1 = U U^T."""
    L, _ = scipy.linalg.lapack.dpotrf(S, lower=1, clean=1)
    inverse, _ = scipy.linalg.lapack.dtrtri(L, lower=1)
    return np.asarray(inverse).T


def _raise_eigenvalues(S: Array, floor: float) -> tuple[Array, Array, int]:
    """S with its eigenvalues raised to the floor, the factor of its inverse, how many were raised.

    The factor is computed from the eigenvectors and not from the matrix, in whose rounding a floor
    far below the largest eigenvalue would drown.
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


