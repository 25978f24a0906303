"""The Gaussian mixture as an estimator, in scikit-learn's terms and without scikit-learn.

>>> from minivae.datasets import load_faithful
>>> from minivae.gmm import GaussianMixture
>>> mixture = GaussianMixture(2, random_state=0).fit(load_faithful())
>>> mixture.n_features_in_
2
"""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from minivae.checkpoint import load_checkpoint, save_checkpoint
from minivae.checks import is_real, is_whole
from minivae.errors import CheckpointError, ConvergenceWarning, NotFittedError, ShapeError
from minivae.estimator import Estimator
from minivae.gmm.data import Data, as_rows
from minivae.gmm.em import Climb, Report, Step, climb, e_step, stepwise
from minivae.gmm.initialise import METHODS, Given, Start, initialise
from minivae.gmm.parameters import (
    Parameters,
    SingularError,
    check_initial,
    constrained,
    n_parameters,
)
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array
from minivae_kernels.mixture import (
    COVARIANCE_TYPES,
    covariance_shapes,
    mixture_labels,
    mixture_log_prob,
    mixture_responsibilities,
)

__all__ = ["GaussianMixture"]

_SAMPLES = 2**20  # the random stream of `sample`; that of the i-th start is number i
_EMPTY = 1e-6  # expected number of data, below which a component is empty

# scikit-learn's words, which programs and people look for; what follows them is ours.
_NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)
_ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)


