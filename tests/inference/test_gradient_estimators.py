"""Estimators of gradients against exact ones: their noise is integrated or summed, never drawn.

A row of data is repeated for every point of a quadrature rule over the noise of all S samples, so
the weighted sum of an estimator over rows is its expectation. The exact gradient is a difference of
an integral that uses neither the library's densities nor its derivatives.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from exact import normal_rule, numerical_gradient
from minivae import VAE, LatentModel, ops
from minivae.distributions import Categorical, DiagonalGaussian, Gaussian, StandardNormal
from minivae.models.vae.objective import Objective
from minivae.objectives import (
    doubly_reparameterised_bound,
    elbo_terms,
    importance_weighted_bound,
    relaxed_sample,
    sample_terms,
    score_function_elbo,
    sticking_the_landing,
)
from minivae.tensor import Tensor, values

X, SIGMA = np.array([0.9, -0.4]), 0.7
AT = np.array([0.3, -0.8, 1.2])  # mean and log-variance of q, and the decoder's parameter
SMALL = {"hidden": (8,), "latent_dim": 1, "batch_size": 50, "learning_rate": 0.01,
         "random_state": 0, "dtype": "float64"}  # fmt: skip


def rule(S):
    """Noise ``(S, n, 1)`` and weights ``(n,)`` whose sums over n are expectations."""
    points, weight = normal_rule(K=S, n={1: 241, 2: 121}[S], limit=9.0)
    return points.T[:, :, None], weight


def exact_bound(parameters, S=2):
    """E log (1/S sum_s w_s), with S = 1 the ELBO, by quadrature and with SciPy's densities."""
    mu, log_var, a = parameters
    eps, weight = rule(S)
    z = mu + math.exp(0.5 * log_var) * eps[..., 0]
    log_w = norm.logpdf(z) - norm.logpdf(z, mu, math.exp(0.5 * log_var))
    for x, mean in zip(X, (a * z, np.sin(a * z)), strict=True):
        log_w += norm.logpdf(x, mean, SIGMA)
    return weight @ (logsumexp(log_w, axis=0) - math.log(S))


EXACT = {S: numerical_gradient(lambda at, S=S: exact_bound(at, S), AT) for S in (1, 2)}


def moments(surrogate, S=2):
    """The mean of an estimator in all three parameters, and its variance in those of q."""
    eps, weight = rule(S)
    n = len(weight)
    mu, log_var = (Tensor(np.full((n, 1), at), requires_grad=True) for at in AT[:2])
    a = Tensor(AT[2], requires_grad=True)
    model = LatentModel(
        StandardNormal(1),
        lambda z: (ops.concatenate([a * z, ops.sin(a * z)], -1),),
        Gaussian(SIGMA),
    )
    x = np.repeat(X[None], n, axis=0)
    ops.sum(weight * surrogate(model, DiagonalGaussian(mu, log_var), x, eps)).backward()
    rows = np.concatenate([mu.grad, log_var.grad], axis=1)
    mean = rows.sum(axis=0)
    variance = np.square(rows / np.sqrt(weight)[:, None]).sum(axis=0) - mean**2
    return np.array([*mean, a.grad]), variance


def is_unbiased(surrogate, exact, S=2):
    return np.allclose(moments(surrogate, S)[0], exact, rtol=1e-6, atol=1e-8)


def pathwise(model, q, x, eps):
    return ops.mean(sample_terms(model, q, x, eps).log_weights, 0)


def with_baseline(baseline):
    def surrogate(model, q, x, eps):
        return score_function_elbo(model, q, x, eps, baseline=baseline)

    return surrogate


# Unbiased -----------------------------------------------------------------------------------------


@pytest.mark.equation("GRAD.2")
@pytest.mark.parametrize(
    ("baseline", "S"), [(None, 1), (None, 2), (np.full(121**2, -0.7), 2), ("leave-one-out", 2)]
)
def test_the_score_function_has_the_exact_mean_with_any_fair_baseline(baseline, S):
    assert is_unbiased(with_baseline(baseline), EXACT[1], S)


@pytest.mark.equation("GRAD.2")
def test_baselines_take_from_the_variance_and_the_best_constant_takes_most():
    # the optimal constant is E[f s^2] / E[s^2]: here for the mean
    eps, weight = rule(1)
    s = eps[0, :, 0]
    z = AT[0] + math.exp(0.5 * AT[1]) * s
    log_w = norm.logpdf(z) - norm.logpdf(z, AT[0], math.exp(0.5 * AT[1]))
    log_w += norm.logpdf(X[0], AT[2] * z, SIGMA) + norm.logpdf(X[1], np.sin(AT[2] * z), SIGMA)
    best = weight @ (log_w * s**2) / (weight @ s**2)
    none, other, optimal = (
        moments(with_baseline(b if b is None else np.full(241, b)), 1)[1][0]
        for b in (None, best + 0.5, best)
    )
    assert optimal < other < none
    assert optimal == pytest.approx(weight @ ((log_w - best) * s / math.exp(0.5 * AT[1])) ** 2
                                    - EXACT[1][0] ** 2)  # fmt: skip
    left_out = moments(with_baseline("leave-one-out"))[1]
    assert (left_out < 0.7 * moments(with_baseline(None))[1]).all()


