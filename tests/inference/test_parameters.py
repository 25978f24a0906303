"""A posterior over parameters, against closed forms and quadrature."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from examples import posterior_over_parameters as example
from minivae import grad, ops
from minivae.distributions import DiagonalGaussian, StandardNormal
from minivae.inference import hmc, importance_sampling, laplace_proposal

V_0 = 9.0
X, Y = example.data()


@pytest.mark.equation("CHAIN.7")
def test_the_posterior_of_a_mean_is_the_closed_form():
    x, m_0, v_0, sigma = np.array([0.3, -1.2, 2.0]), 0.5, 2.0, 0.8
    m, v = example.normal_posterior(x, m_0, v_0, sigma)

    def joint(mean):
        return norm.pdf(mean, m_0, np.sqrt(v_0)) * norm.pdf(x, mean, sigma).prod()

    total, first, second = (
        quad(lambda mean, k=k: mean**k * joint(mean), -10, 10, epsabs=1e-14)[0] for k in range(3)
    )
    assert m == pytest.approx(first / total, rel=1e-8)
    assert v == pytest.approx(second / total - (first / total) ** 2, rel=1e-8)
    # one datum after the other comes to the same
    step = m_0, v_0
    for each in x:
        step = example.normal_posterior([each], *step, sigma)
    np.testing.assert_allclose(step, (m, v), rtol=1e-12)

    def log_density(z):
        prior = -0.5 * ops.square(z[..., 0] - m_0) / v_0
        return prior - 0.5 * ops.sum(ops.square(x - z), -1) / sigma**2

    chain = hmc(log_density, np.zeros((8, 1, 1)), 150, 100, random_state=0)
    assert abs(chain.mean.item() - m) < 4.5 * chain.mcse.item()
    assert chain.draws.var() == pytest.approx(v, rel=0.2)


@pytest.mark.equation("CHAIN.8")
def test_two_weights_by_hmc_by_weights_and_by_quadrature():
    w, mass = example.on_grid(X, Y, V_0, n=281)
    flat, mass = w.reshape(-1, 2), mass.ravel()
    mean = mass @ flat
    second = mass @ flat**2
    chain = example.draw(X, Y, V_0)
    assert (np.abs(chain.mean[0] - mean) < 4.5 * chain.mcse[0]).all()
    squares = type(chain)(chain.draws**2, chain.accept, chain.divergences)
    assert (np.abs(squares.mean[0] - second) < 4.5 * squares.mcse[0]).all()
    assert (chain.r_hat < 1.03).all()
    assert np.abs(mean - example.map_estimate(X, Y, V_0)).max() > 0.2  # the MAP is not the mean
    # the evidence, by draws around the peak
    spacing = 28.0 / 280
    log_p = np.log(np.exp(example.log_joint(flat[:, None], X, Y, V_0)).sum() * spacing**2)
    q = DiagonalGaussian(np.zeros((1, 2)), np.full((1, 2), np.log(V_0)))

    def log_joint(w):
        return example.log_joint(w, X, Y, V_0)

    proposal = laplace_proposal(log_joint, StandardNormal(2), q, [np.random.default_rng(0)])
    found = importance_sampling(log_joint, proposal, 2000, 0)
    assert abs(found.estimate.item() - log_p) < 4.5 * found.standard_error.item()
    assert found.standard_error.item() < 0.05


@pytest.mark.equation("CHAIN.8")
def test_the_map_estimate_is_where_the_slope_is_0():
    best = example.map_estimate(X, Y, V_0)
    slope = grad(lambda w: ops.sum(example.log_joint(w, X, Y, V_0)))(best[None, None])
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)
    w, mass = example.on_grid(X, Y, V_0, n=281)
    np.testing.assert_allclose(w.reshape(-1, 2)[mass.argmax()], best, atol=0.05)
