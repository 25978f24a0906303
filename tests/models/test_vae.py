"""The variational autoencoder as its users see it."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import multivariate_normal, norm

import minivae.models.vae.evaluation
from minivae import VAE, datasets
from minivae.distributions import Bernoulli
from minivae.errors import (
    CheckpointError,
    ConvergenceWarning,
    DtypeError,
    EffectiveSampleSizeWarning,
    LikelihoodWarning,
    NotFittedError,
    ShapeError,
)

COUNTS = datasets.load("optdigits").model_arrays(counts=True)[0][:400]
GREYS = COUNTS / np.float32(16)
PIXELS = (GREYS >= 0.5).astype(np.float32)

# One setting for each likelihood, with data that suit it
LIKELIHOODS = {
    "bernoulli": ({"likelihood": "bernoulli"}, PIXELS),
    "threshold": ({"likelihood": "bernoulli", "grey": "threshold"}, GREYS),
    "sample": ({"likelihood": "bernoulli", "grey": "sample"}, GREYS),
    "cross-entropy": ({"likelihood": "bernoulli", "grey": "cross-entropy"}, GREYS),
    "binomial": ({"likelihood": "binomial", "n_trials": 16}, COUNTS),
    "continuous-bernoulli": ({"likelihood": "continuous-bernoulli"}, GREYS),
    "gaussian-network": ({"likelihood": "gaussian", "sigma_floor": 0.05}, GREYS),
    "gaussian-shared": ({"likelihood": "gaussian", "sigma": "shared"}, GREYS),
    "gaussian-fixed": ({"likelihood": "gaussian", "sigma": 0.3}, GREYS),
}
DENSITIES = [name for name in LIKELIHOODS if name != "cross-entropy"]
BINOMIAL = {"likelihood": "binomial", "n_trials": 16}


def small(**params):
    defaults = {"hidden": (24,), "epochs": 2, "batch_size": 64, "random_state": 0}
    return VAE(**{**defaults, **params})


def quietly(function, *args):
    """Call without the warnings that have tests of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LikelihoodWarning)
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
        return function(*args)


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.fixture(scope="module", params=list(LIKELIHOODS))
def of_each_kind(request):
    """A model of each likelihood, and its data."""
    params, X = LIKELIHOODS[request.param]
    return small(epochs=8, learning_rate=3e-3, **params).fit(X), X


@pytest.fixture(scope="module")
def digits():
    """A model of counts that has learnt something; nobody may change it."""
    return small(hidden=(60,), epochs=20, learning_rate=3e-3, **BINOMIAL).fit(COUNTS)


# Training -----------------------------------------------------------------------------------------


def test_every_likelihood_improves(of_each_kind):
    vae, X = of_each_kind
    elbo = vae.history_["elbo"]
    assert len(elbo) == 8
    assert elbo[-1] > elbo[0] + 1.0
    assert vae.history_["kl"][-1] > 0.05
    # what it says of the data it was trained on is near what it measured on the way
    assert quietly(vae.score, X) == pytest.approx(elbo[-1], rel=0.1, abs=2.0)


@pytest.mark.equation("ELBO.4")
def test_reconstruction_minus_kl_is_the_elbo(of_each_kind):
    vae, X = of_each_kind
    terms = quietly(vae.elbo_terms, X)
    np.testing.assert_array_equal(terms.reconstruction - terms.kl, quietly(vae.elbo, X))
    for reconstruction, kl, elbo in zip(
        *(vae.history_[name] for name in ("reconstruction", "kl", "elbo")), strict=True
    ):
        assert reconstruction - kl == pytest.approx(elbo, rel=1e-12)


def test_shapes_dtypes_and_support(of_each_kind):
    vae, X = of_each_kind
    N, D = X.shape
    q = vae.posterior(X)
    mu, log_var = q.mu, q.log_var
    assert mu.shape == log_var.shape == (N, 2)
    np.testing.assert_array_equal(mu, vae.transform(X))
    results = [quietly(vae.elbo, X), mu, log_var, vae.reconstruct(X), vae.sample(7)]
    assert [r.shape for r in results] == [(N,), (N, 2), (N, 2), (N, D), (7, D)]
    assert {r.dtype for r in results} == {np.dtype("float32")}
    assert all(p.dtype == np.float32 for _, p in vae.named_parameters())
    vae.likelihood_.check(vae.sample(20))
    lower, upper = vae.reconstruct(X).min(), vae.reconstruct(X).max()
    if vae.likelihood != "gaussian":
        assert 0 <= lower < upper <= (vae.n_trials or 1)


@pytest.mark.parametrize(
    "params",
    [
        {"n_samples": 3},
        {"kl": "monte-carlo"},
        {"n_samples": 5, "objective": "importance-weighted"},
        {"hidden": ()},
        {"hidden": [30, 20, 10], "activation": "tanh"},
        {"activation": "softplus"},
        {"activation": "sigmoid"},
        {"latent_dim": 1},
        {"batch_size": 1000},
        {"dtype": "float64"},
        {"beta": 0.0},
        {"beta_warmup": 1.5, "beta": 2.0},
        {"validation": 0.25},
        {"dtype": np.float64, "hidden": (np.int64(24),), "n_trials": np.int64(16)},
        {"likelihood": "gaussian", "n_trials": None, "sigma_floor": np.float32(0.01)},
    ],
    ids=str,
)
def test_every_way_to_train_improves(params, tmp_path):
    vae = small(**{"epochs": 12, "learning_rate": 5e-3, **BINOMIAL, **params}).fit(COUNTS)
    assert vae.history_["elbo"][-1] > vae.history_["elbo"][0] + 3.0
    dtype = np.dtype(params.get("dtype", "float32"))
    arrays = [p.data for _, p in vae.named_parameters()]
    arrays += [vae.elbo(COUNTS), vae.decode(np.zeros((3, vae.latent_dim))), vae.sample(2)]
    assert {a.dtype for a in arrays} == {dtype}
    vae.save(tmp_path / "model.npz")
    again = VAE.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.elbo(COUNTS), vae.elbo(COUNTS))


