"""The mixture as a VAE's prior: its density, its KL, its training, and one fitted afterwards."""

import copy

import numpy as np
import pytest
from scipy.special import logsumexp, ndtri
from scipy.stats import multivariate_normal, norm

from exact import axis_noise, gradient, log_integral, normal_rule, small_model
from minivae import (
    VAE,
    GaussianMixture,
    assert_gradcheck,
    datasets,
    grad,
    gradcheck,
    ops,
    primitive,
)
from minivae.distributions import (
    DiagonalGaussian,
    MixturePrior,
    StandardNormal,
    kl_divergence,
    mixture_log_prob,
)
from minivae.errors import NotFittedError, ShapeError
from minivae.models.vae import prior_warmup
from minivae.models.vae.prior_warmup import begin_at_codes
from minivae.objectives import elbo_terms, sample_terms

_digits = datasets.load("optdigits")
X, X_TEST = np.split(_digits.model_arrays(counts=True)[0][:2000], [1500])
Y_TEST = _digits.y_train[1500:2000]
K = 5
DIGITS = {"latent_dim": K, "likelihood": "binomial", "n_trials": 16, "hidden": (60,),
          "batch_size": 64, "learning_rate": 3e-3, "random_state": 0}  # fmt: skip


def mixture(C=3, K=2, seed=0):
    """Weights, means and Cholesky factors of a mixture."""
    rng = np.random.default_rng(seed)
    L = np.tril(0.5 * rng.normal(size=(C, K, K)), -1)
    L += np.exp(0.4 * rng.normal(size=(C, K)))[..., None] * np.eye(K)
    return rng.dirichlet(np.full(C, 3.0)), 2.0 * rng.normal(size=(C, K)), L


def prior_of(C=3, K=2, seed=0):
    return MixturePrior(*mixture(C, K, seed), np.float64)


def held_standard(C, K):
    return MixturePrior.standard(C, K, np.float64)


@pytest.fixture(scope="module")
def standard():
    """A model with the prior N(0, I) that has learnt something; nobody may change it."""
    return VAE(**DIGITS, epochs=25).fit(X)


@pytest.fixture(scope="module")
def learnt():
    """The same with a mixture that was trained along."""
    return VAE(**DIGITS, epochs=25, prior="mixture").fit(X)


# The density --------------------------------------------------------------------------------------


@pytest.mark.equation("PRIOR.1")
@pytest.mark.parametrize("K", [1, 2, 5])
def test_the_density_is_scipys(K):
    pi, m, L = mixture(4, K)
    z = 3.0 * np.random.default_rng(1).normal(size=(50, K))
    parts = [np.log(p) + multivariate_normal.logpdf(z, a, B @ B.T)
             for p, a, B in zip(pi, m, L, strict=True)]  # fmt: skip
    expected = logsumexp(parts, axis=0)
    np.testing.assert_allclose(mixture_log_prob(z, np.log(pi), m, L), expected, rtol=1e-12)
    prior = MixturePrior(pi, m, L, np.float64)
    np.testing.assert_allclose(prior.log_prob(z).data, expected, rtol=1e-12)
    np.testing.assert_allclose(prior.responsibilities(z).T, np.exp(parts - expected), atol=1e-13)
    if K == 1:
        total = log_integral(lambda z: prior.log_prob(z).data[:, None], limit=20.0)
        assert total == pytest.approx(0, abs=1e-11)


@pytest.mark.equation("PRIOR.1")
def test_its_gradients_and_theirs_are_right():
    pi, m, L = mixture(2, 2)
    z = np.random.default_rng(1).normal(size=(3, 2))
    weights = np.arange(1.0, 4.0)  # so that rows cannot be mistaken for each other

    def value(z, log_pi, m, L):
        return ops.sum(weights * mixture_log_prob(z, log_pi, m, L))

    theta = (z, np.log(pi), m, L)
    assert_gradcheck(value, *theta)
    slopes = grad(value, argnums=(0, 1, 2, 3))

    def slope(*theta):
        return ops.concatenate([ops.reshape(g, (-1,)) for g in slopes(*theta)])

    assert_gradcheck(slope, *theta)
    # An inverse that forgets that its own value depends on the matrix passes the first check only.
    frozen = primitive(lambda L: np.linalg.inv(L), lambda g, out, L: _inverse_cotangent(g, out))

    def first(L):
        return ops.sum(ops.square(frozen(L) * np.arange(1.0, 5.0).reshape(2, 2)))

    assert gradcheck(first, L[0])
    assert not gradcheck(grad(first), L[0])


