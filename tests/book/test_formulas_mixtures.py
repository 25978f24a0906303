"""The equations of missing values and of Bayesian mixtures, read from their page and evaluated."""

import math

import numpy as np
import pytest
from scipy.special import digamma, gamma, multigammaln

from book.formulas import check
from book.test_formulas_early import column
from minivae.distributions.mixture import MixtureOfGaussians
from minivae.models.mixture import posterior as room
from minivae.models.mixture.data import Data
from minivae.models.mixture.em import em_statistics


def posterior(rng, K=2, D=2):
    """A q of full covariances and a Dirichlet, and its prior."""

    def gaussians(means):
        A = rng.normal(size=(K, D, D)) + 2 * np.eye(D)
        return MixtureOfGaussians.from_covariances([1 / K] * K, means, A @ A.swapaxes(1, 2))

    prior = gaussians(np.repeat(rng.normal(size=(1, D)), K, axis=0))
    one = MixtureOfGaussians.from_covariances(
        prior.weights, prior.means, prior.covariances[:1].repeat(K, axis=0)
    )
    nu_0, beta_0, alpha_0 = rng.uniform(2, 4), *rng.uniform(0.5, 2, 2)
    prior = room.Posterior(np.full(K, alpha_0), np.full(K, beta_0), np.full(K, nu_0), one)
    q = room.Posterior(
        rng.uniform(1, 9, K), rng.uniform(1, 9, K), rng.uniform(3, 9, K),
        gaussians(rng.normal(size=(K, D))),
    )  # fmt: skip
    return q, prior


def scales(q):
    """W_k, of which the inverse of E[Lambda] is (nu_k W_k)^-1."""
    pairs = zip(q.degrees_of_freedom, q.expected.covariances, strict=True)
    return [np.linalg.inv(nu * S) for nu, S in pairs]


def symbols_of(q, prior):
    return {
        r"\alpha_0": prior.concentration[0], r"\beta_0": prior.mean_precision[0],
        r"\nu_0": prior.degrees_of_freedom[0], "m_0": column(prior.expected.means[0]),
        "W_0": scales(prior)[0], r"\psi": digamma, r"\Gamma": gamma, "D": 2, "K": 2,
    }  # fmt: skip


@pytest.mark.equation("VBM.1", evaluated=True)
def test_the_m_step_of_a_bayesian_mixture():
    def bind(rng, trial):
        q, prior = posterior(rng)
        X = rng.normal(size=(9, 2))
        sums, centres = em_statistics(Data("", X), q.mixture, 0.0)
        r, N = q.mixture.responsibilities(X), sums.counts
        means = r.T @ X / N[:, None]
        away = X - means[:, None]
        S = np.einsum("nk,kni,knj->kij", r, away, away) / N[:, None, None]
        new = room.m_step(sums, centres, q, prior, 0.0)
        return {
            **symbols_of(q, prior), r"\alpha": [*new.concentration], "N": [*N],
            r"\beta": [*new.mean_precision], r"\nu": [*new.degrees_of_freedom],
            "m": [column(m) for m in new.expected.means], r"\bar{x}": [column(m) for m in means],
            "W": scales(new), "S": [*S], "ranges": {"k": 2},
        }  # fmt: skip

    check("VBM.1", bind)


@pytest.mark.equation("VBM.2", evaluated=True)
def test_the_e_step_of_a_bayesian_mixture():
    def bind(rng, trial):
        q, prior = posterior(rng)
        X, theta = rng.normal(size=(3, 2)), q.mixture
        rho = np.stack([
            theta.weights[k] * np.exp(
                MixtureOfGaussians(np.ones(1), theta.means[k : k + 1], theta.covariances[k : k + 1],
                                   theta.precisions_cholesky[k : k + 1]).log_prob(X))
            for k in range(2)
        ], axis=1)  # fmt: skip
        W, nu = scales(q), q.degrees_of_freedom
        drawn = room._expected_log_det(nu, 2) + [
            np.linalg.slogdet(n * w)[1] for n, w in zip(nu, W, strict=True)
        ]
        return {
            **symbols_of(q, prior), r"\rho": rho, r"\pi": math.pi,
            r"\tilde{\pi}": [*np.exp(room.expected_log_weights(q.concentration))],
            r"\tilde{\Lambda}": [*np.exp(drawn)], r"\beta": [*q.mean_precision], r"\nu": [*nu],
            "x": [column(x) for x in X], "m": [column(m) for m in q.expected.means], "W": W,
            "ranges": {"k": 2, "n": 3},
        }  # fmt: skip

    check("VBM.2", bind)


@pytest.mark.equation("VBM.3", evaluated=True)
def test_the_sticks():
    def bind(rng, trial):
        a, b = rng.uniform(0.3, 5, (2, 3))
        found = np.exp(room.expected_log_weights(np.stack([a, b])))
        return {r"\tilde{\pi}": [*found], r"\psi": digamma, "a": [*a], "b": [*b],
                "ranges": {"k": 3}}  # fmt: skip

    check("VBM.3", bind)


@pytest.mark.equation("VBM.4", evaluated=True)
@pytest.mark.equation("VBM.5", evaluated=True)
@pytest.mark.equation("VBM.6", evaluated=True)
def test_the_bound_and_its_divergences():
    def bind(rng, trial):
        q, prior = posterior(rng)
        X = rng.normal(size=(4, 2))
        sums, _ = em_statistics(Data("", X), q.mixture, 0.0)
        theta = q.mixture
        rho = np.exp(theta.log_prob(X))[:, None] * theta.responsibilities(X)
        return {
            **symbols_of(q, prior), r"\mathcal{L}": room.bound(sums, q, prior), "N": 4,
            r"\rho": rho, r"\alpha": [*q.concentration],
            r"\mathrm{KL}_\pi": room.kl_of_weights(q, prior),
            r"\mathrm{KL}_\mu": room.kl_of_components(q, prior),
        }  # fmt: skip

    check("VBM.4", bind)

    def weights(rng, trial):
        q, prior = posterior(rng)
        return {**symbols_of(q, prior), r"\mathrm{KL}_\pi": room.kl_of_weights(q, prior),
                r"\alpha_k": [*q.concentration], r"\alpha": q.concentration.sum()}  # fmt: skip

    check("VBM.5", weights)

    def component(rng, trial):
        q, prior = posterior(rng, K=1)
        W, nu = scales(q)[0], q.degrees_of_freedom[0]
        return {
            **symbols_of(q, prior), r"\mathrm{KL}": room.kl_of_components(q, prior),
            r"\beta": q.mean_precision[0], r"\nu": nu, "m": column(q.expected.means[0]), "W": W,
            "P": nu * W, r"\mathrm{tr}": np.trace,
            r"\Gamma_D": lambda x: math.exp(multigammaln(x, 2)),
        }  # fmt: skip

    check("VBM.6", component)
