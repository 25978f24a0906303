"""Poisson counts: density, gradient, mean, samples, support, and a VAE that is trained on them.

What all likelihoods share is in test_likelihoods.py; the answers here are this one's own.
"""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exact import log_integral, numerical_gradient
from minivae import VAE, ops
from minivae.distributions import LIKELIHOODS, Binomial, Poisson
from minivae.gradcheck import assert_gradcheck
from minivae.tensor import Tensor
from minivae.transforms import grad

log_rates = st.floats(-12.0, 5.0)


def log_pmf(log_rate, counts):
    """log p of each count of one value."""
    x = np.asarray(counts, dtype=float)[:, None]
    return Poisson().log_prob((np.full_like(x, log_rate),), x)


# The density --------------------------------------------------------------------------------------


@pytest.mark.equation("LIK.3")
@given(log_rates)
def test_the_probabilities_sum_to_one_and_are_scipys(log_rate):
    counts, rate = np.arange(700), math.exp(log_rate)
    ours = log_pmf(log_rate, counts)
    assert np.exp(ours).sum() == pytest.approx(1.0, rel=1e-11)
    np.testing.assert_allclose(ours, stats.poisson.logpmf(counts, rate), rtol=1e-10, atol=1e-10)


@pytest.mark.equation("LIK.3")
@given(st.lists(st.tuples(log_rates, st.integers(0, 10_000)), min_size=1, max_size=5))
def test_the_values_of_a_datum_multiply(values):
    log_rate, x = np.array(values, dtype=float).T[:, None]
    expected = stats.poisson.logpmf(x, np.exp(log_rate)).sum()
    (ours,) = Poisson().log_prob((log_rate,), x)
    assert ours == pytest.approx(expected, rel=1e-11, abs=1e-9)


@pytest.mark.equation("LIK.3")
@given(st.floats(-5.0, 3.0), st.floats(-5.0, 3.0))
def test_the_sum_of_two_is_a_third_at_the_sum_of_their_rates(a, b):
    counts = np.arange(200)
    together = np.convolve(np.exp(log_pmf(a, counts)), np.exp(log_pmf(b, counts)))[:200]
    np.testing.assert_allclose(np.exp(log_pmf(np.logaddexp(a, b), counts)), together, atol=1e-13)


@pytest.mark.equation("LIK.3")
@given(st.floats(-3.0, 2.0))
def test_rare_successes_of_many_trials_are_nearly_its_counts(log_rate):
    # Le Cam: the two lie within n p^2 of each other, in total variation
    n, counts = 10_000, np.arange(60)
    p = math.exp(log_rate) / n
    logits = np.full((60, 1), math.log(p / (1 - p)))
    binomial = np.exp(Binomial(n).log_prob((logits,), counts[:, None].astype(float)))
    apart = np.abs(binomial - np.exp(log_pmf(log_rate, counts))).sum()
    assert 0 < apart <= 2 * n * p**2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_counts_and_rates_keep_their_digits_and_the_dtype(dtype):
    x = np.array([[0.0], [1.0], [1e5], [1e5]], dtype)
    log_rate = np.array([[-80.0], [20.0], [11.5], [-20.0]], dtype)
    log_p = Poisson().log_prob((log_rate,), x)
    assert log_p.dtype == dtype
    exact = stats.poisson.logpmf(x.astype(float), np.exp(log_rate.astype(float)))[:, 0]
    # the two largest terms cancel: as exact as they are
    largest = np.maximum(x * np.abs(log_rate), np.exp(log_rate))[:, 0]
    assert (np.abs(log_p - exact) <= 8 * np.finfo(dtype).eps * np.maximum(largest, 1)).all()


@given(S=st.integers(1, 4), N=st.integers(1, 3), D=st.integers(1, 4), seed=st.integers(0, 99))
def test_samples_of_z_meet_their_data_in_order(S, N, D, seed):
    rng = np.random.default_rng(seed)
    x, log_rate = rng.poisson(3.0, (N, D)).astype(float), rng.standard_normal((S * N, D))
    together = Poisson().log_prob((log_rate,), x)
    assert together.shape == (S * N,)
    expected = stats.poisson.logpmf(x, np.exp(log_rate.reshape(S, N, D))).sum(axis=-1)
    np.testing.assert_allclose(together.reshape(S, N), expected, rtol=1e-12)


