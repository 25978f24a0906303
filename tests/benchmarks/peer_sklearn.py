"""scikit-learn: Gaussian mixtures, and the seeds of k-means++."""

from __future__ import annotations

import warnings
from typing import Any

import cases
import numpy as np
import sklearn
from sklearn.cluster import kmeans_plusplus
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from threadpoolctl import threadpool_limits

VERSION = f"scikit-learn {sklearn.__version__}"


def set_threads(n: int) -> None:
    threadpool_limits(n)


def prepare(case: str) -> Any:
    warnings.simplefilter("ignore")  # ten iterations are not meant to converge
    kind = case.split()[0]
    return {"em": _iteration, "fit": _fit, "bayes": _bayes, "k-means++": _seeds}[kind](case)


def _model(kind: str, start: tuple[np.ndarray, ...], iterations: int) -> GaussianMixture:
    weights, means, precisions = start
    return GaussianMixture(
        len(weights),
        covariance_type=kind,
        weights_init=weights,
        means_init=means,
        precisions_init=precisions,
        init_params="random_from_data",  # else k-means runs first, although all is given
        reg_covar=0,
        max_iter=iterations,
        tol=0,
        random_state=0,
    )


def _iteration(case: str) -> Any:
    kind, X, start = cases.mixture_data(case)
    model = _model(kind, start, 1).fit(X)

    def run() -> float:
        model.weights_, model.means_, model.precisions_cholesky_ = start  # units are their factors
        log_likelihood, log_resp = model._e_step(X)
        model._m_step(X, log_resp)
        return float(log_likelihood)

    def answer() -> Any:
        bound = run()
        return {"answer": [bound, *_numbers(model)]}

    return run, answer


def _fit(case: str) -> Any:
    kind, X, start = cases.mixture_data(case)
    model = _model(kind, start, cases.ITERATIONS)
    return lambda: model.fit(X), lambda: {"answer": _numbers(model.fit(X))}


def _bayes(case: str) -> Any:
    kind, X, (weights, means, precisions) = cases.mixture_data(case)
    K, D = means.shape
    model = BayesianGaussianMixture(
        n_components=K,
        covariance_type=kind,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=1 / K,
        mean_precision_prior=1.0,
        mean_prior=np.zeros(D),
        degrees_of_freedom_prior=D,
        covariance_prior=D * np.eye(D),
        init_params="random_from_data",
        reg_covar=0,
        max_iter=1,
        random_state=0,
    ).fit(X)
    q = cases.posterior_data(K, D, weights, len(X))

    def run() -> Any:
        for name, value in q.items():
            setattr(model, f"{name}_", value)
        model.means_, model.precisions_cholesky_ = means, precisions  # units are their factors
        log_likelihood, log_resp = model._e_step(X)
        model._m_step(X, log_resp)
        return model._compute_lower_bound(log_resp, log_likelihood)

    def answer() -> Any:
        run()
        model._set_parameters(model._get_parameters())  # the weights
        return {"answer": _numbers(model)}

    return run, answer


def _numbers(model: GaussianMixture) -> list[float]:
    return cases.fingerprint(model.weights_, model.means_, model.covariances_)


def _seeds(case: str) -> Any:
    _, X, (weights, *_) = cases.mixture_data(case)

    def run() -> Any:
        return kmeans_plusplus(X, len(weights), random_state=0)[1]

    return run, lambda: {"answer": run().tolist()}
