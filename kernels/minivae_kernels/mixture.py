"""Gaussian mixtures: all that an EM iteration takes from the data in one pass, and densities alone.

Nothing of size N x K is kept by the pass. Everything is computed in float64, data in float32
included. The rows are cut into parts that depend on the shapes alone, and the parts' sums are added
in order: one thread or many, the bits are the same.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minivae_kernels import _mixture_loops
from minivae_kernels._arrays import FloatArray, as_float, contiguous, refuse
from minivae_kernels._blocks import parts_of

COVARIANCE_TYPES: tuple[str, ...] = ("full", "tied", "diag", "spherical")

Array = npt.NDArray[np.float64]

_LOG_2_PI = math.log(2 * math.pi)
_NO_ROWS, _NO_LABELS, _NO_TABLE = np.empty(0), np.empty(0, np.int64), np.empty((0, 0))


def covariance_shapes(K: int, D: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of K covariances of D features, and of their precisions, for each type."""
    return dict(zip(COVARIANCE_TYPES, ((K, D, D), (D, D), (K, D), (K,)), strict=True))


class MixtureStatistics(NamedTuple):
    """The sums that an M-step needs, over rows n with responsibilities r_nk and weights w_n.

    Additive: the statistics of two data sets about the same centres c_k are the sums of theirs.
    """

    log_likelihood: float
    """sum_n w_n log p(x_n), in nats; of a labelled row, log p(x_n, z_n)."""

    counts: Array
    """N_k = sum_n w_n r_nk, of shape ``(K,)``."""

    first: Array
    """sum_n w_n r_nk (x_n - c_k), of shape ``(K, D)``."""

    second: Array
    """sum_n w_n r_nk (x_n - c_k)(x_n - c_k)^T: ``(K, D, D)`` for full, summed over k ``(D, D)``
    for tied, its diagonals ``(K, D)`` for diag, their sums ``(K,)`` for spherical."""


def mixture_statistics(
    X: FloatArray,
    weights: Array,
    means: Array,
    precisions_cholesky: Array,
    covariance_type: str,
    *,
    centres: Array | None = None,
    sample_weight: Array | None = None,
    labels: npt.NDArray[np.int64] | None = None,
    responsibilities: Array | None = None,
) -> MixtureStatistics:
    """Return what an E-step leaves for the M-step, in one pass over the rows.

    Parameters
    ----------
    X
        Shape ``(N, D)``, float32 or float64.
    weights, means
        pi and mu, of shapes ``(K,)`` and ``(K, D)``.
    precisions_cholesky
        U with Sigma^-1 = U U^T: upper triangular, ``(K, D, D)`` for full and ``(D, D)`` for tied;
        1/sigma, ``(K, D)`` for diag and ``(K,)`` for spherical.
    covariance_type
        ``"full"``, ``"tied"``, ``"diag"`` or ``"spherical"``.
    centres
        c, of shape ``(K, D)``, about which the sums are taken; the means if left out.
    sample_weight
        w, of shape ``(N,)``; 1 if left out.
    labels
        Of shape ``(N,)``: the component of a row where that is known, -1 where not.
    responsibilities
        r, of shape ``(N, K)``, instead of those of the mixture; the log-likelihood is then 0.

    Raises
    ------
    TypeError, ValueError
        If X is not float32 or float64, shapes do not fit, a label is not below K, or a
        parameter is not finite.
    """
    operation = "mixture_statistics"
    mixture = _Mixture(operation, X, weights, means, precisions_cholesky, covariance_type)
    X, (N, D), K = mixture.X, mixture.X.shape, len(mixture.means)
    if centres is None:
        centres = mixture.means
    elif np.shape(centres) != (K, D):
        raise refuse(operation, "centres must have the shape of means", X=X, centres=centres)
    for name, given, shape in (
        ("sample_weight", sample_weight, (N,)),
        ("labels", labels, (N,)),
        ("responsibilities", responsibilities, (N, K)),
    ):
        if given is not None and np.shape(given) != shape:
            raise refuse(operation, f"{name} must be {shape}", X=X, **{name: np.asarray(given)})
    if labels is not None and np.max(labels, initial=-1) >= K:
        raise ValueError(f"{operation}: labels must be below {K}, the number of components")
    per_row = (
        _NO_ROWS if sample_weight is None else _numbers(sample_weight),
        _NO_LABELS if labels is None else contiguous(np.asarray(labels, np.int64)),
        _NO_TABLE if responsibilities is None else _numbers(responsibilities),
    )

    size, parts = mixture.parts()
    counts, first = np.zeros((parts, K)), np.zeros((parts, K, D))
    second = np.zeros((parts, *mixture.factors.shape[:2], D))
    likelihoods = np.zeros(parts)
    fixed = (mixture.offsets, mixture.means, mixture.factors, _numbers(centres))
    results = (counts, first, second, likelihoods)
    _mixture_loops.statistics.run(parts, 1, X, size, *per_row, *fixed, *results)
    moments = second.sum(axis=0)
    if covariance_type in ("full", "tied"):
        moments += np.tril(moments, -1).swapaxes(1, 2)  # the loops fill the lower triangle
        moments = moments[0] if covariance_type == "tied" else moments
    else:
        moments = moments[:, 0]
        moments = moments.sum(axis=1) if covariance_type == "spherical" else moments
    return MixtureStatistics(math.fsum(likelihoods), counts.sum(axis=0), first.sum(axis=0), moments)