@pytest.mark.parametrize("random_state", [0, np.int32(5)])
def test_fit_starts_afresh_each_time(random_state):
    vae = small(random_state=random_state, grey="sample", validation=0.1)
    first = vae.fit(GREYS).state_dict()
    history = vae.history_
    assert_same_bits(first, vae.fit(GREYS).state_dict())
    other = small(random_state=random_state, grey="sample", validation=0.1).fit(GREYS)
    assert_same_bits(first, other.state_dict())
    assert history == vae.history_ == other.history_
    np.testing.assert_array_equal(vae.sample(5), other.sample(5))
    assert not np.array_equal(
        vae.elbo(GREYS), small(random_state=1, grey="sample").fit(GREYS).elbo(GREYS)
    )


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_generators_are_drawn_from_once_for_each_fit(make):
    rng, twin = make(3), make(3)
    vae = small(random_state=rng, epochs=1)
    first = vae.fit(PIXELS).state_dict()
    second = vae.fit(PIXELS).state_dict()
    assert not np.array_equal(first["encoder.mu.weight"], second["encoder.mu.weight"])
    assert_same_bits(first, small(random_state=twin, epochs=1).fit(PIXELS).state_dict())
    assert_same_bits(second, small(random_state=twin, epochs=1).fit(PIXELS).state_dict())
    assert rng is vae.random_state


@pytest.mark.equation("VAE.3")
def test_training_starts_at_the_prior_and_at_the_mean_of_the_data(of_each_kind):
    fitted, X = of_each_kind
    seen = []

    def look(vae, epoch):
        if epoch == 0:
            seen.append((quietly(vae.elbo_terms, X).kl, vae.posterior(X), vae.decode([[0.0, 0.0]])))

    data = PIXELS if fitted.grey == "threshold" else X
    VAE(**{**fitted.get_params(), "epochs": 1}).fit(X, on_epoch=look)
    ((kl, q, decoded),) = seen
    np.testing.assert_array_equal(kl, 0.0)
    assert not q.mu.any()
    assert not q.log_var.any()
    unit = 16 if fitted.likelihood == "binomial" else 1
    # a pixel that is always off starts a little above 0, so that it can still be learnt
    np.testing.assert_allclose(decoded[0] / unit, data.mean(axis=0) / unit, atol=0.021)


@pytest.mark.equation("VAE.4")
def test_the_loss_has_beta_and_its_warmup_and_the_elbo_has_not():
    vae = small(beta=4.0, beta_warmup=2.0, epochs=4, batch_size=400, learning_rate=5e-3).fit(PIXELS)
    history = {name: np.array(values) for name, values in vae.history_.items()}
    np.testing.assert_allclose(
        history["elbo"], history["reconstruction"] - history["kl"], rtol=1e-12
    )
    # with a single batch in each epoch the weight is what it was when the epoch began
    weights = 4.0 * np.array([0.0, 0.5, 1.0, 1.0])
    np.testing.assert_allclose(
        history["loss"], weights * history["kl"] - history["reconstruction"], rtol=1e-6
    )
    assert (history["kl"][1:] > 1e-4).all()


@pytest.mark.equation("VAE.4")
def test_more_beta_less_kl():
    kl = [
        small(beta=beta, epochs=20, learning_rate=5e-3, **BINOMIAL).fit(COUNTS).history_["kl"][-1]
        for beta in (0.2, 1.0, 20.0)
    ]
    assert kl[0] > kl[1] + 0.5 > kl[2] + 1.0


def test_the_importance_weighted_loss_is_tighter_than_the_elbo():
    vae = small(objective="importance-weighted", n_samples=10, epochs=10, **BINOMIAL).fit(COUNTS)
    assert (-np.array(vae.history_["loss"]) > np.array(vae.history_["elbo"]))[1:].all()


def test_grey_pixels_are_drawn_afresh_in_each_epoch(monkeypatch):
    drawn = []
    draw = Bernoulli.as_taken

    def as_taken(self, X, rng):
        taken = draw(self, X, rng)
        drawn.extend([taken] if len(X) else [])  # of no held-out data nothing is drawn
        return taken

    monkeypatch.setattr(Bernoulli, "as_taken", as_taken)
    by_epoch = []
    small(grey="sample", batch_size=200, epochs=3).fit(
        np.full((200, 4), 0.5), on_epoch=lambda vae, epoch: by_epoch.append(len(drawn))
    )
    assert by_epoch == [0, 1, 2, 3]
    assert all(set(np.unique(pixels)) == {0, 1} for pixels in drawn)
    assert not np.array_equal(drawn[0].sum(axis=0), drawn[1].sum(axis=0))


def test_a_single_datum_is_enough():
    vae = small(epochs=3, **BINOMIAL).fit(COUNTS[:1])
    assert np.isfinite(vae.elbo(COUNTS[:1])).all()
    with pytest.warns(ConvergenceWarning, match="in epoch 3 the ELBO was .* unstable"):
        gaussian = small(likelihood="gaussian", epochs=3).fit(GREYS[:1])
    assert np.isfinite(gaussian.elbo(GREYS[:1])).all()


def test_looking_never_changes_the_training():
    X = GREYS
    params = {"grey": "sample", "epochs": 3, "validation": 0.2, "kl": "monte-carlo"}

    def look(vae, epoch):
        vae.elbo(X)
        quietly(vae.log_likelihood, X[:20], 10)
        vae.sample(3 + epoch)
        vae.decode(vae.transform(X))
        vae.interpolate(X[0], X[1])
        np.random.default_rng().random()

    undisturbed = small(**params).fit(X)
    watched = small(**params).fit(X, on_epoch=look)
    assert_same_bits(undisturbed.state_dict(), watched.state_dict())
    assert undisturbed.history_ == watched.history_


