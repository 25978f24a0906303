"""The Gaussian mixture as an estimator, in scikit-learn's terms and without scikit-learn.

>>> from minivae.datasets import load_faithful
>>> from minivae import GaussianMixture
>>> mixture = GaussianMixture(2, random_state=0).fit(load_faithful())
>>> mixture.n_features_in_
2
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from minivae.alternate import Report, Trace
from minivae.checks import as_float64
from minivae.distributions.mixture import MixtureOfGaussians, SingularError, name_components
from minivae.errors import ConvergenceWarning, ShapeError, warn
from minivae.estimator import anything, choice, parameter
from minivae.models.mixture.components import GaussianComponents
from minivae.models.mixture.data import Data
from minivae.models.mixture.em import Step, climb, e_step, stepwise
from minivae.models.mixture.estimator import NOT_CONVERGED, NUMBER, Mixture
from minivae.models.mixture.initial_values import Given, check_initial
from minivae.models.mixture.initialise import Start, initialise
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array
from minivae_kernels.mixture import COVARIANCE_TYPES

__all__ = ["GaussianMixture"]

_EMPTY = 1e-6  # expected number of data, below which a component is empty

# scikit-learn's words, which programs and people look for; what follows them is ours.
_ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)


class GaussianMixture(GaussianComponents):
    """A mixture of K Gaussians, p(x) = sum_k pi_k N(x; mu_k, Sigma_k), fitted by EM, Eq. GMM.1.

    Parameters, attributes and methods are those of scikit-learn's class of this name. What differs:

    - ``reg_covar`` is a floor under each covariance's eigenvalues, and not added to the diagonal:
      so the M-step maximises the bound exactly under that constraint, and the bound never falls;
    - ``lower_bound_`` is the bound of the parameters that are returned, and ``lower_bounds_`` holds
      the bound after each iteration, so that its last number is ``lower_bound_``;
    - ``init_params="k-means++"`` and ``"random_from_data"`` begin with covariances measured about
      the chosen rows, where scikit-learn's are ``reg_covar`` times the identity;
    - attributes are float64 whatever the data are, and sums are taken about each component's
      current mean, so that data far from the origin lose nothing;
    - with ``reg_covar=0``, a component that collapses ends the climb with a warning at the last
      parameters that have a density, and is an error only at the start.

    %parameters%

    Attributes
    ----------
    weights_
        pi, of shape ``(K,)``.
    means_
        mu, of shape ``(K, D)``.
    covariances_, precisions_, precisions_cholesky_
        Sigma, its inverse, and U, upper triangular, with Sigma^-1 = U U^T: ``(K, D, D)`` for full,
        ``(D, D)`` for tied, ``(K, D)`` for diag, ``(K,)`` for spherical.
    covariance_type_
        Their type: that of the fit, whatever ``covariance_type`` has been set to since.
    converged_
        Whether the climb ended by ``tol``.
    n_iter_
        How many iterations it had; updates by ``partial_fit`` are added.
    lower_bound_
        The bound of these parameters: the mean log-likelihood of the data, in nats per datum.
    lower_bounds_
        The bound after each iteration.
    collapsed_
        The components that have no variance of their own in some direction in which the data vary:
        there the floor holds them up, and the likelihood would rise without end if it sank.
    empty_
        The components with next to no data.
    n_features_in_, feature_names_in_
        D, and what the columns are called, ``(D,)``, if all have names that are strings.
    distribution_
        All of that as one :class:`~minivae.distributions.mixture.MixtureOfGaussians`.

    References
    ----------
    Dempster, Laird and Rubin (1977); Bishop (2006), chapter 9.
    """

    weights_init: Any = parameter(
        default=None,
        rule=anything(),
        sentence="pi to begin with in place of what is found, ``(K,)``.",
        kw_only=True,
    )
    means_init: Any = parameter(
        default=None,
        rule=anything(),
        sentence="mu to begin with in place of what is found, ``(K, D)``.",
        kw_only=True,
    )
    precisions_init: Any = parameter(
        default=None,
        rule=anything(),
        sentence="Sigma^-1 to begin with in place of what is found, shaped as ``precisions_``.",
        kw_only=True,
    )
    _kind = "gmm"
    _saved_arrays = (
        "weights_", "means_", "covariances_", "precisions_cholesky_", "collapsed_", "empty_",
        "_scatter",
    )  # fmt: skip
    _saved_values: ClassVar = {
        **Mixture._saved_values,
        "_bound_before": NUMBER,
        "_fitted_type": choice(*COVARIANCE_TYPES),
    }
    _initial = ("weights_init", "means_init", "precisions_init")

    # ---- fitting ----

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        labels: Any = None,
        client: Any = None,
    ) -> Self:
        """Climb the likelihood by EM from each of the starts, and keep the best.

        Parameters
        ----------
        X
            Data of shape ``(N, D)``: an array; one on disk that is read piece by piece
            (``numpy.memmap``, HDF5, Zarr); an iterable of arrays ``(n, D)`` that can be iterated
            again, once for each iteration; or a ``dask.array``, whose blocks of rows stay where
            they are while their sums come here, Eq. LARGE.1.
        y
            Ignored; there for pipelines.
        sample_weight
            Of shape ``(N,)``, not negative: a whole number counts a row so many times, from the
            start on (but with ``init_params="random"``, where each row has chances of its own).
        labels
            Of shape ``(N,)``: the component of a row where it is known, -1 where not. The bound is
            then sum log p(x, z) over the labelled rows and sum log p(x) over the others.
        client
            The ``distributed.Client`` of a Dask array, if not the one that is active.

        Raises
        ------
        ValueError, TypeError
            If the data, a hyper-parameter or an initial value makes no sense, or the start has a
            singular covariance and ``reg_covar`` is 0; the model is as it was.
        RuntimeError
            If a cluster loses a block for good; the model is as it was.

        Warns
        -----
        ConvergenceWarning
            If the climb did not converge, components collapsed or ran empty, or the data do not
            vary in some direction or have fewer distinct rows than there are components.
        """
        self._fit("fit", X, sample_weight, labels, client)
        return self

    def _fit(
        self, operation: str, X: Any, sample_weight: Any, labels: Any, client: Any = None
    ) -> None:
        self.check_params()
        go_on = bool(self.warm_start) and hasattr(self, "means_")
        data = self._data(operation, X, sample_weight, labels, go_on, client)
        given = self._given(data.n_features)
        if go_on:
            self._check_same(operation, data.n_features)
        else:
            self._check_enough(data)
        entropy = entropy_from(self.random_state)
        all_given = all(value is not None for value in given)
        if go_on:
            starts, bound_before = [Start(self._step(), None)], self._bound_before
        else:
            n_init = 1 if all_given else self.n_init
            starts = [self._start(operation, data, given, entropy, i) for i in range(n_init)]
            bound_before = -math.inf

        def climb_on(step: Step, bound_before: float, max_iter: int, report: Report) -> Trace[Step]:
            return climb(
                data,
                step,
                floor=self.reg_covar,
                tol=self.tol,
                max_iter=max_iter,
                bound_before=bound_before,
                report=report,
            )

        i, result = self._race([start.step for start in starts], climb_on, bound_before)
        start = starts[i]
        self._take(result.theta)
        if not go_on:
            self._take_columns(data.column_names)
        self._find_degenerate(result.theta, data)
        self.converged_, self.n_iter_ = result.converged, result.n_iter
        self.lower_bound_, self.lower_bounds_ = result.bound, result.bounds
        self._bound_before: float = result.bound_before  # one iteration before the last
        self._warn(operation, result, start, data)

    def partial_fit(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, labels: Any = None
    ) -> Self:
        """Update once from a batch, by stepwise EM, Eq. GMM.11: older sums fade as new ones come.

        The t-th update counts the batch with the rate (t + 2)^-0.7, where t is ``n_iter_`` so far.
        An unfitted model is first initialised on the batch, which then needs at least K rows. The
        bound is that of the batch. Cappé and Moulines (2009).

        Parameters
        ----------
        X, y, sample_weight, labels
            The batch, as for :meth:`fit`.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`fit`, and if a component collapses while ``reg_covar`` is 0; the model is
            as it was.
        """
        self.check_params()
        fitted = hasattr(self, "means_")
        data = self._data("partial_fit", X, sample_weight, labels, fitted)
        if fitted:
            self._check_same("partial_fit", data.n_features)
            before, t = self._step(), self.n_iter_
        else:
            self._check_enough(data)
            given = self._given(data.n_features)
            entropy = entropy_from(self.random_state)
            before, t = self._start("partial_fit", data, given, entropy, 0).step, 0
        statistics = e_step(data, before.parameters)
        try:
            step = stepwise(statistics, before, (t + 2) ** -0.7, self.reg_covar)
        except SingularError as error:
            raise _ill_defined("partial_fit", error) from error
        bound = e_step(data, step.parameters).log_likelihood / data.total_weight
        self._take(step)
        if not fitted:
            self._take_columns(data.column_names)
        self._find_degenerate(step, data)
        self.converged_, self.n_iter_ = False, t + 1
        self.lower_bound_ = bound
        self.lower_bounds_ = [*(self.lower_bounds_ if fitted else []), bound]
        self._bound_before = -math.inf
        return self

    def _given(self, D: int) -> Given:
        return check_initial(
            self.weights_init,
            self.means_init,
            self.precisions_init,
            self.covariance_type,
            self.n_components,
            D,
        )

    def _start(self, operation: str, data: Data, given: Given, entropy: int, i: int) -> Start:
        try:
            return initialise(
                data,
                self.n_components,
                self.covariance_type,
                self.init_params,
                given,
                self.reg_covar,
                stream(entropy, i),
            )
        except SingularError as error:
            raise _ill_defined(operation, error) from error

    def _take(self, step: Step) -> None:
        """Make the parameters the model's own."""
        theta = step.parameters
        self._fitted_type = theta.covariance_type
        self.weights_, self.means_ = theta.weights, theta.means
        self.covariances_, self.precisions_ = theta.covariances, theta.precisions
        self.precisions_cholesky_ = theta.precisions_cholesky
        self._scatter, self.n_features_in_ = step.scatter, theta.means.shape[1]

    def _find_degenerate(self, step: Step, data: Data) -> None:
        theta = step.parameters
        self.empty_ = np.flatnonzero(theta.weights * data.n_weighted < _EMPTY)
        flat = _raised_of_all(step, self.reg_covar)
        collapsed = np.flatnonzero(np.broadcast_to(step.raised > flat, theta.weights.shape))
        self.collapsed_ = np.setdiff1d(collapsed, self.empty_)

    def _step(self) -> Step:
        theta = self.distribution_
        scatter = getattr(self, "_scatter", theta.covariances)
        return Step(theta, scatter, np.zeros(1, np.int64))

    # ---- files ----

    def state_dict(self) -> dict[str, Array]:
        """Copies of weights, means and covariances by name, in reading order."""
        self._require_fitted("state_dict", "means_")
        theta = self.distribution_
        return {
            "weights": theta.weights.copy(),
            "means": theta.means.copy(),
            "covariances": theta.covariances.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take weights, means and covariances from ``state``.

        Raises
        ------
        ShapeError, ValueError
            If names or shapes differ, something is not finite, the weights are not probabilities,
            or a covariance is not symmetric and positive definite; nothing is changed then.
        """
        self.check_params(["n_components", "covariance_type"])
        names = ["weights", "means", "covariances"]
        if sorted(state) != sorted(names):
            raise ShapeError(f"load_state_dict: got {list(state)}; it takes {names}")
        theta = MixtureOfGaussians.from_covariances(
            state["weights"],
            state["means"],
            state["covariances"],
            self.covariance_type,
            "load_state_dict",
        )
        if len(theta.weights) != self.n_components:
            raise ShapeError(
                f"load_state_dict: there are {len(theta.weights)} weights; n_components="
                f"{self.n_components}"
            )
        self._take(Step(theta, theta.covariances, np.zeros(1, np.int64)))
        self._take_columns(None)
        # How good they are on any data, nobody has seen.
        self.converged_, self.n_iter_, self.lower_bounds_ = False, 0, []
        self.lower_bound_, self._bound_before = math.nan, -math.inf
        self.collapsed_ = self.empty_ = np.empty(0, np.int64)

    def _restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        pi, mu, S, U = (as_float64(arrays[name], name) for name in self._saved_arrays[:4])
        theta = MixtureOfGaussians(pi, mu, S, U, values["_fitted_type"]).checked("load")
        scatter = as_float64(arrays.get("_scatter", theta.covariances), "_scatter")
        if scatter.shape != theta.covariances.shape or not np.isfinite(scatter).all():
            raise ValueError("_scatter must be finite and have the shape of covariances_")
        self._take(Step(theta, scatter, np.zeros(1, np.int64)))
        for name in ("collapsed_", "empty_"):
            k = arrays[name]
            if k.ndim != 1 or k.dtype.kind not in "iu" or not np.isin(k, np.arange(len(pi))).all():
                raise ValueError(f"{name} must be numbers of components")
            setattr(self, name, k)

    # ---- checks, warnings and progress ----

    def _warn(self, operation: str, result: Trace[Step], start: Start, data: Data) -> None:
        messages = []
        if not result.converged and self.max_iter > 0:
            messages.append(NOT_CONVERGED)
        if isinstance(result.error, SingularError):
            which = name_components(result.error.components)
            messages.append(
                f"{which} collapsed, and with reg_covar=0 the likelihood then has no maximum: EM "
                f"ended after {result.n_iter} iterations, at the last parameters that have a "
                "density"
            )
        if start.too_few is not None:
            messages.append(
                f"the data have only {start.too_few} distinct rows for {self.n_components} "
                "components; have fewer components"
            )
        if len(self.collapsed_):
            messages.append(
                f"{name_components(self.collapsed_)} collapsed: reg_covar="
                f"{self.reg_covar:g} stands for variance that they do not have, and the likelihood "
                "depends on it; have fewer components, more data, or a larger reg_covar"
            )
        if len(self.empty_):
            messages.append(f"{name_components(self.empty_)} ran empty; have fewer components")
        flat = _raised_of_all(result.theta, self.reg_covar)
        if flat:
            messages.append(
                f"the data vary by less than reg_covar={self.reg_covar:g} in {flat} of "
                f"{data.n_features} directions, such as a constant feature, and the likelihood "
                "depends on it; drop such features, or scale the data"
            )
        for message in messages:
            warn(f"{operation}: {message}", ConvergenceWarning)

def _ill_defined(operation: str, error: SingularError) -> ValueError:
    return ValueError(f"{operation}: {_ILL_DEFINED} {name_components(error.components)}")


def _raised_of_all(step: Step, floor: float) -> int:
    """In how many directions the data as a whole vary by less than the floor."""
    theta, S = step.parameters, step.scatter
    pi = theta.weights
    spread = theta.means - pi @ theta.means
    if theta.covariance_type in ("full", "tied"):
        within = S if S.ndim == 2 else np.tensordot(pi, S, axes=1)
        return int((np.linalg.eigvalsh(within + (pi[:, None] * spread).T @ spread) < floor).sum())
    if theta.covariance_type == "diag":
        return int((pi @ (S + spread**2) < floor).sum())
    return int(pi @ (S + (spread**2).mean(axis=1)) < floor)