def mixture_log_prob(
    X: FloatArray, weights: Array, means: Array, precisions_cholesky: Array, covariance_type: str
) -> Array:
    """Return log p(x) = log sum_k pi_k N(x; mu_k, Sigma_k) of each row, of shape ``(N,)``.

    The arguments are those of `mixture_statistics`.

    Raises
    ------
    TypeError, ValueError
        If X is not float32 or float64, shapes do not fit, or a parameter is not finite.
    """
    mixture = _Mixture("mixture_log_prob", X, weights, means, precisions_cholesky, covariance_type)
    out = np.empty(len(mixture.X))
    mixture.posterior(out, np.empty((0, 0)), np.empty(0, np.int64))
    return out


def mixture_responsibilities(
    X: FloatArray, weights: Array, means: Array, precisions_cholesky: Array, covariance_type: str
) -> Array:
    """Return r_nk = p(z = k | x_n), of shape ``(N, K)``.

    The arguments are those of `mixture_statistics`.

    Raises
    ------
    TypeError, ValueError
        If X is not float32 or float64, shapes do not fit, or a parameter is not finite.
    """
    name = "mixture_responsibilities"
    mixture = _Mixture(name, X, weights, means, precisions_cholesky, covariance_type)
    out = np.empty((len(mixture.X), len(mixture.means)))
    mixture.posterior(np.empty(0), out, np.empty(0, np.int64))
    return out


def mixture_labels(
    X: FloatArray, weights: Array, means: Array, precisions_cholesky: Array, covariance_type: str
) -> npt.NDArray[np.int64]:
    """Return the component with the largest responsibility for each row; the first, if several.

    The arguments are those of `mixture_statistics`.

    Raises
    ------
    TypeError, ValueError
        If X is not float32 or float64, shapes do not fit, or a parameter is not finite.
    """
    mixture = _Mixture("mixture_labels", X, weights, means, precisions_cholesky, covariance_type)
    out = np.empty(len(mixture.X), np.int64)
    mixture.posterior(np.empty(0), np.empty((0, 0)), out)
    return out


class _Mixture:
    """A mixture and rows of data, checked and in the form that the loops take."""

    def __init__(
        self, operation: str, X: FloatArray, weights: Array, means: Array,
        precisions_cholesky: Array, covariance_type: str,
    ) -> None:  # fmt: skip
        self.X = contiguous(as_float(X, operation))
        self.means = _numbers(means)
        weights, factors = _numbers(weights), _numbers(precisions_cholesky)
        if covariance_type not in COVARIANCE_TYPES:
            choices = ", ".join(map(repr, COVARIANCE_TYPES))
            raise ValueError(f"{operation}: {covariance_type!r} is not one of {choices}")
        arrays = {"X": self.X, "weights": weights, "means": self.means}
        if self.X.ndim != 2 or self.means.ndim != 2 or self.X.shape[1:] != self.means.shape[1:]:
            rule = "X and means must be (N, D) and (K, D), of the same D"
            raise refuse(operation, rule, **arrays)
        K, D = self.means.shape
        if not K or not D:
            rule = "there must be at least one component and one feature"
            raise refuse(operation, rule, **arrays)
        shape = covariance_shapes(K, D)[covariance_type]
        if weights.shape != (K,) or factors.shape != shape:
            rule = f"for {K} components of {D} features weights must be {(K,)}, and "
            rule += f"precisions_cholesky {shape} for {covariance_type}"
            raise refuse(operation, rule, **arrays, precisions_cholesky=factors)
        for name, x in (("weights", weights), ("means", self.means), ("precisions", factors)):
            if not np.isfinite(x).all():
                raise ValueError(f"{operation}: {name} must be finite; there is NaN or infinity")
        # log(pi_k det(U_k) (2 pi)^(-D/2)); a component without weight has density 0
        with np.errstate(divide="ignore"):
            self.offsets = np.log(weights) - 0.5 * D * _LOG_2_PI
        if covariance_type in ("full", "tied"):
            diagonals = np.diagonal(factors, axis1=-2, axis2=-1)
            self.factors = np.zeros((factors.size // D**2, D, -(-D // 4) * 4))
            self.factors[:, :, :D] = np.triu(factors)
        else:  # a matrix of one row is taken for a diagonal
            diagonals = np.broadcast_to(factors if factors.ndim == 2 else factors[:, None], (K, D))
            self.factors = contiguous(diagonals[:, None])
        self.offsets += np.log(diagonals).sum(axis=-1)

    def parts(self) -> tuple[int, int]:
        """How many rows a part has, and how many parts the rows are cut into."""
        (N, D), K = self.X.shape, len(self.means)
        return parts_of(N, K * (40 + D * (self.factors.shape[1] + 8)))

    def posterior(
        self, log_prob: Array, responsibilities: Array, labels: npt.NDArray[np.int64]
    ) -> None:
        """Fill those of the outputs that have a size."""
        size, parts = self.parts()
        fixed = (self.offsets, self.means, self.factors)
        out = (log_prob, responsibilities, labels)
        _mixture_loops.posterior.run(parts, 1, self.X, size, *fixed, *out)


def _numbers(x: Any) -> Array:
    return contiguous(np.asarray(x, np.float64))