def test_on_epoch_is_told_of_every_epoch():
    epochs = []
    vae = small(epochs=3)

    def note(model, epoch):
        assert model is vae
        assert len(model.history_.get("elbo", [])) == epoch
        epochs.append(epoch)

    vae.fit(PIXELS, on_epoch=note)
    assert epochs == [0, 1, 2, 3]


def test_early_stopping_keeps_the_best_parameters():
    kept = {}
    vae = small(
        hidden=(200,),
        latent_dim=5,
        epochs=200,
        learning_rate=1e-2,
        validation=0.3,
        patience=4,
        **BINOMIAL,
    ).fit(COUNTS[:100], on_epoch=lambda vae, epoch: kept.update({epoch: vae.state_dict()}))
    scores = vae.history_["validation_elbo"]
    best = int(np.argmax(scores)) + 1
    assert len(scores) == best + 4 < 200
    assert_same_bits(vae.state_dict(), kept[best])
    assert not np.array_equal(
        kept[best]["likelihood.heads.0.bias"], kept[best + 4]["likelihood.heads.0.bias"]
    )


def test_a_loss_that_explodes_stops_the_run_while_the_model_is_usable():
    vae = small(likelihood="gaussian", sigma=1e-3, learning_rate=1e18, epochs=50)
    with pytest.raises(FloatingPointError, match="in epoch 1; try a smaller learning_rate than"):
        vae.fit(GREYS)
    assert all(np.isfinite(p.data).all() for _, p in vae.named_parameters())


# Units, and training that diverges ----------------------------------------------------------------

MOVING = GREYS[:, GREYS.std(axis=0) > 0.05].astype(np.float64)  # columns that are not constant


@pytest.mark.equation("LIK.7")
@pytest.mark.parametrize("sigma", ["network", "shared"])
def test_standardised_data_train_the_same_in_any_units(sigma):
    # x' = a x + b has the density p(x) / a^D, and everything else is the same model
    a, b = 1000.0, 1e5
    params = {"likelihood": "gaussian", "sigma": sigma, "standardise": True, "dtype": "float64"}
    vae = small(**params, sigma_floor=0.05).fit(MOVING)
    moved = small(**params, sigma_floor=0.05 * a).fit(a * MOVING + b)
    loss = MOVING.shape[1] * math.log(a)
    np.testing.assert_allclose(moved.elbo(a * MOVING + b), vae.elbo(MOVING) - loss, rtol=1e-10)
    np.testing.assert_allclose(moved.transform(a * MOVING + b), vae.transform(MOVING), atol=1e-10)
    np.testing.assert_allclose(moved.sample(9), a * vae.sample(9) + b, rtol=1e-10)
    plain = small(**{**params, "standardise": False}, sigma_floor=0.05).fit(MOVING)
    assert not np.allclose(plain.elbo(MOVING), vae.elbo(MOVING), atol=1e-2)


def test_standardised_the_density_is_that_of_the_data(tmp_path):
    X = (MOVING + 300.0).astype(np.float32)
    vae = small(likelihood="gaussian", sigma=0.3, standardise=True).fit(X)
    np.testing.assert_allclose(vae.likelihood_.shift.data, X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(vae.likelihood_.scale.data, X.std(axis=0), rtol=1e-4)
    mean = vae.reconstruct(X).astype(np.float64)
    assert np.abs(mean - X).mean() < 0.5
    terms = vae.elbo_terms(X, eps=np.zeros((1, len(X), 2)))
    expected = norm.logpdf(X, mean, 0.3).sum(axis=1)
    np.testing.assert_allclose(terms.reconstruction, expected, rtol=1e-3)
    vae.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(VAE.load(tmp_path / "model.npz").elbo(X), vae.elbo(X))
    # what does not move has no unit: it is shifted only
    vae = small(likelihood="gaussian", standardise=True).fit(np.full((20, 3), 7.0))
    np.testing.assert_array_equal(vae.likelihood_.scale.data, 1.0)
    np.testing.assert_array_equal(vae.likelihood_.shift.data, 7.0)


def test_a_last_step_that_leads_nowhere_is_refused_and_the_model_stays(fitted):
    vae = copy.deepcopy(fitted)
    vae.set_params(likelihood="gaussian", sigma=1e-3, epochs=1, batch_size=400)
    with pytest.raises(
        FloatingPointError, match=r"after the last step the ELBO of datum 0 is -inf"
    ):
        vae.set_params(learning_rate=1e10).fit(GREYS)
    assert_same_bits(vae.state_dict(), fitted.state_dict())
    assert vae.history_ == fitted.history_


def test_data_too_far_out_for_the_model_are_warned_of():
    vae = small(likelihood="gaussian", sigma=1.0).fit(GREYS)
    far = with_value(GREYS, 1e30)
    with pytest.warns(LikelihoodWarning, match=r"^elbo: .* 1 of 400 .* X\[3\] is -inf") as caught:
        assert np.isfinite(vae.elbo(far)).sum() == 399
    assert caught[0].filename == __file__


# Looking at data ----------------------------------------------------------------------------------


def test_the_same_question_has_the_same_answer(of_each_kind):
    vae, X = of_each_kind
    np.testing.assert_array_equal(quietly(vae.elbo, X), quietly(vae.elbo, X))
    # noise belongs to the datum, so a part of the data gets the answers it got before
    np.testing.assert_allclose(quietly(vae.elbo, X[:13]), quietly(vae.elbo, X)[:13], rtol=1e-5)
    assert quietly(vae.score, X) == quietly(vae.elbo, X).mean(dtype=np.float64)


@pytest.mark.parametrize("kl", ["analytic", "monte-carlo"])
def test_portions_and_the_order_of_rows_do_not_matter(digits, kl, monkeypatch):
    vae = copy.deepcopy(digits).set_params(kl=kl, n_samples=3)
    eps = np.random.default_rng(0).standard_normal((4, 50, 2))
    X, mixed = COUNTS[:50], np.random.default_rng(1).permutation(50)

    def answers(rows, noise):
        return [
            vae.elbo(rows, eps=noise), vae.elbo(rows), vae.transform(rows), vae.reconstruct(rows),
            quietly(lambda: vae.log_likelihood(rows, eps=noise)),
        ]  # fmt: skip

    whole = answers(X, eps)
    reordered = vae.elbo(X[mixed], eps=eps[:, mixed])
    monkeypatch.setattr(minivae.models.vae.evaluation, "NUMBERS_AT_ONCE", 1000)
    in_portions = answers(X, eps)
    # a product's sums run in another order in another tile: a few roundings, no more
    for a, b in zip(whole, in_portions, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(reordered, whole[0][mixed], rtol=1e-5)


@pytest.mark.equation("ELBO.4")
def test_the_elbo_with_given_noise_is_what_the_equation_says(digits):
    X = COUNTS[:5].astype(np.float64)
    eps = np.random.default_rng(0).standard_normal((3, 5, 2))
    q = digits.posterior(X)
    mu, log_var = q.mu.astype(np.float64), q.log_var.astype(np.float64)
    z = mu + np.exp(0.5 * log_var) * eps
    reconstruction = np.mean([log_binomial(digits.decode(z_s), X) for z_s in z], axis=0)
    kl = 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).sum(axis=1)
    terms = digits.elbo_terms(X, eps=eps)
    np.testing.assert_allclose(terms.reconstruction, reconstruction, rtol=1e-4)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-4)


