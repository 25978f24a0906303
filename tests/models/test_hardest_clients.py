"""The nouns of the model layer, held against what is hardest to say with them.

Each test is a model or an objective from the literature in a few lines, written with public names
only, and checked by enumeration or quadrature: if one of them needed a private name, a protocol
would be wrong.
"""

import math

import numpy as np
import pytest
from scipy.special import expit, logsumexp

from exact import gradient, log_integral, normal_rule
from minivae import LatentModel, Tensor, ops
from minivae.distributions import (
    AffineCoupling,
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Distribution,
    Flow,
    FullGaussian,
    Gaussian,
    StandardNormal,
)
from minivae.inference import importance_sampling, laplace_proposal
from minivae.inference.laplace import PEAKS
from minivae.nn import MLP, Module
from minivae.objectives import elbo_terms, importance_weighted_bound, sample_terms
from minivae.optim import Adam
from minivae.training import Player, Run


def network(*sizes, seed=0):
    return MLP(sizes, activation="tanh", rng=np.random.default_rng(seed))


def spread(points, N):
    """The same noise ``(S, K)`` for each of N data."""
    return np.ascontiguousarray(np.broadcast_to(points[:, None], (len(points), N, points.shape[1])))


class Curve(Module):
    """A decoder of one dimension into three, and the exact log p(x) of its model."""

    def __init__(self, seed=0):
        self.layers = network(1, 4, 3, seed=seed)

    def __call__(self, z):
        return self.layers(z)


def curve(seed=0):
    return LatentModel(StandardNormal(1), Curve(seed), Gaussian(0.5))


X = np.array([[0.4, -0.3, 0.8], [-1.0, 0.2, 0.1]])


def log_p(model, x=X, K=1):
    """log p(x) by the trapezoid rule."""
    N = len(x)

    def log_joint(z):
        return model.log_joint(x, np.repeat(z[:, None], N, axis=1)).data

    return log_integral(log_joint, K)


# Tighter bounds and their gradients ---------------------------------------------------------------


def test_iwae_with_log_q_from_the_noise():
    model = curve()
    q = DiagonalGaussian(np.array([[0.3], [-0.2]]), np.array([[-0.5], [0.1]]))
    eps, weight = normal_rule(n=301, limit=14.0)
    log_w = sample_terms(model, q, X, spread(eps, 2)).log_weights.data
    # the mean weight is p(x), and the bound of two samples lies between the ELBO and log p(x)
    np.testing.assert_allclose(logsumexp(log_w, axis=0, b=weight[:, None]), log_p(model), rtol=1e-9)
    pairs = np.logaddexp(log_w[:, None], log_w[None]) - math.log(2.0)
    two = np.einsum("i,j,ijn->n", weight, weight, pairs)
    assert (weight @ log_w < two).all()
    assert (two < log_p(model)).all()


def test_the_doubly_reparameterised_gradient_has_the_mean_of_iwaes():
    # Tucker et al. (2019): detach q's parameters in log q, and square the normalised weights
    model, theta = curve(), (np.array([[0.3]]), np.array([[-0.5]]))
    eps, weight = normal_rule(n=121, limit=9.0)
    n = len(eps)
    first, second = (i.ravel() for i in np.indices((n, n)))
    noise = np.stack([eps[first], eps[second]])  # all pairs of noise, as data
    x = np.repeat(X[:1], n * n, axis=0)
    mass = weight[first] * weight[second]

    def mean_gradient(objective):
        mu, log_var = (Tensor(t, requires_grad=True) for t in theta)
        grow = np.ones((n * n, 1))
        objective(DiagonalGaussian(mu * grow, log_var * grow)).backward()
        return np.array([mu.grad.item(), log_var.grad.item()])

    def iwae(q):
        bound = importance_weighted_bound(sample_terms(model, q, x, noise).log_weights)
        return ops.sum(mass * bound)

    def doubly(q):
        z = q.rsample(noise)
        log_w = model.log_joint(x, z) - q.detach().log_prob(z)
        normalised = ops.softmax(log_w, 0).detach()
        return ops.sum(mass * ops.sum(ops.square(normalised) * log_w, 0))

    np.testing.assert_allclose(mean_gradient(doubly), mean_gradient(iwae), rtol=1e-6)


# Labels, levels and conditions --------------------------------------------------------------------


class Labelled(Module):
    """p(x | z, y): the decoder of z and y side by side."""

    def __init__(self, K=1, C=3, D=2):
        self.layers = network(K + C, 5, D, seed=2)

    def __call__(self, z, y):
        return self.layers(ops.concatenate([z, y], 1))