@pytest.mark.equation("PRIOR.1")
def test_so_are_those_of_the_free_parameters():
    prior = prior_of(2, 2)
    z = np.random.default_rng(1).normal(size=(3, 2))

    def value(logits, means, factors):
        moved = copy.copy(prior)
        moved.logits, moved.means, moved.factors = logits, means, factors
        return ops.sum(np.arange(1.0, 4.0) * moved.log_prob(z))

    theta = [p.data for p in prior.parameters()]
    assert_gradcheck(value, *theta)
    slopes = grad(value, argnums=(0, 1, 2))
    assert_gradcheck(
        lambda *theta: ops.concatenate([ops.reshape(g, (-1,)) for g in slopes(*theta)]), *theta
    )


def _inverse_cotangent(g, out):
    W = np.asarray(getattr(out, "data", out)).T
    return -ops.matmul(ops.matmul(W, g), W)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_it_has_the_density_of_the_mixture_that_it_is_made_of(kind):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(200, 3)) * [0.1, 1, 5] + 4 * rng.integers(2, size=(200, 1))
    fitted = GaussianMixture(3, covariance_type=kind, random_state=0, tol=1e-6).fit(codes)
    prior = prior_warmup.prior_of(fitted, np.float64)
    np.testing.assert_allclose(prior.log_prob(codes).data, fitted.score_samples(codes), rtol=1e-10)
    np.testing.assert_allclose(
        prior.responsibilities(codes), fitted.predict_proba(codes), atol=1e-9
    )


def test_a_component_without_weight_takes_no_part():
    _, m, L = mixture()
    prior = MixturePrior(np.array([0.4, 0.0, 0.6]), m, L, np.float64)
    without = MixturePrior(np.array([0.4, 0.6]), m[[0, 2]], L[[0, 2]], np.float64)
    z = np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_allclose(prior.log_prob(z).data, without.log_prob(z).data, rtol=1e-12)
    assert np.isfinite(gradient(lambda: ops.sum(prior.log_prob(z)), prior.parameters())).all()


def test_draws_have_its_moments():
    prior, rng = prior_of(), np.random.default_rng(0)
    n = 200_000
    z = prior.draw(rng.standard_normal((n, 2)), rng)
    mean, covariance = prior.moments()
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=6 * np.sqrt(covariance.max() / n))
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.05)
    shares = prior.responsibilities(z).mean(axis=0)
    np.testing.assert_allclose(shares, mixture()[0], atol=0.005)
    # draws by chance from one density only: those of another have lower log-densities on average
    other = MixturePrior(*mixture(seed=3), np.float64)
    assert prior.log_prob(z).data.mean() > other.log_prob(z).data.mean() + 0.1


# The KL -------------------------------------------------------------------------------------------


@pytest.mark.equation("PRIOR.2")
def test_the_kl_is_the_integral_in_one_dimension():
    prior = prior_of(3, 1)
    mu, log_var = np.array([[0.3], [-2.0]]), np.array([[-1.0], [0.5]])
    e, w = normal_rule(1)
    expected = []
    for m, s in zip(mu[:, 0], np.exp(0.5 * log_var[:, 0]), strict=True):
        z = m + s * e
        expected.append(w @ (norm.logpdf(z[:, 0], m, s) - prior.log_prob(z).data))
    S = 100_001
    eps = ndtri((np.arange(S) + 0.5) / S)  # samples that fill q evenly
    z = (mu + np.exp(0.5 * log_var) * eps).T[..., None]
    kl = DiagonalGaussian(mu, log_var).kl_to(prior, z).data
    np.testing.assert_allclose(kl, expected, atol=1e-4)
    assert np.abs(kl_divergence(mu, log_var) - expected).min() > 0.1  # N(0, 1) would be wrong


