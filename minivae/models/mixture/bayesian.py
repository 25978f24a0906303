"""The Bayesian Gaussian mixture as an estimator, in scikit-learn's terms.

>>> from minivae.datasets import load_faithful
>>> from minivae import BayesianGaussianMixture
>>> mixture = BayesianGaussianMixture(6, random_state=0, max_iter=500).fit(load_faithful())
>>> int((mixture.weights_ > 0.05).sum())
2
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from minivae.alternate import Report, Trace, alternate
from minivae.checks import as_float64
from minivae.distributions.mixture import MixtureOfGaussians, SingularError, constrained
from minivae.errors import ConvergenceWarning, ShapeError, warn
from minivae.estimator import anything, choice, number, parameter
from minivae.models.mixture.components import GaussianComponents
from minivae.models.mixture.data import Data
from minivae.models.mixture.em import em_statistics
from minivae.models.mixture.estimator import NOT_CONVERGED, NUMBER
from minivae.models.mixture.initial_values import Given
from minivae.models.mixture.initialise import filled, initialise, scatter_of_all
from minivae.models.mixture.posterior import Posterior, bound, m_step
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array
from minivae_kernels.mixture import MixtureStatistics, covariance_shapes

__all__ = ["BayesianGaussianMixture"]

_DIRICHLET, _STICKS = "dirichlet_distribution", "dirichlet_process"
_PRIORS = (
    "weight_concentration_prior", "mean_precision_prior", "mean_prior", "degrees_of_freedom_prior",
    "covariance_prior",
)  # fmt: skip


class BayesianGaussianMixture(GaussianComponents):
    """A Gaussian mixture whose parameters have a posterior, by variational Bayes, Eq. VBM.1.

    Names and meanings are scikit-learn's. What differs:

    - the bound has every constant and every term, so that ``lower_bound_``, in nats per datum, can
      be compared between models; ``tol`` refers to the bound of all data together;
    - with tied, diag and spherical covariances the prior is one of which the M-step is exact: the
      Wishart of tied has K nu degrees of freedom, that of spherical is one Gamma variable with
      D nu, those of diag are a Gamma variable for each feature, with nu. Means and covariances have
      scikit-learn's formulas, E[log det Lambda] belongs to that prior, and the bound never falls;
    - ``reg_covar`` is a floor under the eigenvalues of ``covariances_``, the best q under that
      constraint;
    - ``score_samples`` is log sum_k exp E[log pi_k N(x; mu_k, Lambda_k^-1)]: a bound under the log
      of the predictive density. ``distribution_``, and with it ``sample``, has the expected
      weights, means and precisions.

    %parameters%

    Attributes
    ----------
    weights_
        E[pi], ``(K,)``.
    means_
        E[mu], ``(K, D)``.
    covariances_, precisions_, precisions_cholesky_
        The inverse of E[Lambda], E[Lambda], and its factor, in the shapes of a GaussianMixture.
    weight_concentration_
        alpha, ``(K,)``; of a Dirichlet process both parameters of the sticks' Betas.
    mean_precision_, degrees_of_freedom_
        beta and nu, ``(K,)``; one nu for tied.
    weight_concentration_prior_, mean_precision_prior_, mean_prior_, degrees_of_freedom_prior_
        The prior, as given or as found; and ``covariance_prior_``.
    lower_bound_, lower_bounds_
        The bound on log p(X), in nats per datum: of this q, and after each iteration.
    converged_, n_iter_, n_features_in_, distribution_
        As of a GaussianMixture.

    References
    ----------
    Bishop (2006), section 10.2; Blei and Jordan (2006) for the sticks.
    """

    tol: float = parameter(
        default=1e-3,
        rule=number(),
        sentence="The rise of the bound of all data, in nats, below which the ascent ends.",
        metavar="T",
        kw_only=True,
    )
    weight_concentration_prior_type: str = parameter(
        default=_STICKS,
        rule=choice(_STICKS, _DIRICHLET),
        sentence="p(pi): the sticks of a Dirichlet process, cut after K, or a Dirichlet.",
        kw_only=True,
    )
    weight_concentration_prior: float | None = parameter(
        default=None,
        rule=number(above=True).or_none(),
        sentence="How many data p(pi) counts for each component beforehand: the smaller, the more "
        "components are left without data. 1/K by default.",
        kw_only=True,
    )
    mean_precision_prior: float | None = parameter(
        default=None,
        rule=number(above=True).or_none(),
        sentence="beta_0: the prior of a mean counts as this many data. 1 by default.",
        kw_only=True,
    )
    mean_prior: Any = parameter(
        default=None,
        rule=anything(),
        sentence="m_0, ``(D,)``. The data's mean by default.",
        kw_only=True,
    )
    degrees_of_freedom_prior: float | None = parameter(
        default=None,
        rule=number(above=True).or_none(),
        sentence="nu_0, above D - 1. D by default.",
        kw_only=True,
    )
    covariance_prior: Any = parameter(
        default=None,
        rule=anything(),
        sentence="W_0^-1: ``(D, D)``, for diag ``(D,)``, for spherical a number. The data's "
        "covariance by default.",
        kw_only=True,
    )

    _kind = "bayesian-gmm"
    _saved_arrays = (
        "weight_concentration_", "mean_precision_", "means_", "degrees_of_freedom_",
        "covariances_", "precisions_cholesky_", "weights_",
        "weight_concentration_prior_", "mean_precision_prior_", "mean_prior_",
        "degrees_of_freedom_prior_", "covariance_prior_",
    )  # fmt: skip
    _saved_values: ClassVar = {
        **GaussianComponents._saved_values,
        "_bound_before": NUMBER,
        "_fitted_type": GaussianComponents.declared["covariance_type"].rule,
    }
    _initial = ("mean_prior", "covariance_prior")

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        labels: Any = None,
        client: Any = None,
    ) -> Self:
        """Climb the bound from each of the starts, and keep the best.

        Parameters
        ----------
        X, y, sample_weight, labels, client
            As for ``GaussianMixture.fit``.

        Raises
        ------
        ValueError, TypeError
            If the data or a hyper-parameter makes no sense; the model is as it was.

        Warns
        -----
        ConvergenceWarning
            If the ascent did not converge.
        """
        self._fit("fit", X, sample_weight, labels, client)
        return self

    def _fit(
        self, operation: str, X: Any, sample_weight: Any, labels: Any, client: Any = None
    ) -> None:
        self.check_params()
        go_on = bool(self.warm_start) and hasattr(self, "means_")
        data = self._data(operation, X, sample_weight, labels, go_on, client)
        sticks = self.weight_concentration_prior_type == _STICKS
        if go_on:
            self._check_same(operation, data.n_features)
            if self.posterior_.concentration.ndim != 1 + sticks:
                raise ValueError(f"{operation}: weight_concentration_prior_type has changed since")
        else:
            self._check_enough(data)
        entropy, floor = entropy_from(self.random_state), self.reg_covar
        numbers = self._prior(data, entropy)
        prior = self._as_posterior(
            operation, numbers, data.n_features, self.covariance_type, sticks
        )
        if go_on:
            starts, bound_before = [self.posterior_], self._bound_before
        else:
            starts = [self._start(data, prior, stream(entropy, i)) for i in range(self.n_init)]
            bound_before = -math.inf

        def climb(
            q: Posterior, bound_before: float, max_iter: int, report: Report
        ) -> Trace[Posterior]:
            return alternate(
                lambda q: em_statistics(data, q.mixture, floor),
                lambda sums, q: m_step(*sums, q, prior, floor),
                q,
                lambda sums, q: bound(sums[0], q, prior),
                self.tol,
                max_iter,
                bound_before=bound_before,
                ends=SingularError,
                report=report,
            )

        _, result = self._race(starts, climb, bound_before)
        self._take(result.theta, numbers)
        if not go_on:
            self._take_columns(data.column_names)
        self.converged_, self.n_iter_ = result.converged, result.n_iter
        self.lower_bounds_ = [value / data.total_weight for value in result.bounds]
        self.lower_bound_ = result.bound / data.total_weight
        self._bound_before: float = result.bound_before
        if not result.converged and self.max_iter > 0:
            warn(f"{operation}: {NOT_CONVERGED}", ConvergenceWarning)

    def _start(self, data: Data, prior: Posterior, rng: np.random.Generator) -> Posterior:
        """The M-step on the sums that a start of EM was found from."""
        kind, floor = self.covariance_type, max(self.reg_covar, float(np.finfo(float).tiny))
        nothing = Given(None, None, None)
        found = initialise(data, self.n_components, kind, self.init_params, nothing, floor, rng)
        theta, S, _ = found.step
        N, D = theta.weights * data.total_weight, data.n_features
        per = {"full": N[:, None, None], "tied": N.sum(), "diag": N[:, None], "spherical": N * D}
        second = per[kind] * S
        sums = MixtureStatistics(math.nan, N, np.zeros_like(theta.means), second)
        return m_step(sums, theta.means, prior._replace(expected=theta), prior, self.reg_covar)

    def _prior(self, data: Data, entropy: int) -> tuple[Any, ...]:
        """gamma, beta_0, m_0, nu_0 and W_0^-1, what is not given found from the data."""
        K, D, kind = self.n_components, data.n_features, self.covariance_type
        gamma, beta = self.weight_concentration_prior, self.mean_precision_prior
        m, nu, S = self.mean_prior, self.degrees_of_freedom_prior, self.covariance_prior
        nu = float(D) if nu is None else nu
        if not nu > D - 1:
            raise ValueError(
                f"{data.operation}: The parameter 'degrees_of_freedom_prior' should be greater "
                f"than {D - 1}, but got {nu:.3f}."
            )
        if m is None or S is None:
            rows = filled(data, K, kind, stream(entropy, 0)) if data.has_gaps() else data
            centre, scatter = scatter_of_all(rows, kind)
            m = centre[0] if m is None else m
            if S is None:  # unbiased, and held up where the data do not vary
                scatter = scatter * data.total_weight / max(data.total_weight - 1, 1)
                one = "full" if kind == "tied" else kind
                try:
                    S = nu * constrained(scatter[None] / nu, one, self.reg_covar)[0][0]
                    MixtureOfGaussians.from_covariances(np.ones(1), centre, (S / nu)[None], one)
                except ValueError as error:  # or one far row is all of the variance
                    raise ValueError(
                        f"{data.operation}: the data do not vary in some direction, or next to "
                        "nothing beside another, and their covariance is not a prior; look for a "
                        "row that is far out, or give covariance_prior or a larger reg_covar"
                    ) from error
        return (1.0 / K if gamma is None else gamma, 1.0 if beta is None else beta, m, nu, S)

    def _as_posterior(
        self, operation: str, numbers: tuple[Any, ...], D: int, kind: str, sticks: bool
    ) -> Posterior:
        """gamma, beta_0, m_0, nu_0 and W_0^-1 as a posterior of K components that are alike."""
        K = self.n_components
        gamma, beta, m, nu, S = (
            as_float64(x, f"{operation}: {name}")
            for name, x in zip(_PRIORS, numbers, strict=True)
        )
        one = covariance_shapes(1, D)[kind]
        shape = one if kind == "tied" else one[1:]
        for name, theirs, array, wanted in (  # scikit-learn's words have names of their own
            ("mean_prior", "means", m, (D,)),
            ("covariance_prior", f"{kind} covariance_prior", S, shape),
        ):
            if array.shape != wanted:
                raise ShapeError(
                    f"{operation}: {name} has another shape than the data ask for: The parameter "
                    f"'{theirs}' should have the shape of {wanted}, but got {array.shape}"
                )
            if not np.isfinite(array).all():
                place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
                raise ValueError(
                    f"{operation}: {name} at {place} is {array[place]}; it must be finite"
                )
        concentration = np.full(K, gamma)
        if sticks:
            concentration = np.stack([np.ones(K), concentration])
        S = S / nu if kind == "tied" else np.repeat((S / nu)[None], K, axis=0)
        expected = MixtureOfGaussians.from_covariances(
            np.full(K, 1 / K), np.repeat(m[None], K, axis=0), S, kind, f"{operation}: the prior"
        )
        freedom = nu if kind == "tied" else np.full(K, nu)
        return Posterior(concentration, np.full(K, beta), freedom, expected)

    def _take(self, q: Posterior, numbers: tuple[Any, ...]) -> None:
        """Make q and the numbers of the prior the model's own."""
        theta = q.expected
        self._fitted_type = theta.covariance_type
        self.weights_, self.means_ = theta.weights, theta.means
        self.covariances_, self.precisions_ = theta.covariances, theta.precisions
        self.precisions_cholesky_, self.n_features_in_ = theta.precisions_cholesky, len(numbers[2])
        a = q.concentration
        self.weight_concentration_ = a if a.ndim == 1 else tuple(a)
        self.mean_precision_, self.degrees_of_freedom_ = q.mean_precision, q.degrees_of_freedom
        for name, value in zip(_PRIORS, numbers, strict=True):
            x = np.array(value, np.float64)
            setattr(self, f"{name}_", x if x.ndim else float(x))

    @property
    def posterior_(self) -> Posterior:
        """q(pi) q(mu, Lambda) as fitted."""
        return Posterior(
            np.asarray(self.weight_concentration_), self.mean_precision_,
            np.asarray(self.degrees_of_freedom_), self.distribution_,
        )  # fmt: skip

    @property
    def _judge(self) -> MixtureOfGaussians:
        return self.posterior_.mixture

    @property
    def bic(self) -> Any:
        """Raise AttributeError: a Bayesian mixture has no BIC; its bound compares models."""
        raise AttributeError("a BayesianGaussianMixture has no bic; compare lower_bound_")

    @property
    def aic(self) -> Any:
        """Raise AttributeError: a Bayesian mixture has no AIC; its bound compares models."""
        raise AttributeError("a BayesianGaussianMixture has no aic; compare lower_bound_")

    def _restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        stored = {name: as_float64(arrays[name], name) for name in self._saved_arrays}
        a, beta, m, nu, S, U, pi = (stored[name] for name in self._saved_arrays[:7])
        numbers = tuple(stored[name] for name in self._saved_arrays[7:])
        kind = values["_fitted_type"]
        theta = MixtureOfGaussians(pi, m, S, U, kind).checked("load")
        prior = self._as_posterior("load", numbers, m.shape[1], kind, a.ndim == 2)
        q = Posterior(a, beta, nu, theta)
        for part, like in zip(q[:3], prior[:3], strict=True):
            if part.shape != like.shape or not (np.isfinite(part) & (part > 0)).all():
                raise ValueError("q must have the shapes that K and D say, and be above 0")
        self._take(q, numbers)
