"""scikit-learn's conventions, data at the door, and random streams."""

import numpy as np
import pytest

from minivae import Tensor
from minivae.checks import check_data
from minivae.errors import DtypeError, NotFittedError, ShapeError
from minivae.estimator import Estimator
from minivae.randomness import entropy_from, stream


class Model(Estimator):
    def __init__(self, width=3, names=("a", "b"), weights=None):
        self.width, self.names, self.weights = width, names, weights


# Hyper-parameters ---------------------------------------------------------------------------------


def test_parameters_are_the_very_objects_that_were_given():
    names = ["x"]
    model = Model(names=names)
    assert model.get_params() == {"width": 3, "names": ["x"], "weights": None}
    assert model.get_params()["names"] is names
    assert Model(**model.get_params()).names is names


def test_set_params_sets_all_or_nothing():
    model = Model()
    assert model.set_params(width=5) is model
    assert model.width == 5
    with pytest.raises(ValueError, match=r"no parameter 'depth'; it has width, names, weights"):
        model.set_params(width=7, depth=1)
    assert model.width == 5


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(Model()) == "Model()"
    assert repr(Model(width=4, names=("a", "b"))) == "Model(width=4)"
    assert repr(Model(weights=np.ones(2))) == "Model(weights=array([1., 1.]))"


def test_an_unfitted_model_says_what_to_do():
    with pytest.raises(NotFittedError, match="score: This Model instance is not fitted yet"):
        Model()._require_fitted("score", "weights_")


# Data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "X",
    [
        [[0, 1], [2, 3]],
        np.array([[0, 1], [2, 3]], np.uint8),
        np.array([[0, 1], [2, 3]], np.float16),
        np.asfortranarray([[0.0, 1.0], [2.0, 3.0]]),
        np.arange(8.0).reshape(2, 4)[:, ::2] / [1, 2] + [[0, 0], [-2, 0]],
        Tensor([[0.0, 1.0], [2.0, 3.0]]),
        np.ma.masked_equal([[0, 1], [2, 3]], 9),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_data_become_contiguous_floats(X, dtype):
    checked = check_data(X, "fit", dtype=dtype)
    assert type(checked) is np.ndarray
    assert checked.dtype == dtype
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, [[0, 1], [2, 3]])


def test_data_that_are_right_already_are_not_copied():
    X = np.ones((3, 2), np.float32)
    assert np.shares_memory(check_data(X, "fit", dtype="float32"), X)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((2, 3, 4)), ShapeError, r"X has shape \(2, 3, 4\).*images must be flattened"),
        ([np.zeros((3, 4))] * 2, ShapeError, r"X has shape \(2, 3, 4\).*np\.concatenate\(X\)"),
        (np.zeros(3), ShapeError, r"X has shape \(3,\).*a single datum is X\[None, :\]"),
        (np.arange(3), ShapeError, r"X has shape \(3,\).*are these the labels\?"),
        (1.0, ShapeError, r"X has shape \(\)"),
        (np.zeros((0, 4)), ShapeError,
         r"X has shape \(0, 4\); there must be at least one datum .*: 0 sample\(s\)"),
        (np.zeros((4, 0)), ShapeError, r"X has shape \(4, 0\); .* one feature: 0 feature\(s\)"),
        ([], ShapeError, r"X has shape \(0,\)"),
        ([[1.0], [2.0, 3.0]], ShapeError, "all its rows must have one length"),
        (np.zeros((2, 3)), ShapeError, r"shape \(2, 3\); .* X has 3 features, but fit is .* 2"),
        (np.zeros((2, 2), complex), DtypeError, "complex128 data; it must be an array of real"),
        ([["a", "b"]], DtypeError, "real numbers"),
        (None, DtypeError, "X is a NoneType"),
        ({1: 2}, DtypeError, "X is a dict"),
        (np.array([[1, 2], [3, None]]), ValueError, r"X\[1, 1\] = nan, .* 1 rows that hold NaN"),
        (np.array([[1, "2"]], object), DtypeError, r"X\[0, 1\] is the word '2', and not a number"),
        (np.array([[1, {}]], object), DtypeError, r"X\[0, 1\] is not a number: .*not 'dict'"),
        (np.ma.masked_equal([[0.0, 1.0]], 1.0), ValueError, "masked in 1 places"),
    ],
)
def test_data_of_a_wrong_kind_are_refused(X, error, message):
    with pytest.raises(error, match="^fit: .*" + message):
        check_data(X, "fit", dtype="float32", n_features=2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_number_that_is_not_finite_is_named(value):
    X = np.zeros((5, 3))
    X[2, 1] = X[4, 0] = value
    with pytest.raises(ValueError, match=rf"score: z\[2, 1\] = {value}, one of 2 rows"):
        check_data(X, "score", dtype="float64", name="z")


def test_numbers_too_large_for_the_dtype_are_named():
    X = np.ones((3, 2))
    X[1, 1] = 1e39
    check_data(X, "fit", dtype="float64")
    with pytest.raises(ValueError, match=r"X\[1, 1\] = 1e\+39 is too large for float32"):
        check_data(X, "fit", dtype="float32")


def test_large_numbers_whose_sum_overflows_are_fine():
    X = np.full((4, 2), 1e308)
    np.testing.assert_array_equal(check_data(X, "fit", dtype="float64"), X)


# Randomness ---------------------------------------------------------------------------------------


def test_generators_are_drawn_from_and_numbers_are_kept():
    assert entropy_from(7) == entropy_from(np.int64(7)) == 7
    assert entropy_from(None) != entropy_from(None)
    for make in (np.random.default_rng, np.random.RandomState):
        rng = make(0)
        first = entropy_from(rng)
        assert first == entropy_from(make(0))
        assert entropy_from(rng) != first


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "seed", np.ones(2)])
def test_other_random_states_are_refused(wrong):
    with pytest.raises(ValueError, match=r"random_state=.* must be a whole number from 0"):
        entropy_from(wrong)


def test_streams_repeat_and_differ():
    draws = {(e, k): stream(e, k).random() for e in (0, 1) for k in (0, 1)}
    assert len(set(draws.values())) == 4
    assert stream(0, 1).random() == draws[0, 1]
