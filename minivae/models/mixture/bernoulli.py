"""A mixture of Bernoulli distributions for binary data, in one file: the value, EM, the estimator.

>>> import numpy as np
>>> from minivae import BernoulliMixture
>>> X = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]])
>>> BernoulliMixture(2, random_state=0).fit(X).predict(X).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
True
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from minivae import ops
from minivae.alternate import Trace, alternate, race
from minivae.checks import as_float64, is_real, require_values
from minivae.errors import ConvergenceWarning, ShapeError, warn
from minivae.estimator import Rule, parameter
from minivae.models.mixture.dask_data import data_of
from minivae.models.mixture.data import Data, Piece, as_rows
from minivae.models.mixture.estimator import NOT_CONVERGED, Mixture
from minivae.models.mixture.initialise import LIMIT, k_means
from minivae.models.on_dask import row_by_row
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array
from minivae_kernels.clustering import kmeans_plus_plus

__all__ = ["BernoulliMixture", "BernoulliSums", "MixtureOfBernoullis", "e_step", "m_step"]


@dataclass(frozen=True, eq=False)
class MixtureOfBernoullis:
    """The distribution p(x) = sum_k pi_k prod_i mu_ki^x_i (1 - mu_ki)^(1 - x_i), Eq. GMM.13."""

    weights: Array
    """pi, of shape ``(K,)``."""

    means: Array
    """mu, the probabilities of a 1, of shape ``(K, D)``; above 0 and below 1."""

    @property
    def n_parameters(self) -> int:
        """The number of free parameters, for BIC and AIC."""
        return self.means.size + len(self.weights) - 1

    def marginal(self, columns: Array) -> MixtureOfBernoullis:
        """The distribution of some columns."""
        return replace(self, means=self.means[:, columns])

    def log_joint(self, X: Array) -> Array:
        """log pi_k + log p(x | z = k) of each row, in nats, ``(N, K)``.

        Where x is NaN it is missing, and its factor sums to 1, Eq. MISS.6.
        """
        # x log mu + (1 - x) log(1 - mu) = x log(mu / (1 - mu)) + log(1 - mu)
        absent = np.log1p(-self.means)
        with np.errstate(divide="ignore"):  # a component without weight
            log_pi = np.log(self.weights)
        logits = (np.log(self.means) - absent).T
        seen = _seen(X)
        if seen is None:
            return np.asarray(ops.matmul(X, logits) + (log_pi + absent.sum(axis=1)))
        on = np.where(seen, X, 0.0)
        off = ops.matmul(seen.astype(float), absent.T)  # of all that is seen, before it is on
        return np.asarray(ops.matmul(on, logits) + off + log_pi)

    def log_prob(self, X: Array) -> Array:
        """log p(x) of each row, in nats, ``(N,)``, Eq. GMM.13."""
        return np.asarray(ops.logsumexp(self.log_joint(X), 1))

    def responsibilities(self, X: Array) -> Array:
        """p(z = k | x) of each row, ``(N, K)``, Eq. GMM.2."""
        return np.asarray(ops.softmax(self.log_joint(X), 1))

    def labels(self, X: Array) -> Array:
        """The most probable component of each row, ``(N,)``; the first, if there are several."""
        return np.asarray(self.log_joint(X).argmax(axis=1))

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """n draws in the order of their components, ``(n, D)``, and the components ``(n,)``."""
        counts = rng.multinomial(n, self.weights / self.weights.sum())
        z = np.repeat(np.arange(len(counts)), counts)
        x = rng.random((n, self.means.shape[1])) < self.means[z]
        return x.astype(np.float64), z


class BernoulliSums(NamedTuple):
    """What the M-step needs. Additive: the sums of two data sets are the sums of theirs."""

    log_likelihood: float
    """sum_n w_n log p(x_n), in nats."""

    counts: Array
    """N_k = sum_n w_n r_nk, of shape ``(K,)``."""

    first: Array
    """sum_n w_n r_nk x_n over those that are observed, of shape ``(K, D)``."""

    observed: Array
    """sum_n w_n r_nk over the rows that have the feature, ``(K, D)``, or ``(K, 1)`` if all do."""


def e_step(data: Iterable[Piece], theta: MixtureOfBernoullis) -> BernoulliSums:
    """The responsibilities r_nk = p(z_n = k | x_n), Eq. GMM.2, summed up for the M-step."""

    def sums_of(piece: Piece) -> BernoulliSums:
        joint = theta.log_joint(piece.X)
        log_p = np.asarray(ops.logsumexp(joint, 1, keepdims=True))
        r, w = np.exp(joint - log_p), piece.weight
        if w is not None:
            r, log_p = w[:, None] * r, w[:, None] * log_p
        counts, seen, X = r.sum(axis=0), _seen(piece.X), piece.X
        observed = counts[:, None]
        if seen is not None:
            X, observed = np.where(seen, X, 0.0), r.T @ seen
        first = np.asarray(ops.matmul(r.T, X))
        return BernoulliSums(math.fsum(log_p[:, 0]), counts, first, observed)

    sums = data.map(sums_of) if isinstance(data, Data) else map(sums_of, data)
    likelihoods, counts, first, observed = zip(*sums, strict=True)
    return BernoulliSums(math.fsum(likelihoods), sum(counts), sum(first), sum(observed))


def m_step(sums: BernoulliSums, before: MixtureOfBernoullis, floor: float) -> MixtureOfBernoullis:
    """The parameters that maximise the bound given the sums, every mean within the floor.

    The part of the bound in mu_ki is N_k (m log mu_ki + (1 - m) log(1 - mu_ki)), where m is the
    weighted mean. It is concave, so where m is out of bounds the nearest bound is best, Eq. GMM.14:
    an exact step of a constrained problem, which never lowers the log-likelihood. A component
    without data keeps its means, because no others would be better. With missing values m is the
    mean of those that are observed, Eq. MISS.6.
    """
    weights = sums.counts / sums.counts.sum()  # Eq. GMM.4
    some = np.broadcast_to(sums.observed > 0, sums.first.shape)
    share = sums.first / np.where(sums.observed > 0, sums.observed, 1.0)
    means = np.where(some, np.clip(share, floor, 1 - floor), before.means)
    return MixtureOfBernoullis(weights, means)


class BernoulliMixture(Mixture):
    """A mixture of K Bernoulli distributions for data of 0 and 1, fitted by EM, Eq. GMM.13.

    Features are independent given the component; the components' means are probabilities and can be
    looked at as images. EM begins at the clusters of k-means.

    %parameters%

    Attributes
    ----------
    weights_
        pi, of shape ``(K,)``.
    means_
        mu, the probabilities of a 1, of shape ``(K, D)``.
    converged_, n_iter_
        Whether EM ended by ``tol``, and how many iterations it had.
    lower_bound_, lower_bounds_
        The mean log-likelihood of the data, in nats per datum: of these parameters, and after each
        iteration.
    n_features_in_, feature_names_in_
        D, and what the columns are called, ``(D,)``, if all have names that are strings.
    distribution_
        All of that as one :class:`MixtureOfBernoullis`.

    References
    ----------
    Bishop (2006), section 9.3.3.
    """

    floor: float = parameter(
        default=1e-3,
        rule=Rule(lambda v: is_real(v) and 0 < v < 0.5, "a number above 0 and below 0.5", float),
        sentence="The least probability of a 1, and of a 0: no datum is impossible.",
        kw_only=True,
    )

    _kind = "bernoulli-mixture"

    def fit(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, client: Any = None
    ) -> Self:
        """Climb the likelihood by EM from each of the starts, and keep the best.

        Parameters
        ----------
        X
            Data of 0 and 1, of shape ``(N, D)``: whatever ``GaussianMixture.fit`` takes, Dask
            arrays and arrays on disk among it.
        y
            Ignored; there for pipelines.
        sample_weight
            Of shape ``(N,)``, not negative: a whole number counts a row so many times.
        client
            The ``distributed.Client`` of a Dask array, if not the one that is active.

        Raises
        ------
        ValueError, TypeError
            If the data or a hyper-parameter makes no sense; the model is as it was.

        Warns
        -----
        ConvergenceWarning
            If EM did not converge.
        """
        self.check_params()
        data = data_of(
            "fit", X, client=client, sample_weight=sample_weight, missing=self.missing
        )
        start = 0
        for n, grey in data.map(_grey_value):
            _refuse_grey(grey, "fit", start)
            start += n
        self._check_enough(data)
        entropy = entropy_from(self.random_state)
        starts = [self._start(data, stream(entropy, i)) for i in range(self.n_init)]

        def go_on(
            i: int, so_far: Trace[MixtureOfBernoullis], more: int
        ) -> Trace[MixtureOfBernoullis]:
            return alternate(
                lambda theta: e_step(data, theta),
                lambda sums, theta: m_step(sums, theta, self.floor),
                so_far.theta,
                lambda sums, theta: sums.log_likelihood / data.total_weight,
                self.tol,
                more,
                bound_before=so_far.bound_before,
            )

        _, best = race(starts, go_on, self.max_iter)
        self._take(best.theta)
        self._take_columns(data.column_names)
        self.converged_, self.n_iter_ = best.converged, best.n_iter
        self.lower_bound_, self.lower_bounds_ = best.bound, best.bounds
        if not best.converged and self.max_iter > 0:
            warn(f"fit: {NOT_CONVERGED}", ConvergenceWarning)
        return self

    def _start(self, data: Data, rng: np.random.Generator) -> MixtureOfBernoullis:
        """The M-step on the clusters of k-means."""
        K, rows = self.n_components, data.sample(LIMIT, rng)
        seen = _seen(rows.X)
        if seen is not None:  # gaps are filled at random, by the features' shares
            require_values("fit", seen, rows.weight)
            shares = np.nanmean(rows.X, axis=0)
            drawn = (rng.random(rows.X.shape) < shares).astype(rows.X.dtype)
            rows = rows._replace(X=np.where(seen, rows.X, drawn), patterns=None)
        weight = np.ones(len(rows.X)) if rows.weight is None else rows.weight
        draws = rng.random((K, 2 + int(np.log(K))))
        seeds = kmeans_plus_plus(rows.X, draws, sample_weight=weight)
        if len(seeds) < K:  # there are fewer rows that differ
            more = rng.choice(np.flatnonzero(weight), K - len(seeds))
            seeds = np.append(seeds, more)
        centres, labels = k_means(rows, rows.X[seeds].astype(np.float64))
        r = weight[:, None] * np.eye(K)[labels]
        counts = r.sum(axis=0)
        first = np.asarray(ops.matmul(r.T, rows.X))
        sums = BernoulliSums(math.nan, counts, first, counts[:, None])
        means = np.clip(centres, self.floor, 1 - self.floor)
        return m_step(sums, MixtureOfBernoullis(np.full(K, 1 / K), means), self.floor)

    def _take(self, theta: MixtureOfBernoullis) -> None:
        self.weights_, self.means_ = theta.weights, theta.means
        self.n_features_in_ = theta.means.shape[1]

    @property
    def distribution_(self) -> MixtureOfBernoullis:
        """The mixture as fitted, as a distribution."""
        self._require_fitted("distribution_", "means_")
        return MixtureOfBernoullis(self.weights_, self.means_)

    def _rows(self, X: Any, operation: str) -> Array:
        rows = super()._rows(X, operation)
        _refuse_grey(_grey_value(Piece(rows, None, None))[1], operation)
        return rows

    @row_by_row(fitted="means_", columns=lambda m: m.n_features_in_, stored=True)
    def impute(self, X: Any) -> Array:
        """The rows, each missing value replaced by its mean given what is observed, Eq. MISS.4.

        It is the probability of a 1. Given the component no feature tells of another, so that the
        component's own probability is what the responsibilities weigh.

        Parameters
        ----------
        X
            Data of 0 and 1 of shape ``(N, D)`` in which NaN is missing, whatever ``missing`` says.
        """
        self._require_fitted("impute", "means_")
        self._check_columns(X, "impute")
        rows = as_rows(X, "impute", n_features=self.n_features_in_, missing="marginalise")
        _refuse_grey(_grey_value(Piece(rows, None, None))[1], "impute")
        means = self.distribution_.responsibilities(rows) @ self.means_
        return np.where(np.isnan(rows), means, rows)

    # ---- files ----

    def state_dict(self) -> dict[str, Array]:
        """Copies of weights and means by name."""
        self._require_fitted("state_dict", "means_")
        return {"weights": self.weights_.copy(), "means": self.means_.copy()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take weights and means from ``state``.

        Raises
        ------
        ShapeError, ValueError
            If names or shapes differ, the weights are not probabilities, or a mean is not above 0
            and below 1; nothing is changed then.
        """
        if sorted(state) != ["means", "weights"]:
            raise ShapeError(f"load_state_dict: got {list(state)}; it takes ['weights', 'means']")
        theta = _checked("load_state_dict", state["weights"], state["means"])
        if len(theta.weights) != self.n_components:
            raise ShapeError(
                f"load_state_dict: there are {len(theta.weights)} weights; n_components="
                f"{self.n_components}"
            )
        self._take(theta)
        self._take_columns(None)
        self.converged_, self.n_iter_, self.lower_bounds_ = False, 0, []
        self.lower_bound_ = math.nan  # of data that nobody has seen

    def _restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        self._take(_checked("load", arrays["weights_"], arrays["means_"]))