@pytest.mark.equation("PRIOR.2")
def test_the_kl_to_one_gaussian_is_its_closed_form():
    K = 3
    _, (m,), (L,) = mixture(1, K)
    prior = MixturePrior(np.ones(1), m[None], L[None], np.float64)
    rng = np.random.default_rng(1)
    mu, log_var = rng.normal(size=(4, K)), rng.normal(size=(4, K))
    P = np.linalg.inv(L @ L.T)
    away = mu - m
    expected = 0.5 * (
        np.exp(log_var) @ np.diag(P) + np.einsum("ni,ij,nj->n", away, P, away)
        - K - log_var.sum(axis=1) + 2 * np.log(np.diag(L)).sum()
    )  # fmt: skip
    z = mu + np.exp(0.5 * log_var) * axis_noise(K, 4)
    kl = DiagonalGaussian(mu, log_var).kl_to(prior, z)
    np.testing.assert_allclose(kl.data, expected, rtol=1e-12)


@pytest.mark.equation("PRIOR.2")
@pytest.mark.parametrize("C", [1, 4])
def test_components_held_at_the_standard_normal_are_the_standard_elbo(C):
    model = small_model("binomial", K=2)
    prior = held_standard(C, 2)
    eps = axis_noise(2, len(model.x))  # with it, a quadratic's expectation is exact

    def terms_of(prior):
        return elbo_terms(*model.with_prior(prior).parts, eps)

    def elbo(prior):
        return lambda: ops.sum(terms_of(prior).elbo)

    terms, expected = (terms_of(p) for p in (prior, StandardNormal(2)))
    np.testing.assert_allclose(terms.kl.data, expected.kl.data, rtol=1e-12)
    np.testing.assert_allclose(terms.elbo.data, expected.elbo.data, rtol=1e-13)
    np.testing.assert_allclose(
        gradient(elbo(prior), model.parameters),
        gradient(elbo(StandardNormal(2)), model.parameters),
        rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    # sample by sample too, whatever the noise
    noise = np.random.default_rng(0).normal(size=(5, len(model.x), 2))
    weights, wanted = (
        sample_terms(*model.with_prior(p).parts, noise).log_weights.data
        for p in (prior, StandardNormal(2))
    )
    np.testing.assert_allclose(weights, wanted, rtol=1e-12)
    shifted = MixturePrior(np.ones(1), np.full((1, 2), 0.01), np.eye(2)[None], np.float64)
    assert np.abs(terms_of(shifted).kl.data - expected.kl.data).max() > 1e-5


# A model that learns it ---------------------------------------------------------------------------


def test_a_learnt_mixture_serves_better_than_the_standard_normal(standard, learnt):
    eps = np.random.default_rng(0).normal(size=(10, len(X_TEST), K))
    ours, theirs = learnt.elbo(X_TEST, eps).mean(), standard.elbo(X_TEST, eps).mean()
    assert ours > theirs + 0.5
    terms = learnt.elbo_terms(X_TEST)
    np.testing.assert_array_equal(terms.reconstruction - terms.kl, learnt.elbo(X_TEST))
    assert {p.dtype for _, p in learnt.named_parameters()} == {np.dtype("float32")}
    names = list(learnt.state_dict())
    assert names[-3:] == ["prior.logits", "prior.means", "prior.factors"]
    assert learnt.sample(7).shape == (7, 64)
    assert (np.triu(learnt.state_dict()["prior.factors"], 1) == 0).all()


def test_every_part_of_the_mixture_learns():
    prior_at = {}

    def look(vae, epoch):
        prior_at[epoch] = vae.prior_.state_dict()

    vae = VAE(**DIGITS, epochs=5, prior="mixture", prior_components=4, prior_warmup=2)
    vae.fit(X, on_epoch=look)
    standard = MixturePrior.standard(4, K, np.float32).state_dict()
    for name, value in standard.items():
        for epoch in (0, 1, 2):  # held
            np.testing.assert_array_equal(prior_at[epoch][name], value)
        assert not np.array_equal(prior_at[3][name], value)
        change = np.abs(prior_at[5][name] - prior_at[3][name]).reshape(4, -1).max(axis=1)
        assert (change > 1e-4).all()


def test_early_stopping_waits_for_the_mixture():
    # so large a learning rate that the first epoch's ELBO stays the best
    vae = VAE(**{**DIGITS, "learning_rate": 0.3}, epochs=12, validation=0.2, patience=1)
    vae.set_params(prior="mixture", prior_components=3, prior_warmup=6).fit(X)
    assert vae.history_["epoch"][-1] > 6
    held = MixturePrior.standard(3, K, np.float32).state_dict()
    assert not np.array_equal(vae.prior_.state_dict()["means"], held["means"])


def test_it_begins_where_the_encoder_has_put_the_data(standard):
    prior = MixturePrior.standard(5, K, np.float32)
    q = standard.posterior(X)
    mu, log_var = q.mu, q.log_var
    begin_at_codes(prior, q, 0)
    mean, covariance = prior.moments()
    # The mean and covariance of the aggregate posterior, by the law of total variance
    total = np.cov(mu.T, bias=True) + np.diag(np.exp(log_var).mean(axis=0))
    np.testing.assert_allclose(mean, mu.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(covariance, total, rtol=0.02, atol=0.01)
    vae = copy.deepcopy(standard)
    vae.model_.prior = prior
    assert vae.score(X) > standard.score(X) + 0.5


def test_a_dimension_that_is_not_in_use_keeps_its_variance():
    rng = np.random.default_rng(0)
    mu = np.stack([4.0 * rng.integers(3, size=300), 1e-6 * rng.normal(size=300)], axis=1)
    prior = MixturePrior.standard(3, 2, np.float32)
    begin_at_codes(prior, DiagonalGaussian(mu, np.log([[0.01, 1.0]] * np.ones((300, 1)))), 0)
    _, covariance = prior.moments()
    assert covariance[1, 1] == pytest.approx(1.0, abs=0.05)
    assert sorted(np.round(prior.means.data[:, 0])) == [0, 4, 8]
    # all of them out of use: the aggregate posterior is N(0, I) again
    begin_at_codes(prior, DiagonalGaussian(*np.zeros((2, 50, 2))), 0)
    mean, covariance = prior.moments()
    np.testing.assert_allclose(mean, 0, atol=1e-6)
    np.testing.assert_allclose(covariance, np.eye(2), atol=0.011)


def test_saved_and_loaded_it_is_the_same(learnt, tmp_path):
    learnt.save(tmp_path / "vae.npz")
    loaded = VAE.load(tmp_path / "vae.npz")
    for name, value in learnt.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], value)
    np.testing.assert_array_equal(loaded.elbo(X_TEST), learnt.elbo(X_TEST))
    assert isinstance(loaded.prior_, MixturePrior)