def test_m2_with_y_enumerated_as_rows():
    # log p(x) - sum_y q(y | x) (L(x, y) - log q(y | x)) is the sum of two KLs, never below 0,
    # and 0 where q is exact in y and in z. Kingma, Mohamed, Rezende and Welling (2014).
    C, x = 3, np.array([[0.5, -0.4], [1.0, 0.3]])
    model = LatentModel(StandardNormal(1), Labelled(), Gaussian(0.7))
    q_y = Categorical(np.array([[0.1, 0.5, -0.3], [0.0, 0.2, 0.4]]))
    eps, weight = normal_rule(n=301, limit=12.0)
    bounds, truth = [], []
    for y in q_y.support():  # one class for all data at a time
        q = DiagonalGaussian(np.full((2, 1), 0.1), np.full((2, 1), -0.2))
        terms = sample_terms(model, q, x, spread(eps, 2), y)
        bounds.append(weight @ terms.log_weights.data - math.log(C))
        truth.append(logsumexp(terms.log_weights.data, axis=0, b=weight[:, None]) - math.log(C))
    log_q = q_y.log_probabilities()
    unlabelled = (np.exp(log_q) * (np.stack(bounds, -1) - log_q)).sum(-1)
    evidence = logsumexp(truth, axis=0)
    assert (unlabelled < evidence - 1e-3).all()
    exact = np.stack(truth, -1) - evidence[:, None]  # log p(y | x)
    tight = (np.exp(exact) * (np.stack(truth, -1) - exact)).sum(-1)
    np.testing.assert_allclose(tight, evidence, rtol=1e-12)


class TwoLevels(Distribution):
    """p(z2) p(z1 | z2), on z = (z1, z2)."""

    def __init__(self, weight):
        self.weight = weight

    def log_prob(self, z):
        first, second = z[..., :1], z[..., 1:]
        upper = StandardNormal(1)
        lower = DiagonalGaussian(ops.tanh(self.weight * second), np.full_like(second.data, -1.0))
        return upper.log_prob(second) + lower.log_prob(first)


def test_a_two_level_prior_and_its_elbo():
    weight = Tensor([[1.5]], requires_grad=True)
    model = LatentModel(TwoLevels(weight), lambda z: (z[:, :1] * np.ones((1, 3)),), Gaussian(0.6))
    q = FullGaussian(
        np.array([[0.2, 0.1], [-0.3, 0.4]]), np.tile([[0.5, 0.0], [0.2, 0.8]], (2, 1, 1))
    )
    eps, weights = normal_rule(K=2, n=81, limit=9.0)
    noise = spread(eps, 2)
    terms = sample_terms(model, q, X, noise)
    elbo = weights @ terms.log_weights.data
    assert (elbo < log_p(model, K=2)).all()
    # the KL falls back on the samples, and the gradient reaches the prior's own weight
    kl = q.kl_to(model.prior, q.rsample(noise))
    assert kl.shape == (2,)
    slope = gradient(lambda: ops.sum(weights[:, None] * terms.log_weights), [weight])
    assert abs(slope.item()) > 1e-3


class Vamp(Module, Distribution):
    """The mean of the encoder's answers to pseudo-inputs. Tomczak and Welling (2018)."""

    def __init__(self, encoder, inputs):
        self.encoder, self.inputs = encoder, Tensor(inputs, requires_grad=True)

    def log_prob(self, z):
        q = self.encoder(self.inputs)
        each = DiagonalGaussian(q.mu, q.log_var).log_prob(ops.expand_dims(z, -2))  # (S, N, C)
        return ops.logsumexp(each, -1) - math.log(len(self.inputs.data))


class SmallEncoder(Module):
    def __init__(self, D=3, K=1):
        self.layers = network(D, 4, 2 * K, seed=5)

    def __call__(self, x, c=None):
        out = self.layers(x)
        K = out.shape[1] // 2
        return DiagonalGaussian(out[:, :K], out[:, K:])


def test_a_vampprior_shares_the_encoders_parameters_and_they_count_once():
    encoder = SmallEncoder()
    model = LatentModel(Vamp(encoder, X), Curve(), Gaussian(0.5))
    parameters = [*encoder.parameters(), *model.parameters()]

    def loss(batch, rng, progress):
        (x,) = batch
        q = encoder(x)
        terms = elbo_terms(model, q, x, q.noise(rng, 1))
        return -ops.mean(terms.elbo), {"elbo": float(terms.elbo.data.mean())}

    run = Run(
        [Player(parameters, loss)], [X], epochs=20, batch_size=2,
        order=np.random.default_rng(0), noise=np.random.default_rng(1),
        optimiser=lambda p: Adam(p, 0.02),
    )  # fmt: skip
    assert len(run.parameters) == len({id(p) for p in parameters}) < len(parameters)
    before = model.prior.inputs.numpy()
    run.run()
    assert np.mean(run.history["elbo"][-5:]) > np.mean(run.history["elbo"][:5])
    assert not np.array_equal(before, model.prior.inputs.data)
    # it is a density, and with the aggregate posterior's own inputs no prior serves better
    total = log_integral(lambda z: model.prior.log_prob(z[:, None]).data, limit=12.0)
    assert total == pytest.approx(0.0, abs=1e-9)


