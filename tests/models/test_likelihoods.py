"""p(x | z): densities that sum to 1, means, samples, gradients, and what is refused."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from exact import LIKELIHOODS, data_of, numerical_gradient
from minivae import ops
from minivae.distributions import Bernoulli, Binomial, ContinuousBernoulli, Gaussian
from minivae.errors import DtypeError
from minivae.gradcheck import assert_gradcheck
from minivae.tensor import Tensor
from minivae.transforms import grad, hvp

names = pytest.mark.parametrize("name", LIKELIHOODS)
logits = st.floats(-30.0, 30.0)


def parameters_of(name, rows, D, rng):
    """Random decoder outputs for a likelihood."""
    outputs = [rng.standard_normal((rows, D)) for _ in LIKELIHOODS[name]().head_names]
    if name == "gaussian, one scale learnt":
        outputs.append(rng.standard_normal((1, 1)))
    return tuple(outputs)


def unit_rule(n=200):
    """Gauss-Legendre points and weights on [0, 1]."""
    points, weights = np.polynomial.legendre.leggauss(n)
    return 0.5 * (points + 1.0), 0.5 * weights


def probabilities(likelihood, outputs, support):
    """exp(log p) of each point of a one-pixel support."""
    x = np.asarray(support, dtype=float)[:, None]
    # as many rows of data as of parameters: each point is a datum of its own
    rows = tuple(np.repeat(p, len(x), axis=0) for p in outputs)
    return np.exp(likelihood.log_prob(rows, x))


# Densities ---------------------------------------------------------------------------------------


@pytest.mark.equation("LIK.1")
@given(st.lists(logits, min_size=1, max_size=4))
def test_bernoulli_probabilities_sum_to_one(row):
    x = np.array(list(product([0.0, 1.0], repeat=len(row))))
    p = np.exp(Bernoulli().log_prob((np.tile(row, (len(x), 1)),), x))
    assert p.sum() == pytest.approx(1.0, rel=1e-12)
    exact = np.where(x == 1, expit(row), expit(-np.array(row))).prod(axis=1)
    np.testing.assert_allclose(p, exact, rtol=1e-11)


@pytest.mark.equation("LIK.2")
@given(st.integers(1, 40), logits)
def test_binomial_probabilities_sum_to_one(n, logit):
    likelihood = Binomial(n)
    counts = np.arange(n + 1)
    p = probabilities(likelihood, (np.array([[logit]]),), counts)
    assert p.sum() == pytest.approx(1.0, rel=1e-11)
    # of the rarer outcome, whose probability has all its digits
    exact = stats.binom.pmf(counts, n, expit(-abs(logit)))
    np.testing.assert_allclose(p if logit < 0 else p[::-1], exact, rtol=1e-9, atol=1e-300)


@pytest.mark.equation("LIK.2")
def test_binomial_pixels_multiply():
    likelihood, row = Binomial(3), np.array([0.3, -2.0])
    x = np.array(list(product(range(4), repeat=2)), dtype=float)
    log_p = likelihood.log_prob((np.tile(row, (16, 1)),), x)
    assert np.exp(log_p).sum() == pytest.approx(1.0, rel=1e-13)
    np.testing.assert_allclose(log_p, stats.binom.logpmf(x, 3, expit(row)).sum(1), rtol=1e-12)


@pytest.mark.equation("LIK.1")
@pytest.mark.equation("LIK.2")
@given(logits)
def test_one_trial_is_a_bernoulli(logit):
    outputs = (np.array([[logit], [logit]]),)
    x = np.array([[0.0], [1.0]])
    np.testing.assert_array_equal(
        Binomial(1).log_prob(outputs, x), Bernoulli().log_prob(outputs, x)
    )


@pytest.mark.equation("LIK.5")
@given(st.floats(-60.0, 60.0) | st.floats(-1e-3, 1e-3))
def test_the_continuous_bernoulli_integrates_to_one(logit):
    x, weight = unit_rule()
    p = probabilities(ContinuousBernoulli(), (np.array([[logit]]),), x)
    assert weight @ p == pytest.approx(1.0, rel=1e-11)


@pytest.mark.equation("LIK.5")
@given(p=st.floats(0.01, 0.99).filter(lambda p: abs(p - 0.5) > 1e-3), x=st.floats(0.0, 1.0))
def test_the_continuous_bernoulli_is_its_published_density(p, x):
    # C(p) p^x (1 - p)^(1 - x) with C(p) = 2 atanh(1 - 2p) / (1 - 2p)
    density = 2.0 * math.atanh(1 - 2 * p) / (1 - 2 * p) * p**x * (1 - p) ** (1 - x)
    log_p = ContinuousBernoulli().log_prob((np.array([[np.log(p / (1 - p))]]),), np.array([[x]]))
    assert log_p[0] == pytest.approx(math.log(density), rel=1e-9, abs=1e-11)


@pytest.mark.equation("LIK.5")
def test_the_continuous_bernoulli_at_a_half_is_uniform():
    x = np.linspace(0, 1, 5)[:, None]
    for logit in (0.0, 1e-12, -1e-9):
        log_p = ContinuousBernoulli().log_prob((np.full((5, 1), logit),), x)
        np.testing.assert_allclose(log_p, logit * (x[:, 0] - 0.5), atol=1e-17)


@pytest.mark.equation("LIK.1")
@pytest.mark.parametrize(("p", "mass"), [(0.5, 0.5), (0.9, 0.364), (0.99, 0.213)])
def test_the_cross_entropy_of_grey_pixels_is_no_density(p, mass):
    x, weight = unit_rule()
    outputs = (np.array([[np.log(p / (1 - p))]]),)
    assert weight @ probabilities(Bernoulli(grey="cross-entropy"), outputs, x) == pytest.approx(
        mass, abs=5e-4
    )


@pytest.mark.equation("LIK.7")
@pytest.mark.parametrize("name", [name for name in LIKELIHOODS if name.startswith("gaussian")])
def test_the_gaussian_is_scipys_and_integrates_to_one(name):
    rng = np.random.default_rng(0)
    likelihood, outputs = LIKELIHOODS[name](), parameters_of(name, 4, 3, rng)
    x = rng.standard_normal((4, 3))
    mu, log_var = likelihood.mu_and_log_var(outputs)
    sigma = np.broadcast_to(np.exp(0.5 * log_var), mu.shape)
    expected = stats.norm.logpdf(x, mu, sigma).sum(axis=1)
    np.testing.assert_allclose(likelihood.log_prob(outputs, x), expected, rtol=1e-12)
    one = tuple(p[:1, :1] for p in outputs)
    grid = mu[0, 0] + sigma[0, 0] * np.linspace(-12, 12, 401)
    p = probabilities(likelihood, one, grid)
    assert p.sum() * (grid[1] - grid[0]) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.equation("LIK.2")
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.floats(-3.0, 3.0))
def test_likelihood_is_divergence_from_the_data(counts, logit):
    # -loglik / n = H(p_data) + KL(p_data || p): the best model is the nearest
    likelihood, outputs = Binomial(3), np.array([[logit]])
    x = np.array(counts, dtype=float)[:, None]
    mean = likelihood.log_prob((np.repeat(outputs, len(x), axis=0),), x).mean()
    p = probabilities(likelihood, (outputs,), range(4))
    data = np.bincount(counts, minlength=4) / len(counts)
    seen = data > 0
    entropy = -(data[seen] * np.log(data[seen])).sum()
    divergence = (data[seen] * np.log(data[seen] / p[seen])).sum()
    assert -mean == pytest.approx(entropy + divergence, rel=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@names
def test_extremes_stay_finite_and_keep_the_dtype(name, dtype):
    likelihood = LIKELIHOODS[name]()
    for size in (0.0, 80.0, -80.0, 1e3, -1e3):
        outputs = [np.full((2, 1), size, dtype) for _ in likelihood.head_names]
        if likelihood.name == "gaussian":
            outputs[1:] = [np.minimum(p, 30) for p in outputs[1:]]
        if name == "gaussian, one scale learnt":
            outputs.append(np.zeros((1, 1), dtype))
        x = np.array([[0.0], [1.0]], dtype)
        log_p = likelihood.log_prob(tuple(outputs), x)
        assert log_p.dtype == dtype
        assert np.isfinite(log_p).all()
        mean = likelihood.mean(tuple(outputs))
        assert mean.dtype == dtype
        assert np.isfinite(mean).all()


# Several samples of z for each datum -------------------------------------------------------------


@names
@given(S=st.integers(1, 4), N=st.integers(1, 3), D=st.integers(1, 4), seed=st.integers(0, 99))
def test_samples_meet_their_data_in_order(name, S, N, D, seed):
    rng = np.random.default_rng(seed)
    likelihood, outputs = LIKELIHOODS[name](), parameters_of(name, S * N, D, rng)
    x = data_of(likelihood, N, D, rng)
    together = likelihood.log_prob(outputs, x)
    assert together.shape == (S * N,)
    for row in range(S * N):
        one = tuple(p if p.shape == (1, 1) else p[row : row + 1] for p in outputs)
        alone = likelihood.log_prob(one, x[row % N : row % N + 1])
        assert together[row] == pytest.approx(alone[0], rel=1e-13, abs=1e-13)


# Gradients ---------------------------------------------------------------------------------------


@names
@given(S=st.integers(1, 3), N=st.integers(1, 3), D=st.integers(1, 3), seed=st.integers(0, 99))
def test_gradients_are_those_of_differences(name, S, N, D, seed):
    rng = np.random.default_rng(seed)
    likelihood, outputs = LIKELIHOODS[name](), parameters_of(name, S * N, D, rng)
    x, weight = data_of(likelihood, N, D, rng), rng.standard_normal(S * N)

    def total(*outputs):
        return ops.sum(weight * likelihood.log_prob(outputs, x))

    slopes = grad(total, argnums=range(len(outputs)))(*outputs)
    for i, slope in enumerate(slopes):
        others = list(outputs)

        def moved(p, i=i, others=others):
            others[i] = p
            return float(total(*others))

        theirs = numerical_gradient(moved, outputs[i])
        np.testing.assert_allclose(slope, theirs, rtol=1e-8, atol=1e-8)


@names
def test_gradcheck_passes_them(name):
    rng = np.random.default_rng(0)
    likelihood, outputs = LIKELIHOODS[name](), parameters_of(name, 6, 4, rng)
    x = data_of(likelihood, 3, 4, rng)
    assert_gradcheck(lambda *outputs: likelihood.log_prob(outputs, x), *outputs)


# The fused operations, each with arguments (rows of parameters first) and whether x is data.
FUSED = {
    "gaussian_kl": (ops.gaussian_kl, "pp"),
    "reparameterise": (ops.reparameterise, "ddp"),
    "binomial_log_prob": (lambda a, x: ops.binomial_log_prob(a, x, n_trials=5.0), "pd"),
    "continuous_bernoulli_log_prob": (ops.continuous_bernoulli_log_prob, "pd"),
    "gaussian_log_prob": (ops.gaussian_log_prob, "ppd"),
    "gaussian_log_prob, one scale": (ops.gaussian_log_prob, "p1d"),
    "linear": (lambda x, w, b: ops.linear(x, w, b, activation="tanh"), "xwb"),
}
TWINS = {
    "gaussian_kl": ops.gaussian_kl.composed,
    "reparameterise": ops.reparameterise.composed,
    "binomial_log_prob": lambda a, x: ops.binomial_log_prob.composed(a, x, n_trials=5.0),
    "continuous_bernoulli_log_prob": ops.continuous_bernoulli_log_prob.composed,
    "gaussian_log_prob": ops.gaussian_log_prob.composed,
    "gaussian_log_prob, one scale": ops.gaussian_log_prob.composed,
    "linear": lambda x, w, b: ops.linear.composed(x, w, b, activation="tanh"),
}


@pytest.mark.parametrize("name", FUSED)
@given(S=st.integers(1, 3), N=st.integers(1, 3), D=st.integers(1, 4), seed=st.integers(0, 99))
def test_fused_operations_equal_their_twins(name, S, N, D, seed):
    fused, kinds = FUSED[name]
    rng = np.random.default_rng(seed)
    shapes = {
        "p": (S * N, D), "d": (N, D), "1": (1, 1), "x": (N, D), "w": (D, S), "b": (S,),
    }  # fmt: skip
    inputs = [
        rng.random(shapes[kind]) if kind == "d" else rng.standard_normal(shapes[kind])
        for kind in kinds
    ]
    twin = TWINS[name]
    value = fused(*inputs)
    np.testing.assert_allclose(value, twin(*inputs), rtol=1e-12, atol=1e-13)

    cotangent = rng.standard_normal(value.shape)
    every = range(len(inputs))
    first = [
        grad(lambda *a: ops.sum(cotangent * f(*a)), argnums=every)(*inputs)  # noqa: B023
        for f in (fused, twin)
    ]
    for ours, theirs in zip(*first, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)

    # second derivatives: of the twin's gradient, and of differences of the fused one
    for i in every:

        def at(f, i=i):
            return lambda a: ops.sum(cotangent * f(*inputs[:i], a, *inputs[i + 1 :]))

        v = rng.standard_normal(inputs[i].shape)
        ours = hvp(at(fused), inputs[i], v)
        np.testing.assert_allclose(ours, hvp(at(twin), inputs[i], v), rtol=1e-11, atol=1e-12)
        along = numerical_gradient(
            lambda t: np.vdot(v, grad(at(fused))(inputs[i] + t * v)),  # noqa: B023
            np.zeros(()),
        )
        assert np.vdot(v, ours) == pytest.approx(float(along), rel=1e-7, abs=1e-8)


def test_the_twin_of_another_density_is_noticed():
    # what the comparison above says of a twin without its constant
    mu, x = np.zeros((1, 2)), np.ones((1, 2))
    value = ops.gaussian_log_prob(mu, mu, x)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(value, -0.5 * np.square(x - mu).sum(1), rtol=1e-12)


@pytest.mark.equation("LIK.5")
@given(st.floats(-0.2, 0.2), st.floats(0.0, 1.0))
def test_the_continuous_bernoulli_is_smooth_through_its_series(logit, x):
    # near 0 log C is a series, in the twin as in the kernel: no step where it takes over
    for offset in (0.0, 0.05, -0.05, 0.1):
        outputs, data = np.array([[logit + offset]]), np.array([[x]])
        twin = ops.continuous_bernoulli_log_prob.composed(outputs, data)
        fused = ops.continuous_bernoulli_log_prob(outputs, data)
        np.testing.assert_allclose(fused, twin, rtol=0, atol=2e-13)
        slope = grad(lambda a: ops.sum(ops.continuous_bernoulli_log_prob(a, data)))(outputs)  # noqa: B023
        mean = ContinuousBernoulli().mean((outputs,))
        np.testing.assert_allclose(slope, data - mean, rtol=0, atol=1e-13)


# Means and samples -------------------------------------------------------------------------------


@given(st.integers(1, 20), logits)
def test_the_mean_count_is_that_of_enumeration(n, logit):
    likelihood, outputs = Binomial(n), (np.array([[logit]]),)
    counts = np.arange(n + 1)
    mean = counts @ probabilities(likelihood, outputs, counts)
    assert likelihood.mean(outputs)[0, 0] == pytest.approx(mean, rel=1e-9)


@given(logits)
def test_the_mean_pixel_is_the_probability_of_on(logit):
    outputs = (np.array([[logit]]),)
    on = probabilities(Bernoulli(), outputs, [1.0])[0]
    assert Bernoulli().mean(outputs)[0, 0] == pytest.approx(on, rel=1e-12)


@pytest.mark.equation("LIK.5")
@given(st.floats(-60.0, 60.0) | st.floats(-0.1, 0.1))
def test_the_mean_grey_value_is_that_of_integration(logit):
    x, weight = unit_rule()
    likelihood, outputs = ContinuousBernoulli(), (np.array([[logit]]),)
    p = probabilities(likelihood, outputs, x)
    mean = weight @ (p * x)
    assert likelihood.mean(outputs)[0, 0] == pytest.approx(mean, rel=1e-10)
    # and the variance is the mean's slope, as in every exponential family
    variance = weight @ (p * (x - mean) ** 2)
    slope = numerical_gradient(lambda a: likelihood.mean((a,)).item(), outputs[0])
    assert slope[0, 0] == pytest.approx(variance, rel=1e-6, abs=1e-9)


@given(st.floats(0.02, 0.98).filter(lambda p: abs(p - 0.5) > 0.01))
def test_the_mean_grey_value_has_the_published_form(p):
    # mu(p) = p / (2p - 1) + 1 / (2 atanh(1 - 2p))
    expected = p / (2 * p - 1) + 1 / (2 * math.atanh(1 - 2 * p))
    outputs = (np.array([[math.log(p / (1 - p))]]),)
    assert ContinuousBernoulli().mean(outputs)[0, 0] == pytest.approx(expected, rel=1e-9)


def grey_distribution(logit, x):
    """F(x) = (e^(l x) - 1) / (e^l - 1), without overflow."""
    if logit == 0:
        return x
    if logit < 0:
        return np.expm1(logit * x) / np.expm1(logit)
    return (np.exp(logit * (x - 1)) - np.exp(-logit)) / -np.expm1(-logit)


@pytest.mark.equation("LIK.5")
@given(st.floats(-30.0, 30.0) | st.floats(-1e-4, 1e-4))
def test_grey_samples_are_drawn_by_the_inverse_of_their_distribution(logit):
    class Ruler:
        def random(self, shape):
            return np.linspace(0.001, 0.999, shape[0])[:, None]

    x = ContinuousBernoulli().sample((np.full((99, 1), logit),), Ruler())[:, 0]
    # the smallest logits are too small for the formula, and flat to one part in a million
    u = np.sort(grey_distribution(logit if abs(logit) > 1e-7 else 0.0, x))
    np.testing.assert_allclose(u, Ruler().random((99,))[:, 0], rtol=0, atol=2e-7)


@pytest.mark.parametrize("logit", [-700.0, -20.0, -2.0, -1e-7, 0.0, 1e-7, 0.5, 3.0, 20.0, 700.0])
def test_grey_samples_have_the_right_distribution(logit):
    rng = np.random.default_rng(0)
    x = ContinuousBernoulli().sample((np.full((20_000, 1), logit),), rng)[:, 0]
    assert x.min() >= 0
    assert x.max() <= 1

    def distribution(x):
        return grey_distribution(logit, x)

    # Kolmogorov and Smirnov; and the samples of another logit fail their test
    assert stats.kstest(x, distribution).pvalue > 1e-3
    other = ContinuousBernoulli().sample((np.full((20_000, 1), 0.8 * logit + 0.3),), rng)[:, 0]
    assert stats.kstest(other, distribution).pvalue < 1e-3


@names
def test_samples_have_the_mean_and_the_variance(name):
    rng = np.random.default_rng(0)
    likelihood, outputs = LIKELIHOODS[name](), parameters_of(name, 1, 3, rng)
    n = 40_000
    many = tuple(p if p.shape == (1, 1) else np.repeat(p, n, axis=0) for p in outputs)
    x = likelihood.sample(many, rng)
    assert x.shape == (n, 3)
    mean = likelihood.mean(outputs)[0]
    if likelihood.name == "gaussian":
        variance = np.broadcast_to(np.exp(likelihood.mu_and_log_var(outputs)[1]), (1, 3))[0]
    elif likelihood.name == "binomial":
        variance = mean * (1 - mean / 5)
    elif likelihood.name == "bernoulli":
        variance = mean * (1 - mean)
    else:
        grid, weight = unit_rule()
        columns = outputs[0].T[:, :, None]
        p = np.stack([probabilities(likelihood, (column,), grid) for column in columns])
        variance = (p * (grid - mean[:, None]) ** 2) @ weight
    error = np.sqrt(variance / n)
    assert (np.abs(x.mean(axis=0) - mean) < 4 * error).all()
    np.testing.assert_allclose(x.var(axis=0), variance, rtol=0.04)
    assert len({tuple(row) for row in x[:50]}) > 3  # rows are drawn one by one


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@names
def test_samples_lie_in_the_support(name, dtype):
    rng = np.random.default_rng(1)
    likelihood = LIKELIHOODS[name]()
    outputs = tuple(np.array(p, dtype) for p in parameters_of(name, 50, 4, rng))
    x = likelihood.sample(outputs, rng)
    assert x.dtype == dtype
    likelihood.check(x)
    # tensors do as well as arrays
    tensors = tuple(Tensor(p, requires_grad=True) for p in outputs)
    np.testing.assert_array_equal(likelihood.mean(tensors), likelihood.mean(outputs))
    assert isinstance(likelihood.sample(tensors, rng), np.ndarray)


# Where training starts ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@names
def test_the_first_biases_predict_the_datas_mean(name, dtype):
    rng = np.random.default_rng(0)
    likelihood = LIKELIHOODS[name]()
    X = data_of(likelihood, 200, 5, rng).astype(dtype)
    biases = likelihood.initial_biases(X)
    assert len(biases) == len(likelihood.head_names)
    outputs = tuple(b[None] for b in biases)
    np.testing.assert_allclose(likelihood.mean(outputs)[0], X.mean(axis=0), rtol=1e-5)
    if len(biases) == 2:
        variance = np.exp(likelihood.mu_and_log_var(outputs)[1][0])
        np.testing.assert_allclose(variance, X.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Binomial(5), ContinuousBernoulli()])
def test_a_pixel_that_is_always_off_can_still_be_learnt(likelihood):
    X = np.zeros((10, 2))
    X[:, 1] = 5 if isinstance(likelihood, Binomial) else 1
    (bias,) = likelihood.initial_biases(X)
    assert np.isfinite(bias).all()
    assert bias[0] == pytest.approx(-bias[1])
    assert -60 < bias[0] < -3


@pytest.mark.parametrize("width", [3, None])
@names
def test_a_decoder_whose_features_are_0_starts_at_the_datas_mean(name, width):
    rng = np.random.default_rng(0)
    likelihood = LIKELIHOODS[name]()
    X = data_of(likelihood, 200, 5, rng)
    built = likelihood.built(width, 5, rng=rng, dtype=np.float64)
    built.start_at(X)
    if width is None:  # and no heads, whose biases could be set
        assert "heads" not in vars(built)
    else:
        np.testing.assert_allclose(built.mean(built(np.zeros((1, 3))))[0], X.mean(0), rtol=1e-5)


def test_the_shared_scale_starts_at_the_datas():
    X = np.random.default_rng(0).standard_normal((300, 4)) * 0.7
    likelihood = Gaussian("shared").built(3, 4, rng=np.random.default_rng(0), dtype=np.float64)
    likelihood.start_at(X)
    log_var = likelihood.log_var(likelihood.shared.data)
    assert log_var.shape == (1, 1)
    assert math.exp(log_var.item()) == pytest.approx(X.var(axis=0).mean(), rel=1e-10)


# The floor ---------------------------------------------------------------------------------------


@pytest.mark.equation("LIK.7")
@given(st.floats(-1e4, 1e4), st.floats(1e-6, 10.0))
def test_no_scale_is_below_the_floor(raw, floor):
    likelihood = Gaussian("network", floor)
    log_var = likelihood.log_var(np.array([[raw]]))
    assert log_var.item() >= 2 * math.log(floor)
    assert log_var.item() >= raw - 1e-9 * abs(raw)


@given(excess=st.floats(0.01, 40.0), floor=st.floats(1e-4, 1.0))
def test_the_floor_is_undone_by_its_inverse(excess, floor):
    # data of a given variance: the bias that initial_biases gives leads back to it
    sigma = floor * math.exp(0.5 * excess)
    X = np.array([[-sigma], [sigma]])
    _, raw = Gaussian("network", floor).initial_biases(X)
    log_var = Gaussian("network", floor).log_var(raw)
    assert log_var[0] == pytest.approx(2 * math.log(sigma), rel=1e-9, abs=1e-9)


def test_the_floor_bounds_a_likelihood_that_has_no_bound():
    # a decoder that reproduces a datum gains without end as its variance falls; not past the floor
    x, likelihood = np.ones((1, 784)), Gaussian("network", 1e-3)

    def log_p(raw):
        return float(likelihood.log_prob((x, np.full((1, 784), raw)), x)[0])

    at_floor = 784 * (-0.5 * math.log(2 * math.pi) - math.log(1e-3))
    assert log_p(0.0) < log_p(-10.0) < log_p(-20.0) < at_floor
    assert log_p(-1e3) == pytest.approx(at_floor, rel=1e-12)
    free = ops.gaussian_log_prob(x, np.full((1, 784), -16.0), x)
    assert free[0] == pytest.approx(5551.5, abs=0.1)  # and -720 at a variance of 1
    assert ops.gaussian_log_prob(x, np.zeros((1, 784)), x)[0] == pytest.approx(-720.4, abs=0.1)


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "good", "bad", "words"),
    [
        (Bernoulli(), 1.0, 0.5, "grey='threshold'"),
        (Bernoulli(), 0.0, 2.0, "0 or 1"),
        (Bernoulli(grey="cross-entropy"), 0.5, 1.5, "255"),
        (Binomial(16), 16.0, 17.0, "n_trials = 16"),
        (Binomial(16), 0.0, -1.0, "n_trials = 16"),
        (Binomial(16), 3.0, 0.5, "continuous-bernoulli"),
        (ContinuousBernoulli(), 1.0, 1.01, "255"),
        (ContinuousBernoulli(), 0.0, -0.01, "255"),
    ],
)
def test_data_outside_the_support_are_named_by_row(likelihood, good, bad, words):
    X = np.full((5, 3), good)
    likelihood.check(X)
    X[3:, 1] = bad
    with pytest.raises(ValueError, match=r"X\[3, 1\] = ") as refusal:
        likelihood.check(X)
    assert words in str(refusal.value)
    assert likelihood.name in str(refusal.value)


def test_every_finite_number_is_a_gaussians():
    Gaussian().check(np.array([[-1e30, 1e30]]))


@pytest.mark.parametrize("n", [0, -3])
def test_trials_are_counted_from_one(n):
    with pytest.raises(ValueError, match=f"n_trials={n}"):
        Binomial(n)


@pytest.mark.parametrize("n", [2.0, True, "16"])
def test_trials_are_whole_numbers(n):
    with pytest.raises(DtypeError, match="whole number"):
        Binomial(n)


@pytest.mark.parametrize("sigma", ["fixed", 0.0, -1.0, math.nan, math.inf])
def test_a_scale_is_positive_or_known_by_name(sigma):
    with pytest.raises(ValueError, match="sigma"):
        Gaussian(sigma)


@pytest.mark.parametrize("floor", [0.0, -1.0, math.nan, math.inf])
def test_a_floor_is_positive(floor):
    with pytest.raises(ValueError, match="floor"):
        Gaussian("network", floor)


def test_encoders_see_shares_of_counts_and_else_the_data():
    X = np.array([[0.0, 8.0, 16.0]])
    np.testing.assert_array_equal(Binomial(16).encoder_input(X), [[0.0, 0.5, 1.0]])
    for likelihood in (Bernoulli(), ContinuousBernoulli(), Gaussian()):
        assert likelihood.encoder_input(X) is X