@pytest.mark.parametrize("how", [{"kl": "monte-carlo"}, {"objective": "importance-weighted"}])
def test_every_objective_takes_it(how):
    vae = VAE(**DIGITS, **how, n_samples=3, epochs=8, prior="mixture").fit(X)
    assert vae.history_["elbo"][-1] > vae.history_["elbo"][0] + 3.0


def test_too_few_data_are_refused_before_anything_changes(standard):
    vae = copy.deepcopy(standard).set_params(prior="mixture", validation=0.25)
    before = vae.state_dict()
    with pytest.raises(ShapeError, match="9 data to train on are fewer than prior_components=10"):
        vae.fit(X[:12])
    for name, value in before.items():
        np.testing.assert_array_equal(vae.state_dict()[name], value)


# Draws and likelihoods ----------------------------------------------------------------------------


def small_vae(K, prior):
    """An untrained model with wide random networks and another prior."""
    vae = VAE(K, (8,), "tanh", "bernoulli", epochs=1, dtype="float64", random_state=0)
    rng = np.random.default_rng(0)
    pixels = (rng.random((40, 12)) < 0.5).astype(float)
    vae.fit(pixels)
    for name, p in vae.named_parameters():
        if name.endswith("weight"):
            p.data = 1.2 * rng.standard_normal(p.shape)
    vae.model_.prior = prior
    return vae, pixels[:6]


