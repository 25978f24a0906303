"""What a code knows of its datum: surgery, minibatches, total correlation, critics and rates."""

import math
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from exact import gradient, normal_rule
from examples.rate_distortion import linear_curve
from minivae import VAE, Tensor, assert_gradcheck, datasets, ops
from minivae.distributions import (
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    Implicit,
    MixturePrior,
    StandardNormal,
)
from minivae.errors import ShapeError
from minivae.information import (
    aggregate_log_prob,
    density_ratio_loss,
    donsker_varadhan,
    elbo_surgery,
    minibatch_log_prob,
    stratified_log_weights,
    surgery_by_quadrature,
    total_correlation,
)
from minivae.rates import free_bits, optimal_noise, profile_log_prob


def posteriors(N=6, K=2, seed=0):
    rng = np.random.default_rng(seed)
    return DiagonalGaussian(1.5 * rng.normal(size=(N, K)), rng.normal(size=(N, K)) - 1.5)


# Surgery ------------------------------------------------------------------------------------------


@pytest.mark.equation("SURG.2")
@pytest.mark.parametrize("K", [1, 2])
def test_the_two_parts_by_quadrature_are_the_kl(K):
    q = posteriors(K=K)
    parts = surgery_by_quadrature(q, StandardNormal(K))
    assert parts.kl == pytest.approx(q.kl_to(StandardNormal(K)).mean(), rel=1e-7)
    assert 0 < parts.information < math.log(6)
    assert parts.marginal_kl > 0


@pytest.mark.equation("SURG.1")
@pytest.mark.equation("SURG.2")
def test_the_parts_where_each_is_known():
    # far apart, every code names its datum; all the same, none says anything
    apart = DiagonalGaussian(np.array([[-40.0], [0.0], [40.0]]), np.zeros((3, 1)))
    assert surgery_by_quadrature(apart, StandardNormal(1)).information == pytest.approx(math.log(3))
    same = DiagonalGaussian(np.full((5, 2), 0.7), np.full((5, 2), -0.4))
    parts = surgery_by_quadrature(same, StandardNormal(2))
    assert parts.information == pytest.approx(0.0, abs=1e-9)
    assert parts.marginal_kl == pytest.approx(same.kl_to(StandardNormal(2))[0], rel=1e-9)
    # the aggregate posterior as the prior costs nothing
    q = posteriors(4, 2)
    factors = np.exp(0.5 * q.log_var)[..., None] * np.eye(2)
    aggregate = MixturePrior(np.full(4, 0.25), q.mu, factors, np.float64)
    assert surgery_by_quadrature(q, aggregate).marginal_kl == pytest.approx(0.0, abs=1e-9)
    z = np.random.default_rng(0).normal(size=(7, 3, 2))
    found = aggregate_log_prob(q, z)
    np.testing.assert_allclose(found, aggregate.log_prob(z).data, rtol=1e-12)


def test_by_samples_it_is_the_same_within_its_error():
    q, S = posteriors(), 4000
    exact = surgery_by_quadrature(q, StandardNormal(2))
    z = q.rsample(q.noise(np.random.default_rng(0), S))
    found = elbo_surgery(q, StandardNormal(2), z)
    spread = (q.log_prob(z) - aggregate_log_prob(q, z)).std() / math.sqrt(6 * S)
    assert abs(found.information - exact.information) < 5.2 * spread
    assert found.kl == pytest.approx(exact.kl, abs=0.05)
    by_part = [elbo_surgery(q, StandardNormal(2), part) for part in np.split(z, 4)]
    assert np.mean([p.kl for p in by_part]) == pytest.approx(found.kl, rel=1e-10)


def test_a_full_gaussian_is_taken_apart_too():
    q = posteriors(5)
    full = FullGaussian(q.mu, np.exp(0.5 * q.log_var)[..., None] * np.eye(2))
    expected = surgery_by_quadrature(q, StandardNormal(2))
    np.testing.assert_allclose(surgery_by_quadrature(full, StandardNormal(2)), expected, atol=1e-9)


