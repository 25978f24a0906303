"""The conditional VAE: the plain one where y is always 0, its bounds, its classes, its files."""

import copy

import numpy as np
import pytest

from exact import log_integral
from minivae import VAE, ConditionalVAE, LatentModel, datasets, resume
from minivae.distributions import Binomial, Gaussian, StandardNormal
from minivae.errors import CheckpointError, DtypeError, NotFittedError, ShapeError
from minivae.objectives import elbo_terms

_digits = datasets.load("optdigits")
X, Y = _digits.model_arrays()[0][:1200], _digits.y_train[:1200]
X_TEST, Y_TEST = _digits.model_arrays()[1][:400], _digits.y_test[:400]
SMALL = {"likelihood": "binomial", "n_trials": 16, "hidden": (40,), "random_state": 0,
         "batch_size": 64, "learning_rate": 5e-3}  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    return ConditionalVAE(**SMALL, epochs=12).fit(X, Y)


@pytest.mark.equation("CVAE.1")
def test_with_a_condition_of_zero_it_is_the_plain_vae_bit_for_bit(fitted):
    # the same weights, but for those that the condition goes through
    plain = VAE(**SMALL, epochs=1).fit(X[:64])
    state = {
        name.replace("first.", "layers.0.").replace("rest.layers.", "layers."): value
        for name, value in fitted.state_dict().items()
        if ".condition." not in name
    }
    biases = [n for n in fitted.state_dict() if n.endswith("condition.bias")]
    other = copy.deepcopy(fitted)
    other.load_state_dict({**fitted.state_dict(), **{n: np.zeros(40) for n in biases}})
    plain.load_state_dict(state)
    nothing = np.zeros((50, 10), np.float32)
    eps = np.random.default_rng(0).standard_normal((1, 50, 2)).astype(np.float32)
    with_c = elbo_terms(other.model_, other._encode(X[:50], nothing), X[:50], eps, nothing)
    without = elbo_terms(plain.model_, plain._encode(X[:50]), X[:50], eps)
    np.testing.assert_array_equal(with_c.elbo.data, without.elbo.data)


@pytest.mark.equation("CVAE.1")
def test_its_bound_is_below_log_p_given_y():
    model = ConditionalVAE(**{**SMALL, "latent_dim": 1, "activation": "tanh"}, epochs=2).fit(X, Y)
    x, y = X[:3].astype(np.float64), Y[:3]
    c = np.eye(10)[y]

    def log_joint(z):
        z = np.repeat(z[:, None].astype(np.float32), 3, axis=1)
        return model.model_.log_joint(x.astype(np.float32), z, c.astype(np.float32)).data

    log_p = log_integral(log_joint, 1, tolerance=1e-3)
    estimate = model.log_likelihood(x, y, n_samples=500)
    np.testing.assert_allclose(estimate, log_p, atol=0.1)
    many = np.mean([model.elbo(x, y, eps=e[None]) for e in
                    np.random.default_rng(0).normal(size=(200, 3, 1))], axis=0)  # fmt: skip
    assert (many < log_p + 0.05).all()


def test_knowing_y_helps_and_a_wrong_y_hurts(fitted):
    right = fitted.score(X_TEST, Y_TEST)
    wrong = fitted.score(X_TEST, (Y_TEST + 3) % 10)
    plain = VAE(**SMALL, epochs=12).fit(X).score(X_TEST)
    assert right > wrong + 20
    assert right > plain