@pytest.mark.parametrize("K", [1, 2])
def test_log_likelihood_is_the_integral_over_the_mixture(K):
    # clusters far out, where a proposal that believes in N(0, I) would not look
    prior = MixturePrior(
        np.array([0.5, 0.3, 0.2]), np.array([[-5.0, 0], [0, 4], [5, -2]])[:, :K],
        np.tile(0.6 * np.eye(K), (3, 1, 1)), np.float64,
    )  # fmt: skip
    vae, x = small_vae(K, prior)

    def log_joint(z):
        return vae.model_.log_joint(x, np.repeat(z[:, None], len(x), axis=1)).data

    truth = log_integral(log_joint, K, limit=14.0, tolerance=1e-8)
    estimate, ess = vae.log_likelihood(x, 4000, return_ess=True)
    np.testing.assert_allclose(estimate, truth, atol=0.1)
    assert ess.min() > 400
    # the bound by samples from q lies below, in expectation
    assert vae.elbo(x, np.random.default_rng(0).normal(size=(500, 6, K))).mean() < truth.mean()


def test_a_wide_prior_has_wide_proposals():
    prior = MixturePrior(np.ones(1), np.array([[7.0]]), np.full((1, 1, 1), 5.0), np.float64)
    vae, x = small_vae(1, prior)
    for name, p in vae.model_.named_parameters():
        if name.endswith("weight"):
            p.data = 0.05 * p.data  # so that z says little of x, and the posterior is the prior
    estimate, ess = vae.log_likelihood(x, 1000, return_ess=True)
    truth = log_integral(
        lambda z: vae.model_.log_joint(x, np.repeat(z[:, None], len(x), axis=1)).data, limit=60.0
    )
    np.testing.assert_allclose(estimate, truth, atol=0.05)
    assert ess.min() > 650


def test_samples_come_from_the_mixture():
    # one narrow component for each of two codes: the model's draws are the decoder's two answers
    means = np.array([[-3.0], [3.0]])
    prior = MixturePrior(np.array([0.25, 0.75]), means, np.full((2, 1, 1), 1e-3), np.float64)
    vae, _ = small_vae(1, prior)
    draws = vae.sample(40_000)
    expected = np.array([0.25, 0.75]) @ vae.decode(means)
    np.testing.assert_allclose(draws.mean(axis=0), expected, atol=0.015)
    assert np.abs(vae.decode([[0.0]])[0] - expected).max() > 0.1


# A better prior after the fact --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_the_aggregate_posteriors_mixture_raises_the_held_out_elbo(standard, kind):
    codes = standard.posterior(X).sample(random_state=0)
    fitted = GaussianMixture(6, covariance_type=kind, random_state=0).fit(codes)
    better = standard.with_prior(fitted)
    eps = np.random.default_rng(0).normal(size=(10, len(X_TEST), K))
    before, after = (vae.elbo(X_TEST, eps).mean() for vae in (standard, better))
    assert after >= before + 0.5
    np.testing.assert_array_equal(better.transform(X_TEST), standard.transform(X_TEST))
    # a mixture that was fitted to something else lowers it
    elsewhere = GaussianMixture(6, random_state=0).fit(codes[:, ::-1])
    assert standard.with_prior(elsewhere).elbo(X_TEST, eps).mean() < before


def test_the_first_model_stays_as_it_was_and_the_second_can_be_saved(standard, tmp_path):
    fitted = GaussianMixture(4, random_state=0).fit(standard.posterior(X).sample(0))
    before = standard.elbo(X_TEST)
    better = standard.with_prior(fitted)
    assert (better.prior, better.prior_components) == ("mixture", 4)
    assert (standard.prior, type(standard.prior_)) == ("standard", StandardNormal)
    better.save(tmp_path / "better.npz")
    loaded = VAE.load(tmp_path / "better.npz")
    np.testing.assert_array_equal(loaded.elbo(X_TEST), better.elbo(X_TEST))
    np.testing.assert_array_equal(standard.elbo(X_TEST), before)
    again = better.with_prior(GaussianMixture(2, random_state=0).fit(standard.transform(X)))
    assert again.prior_components == 2