def test_what_a_grid_cannot_hold_is_refused():
    with pytest.raises(ValueError, match=r"z has 3 dimensions; a grid takes 1 or 2"):
        surgery_by_quadrature(posteriors(K=3), StandardNormal(3))
    needle = DiagonalGaussian(np.array([[0.0, 0.0], [9.0, 9.0]]), np.full((2, 2), -18.0))
    with pytest.raises(ValueError, match="too fine for a grid; use elbo_surgery"):
        surgery_by_quadrature(needle, StandardNormal(2))


def test_a_vae_says_what_it_pays_for():
    X = datasets.load("optdigits").model_arrays(counts=True)[0][:120]
    vae = VAE(2, (16,), "tanh", "binomial", n_trials=16, epochs=8, random_state=0).fit(X)
    exact = surgery_by_quadrature(vae.posterior(X), vae.prior_)
    found = vae.surgery(X, 50)
    assert found.information == pytest.approx(exact.information, abs=0.1)
    assert found.kl == pytest.approx(vae.elbo_terms(X).kl.mean(), abs=0.1)
    assert found == vae.surgery(X, 50)  # the same in each call
    assert found.information <= math.log(120) + 0.1


# Minibatches --------------------------------------------------------------------------------------


@pytest.mark.equation("SURG.3")
@pytest.mark.parametrize("M", [2, 3, 4])
def test_over_all_minibatches_the_stratified_density_is_the_whole(M):
    N, rng = 6, np.random.default_rng(0)
    log_q = rng.normal(size=(N, N)) + 2.0 * np.eye(N)  # log q(z_i | x_j)
    whole = np.exp(log_q).mean(axis=1)
    sums, plain, counts = np.zeros(N), np.zeros(N), np.zeros(N)
    for batch in map(list, combinations(range(N), M)):
        pairs = log_q[np.ix_(batch, batch)]
        sums[batch] += np.exp(minibatch_log_prob(pairs, N))
        plain[batch] += np.exp(minibatch_log_prob(pairs))
        counts[batch] += 1
    np.testing.assert_allclose(sums / counts, whole, rtol=1e-13)
    assert (plain / counts > whole * 1.05).all()
    np.testing.assert_allclose(np.exp(stratified_log_weights(M, N)).sum(axis=1), 1.0, rtol=1e-13)
    # with all data there is nothing to estimate
    np.testing.assert_allclose(np.exp(minibatch_log_prob(log_q, N)), whole, rtol=1e-13)


@pytest.mark.equation("SURG.3")
def test_the_weights_that_shipped_in_a_column_are_seen():
    N, M, rng = 7, 4, np.random.default_rng(0)
    density = np.exp(rng.normal(size=(N, N)) + 2.0 * np.eye(N))
    shipped = np.full((M, M), (N - 1) / (N * (M - 1)))
    shipped.reshape(-1)[::M] = 1 / N
    np.testing.assert_allclose(shipped.sum(axis=1), 1.0)  # nothing looks wrong
    rows = np.zeros((2, M))
    batches = [*permutations(range(N), M)]
    for batch in map(list, batches):
        pairs = density[np.ix_(batch, batch)]
        rows[0] += np.exp(minibatch_log_prob(np.log(pairs), N)) / len(batches)
        rows[1] += (shipped * pairs).sum(axis=1) / len(batches)
    np.testing.assert_allclose(rows[0], density.mean(), rtol=1e-12)
    assert rows[1, 0] == pytest.approx(density.mean())  # its first row only
    assert (np.abs(rows[1, 1:] - density.mean()) > 0.01).all()


def test_the_plain_information_never_exceeds_log_m():
    q = DiagonalGaussian(30.0 * np.arange(8.0)[:, None], np.zeros((8, 1)))
    log_q = q.log_prob(q.mu[:, None] + np.zeros((8, 8, 1)))
    own = np.diag(log_q)
    assert (own - minibatch_log_prob(log_q)).mean() == pytest.approx(math.log(8))
    # of 100 data: the stratified one sees that each code names its datum among all of them
    assert (own - minibatch_log_prob(log_q, 100)).mean() == pytest.approx(math.log(100))


