"""Where the two models meet: categories summed out, Fisher's identity, EM against the gradient."""

import warnings
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact import gradient
from examples import em_and_gradient
from minivae import GaussianMixture, grad, ops
from minivae.datasets import load_faithful
from minivae.distributions import (
    Bernoulli,
    Categorical,
    Gaussian,
    mixture_log_joint,
    mixture_log_prob,
)
from minivae.errors import ConvergenceWarning
from minivae.latent_model import LatentModel
from minivae.models.vae.networks import trunk
from minivae.objectives import categorical_log_prob, expected_log_joint, minibatch_estimate
from minivae.tensor import Tensor

FAITHFUL = load_faithful()
SCALED = (FAITHFUL - FAITHFUL.mean(axis=0)) / FAITHFUL.std(axis=0)


def fitted(X=SCALED, kind="full", K=2, **options):
    options = {"tol": 1e-14, "max_iter": 3000, "reg_covar": 0, "random_state": 0, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some are meant to be on the way
        return GaussianMixture(K, covariance_type=kind, **options).fit(X)


def theta_of(model):
    """log pi, mu and the Cholesky factors of the covariances of a full mixture."""
    return np.log(model.weights_), model.means_, np.linalg.cholesky(model.covariances_)


# Categories summed out ----------------------------------------------------------------------------


def linear_model(log_pi, likelihood, heads):
    """Categories, and a linear decoder that answers category k with the k-th row of each head."""
    K, D = heads[0].shape
    style = {"rng": np.random.default_rng(0), "dtype": np.float64}
    likelihood = likelihood.built(K, D, **style)
    for head, rows in zip(likelihood.heads, heads, strict=True):
        head.weight.data, head.bias.data = rows - rows[0], rows[0]
    layers = trunk(K, (), activation="identity", **style)
    return LatentModel(Categorical(log_pi), layers, likelihood)


@pytest.mark.equation("GMM.12")
@pytest.mark.parametrize("K", [1, 2, 5])
@pytest.mark.parametrize("D", [1, 2])
def test_a_categorical_z_with_a_gaussian_decoder_is_a_mixture(K, D):
    X = FAITHFUL[:, :D]
    model = fitted(X, "diag", K, max_iter=20, tol=1e-3)
    likelihood = Gaussian("network", sigma_floor=1e-3)
    raw = likelihood._raw(np.log(model.covariances_))
    log_pi = np.log(model.weights_)
    log_p = categorical_log_prob(linear_model(log_pi, likelihood, [model.means_, raw]), X).data
    np.testing.assert_allclose(log_p, model.score_samples(X), rtol=1e-12)
    # and by the density that is a VAE's prior
    factors = np.sqrt(model.covariances_)[..., None] * np.eye(D)
    prior = mixture_log_prob(X, log_pi, model.means_, factors)
    np.testing.assert_allclose(log_p, prior, rtol=1e-12)
    if K > 1:  # the mean over z of log p(x | z) is another number, and lower
        joint = mixture_log_joint(X, np.zeros(K), model.means_, factors)
        assert (joint @ model.weights_ < log_p - 1e-6).mean() > 0.9


@pytest.mark.equation("GMM.12")
@pytest.mark.parametrize("K", [1, 3])
def test_one_scale_for_all_is_a_spherical_mixture(K):
    model = fitted(FAITHFUL, "tied", K, max_iter=20, tol=1e-3)
    log_pi, means = np.log(model.weights_), model.means_
    log_p = mixture_log_prob(FAITHFUL, log_pi, means, np.tile(2.5 * np.eye(2), (K, 1, 1)))
    ours = categorical_log_prob(linear_model(log_pi, Gaussian(2.5), [means]), FAITHFUL)
    np.testing.assert_allclose(ours.data, log_p, rtol=1e-12)
    learnt = linear_model(log_pi, Gaussian("shared"), [means])
    learnt.likelihood.shared.data = np.full((1, 1), learnt.likelihood._raw(np.log(2.5**2)))
    ours = categorical_log_prob(learnt, FAITHFUL)
    np.testing.assert_allclose(ours.data, log_p, rtol=1e-12)


@pytest.mark.equation("GMM.12")
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4))
def test_on_a_finite_table_likelihood_is_entropy_and_divergence(seed, K, D):
    """-log-likelihood / N = H(p_hat) + KL(p_hat || p): maximum likelihood is the least KL."""
    rng = np.random.default_rng(seed)
    table = np.array([*product((0.0, 1.0), repeat=D)])
    logits = 2.0 * rng.normal(size=(K, D))
    log_pi = np.log(rng.dirichlet(np.ones(K)) + 1e-9)
    log_pi -= np.logaddexp.reduce(log_pi)
    model = linear_model(log_pi, Bernoulli(), [logits])
    log_p = categorical_log_prob(model, table).data
    assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-12)
    counts = rng.integers(1, 5, len(table))
    X = np.repeat(table, counts, axis=0)
    p_hat = counts / counts.sum()
    entropy, kl = -(p_hat * np.log(p_hat)).sum(), (p_hat * (np.log(p_hat) - log_p)).sum()
    mean = categorical_log_prob(model, X).data.mean()
    assert -mean == pytest.approx(entropy + kl, rel=1e-12)
    assert kl >= -1e-12


