"""The linear VAE is probabilistic PCA, which is solved in closed form: every number can be checked.

With a linear encoder of diagonal covariance, a linear decoder and one noise scale the best ELBO is
PCA's log-likelihood, reached where the decoder's columns are principal axes (Tipping and Bishop
1999; Lucas et al. 2019). All expectations are of quadratics: noise at +-sqrt(K) along the axes
gives them exactly.
"""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from exact import assign, axis_noise, flatten, gradient
from minivae import VAE, datasets, ops
from minivae.distributions import Gaussian, StandardNormal
from minivae.latent_model import LatentModel
from minivae.models.vae.networks import Encoder, trunk
from minivae.objectives import at_best_scale, elbo_terms, sample_terms
from minivae.optim import Adam

q = 2


def synthetic():
    """150 data of 6 features, with three directions that stand out."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((150, 3)) * [2.0, 1.2, 0.7]
    return latent @ rng.standard_normal((3, 6)) + 0.5 * rng.standard_normal((150, 6)) + 3.0


def digits():
    """Eight pixels in the middle of 300 handwritten digits, between 0 and 1."""
    X, _ = datasets.load("optdigits").model_arrays(counts=True)
    return X[:300].reshape(-1, 8, 8)[:, 2:6, 3:5].reshape(-1, 8) / 16.0


@pytest.fixture(params=[synthetic, digits], ids=["synthetic", "digits"], scope="module")
def pca(request):
    return PPCA(request.param().astype(np.float64), q)


class PPCA:
    """Probabilistic PCA with q components, by the eigenvalues of the covariance."""

    def __init__(self, X, q):
        self.X, self.q, (self.n, self.d) = X, q, X.shape
        self.mean = X.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(X.T, bias=True))
        self.values, self.vectors = values[::-1], vectors[:, ::-1]
        self.var = self.values[q:].mean()  # the noise: what is discarded, on average
        self.W = self.vectors[:, :q] * np.sqrt(self.values[:q] - self.var)

    @property
    def log_likelihood(self):
        """The mean over data, -1/2 [d log 2 pi + sum_j log l_j + (d - q) log s2 + d]."""
        kept = np.log(self.values[: self.q]).sum()
        left = (self.d - self.q) * math.log(self.var)
        return -0.5 * (self.d * math.log(2 * math.pi) + kept + left + self.d)

    def encoder(self, W, var):
        """Weights, bias and log-variances of the posterior of x = W z + mean + noise."""
        M = W.T @ W + var * np.eye(self.q)
        A = np.linalg.solve(M, W.T)
        # the nearest of all diagonal covariances has the precision's diagonal, M_jj / s2
        return A.T, -A @ self.mean, np.log(var / np.diag(M))


class LinearVAE:
    """The library's networks without hidden layers, at given parameters."""

    def __init__(self, pca, sigma, seed=0):
        rng = np.random.default_rng(seed)
        style = {"activation": "identity", "rng": rng, "dtype": np.float64}
        self.pca, self.encoder = pca, Encoder(pca.d, [], pca.q, **style)
        self.likelihood = Gaussian(sigma).built(pca.q, pca.d, rng=rng, dtype=np.float64)
        layers = trunk(pca.q, [], **style)
        self.model = LatentModel(StandardNormal(pca.q), layers, self.likelihood)
        self.eps = axis_noise(pca.q, pca.n)

    @property
    def parts(self):
        return self.model, self.encoder(self.pca.X), self.pca.X

    @property
    def parameters(self):
        return [*self.encoder.parameters(), *self.model.parameters()]

    @property
    def W(self):
        return self.likelihood.heads[0].weight.data.T

    def put(self, W, var):
        """The decoder W, and the best encoder for it."""
        weight, bias, log_var = self.pca.encoder(W, var)
        self.likelihood.heads[0].weight.data = W.T
        self.likelihood.heads[0].bias.data = self.pca.mean
        self.encoder.mu.weight.data, self.encoder.mu.bias.data = weight, bias
        self.encoder.log_var.weight.data = np.zeros_like(weight)
        self.encoder.log_var.bias.data = log_var
        return self

    def terms(self):
        return elbo_terms(*self.parts, self.eps)

    def elbo(self):
        """The mean over data."""
        return float(self.terms().elbo.data.mean())

    def loss(self, beta=1.0):
        terms = self.terms()
        return ops.mean(beta * terms.kl - terms.reconstruction)

    def train(self, beta=1.0):
        """To the last digit, by quasi-Newton steps on the exact loss."""
        start = flatten(self.parameters)

        def value_and_gradient(vector):
            assign(self.parameters, vector)
            loss = self.loss(beta)
            return loss.item(), gradient(lambda: loss, self.parameters)

        options = {"gtol": 1e-7, "maxiter": 2000}
        found = minimize(value_and_gradient, start, jac=True, method="BFGS", options=options)
        assign(self.parameters, found.x)
        print(found.nfev, found.message)
        return self


