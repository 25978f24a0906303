"""p(y given x) by networks, against convex optima, closed forms and a conditional that is known."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import norm

from minivae import NeuralClassifier, NeuralRegressor
from minivae.checkpoint import load_checkpoint, save_checkpoint
from minivae.errors import CheckpointError, DtypeError, NotFittedError, ShapeError
from minivae.gradcheck import assert_gradcheck
from minivae.models.predictors import log_weight_prior


def two_classes(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    y = (rng.random(n) < 1 / (1 + np.exp(-(1.5 * X[:, 0] - X[:, 1])))).astype(int)
    return X, y


@pytest.mark.equation("USE.9")
@pytest.mark.equation("USE.11")
@pytest.mark.parametrize("weight_decay", [0.0, 20.0])
def test_logistic_regression_is_the_convex_optimum(weight_decay):
    X, y = two_classes()
    model = NeuralClassifier(
        weight_decay=weight_decay, epochs=400, batch_size=200, learning_rate=0.05, random_state=0
    ).fit(X, y)
    Z = (X - X.mean(0)) / X.std(0)

    def loss(w):
        W, b = w[:4].reshape(2, 2), w[4:]
        log_p = log_softmax(Z @ W + b, axis=1)[np.arange(len(y)), y]
        return -log_p.sum() + 0.5 * weight_decay * (W**2).sum()

    best = minimize(loss, np.zeros(6), tol=1e-12)
    W, b = best.x[:4].reshape(2, 2), best.x[4:]
    wanted = log_softmax(Z @ W + b, axis=1)
    np.testing.assert_allclose(model.predict_log_proba(X), wanted, atol=2e-3)


@pytest.mark.equation("USE.11")
def test_the_penalty_is_a_log_prior():
    rng = np.random.default_rng(0)
    W, V = rng.normal(size=(3, 2)), rng.normal(size=(2, 4))
    n, tau = W.size + V.size, 2.5
    wanted = sum(norm.logpdf(A, scale=tau**-0.5).sum() for A in (W, V))
    constant = 0.5 * n * np.log(tau / (2 * np.pi))
    assert float(log_weight_prior([W, V], tau)) + constant == pytest.approx(wanted)
    assert_gradcheck(lambda w: log_weight_prior([w], tau), W)


@pytest.mark.equation("USE.10")
def test_the_regressor_recovers_mean_and_sigma_of_a_known_conditional():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (1500, 1))
    mu, sigma = 10 * np.sin(x[:, 0]), np.exp(0.5 + 0.5 * x[:, 0])
    y = mu + sigma * rng.normal(size=1500)
    model = NeuralRegressor((24,), epochs=60, learning_rate=0.01, random_state=0).fit(x, y)
    test = np.linspace(-1.8, 1.8, 50)[:, None]
    found, spread = model.predict(test, return_std=True)
    truth = np.exp(0.5 + 0.5 * test[:, 0])
    assert np.abs((found - 10 * np.sin(test[:, 0])) / truth).mean() < 0.2
    assert np.abs(np.log(spread / truth)).mean() < 0.12
    log_p = norm.logpdf(y[:50], *(a[:50] for a in model.predict(x, return_std=True)))
    np.testing.assert_allclose(model.log_prob(x[:50], y[:50]), log_p, rtol=1e-9)


@pytest.mark.equation("USE.10")
def test_the_density_integrates_to_one_in_the_units_of_y():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 1))
    model = NeuralRegressor(epochs=5, random_state=0).fit(x, 300 + 50 * rng.normal(size=40))
    grid = np.linspace(-400, 1000, 4001)
    p = np.exp(model.log_prob(np.full((4001, 1), 0.3), grid))
    assert np.trapezoid(p, grid) == pytest.approx(1, abs=1e-6)


def test_a_floor_bounds_the_likelihood():
    x = np.arange(6.0)[:, None]
    model = NeuralRegressor(epochs=300, learning_rate=0.1, random_state=0).fit(x, 2 * x[:, 0])
    _, sigma = model.predict(x, return_std=True)
    assert (sigma >= np.exp(-5.0) * model.y_scale_ * (1 - 1e-9)).all()
    assert np.isfinite(model.log_prob(x, 2 * x[:, 0])).all()


@pytest.mark.parametrize("kind", [NeuralClassifier, NeuralRegressor])
def test_files_and_seeds(tmp_path, kind):
    X, y = two_classes(60)
    X = np.c_[X, np.full(60, 3.0)]  # a feature that does not vary
    one, two = (kind((4,), epochs=3, random_state=1).fit(X, y) for _ in range(2))
    one.save(tmp_path / "m.npz")
    back = kind.load(tmp_path / "m.npz")
    for other in (two, back):
        np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert back.get_params()["hidden"] == (4,)
    assert np.isfinite(one.score(X, y))
    other_kind = NeuralRegressor if kind is NeuralClassifier else NeuralClassifier
    with pytest.raises(CheckpointError, match="not a saved"):
        other_kind.load(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("kind", "change", "complaint"),
    [
        (NeuralClassifier, lambda a, m: a.update(scale_=np.zeros(2)), "X needs a finite mean"),
        (NeuralClassifier, lambda a, m: a.update(mean_=np.array([0, np.nan])), "X needs a finite"),
        (NeuralClassifier, lambda a, m: a.update(mean_=np.zeros(3)), "X needs a finite mean"),
        (NeuralClassifier, lambda a, m: m["fitted"].update(classes_=[1, 0]), "in order, each once"),
        (NeuralClassifier, lambda a, m: m["fitted"].update(classes_=[]), "whole numbers or names"),
        (NeuralClassifier, lambda a, m: m.update(heads=[3]), r"heads of \[3\], not \[2\]"),
        (NeuralClassifier, lambda a, m: m["params"].update(hidden=[10**9]), "more weights than"),
        (NeuralClassifier, lambda a, m: m["params"].update(hidden=[0]), "hidden"),
        (NeuralClassifier, lambda a, m: m.update(feature_names=["a"]), "not a list of 2 names"),
        (NeuralClassifier, lambda a, m: a.pop("mean_"), "has no 'mean_'"),
        (NeuralRegressor, lambda a, m: m["fitted"].update(y_scale_=[-1.0]), "y needs a finite"),
        (NeuralRegressor, lambda a, m: m["fitted"].update(y_mean_=["a"]), "not an array of real"),
    ],
)
def test_what_no_fit_leaves_is_not_loaded(tmp_path, kind, change, complaint):
    X, y = two_classes(20)
    kind((4,), epochs=1, random_state=1).fit(X, y).save(tmp_path / "m.npz")
    arrays, metadata = load_checkpoint(tmp_path / "m.npz")
    change(arrays, metadata)
    save_checkpoint(tmp_path / "m.npz", arrays, metadata)
    with pytest.raises(CheckpointError, match=complaint):
        kind.load(tmp_path / "m.npz")


def test_a_fit_that_is_stopped_leaves_the_model_as_it_was(monkeypatch):
    X, y = two_classes(60)
    model = NeuralClassifier(epochs=3, random_state=0).fit(X, y)
    before, probabilities = vars(model).copy(), model.predict_proba(X)

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("minivae.training.Run.run", stopped)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :1], 1 - y)
    assert vars(model) == before
    np.testing.assert_array_equal(model.predict_proba(X), probabilities)


def test_names_of_classes_are_given_back():
    X, y = two_classes(60)
    model = NeuralClassifier(epochs=30, random_state=0).fit(X, np.array(["no", "yes"])[y])
    assert set(model.predict(X)) == {"no", "yes"}
    assert model.score(X, np.array(["no", "yes"])[y]) > 0.6
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_refusals():
    X, y = two_classes(10)
    with pytest.raises(NotFittedError):
        NeuralClassifier().predict(X)
    with pytest.raises(ShapeError, match="for 10 data"):
        NeuralClassifier().fit(X, y[:5])
    with pytest.raises(DtypeError, match="whole numbers or names"):
        NeuralClassifier().fit(X, y + 0.5)
    with pytest.raises(ShapeError, match="one each"):
        NeuralRegressor().fit(X, np.zeros(3))
    with pytest.raises(ValueError, match="weight_decay"):
        NeuralClassifier(weight_decay=-1).fit(X, y)
    with pytest.raises(ValueError, match="hidden"):
        NeuralClassifier(hidden=(0,)).fit(X, y)
    model = NeuralRegressor(epochs=1).fit(X, y.astype(float))
    with pytest.raises(ShapeError, match="fit was given 1"):
        model.log_prob(X, np.zeros((10, 2)))
