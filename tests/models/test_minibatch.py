"""The minibatch estimator, by drawing every minibatch there is.

Its mean over all minibatches is the full sum, not nearly but exactly: so it is asked for 12 digits,
and no random number is drawn.
"""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact import LIKELIHOODS, gradient, numerical_gradient, small_model, value_at
from minivae import ops
from minivae.objectives import elbo_terms, minibatch_estimate, sample_terms
from minivae.tensor import Tensor

DRAWS = {
    "without replacement": combinations,
    "with replacement": lambda rows, M: product(rows, repeat=M),
}


def minibatches(draw, N, M):
    """Every minibatch of M out of N data, all equally likely."""
    return [np.array(rows) for rows in DRAWS[draw](range(N), M)]


def log_likelihood_of(data, seed=0):
    """log p(x) of a linear Gaussian model with one latent: terms(rows), parameters."""
    rng = np.random.default_rng(seed)
    weight = Tensor(rng.standard_normal((1, 1)), requires_grad=True)
    centre = Tensor(rng.standard_normal((1, 1)), requires_grad=True)
    log_noise = Tensor(rng.standard_normal((1, 1)), requires_grad=True)

    def terms(rows):
        # x = w z + centre + noise, so x is normal with variance w^2 + noise
        log_var = ops.log(ops.square(weight) + ops.exp(log_noise))
        mu = ops.broadcast_to(centre, (len(rows), 1))
        return ops.gaussian_log_prob(mu, log_var, data[rows])

    return terms, [weight, centre, log_noise]


def parts_of(model, rows):
    """What every objective takes first, for some of a small model's data."""
    x = model.x[rows]
    return model.model, model.encode(x), x


def elbo_of(name, N, S=2, seed=0):
    """The ELBO of a small model, each datum with its own noise: terms(rows), parameters."""
    model = small_model(name, N=N, D=2, seed=seed)
    eps = np.random.default_rng(seed).standard_normal((S, N, 1))

    def terms(rows):
        return elbo_terms(*parts_of(model, rows), eps[:, rows]).elbo

    return terms, model.parameters


def estimates(terms, parameters, N, batches):
    """The estimate of the sum over N data, and its gradient, a row for each minibatch."""
    values = np.array([minibatch_estimate(terms(rows), N).item() for rows in batches])
    slopes = [gradient(lambda: minibatch_estimate(terms(rows), N), parameters) for rows in batches]  # noqa: B023
    return np.column_stack([values, slopes])


def full(terms, parameters, N):
    """The sum over all data and its gradient, by the engine; the gradient again by differences."""
    everything = np.arange(N)

    def objective():
        return ops.sum(terms(everything))

    ours = np.concatenate([[objective().item()], gradient(objective, parameters)])
    vector = np.concatenate([p.data.ravel() for p in parameters])
    return ours, numerical_gradient(value_at(objective, parameters), vector)


