"""What a scikit-learn user may rely on in words and in refusals, without scikit-learn."""

import copy
import pickle
import re

import numpy as np
import pytest

from minivae import GaussianMixture
from minivae.datasets import load_faithful
from minivae.errors import NotFittedError, ShapeError

TYPES = ("full", "tied", "diag", "spherical")
X = np.random.default_rng(0).normal(size=(50, 2)) + np.repeat([[0.0], [6.0]], 25, axis=0)


def fitted():
    return GaussianMixture(2, random_state=0).fit(X)


def as_it_was(model):
    return {name: np.copy(value) for name, value in vars(model).items() if name.endswith("_")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_weight": ["a"] * 50}, "fit: sample_weight is not an array of real .*'a'"),
        ({"sample_weight": [[1], [1, 2]]}, "fit: sample_weight is not an array of real numbers"),
        ({"sample_weight": 2.0}, r"sample_weight has shape \(\); it must be \(50,\)"),
        ({"sample_weight": np.full(50, np.inf)}, r"\[0\] = inf; it must be a finite number from 0"),
        ({"sample_weight": -np.ones(50)}, r"\[0\] = -1.0; it must be a finite number from 0"),
        ({"sample_weight": np.zeros(50)}, "is 0 for all 50 rows; some must not be zero"),
        ({"sample_weight": np.full(50, 1e308)}, "adds up to infinity; divide the weights"),
    ],
)
def test_weights_that_make_no_sense(options, message):
    model = fitted()
    before = as_it_was(model)
    for method in (model.fit, model.partial_fit, model.fit_predict):
        with pytest.raises(ValueError, match=message.replace("fit: ", "")):
            method(X, **options)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(model, name), value)


SINGULAR = np.array([[1.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"means_init": "abc"}, "The parameter 'means' is not an array of real numbers"),
        ({"means_init": [[1.0], [1.0, 2.0]]}, "The parameter 'means' is not an array of real"),
        ({"weights_init": [None, 1j]}, "The parameter 'weights' is not an array of real numbers"),
        (
            {"precisions_init": np.stack([np.eye(2), SINGULAR])},
            "positive-definite; that of component 1 has the eigenvalue",
        ),
        (
            {"precisions_init": np.stack([1e-320 * np.eye(2), np.eye(2)])},
            "positive-definite; that of component 0 has the eigenvalue",
        ),
        (
            {"precisions_init": np.stack([np.eye(2), np.diag([1.0, 1e-20])])},
            "component 1 has the eigenvalue 1e-20",
        ),
        (
            {"covariance_type": "tied", "precisions_init": SINGULAR},
            "'tied precision' should be symmetric, positive-definite; that of all components",
        ),
        (
            {"covariance_type": "diag", "precisions_init": [[1, 1], [1, 1e-320]]},
            "'diag precision' should be positive; that of component 1 is",
        ),
        ({"covariance_type": np.array(TYPES[:2])}, "covariance_type=array.* must be one of"),
        ({"init_params": ["kmeans"]}, "init_params=.* must be one of"),
    ],
)
def test_initial_values_that_make_no_sense(options, message):
    model = fitted()
    before = as_it_was(model)
    with pytest.raises(ValueError, match=message):
        model.set_params(**options).fit(X)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(model, name), value)


@pytest.mark.parametrize("kind", TYPES)
def test_precisions_as_small_as_numbers_allow_are_taken(kind):
    least = 1e-290
    P = {"full": np.stack([least * np.eye(2)] * 2), "tied": least * np.eye(2),
         "diag": np.full((2, 2), least), "spherical": np.full(2, least)}[kind]  # fmt: skip
    model = GaussianMixture(2, covariance_type=kind, precisions_init=P, max_iter=0, random_state=0)
    np.testing.assert_allclose(model.fit(X).precisions_, P, rtol=1e-12)


def test_a_chunk_of_another_width_is_named():
    with pytest.raises(ShapeError, match=r"chunk 1 has shape \(50, 1\); all .* have 2 columns"):
        GaussianMixture(2).fit([X, X[:, :1]])

    class Shrinking:
        width = 3

        def __iter__(self):
            self.width -= 1
            return iter([X[:, : self.width]])

    with pytest.raises(ShapeError, match=r"chunk 0 has shape \(50, 1\); all .* have 2 columns"):
        GaussianMixture(2).fit(Shrinking())


# ---- words that programs look for ----


def test_not_fitted_in_scikit_learns_words():
    words = "This GaussianMixture instance is not fitted yet. Call 'fit' with appropriate arguments"
    for method in ("predict", "predict_proba", "score", "score_samples", "bic", "aic"):
        with pytest.raises(NotFittedError, match=re.escape(words)):
            getattr(GaussianMixture(), method)(X)
    with pytest.raises(NotFittedError, match=re.escape(words)):
        GaussianMixture().sample()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", TYPES)
def test_attributes_are_float64_and_describe_one_another(kind, dtype):
    model = GaussianMixture(2, covariance_type=kind, random_state=0).fit(X.astype(dtype))
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(model, name).dtype == np.float64
    if kind in ("full", "tied"):
        np.testing.assert_allclose(np.linalg.inv(model.precisions_), model.covariances_)
    else:
        np.testing.assert_allclose(1 / model.precisions_, model.covariances_)


def test_copies_and_pickles_predict_alike():
    model = fitted()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))


def test_y_is_ignored():
    np.testing.assert_array_equal(
        GaussianMixture(2, random_state=0).fit(X, np.arange(50)).means_, fitted().means_
    )


def test_parameters_that_were_taken_over_can_be_used_and_kept(tmp_path):
    X = load_faithful()
    fitted = GaussianMixture(2, random_state=0).fit(X)
    taken = GaussianMixture(2, warm_start=True)
    taken.load_state_dict(fitted.state_dict())
    assert np.isnan(taken.lower_bound_)  # of which data?
    np.testing.assert_array_equal(taken.score_samples(X), fitted.score_samples(X))
    taken.save(tmp_path / "taken.npz")
    again = GaussianMixture.load(tmp_path / "taken.npz")
    for model in (taken, again):
        assert model.fit(X).lower_bound_ == pytest.approx(fitted.lower_bound_, abs=1e-3)
    taken.load_state_dict(fitted.state_dict())
    taken.partial_fit(X)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", [-1.0, 2.0]), ("weights", [0.5, 0.6]), ("weights", [np.nan, 1.0]),
        ("means", [[np.nan, 0.0], [0.0, 0.0]]),
    ],
)  # fmt: skip
def test_parameters_that_are_none_are_not_taken_over(name, value):
    mixture = GaussianMixture(2, random_state=0).fit(load_faithful())
    before = mixture.state_dict()
    with pytest.raises(ValueError, match="load_state_dict: means must be finite, weights"):
        mixture.load_state_dict({**before, name: np.array(value)})
    for key, array in mixture.state_dict().items():
        np.testing.assert_array_equal(array, before[key])