def column_energies(W):
    return np.sort((W**2).sum(axis=0))[::-1]


def rotation(angle):
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


# At the optimum ----------------------------------------------------------------------------------


def test_the_closed_form_is_the_log_likelihood(pca):
    model = multivariate_normal(pca.mean, pca.W @ pca.W.T + pca.var * np.eye(pca.d))
    assert model.logpdf(pca.X).mean() == pytest.approx(pca.log_likelihood, rel=1e-12)


@pytest.mark.equation("ELBO.4")
def test_at_principal_axes_the_elbo_is_the_log_likelihood(pca):
    vae = LinearVAE(pca, math.sqrt(pca.var)).put(pca.W, pca.var)
    assert vae.elbo() == pytest.approx(pca.log_likelihood, rel=1e-12)
    # for every datum, and for every sample
    log_p = multivariate_normal(pca.mean, pca.W @ pca.W.T + pca.var * np.eye(pca.d)).logpdf(pca.X)
    eps = np.random.default_rng(0).standard_normal((3, pca.n, q))
    log_weights = sample_terms(*vae.parts, eps).log_weights.data
    np.testing.assert_allclose(log_weights, np.tile(log_p, (3, 1)), rtol=1e-10)


@pytest.mark.equation("KL.5")
def test_the_kl_alone_is_known_too(pca):
    # the mean KL at the optimum: 1/2 sum_j log(l_j / s2)
    vae = LinearVAE(pca, math.sqrt(pca.var)).put(pca.W, pca.var)
    expected = 0.5 * np.log(pca.values[:q] / pca.var).sum()
    assert vae.terms().kl.data.mean() == pytest.approx(expected, rel=1e-12)


def test_the_gradient_vanishes_there(pca):
    vae = LinearVAE(pca, "shared").put(pca.W, pca.var)
    floor = vae.likelihood.log_floor  # log_var = floor + softplus(raw - floor)
    raw = floor + math.log(math.expm1(math.log(pca.var) - floor))
    vae.likelihood.shared.data = np.full((1, 1), raw)
    np.testing.assert_allclose(gradient(vae.loss, vae.parameters), 0.0, atol=1e-9)
    # and not at a rotation of it, although that is the same density of x
    vae.put(pca.W @ rotation(0.6), pca.var)
    assert np.abs(gradient(vae.loss, vae.parameters)).max() > 1e-2


@pytest.mark.parametrize("angle", [0.1, 0.6, math.pi / 2])
def test_a_rotation_costs_what_a_diagonal_covariance_cannot_say(pca, angle):
    # p(x) is the same; the best diagonal q loses 1/2 (sum_j log M_jj - log det M) nats per datum
    W = pca.W @ rotation(angle)
    M = W.T @ W + pca.var * np.eye(q)
    loss = 0.5 * (np.log(np.diag(M)).sum() - np.linalg.slogdet(M)[1])
    vae = LinearVAE(pca, math.sqrt(pca.var)).put(W, pca.var)
    assert vae.elbo() == pytest.approx(pca.log_likelihood - loss, rel=1e-11)
    if angle < 1.5:
        assert loss > 1e-4
    else:  # a quarter turn only exchanges the axes
        assert loss == pytest.approx(0.0, abs=1e-12)


def test_the_best_noise_there_is_that_of_pca(pca):
    vae = LinearVAE(pca, "optimal").put(pca.W, pca.var)
    model = vae.model.in_training()

    def terms():
        own = elbo_terms(model, vae.encoder(pca.X), pca.X, vae.eps)
        return at_best_scale(model, own, pca.X)

    # whatever scale was kept before
    assert terms().elbo.data.mean() == pytest.approx(pca.log_likelihood, rel=1e-12)
    learnt = [p for p in vae.parameters if p.requires_grad]
    slope = gradient(lambda: ops.mean(terms().kl - terms().reconstruction), learnt)
    np.testing.assert_allclose(slope, 0.0, atol=1e-9)
    own = elbo_terms(model, vae.encoder(pca.X), pca.X, vae.eps).reconstruction.data
    vae.likelihood.keep_best_scale(own, pca.X)
    kept = float(vae.likelihood.log_var(vae.likelihood.shared.data).item())
    assert kept == pytest.approx(math.log(pca.var), rel=1e-12)
    assert vae.elbo() == pytest.approx(pca.log_likelihood, rel=1e-12)