def assert_same(actual, expected, tolerance):
    """Equal relative to the size of the largest entry, so that entries near 0 may round."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.equation("MB.2")
@pytest.mark.parametrize("draw", DRAWS)
@given(N=st.integers(1, 6), M=st.integers(1, 4), seed=st.integers(0, 99))
def test_of_the_log_likelihood_it_is_unbiased(draw, N, M, seed):
    M = min(M, N)
    data = np.random.default_rng(seed).standard_normal((N, 1))
    terms, parameters = log_likelihood_of(data, seed)
    mean = estimates(terms, parameters, N, minibatches(draw, N, M)).mean(axis=0)
    ours, differences = full(terms, parameters, N)
    assert_same(mean, ours, 1e-12)
    assert_same(mean[1:], differences, 1e-8)


@pytest.mark.equation("MB.2")
@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_of_the_elbo_it_is_unbiased(name, draw):
    N, M = 5, 2
    terms, parameters = elbo_of(name, N)
    mean = estimates(terms, parameters, N, minibatches(draw, N, M)).mean(axis=0)
    ours, differences = full(terms, parameters, N)
    assert_same(mean, ours, 1e-12)
    assert_same(mean[1:], differences, 1e-8)


@pytest.mark.equation("MB.2")
def test_a_minibatch_of_all_data_is_no_estimate():
    terms, parameters = elbo_of("binomial", 4)
    (row,) = estimates(terms, parameters, 4, minibatches("without replacement", 4, 4))
    ours, _ = full(terms, parameters, 4)
    assert_same(row, ours, 1e-15)


@pytest.mark.equation("MB.3")
@pytest.mark.equation("MB.4")
@pytest.mark.equation("MB.2")
@given(N=st.integers(2, 6), M=st.integers(1, 3), seed=st.integers(0, 99))
def test_without_replacement_the_variance_is_less(N, M, seed):
    M = min(M, N)
    data = np.random.default_rng(seed).standard_normal((N, 1))
    terms, parameters = log_likelihood_of(data, seed)
    without, with_ = (
        estimates(terms, parameters, N, minibatches(draw, N, M)).var(axis=0) for draw in DRAWS
    )
    assert_same(without, with_ * (N - M) / (N - 1), 1e-12)
    # and with replacement it is N^2 / M times the variance of one term
    single = estimates(terms, parameters, N, minibatches("with replacement", N, 1)).var(axis=0)
    assert_same(with_, single / M, 1e-12)


@pytest.mark.equation("MB.2")
def test_without_its_factor_it_is_wrong_by_the_factor():
    # the 15 pairs of 6 data: a bare sum gives a third of the gradient, a mean a sixth
    N, M = 6, 2
    terms, parameters = elbo_of("bernoulli", N)
    batches = minibatches("without replacement", N, M)
    assert len(batches) == 15
    ours, _ = full(terms, parameters, N)
    for wrong, factor in ((ops.sum, M / N), (ops.mean, 1 / N)):
        slopes = [gradient(lambda: wrong(terms(rows)), parameters) for rows in batches]  # noqa: B023
        mean = np.mean(slopes, axis=0)
        assert_same(mean, factor * ours[1:], 1e-12)
        with pytest.raises(AssertionError):
            assert_same(mean, ours[1:], 0.1)


@pytest.mark.equation("MB.2")
def test_minibatches_that_favour_a_datum_are_biased():
    # the check can see an unfair draw: leave out the minibatches that hold the last datum
    terms, parameters = elbo_of("bernoulli", 5)
    unfair = minibatches("without replacement", 4, 2)
    ours, _ = full(terms, parameters, 5)
    with pytest.raises(AssertionError):
        assert_same(estimates(terms, parameters, 5, unfair).mean(axis=0), ours, 1e-2)


def test_noise_that_does_not_belong_to_its_datum_is_noticed():
    # were the noise indexed by place in the minibatch, the estimate would be of another objective
    model = small_model("bernoulli", N=5, D=2)
    eps = np.random.default_rng(0).standard_normal((2, 5, 1))

    def terms(rows):
        return elbo_terms(*parts_of(model, rows), eps[:, : len(rows)]).elbo

    mean = estimates(terms, model.parameters, 5, minibatches("without replacement", 5, 2)).mean(0)
    ours, _ = full(terms, model.parameters, 5)
    with pytest.raises(AssertionError):
        assert_same(mean, ours, 1e-3)


@pytest.mark.equation("ELBO.4")
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_datum_has_its_own_elbo(name):
    # the ELBO of many is the ELBOs of each: nothing leaks from one row into another
    model = small_model(name, N=4)
    eps = np.random.default_rng(1).standard_normal((3, 4, 1))
    together = elbo_terms(*model.parts, eps)
    samples = sample_terms(*model.parts, eps).log_weights.data
    for i in range(4):
        alone = *parts_of(model, [i]), eps[:, i : i + 1]
        terms = elbo_terms(*alone)
        assert terms.reconstruction.item() == pytest.approx(together.reconstruction.data[i])
        assert terms.kl.item() == pytest.approx(together.kl.data[i])
        assert terms.elbo.item() == pytest.approx(together.elbo.data[i])
        weights = sample_terms(*alone).log_weights.data[:, 0]
        np.testing.assert_allclose(weights, samples[:, i], rtol=1e-12)