def test_samples_of_a_class_are_recognised_as_that_class(fitted):
    # by the nearest of the classes' means of real digits
    means = np.stack([X[k == Y].mean(axis=0) for k in range(10)])
    y = np.repeat(np.arange(10), 20)
    x = fitted.decode(np.random.default_rng(0).normal(size=(200, 2)), y)
    nearest = ((x[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
    assert (nearest == y).mean() > 0.8
    drawn = fitted.sample(y=y)
    assert drawn.shape == (200, 64)
    assert fitted.sample(5, 0, y=3).shape == (5, 64)
    np.testing.assert_array_equal(fitted.sample(5, 0, y=3), fitted.sample(5, 0, y=3))
    np.testing.assert_array_equal(fitted.sample(random_state=0, y=3), fitted.sample(1, 0, y=3))
    for n in (0, -1, 2.5):
        with pytest.raises(ValueError, match=f"sample: n={n} must be a whole number"):
            fitted.sample(n, y=3)
    with pytest.raises(ShapeError, match=r"sample: .*y is None"):
        fitted.sample(y=None)


def test_each_draw_given_a_condition_has_a_code_of_its_own():
    decoder = lambda z, c=None: (z if c is None else z + 10.0 * c,)  # noqa: E731
    model = LatentModel(StandardNormal(1), decoder, Gaussian(1e-3))
    c = np.array([[0.0], [0.0], [1.0], [1.0]])
    given = model.sample(4, 3, c)
    np.testing.assert_allclose(given - 10.0 * c, model.sample(4, 3), rtol=1e-6)
    assert len(np.unique((given - 10.0 * c).round(2))) == 4


def test_by_bayes_rule_it_is_a_classifier(fitted):
    log_p = fitted.log_likelihood_of_classes(X_TEST[:100], n_samples=20)
    assert log_p.shape == (100, 10)
    assert (log_p.argmax(axis=1) == Y_TEST[:100]).mean() > 0.7


def test_style_transfer_keeps_the_code_and_changes_the_class(fitted):
    same = fitted.reconstruct(X_TEST[:5], Y_TEST[:5])
    np.testing.assert_array_equal(same, fitted.reconstruct(X_TEST[:5], Y_TEST[:5], Y_TEST[:5]))
    other = fitted.reconstruct(X_TEST[:5], Y_TEST[:5], as_y=np.zeros(5, int))
    z = fitted.transform(X_TEST[:5], Y_TEST[:5])
    np.testing.assert_array_equal(other, fitted.decode(z, np.zeros(5, int)))
    ends = fitted.interpolate(X[Y == 3][0], X[Y == 3][1], 3, n=4)
    assert ends.shape == (4, 64)


def test_real_valued_conditions_move_what_is_decoded():
    rng = np.random.default_rng(0)
    y = rng.uniform(-1, 1, (600, 1))
    x = np.hstack([2.0 * y, -y]) + 0.1 * rng.normal(size=(600, 2))
    model = ConditionalVAE(
        likelihood="gaussian", sigma="shared", hidden=(16,), activation="tanh", epochs=60,
        learning_rate=1e-2, random_state=0, latent_dim=1,
    ).fit(x, y)  # fmt: skip
    assert model.classes_ is None
    decoded = model.decode(np.zeros((3, 1)), [[-0.5], [0.0], [0.5]])
    np.testing.assert_allclose(decoded, [[-1, 0.5], [0, 0], [1, -0.5]], atol=0.15)
    with pytest.raises(ShapeError, match="y has shape"):
        model.decode(np.zeros((3, 1)), np.zeros((3, 2)))


def test_saved_and_loaded_it_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model.npz")
    again = ConditionalVAE.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.elbo(X_TEST, Y_TEST), fitted.elbo(X_TEST, Y_TEST))
    np.testing.assert_array_equal(again.classes_, np.arange(10))
    named = np.array(["zero", "one"])[(Y[:200] % 2)]
    model = ConditionalVAE(**SMALL, epochs=1).fit(X[:200], named)
    model.save(tmp_path / "named.npz")
    assert ConditionalVAE.load(tmp_path / "named.npz").classes_.tolist() == ["one", "zero"]


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path):
    path, whole = tmp_path / "run.npz", ConditionalVAE(**SMALL, epochs=3).fit(X[:300], Y[:300])

    class Stop(Exception):
        pass

    def stop(vae, epoch):
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        ConditionalVAE(**SMALL, epochs=3).fit(X[:300], Y[:300], checkpoint=path, on_epoch=stop)
    resumed = resume(path, X[:300], Y[:300])
    assert isinstance(resumed, ConditionalVAE)
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], value, err_msg=name)
    with pytest.raises(CheckpointError, match="not what this run was started on"):
        resume(path, X[:300], (Y[:300] + 1) % 10)


def test_what_makes_no_sense_is_refused(fitted):
    with pytest.raises(ShapeError, match="y is missing"):
        ConditionalVAE().fit(X, None)
    with pytest.raises(ShapeError, match="y has 3 rows for 5 data"):
        fitted.elbo(X[:5], Y[:3])
    with pytest.raises(ValueError, match=r"y\[1\] = 12 is not a class of fit; those are 0, 1"):
        fitted.elbo(X[:2], [1, 12])
    with pytest.raises(DtypeError, match="float64; it must be whole numbers"):
        ConditionalVAE(**SMALL, epochs=1).fit(X, Y + 0.5)
    with pytest.raises(NotFittedError):
        ConditionalVAE().elbo(X, Y)


def test_a_fit_that_ends_badly_leaves_model_and_classes_as_they_were(monkeypatch):
    model = ConditionalVAE(**SMALL, epochs=1).fit(X[:200], Y[:200] % 2)
    before = model.state_dict()

    def diverged(self, run):
        raise FloatingPointError("diverged")

    monkeypatch.setattr(ConditionalVAE, "_check_outcome", diverged)
    with pytest.raises(FloatingPointError, match="diverged"):
        model.fit(X[:200], Y[:200] % 3)
    assert model.classes_.tolist() == [0, 1]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_held_out_data_keep_their_conditions():
    model = ConditionalVAE(**SMALL, epochs=2, validation=0.2).fit(X, Y)
    assert len(model.history_["validation_elbo"]) == 2
    mixed = LatentModel(StandardNormal(2), model.decoder_, Binomial(16))
    assert mixed.prior_given(np.eye(10)) is mixed.prior


@pytest.mark.parametrize("hidden", [(4,), ()])
def test_a_model_of_x_given_y_asks_for_what_is_given(hidden):
    rng = np.random.default_rng(0)
    X, y = (rng.random((40, 5)) < 0.4).astype(float), rng.integers(0, 2, 40)
    vae = ConditionalVAE(latent_dim=1, hidden=hidden, epochs=1, random_state=0).fit(X, y)
    z = np.zeros((1, 1, 1))
    with pytest.raises(ValueError, match=r"say what is given, c=\.\.\., a row of numbers"):
        vae.model_.log_joint(X[:1], z)
    with pytest.raises(ValueError, match=r"say what is given"):
        vae.encoder_(X[:1])
    assert vae.model_.log_joint(X[:1], z, vae.conditions(y[:1], 1)).shape == (1, 1)


def test_what_would_be_loaded_in_silence_is_refused():
    class Blocks:  # as much of a Dask array as the doors look at
        shape, dtype, ndim = (float("nan"), 2), np.dtype(np.float32), 2
        __dask_graph__ = to_delayed = None

    X, y = np.eye(6, 2, dtype=np.float32), np.arange(6) % 2
    model = ConditionalVAE(2, hidden=(3,), epochs=1, random_state=0).fit(X, y)
    for ask in (model.elbo, model.transform, model.log_likelihood, model.impute, model.fit):
        with pytest.raises(DtypeError, match=r"X is a Dask Blocks, .* hand over X\.compute\(\) if"):
            ask(Blocks(), y)
    with pytest.raises(DtypeError, match=r"elbo: y is a Dask Blocks, .* hand over y\.compute\(\)"):
        model.elbo(X, Blocks())