class GivenClass(Module):
    """p(z | c) = N(W c, exp(v c))."""

    def __init__(self):
        self.mu, self.log_var = network(2, 1, seed=8), network(2, 1, seed=9)

    def __call__(self, c):
        return DiagonalGaussian(self.mu(c), self.log_var(c))


def test_a_conditional_prior():
    model = LatentModel(GivenClass(), lambda z, c: (z * np.ones((1, 3)),), Gaussian(0.5))
    c = np.eye(2)
    q = DiagonalGaussian(np.array([[0.1], [0.2]]), np.array([[-1.0], [0.0]]))
    eps, weight = normal_rule(n=201)
    closed = elbo_terms(model, q, X, spread(eps, 2), c).kl.data
    sampled = weight @ sample_terms(model, q, X, spread(eps, 2), c).log_ratio.data
    np.testing.assert_allclose(closed, sampled, rtol=1e-10)
    draws = model.sample(2, 0, c=c)
    assert draws.shape == (2, 3)
    wrong = elbo_terms(model, q, X, spread(eps, 2), c[::-1]).kl.data
    assert np.abs(closed - wrong).min() > 1e-3


# Other families of q ------------------------------------------------------------------------------


class Implicit(Module, Distribution):
    """q(z | x) that can be drawn from, and nothing else. Mescheder et al. (2017)."""

    def __init__(self, x, layers):
        self.x, self.layers = x, layers

    def noise(self, rng, S=1):
        return rng.standard_normal((S, len(self.x), 1))

    def rsample(self, eps):
        rows = ops.reshape(eps, (-1, 1))
        both = np.concatenate([np.concatenate([self.x] * len(eps)), rows], axis=1)
        return ops.reshape(self.layers(both), eps.shape)


def test_adversarial_variational_bayes_is_two_players():
    x = np.repeat(np.eye(4), 8, axis=0)  # four points, as in the paper
    model = LatentModel(StandardNormal(1), network(1, 16, 4, seed=1), Bernoulli())
    sampler, critic = network(5, 16, 1, seed=2), network(5, 16, 1, seed=3)

    def score(batch, z):
        return critic(ops.concatenate([batch, z[0]], 1))[:, 0]

    def generator(batch, rng, progress):
        q = Implicit(batch[0], sampler)
        z = q.rsample(q.noise(rng))
        elbo = ops.mean(model.log_prob_given(batch[0], z)[0] - score(batch[0], z))
        return -elbo, {"elbo": elbo.item()}

    def discriminator(batch, rng, progress):
        q = Implicit(batch[0], sampler)
        z, prior = q.rsample(q.noise(rng)).detach(), rng.standard_normal((1, len(batch[0]), 1))
        loss = ops.softplus(-score(batch[0], z)) + ops.softplus(score(batch[0], prior))
        return ops.mean(loss), {"critic": ops.mean(loss).item()}

    run = Run(
        [
            Player([*model.parameters(), *sampler.parameters()], generator),
            Player(critic.parameters(), discriminator),
        ],
        [x], epochs=300, batch_size=32, order=np.random.default_rng(0),
        noise=np.random.default_rng(1), optimiser=lambda p: Adam(p, 5e-3),
    )  # fmt: skip
    run.run()
    # log p(x) of four equally frequent points is at most log 1/4
    assert run.history["elbo"][0] < -2.5
    assert -2.0 < np.mean(run.history["elbo"][-50:]) < math.log(0.25)
    with pytest.raises(NotImplementedError, match=r"log_prob: .* Implicit does not have it"):
        Implicit(x, sampler).log_prob(np.zeros((1, 32, 1)))