def test_a_mixture_that_does_not_fit_is_refused(standard):
    rows = np.random.default_rng(0).normal(size=(200, 64))
    wide = GaussianMixture(2, covariance_type="diag", random_state=0).fit(rows)
    with pytest.raises(ShapeError, match="over 64 features, z has 5 dimensions"):
        standard.with_prior(wide)
    with pytest.raises(ShapeError, match=r"responsibilities: z has shape \(3, 2\)"):
        prior_of(K=5).responsibilities(np.zeros((3, 2)))
    with pytest.raises(TypeError, match=r"must be a minivae\.GaussianMixture, not builtins\.dict"):
        standard.with_prior({"means_": rows})
    with pytest.raises(NotFittedError, match="with_prior"):
        standard.with_prior(GaussianMixture(2))
    with pytest.raises(NotFittedError, match="with_prior"):
        VAE().with_prior(GaussianMixture(2))


def test_draws_from_the_posterior(standard):
    posterior = standard.posterior(X)
    z = posterior.sample(random_state=3)
    assert (z.shape, z.dtype) == (posterior.mu.shape, np.float32)
    eps = (z - posterior.mu) / np.exp(0.5 * posterior.log_var)
    assert abs(eps.mean()) < 0.1
    assert eps.std() == pytest.approx(1, abs=0.06)
    np.testing.assert_array_equal(z, posterior.sample(random_state=3))
    assert not np.array_equal(z, posterior.sample(random_state=4))


@pytest.mark.parametrize("which", ["learnt", "afterwards"])
def test_components_are_clusters_of_digits(standard, learnt, which):
    vae = learnt
    if which == "afterwards":
        fitted = GaussianMixture(10, random_state=0).fit(standard.posterior(X).sample(0))
        vae = standard.with_prior(fitted)
    r = vae.prior_.responsibilities(vae.transform(X_TEST))
    np.testing.assert_allclose(r.sum(axis=1), 1, rtol=1e-5)
    # purity: the share of the data that are of their component's most common digit
    table = np.array([r[y == Y_TEST].sum(axis=0) for y in range(10)])
    purity = table.max(axis=0).sum() / table.sum()
    shuffled = np.random.default_rng(0).permutation(Y_TEST)
    chance = np.array([r[y == shuffled].sum(axis=0) for y in range(10)]).max(axis=0).sum() / 500
    assert purity > 0.65
    assert chance < 0.3


def test_the_aggregate_posterior_is_the_best_prior():
    """E_q(z) log p(z) is highest for p = q, and the ELBO rises by as much."""
    rng = np.random.default_rng(0)
    pi, m, s = np.full(4, 0.25), np.array([-2.0, -1.5, 0.5, 2.0]), np.array([0.3, 0.5, 0.4, 0.3])
    e, w = normal_rule(1)
    z = (m[:, None] + s[:, None] * e[:, 0]).reshape(-1, 1)  # quadrature points of the aggregate
    weights = (pi[:, None] * w).ravel()
    mean, var = weights @ z[:, 0], weights @ z[:, 0] ** 2 - (weights @ z[:, 0]) ** 2

    def expected(prior):
        return weights @ prior.log_prob(z).data

    def prior(pi, m, s):
        return MixturePrior(pi, m[:, None], s[:, None, None], np.float64)

    aggregate = expected(prior(pi, m, s))
    gaussian = expected(prior(np.ones(1), np.array([mean]), np.sqrt([var])))
    assert gaussian == pytest.approx(-0.5 * np.log(2 * np.pi * np.e * var), rel=1e-10)
    assert expected(held_standard(1, 1)) < gaussian - 0.02 < aggregate - 0.05
    for _ in range(50):
        other = prior(
            rng.dirichlet(50 * pi), m + 0.1 * rng.normal(size=4), s * rng.uniform(0.8, 1.2, 4)
        )
        assert expected(other) < aggregate