def _checked(operation: str, weights: Any, means: Any) -> MixtureOfBernoullis:
    pi, mu = as_float64(weights, f"{operation}: weights"), as_float64(means, f"{operation}: means")
    if mu.ndim != 2 or mu.size == 0 or pi.shape != mu.shape[:1]:
        raise ShapeError(
            f"{operation}: weights and means have the shapes {pi.shape} and {mu.shape}; they must "
            "be (K,) and (K, D)"
        )
    if not ((pi >= 0).all() and abs(pi.sum() - 1) < 1e-6 and ((mu > 0) & (mu < 1)).all()):
        raise ValueError(
            f"{operation}: means must be above 0 and below 1, weights not negative, with sum 1"
        )
    return MixtureOfBernoullis(pi, mu)


def _seen(X: Array) -> Array | None:
    """Where X is not NaN; None if it is nowhere."""
    return ~np.isnan(X) if np.isnan(X.sum()) else None


_Grey = tuple[int, int, float] | None


def _grey_value(piece: Piece) -> tuple[int, _Grey]:
    """How many rows a piece has, and where the first value that is not 0 or 1 is, if any."""
    X = piece.X
    grey = (X != 0) & (X != 1) & ~np.isnan(X)
    if not grey.any():
        return len(X), None
    row, column = np.argwhere(grey)[0].tolist()
    return len(X), (row, column, float(X[row, column]))


def _refuse_grey(found: _Grey, operation: str, start: int = 0) -> None:
    if found is not None:
        row, column, value = found
        raise ValueError(
            f"{operation}: X[{start + row}, {column}] = {value}; a BernoulliMixture takes "
            "data of 0 and 1: choose a threshold, (X > threshold).astype(float)"
        )
