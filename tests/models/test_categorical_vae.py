"""A VAE whose code is one of a few words: its sums, its relaxation, and the mixtures that it is."""

import copy

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax

from exact import gradient
from minivae import CategoricalVAE, GaussianMixture, LatentModel, Tensor, ops, resume
from minivae.discrete import enumerated_terms, relaxed_terms
from minivae.distributions import Bernoulli, Categorical, Gaussian
from minivae.models.categorical_vae import CategoricalPrior
from minivae.objectives import categorical_log_prob

V, D, K = 5, 4, 3
SETTINGS = {"latent_dim": K, "hidden": (), "likelihood": "categorical", "n_classes": V,
            "batch_size": 50, "learning_rate": 3e-2, "dtype": "float64",
            "random_state": 0}  # fmt: skip


def words(n=300, seed=0):
    """Sentences of D words from K topics, and the topics."""
    rng = np.random.default_rng(seed)
    tables = rng.dirichlet(np.full(V, 0.2), (K, D))
    topics = rng.integers(K, size=n)
    return np.array([[rng.choice(V, p=p) for p in tables[k]] for k in topics], float)


WORDS = words()


@pytest.fixture(scope="module")
def fitted():
    return CategoricalVAE(**SETTINGS, epochs=40).fit(WORDS)


def bernoulli(seed=0):
    """A model of three classes over four pixels, its tables, and data."""
    rng = np.random.default_rng(seed)
    table, prior = rng.normal(size=(3, 4)), Categorical(rng.normal(size=3))
    x = rng.integers(0, 2, (5, 4)).astype(float)
    return LatentModel(prior, lambda z: (ops.matmul(z, table),), Bernoulli()), table, x


@pytest.mark.equation("DISC.1")
def test_the_sum_is_by_hand_and_at_the_posterior_log_p():
    model, table, x = bernoulli()
    log_prior = log_softmax(model.prior.logits)
    p = 1 / (1 + np.exp(-table))
    log_like = np.log(np.where(x[:, None] == 1, p, 1 - p)).sum(axis=-1)  # (5, 3)
    logits = np.random.default_rng(1).normal(size=(5, 3))
    q = softmax(logits, axis=1)
    terms = enumerated_terms(model, Categorical(logits), x)
    by_hand = (q * (log_like + log_prior - np.log(q))).sum(axis=1)
    np.testing.assert_allclose(terms.elbo, by_hand, rtol=1e-12)
    evidence = logsumexp(log_like + log_prior, axis=1)
    assert (terms.elbo < evidence - 1e-3).all()
    exact = enumerated_terms(model, Categorical(log_like + log_prior), x)
    np.testing.assert_allclose(exact.elbo, evidence, rtol=1e-12)
    np.testing.assert_allclose(categorical_log_prob(model, x), evidence, rtol=1e-12)


@pytest.mark.equation("DISC.1")
def test_a_table_of_gaussians_is_the_mixture_that_em_fits():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2)) + 4 * rng.integers(2, size=(200, 1))
    mixture = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X)
    means, log_vars = mixture.means_, np.log(mixture.covariances_)
    raw = log_vars - Gaussian().log_floor
    raw = Gaussian().log_floor + raw + np.log(-np.expm1(-raw))  # the floor's softplus, undone
    model = LatentModel(
        Categorical(np.log(mixture.weights_)), lambda z: (z @ means, z @ raw), Gaussian()
    )
    q = Categorical(np.log(mixture.predict_proba(X) + 1e-300))
    elbo = enumerated_terms(model, q, X).elbo
    np.testing.assert_allclose(elbo, mixture.score_samples(X), rtol=1e-9)
    assert elbo.mean() == pytest.approx(mixture.lower_bound_, rel=1e-9)


@pytest.mark.equation("DISC.2")
def test_the_relaxed_value_tends_to_the_sum_and_straight_through_has_its_mean():
    model, _, x = bernoulli()
    q = Categorical(np.random.default_rng(1).normal(size=(5, 3)))
    exact = np.asarray(enumerated_terms(model, q, x).reconstruction)
    eps = q.noise(np.random.default_rng(2), 20_000)
    one_hot = q.draw(eps, np.random.default_rng(0))
    each = np.asarray(model.log_prob_given(x, one_hot))
    error = each.std(axis=0) / np.sqrt(len(eps))
    straight = relaxed_terms(model, q, x, eps, 0.7, straight=True)
    np.testing.assert_allclose(straight.reconstruction, each.mean(axis=0), rtol=1e-9)
    assert (np.abs(straight.reconstruction - exact) < 5 * error).all()
    cold, hot = (relaxed_terms(model, q, x, eps, t).reconstruction for t in (0.01, 3.0))
    assert (np.abs(cold - exact) < 5 * error + 0.02).all()
    assert (hot > exact + 5 * error).all()  # averaged tables: log p is concave
    np.testing.assert_allclose(straight.kl, enumerated_terms(model, q, x).kl, rtol=1e-12)


@pytest.mark.equation("DISC.1")
def test_its_gradient_is_that_of_the_formula():
    model, table, x = bernoulli()
    logits = Tensor(np.random.default_rng(1).normal(size=(5, 3)), requires_grad=True)
    posterior = Categorical(logits)
    found = gradient(lambda: ops.sum(enumerated_terms(model, posterior, x).elbo), [logits])
    q, log_prior = softmax(logits.data, axis=1), log_softmax(model.prior.logits)
    p = 1 / (1 + np.exp(-table))
    gain = np.log(np.where(x[:, None] == 1, p, 1 - p)).sum(-1) + log_prior - np.log(q)
    expected = q * (gain - (q * gain).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found.reshape(5, 3), expected, rtol=1e-10)