# Gradients ----------------------------------------------------------------------------------------


@pytest.mark.equation("LIK.3")
@pytest.mark.parametrize(("S", "N", "D"), [(1, 1, 1), (1, 3, 2), (3, 1, 2), (2, 3, 4)])
def test_the_gradient_is_the_count_minus_the_rate(S, N, D):
    rng = np.random.default_rng(0)
    x, log_rate = rng.poisson(3.0, (N, D)).astype(float), rng.standard_normal((S * N, D))
    weight = rng.standard_normal(S * N)

    def total(log_rate):
        return ops.sum(weight * Poisson().log_prob((log_rate,), x))

    slope = grad(total)(log_rate)
    by_hand = weight[:, None] * (np.tile(x, (S, 1)) - np.exp(log_rate))
    np.testing.assert_allclose(slope, by_hand, rtol=1e-12, atol=1e-13)
    theirs = numerical_gradient(lambda a: float(total(a)), log_rate)
    np.testing.assert_allclose(slope, theirs, rtol=1e-7, atol=1e-8)


def test_gradcheck_passes_it_and_its_gradient():
    rng = np.random.default_rng(0)
    x, log_rate = rng.poisson(2.0, (3, 4)).astype(float), rng.standard_normal((6, 4))
    assert_gradcheck(lambda a: Poisson().log_prob((a,), x), log_rate)
    weight = np.arange(1.0, 7.0)
    assert_gradcheck(grad(lambda a: ops.sum(weight * Poisson().log_prob((a,), x))), log_rate)


# Means and samples --------------------------------------------------------------------------------


