"""The equations of discrete and better priors, read from their page and evaluated on numbers."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from book.formulas import check
from examples.mine import true_information
from examples.rate_distortion import linear_curve
from minivae import LatentModel
from minivae.discrete import enumerated_terms
from minivae.distributions import Bernoulli, Categorical, DiagonalGaussian, VampPrior
from minivae.information import aggregate_log_prob
from minivae.rates import free_bits, optimal_noise, profile_log_prob


@pytest.mark.equation("SURG.1", evaluated=True)
@pytest.mark.equation("PRIOR.3", evaluated=True)
def test_means_of_posteriors():
    def bind(rng, trial):
        x, z = rng.standard_normal(3), rng.standard_normal()
        q = DiagonalGaussian(np.sin(x)[:, None], np.full((3, 1), -0.5))
        prior = VampPrior(lambda u: DiagonalGaussian(np.sin(u.data), np.full((3, 1), -0.5)),
                          x[:, None])  # fmt: skip
        at = np.full((1, 1), z)
        return {
            r"\bar{q}(z)": math.exp(aggregate_log_prob(q, at).item()), "N": 3, "x": [*x], "z": z,
            "q(z|x)": lambda z, x: norm.pdf(z, math.sin(x), math.exp(-0.25)), "u": [*x], "C": 3,
            "q(z|u)": lambda z, u: norm.pdf(z, math.sin(u), math.exp(-0.25)),
            "p(z)": math.exp(prior.log_prob(at).item()),
        }  # fmt: skip

    check("SURG.1", bind)
    check("PRIOR.3", bind)


@pytest.mark.equation("DISC.1", evaluated=True)
def test_the_bound_of_a_word():
    def bind(rng, trial):
        table, x = rng.standard_normal((3, 2)), rng.integers(0, 2, (1, 2)).astype(float)
        prior, q = Categorical(rng.standard_normal(3)), Categorical(rng.standard_normal((1, 3)))
        model = LatentModel(prior, lambda z: (z @ table,), Bernoulli())
        each = np.exp(model.log_prob_given(x, q.support()))[:, 0]
        p_z, q_z = (np.exp(np.ravel(d.log_probabilities())) for d in (prior, q))
        return {
            r"\mathcal{L}(x)": enumerated_terms(model, q, x).elbo.item(), "K": 3, "x": None,
            "p(x|z)": lambda x, z: each[z - 1], "p(z)": lambda z: p_z[z - 1],
            "q(z|x)": lambda z, x: q_z[z - 1],
        }  # fmt: skip

    check("DISC.1", bind)


@pytest.mark.equation("RATE.2", evaluated=True)
def test_what_the_kl_costs_with_free_bits():
    def bind(rng, trial):
        kl = rng.exponential(0.5, (4, 3))
        return {"F": float(free_bits(kl, 0.5)), "K": 3, "N": 4, "R": kl, r"\tau": 0.5}

    check("RATE.2", bind)


@pytest.mark.equation("RATE.3", evaluated=True)
@pytest.mark.equation("RATE.4", evaluated=True)
def test_the_noise_that_suits_best():
    def bind(rng, trial):
        x, mu = rng.standard_normal((2, 4, 3))
        densities = norm.pdf(x, mu, float(optimal_noise(x, mu))).prod(axis=1)
        assert np.log(densities).mean() == pytest.approx(float(profile_log_prob(x, mu)))
        return {
            r"\hat{\sigma}": float(optimal_noise(x, mu)), "N": 4, "D": 3, "x": x, r"\mu": mu,
        }  # fmt: skip

    check("RATE.3", bind)

    def mean(rng, trial):
        x, mu = rng.standard_normal((2, 4, 3))
        sigma = float(optimal_noise(x, mu))
        densities = norm.pdf(x, mu, sigma).prod(axis=1)
        return {
            r"\hat{\sigma}": sigma, "N": 4, "D": 3, "x": [1, 2, 3, 4], "z": [1, 2, 3, 4],
            "p(x|z)": lambda x, z: densities[x - 1],
        }  # fmt: skip

    check("RATE.4", mean)


@pytest.mark.equation("RATE.1", evaluated=True)
def test_the_rate_of_a_linear_decoder():
    def bind(rng, trial):
        eigenvalues, var, beta = rng.exponential(1.0, 4), rng.uniform(0.1, 0.5), rng.uniform(0.5, 3)
        rate, _ = linear_curve(eigenvalues, var, beta)
        return {"R": rate, "K": 4, r"\lambda": [*eigenvalues], r"\beta": beta,
                r"\sigma": math.sqrt(var)}  # fmt: skip

    check("RATE.1", bind)


@pytest.mark.equation("MI.2", evaluated=True)
def test_the_information_of_two_gaussians():
    def bind(rng, trial):
        rho = rng.uniform(-0.95, 0.95)
        covariance = np.array([[1.0, rho], [rho, 1.0]])
        entropies = 0.5 * np.log(2 * math.pi * math.e * np.diag(covariance)).sum()
        joint = 0.5 * np.linalg.slogdet(2 * math.pi * math.e * covariance)[1]
        assert true_information(rho) == pytest.approx(entropies - joint)
        return {"I": entropies - joint, r"\rho": rho}

    check("MI.2", bind)