# Fisher's identity --------------------------------------------------------------------------------


def both_gradients(X, theta, responsibilities=None):
    """Of the log-likelihood, and of the expected complete-data log-likelihood."""

    def log_likelihood(log_pi, means, L):
        return ops.sum(mixture_log_prob(X, ops.log_softmax(log_pi), means, L))

    def expected(log_pi, means, L):
        log_joint = mixture_log_joint(X, ops.log_softmax(log_pi), means, L)
        return ops.sum(expected_log_joint(log_joint, responsibilities))

    if responsibilities is None:
        responsibilities = ops.softmax(mixture_log_joint(X, *theta), -1)
    return (grad(f, argnums=(0, 1, 2))(*theta) for f in (log_likelihood, expected))


@pytest.mark.equation("GMM.10")
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 3))
def test_the_two_gradients_are_one(seed, K, D):
    rng = np.random.default_rng(seed)
    X = 2.0 * rng.normal(size=(20, D))
    log_pi = np.log(rng.dirichlet(np.full(K, 2.0)) + 1e-6)
    L = np.tril(0.5 * rng.normal(size=(K, D, D)), -1)
    L += np.exp(0.3 * rng.normal(size=(K, D)))[..., None] * np.eye(D)
    theta = (log_pi - np.logaddexp.reduce(log_pi), rng.normal(size=(K, D)), L)
    for ours, theirs in zip(*both_gradients(X, theta), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("GMM.10")
def test_with_other_responsibilities_the_gradients_differ():
    theta = theta_of(fitted(max_iter=1))
    r = ops.softmax(mixture_log_joint(SCALED, *theta), -1)
    hard = np.eye(2)[r.argmax(axis=1)]
    for wrong in (np.full_like(r, 0.5), r[:, ::-1], hard):
        ours, theirs = both_gradients(SCALED, theta, wrong)
        assert max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True)) > 0.1


@pytest.mark.equation("GMM.10")
def test_responsibilities_that_are_not_held_give_another_gradient():
    theta = theta_of(fitted(max_iter=1))

    def expected(means):
        log_joint = mixture_log_joint(SCALED, theta[0], means, theta[2])
        return ops.sum(expected_log_joint(log_joint, ops.softmax(log_joint, -1)))

    (_, ours, _), _ = both_gradients(SCALED, theta)
    assert np.abs(grad(expected)(theta[1]) - ours).max() > 0.1


@pytest.mark.equation("GMM.10")
def test_both_gradients_vanish_where_em_stands_still():
    for gradients in both_gradients(SCALED, theta_of(fitted())):
        assert max(np.abs(g).max() for g in gradients) < 1e-5  # of a sum over 272 rows
    for gradients in both_gradients(SCALED, theta_of(fitted(max_iter=1))):
        assert max(np.abs(g).max() for g in gradients) > 1.0


# EM against the gradient --------------------------------------------------------------------------


def test_em_and_gradient_ascent_reach_the_same_optimum():
    (first, *_, by_em), (_, *_, by_gradient) = (
        [*climb(200)] for climb in (em_and_gradient.by_em, em_and_gradient.by_gradient)
    )
    best = fitted(em_and_gradient.X)
    assert first[0] < best.lower_bound_ - 0.5
    for bound, means in (by_em, by_gradient):
        assert bound == pytest.approx(best.lower_bound_, abs=1e-12)
        order = np.argsort(best.means_[:, 0])
        np.testing.assert_allclose(means, best.means_[order], atol=1e-6)
    # the published optimum, whose data were not scaled: n log|det A| away
    total = 272 * (by_em[0] - np.log([1.1, 14]).sum())
    assert total == pytest.approx(-1130.26396018, abs=1e-6)


def test_the_picture_of_both_paths(tmp_path):
    em_and_gradient.main(tmp_path, iterations=5)
    assert (tmp_path / "em_and_gradient.png").stat().st_size > 10_000


# Minibatches --------------------------------------------------------------------------------------


def test_minibatches_of_a_mixture_have_the_full_gradient_on_average():
    """Over all minibatches, with and without replacement; their variances are in known ratio."""
    X, N, M = SCALED[::40], len(SCALED[::40]), 3
    theta = theta_of(fitted(max_iter=2, tol=1e3))
    parameters = [Tensor(a, requires_grad=True) for a in theta]

    def estimate(index):
        def value():
            log_pi, means, L = parameters
            log_p = mixture_log_prob(X[list(index)], ops.log_softmax(log_pi), means, L)
            return minibatch_estimate(log_p, N)

        return gradient(value, parameters)

    full = estimate(range(N))
    without = np.array([estimate(index) for index in combinations(range(N), M)])
    repeated = np.array([estimate(index) for index in product(range(N), repeat=M)])
    np.testing.assert_allclose(without.mean(axis=0), full, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(repeated.mean(axis=0), full, rtol=1e-11, atol=1e-11)
    moving = np.abs(full) > 1e-9
    ratio = without.var(axis=0)[moving] / repeated.var(axis=0)[moving]
    np.testing.assert_allclose(ratio, (N - M) / (N - 1), rtol=1e-9)