@pytest.mark.equation("TC.1")
def test_total_correlation_of_all_data_is_the_integral():
    N = 5
    rng = np.random.default_rng(0)
    mu = np.repeat(rng.normal(size=(N, 1)), 2, axis=1) + 0.2 * rng.normal(size=(N, 2))
    q = DiagonalGaussian(1.5 * mu, np.full((N, 2), -2.0))
    axis = np.linspace(-6.0, 6.0, 301)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    joint = np.exp(norm.logpdf(z[:, :, None], q.mu, np.exp(-1.0)).sum(axis=-1)).mean(axis=-1)
    cell = (axis[1] - axis[0]) ** 2
    first, second = joint.sum(axis=1) * cell**0.5, joint.sum(axis=0) * cell**0.5
    truth = cell * (joint * np.log(joint / np.outer(first, second))).sum()
    draws = [q.sample(seed) for seed in range(400)]
    found = np.array([total_correlation(q, z, N) for z in draws])
    error = found.std(ddof=1) / math.sqrt(len(found))
    assert abs(found.mean() - truth) < 5.2 * error
    assert truth > 0.25 > 10 * error
    # dimensions that do not depend on each other have none: a grid of means
    grid = np.array([[a, b] for a in (-2.0, 0.0, 2.0) for b in (-2.0, 0.0, 2.0)])
    apart = DiagonalGaussian(grid, np.full((9, 2), -3.0))
    assert total_correlation(apart, grid, 9) == pytest.approx(0.0, abs=1e-9)


def test_total_correlation_has_a_gradient():
    q = posteriors(4)
    eps = np.random.default_rng(1).normal(size=(4, 2))

    def value(mu, log_var):
        z = mu + ops.exp(0.5 * log_var) * eps
        return total_correlation(DiagonalGaussian(mu, log_var), z, 9)

    assert_gradcheck(value, q.mu, q.log_var)


def test_minibatches_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"M=1 of N=5 data; M must be from 2 to N"):
        stratified_log_weights(1, 5)
    with pytest.raises(ValueError, match=r"M=6 of N=5"):
        minibatch_log_prob(np.zeros((6, 6)), 5)
    with pytest.raises(ShapeError, match=r"log_q has shape \(4, 3\)"):
        minibatch_log_prob(np.zeros((4, 3)), 5)


# Critics ------------------------------------------------------------------------------------------


def gaussian_information(rho):
    """I of two Gaussians, Eq. MI.2."""
    return -0.5 * math.log1p(-(rho**2))


@pytest.mark.equation("MI.1")
@pytest.mark.equation("MI.2")
def test_the_bound_is_tight_at_the_true_critic_and_below_elsewhere():
    rho = 0.7
    e, w = normal_rule(2, n=161)
    x, z = e[:, 0], rho * e[:, 0] + math.sqrt(1 - rho**2) * e[:, 1]

    def critic(x, z, rho=rho):
        inside = rho**2 * (x**2 + z**2) - 2 * rho * x * z
        return gaussian_information(rho) - inside / (2 * (1 - rho**2))

    def bound(T):  # a sum over the rule's points in place of a mean over draws
        n = len(w)
        return donsker_varadhan(n * w * T(x, z), T(e[:, 0], e[:, 1]) + np.log(n * w))

    truth = gaussian_information(rho)
    assert bound(critic) == pytest.approx(truth, abs=1e-9)
    assert bound(lambda x, z: critic(x, z) + 3.0) == pytest.approx(truth, abs=1e-9)
    for other in (0.5, 0.8):
        assert bound(lambda x, z, other=other: critic(x, z, other)) < truth - 0.01
    assert bound(lambda x, z: 0.0 * x) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.equation("MI.1")