@given(log_rates)
def test_the_mean_is_that_of_enumeration(log_rate):
    counts = np.arange(700)
    mean = counts @ np.exp(log_pmf(log_rate, counts))
    assert Poisson().mean((np.array([[log_rate]]),))[0, 0] == pytest.approx(mean, rel=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_have_the_mean_and_the_variance_and_lie_in_the_support(dtype):
    n, rates = 40_000, np.array([0.05, 1.0, 7.5, 400.0])
    parameters = (np.tile(np.log(rates), (n, 1)).astype(dtype),)
    x = Poisson().sample(parameters, np.random.default_rng(0))
    assert (x.shape, x.dtype) == ((n, 4), dtype)
    Poisson().check(x)
    x = x.astype(np.float64)
    assert (np.abs(x.mean(axis=0) - rates) < 4 * np.sqrt(rates / n)).all()
    # Var (x - rate)^2 = rate + 2 rate^2
    error = np.sqrt((rates + 2 * rates**2) / n)
    assert (np.abs(((x - rates) ** 2).mean(axis=0) - rates) < 4 * error).all()
    # columns are drawn one by one
    assert np.abs(np.corrcoef(x.T) - np.eye(4)).max() < 4 / np.sqrt(n)
    tensors = (Tensor(parameters[0][:5], requires_grad=True),)
    again = Poisson().sample(tensors, np.random.default_rng(0))
    assert isinstance(again, np.ndarray)
    np.testing.assert_array_equal(Poisson().mean(tensors), Poisson().mean(parameters)[:5])


# Data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1.0, 0.5, 1e6 + 0.25, -0.1])
def test_what_is_not_a_count_is_refused_by_row(bad):
    X = np.full((5, 3), 1e6)
    Poisson().check(X)
    X[3:, 1] = bad
    with pytest.raises(ValueError, match=r"'poisson': X\[3, 1\] = .* whole counts from 0") as words:
        Poisson().check(X)
    assert "'gaussian'" in str(words.value)


def test_the_encoder_sees_logarithms_of_counts():
    seen = Poisson().encoder_input(np.array([[0.0, 1.0, 999.0]]))
    np.testing.assert_allclose(seen, [[0.0, math.log(2.0), math.log(1000.0)]], rtol=1e-15)
    assert Poisson().encoder_input(np.ones((2, 2), np.float32)).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_bias_predicts_the_datas_mean(dtype):
    X = np.random.default_rng(0).poisson(4.0, (200, 5)).astype(dtype)
    X[:, 2] = 0
    (bias,) = Poisson().initial_biases(X)
    expected = X.mean(axis=0)
    expected[2] = 1e-3  # so that a count that is always 0 can still be learnt
    np.testing.assert_allclose(Poisson().mean((bias[None],))[0], expected, rtol=1e-5)


def test_it_has_a_name_and_says_what_it_is():
    assert LIKELIHOODS["poisson"] is Poisson
    assert (Poisson().takes_counts, Poisson().is_density, Poisson().most) == (True, True, None)
    assert repr(Poisson()) == "Poisson()"
    assert Poisson().describe() == "poisson"


# A model ------------------------------------------------------------------------------------------


def counts(N=300, D=12, seed=0):
    """Counts whose rates follow two hidden numbers."""
    rng = np.random.default_rng(seed)
    rates = np.exp(0.8 * rng.standard_normal((N, 2)) @ rng.standard_normal((2, D)) + 1.0)
    return rng.poisson(rates).astype(np.float32)


X = counts()


@pytest.fixture(scope="module")
def vae():
    """A model of counts that has learnt something; nobody may change it."""
    return VAE(
        latent_dim=1, likelihood="poisson", hidden=(16,), epochs=25, batch_size=50,
        learning_rate=5e-3, random_state=0,
    ).fit(X)  # fmt: skip


def test_a_vae_learns_it(vae):
    elbo = vae.history_["elbo"]
    assert elbo[-1] > elbo[0] + 5.0
    assert vae.history_["kl"][-1] > 0.5
    assert vae.score(X) == pytest.approx(elbo[-1], rel=0.1)
    # better than the best of all models whose counts are independent
    independent = stats.poisson.logpmf(X, X.mean(axis=0)).sum(axis=1).mean()
    assert vae.score(X) > independent + 5.0


def test_what_it_gives_is_counts_and_rates(vae):
    draws = vae.sample(5000, random_state=0)
    vae.likelihood_.check(draws)
    assert draws.dtype == np.float32
    z = np.random.default_rng(1).standard_normal((5000, 1))
    mean = vae.decode(z).astype(np.float64)
    error = np.sqrt((draws.var(axis=0) + mean.var(axis=0)) / 5000)
    assert (np.abs(draws.mean(axis=0) - mean.mean(axis=0)) < 5 * error).all()
    assert (vae.reconstruct(X) > 0).all()


@pytest.mark.equation("LIK.3")
def test_its_likelihood_is_the_integral(vae):
    x = X[:8]

    def log_joint(z):
        rates = vae.decode(z).astype(np.float64)
        log_p = stats.poisson.logpmf(x, rates[:, None]).sum(axis=-1)
        return log_p + stats.norm.logpdf(z)

    truth = log_integral(log_joint, tolerance=1e-3)
    estimate, ess = vae.log_likelihood(x, 2000, return_ess=True)
    error = np.sqrt((2000 / ess - 1) / 2000)
    assert (np.abs(estimate - truth) < 5 * error + 1e-3).all()
    # noise that fills q evenly, so that the expectation has hardly an error
    even = np.tile(stats.norm.ppf((np.arange(500) + 0.5) / 500)[:, None, None], (1, 8, 1))
    assert (vae.elbo(x, even) < truth + 0.01).all()


def test_saved_and_loaded_it_is_the_same(vae, tmp_path):
    vae.save(tmp_path / "model.npz")
    again = VAE.load(tmp_path / "model.npz")
    assert isinstance(again.likelihood_, Poisson)
    np.testing.assert_array_equal(again.elbo(X), vae.elbo(X))
    np.testing.assert_array_equal(again.sample(9, random_state=1), vae.sample(9, random_state=1))


def test_an_instance_has_the_same_bits_as_the_name():
    options = {"hidden": (5,), "epochs": 2, "random_state": 0}
    by_name = VAE(likelihood="poisson", **options).fit(X)
    by_object = VAE(likelihood=Poisson(), **options).fit(X)
    assert by_name.history_ == by_object.history_


def test_a_vae_refuses_what_is_not_a_count():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"'poisson': X\[0, 0\] = 0.5"):
            VAE(likelihood="poisson").fit(np.full((4, 3), 0.5))
