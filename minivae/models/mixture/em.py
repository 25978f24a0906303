"""EM of Gaussians: an E-step that makes the bound tight, and an M-step that raises it.

- `e_step`: the responsibilities, at once summed into what the M-step needs;
- `m_step`: the parameters that maximise the bound given those sums;
- `climb`: the two by turns until the bound stands still;
- `stepwise`: one update from a batch, of sums that forget.

References
----------
Dempster, Laird and Rubin (1977); Neal and Hinton (1998) for the bound; Bishop (2006), chapter 9;
Cappé and Moulines (2009) for stepwise EM.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from minivae.alternate import Report, Trace, alternate
from minivae.distributions.mixture import MixtureOfGaussians, SingularError, constrained
from minivae.models.mixture.data import Data, Piece
from minivae.models.mixture.missing import observed_statistics
from minivae.tensor import Array
from minivae_kernels.mixture import MixtureStatistics, mixture_statistics

__all__ = [
    "Step", "add", "climb", "e_step", "em_statistics", "m_step", "moments", "stepwise",
]  # fmt: skip

_LEAST_SHARE = 1e-200  # a component with less than this share of the data has none
TOO_FAR = (
    "is so far from every component, in its standard deviations, that the square is not a number "
    "of float64; divide the data by their scale, or begin with wider components"
)
_FAR_SHIFT = 1e6  # squared shift of a mean, in variances, that costs the variance six digits


class Step(NamedTuple):
    """The result of an M-step."""

    parameters: MixtureOfGaussians

    scatter: Array
    """S_k about the new means, before any eigenvalue is raised; in the covariances' shape."""

    raised: Array
    """How many eigenvalues of each covariance were raised to the floor, ``(K,)`` or ``(1,)``."""


def e_step(
    data: Iterable[Piece], theta: MixtureOfGaussians, centres: Array | None = None
) -> MixtureStatistics:
    """The E-step: q(z_n = k) = r_nk makes the bound equal to the log-likelihood.

    The density is Eq. GMM.1, the responsibilities r_nk = p(z_n = k | x_n; theta) are Eq. GMM.2, and
    the bound with them is Eq. GMM.3. A row whose label is known has r_nk = 1 for it.

    Parameters
    ----------
    data
        Rows, with weights w_n and labels.
    theta
        The parameters.
    centres
        c_k, of shape ``(K, D)``, about which the sums are taken; the means if left out.

    Returns
    -------
    sum_n w_n log p(x_n) in nats, and for each k the sums over n of w_n r_nk times 1, (x_n - c_k)
    and (x_n - c_k)(x_n - c_k)^T.

    Raises
    ------
    ValueError
        If a row is so far from every component that no density is left to compare.
    """
    def of_piece(piece: Piece) -> MixtureStatistics:
        X, weight, labels, patterns = piece
        more: dict[str, Any] = {"centres": centres, "sample_weight": weight, "labels": labels}
        if patterns is None:
            return mixture_statistics(X, *theta.mixture, **more)
        return observed_statistics(X, patterns, theta, **more)

    statistics = add(data.map(of_piece) if isinstance(data, Data) else map(of_piece, data))
    if not np.isfinite(statistics.counts).all():
        raise ValueError(f"{getattr(data, 'operation', 'e_step')}: a row of X {TOO_FAR}")
    return statistics


def m_step(
    statistics: MixtureStatistics, centres: Array, before: MixtureOfGaussians, floor: float
) -> Step:
    """The M-step: the parameters that maximise the bound with the responsibilities held.

    It is exact, the floor under the eigenvalues included, and so never lowers the log-likelihood.
    A component without data keeps its mean and covariance: any would do.

    Parameters
    ----------
    statistics
        Of the E-step.
    centres
        c_k, about which they were taken, ``(K, D)``.
    before
        The parameters of the E-step.
    floor
        The least eigenvalue of a covariance.

    Raises
    ------
    SingularError
        If the floor is 0 and a component has collapsed: the likelihood has no maximum.
    """
    weights = statistics.counts / statistics.counts.sum()  # Eq. GMM.4: pi_k = N_k / sum_j N_j
    means, scatter = moments(statistics, centres, before)
    kind = before.covariance_type
    covariances, factors, raised = constrained(scatter, kind, floor)  # Eq. GMM.7
    return Step(MixtureOfGaussians(weights, means, covariances, factors, kind), scatter, raised)