def test_a_batch_says_too_much_and_the_more_the_larger_the_information():
    rng, repeats = np.random.default_rng(0), 2000
    errors = []
    for rho in (0.5, 0.95):
        x, e, other = rng.standard_normal((3, repeats, 20))
        z = rho * x + math.sqrt(1 - rho**2) * e

        def critic(x, z, rho=rho):
            inside = rho**2 * (x**2 + z**2) - 2 * rho * x * z
            return gaussian_information(rho) - inside / (2 * (1 - rho**2))

        each = np.array([
            donsker_varadhan(a, b)
            for a, b in zip(critic(x, z), critic(x, other), strict=True)
        ])  # fmt: skip
        errors.append((each.mean() - gaussian_information(rho), each.std()))
    (bias, spread), (more_bias, more_spread) = errors
    assert more_bias > bias + 0.05 > 0.05
    assert more_spread > 3 * spread


@pytest.mark.equation("AVB.1")
@pytest.mark.equation("AVB.2")
def test_the_critics_optimum_is_the_log_ratio_and_its_mean_the_kl():
    mu, sigma = 0.8, 0.6
    z, h = np.linspace(-9, 9, 2001, retstep=True)
    q, p = h * norm.pdf(z, mu, sigma), h * norm.pdf(z)
    n = len(z)
    T = Tensor(norm.logpdf(z, mu, sigma) - norm.logpdf(z), requires_grad=True)

    def loss(T):  # masses in place of draws
        return n * (ops.mean(q * ops.softplus(-T)) + ops.mean(p * ops.softplus(T)))

    slope = gradient(lambda: loss(T), [T])
    np.testing.assert_allclose(slope, 0.0, atol=1e-12)
    rng = np.random.default_rng(0)
    best = float(loss(T.data))
    for _ in range(5):
        assert float(loss(T.data + 0.3 * rng.normal(size=n))) > best
    assert float(loss(-T.data)) > best + 0.1  # labels swapped
    closed = DiagonalGaussian(np.array([[mu]]), np.array([[2 * math.log(sigma)]]))
    assert q @ T.data == pytest.approx(closed.kl_to(StandardNormal(1))[0], rel=1e-9)
    # on draws it is the two means
    a, b = rng.normal(size=(2, 6))
    by_hand = np.log1p(np.exp(-a)).mean() + np.log1p(np.exp(b)).mean()
    assert density_ratio_loss(a, b) == pytest.approx(by_hand, rel=1e-12)


def test_an_implicit_posterior_has_draws_and_no_density():
    x = np.arange(6.0).reshape(3, 2)

    def network(rows):
        return rows[:, :1] + 2 * rows[:, 2:]

    q = Implicit(x, network, 1)
    eps = q.noise(np.random.default_rng(0), 4)
    assert eps.shape == (4, 3, 1)
    np.testing.assert_allclose(q.rsample(eps), x[None, :, :1] + 2 * eps, rtol=1e-14)
    fewer = Implicit(x[:2], network, 1).noise(np.random.default_rng(0), 4)
    np.testing.assert_array_equal(q.noise(np.random.default_rng(0), 4)[:, :2], fewer)
    for cannot in (lambda: q.log_prob(eps), q.entropy, q.detach):
        with pytest.raises(NotImplementedError, match="Implicit"):
            cannot()


# Rate and distortion ------------------------------------------------------------------------------


@pytest.mark.equation("RATE.2")
def test_the_first_nats_are_free():
    kl = np.array([[0.0, 1.0, 0.3], [0.1, 3.0, 0.5]])
    assert free_bits(kl, 0.4) == pytest.approx(0.4 + 2.0 + 0.4)
    assert free_bits(kl, 0.0) == pytest.approx(kl.sum(axis=1).mean())
    assert free_bits(kl, 0.7) >= kl.sum(axis=1).mean()
    leaf = Tensor(kl, requires_grad=True)
    slope = gradient(lambda: free_bits(leaf, 0.2), [leaf]).reshape(kl.shape)
    np.testing.assert_allclose(slope, [[0, 0.5, 0.5], [0, 0.5, 0.5]])


