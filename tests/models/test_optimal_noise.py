"""sigma="optimal": training at each batch's best scale, and the one scale that is kept."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from exact import gradient, small_model
from minivae import (
    VAE,
    CategoricalVAE,
    ConditionalVAE,
    SemiSupervisedVAE,
    Tensor,
    assert_gradcheck,
    ops,
)
from minivae.discrete import enumerated_terms
from minivae.distributions import Categorical, Gaussian, Masked, StandardNormal
from minivae.latent_model import LatentModel
from minivae.models.enumerated import enumerated_terms as with_classes
from minivae.objectives import at_best_scale, elbo_terms
from minivae.rates import profile_log_prob
from minivae.tensor import values

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 1)) * [1.0, -2.0, 0.5] + 0.4 * RNG.normal(size=(30, 3)) + 1.0
Y = RNG.integers(0, 2, 30)
HALF = np.where(np.arange(30) % 2, Y, -1)
GAPS = np.where(RNG.random(X.shape) < 0.3, np.nan, X)
SMALL = {"latent_dim": 2, "hidden": (5,), "likelihood": "gaussian", "sigma": "optimal",
         "epochs": 3, "batch_size": 16, "dtype": "float64", "random_state": 0}  # fmt: skip


def optimal(sigma_floor=1e-3, masked=False):
    """The likelihood of decoders that give mu, as training uses it."""
    own = Gaussian("optimal", sigma_floor)
    own = Masked(own) if masked else own
    return own.built(None, 3, rng=None, dtype="float64").in_training()


def best_of(value):
    """The greatest value of a function of sigma."""
    found = minimize_scalar(lambda s: -value(math.exp(s)), (-3, 0, 2), tol=1e-10)
    return -found.fun


# A batch's scale ----------------------------------------------------------------------------------


@pytest.mark.equation("RATE.4")
@pytest.mark.parametrize("S", [1, 3])
def test_a_batch_is_measured_at_its_own_best_scale(S):
    mu = RNG.normal(size=(S * 30, 3))

    def mean(mu, scale=None):
        likelihood = optimal() if scale is None else Gaussian(scale)
        log_p = likelihood.log_prob((mu,), X)
        r = ops.mean(ops.reshape(log_p, (S, 30)), 0)
        return ops.mean(likelihood.at_best_scale(r, X))

    profile = float(profile_log_prob(np.tile(X, (S, 1)), mu))
    assert float(mean(mu)) == pytest.approx(profile, rel=1e-13)
    assert float(mean(mu)) == pytest.approx(best_of(lambda s: float(mean(mu, s))), rel=1e-9)
    assert_gradcheck(mean, mu)
    # the slope is that at this scale, held: at a maximum its own change does not matter
    sigma = math.sqrt(np.square(np.tile(X, (S, 1)) - mu).mean())
    leaf = Tensor(mu, requires_grad=True)
    held = gradient(lambda: mean(leaf, sigma), [leaf])
    np.testing.assert_allclose(gradient(lambda: mean(leaf), [leaf]), held, rtol=1e-10)


def test_what_is_missing_does_not_count():
    mu = RNG.normal(size=(30, 3))
    seen = ~np.isnan(GAPS)
    each = np.where(seen, np.square(np.where(seen, GAPS, 0) - mu), 0).sum(axis=1)
    masked = optimal(masked=True)
    found = masked.at_best_scale(masked.log_prob((mu,), GAPS), GAPS)
    var = each.sum() / seen.sum()
    expected = -0.5 * (seen.sum(axis=1) * math.log(2 * math.pi * var) + each / var)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_where_classes_are_summed_over_each_weighs_as_it_is_probable():
    table, prior = RNG.normal(size=(4, 3)), Categorical(RNG.normal(size=4))
    q = Categorical(3 * RNG.normal(size=(30, 4)))

    def terms(likelihood):
        return enumerated_terms(LatentModel(prior, lambda z: (z @ table,), likelihood), q, X)

    found = at_best_scale(LatentModel(prior, None, optimal()), terms(optimal()), X)
    best = best_of(lambda s: terms(Gaussian(s)).elbo.mean())
    assert found.elbo.mean() == pytest.approx(best, rel=1e-9)

    C = np.eye(2)[Y] * (np.arange(30) % 2)[:, None]
    small = small_model("gaussian, its scale fixed", K=1, N=30)
    q_y, eps = Categorical(RNG.normal(size=(30, 2))), RNG.normal(size=(2, 30, 1))

    def labels(likelihood):
        model = LatentModel(
            small.model.prior, lambda z, c: (z * [1.0, 0.3, -1.0] + c @ table[:2],), likelihood
        )
        encode = lambda x, c: small.encode(x)  # noqa: E731
        return with_classes(model, encode, q_y, np.log([0.3, 0.7]), X, C, eps)

    found = at_best_scale(LatentModel(prior, None, optimal()), labels(optimal()), X)
    best = best_of(lambda s: values(labels(Gaussian(s)).elbo).mean())
    assert values(found.elbo).mean() == pytest.approx(best, rel=1e-9)


def test_the_floor_holds_where_nothing_is_left_to_explain():
    likelihood = optimal(sigma_floor=0.1)
    found = likelihood.at_best_scale(likelihood.log_prob((X,), X), X)
    np.testing.assert_allclose(found, -1.5 * math.log(2 * math.pi * 0.01))
    likelihood.keep_best_scale(np.zeros(30), X)
    assert float(likelihood.log_var(likelihood.shared.data).item()) == pytest.approx(
        math.log(0.01), abs=2e-3
    )


def test_float32_does_not_lose_a_small_error():
    x = X.astype(np.float32)
    mu = Tensor(x + np.float32(1e-4), requires_grad=True)
    likelihood = Gaussian("optimal", 1e-8).built(None, 3, rng=None, dtype="float32").in_training()
    found = likelihood.at_best_scale(likelihood.log_prob((mu,), x), x).data
    assert found.dtype == np.float32
    expected = float(profile_log_prob(x.astype(float), mu.data.astype(float)))
    assert found.mean() == pytest.approx(expected, rel=1e-5)


# What a fit keeps ---------------------------------------------------------------------------------

KINDS = {
    "vae": (VAE, (X,), {"n_samples": 2, "beta": 2.0}),
    "monte-carlo": (VAE, (X,), {"kl": "monte-carlo", "standardise": True}),
    "gaps": (VAE, (GAPS,), {"missing": "marginalise"}),
    "conditional": (ConditionalVAE, (X, Y), {}),
    "semi-supervised": (SemiSupervisedVAE, (X, HALF), {}),
    "categorical": (CategoricalVAE, (X,), {}),
    "relaxed": (CategoricalVAE, (X,), {"temperature": 0.5}),
}


@pytest.mark.equation("RATE.3")
@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_that_is_kept_is_the_best_of_the_training_data(kind, tmp_path):
    model, data, options = KINDS[kind]
    vae = model(**{**SMALL, **options}).fit(*data)
    own = getattr(vae.likelihood_, "of", vae.likelihood_)
    assert own.scaled  # a density
    at = own.shared.data.copy()
    best = vae.elbo(*data).mean()
    for step in (-0.02, 0.02):  # with the same noise
        own.shared.data = at + step
        assert vae.elbo(*data).mean() < best
    own.shared.data = at
    vae.save(tmp_path / "vae.npz")
    np.testing.assert_array_equal(
        model.load(tmp_path / "vae.npz").elbo(*data), vae.elbo(*data)
    )


def test_a_linear_model_ends_at_the_noise_of_probabilistic_pca():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(100, 1)) @ [[2.0, -1.0, 0.5, 1.0]] + 0.5 * rng.normal(size=(100, 4))
    vae = VAE(1, (), likelihood="gaussian", sigma="optimal", epochs=250, batch_size=100,
              n_samples=30, learning_rate=2e-2, dtype="float64", random_state=0).fit(x)  # fmt: skip
    discarded = np.linalg.eigvalsh(np.cov(x.T, bias=True))[:-1].mean()
    variance = math.exp(float(vae.likelihood_.log_var(vae.likelihood_.shared.data).item()))
    assert variance == pytest.approx(discarded, rel=0.02)


def test_what_it_does_not_go_with_is_refused():
    options = {"likelihood": "gaussian", "sigma": "optimal", "n_samples": 2}
    for wrong in (
        {"objective": "importance-weighted"},
        {"gradient": "sticking-the-landing"},
        {"gradient": "score-function"},
    ):
        with pytest.raises(ValueError, match=r"sigma='optimal' is the best scale for the ELBO"):
            VAE(**options, **wrong).fit(X)
    with pytest.raises(ValueError, match=r"sigma='optimal' is the best scale for the ELBO"):
        VAE(likelihood=Gaussian("optimal"), objective="importance-weighted").fit(X)
    with pytest.raises(ValueError, match=r"'network', 'shared', 'optimal' or"):
        VAE(likelihood="gaussian", sigma="best").fit(X)
    with pytest.raises(ValueError, match=r"'network', 'shared', 'optimal' or"):
        Gaussian("best")


def test_a_model_of_ones_own_has_its_likelihood_in_training():
    plain = LatentModel(StandardNormal(1), lambda z: (z,), Gaussian(0.3))
    assert plain.in_training().likelihood is plain.likelihood
    eps = RNG.normal(size=(2, 30, 1))
    small = small_model("gaussian, its scale fixed", K=1, N=30)
    terms = elbo_terms(small.model, small.encode(X), X, eps)
    kept = at_best_scale(small.model, terms, X)
    np.testing.assert_array_equal(values(kept.elbo), values(terms.elbo))