def log_binomial(mean, X):
    """log Bin(x; 16, mean / 16), summed over features, from what `decode` gives."""
    p = np.clip(mean.astype(np.float64) / 16, 1e-30, 1 - 1e-7)
    log_c = gammaln(17) - gammaln(X + 1) - gammaln(17 - X)
    return (log_c + X * np.log(p) + (16 - X) * np.log1p(-p)).sum(axis=-1)


def test_n_samples_and_kl_say_how_the_elbo_is_evaluated(digits):
    vae = copy.deepcopy(digits)
    X = COUNTS[:100]
    many = vae.set_params(n_samples=200).elbo(X)
    monte_carlo = vae.set_params(kl="monte-carlo").elbo(X)
    assert np.abs(many - monte_carlo).max() > 1e-3
    np.testing.assert_allclose(many, monte_carlo, atol=1.0)
    with pytest.raises(ValueError, match="kl='exact' makes no sense"):
        vae.set_params(kl="exact").elbo(X)


def test_what_else_is_changed_after_fit_counts_from_the_next_fit(digits, tmp_path):
    vae = copy.deepcopy(digits)
    vae.set_params(
        latent_dim=5, hidden=(3,), dtype="float64", likelihood="bernoulli", n_trials=None
    )
    np.testing.assert_array_equal(vae.elbo(COUNTS), digits.elbo(COUNTS))
    np.testing.assert_array_equal(vae.transform(COUNTS), digits.transform(COUNTS))
    unfit = copy.deepcopy(digits).set_params(epochs=0, likelihood="laplace", prior_components=3)
    assert unfit.score(COUNTS) == digits.score(COUNTS)
    assert vae.sample(2).shape == (2, 64)
    vae.save(tmp_path / "model.npz")
    assert VAE.load(tmp_path / "model.npz").get_params() == digits.get_params()
    assert vae.fit(PIXELS[:50]).transform(PIXELS[:3]).shape == (3, 5)


def test_cross_entropy_is_called_no_likelihood():
    vae = small(grey="cross-entropy", epochs=1).fit(GREYS)
    for ask in (vae.elbo, vae.elbo_terms, vae.score):
        with pytest.warns(LikelihoodWarning, match=f"^{ask.__name__}: .* not a bound") as caught:
            ask(GREYS)
        assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="the model has no likelihood of grey pixels"):
        vae.log_likelihood(GREYS)


# log p(x) -----------------------------------------------------------------------------------------


def test_noise_that_is_none_is_refused(digits):
    with pytest.raises(ValueError, match="elbo: eps is not an array of numbers"):
        digits.elbo(COUNTS[:2], eps="a")
    with pytest.raises(ValueError, match="log_likelihood: eps holds NaN or infinity"):
        digits.log_likelihood(COUNTS[:2], eps=np.full((3, 2, 2), np.nan))