@pytest.mark.equation("GRAD.3")
@pytest.mark.parametrize("S", [1, 2])
def test_sticking_the_landing_has_the_exact_mean(S):
    assert is_unbiased(sticking_the_landing, EXACT[1], S)
    assert is_unbiased(pathwise, EXACT[1], S)


@pytest.mark.equation("GRAD.3")
@pytest.mark.equation("GRAD.2")
def test_at_the_posterior_nothing_is_left_of_the_noise():
    w, x = 1.3, np.full((50, 1), 0.8)
    total = w**2 + SIGMA**2
    model = LatentModel(StandardNormal(1), lambda z: (w * z,), Gaussian(SIGMA))
    eps = np.random.default_rng(0).normal(size=(2, 50, 1))

    def largest(surrogate):
        mu = Tensor(w * x / total, requires_grad=True)
        log_var = Tensor(np.full((50, 1), math.log(SIGMA**2 / total)), requires_grad=True)
        ops.sum(surrogate(model, DiagonalGaussian(mu, log_var), x, eps)).backward()
        return max(np.abs(mu.grad).max(), np.abs(log_var.grad).max())

    assert largest(sticking_the_landing) < 1e-13
    assert largest(score_function_elbo) < 1e-13  # log w is constant, and so is its baseline
    assert largest(pathwise) > 1
    assert largest(with_baseline(None)) > 1


@pytest.mark.equation("GRAD.4")
def test_doubly_reparameterised_has_the_mean_of_the_importance_weighted_gradient():
    assert is_unbiased(doubly_reparameterised_bound, EXACT[2])
    assert not is_unbiased(doubly_reparameterised_bound, EXACT[1])
    # with one sample both bounds are the ELBO
    assert is_unbiased(doubly_reparameterised_bound, EXACT[1], 1)


@pytest.mark.equation("GRAD.4")
def test_its_signal_outgrows_its_noise_and_the_plain_one_drowns():
    model = LatentModel(StandardNormal(1), lambda z: (z,), Gaussian(0.5))
    n, x = 2000, np.full((2000, 1), 1.5)

    def signal_to_noise(surrogate, S):
        mu = Tensor(np.full((n, 1), 0.8), requires_grad=True)
        q = DiagonalGaussian(mu, np.full((n, 1), -0.7))
        eps = np.random.default_rng(S).normal(size=(S, n, 1))
        ops.sum(surrogate(model, q, x, eps)).backward()
        return abs(mu.grad.mean()) / mu.grad.std()

    doubly = [signal_to_noise(doubly_reparameterised_bound, S) for S in (8, 128)]
    plain = [signal_to_noise(plain_bound, S) for S in (1, 128)]
    assert doubly[1] > 2 * doubly[0]
    assert plain[1] < 0.5 * plain[0]


def plain_bound(model, q, x, eps):
    return importance_weighted_bound(sample_terms(model, q, x, eps).log_weights)


# Wrong twins, told apart by the same check --------------------------------------------------------


def score_with_weights_not_held(model, q, x, eps):
    z = q.draw(eps, None)
    log_q, log_joint = q.log_prob(z), model.log_joint(x, z)
    return ops.mean((log_joint - log_q) * log_q + log_joint, 0)


def baseline_with_its_own_sample(model, q, x, eps):
    z = q.draw(eps, None)
    log_q, log_joint = q.log_prob(z), model.log_joint(x, z)
    gain = values(log_joint) - values(log_q)
    return ops.mean((gain - gain.mean(axis=0)) * log_q + log_joint, 0)


def doubly_with_weights_not_held(model, q, x, eps):
    z = q.rsample(eps)
    log_w = model.log_joint(x, z) - q.detach().log_prob(z)
    w = ops.softmax(log_w, 0)
    return ops.sum(ops.square(w) * log_w + (w - ops.square(w)) * model.log_joint(x, values(z)), 0)


def landing_on_the_tighter_bound(model, q, x, eps):
    z = q.rsample(eps)
    return importance_weighted_bound(model.log_joint(x, z) - q.detach().log_prob(z))


def with_noise_used_twice(surrogate):
    def twice(model, q, x, eps):
        return surrogate(model, q, x, eps[[0, 0]])

    return twice


