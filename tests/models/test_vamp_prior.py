"""The encoder's answers to pseudo-inputs as a prior: its density, its optimum, a model with it."""

import copy

import numpy as np
import pytest
from scipy.special import ndtri

import minivae.models.vae.model
from exact import axis_noise, gradient, log_integral, numerical_gradient, small_model, value_at
from minivae import VAE, ConditionalVAE, SemiSupervisedVAE, datasets, ops, resume
from minivae.distributions import (
    DiagonalGaussian,
    FullGaussian,
    MixturePrior,
    StandardNormal,
    VampPrior,
)
from minivae.errors import ShapeError
from minivae.information import surgery_by_quadrature
from minivae.models.vae import Encoder
from minivae.objectives import elbo_terms
from minivae.training import Run

X = datasets.load("optdigits").model_arrays(counts=True)[0][:300]
DIGITS = {"latent_dim": 2, "likelihood": "binomial", "n_trials": 16, "hidden": (20,),
          "batch_size": 50, "epochs": 3, "learning_rate": 3e-3, "random_state": 0,
          "prior": "vamp", "prior_components": 7}  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    return VAE(**DIGITS).fit(X)


def small(K=1, C=4):
    """A small model, its encoder, and a prior of C pseudo-inputs."""
    model, rng = small_model("binomial", K=K, N=5), np.random.default_rng(3)
    net = Encoder(3, [4], K, activation="tanh", rng=rng, dtype=np.float64)
    for head in (net.mu, net.log_var):
        head.weight.data = 0.5 * rng.standard_normal(head.weight.shape)
        head.bias.data = 0.3 * rng.standard_normal(head.bias.shape)
    model = model._replace(encode=lambda x: net(x / 5))
    return model, net, VampPrior(net, rng.random((C, 3)))


@pytest.mark.equation("PRIOR.3")
@pytest.mark.parametrize("K", [1, 2])
def test_it_is_the_mean_of_the_encoders_answers(K):
    _, net, prior = small(K)
    q = net(prior.inputs.data)
    z = np.random.default_rng(0).normal(size=(6, 5, K))
    mu, sigma = q.mu.data, np.exp(0.5 * q.log_var.data)
    each = np.exp(-0.5 * ((z[..., None, :] - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    expected = np.log(each.prod(axis=-1).mean(axis=-1))
    np.testing.assert_allclose(prior.log_prob(z).data, expected, rtol=1e-12)
    total = log_integral(lambda z: prior.log_prob(z[:, None]).data, K, tolerance=1e-9)
    assert total == pytest.approx(0.0, abs=1e-9)
    shares = prior.responsibilities(z)
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(shares, (p := each.prod(-1)) / p.sum(-1, keepdims=True), rtol=1e-10)


def test_with_one_pseudo_input_it_is_one_gaussian_and_the_kl_its_closed_form():
    model, net, prior = small(2, C=1)
    q, of_input = model.encode(model.x), net(prior.inputs.data)
    eps = axis_noise(2, 5)  # with it, a quadratic's expectation is exact
    closed = q.kl_to(DiagonalGaussian(of_input.mu.data[0], of_input.log_var.data[0]))
    np.testing.assert_allclose(q.kl_to(prior, q.rsample(eps)).data, closed.data, rtol=1e-11)
    mean, covariance = prior.moments()
    np.testing.assert_allclose(mean, of_input.mu.data[0], rtol=1e-14)
    np.testing.assert_allclose(covariance, np.diag(np.exp(of_input.log_var.data[0])), rtol=1e-14)


def test_an_encoder_that_has_learnt_nothing_makes_it_the_standard_normal():
    vae = VAE(**{**DIGITS, "dtype": "float64"})
    z = np.random.default_rng(0).normal(size=(4, 3, 2))
    seen = []

    def look(vae, epoch):
        if epoch == 0:
            seen.append(vae.prior_.log_prob(z).data - StandardNormal(2).log_prob(z))
            seen.append(vae.prior_.inputs.numpy())

    vae.set_params(epochs=1).fit(X, on_epoch=look)
    np.testing.assert_allclose(seen[0], 0.0, atol=1e-12)
    # it begins at data, each at most once, as the encoder sees them
    rows = [np.flatnonzero((u == X / 16).all(axis=1)) for u in seen[1]]
    assert all(len(row) for row in rows)
    assert len({row[0] for row in rows}) == 7


@pytest.mark.equation("PRIOR.3")
def test_with_the_data_as_pseudo_inputs_it_is_the_best_prior():
    # The marginal KL is 0, the mean KL the mutual information; any other pseudo-inputs cost more.
    model, net, _ = small(1)
    seen = model.x / 5
    q = net(seen)
    q = DiagonalGaussian(q.mu.data, q.log_var.data)
    best = surgery_by_quadrature(q, VampPrior(net, seen))
    assert best.marginal_kl == pytest.approx(0.0, abs=1e-9)
    standard = surgery_by_quadrature(q, StandardNormal(1))
    assert best.information == pytest.approx(standard.information, abs=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(5):
        moved = VampPrior(net, seen + 0.3 * rng.normal(size=seen.shape))
        assert surgery_by_quadrature(q, moved).marginal_kl > 1e-6


def test_its_gradient_reaches_the_pseudo_inputs_and_the_encoder_twice():
    model, net, prior = small(2)
    model = model.with_prior(prior)
    eps = np.random.default_rng(0).normal(size=(2, 5, 2))
    parameters = [*net.parameters(), prior.inputs]

    def elbo():
        return ops.sum(elbo_terms(*model.parts, eps).elbo)

    analytic = gradient(elbo, parameters)
    numeric = numerical_gradient(
        value_at(elbo, parameters), np.concatenate([p.data.ravel() for p in parameters])
    )
    np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-8)
    q = model.encode(model.x)
    frozen = VampPrior(lambda u: net(u).detach(), prior.inputs.data)
    once = gradient(lambda: ops.sum(q.kl_to(frozen, q.rsample(eps))), net.parameters())
    q = model.encode(model.x)
    twice = gradient(lambda: ops.sum(q.kl_to(prior, q.rsample(eps))), net.parameters())
    assert np.abs(once - twice).max() > 1e-3


def test_draws_have_its_moments_and_other_families_work():
    rng = np.random.default_rng(0)
    mu = rng.normal(size=(3, 2)) * 2
    L = np.tril(rng.normal(size=(3, 2, 2)), -1) + np.eye(2)

    prior = VampPrior(lambda u: FullGaussian(mu, L), np.zeros((3, 4)))
    z = prior.sample(1, S=40_000)
    mean, covariance = prior.moments()
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=6 * np.sqrt(covariance.max() / 40_000))
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.15)
    same = MixturePrior(np.full(3, 1 / 3), mu, L, np.float64)
    np.testing.assert_allclose(prior.log_prob(z[:50]), same.log_prob(z[:50]).data, rtol=1e-11)
    np.testing.assert_allclose(mean, same.moments()[0], rtol=1e-12)
    np.testing.assert_allclose(covariance, same.moments()[1], rtol=1e-12)


# A model that learns it ---------------------------------------------------------------------------


def test_what_it_shares_with_the_encoder_counts_once(fitted):
    names = list(fitted.state_dict())
    assert names[-1] == "prior.inputs"
    assert not any(name.startswith("prior.encoder") for name in names)
    parameters = [p for _, p in fitted.named_parameters()]
    assert len(parameters) == len({id(p) for p in parameters})
    assert fitted.prior_.encoder is fitted.encoder_
    other = copy.deepcopy(fitted)
    assert other.prior_.encoder is other.encoder_
    assert {p.dtype for p in parameters} == {np.dtype("float32")}


def test_saved_and_loaded_it_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "vae.npz")
    loaded = VAE.load(tmp_path / "vae.npz")
    np.testing.assert_array_equal(loaded.elbo(X), fitted.elbo(X))
    np.testing.assert_array_equal(loaded.prior_.inputs.data, fitted.prior_.inputs.data)
    assert loaded.prior_.encoder is loaded.encoder_
    np.testing.assert_array_equal(loaded.sample(3, 0), fitted.sample(3, 0))