def trapezoid_log_likelihood(vae, X, n, half_width=5.0):
    """log of the integral of p(x | z) N(z; 0, I) over a square grid of n by n points."""
    axis = np.linspace(-half_width, half_width, n)
    log_cell = 2 * math.log(axis[1] - axis[0])
    X = X.astype(np.float64)
    log_c = (gammaln(17) - gammaln(X + 1) - gammaln(17 - X)).sum(axis=1)
    strips = []
    for some in np.array_split(axis, n // 25):
        z = np.stack(np.meshgrid(some, axis), axis=-1).reshape(-1, 2)
        p = np.clip(vae.decode(z) / 16, 1e-30, 1 - 1e-7).astype(np.float64)
        log_joint = np.log(p) @ X.T + np.log1p(-p) @ (16 - X).T
        log_joint -= 0.5 * (z**2).sum(axis=1)[:, None] + math.log(2 * math.pi)
        strips.append(logsumexp(log_joint, axis=0))
    return logsumexp(strips, axis=0) + log_c + log_cell


def integrated_log_likelihood(vae, X):
    """The trapezoid rule's answer, its grid doubled until it no longer changes."""
    n, before, integral = 200, np.inf, trapezoid_log_likelihood(vae, X, 100)
    while np.abs(integral - before).max() > 0.02:
        before, integral, n = integral, trapezoid_log_likelihood(vae, X, n), 2 * n
    return integral


def test_an_encoder_that_has_collapsed_to_a_point_leaves_the_likelihood_as_it_is(digits):
    collapsed = copy.deepcopy(digits)
    bias = collapsed.encoder_.log_var.bias
    bias.data = np.full(bias.shape, -5000.0)
    expected = digits.log_likelihood(COUNTS[:20], 2000)
    np.testing.assert_allclose(collapsed.log_likelihood(COUNTS[:20], 2000), expected, atol=0.3)


@pytest.mark.equation("IWAE.2")
def test_log_likelihood_is_the_integral(digits):
    # data that the encoder has seen, and some for which it has no good answer
    unseen = datasets.load("optdigits").model_arrays(counts=True)[1][:40]
    X = np.concatenate([COUNTS[:40], unseen])
    integral = integrated_log_likelihood(digits, X)
    S = 2000
    estimate, ess = digits.log_likelihood(X, n_samples=S, return_ess=True)
    standard_error = np.sqrt((S / ess - 1) / S)
    assert np.median(standard_error) < 0.02
    off = np.abs(estimate - integral)
    # once in a while a peak is missed
    assert (off < 5 * standard_error + 0.01).mean() > 0.98
    assert np.median(off) < 0.02
    # q alone is far off, and says so
    with pytest.warns(EffectiveSampleSizeWarning):
        from_q = digits.log_likelihood(X, n_samples=S, proposal="encoder")
    assert from_q.mean() < integral.mean() - 0.3


@pytest.mark.equation("IWAE.2")
def test_elbo_below_importance_weighted_below_more_of_it(digits):
    bounds = [digits.elbo(COUNTS).mean()]
    bounds += [
        quietly(lambda: digits.log_likelihood(COUNTS, S, proposal="encoder")).mean()  # noqa: B023
        for S in (1, 5, 50, 500)
    ]
    assert bounds[0] == pytest.approx(bounds[1], abs=1.0)
    assert bounds[1] < bounds[2] < bounds[3] < bounds[4]


@pytest.mark.equation("IWAE.3")
def test_few_effective_samples_are_warned_of(digits):
    with pytest.warns(EffectiveSampleSizeWarning, match=r"of 400 .* of 30\).*raise n_samples") as w:
        _, ess = digits.log_likelihood(COUNTS, 30, return_ess=True, proposal="encoder")
    assert w[0].filename == __file__
    assert (ess >= 1).all()
    assert (ess <= 30).all()


@pytest.mark.parametrize("proposal", ["laplace", "encoder"])
def test_an_estimate_repeats_whatever_the_memory(digits, proposal, monkeypatch):
    def estimate(X):
        return quietly(lambda: digits.log_likelihood(X, n_samples=500, proposal=proposal))

    whole = estimate(COUNTS[:30])
    np.testing.assert_array_equal(estimate(COUNTS[:30]), whole)
    monkeypatch.setattr(minivae.models.vae.evaluation, "NUMBERS_AT_ONCE", 64 * 90)
    # a climb may end a rounding away in another portion, and its samples with it
    np.testing.assert_allclose(estimate(COUNTS[:30]), whole, atol=1e-2)
    np.testing.assert_allclose(estimate(COUNTS[:4]), whole[:4], atol=1e-2)


def test_log_likelihood_of_every_density(of_each_kind):
    vae, X = of_each_kind
    if vae.grey == "cross-entropy":
        return
    estimate, ess = vae.log_likelihood(X[:50], n_samples=300, return_ess=True)
    assert estimate.dtype == np.float32
    assert np.median(ess) > 50
    assert estimate.mean() > vae.elbo(X[:50]).mean()
    assert all(p.grad is None for _, p in vae.named_parameters())


def test_the_proposal_is_exact_enough_where_the_posterior_is_gaussian():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2)) @ rng.standard_normal((2, 5)) + rng.standard_normal((200, 5))
    vae = small(likelihood="gaussian", sigma=1.0, hidden=(), activation="identity", dtype="float64")
    vae.fit(X)
    W, b = (p.data for _, p in vae.model_.named_parameters())
    log_p = multivariate_normal(b, W.T @ W + np.eye(5)).logpdf(X)
    estimate, ess = vae.log_likelihood(X, n_samples=2000, return_ess=True)
    np.testing.assert_allclose(estimate, log_p, atol=0.1)
    assert (ess > 1000).all()


# Latent space and samples -------------------------------------------------------------------------


@pytest.mark.equation("VAE.6")
def test_units_whose_mean_never_moves_are_inactive(digits):
    vae = copy.deepcopy(digits)
    assert vae.active_units(COUNTS).tolist() == [True, True]
    state = vae.state_dict()
    state["encoder.mu.weight"][:, 0] *= 1e-3
    state["encoder.mu.bias"][0] = 7.0
    vae.load_state_dict(state)
    assert vae.active_units(COUNTS).tolist() == [False, True]
    variance = vae.transform(COUNTS).var(axis=0)
    assert vae.active_units(COUNTS, threshold=0.99 * variance[0]).all()
    assert not vae.active_units(COUNTS, threshold=1.01 * variance[1]).any()