@pytest.mark.parametrize(
    ("surrogate", "S"),
    [
        (score_with_weights_not_held, 1),
        (baseline_with_its_own_sample, 1),
        (with_noise_used_twice(score_function_elbo), 1),
        (doubly_with_weights_not_held, 2),
        (landing_on_the_tighter_bound, 2),
        (with_noise_used_twice(doubly_reparameterised_bound), 2),
    ],
    ids=lambda case: getattr(case, "__qualname__", str(case)).split(".")[0],
)
def test_a_twin_with_a_mistake_is_not_unbiased(surrogate, S):
    """The objective is that of S samples; the estimate has two."""
    assert not is_unbiased(surrogate, EXACT[S])
    error = np.abs(moments(surrogate)[0] - EXACT[S]).max()
    assert error > 0.01  # nor is it nearly so


def test_a_baseline_with_its_own_sample_makes_the_gradient_too_small_by_half():
    mean, _ = moments(baseline_with_its_own_sample)
    np.testing.assert_allclose(mean[:2], 0.5 * EXACT[1][:2], rtol=1e-6)
    assert mean[2] == pytest.approx(EXACT[1][2])


# Discrete z ---------------------------------------------------------------------------------------

LOGITS = np.array([0.4, -0.3, 0.9])


@pytest.mark.equation("GRAD.2")
def test_the_score_function_of_a_discrete_z_by_enumeration():
    levels = np.array([[-1.0], [0.5], [2.0]])
    model = LatentModel(
        Categorical(np.zeros(3)), lambda z: (ops.matmul(z, levels),), Gaussian(0.8)
    )

    def elbo(logits):
        log_q = logits - logsumexp(logits)
        log_p = norm.logpdf(0.7, levels[:, 0], 0.8) - math.log(3)
        return np.exp(log_q) @ (log_p - log_q)

    # the noise counts only by the class that it makes the largest: all nine pairs of classes
    pairs = np.stack(np.meshgrid(range(3), range(3))).reshape(2, 9)
    eps = 1e3 * np.eye(3)[pairs]
    p = np.exp(LOGITS - logsumexp(LOGITS))
    weight = p[pairs].prod(axis=0)
    for baseline in (None, np.full(9, 0.4), "leave-one-out"):
        logits = Tensor(np.repeat(LOGITS[None], 9, axis=0), requires_grad=True)
        x = np.full((9, 1), 0.7)
        found = score_function_elbo(model, Categorical(logits), x, eps, baseline=baseline)
        ops.sum(weight * found).backward()
        exact = numerical_gradient(elbo, LOGITS)
        np.testing.assert_allclose(logits.grad.sum(axis=0), exact, rtol=1e-7, atol=1e-9)


def test_a_baseline_that_is_none_is_refused():
    q = DiagonalGaussian(np.zeros((1, 1)), np.zeros((1, 1)))
    model = LatentModel(StandardNormal(1), lambda z: (z,), Gaussian(1.0))
    for baseline, S in (("leave-one-out", 1), ("mean", 2)):
        with pytest.raises(ValueError, match=f"baseline='{baseline}' with S={S}"):
            score_function_elbo(model, q, np.zeros((1, 1)), np.zeros((S, 1, 1)), baseline=baseline)


# Two classes: only the difference of their Gumbel noises counts, and it is logistic
SHARE = (np.arange(20_000) + 0.5) / 20_000
GUMBELS = np.stack([np.zeros(20_000), np.log(SHARE / (1 - SHARE))], axis=-1)[:, None]


def relaxed_gradient(temperature, straight):
    """The mean gradient of f = z_2^3 by the logit of class 2, where the exact one is p (1 - p)."""
    logits = Tensor(np.array([[0.0, 0.6]]), requires_grad=True)
    z = relaxed_sample(Categorical(logits), GUMBELS, temperature, straight)
    ops.mean(z[..., 1] ** 3).backward()
    return logits.grad[0, 1]


@pytest.mark.equation("GRAD.5")
def test_a_relaxed_class_is_a_softmax_with_a_bias_that_goes_with_the_temperature():
    eps = np.random.default_rng(0).gumbel(size=(4, 2, 3))
    logits = np.array([LOGITS, -LOGITS])
    z = relaxed_sample(Categorical(logits), eps, 0.6)
    powers = np.exp((logits + eps) / 0.6)
    np.testing.assert_allclose(z, powers / powers.sum(axis=-1, keepdims=True), rtol=1e-12)
    p = 1 / (1 + math.exp(-0.6))
    bias = {t: abs(relaxed_gradient(t, False) / (p * (1 - p)) - 1) for t in (2.0, 1.0, 0.05)}
    assert bias[2.0] > 0.3
    assert bias[1.0] > 0.03
    assert bias[0.05] < 0.03
    with pytest.raises(ValueError, match="temperature=0 must be positive"):
        relaxed_sample(Categorical(logits), eps, 0)