# Trained -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", ["fixed", "shared"])
@pytest.mark.parametrize("seed", [0, 1])
def test_training_reaches_the_log_likelihood(pca, sigma, seed):
    vae = LinearVAE(pca, "shared" if sigma == "shared" else math.sqrt(pca.var), seed).train()
    assert vae.elbo() == pytest.approx(pca.log_likelihood, abs=1e-8)
    # at the principal axes, each with the energy l_j - s2
    np.testing.assert_allclose(column_energies(vae.W), pca.values[:q] - pca.var, rtol=1e-3)
    cosines = np.abs(pca.vectors[:, :q].T @ (vae.W / np.linalg.norm(vae.W, axis=0)))
    np.testing.assert_allclose(cosines.max(axis=0), 1.0, atol=1e-4)
    if sigma == "shared":
        log_var = vae.likelihood.log_var(vae.likelihood.shared.data).item()
        assert math.exp(log_var) == pytest.approx(pca.var, rel=1e-4)


def test_training_does_not_reach_it_with_a_wrong_gradient(pca):
    # the check can see a half: a KL weighed by 1/2 trains to another ELBO
    vae = LinearVAE(pca, math.sqrt(pca.var)).train(beta=0.5)
    assert vae.elbo() < pca.log_likelihood - 1e-2


def test_adam_on_all_data_comes_near_it_and_never_above(pca):
    vae = LinearVAE(pca, "shared")
    adam = Adam(vae.parameters)
    for step in range(600):
        adam.learning_rate = 0.05 * (1 - step / 600)
        for p in vae.parameters:
            p.grad = None
        vae.loss().backward()
        adam.step()
        assert step % 100 or vae.elbo() <= pca.log_likelihood
    assert vae.elbo() == pytest.approx(pca.log_likelihood, abs=0.02)


# Collapse ----------------------------------------------------------------------------------------


@pytest.mark.equation("VAE.6")
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("active", [0, 1, 2])
def test_units_collapse_where_they_are_not_worth_their_kl(pca, beta, active):
    # at a fixed scale, dimension j is in use where l_j > beta s2, with energy l_j - beta s2
    first, second = pca.values[:q]
    threshold = {0: 1.5 * first, 1: math.sqrt(first * second), 2: 0.5 * second}[active]
    var = threshold / beta
    energies = np.maximum(pca.values[:q] - threshold, 0.0)
    vae = LinearVAE(pca, math.sqrt(var), seed=3).train(beta)
    np.testing.assert_allclose(column_energies(vae.W), energies, atol=1e-4 * first)
    # a unit in use has a mean that moves with x; one that collapsed is the prior, and costs nothing
    q_z = vae.encoder(pca.X)
    mu, log_var = q_z.mu.data, q_z.log_var.data
    in_use = mu.var(axis=0) > 0.01
    assert in_use.sum() == active
    kl = 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).mean(axis=0)
    np.testing.assert_allclose(kl[~in_use], 0.0, atol=1e-4)
    # v = 1 / (1 + w^2 / (beta s2)) for the others
    v = 1.0 / (1.0 + (vae.W**2).sum(axis=0) / threshold)
    np.testing.assert_allclose(np.exp(log_var)[0], v, rtol=1e-3)


# Through the estimator ---------------------------------------------------------------------------


@pytest.mark.parametrize("kl", ["analytic", "monte-carlo"])
def test_the_vae_says_the_same(pca, kl):
    sigma = math.sqrt(pca.var)
    vae = VAE(
        latent_dim=q, hidden=(), activation="identity", likelihood="gaussian", sigma=sigma,
        kl=kl, epochs=1, dtype="float64", random_state=0,
    ).fit(pca.X)  # fmt: skip
    solved = LinearVAE(pca, sigma).put(pca.W, pca.var)
    names = [name for name, _ in vae.named_parameters()]
    vae.load_state_dict(dict(zip(names, [p.data for p in solved.parameters], strict=True)))
    log_p = multivariate_normal(pca.mean, pca.W @ pca.W.T + pca.var * np.eye(pca.d)).logpdf(pca.X)
    elbo = vae.elbo(pca.X, eps=axis_noise(q, pca.n))
    np.testing.assert_allclose(elbo, log_p, rtol=1e-9)
    if kl == "monte-carlo":  # no expectation is needed: at the posterior every sample says log p(x)
        np.testing.assert_allclose(vae.elbo(pca.X), log_p, rtol=1e-9)
        assert vae.score(pca.X) == pytest.approx(pca.log_likelihood, rel=1e-10)
    estimate, ess = vae.log_likelihood(pca.X, n_samples=20, return_ess=True, proposal="encoder")
    np.testing.assert_allclose(estimate, log_p, rtol=1e-9)
    np.testing.assert_allclose(ess, 20.0, rtol=1e-7)
    assert vae.active_units(pca.X).all()
    # the mean of p(x | E[z | x]) is PCA's projection, shrunk towards the mean
    shrink = (pca.values[:q] - pca.var) / pca.values[:q]
    U = pca.vectors[:, :q]
    expected = pca.mean + (pca.X - pca.mean) @ (U * shrink) @ U.T
    np.testing.assert_allclose(vae.reconstruct(pca.X), expected, atol=1e-9)