def test_interpolation_begins_and_ends_at_the_reconstructions(of_each_kind):
    vae, X = of_each_kind
    steps = vae.interpolate(X[3], X[8].reshape(8, 8), n=5)
    assert steps.shape == (5, 64)
    np.testing.assert_allclose(steps[0], vae.reconstruct(X[3:4])[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(steps[-1], vae.reconstruct(X[8:9])[0], rtol=1e-5, atol=1e-6)
    assert np.abs(steps[2] - steps[0]).max() > 0


@pytest.mark.equation("VAE.2")
def test_samples_have_the_moments_of_the_model(of_each_kind):
    vae, _ = of_each_kind
    n = 20_000
    X = vae.sample(n).astype(np.float64)
    z = np.random.default_rng(0).standard_normal((n, 2))
    mean = vae.decode(z).astype(np.float64)
    error = np.sqrt((X.var(axis=0) + mean.var(axis=0)) / n) + 1e-4
    assert (np.abs(X.mean(axis=0) - mean.mean(axis=0)) < 5.5 * error).all()
    assert not np.array_equal(X[:5], vae.sample(5))  # the stream goes on
    np.testing.assert_array_equal(vae.sample(5, random_state=3), vae.sample(5, random_state=3))
    assert not np.array_equal(vae.sample(5, random_state=3), vae.sample(5, random_state=4))


@pytest.mark.equation("VAE.1")
def test_decoding_is_row_by_row(digits):
    z = np.random.default_rng(0).standard_normal((7, 2))
    rows = np.concatenate([digits.decode(row[None]) for row in z])
    np.testing.assert_allclose(digits.decode(z), rows, rtol=1e-5)


# Copies and files ---------------------------------------------------------------------------------


def test_saved_and_loaded_it_is_the_same_model(of_each_kind, tmp_path):
    vae, X = of_each_kind
    vae.save(tmp_path / "model.npz")
    fresh = copy.deepcopy(vae)
    again = VAE.load(tmp_path / "model.npz")
    assert again.get_params() == vae.get_params()
    assert again.history_ == vae.history_
    assert again.n_features_in_ == 64
    assert_same_bits(again.state_dict(), vae.state_dict())
    for ask in (vae.elbo, vae.transform, vae.reconstruct):
        np.testing.assert_array_equal(quietly(ask, X), quietly(getattr(again, ask.__name__), X))
    del fresh._sampling_
    assert again.sample(3).shape == (3, 64)


def test_a_generator_as_random_state_is_saved_as_what_was_drawn_from_it(tmp_path):
    vae = small(random_state=np.random.default_rng(0), epochs=1, grey="sample").fit(GREYS)
    vae.save(tmp_path / "model.npz")
    again = VAE.load(tmp_path / "model.npz")
    assert again.random_state is None
    np.testing.assert_array_equal(again.elbo(GREYS), vae.elbo(GREYS))


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda vae: pickle.loads(pickle.dumps(vae))])
def test_copies_are_models_of_their_own(digits, twin):
    other = twin(digits)
    np.testing.assert_array_equal(other.elbo(COUNTS), digits.elbo(COUNTS))
    before = digits.state_dict()
    other.fit(COUNTS[:50])
    assert_same_bits(before, digits.state_dict())


def test_parameters_can_be_carried_over(digits):
    other = small(hidden=(60,), epochs=1, **BINOMIAL).fit(COUNTS[:64])
    other.load_state_dict(digits.state_dict())
    np.testing.assert_array_equal(other.transform(COUNTS), digits.transform(COUNTS))
    before = other.state_dict()
    wrong = {**before, "encoder.mu.bias": np.zeros(3)}
    with pytest.raises(ShapeError, match=r"encoder.mu.bias"):
        other.load_state_dict(wrong)
    del wrong["encoder.mu.bias"]
    with pytest.raises(ShapeError, match=r"encoder.mu.bias"):
        other.load_state_dict(wrong)
    assert_same_bits(before, other.state_dict())
    assert next(iter(before)) == "encoder.trunk.layers.0.weight"
    assert list(before)[-1] == "likelihood.heads.0.bias"


# Bad input ----------------------------------------------------------------------------------------

WRONG_HYPER_PARAMETERS = [
    ({"latent_dim": 0}, r"latent_dim=0 makes no sense; it must be a whole number from 1"),
    ({"latent_dim": 2.0}, "latent_dim=2.0"),
    ({"latent_dim": True}, "latent_dim=True"),
    ({"n_samples": 0}, "n_samples=0"),
    ({"epochs": 0}, "epochs=0"),
    ({"batch_size": -1}, "batch_size=-1"),
    ({"patience": 0}, "patience=0"),
    ({"beta": -1}, "beta=-1 makes no sense; it must be a number from 0"),
    ({"beta": math.nan}, "beta=nan"),
    ({"beta": "1"}, "beta='1'"),
    ({"beta_warmup": -1.0}, "beta_warmup=-1.0"),
    ({"learning_rate": 0.0}, "learning_rate=0.0 makes no sense; it must be a positive number"),
    ({"learning_rate": math.inf}, "learning_rate=inf"),
    ({"sigma_floor": 0}, "sigma_floor=0"),
    ({"hidden": 400}, r"hidden=400 .* such as \(400,\)"),
    ({"hidden": "400"}, "hidden='400'"),
    ({"hidden": ""}, "hidden=''"),
    ({"hidden": (10, 0)}, r"hidden=\(10, 0\)"),
    ({"hidden": (10.0,)}, r"hidden=\(10.0,\)"),
    ({"hidden": None}, "hidden=None"),
    ({"activation": "gelu"}, "activation='gelu' .* one of .*'relu', 'tanh'"),
    (
        {"likelihood": "laplace"},
        "'laplace' .* one of 'bernoulli', 'binomial', 'continuous-bernoulli', 'gaussian', "
        "'poisson', 'categorical', or a Likelihood",
    ),
    ({"likelihood": None}, "likelihood=None"),
    ({"likelihood": np.ones(2)}, "likelihood=array"),
    ({"grey": "round"}, "grey='round' .* one of 'threshold', 'sample', 'cross-entropy'"),
    ({"prior": "flow"}, "prior='flow' .* one of 'standard', 'mixture', 'vamp'"),
    ({"prior": "mixture", "prior_components": 0}, "prior_components=0"),
    ({"prior": "mixture", "prior_warmup": 1.5}, "prior_warmup=1.5"),
    ({"prior_components": 3}, "prior_components=3 goes with .*'vamp', not 'standard'"),
    ({"prior": "mixture", "prior_warmup": 20}, "prior_warmup=20 and epochs=1 .* less than epochs"),
    ({"kl": "exact"}, "kl='exact' .* one of 'analytic', 'monte-carlo'"),
    ({"objective": "vr"}, "objective='vr' .* one of 'elbo', 'importance-weighted'"),
    ({"dtype": "float16"}, "dtype='float16' .* 'float32' or 'float64'"),
    ({"dtype": "nonsense"}, "dtype='nonsense'"),
    ({"dtype": None}, "dtype=None"),
    ({"validation": 1.0}, "validation=1.0 .* a share between 0 and 1"),
    ({"validation": 0}, "validation=0"),
    ({"validation": True}, "validation=True"),
    ({"sigma": "learnt"}, "sigma='learnt' .* 'network', 'shared', 'optimal' or a positive number"),
    ({"likelihood": "gaussian", "sigma": -1.0}, "sigma=-1.0"),
    ({"likelihood": "gaussian", "sigma": 0.0}, "sigma=0.0"),
    ({"likelihood": "gaussian", "sigma": None}, "sigma=None"),
    ({"likelihood": "gaussian", "sigma": True}, "sigma=True"),
    ({"sigma": 0.1}, "sigma=0.1 goes with likelihood='gaussian', not 'bernoulli'"),
    ({"sigma_floor": 0.1}, "sigma_floor=0.1 goes with likelihood='gaussian', not 'bernoulli'"),
    ({"n_trials": 16}, "n_trials=16 goes with likelihood='binomial', not 'bernoulli'"),
    (
        {"likelihood": "gaussian", "grey": "sample"},
        "grey='sample' goes with likelihood='bernoulli', not 'gaussian'",
    ),
    ({"likelihood": "binomial"}, "n_trials=None .* the largest count"),
    ({"likelihood": "binomial", "n_trials": 16.0}, "n_trials=16.0"),
    ({"likelihood": "binomial", "n_trials": 0}, "n_trials=0"),
    ({"likelihood": "categorical"}, "n_classes=None .* the number of classes"),
    ({"likelihood": "categorical", "n_classes": 1}, "n_classes=1"),
    ({"n_classes": 4}, "n_classes=4 goes with likelihood='categorical', not 'bernoulli'"),
    ({"encoder": 3}, "encoder=3 .* None or a module that can be called"),
    ({"random_state": -1}, "random_state=-1 must be a whole number from 0"),
    ({"random_state": "seed"}, "random_state='seed'"),
]