@pytest.mark.equation("GRAD.5")
def test_straight_through_has_the_value_of_the_class_and_the_slope_of_the_soft_one():
    eps = np.random.default_rng(0).gumbel(size=(4, 2, 3))
    gradients = []
    for straight in (False, True):
        logits = Tensor(np.array([LOGITS, -LOGITS]), requires_grad=True)
        z = relaxed_sample(Categorical(logits), eps, 0.6, straight)
        ops.sum(z * np.array([1.0, -2.0, 0.5])).backward()
        gradients.append(logits.grad)
    hard = np.eye(3)[(logits.data + eps).argmax(axis=-1)]
    np.testing.assert_allclose(z.data, hard, atol=1e-15)
    np.testing.assert_array_equal(*gradients)
    # slopes 0 and 3 at the classes, each where half of the steep places are: 3/2 in place of 1
    p = 1 / (1 + math.exp(-0.6))
    assert relaxed_gradient(0.05, True) / (p * (1 - p)) == pytest.approx(1.5, rel=0.03)


# The VAE that trains with them --------------------------------------------------------------------


def bars(n=200):
    """Eight pixels of which the left or the right half is mostly on."""
    rng = np.random.default_rng(0)
    left = rng.random((n, 1)) < 0.5
    probability = np.where(left ^ (np.arange(8) >= 4), 0.9, 0.1)
    return (rng.random((n, 8)) < probability).astype(np.float64)


@pytest.mark.parametrize(
    ("gradient", "more"),
    [
        ("sticking-the-landing", {"n_samples": 2}),
        ("score-function", {"n_samples": 8}),
        ("doubly-reparameterised", {"n_samples": 4, "objective": "importance-weighted"}),
    ],
)
def test_a_vae_trains_with_each_estimator(gradient, more):
    data = bars()
    independent = data.mean(axis=0)
    floor = (data * np.log(independent) + (1 - data) * np.log(1 - independent)).sum(axis=1).mean()
    model = VAE(**SMALL, epochs=60, gradient=gradient, **more).fit(data)
    # it has found the halves: better than independent pixels, by a bound on log p(x)
    assert model.score(data) > floor + 0.8
    assert np.isfinite(model.history_["elbo"]).all()


@pytest.mark.parametrize(
    ("gradient", "surrogate"),
    [
        ("sticking-the-landing", sticking_the_landing),
        ("score-function", score_function_elbo),
        ("doubly-reparameterised", doubly_reparameterised_bound),
    ],
)
def test_a_step_of_the_vae_follows_the_estimator_it_is_told_and_reports_the_bound(
    gradient, surrogate
):
    data = bars(20)
    vae = VAE(**SMALL, epochs=1).fit(data)
    parameters = [*vae.encoder_.parameters(), *vae.model_.parameters()]
    settings = SimpleNamespace(
        gradient=gradient, n_samples=3, beta=1.0, beta_warmup=0.0, kl="analytic",
        objective="importance-weighted" if "doubly" in gradient else "elbo", free_bits=0.0,
    )  # fmt: skip

    def gradients_of(loss):
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        return np.concatenate([parameter.grad.ravel() for parameter in parameters])

    objective = Objective(settings, vae.model_, lambda x, c: vae.encoder_(x))
    loss, measured = objective((data,), np.random.default_rng(0), 0.0)
    found = gradients_of(loss)
    q = vae.encoder_(data)
    eps = q.noise(np.random.default_rng(0), 3)
    expected = gradients_of(-ops.mean(surrogate(vae.model_, q, data, eps)))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    pathwise_gradient = gradients_of(-ops.mean(pathwise(vae.model_, vae.encoder_(data), data, eps)))
    assert np.abs(found - pathwise_gradient).max() > 1e-3
    if settings.objective == "elbo":
        elbo = elbo_terms(vae.model_, vae.encoder_(data), data, eps).elbo.data.mean()
        assert measured["elbo"] == pytest.approx(elbo)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient": "doubly-reparameterised"}, "goes with objective='importance-weighted', not"),
        ({"gradient": "sticking-the-landing", "objective": "importance-weighted"},
         "goes with objective='elbo', not 'importance-weighted'"),
        ({"gradient": "score-function", "n_samples": 1}, "goes with n_samples from 2, not 1"),
        ({"gradient": "sticking-the-landing", "beta": 2.0}, "goes with beta=1 and no warm-up"),
        ({"gradient": "sticking-the-landing", "beta_warmup": 0.5}, "beta_warmup=0.5"),
        ({"gradient": "reinforce"}, "gradient='reinforce'"),
    ],
)  # fmt: skip
def test_a_vae_refuses_what_does_not_go_together(settings, message):
    with pytest.raises(ValueError, match=message):
        VAE(**SMALL, **settings).fit(bars(50))
