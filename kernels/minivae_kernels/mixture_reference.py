"""The mixture kernels and those of k-means in plain NumPy, each with its equation beside the line.

Every public function of ``mixture`` and ``clustering`` has a twin here with its name and signature.
The twin is the explanation, and it is what the tests compare the compiled kernel with. Nothing here
is fast or spares memory, and nothing is checked.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from minivae_kernels.clustering import Clusters
from minivae_kernels.mixture import MixtureStatistics
from minivae_kernels.reference import FloatArray

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


# Mixtures --------------------------------------------------------------------------------------


def mixture_statistics(
    X: FloatArray,
    weights: Array,
    means: Array,
    precisions_cholesky: Array,
    covariance_type: str,
    *,
    centres: Array | None = None,
    sample_weight: Array | None = None,
    labels: Labels | None = None,
    responsibilities: Array | None = None,
) -> MixtureStatistics:
    """Return the log-likelihood, N_k, and the first and second moments about the centres."""
    X = X.astype(np.float64)
    N, K = len(X), len(means)
    w = np.ones(N) if sample_weight is None else sample_weight
    joint = _log_joint(X, weights, means, precisions_cholesky, covariance_type)
    log_p = logsumexp(joint, axis=1)
    r = np.exp(joint - log_p[:, None])
    if responsibilities is not None:
        r, log_p = responsibilities.copy(), np.zeros(N)
    if labels is not None:
        known = labels >= 0
        r[known] = np.eye(K)[labels[known]]
        if responsibilities is None:
            log_p[known] = joint[known, labels[known]]
        else:
            log_p[known] = 0
    c = means if centres is None else centres
    wr = w[:, None] * r
    difference = X[:, None, :] - c  # (N, K, D)
    second = np.einsum("nk,nki,nkj->kij", wr, difference, difference)
    moments = {
        "full": second,
        "tied": second.sum(axis=0),
        "diag": np.diagonal(second, axis1=1, axis2=2),
        "spherical": np.trace(second, axis1=1, axis2=2),
    }
    first = np.einsum("nk,nki->ki", wr, difference)
    return MixtureStatistics(float(w @ log_p), wr.sum(axis=0), first, moments[covariance_type])


def mixture_log_prob(
    X: FloatArray, weights: Array, means: Array, precisions_cholesky: Array, covariance_type: str
) -> Array:
    """Return log p(x) = log sum_k pi_k N(x; mu_k, Sigma_k), of shape ``(N,)``."""
    joint = _log_joint(X, weights, means, precisions_cholesky, covariance_type)
    return np.asarray(logsumexp(joint, axis=1))


def mixture_responsibilities(
    X: FloatArray, weights: Array, means: Array, precisions_cholesky: Array, covariance_type: str
) -> Array:
    """Return r_nk = pi_k N(x_n; mu_k, Sigma_k) / p(x_n), of shape ``(N, K)``."""
    joint = _log_joint(X, weights, means, precisions_cholesky, covariance_type)
    return np.asarray(np.exp(joint - logsumexp(joint, axis=1, keepdims=True)))


def mixture_labels(
    X: FloatArray, weights: Array, means: Array, precisions_cholesky: Array, covariance_type: str
) -> Labels:
    """Return argmax_k r_nk, of shape ``(N,)``."""
    r = mixture_responsibilities(X, weights, means, precisions_cholesky, covariance_type)
    return np.asarray(r.argmax(axis=1))


def _log_joint(
    X: FloatArray, weights: Array, means: Array, factors: Array, covariance_type: str
) -> Array:
    """log pi_k + log N(x_n; mu_k, Sigma_k), with Sigma_k^-1 = U_k U_k^T, of shape ``(N, K)``."""
    K, D = means.shape
    if covariance_type == "tied":
        U = np.broadcast_to(factors, (K, D, D))
    elif covariance_type == "diag":
        U = factors[:, None, :] * np.eye(D)
    elif covariance_type == "spherical":
        U = factors[:, None, None] * np.eye(D)
    else:
        U = factors
    y = np.einsum("nki,kij->nkj", X[:, None, :].astype(np.float64) - means, U)
    log_det = np.log(np.diagonal(U, axis1=1, axis2=2)).sum(axis=1)
    with np.errstate(divide="ignore"):
        log_pi = np.log(weights)
    return np.asarray(log_pi + log_det - 0.5 * (D * np.log(2 * np.pi) + (y**2).sum(axis=2)))


# K-means ---------------------------------------------------------------------------------------


def lloyd_step(
    X: FloatArray,
    centres: Array,
    *,
    sample_weight: Array | None = None,
    labels: Labels | None = None,
) -> Clusters:
    """Return the nearest centre of each row, its squared distance, and the sums over clusters."""
    X = X.astype(np.float64)
    w = np.ones(len(X)) if sample_weight is None else sample_weight
    squared = ((X[:, None, :] - centres) ** 2).sum(axis=2)
    nearest = squared.argmin(axis=1)
    if labels is not None:
        nearest = np.where(labels >= 0, labels, nearest)
    wr = w[:, None] * np.eye(len(centres))[nearest]
    first = np.einsum("nk,nki->ki", wr, X[:, None, :] - centres)
    return Clusters(nearest, squared[np.arange(len(X)), nearest], wr.sum(axis=0), first)


def kmeans_plus_plus(
    X: FloatArray,
    draws: Array,
    *,
    centres: Array | None = None,
    sample_weight: Array | None = None,
) -> Labels:
    """Return the rows chosen as seeds: drawn by w d^2, the best of several candidates."""
    X = X.astype(np.float64)
    w = np.ones(len(X)) if sample_weight is None else sample_weight
    closest = np.full(len(X), np.inf)
    for centre in [] if centres is None else centres:
        closest = np.minimum(closest, ((X - centre) ** 2).sum(axis=1))
    chosen: list[int] = []
    for candidates in draws:
        first = bool(np.isinf(closest).all())
        running = np.cumsum(w if first else w * closest)
        if not running[-1] > 0:
            break
        indices = np.searchsorted(running, candidates * running[-1], side="right")
        nearer = [np.minimum(closest, ((X - X[i]) ** 2).sum(axis=1)) for i in indices]
        best = 0 if first else int(np.argmin([w @ d for d in nearer]))
        closest = nearer[best]
        chosen.append(int(indices[best]))
    return np.array(chosen, np.int64)