@pytest.fixture(scope="module")
def fitted():
    return small(epochs=1).fit(PIXELS)


@pytest.mark.parametrize(("params", "message"), WRONG_HYPER_PARAMETERS, ids=str)
def test_hyper_parameters_that_make_no_sense(fitted, params, message):
    vae = copy.deepcopy(fitted).set_params(**params)
    history, before = vae.history_, vae.state_dict()
    with pytest.raises(ValueError, match=message):
        vae.fit(PIXELS)
    assert vae.history_ is history
    assert_same_bits(before, vae.state_dict())
    np.testing.assert_array_equal(vae.transform(PIXELS), fitted.transform(PIXELS))


def with_value(X, value, row=3, column=7):
    X = X.astype(np.float64)
    X[row, column] = value
    return X


WRONG_DATA = [
    (PIXELS.reshape(-1, 8, 8), ShapeError, "images must be flattened"),
    (np.arange(10), ShapeError, "are these the labels?"),
    (PIXELS[0], ShapeError, r"a single datum is X\[None, :\]"),
    (PIXELS[:0], ShapeError, "at least one datum"),
    (PIXELS[:, :0], ShapeError, "one feature"),
    (PIXELS.astype(str), DtypeError, "real numbers"),
    (PIXELS.astype(complex), DtypeError, "complex128"),
    (None, DtypeError, "NoneType"),
    (with_value(PIXELS, np.nan), ValueError, r"X\[3, 7\] = nan"),
    (with_value(PIXELS, -np.inf), ValueError, r"X\[3, 7\] = -inf"),
    (with_value(PIXELS, 1e300), ValueError, r"X\[3, 7\] = 1e\+300 is too large for float32"),
    (with_value(PIXELS, 2.0), ValueError, r"X\[3, 7\] = 2.0 .* pixels are 0 or 1"),
    (GREYS, ValueError, r"grey='threshold', 'sample' or 'cross-entropy'"),
]


@pytest.mark.parametrize(("X", "error", "message"), WRONG_DATA)
def test_data_that_are_not_fit_to_fit(fitted, X, error, message):
    vae = copy.deepcopy(fitted)
    history, before = vae.history_, vae.state_dict()
    with pytest.raises(error, match=message):
        vae.fit(X)
    assert vae.history_ is history
    assert_same_bits(before, vae.state_dict())
    for ask in (
        vae.elbo,
        vae.log_likelihood,
        vae.posterior,
        vae.transform,
        vae.reconstruct,
        vae.score,
        vae.active_units,
    ):
        with pytest.raises(error, match=message):
            ask(X)


@pytest.mark.parametrize(
    ("params", "X", "message"),
    [
        (BINOMIAL, with_value(COUNTS, 17), r"X\[3, 7\] = 17.0 .* 0 to n_trials = 16"),
        (BINOMIAL, with_value(COUNTS, 0.5), r"X\[3, 7\] = 0.5 .* whole counts"),
        (BINOMIAL, with_value(COUNTS, -1), r"X\[3, 7\] = -1.0"),
        ({"likelihood": "continuous-bernoulli"}, with_value(GREYS, 1.5), r"X\[3, 7\] = 1.5"),
        ({"grey": "sample"}, with_value(GREYS, 255), r"X\[3, 7\] = 255.0 .* 8-bit pixels by 255"),
        ({"grey": "threshold"}, with_value(GREYS, -0.1), r"X\[3, 7\] = -0.1"),
        ({"grey": "cross-entropy"}, with_value(GREYS, 1.1), r"X\[3, 7\] = 1.1"),
    ],
)
def test_data_outside_the_support(params, X, message):
    with pytest.raises(ValueError, match=message):
        small(**params).fit(X)