def test_free_bits_keep_dimensions_open():
    X = datasets.load("optdigits").model_arrays(counts=True)[0][:400]
    settings = {"latent_dim": 6, "hidden": (16,), "likelihood": "binomial", "n_trials": 16,
                "beta": 25.0, "epochs": 12, "learning_rate": 3e-3, "random_state": 0}  # fmt: skip
    shut, open_ = (VAE(**settings, free_bits=least).fit(X) for least in (0.0, 0.5))
    each = [
        vae.posterior(X).kl_to(StandardNormal(6), per_dimension=True).mean(axis=0)
        for vae in (shut, open_)
    ]
    assert (each[0] < 0.1).sum() >= 3
    assert (each[1] > 0.2).all()
    # the history's ELBO is the plain one
    final = open_.history_
    assert final["elbo"][-1] == pytest.approx(final["reconstruction"][-1] - final["kl"][-1])
    with pytest.raises(ValueError, match=r"free_bits=0.5 needs the KL of each dimension"):
        VAE(**settings, free_bits=0.5, prior="mixture").fit(X)


@pytest.mark.equation("RATE.3")
@pytest.mark.equation("RATE.4")
def test_the_best_noise_is_the_root_of_the_squared_error():
    rng = np.random.default_rng(0)
    x, mu = rng.normal(size=(2, 5, 3))
    sigma = float(optimal_noise(x, mu))
    profile = float(profile_log_prob(x, mu))

    def at(scale):
        return norm.logpdf(x, mu, scale).sum(axis=1).mean()

    assert profile == pytest.approx(at(sigma), rel=1e-12)
    assert profile > max(at(1.01 * sigma), at(0.99 * sigma))
    assert profile_log_prob(x, x + 2 * (mu - x)) == pytest.approx(profile - 3 * math.log(2))
    # at a maximum the change of sigma does not matter
    leaf = Tensor(mu, requires_grad=True)
    slope = gradient(lambda: profile_log_prob(x, leaf), [leaf]).reshape(mu.shape)
    np.testing.assert_allclose(slope, (x - mu) / sigma**2 / 5, rtol=1e-12)
    with pytest.raises(ValueError, match="grows without bound"):
        optimal_noise(x, x)


def test_a_learnt_scale_ends_at_the_best_noise():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 1)) * np.ones((1, 3)) + 0.5 * rng.normal(size=(100, 3))
    vae = VAE(1, (), likelihood=Gaussian("shared"), epochs=300, batch_size=100, n_samples=20,
              learning_rate=1e-2, dtype="float64", random_state=0).fit(X)  # fmt: skip
    q = vae.posterior(X)
    eps = q.noise(np.random.default_rng(0), 200)
    mean, raw = vae.model_.parameters_given(q.rsample(eps))
    sigma = math.exp(0.5 * float(vae.likelihood_.log_var(raw).data.item()))
    best = float(optimal_noise(np.tile(X, (200, 1)), mean.data))
    assert sigma == pytest.approx(best, rel=0.02)


@pytest.mark.equation("RATE.1")
@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_the_rate_of_a_linear_decoder(beta):
    # gaussians of each axis: at the optimum of beta KL - reconstruction, Eq. RATE.1 is the KL
    eigenvalues, var = np.array([4.0, 1.0, 0.5]), 0.3
    rate, error = linear_curve(eigenvalues, var, beta)

    def terms(theta, variance):  # by weight w and code N(m x, v) of one direction
        w, m, log_v = theta
        v = math.exp(log_v)
        squared = variance * (1 - w * m) ** 2 + w**2 * v
        return squared, 0.5 * (m**2 * variance + v - 1 - log_v)

    def cost(theta, variance):
        squared, kl = terms(theta, variance)
        return squared / (2 * var) + beta * kl

    found = np.zeros(2)
    for variance in eigenvalues:
        starts = ([1.0, 0.5, -1.0], [0.01, 0.01, 0.0])
        ends = [minimize(cost, start, variance, options={"gtol": 1e-10}) for start in starts]
        squared, kl = terms(min(ends, key=lambda end: end.fun).x, variance)
        found += kl, squared
    np.testing.assert_allclose(found, [rate, error], rtol=1e-4)
