"""What mixtures of Gaussians share, whether EM fits them or variational Bayes."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from minivae.alternate import Report, Trace, race
from minivae.checks import column_names, is_whole, require_width
from minivae.distributions.mixture import MixtureOfGaussians
from minivae.estimator import Rule, anything, choice, number, parameter, whole
from minivae.models.mixture.dask_data import data_of
from minivae.models.mixture.data import LARGEST, Data, as_rows, largest
from minivae.models.mixture.em import TOO_FAR
from minivae.models.mixture.estimator import Mixture
from minivae.models.mixture.initialise import METHODS
from minivae.models.mixture.missing import imputed
from minivae.models.on_dask import is_dask, row_by_row
from minivae.tensor import Array
from minivae_kernels.mixture import COVARIANCE_TYPES

__all__ = ["GaussianComponents"]

_LARGEST_ROOT = 1e153  # its square is finite, and so is a sum of such

Theta = TypeVar("Theta")
Climb = Callable[[Theta, float, int, Report], Trace[Theta]]


class _State:
    """The types of what a fit leaves; not of the estimator, whose annotations are its settings."""

    weights_: Array
    means_: Array
    covariances_: Array
    precisions_: Array
    precisions_cholesky_: Array
    n_features_in_: int


class GaussianComponents(Mixture, _State):
    """A mixture of Gaussians that can be fitted: what does not depend on how."""

    covariance_type: str = parameter(
        default="full",
        rule=choice(*COVARIANCE_TYPES),
        sentence="The form of the covariances: full, tied (one for all), diag or spherical.",
        metavar="NAME",
        kw_only=True,
    )
    reg_covar: float = parameter(
        default=1e-6,
        rule=number(),
        sentence="The lowest eigenvalue that a covariance may have, in the data's units squared.",
        metavar="V",
        kw_only=True,
    )
    init_params: str = parameter(
        default="kmeans",
        rule=choice(*METHODS),
        sentence="Where EM begins: kmeans, k-means++, random or random_from_data.",
        metavar="NAME",
        kw_only=True,
    )
    warm_start: bool = parameter(
        default=False,
        rule=anything(),
        sentence="Whether ``fit`` goes on from the last fit.",
        kw_only=True,
    )
    verbose: int = parameter(
        default=0,
        rule=Rule(lambda v: isinstance(v, bool) or (is_whole(v) and v >= 0), "0, 1 or 2", int),
        sentence="1 to write EM's progress on standard output, 2 to add bounds and times.",
        kw_only=True,
    )
    verbose_interval: int = parameter(
        default=10,
        rule=whole(1),
        sentence="How many iterations there are from one line to the next.",
        kw_only=True,
    )

    def fit_predict(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, labels: Any = None
    ) -> Array:
        """`fit`, and then the most probable component of each row, of shape ``(N,)``."""
        self.check_params(["missing"])
        rows = X if is_dask(X) else as_rows(X, "fit_predict", missing=self.missing)
        self._fit("fit_predict", X, sample_weight, labels)
        return self.predict(X) if is_dask(X) else self._of_rows("labels", rows)

    def _fit(
        self, operation: str, X: Any, sample_weight: Any, labels: Any, client: Any = None
    ) -> None:
        raise NotImplementedError

    def _data(
        self,
        operation: str,
        X: Any,
        sample_weight: Any,
        labels: Any,
        go_on: bool,
        client: Any = None,
    ) -> Data:
        named = column_names(X, operation) is not None
        if go_on and named:
            self._check_columns(X, operation)
        data = data_of(
            operation, X, client=client, sample_weight=sample_weight, labels=labels,
            K=self.n_components, missing=self.missing,
        )  # fmt: skip
        if go_on and not named:  # chunks may have names
            self._check_columns(data, operation)
        return data

    @property
    def covariance_type_(self) -> str:
        """The covariances' type: that of the fit, whatever the hyper-parameter says by now."""
        return getattr(self, "_fitted_type", self.covariance_type)

    @property
    def distribution_(self) -> MixtureOfGaussians:
        """The mixture as fitted, as a distribution."""
        self._require_fitted("distribution_", "means_")
        return MixtureOfGaussians(
            np.asarray(self.weights_, np.float64),
            np.asarray(self.means_, np.float64),
            np.asarray(self.covariances_, np.float64),
            np.asarray(self.precisions_cholesky_, np.float64),
            self.covariance_type_,
        )

    def _rows(self, X: Any, operation: str) -> Array:
        rows = super()._rows(X, operation)
        steepest = np.abs(self.precisions_cholesky_).max() * self.n_features_in_
        farthest = np.abs(self.means_).max()

        def overflows(size: float) -> bool:
            return bool(steepest * (size + farthest) > _LARGEST_ROOT)

        if overflows(LARGEST) and overflows(largest(rows)):
            bad = ~np.isfinite(self._of_rows("log_prob", rows))
            if bad.any():
                raise ValueError(f"{operation}: X[{int(bad.argmax())}] {TOO_FAR}")
        return rows

    @property
    def _judge(self) -> MixtureOfGaussians:
        """What rows are looked at with."""
        return self.distribution_

    # ---- some of the columns ----

    @row_by_row(fitted="means_", columns=lambda m: m.n_features_in_, dtype=None, stored=True)
    def impute(self, X: Any) -> Array:
        """The rows, each missing value replaced by its mean given what is observed, Eq. MISS.4.

        Parameters
        ----------
        X
            Data of shape ``(N, D)`` in which NaN is missing, whatever ``missing`` says.
        """
        self._require_fitted("impute", "means_")
        self._check_columns(X, "impute")
        D = self.n_features_in_
        rows = as_rows(X, "impute", n_features=D, missing="marginalise")
        return imputed(rows, self._judge)

    def marginal(self, columns: Any) -> MixtureOfGaussians:
        """The distribution of some columns, by their numbers in the order wanted, Eq. MISS.1.

        Raises
        ------
        ValueError
            If a column is not there, or is there twice.
        """
        self._require_fitted("marginal", "means_")
        return self.distribution_.marginal(columns)

    def condition(self, columns: Any, values: Any) -> MixtureOfGaussians:
        """The distribution of the other columns, in their order, given values of some, Eq. MISS.5.

        Parameters
        ----------
        columns, values
            The numbers of the columns that are known, and their values, each ``(O,)``.

        Raises
        ------
        ShapeError, ValueError
            If a column is not there or is there twice, no other is left, or the values are not as
            many finite numbers.
        """
        self._require_fitted("condition", "means_")
        return self.distribution_.condition(columns, values)

    # ---- checks and progress ----

    def _check_same(self, operation: str, D: int) -> None:
        K, features = self.means_.shape
        require_width(operation, ("N", D), features)
        if (K, features, self.covariance_type_) != (self.n_components, D, self.covariance_type):
            raise ValueError(
                f"{operation}: the model was fitted with {K} {self.covariance_type_} components to "
                f"{features} features, and cannot go on with {self.n_components} "
                f"{self.covariance_type} components and {D} features; fit a new one"
            )

    def _race(
        self, starts: Sequence[Theta], climb: Climb[Theta], bound_before: float = -math.inf
    ) -> tuple[int, Trace[Theta]]:
        """The number of the best of the starts, and its ascent, which is reported on the way."""

        def go_on(i: int, so_far: Trace[Theta], more: int) -> Trace[Theta]:
            begin, iteration, end = self._reports(i, so_far.n_iter)
            begin()
            result = climb(so_far.theta, so_far.bound_before, more, iteration)
            end(result)
            return result

        return race(starts, go_on, self.max_iter, bound_before=bound_before)

    def _reports(
        self, i: int, done: int
    ) -> tuple[Callable[[], None], Report, Callable[[Trace[Any]], None]]:
        """What to do at the beginning of a climb, after each of its iterations, and at its end."""
        times = [time.perf_counter()] * 2  # of the beginning, and of the last line

        def say(text: str) -> None:
            if self.verbose:
                sys.stdout.write(f"{text}\n")

        def iteration(n: int, bound: float, change: float) -> None:
            if (done + n) % self.verbose_interval == 0:
                now = time.perf_counter()
                more = f": bound {bound:.5f}, risen by {change:.5f}, {now - times[1]:.3f} s"
                say(f"  iteration {done + n}{more if self.verbose >= 2 else ''}")
                times[1] = now

        def end(result: Trace[Any]) -> None:
            n = done + result.n_iter
            seconds = time.perf_counter() - times[0]
            more = f", bound {result.bound:.5f}, {seconds:.3f} s" if self.verbose >= 2 else ""
            paused = result.error is None and n < self.max_iter
            ending = "is compared with the others" if paused else "did not converge"
            say(f"  {'converged' if result.converged else ending} after {n} iterations{more}")

        goes_on = " goes on" if done else ""
        return lambda: say(f"Start {i + 1}{goes_on}"), iteration, end