def test_validation_must_leave_something():
    with pytest.raises(ShapeError, match=r"validation=0\.9 leaves none of 1 data to train on"):
        small(validation=0.9).fit(PIXELS[:1])
    assert len(small(validation=0.01, epochs=1).fit(PIXELS[:2]).history_["validation_elbo"]) == 1


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda vae: vae.elbo(PIXELS[:, :5]), r"elbo: X has shape \(400, 5\); .* rows of 64"),
        (lambda vae: vae.decode(np.zeros((3, 5))), r"decode: z has shape \(3, 5\); .* rows of 2"),
        (lambda vae: vae.decode([0.0, 0.0]), r"decode: z has shape \(2,\)"),
        (lambda vae: vae.decode([[0.0, np.nan]]), r"decode: z\[0, 1\] = nan"),
        (lambda vae: vae.sample(0), "sample: n=0 must be a whole number from 1"),
        (lambda vae: vae.sample(2.0), "sample: n=2.0"),
        (lambda vae: vae.interpolate(PIXELS[0], PIXELS[1], n=1), "interpolate: n=1"),
        (lambda vae: vae.interpolate(PIXELS[0], 3), r"interpolate: X has shape \(1, 1\)"),
        (lambda vae: vae.log_likelihood(PIXELS, n_samples=0), "log_likelihood: n_samples=0"),
        (lambda vae: vae.log_likelihood(PIXELS, proposal="prior"), "use 'laplace' or 'encoder'"),
        (
            lambda vae: vae.elbo(PIXELS, eps=np.zeros((1, 3, 2))),
            r"elbo: eps has shape \(1, 3, 2\); for 400 data it must be \(S, 400, 2\)",
        ),
        (lambda vae: vae.elbo(PIXELS, eps=np.zeros((0, 400, 2))), r"shape \(0, 400, 2\)"),
        (lambda vae: vae.log_likelihood(PIXELS, eps=0.0), r"eps has shape \(\)"),
    ],
)
def test_questions_that_make_no_sense(fitted, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(fitted)


def test_an_unfitted_model_says_so(tmp_path):
    vae = VAE()
    for ask in (vae.elbo, vae.transform, vae.decode, vae.reconstruct, vae.score, vae.posterior):
        with pytest.raises(NotFittedError, match=f"{ask.__name__}: This VAE .* is not fitted yet"):
            ask(PIXELS)
    for ask in (vae.sample, vae.state_dict, lambda: vae.save(tmp_path / "model.npz")):
        with pytest.raises(NotFittedError):
            ask()
    assert repr(vae) == "VAE()"


def test_loading_refuses_what_is_no_model(fitted, tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(CheckpointError, match="No such file"):
        VAE.load(path)
    fitted.save(path)
    content = path.read_bytes()
    for part, word in ((b"", "empty"), (content[:-200], "damaged"), (b"hello", "not a minivae")):
        path.write_bytes(part)
        with pytest.raises(CheckpointError, match=word):
            VAE.load(path)
    path.write_bytes(pickle.dumps(fitted.state_dict()))
    with pytest.raises(CheckpointError, match="pickle"):
        VAE.load(path)
    np.savez(path, a=np.ones(3))
    with pytest.raises(CheckpointError, match="archive of something else"):
        VAE.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, m: m.update(kind="gmm"), "it is of kind 'gmm', not 'vae'"),
        (lambda a, m: m.pop("condition"), "it has no 'condition'"),
        (lambda a, m: m.pop("kind"), "it has no 'kind'"),
        (lambda a, m: m.pop("params"), "it has no 'params'"),
        (lambda a, m: m.pop("history"), "it has no 'history'"),
        (lambda a, m: m["params"].update(temperature=1), "temperature"),
        (lambda a, m: m["params"].update(latent_dim=0), "latent_dim=0"),
        (lambda a, m: m["params"].update(latent_dim=7), "more weights than"),
        (lambda a, m: m["params"].update(hidden=None), "not iterable"),
        (lambda a, m: m.update(params=3), "not a checkpoint of this version's VAE"),
        (lambda a, m: m.update(n_features=3), "shape"),
        (lambda a, m: a.pop("parameters.encoder.mu.bias"), "encoder.mu.bias"),
        (lambda a, m: a.update({"parameters.x": np.ones(1)}), "unknown"),
        (lambda a, m: a.clear(), "more weights than the 0"),
    ],
)
def test_loading_refuses_what_does_not_fit(fitted, tmp_path, change, message):
    from minivae.checkpoint import load_checkpoint, save_checkpoint

    path = tmp_path / "model.npz"
    fitted.save(path)
    arrays, metadata = load_checkpoint(path)
    change(arrays, metadata)
    save_checkpoint(path, arrays, metadata)
    with pytest.raises(CheckpointError, match=message) as refusal:
        VAE.load(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("ignore::minivae.errors.EffectiveSampleSizeWarning")
@pytest.mark.parametrize("grey", ["threshold", "sample"])
def test_a_block_of_rows_has_the_noise_that_its_rows_have_among_all(grey):
    X = np.random.default_rng(3).random((23, 5)).astype(np.float32)
    vae = VAE(2, hidden=(4,), epochs=1, grey=grey, random_state=0).fit(X)
    block = copy.copy(vae)
    block._first_row = 16  # twice as many as it has rows, and two more
    for ask in (
        lambda model, x: model.elbo(x),
        lambda model, x: model.log_likelihood(x, 20, proposal="encoder"),
        lambda model, x: model.log_likelihood(x, 20),
    ):
        np.testing.assert_allclose(ask(block, X[16:]), ask(vae, X)[16:], rtol=1e-5)
        assert not np.allclose(ask(vae, X[16:]), ask(vae, X)[16:], rtol=1e-3)