class GaussianMixture(Estimator):
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

    Parameters
    ----------
    n_components
        K.
    covariance_type
        ``"full"``, ``"tied"`` (one for all), ``"diag"`` or ``"spherical"``.
    tol
        EM ends when an iteration finds the bound risen by less, in nats per datum.
    reg_covar
        The least eigenvalue of a covariance, in the data's units squared.
    max_iter
        The most iterations; 0 leaves the start.
    n_init
        How many starts to climb from; the highest bound is kept.
    init_params
        ``"kmeans"``, ``"k-means++"``, ``"random"`` or ``"random_from_data"``.
    weights_init, means_init, precisions_init
        Initial values in place of what ``init_params`` finds, of shapes ``(K,)``, ``(K, D)`` and
        that of ``precisions_``.
    random_state
        An int, a ``RandomState``, a ``Generator`` or None.
    warm_start
        Whether ``fit`` goes on from the last fit.
    verbose
        1 to write on standard output how EM goes, 2 for bounds and times as well.
    verbose_interval
        Iterations from one line to the next.

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
    n_features_in_
        D.

    References
    ----------
    Dempster, Laird and Rubin (1977); Bishop (2006), chapter 9.
    """

    weights_: Array
    means_: Array
    covariances_: Array
    precisions_: Array
    precisions_cholesky_: Array
    converged_: bool
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    collapsed_: Array
    empty_: Array
    n_features_in_: int
    _scatter: Array  # the covariances before their eigenvalues were raised
    _bound_before: float  # the bound one iteration before the last

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    # ---- fitting ----

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, labels: Any = None) -> Self:
        """Climb the likelihood by EM from each of the starts, and keep the best.

        Parameters
        ----------
        X
            Data of shape ``(N, D)``: an array; a ``numpy.memmap``, read piece by piece; or an
            iterable of arrays ``(n, D)`` that can be iterated again, once for each iteration.
        y
            Ignored; there for pipelines.
        sample_weight
            Of shape ``(N,)``, not negative: a whole number counts a row so many times.
        labels
            Of shape ``(N,)``: the component of a row where it is known, -1 where not. The bound is
            then sum log p(x, z) over the labelled rows and sum log p(x) over the others.

        Raises
        ------
        ValueError, TypeError
            If the data, a hyper-parameter or an initial value makes no sense, or the start has a
            singular covariance and ``reg_covar`` is 0; the model is as it was.

        Warns
        -----
        ConvergenceWarning
            If the climb did not converge, components collapsed or ran empty, or the data do not
            vary in some direction or have fewer distinct rows than there are components.
        """
        self._fit("fit", X, sample_weight, labels)
        return self

    def fit_predict(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, labels: Any = None
    ) -> Array:
        """`fit`, and then the most probable component of each row, of shape ``(N,)``."""
        X = as_rows(X, "fit_predict")
        self._fit("fit_predict", X, sample_weight, labels)
        return self._labels(X)

    def _fit(self, operation: str, X: Any, sample_weight: Any, labels: Any) -> None:
        self._check_hyper_parameters()
        data = self._data(operation, X, sample_weight, labels)
        given = self._given(data.n_features)
        go_on = bool(self.warm_start) and hasattr(self, "means_")
        if go_on:
            self._check_same(operation, data.n_features)
        else:
            self._check_enough(data)
        entropy = entropy_from(self.random_state)
        all_given = all(value is not None for value in given)
        best: tuple[Climb, Start] | None = None
        for i in range(1 if go_on or all_given else self.n_init):
            begin, report, end = self._reports(i)
            begin()
            if go_on:
                start, bound_before = Start(self._step(), None), self._bound_before
            else:
                start, bound_before = self._start(operation, data, given, entropy, i), -math.inf
            result = climb(
                data,
                start.step,
                floor=self.reg_covar,
                tol=self.tol,
                max_iter=self.max_iter,
                bound_before=bound_before,
                report=report,
            )
            end(result)
            if best is None or result.bound > best[0].bound:
                best = result, start
        if best is None:
            return
        result, start = best
        self._take(result.step, data)
        self.converged_, self.n_iter_ = result.converged, result.n_iter
        self.lower_bound_, self.lower_bounds_ = result.bound, result.bounds
        self._bound_before = result.bound_before
        self._warn(operation, result, start, data)

    def partial_fit(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, labels: Any = None
    ) -> Self:
        """One update from a batch by stepwise EM, Eq. GMM.8: the sums so far fade as new ones come.

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
        self._check_hyper_parameters()
        fitted = hasattr(self, "means_")
        data = self._data("partial_fit", X, sample_weight, labels)
        if fitted:
            self._check_same("partial_fit", data.n_features)
            before, t = self._step(), getattr(self, "n_iter_", 0)
        else:
            self._check_enough(data)
            given = self._given(data.n_features)
            entropy = entropy_from(self.random_state)
            before, t = self._start("partial_fit", data, given, entropy, 0).step, 0
        statistics = e_step(data, before.parameters)
        try:
            step = stepwise(statistics, before, (t + 2) ** -0.7, self.reg_covar)
        except SingularError as error:
            raise ValueError(f"partial_fit: {_ILL_DEFINED} {_name(error.components)}") from error
        bound = e_step(data, step.parameters).log_likelihood / data.total_weight
        self._take(step, data)
        self.converged_, self.n_iter_ = False, t + 1
        self.lower_bound_ = bound
        self.lower_bounds_ = [*(self.lower_bounds_ if fitted else []), bound]
        self._bound_before = -math.inf
        return self

    def _data(self, operation: str, X: Any, sample_weight: Any, labels: Any) -> Data:
        return Data(operation, X, sample_weight=sample_weight, labels=labels, K=self.n_components)

    def _given(self, D: int) -> Given:
        return Given(
            *check_initial(
                self.weights_init,
                self.means_init,
                self.precisions_init,
                self.covariance_type,
                self.n_components,
                D,
            )
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
            raise ValueError(f"{operation}: {_ILL_DEFINED} {_name(error.components)}") from error

    def _take(self, step: Step, data: Data) -> None:
        """Make the parameters the model's own."""
        theta = step.parameters
        self._fitted_type = theta.covariance_type
        self.weights_, self.means_ = theta.weights, theta.means
        self.covariances_, self.precisions_ = theta.covariances, theta.precisions
        self.precisions_cholesky_ = theta.precisions_cholesky
        self._scatter, self.n_features_in_ = step.scatter, data.n_features
        self.empty_ = np.flatnonzero(theta.weights * data.n_weighted < _EMPTY)
        flat = _raised_of_all(step, self.reg_covar)
        collapsed = np.flatnonzero(np.broadcast_to(step.raised > flat, theta.weights.shape))
        self.collapsed_ = np.setdiff1d(collapsed, self.empty_)

    @property
    def covariance_type_(self) -> str:
        """The covariances' type: that of the fit, whatever the hyper-parameter says by now."""
        return getattr(self, "_fitted_type", self.covariance_type)

    def _step(self) -> Step:
        theta = self._parameters()
        scatter = getattr(self, "_scatter", theta.covariances)
        return Step(theta, scatter, np.zeros(1, np.int64))

    def _parameters(self) -> Parameters:
        return Parameters(
            self.covariance_type_,
            np.asarray(self.weights_, np.float64),
            np.asarray(self.means_, np.float64),
            np.asarray(self.covariances_, np.float64),
            np.asarray(self.precisions_cholesky_, np.float64),
        )

    # ---- looking at data through the model ----

    def score_samples(self, X: Any) -> Array:
        """log p(x) of each row, in nats, of shape ``(N,)``, Eq. GMM.1."""
        return self._log_prob(X, "score_samples")

    def _log_prob(self, X: Any, operation: str) -> Array:
        return mixture_log_prob(self._rows(X, operation), *self._parameters().mixture)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of log p(x), in nats per datum."""
        return float(self._log_prob(X, "score").mean())

    def predict_proba(self, X: Any) -> Array:
        """The responsibilities p(z = k | x), of shape ``(N, K)``, Eq. GMM.2."""
        X = self._rows(X, "predict_proba")
        return mixture_responsibilities(X, *self._parameters().mixture)

    def predict(self, X: Any) -> Array:
        """The most probable component of each row, of shape ``(N,)``."""
        return self._labels(self._rows(X, "predict"))

    def _labels(self, X: Array) -> Array:
        return mixture_labels(X, *self._parameters().mixture)

    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Draws from the mixture, ``(n, D)`` in the order of their components, and these ``(n,)``.

        With an int as ``random_state`` every call draws the same.

        Raises
        ------
        ValueError
            If ``n_samples`` is not a positive whole number.
        """
        self._require_fitted("sample", "means_")
        if not is_whole(n_samples) or n_samples < 1:
            raise ValueError(
                f"sample: Invalid value for 'n_samples': {n_samples!r}; it must be a whole number "
                "from 1"
            )
        rng = stream(entropy_from(self.random_state), _SAMPLES)
        return self._parameters().sample(n_samples, rng)

    def bic(self, X: Any) -> float:
        """-2 log-likelihood + p log N, with p free parameters: the lower the better."""
        log_p = self._log_prob(X, "bic")
        return float(-2 * log_p.sum() + self._n_parameters() * math.log(len(log_p)))

    def aic(self, X: Any) -> float:
        """-2 log-likelihood + 2 p, with p free parameters: the lower the better."""
        log_p = self._log_prob(X, "aic")
        return float(-2 * log_p.sum() + 2 * self._n_parameters())

    def _n_parameters(self) -> int:
        return n_parameters(self.covariance_type_, *self.means_.shape)

    def _rows(self, X: Any, operation: str) -> Array:
        self._require_fitted(operation, "means_")
        return as_rows(X, operation, n_features=self.means_.shape[1])

    def _require_fitted(self, operation: str, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise NotFittedError(
                f"{operation}: This {type(self).__name__} instance is not fitted yet. Call 'fit' "
                "with appropriate arguments before using this estimator."
            )

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator."""
        tags = super().__sklearn_tags__()
        tags.estimator_type = "density_estimator"
        return tags

    # ---- files ----

    def state_dict(self) -> dict[str, Array]:
        """Copies of weights, means and covariances by name, in reading order."""
        self._require_fitted("state_dict", "means_")
        theta = self._parameters()
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
            If names or shapes differ, a covariance is not positive definite, means are not finite
            or weights no probabilities; nothing is changed then.
        """
        names = ["weights", "means", "covariances"]
        if sorted(state) != sorted(names):
            raise ShapeError(f"load_state_dict: got {list(state)}; it takes {names}")
        weights, means, covariances = (np.array(state[name], np.float64) for name in names)
        K, D = self.n_components, means.shape[-1] if means.ndim else 0
        wanted = ((K,), (K, D), covariance_shapes(K, D)[self.covariance_type])
        found = (weights.shape, means.shape, covariances.shape)
        if found != wanted:
            raise ShapeError(f"load_state_dict: the shapes are {found}; they must be {wanted}")
        are_weights = (weights >= 0).all() and abs(weights.sum() - 1.0) < 1e-6
        if not (are_weights and np.isfinite(means).all()):
            raise ValueError(
                "load_state_dict: means must be finite, weights not negative and 1 together"
            )
        try:
            covariances, factors, _ = constrained(covariances, self.covariance_type, 0.0)
        except SingularError as error:
            raise ValueError(
                "load_state_dict: covariances must be positive definite, those of "
                f"{_name(error.components)} are not"
            ) from error
        theta = Parameters(self.covariance_type, weights, means, covariances, factors)
        self._fitted_type = self.covariance_type
        self.weights_, self.means_, self.covariances_ = weights, means, covariances
        self.precisions_cholesky_, self.precisions_ = factors, theta.precisions
        self._scatter, self.n_features_in_ = covariances, D
        # How good they are on any data, nobody has seen.
        self.converged_, self.n_iter_, self.lower_bounds_ = False, 0, []
        self.lower_bound_, self._bound_before = math.nan, -math.inf
        self.collapsed_ = self.empty_ = np.empty(0, np.intp)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file, without pickle; :meth:`load` reads it."""
        self._require_fitted("save", "means_")
        params = self.get_params()
        initial = {f"init.{name}": params.pop(name) for name in _INITIAL}
        if not is_whole(params["random_state"]):
            params["random_state"] = None
        arrays = {n: np.asarray(a, np.float64) for n, a in initial.items() if a is not None}
        arrays |= {n: np.asarray(getattr(self, n)) for n in _SAVED_ARRAYS if hasattr(self, n)}
        fitted = {name: getattr(self, name) for name in _SAVED_VALUES if hasattr(self, name)}
        save_checkpoint(path, arrays, {"kind": "gmm", "params": params, "fitted": fitted})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that :meth:`save` wrote.

        Raises
        ------
        CheckpointError
            If the file is missing, truncated, no checkpoint, or not of a Gaussian mixture.
        """
        arrays, metadata = load_checkpoint(path)
        try:
            if metadata["kind"] != "gmm":
                raise ValueError(f"it is of kind {metadata['kind']!r}")
            params = dict(metadata["params"])
            for name in _INITIAL:
                params[name] = arrays.pop(f"init.{name}", None)
            mixture = cls(**params)
            mixture._check_hyper_parameters()
            for name, value in [*arrays.items(), *metadata["fitted"].items()]:
                if name not in (*_SAVED_ARRAYS, *_SAVED_VALUES):
                    raise ValueError(f"it holds {name!r}")
                setattr(mixture, name, value)
            mixture.precisions_ = mixture._parameters().precisions
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{os.fspath(path)} is not a checkpoint of this version's GaussianMixture: {error}"
            ) from error
        return mixture

    # ---- checks, warnings and progress ----

    def _check_hyper_parameters(self) -> None:
        rules: list[tuple[str, Callable[[Any], bool], str]] = [
            ("n_components", lambda v: is_whole(v) and v >= 1, "a whole number from 1"),
            ("covariance_type", _one_of(COVARIANCE_TYPES), f"one of {COVARIANCE_TYPES}"),
            ("tol", lambda v: is_real(v) and v >= 0, "a number from 0"),
            ("reg_covar", lambda v: is_real(v) and 0 <= v < math.inf, "a number from 0"),
            ("max_iter", lambda v: is_whole(v) and v >= 0, "a whole number from 0"),
            ("n_init", lambda v: is_whole(v) and v >= 1, "a whole number from 1"),
            ("init_params", _one_of(METHODS), f"one of {METHODS}"),
            ("verbose", lambda v: isinstance(v, bool) or (is_whole(v) and v >= 0), "0, 1 or 2"),
            ("verbose_interval", lambda v: is_whole(v) and v >= 1, "a whole number from 1"),
        ]
        for name, holds, rule in rules:
            value = getattr(self, name)
            if not holds(value):
                raise ValueError(f"GaussianMixture: {name}={value!r} must be {rule}")

    def _check_enough(self, data: Data) -> None:
        if data.n_weighted < self.n_components:
            raise ValueError(
                f"{data.operation}: Expected n_samples >= n_components but got n_components = "
                f"{self.n_components}, n_samples = {data.n_weighted}"
            )

    def _check_same(self, operation: str, D: int) -> None:
        K, features = self.means_.shape
        if (K, features, self.covariance_type_) != (self.n_components, D, self.covariance_type):
            raise ValueError(
                f"{operation}: the model was fitted with {K} {self.covariance_type_} components to "
                f"{features} features, and cannot go on with {self.n_components} "
                f"{self.covariance_type} components and {D} features; fit a new one"
            )

    def _warn(self, operation: str, result: Climb, start: Start, data: Data) -> None:
        messages = []
        if not result.converged and self.max_iter > 0:
            messages.append(_NOT_CONVERGED)
        if result.collapsed:
            messages.append(
                f"{_name(result.collapsed)} collapsed, and with reg_covar=0 the likelihood then "
                f"has no maximum: EM ended after {result.n_iter} iterations, at the last "
                "parameters that have a density"
            )
        if start.too_few is not None:
            messages.append(
                f"the data have only {start.too_few} distinct rows for {self.n_components} "
                "components; have fewer components"
            )
        if len(self.collapsed_):
            messages.append(
                f"{_name(self.collapsed_)} collapsed: reg_covar={self.reg_covar:g} stands for "
                "variance that they do not have, and the likelihood depends on it; have fewer "
                "components, more data, or a larger reg_covar"
            )
        if len(self.empty_):
            messages.append(f"{_name(self.empty_)} ran empty; have fewer components")
        flat = _raised_of_all(result.step, self.reg_covar)
        if flat:
            messages.append(
                f"the data vary by less than reg_covar={self.reg_covar:g} in {flat} of "
                f"{data.n_features} directions, such as a constant feature, and the likelihood "
                "depends on it; drop such features, or scale the data"
            )
        for message in messages:
            warnings.warn(f"{operation}: {message}", ConvergenceWarning, stacklevel=4)

    def _reports(self, i: int) -> tuple[Callable[[], None], Report, Callable[[Climb], None]]:
        """What to do at the beginning of a climb, after each of its iterations, and at its end."""
        times = [time.perf_counter()] * 2  # of the beginning, and of the last line

        def say(text: str) -> None:
            if self.verbose:
                sys.stdout.write(f"{text}\n")

        def iteration(n: int, bound: float, change: float) -> None:
            if n % self.verbose_interval == 0:
                now = time.perf_counter()
                more = f": bound {bound:.5f}, risen by {change:.5f}, {now - times[1]:.3f} s"
                say(f"  iteration {n}{more if self.verbose >= 2 else ''}")
                times[1] = now

        def end(result: Climb) -> None:
            seconds = time.perf_counter() - times[0]
            more = f", bound {result.bound:.5f}, {seconds:.3f} s" if self.verbose >= 2 else ""
            how = "converged" if result.converged else "did not converge"
            say(f"  {how} after {result.n_iter} iterations{more}")

        return lambda: say(f"Start {i + 1}"), iteration, end


_INITIAL = ("weights_init", "means_init", "precisions_init")
_SAVED_ARRAYS = (
    "weights_", "means_", "covariances_", "precisions_cholesky_", "collapsed_", "empty_",
    "_scatter",
)  # fmt: skip
_SAVED_VALUES = (
    "converged_", "n_iter_", "lower_bound_", "lower_bounds_", "n_features_in_", "_bound_before",
    "_fitted_type",
)  # fmt: skip


def _one_of(words: tuple[str, ...]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in words


def _name(components: Any) -> str:
    numbers = [int(k) for k in components]
    return f"component {numbers[0]}" if len(numbers) == 1 else f"components {numbers}"


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
