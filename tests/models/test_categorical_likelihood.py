"""Values that are one of several classes: density, gradient, samples, support, and a VAE on them.

What all likelihoods share is in test_likelihoods.py; the answers here are this one's own.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import log_softmax, softmax

import minivae.models.vae.evaluation
from exact import log_integral, numerical_gradient
from minivae import VAE, ops
from minivae.distributions import LIKELIHOODS, Bernoulli, CategoricalLikelihood
from minivae.gradcheck import assert_gradcheck
from minivae.tensor import Tensor
from minivae.transforms import grad

logits = st.floats(-30.0, 30.0)


def one_hot(x, C):
    return np.eye(C)[np.asarray(x, dtype=int)]


# The density --------------------------------------------------------------------------------------


@pytest.mark.equation("LIK.4")
@pytest.mark.parametrize(("D", "C"), [(1, 2), (1, 5), (2, 3), (3, 4)])
def test_the_probabilities_of_all_data_sum_to_one(D, C):
    row = 3.0 * np.random.default_rng(0).standard_normal(D * C)
    x = np.array(list(product(range(C), repeat=D)), dtype=float)
    log_p = CategoricalLikelihood(C).log_prob((np.tile(row, (len(x), 1)),), x)
    assert log_p.shape == (C**D,)
    assert np.exp(log_p).sum() == pytest.approx(1.0, rel=1e-12)
    # the logits of the first value come first
    p = softmax(row.reshape(D, C), axis=-1)
    exact = [
        sum(stats.multinomial.logpmf(one_hot(k, C), 1, p[d]) for d, k in enumerate(datum))
        for datum in x
    ]
    np.testing.assert_allclose(log_p, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.equation("LIK.4")
@given(st.lists(logits, min_size=2, max_size=6), st.floats(-1e3, 1e3))
def test_only_differences_of_logits_count(row, shift):
    row, C = np.array(row), len(row)
    x = np.arange(C)[:, None].astype(float)
    log_p, shifted = (
        CategoricalLikelihood(C).log_prob((np.tile(r, (C, 1)),), x) for r in (row, row + shift)
    )
    np.testing.assert_allclose(log_p, log_softmax(row), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(shifted, log_p, atol=1e-9)


@pytest.mark.equation("LIK.4")
@given(st.lists(st.tuples(logits, logits, st.integers(0, 1)), min_size=1, max_size=5))
def test_two_classes_are_a_bernoulli(values):
    off, on, x = np.array(values).T
    pairs = np.stack([off, on], axis=-1).reshape(1, -1)
    ours = CategoricalLikelihood(2).log_prob((pairs,), x[None])
    theirs = Bernoulli().log_prob(((on - off)[None],), x[None])
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.0, 80.0, -80.0, 1e4])
def test_extremes_stay_finite_and_keep_the_dtype(dtype, size):
    rows = np.array([[size, 0.0, -size], [0.0, size, size]], dtype)
    x = np.array([[0.0], [2.0]], dtype)
    log_p = CategoricalLikelihood(3).log_prob((rows,), x)
    assert log_p.dtype == dtype
    expected = log_softmax(rows.astype(float), axis=1)[[0, 1], [0, 2]]
    np.testing.assert_allclose(log_p, expected, rtol=1e-6)
    mean = CategoricalLikelihood(3).mean((rows,))
    assert mean.dtype == dtype
    np.testing.assert_allclose(mean[:, 0], softmax(rows, axis=1) @ np.arange(3), rtol=1e-6)


@given(S=st.integers(1, 4), N=st.integers(1, 3), D=st.integers(1, 4), seed=st.integers(0, 99))
def test_samples_of_z_meet_their_data_in_order(S, N, D, seed):
    rng, C = np.random.default_rng(seed), 3
    x, rows = rng.integers(C, size=(N, D)).astype(float), rng.standard_normal((S * N, D * C))
    together = CategoricalLikelihood(C).log_prob((rows,), x)
    log_p = log_softmax(rows.reshape(S, N, D, C), axis=-1)
    expected = (log_p * one_hot(x, C)).sum(axis=(-2, -1))
    np.testing.assert_allclose(together.reshape(S, N), expected, rtol=1e-12)


# Gradients ----------------------------------------------------------------------------------------


@pytest.mark.equation("LIK.4")
@pytest.mark.parametrize(("S", "N", "D"), [(1, 1, 1), (1, 3, 2), (3, 1, 2), (2, 3, 3)])
def test_the_gradient_is_what_was_seen_minus_what_was_thought(S, N, D):
    rng, C = np.random.default_rng(0), 3
    x, rows = rng.integers(C, size=(N, D)).astype(float), rng.standard_normal((S * N, D * C))
    weight, likelihood = rng.standard_normal(S * N), CategoricalLikelihood(C)

    def total(rows):
        return ops.sum(weight * likelihood.log_prob((rows,), x))

    slope = grad(total)(rows)
    p = softmax(rows.reshape(S, N, D, C), axis=-1)
    by_hand = weight[:, None] * (one_hot(x, C) - p).reshape(S * N, D * C)
    np.testing.assert_allclose(slope, by_hand, rtol=1e-11, atol=1e-13)
    theirs = numerical_gradient(lambda a: float(total(a)), rows)
    np.testing.assert_allclose(slope, theirs, rtol=1e-7, atol=1e-8)


def test_gradcheck_passes_it_and_its_gradient():
    rng = np.random.default_rng(0)
    x, rows = rng.integers(3, size=(2, 2)).astype(float), rng.standard_normal((4, 6))
    likelihood, weight = CategoricalLikelihood(3), np.arange(1.0, 5.0)
    assert_gradcheck(lambda a: likelihood.log_prob((a,), x), rows)
    assert_gradcheck(grad(lambda a: ops.sum(weight * likelihood.log_prob((a,), x))), rows)


# Means and samples --------------------------------------------------------------------------------


@given(st.lists(logits, min_size=2, max_size=6))
def test_the_mean_is_that_of_enumeration(row):
    C = len(row)
    x = np.arange(C)[:, None].astype(float)
    likelihood = CategoricalLikelihood(C)
    p = np.exp(likelihood.log_prob((np.tile(row, (C, 1)),), x))
    assert likelihood.mean((np.array([row]),))[0, 0] == pytest.approx(p @ np.arange(C), rel=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_class_is_drawn_as_often_as_it_should(dtype):
    n, C, D = 40_000, 4, 3
    row = np.random.default_rng(0).standard_normal(D * C).astype(dtype)
    likelihood, parameters = CategoricalLikelihood(C), (np.tile(row, (n, 1)),)
    x = likelihood.sample(parameters, np.random.default_rng(1))
    assert (x.shape, x.dtype) == ((n, D), dtype)
    likelihood.check(x)
    p = softmax(row.astype(float).reshape(D, C), axis=-1)
    shares = one_hot(x, C).mean(axis=0)
    assert (np.abs(shares - p) < 4 * np.sqrt(p * (1 - p) / n)).all()
    # values are drawn one by one
    assert np.abs(np.corrcoef(x.T) - np.eye(D)).max() < 4 / np.sqrt(n)
    tensors = (Tensor(parameters[0][:5], requires_grad=True),)
    assert isinstance(likelihood.sample(tensors, np.random.default_rng(1)), np.ndarray)
    np.testing.assert_array_equal(likelihood.mean(tensors), likelihood.mean(parameters)[:5])


# Data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1.0, 4.0, 0.5, 255.0])
def test_what_is_not_a_class_is_refused_by_row(bad):
    X = np.full((5, 3), 3.0)
    CategoricalLikelihood(4).check(X)
    X[3:, 1] = bad
    with pytest.raises(ValueError, match=rf"'categorical': X\[3, 1\] = {bad} .* n_classes - 1 = 3"):
        CategoricalLikelihood(4).check(X)


@pytest.mark.parametrize("C", [1, 0, -2, 3.0, True, "3", None])
def test_classes_are_counted_from_two(C):
    with pytest.raises(ValueError, match=f"n_classes={C!r} must be a whole number from 2"):
        CategoricalLikelihood(C)


def test_the_encoder_sees_one_hot_rows():
    seen = CategoricalLikelihood(3).encoder_input(np.array([[0, 2], [1, 1]], np.float32))
    np.testing.assert_array_equal(seen, [[1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0]])
    assert seen.dtype == np.float32


def test_the_first_bias_predicts_the_shares_of_the_classes():
    X = np.random.default_rng(0).choice(4, size=(200, 5), p=[0.1, 0.2, 0.3, 0.4]).astype(float)
    X[:, 2] = 1
    (bias,) = CategoricalLikelihood(4).initial_biases(X)
    shares = one_hot(X, 4).mean(axis=0)
    assert bias.shape == (20,)
    # a class that never occurs starts a little above 0, so that it can still be learnt
    np.testing.assert_allclose(np.exp(bias).reshape(5, 4), np.maximum(shares, 1e-3), rtol=1e-12)
    mean = CategoricalLikelihood(4).mean((bias[None],))[0]
    np.testing.assert_allclose(mean, X.mean(axis=0), atol=4e-3)


def test_it_has_a_name_and_says_what_it_is():
    likelihood = CategoricalLikelihood(np.int64(5))
    assert LIKELIHOODS["categorical"] is CategoricalLikelihood
    assert (likelihood.takes_counts, likelihood.is_density, likelihood.most) == (True, True, 4.0)
    assert repr(likelihood) == "CategoricalLikelihood(n_classes=5)"
    assert likelihood.describe() == "categorical, 5 classes"
    built = likelihood.built(7, 3, rng=np.random.default_rng(0), dtype=np.float32)
    assert [head.weight.shape for head in built.heads] == [(7, 15)]


# A model ------------------------------------------------------------------------------------------

C = 3


def classes(N=300, D=10, seed=0):
    """Classes whose logits follow two hidden numbers."""
    rng = np.random.default_rng(seed)
    hidden = 1.5 * rng.standard_normal((N, 2)) @ rng.standard_normal((2, D * C))
    return (hidden.reshape(N, D, C) + rng.gumbel(size=(N, D, C))).argmax(axis=-1).astype(np.float32)


X = classes()


@pytest.fixture(scope="module")
def vae():
    """A model of classes that has learnt something; nobody may change it."""
    return VAE(
        latent_dim=1, likelihood="categorical", n_classes=C, hidden=(16,), epochs=25,
        batch_size=50, learning_rate=5e-3, random_state=0,
    ).fit(X)  # fmt: skip


def test_a_vae_learns_it(vae):
    elbo = vae.history_["elbo"]
    assert elbo[-1] > elbo[0] + 1.0
    assert vae.history_["kl"][-1] > 0.5
    assert vae.score(X) == pytest.approx(elbo[-1], rel=0.1)
    # better than the best of all models whose values are independent
    shares = one_hot(X, C).mean(axis=0)
    independent = (shares * np.log(shares)).sum()
    assert vae.score(X) > independent + 0.5
    assert vae.encoder_.trunk.layers[0].weight.shape == (10 * C, 16)


def test_what_it_gives_is_classes(vae):
    draws = vae.sample(5000, random_state=0)
    vae.likelihood_.check(draws)
    assert (draws.dtype, draws.shape) == (np.float32, (5000, 10))
    z = np.random.default_rng(1).standard_normal((5000, 1))
    mean = vae.decode(z).astype(np.float64)
    error = np.sqrt((draws.var(axis=0) + mean.var(axis=0)) / 5000)
    assert (np.abs(draws.mean(axis=0) - mean.mean(axis=0)) < 5 * error).all()


@pytest.mark.equation("LIK.4")
def test_its_likelihood_is_the_integral(vae):
    x = X[:8]
    trunk, head = vae.decoder_, vae.likelihood_.heads[0]

    def log_joint(z):
        h = z
        for layer in trunk.layers:
            h = np.maximum(h @ layer.weight.data + layer.bias.data, 0)
        rows = (h @ head.weight.data + head.bias.data).reshape(len(z), 1, -1, C)
        log_p = (log_softmax(rows, axis=-1) * one_hot(x, C)).sum(axis=(-2, -1))
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
    assert repr(again.likelihood_) == "CategoricalLikelihood(n_classes=3)"
    np.testing.assert_array_equal(again.elbo(X), vae.elbo(X))
    np.testing.assert_array_equal(again.sample(9, random_state=1), vae.sample(9, random_state=1))


def test_an_instance_has_the_same_bits_as_the_name():
    options = {"hidden": (5,), "epochs": 2, "random_state": 0}
    by_name = VAE(likelihood="categorical", n_classes=C, **options).fit(X)
    by_object = VAE(likelihood=CategoricalLikelihood(C), **options).fit(X)
    assert by_name.history_ == by_object.history_


def test_an_evaluations_portions_count_the_logits_of_all_classes(vae, monkeypatch):
    rows, log_prob = [], CategoricalLikelihood.log_prob
    monkeypatch.setattr(minivae.models.vae.evaluation, "NUMBERS_AT_ONCE", 600)
    monkeypatch.setattr(
        CategoricalLikelihood, "log_prob",
        lambda self, p, x: rows.append(p[0].size) or log_prob(self, p, x),
    )  # fmt: skip
    vae.elbo(X)
    assert max(rows) <= 600