def moments(
    statistics: MixtureStatistics, centres: Array, before: MixtureOfGaussians
) -> tuple[Array, Array]:
    """The weighted means ``(K, D)``, and the scatter about them in the covariances' shape."""
    _, N, first, second = statistics  # N_k = sum_n w_n r_nk
    kind, D = before.covariance_type, first.shape[1]
    some = _with_data(N)
    safe = np.where(some, N, 1.0)
    shift = np.where(some[:, None], first / safe[:, None], 0.0)
    means = np.where(some[:, None], centres + shift, before.means)  # Eq. GMM.5: the weighted mean

    # Eq. GMM.6: S_k = sum_n w_n r_nk (x_n - mu_k)(x_n - mu_k)^T / N_k, moved from c_k to mu_k
    if kind == "full":
        scatter = second / safe[:, None, None] - shift[:, :, None] * shift[:, None, :]
    elif kind == "tied":
        scatter = (second - (N[:, None] * shift).T @ shift) / N.sum()
    elif kind == "diag":
        scatter = second / safe[:, None] - shift**2
    else:
        scatter = (second / safe - (shift**2).sum(axis=1)) / D
    if kind != "tied":
        scatter[~some] = before.covariances[~some]
    return means, scatter


def em_statistics(
    data: Iterable[Piece], theta: MixtureOfGaussians, floor: float
) -> tuple[MixtureStatistics, Array]:
    """The E-step, and the centres of its sums: the means, or where these are about to move.

    Sums about a centre many standard deviations from the new mean would lose the variance's digits,
    so they are then taken again, with the same responsibilities, about the new mean.
    """
    statistics = e_step(data, theta)
    _, N, first, second = statistics
    some = _with_data(N)
    shift = first[some] / N[some, None]
    if theta.covariance_type == "tied":
        N_some, total = N[some, None], N.sum()
        variances = (np.diagonal(second) - (N_some * shift**2).sum(axis=0))[None] / total
    elif theta.covariance_type == "spherical":
        D = shift.shape[1]
        variances = ((second[some] / N[some] - (shift**2).sum(axis=1)) / D)[:, None]
    else:
        full = theta.covariance_type == "full"
        squares = np.diagonal(second, axis1=1, axis2=2) if full else second
        variances = squares[some] / N[some, None] - shift**2
    if not (shift**2 > _FAR_SHIFT * np.maximum(variances, floor)).any():
        return statistics, theta.means
    centres = theta.means.copy()
    centres[some] += shift
    return e_step(data, theta, centres), centres


def climb(
    data: Data,
    start: Step,
    *,
    floor: float,
    tol: float,
    max_iter: int,
    bound_before: float = -math.inf,
    report: Report = lambda iteration, bound, rise: None,
) -> Trace[Step]:
    """EM from a start until the bound, in nats per datum, stands still.

    A collapse where no floor holds covariances up ends it at the last step with a density.

    Parameters
    ----------
    data
        Rows that can be gone through many times.
    start
        The parameters to begin with.
    floor
        The least eigenvalue of a covariance.
    tol, max_iter, bound_before, report
        As :func:`minivae.alternate.alternate` takes them.
    """
    return alternate(
        lambda step: em_statistics(data, step.parameters, floor),
        lambda sums, step: m_step(*sums, step.parameters, floor),
        start,
        lambda sums, step: sums[0].log_likelihood / data.total_weight,
        tol,
        max_iter,
        bound_before=bound_before,
        ends=SingularError,
        report=report,
    )


def stepwise(statistics: MixtureStatistics, before: Step, rate: float, floor: float) -> Step:
    """One update from a batch: s <- (1 - rate) s + rate s_batch, then an M-step, Eq. GMM.11.

    s are the sums for one datum. Those so far are known from the parameters that came of them:
    about the current means they are pi_k, 0 and pi_k S_k.

    Parameters
    ----------
    statistics
        Of the batch, about the current means.
    before
        The last step.
    rate
        rho, between 0 and 1.
    floor
        The least eigenvalue of a covariance.

    Raises
    ------
    SingularError
        If the floor is 0 and a component has collapsed.
    """
    _, N, first, second = statistics
    theta, scatter = before.parameters, before.scatter
    share = rate / N.sum()
    pi = theta.weights.reshape(-1, *[1] * (scatter.ndim - 1))
    so_far = scatter if theta.covariance_type == "tied" else pi * scatter
    if theta.covariance_type == "spherical":
        so_far = so_far * theta.means.shape[1]  # the sum over features
    mixed = MixtureStatistics(
        math.nan,
        (1 - rate) * theta.weights + share * N,
        share * first,
        (1 - rate) * so_far + share * second,
    )
    return m_step(mixed, theta.means, theta, floor)


def add(statistics: Iterable[MixtureStatistics]) -> MixtureStatistics:
    """The statistics of several data sets together, added in their order, Eq. LARGE.1."""
    likelihoods, counts, first, second = zip(*statistics, strict=True)
    return MixtureStatistics(math.fsum(likelihoods), sum(counts), sum(first), sum(second))


def _with_data(counts: Array) -> Array:
    """Which components have any data worth dividing by."""
    least = _LEAST_SHARE * counts.sum()
    return np.asarray(counts > least)