def test_a_coupling_flow_is_one_more_q():
    rng = np.random.default_rng(0)
    maps = [AffineCoupling(2, 8, even=even, rng=rng) for even in (True, False)]
    for coupling in maps:
        coupling.out_weight.data = 0.2 * rng.standard_normal(coupling.out_weight.shape)
    base = DiagonalGaussian(np.array([[0.2, -0.1]]), np.array([[0.4, 0.5]]))
    q = Flow(base, maps)
    eps, weight = normal_rule(K=2, n=161, limit=9.0)
    z, log_q = q.rsample_and_log_prob(eps[:, None])
    np.testing.assert_allclose(log_q.data, q.log_prob(z).data, rtol=1e-10)
    model = LatentModel(StandardNormal(2), network(2, 4, 3, seed=4), Gaussian(0.8))
    terms = sample_terms(model, q, X[:1], eps[:, None])
    mean_weight = logsumexp(terms.log_weights.data, axis=0, b=weight[:, None])
    np.testing.assert_allclose(mean_weight, log_p(model, X[:1], K=2), rtol=1e-5)
    kl = q.kl_to(model.prior, z)
    assert kl.shape == (1,)


# Inference that sees no model ---------------------------------------------------------------------


def test_the_laplace_proposal_takes_a_density_and_no_model():
    def log_density(z):  # two peaks, the second missed by q
        peaks = [-8.0 * ops.square(z[..., 0] - m) for m in (2.0, -2.0)]
        return ops.logsumexp(ops.stack(peaks, -1), -1) + StandardNormal(1).log_prob(z)

    q = DiagonalGaussian(np.full((3, 1), 2.0), np.full((3, 1), -2.8))
    generators = [np.random.default_rng(i) for i in range(3)]
    proposal = laplace_proposal(log_density, StandardNormal(1), q, generators)
    found = importance_sampling(log_density, proposal, 2000, random_state=0)
    truth = log_integral(lambda z: ops.reshape(log_density(z[:, None]), (-1, 1)))
    assert (np.abs(found.estimate - truth) < 5 * found.standard_error).all()
    assert (found.standard_error < 0.05).all()
    blind = importance_sampling(log_density, q, 2000, random_state=0)
    assert (blind.estimate < truth - 0.5).all()


def test_the_laplace_proposal_weighs_gaussian_peaks_by_their_height_and_width():
    shares = np.array([0.2, 0.8])
    means = np.array([[-9.0, 0.0], [9.0, 3.0]])
    scales = np.array([[[1.0, 0.0], [0.5, 0.7]], [[0.3, 0.0], [0.1, 2.0]]])

    def log_density(z):
        parts = [
            np.log(share) + FullGaussian(mean[None], scale[None]).log_prob(z)
            for share, mean, scale in zip(shares, means, scales, strict=True)
        ]
        return ops.logsumexp(ops.stack(parts, -1), -1)

    q = DiagonalGaussian(np.zeros((1, 2)), np.zeros((1, 2)))
    prior = DiagonalGaussian(np.zeros((1, 2)), np.full((1, 2), 2 * np.log(8.0)))
    proposal = laplace_proposal(log_density, prior, q, [np.random.default_rng(0)])
    log_shares, centres = proposal.log_shares[:, 0], proposal.centres[:PEAKS]
    assert logsumexp(log_shares[:PEAKS]) == pytest.approx(np.log(0.8))
    np.testing.assert_allclose(log_shares[PEAKS:], np.log(0.1))
    at = np.linalg.norm(centres - means, axis=-1).argmin(axis=1)
    assert set(at) == {0, 1}
    covariance = proposal.scales[:PEAKS, 0] @ proposal.scales[:PEAKS, 0].swapaxes(-1, -2)
    np.testing.assert_allclose(covariance, (scales @ scales.swapaxes(-1, -2))[at], rtol=1e-6)
    log_masses = log_density(centres)[:, 0] + np.log(np.linalg.det(scales))[at]
    np.testing.assert_allclose(np.diff(log_shares[:PEAKS]), np.diff(log_masses), atol=1e-6)


@pytest.mark.parametrize("K", [1, 3])
def test_of_a_discrete_z_the_elbo_at_the_posterior_is_log_p(K):
    rng = np.random.default_rng(0)
    means, prior = rng.normal(size=(4, 3)), Categorical(rng.normal(size=4))
    model = LatentModel(prior, lambda z: (z @ means,), Bernoulli())
    x = rng.integers(0, 2, (K, 3)).astype(float)
    log_joint = model.log_joint(x, prior.support(K))
    q = Categorical(np.asarray(log_joint).T)  # normalised: the posterior
    each = np.exp(q.log_probabilities()).T * model.log_prob_given(x, q.support())
    elbo = each.sum(0) - q.kl_to(Categorical(np.tile(prior.logits, (K, 1))))
    p = expit(means)
    by_hand = np.prod(np.where(x[:, None] == 1, p, 1 - p), -1) @ np.exp(prior.log_probabilities())
    np.testing.assert_allclose(elbo, np.log(by_hand), rtol=1e-12)