def test_a_run_that_was_stopped_goes_on_bit_for_bit(fitted, tmp_path, monkeypatch):
    class Stops(Run):
        def step(self, index, progress):
            if progress > 1.4:
                raise KeyboardInterrupt
            return super().step(index, progress)

    path = tmp_path / "run.npz"
    monkeypatch.setattr(minivae.models.vae.model, "Run", Stops)
    with pytest.raises(KeyboardInterrupt):
        VAE(**DIGITS).fit(X, checkpoint=path)
    monkeypatch.undo()
    resumed = resume(path, X)
    for name, value in fitted.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], value)


def test_log_likelihood_is_the_integral():
    vae = VAE(1, (6,), "tanh", "bernoulli", prior="vamp", prior_components=3, epochs=30,
              learning_rate=2e-2, batch_size=20, dtype="float64", random_state=0)  # fmt: skip
    rng = np.random.default_rng(0)
    kinds = rng.random((3, 8))
    pixels = (rng.random((60, 8)) < kinds[rng.integers(3, size=60)]).astype(float)
    vae.fit(pixels)
    x = pixels[:4]

    def log_joint(z):
        return vae.model_.log_joint(x, np.repeat(z[:, None], len(x), axis=1)).data

    truth = log_integral(log_joint, 1, limit=20.0, tolerance=1e-7)
    np.testing.assert_allclose(vae.log_likelihood(x, 4000), truth, atol=0.05)
    evenly = ndtri((np.arange(801) + 0.5) / 801)  # samples that fill q
    assert (vae.elbo(x, np.tile(evenly[:, None, None], (1, 4, 1))) < truth + 1e-3).all()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ShapeError, match=r"pseudo-inputs have shape \(3,\)"):
        VampPrior(lambda u: u, np.zeros(3))
    with pytest.raises(ShapeError, match="12 data to train on are fewer than prior_components=20"):
        VAE(**{**DIGITS, "prior_components": 20}).fit(X[:12])
    with pytest.raises(ValueError, match="prior_warmup=3 goes with prior='mixture', not 'vamp'"):
        VAE(**DIGITS, prior_warmup=3).fit(X)
    labels = np.arange(300) % 3
    for kind in (ConditionalVAE, SemiSupervisedVAE):
        with pytest.raises(ValueError, match=f"{kind.__name__}: prior='vamp' goes with an encoder"):
            kind(**DIGITS).fit(X, labels)