# The estimator ------------------------------------------------------------------------------------


def em(X, seed, steps=200):
    """The mean log-likelihood of a mixture of K tables where EM stands still."""
    hot = np.eye(V)[X.astype(int)]
    r = np.random.default_rng(seed).dirichlet(np.ones(K), len(X))
    for _ in range(steps):
        tables = np.einsum("nk,ndv->kdv", r, hot) + 1e-12
        tables /= tables.sum(axis=-1, keepdims=True)
        log_joint = np.log(r.mean(axis=0)) + np.einsum("ndv,kdv->nk", hot, np.log(tables))
        r = softmax(log_joint, axis=1)
    return logsumexp(log_joint, axis=1).mean()


def test_trained_by_the_sum_a_table_reaches_em(fitted):
    best = max(em(WORDS, seed) for seed in range(5))
    found = fitted.log_likelihood(WORDS).mean()
    assert best - 0.06 < found < best + 1e-9
    assert fitted.score(WORDS) <= found
    assert fitted.history_["elbo"][-1] == pytest.approx(fitted.score(WORDS), abs=0.05)


def test_what_it_says_of_data_agrees(fitted):
    terms, x = fitted.elbo_terms(WORDS), WORDS[:7]
    np.testing.assert_array_equal(terms.reconstruction - terms.kl, fitted.elbo(WORDS))
    np.testing.assert_array_equal(fitted.elbo(x), fitted.elbo(WORDS)[:7])  # nothing is drawn
    q = fitted.transform(x)
    np.testing.assert_allclose(q.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(fitted.reconstruct(x), q @ fitted.decode(np.eye(K)), rtol=1e-12)
    assert (fitted.log_likelihood(x) >= fitted.elbo(x) - 1e-12).all()
    draws = fitted.sample(2000, 0)
    assert set(np.unique(draws)) <= set(range(V))
    shares = np.exp(log_softmax(fitted.prior_.logits.data))
    expected = shares @ fitted.decode(np.eye(K))
    np.testing.assert_allclose(draws.mean(axis=0), expected, atol=6 * V / np.sqrt(2000) / 2)
    assert fitted.active_units(WORDS).shape == (K,)


@pytest.mark.parametrize(
    "how", [{"temperature": 0.5}, {"temperature": 1.0, "straight_through": True}]
)
def test_relaxed_words_teach_it_too(how):
    vae = CategoricalVAE(**SETTINGS, epochs=25, **how).fit(WORDS)
    assert vae.history_["elbo"][-1] > vae.history_["elbo"][0] + 0.3
    # the history's ELBO is the exact one, not the relaxed
    assert vae.history_["elbo"][-1] == pytest.approx(vae.score(WORDS), abs=0.1)


def test_beta_reaches_the_loss():
    free, dear = (
        CategoricalVAE(**SETTINGS, epochs=10, beta=beta).fit(WORDS).elbo_terms(WORDS).kl.mean()
        for beta in (0.0, 5.0)
    )
    assert free > dear + 0.3


def test_saved_loaded_and_resumed_it_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "vae.npz")
    loaded = CategoricalVAE.load(tmp_path / "vae.npz")
    np.testing.assert_array_equal(loaded.elbo(WORDS), fitted.elbo(WORDS))
    path = tmp_path / "run.npz"
    settings = {**SETTINGS, "temperature": 0.7, "epochs": 4}
    whole = CategoricalVAE(**settings).fit(WORDS)

    def stop(vae, epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CategoricalVAE(**settings).fit(WORDS, checkpoint=path, on_epoch=stop)
    resumed = resume(path, WORDS)
    assert isinstance(resumed, CategoricalVAE)
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], value)


def test_a_fixed_prior_can_be_handed_in():
    prior = Categorical(np.log([0.7, 0.2, 0.1]))
    vae = CategoricalVAE(**SETTINGS, epochs=2, prior=prior).fit(WORDS)
    np.testing.assert_array_equal(vae.prior_.logits, prior.logits)
    assert "prior.logits" not in vae.state_dict()
    assert CategoricalPrior(K, "float32").logits.dtype == np.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior": "mixture"}, "prior='mixture' is over real numbers"),
        ({"kl": "monte-carlo"}, "kl='monte-carlo' does not go with a z of classes"),
        ({"objective": "importance-weighted"}, "objective='importance-weighted' does not go"),
        ({"gradient": "score-function"}, "gradient='score-function' does not go"),
        ({"free_bits": 0.1}, "free_bits=0.1 does not go"),
        ({"temperature": 0.0}, "temperature=0.0 makes no sense"),
        ({"straight_through": True}, "straight_through=True goes with a temperature"),
    ],
)
def test_what_makes_no_sense_is_refused(fitted, settings, message):
    vae = copy.deepcopy(fitted).set_params(**settings)
    with pytest.raises(ValueError, match=message):
        vae.fit(WORDS)
    np.testing.assert_array_equal(vae.state_dict()["encoder.logits.bias"],
                                  fitted.state_dict()["encoder.logits.bias"])  # fmt: skip


def test_there_is_nothing_between_two_words(fitted):
    with pytest.raises(NotImplementedError, match="nothing between two"):
        fitted.interpolate(WORDS[0], WORDS[1])
