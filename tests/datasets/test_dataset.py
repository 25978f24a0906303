"""Arrays from outside become a data set, or are refused at the door."""

import dataclasses

import numpy as np
import pytest

from minivae import recipe
from minivae.datasets.dataset import dataset_from_arrays
from minivae.errors import DatasetError

RNG = np.random.default_rng(0)


def counts(n, d, highest=16):
    """Return bytes ``(n, d)`` from 0 to `highest`, both of which occur."""
    x = RNG.integers(0, highest + 1, size=(n, d), dtype=np.uint8)
    x[0, :2] = 0, highest
    return x


# ---- What data are taken for -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "dtype", "max_value", "kind"),
    [
        (counts(8, 64, 16), "uint8", 16, "counts"),
        (counts(8, 64, 16).astype(np.int64), "uint8", 16, "counts"),
        (counts(8, 64, 1), "uint8", 1, "binary"),
        (counts(8, 64, 1).astype(bool), "uint8", 1, "binary"),
        (np.zeros((8, 64), np.uint8), "uint8", 1, "binary"),
        (counts(8, 64, 255), "uint8", 255, "grey"),
        (counts(8, 64, 200), "uint8", 255, "grey"),
        (counts(8, 64, 2).astype(np.int16) - 1, "float64", None, "real"),
        (np.full((8, 64), 1000), "float64", None, "real"),
        (RNG.random((8, 64)), "float64", None, "grey"),
        (RNG.random((8, 64)).astype(">f4"), "float32", None, "grey"),
        (np.eye(8), "float64", None, "binary"),
        (np.eye(8, dtype=np.float16), "float32", None, "binary"),
        (RNG.standard_normal((8, 3)), "float64", None, "real"),
    ],
)
def test_what_values_are_taken_for(x, dtype, max_value, kind):
    dataset = dataset_from_arrays("data", {"x_train": x, "x_test": x[:2]})
    assert dataset.x_train.dtype == dataset.x_test.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(dataset.x_train, x)
    np.testing.assert_array_equal(dataset.x_test, x[:2])
    assert dataset.max_value == max_value
    assert dataset.kind == kind


@pytest.mark.parametrize(
    ("x", "found"),
    [
        (counts(8, 64, 1), {"likelihood": "bernoulli"}),
        (counts(8, 64, 16), {"likelihood": "binomial", "n_trials": 16}),
        (counts(8, 64, 255), {"likelihood": "continuous-bernoulli"}),
        (RNG.standard_normal((8, 3)), {"likelihood": "gaussian", "sigma": "shared"}),
    ],
)
def test_the_recipe_of_a_file_follows_from_its_kind(x, found):
    dataset = dataset_from_arrays("optdigits", {"x_train": x, "x_test": x[:2]})
    assert recipe(dataset) == {**found, "hidden": (400,), "activation": "relu"}


def test_the_test_data_count_too():
    dataset = dataset_from_arrays("data", {"x_train": counts(4, 4, 1), "x_test": counts(4, 4, 9)})
    assert dataset.max_value == 9


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((6, 4, 7), (4, 7)),
        ((6, 4, 7, 1), (4, 7)),
        ((6, 1, 4, 7), (4, 7)),
        ((6, 64), (8, 8)),
        ((6, 16), (4, 4)),
        ((6, 9), None),
        ((6, 63), None),
    ],
)
def test_image_shapes(shape, image_shape):
    x = RNG.random(shape)
    dataset = dataset_from_arrays("data", {"x_train": x, "x_test": x})
    assert dataset.image_shape == image_shape
    np.testing.assert_array_equal(dataset.x_train, x.reshape(6, -1))


def test_measurements_are_no_pictures():
    x = RNG.standard_normal((6, 16))
    assert dataset_from_arrays("data", {"x_train": x}).image_shape is None


def test_counts_stay_counts_or_become_shares():
    dataset = dataset_from_arrays("data", {"x_train": counts(9, 64, 16), "x_test": counts(5, 64)})
    for counts_stay, scale in ((None, 1), (True, 1), (False, 16)):
        arrays = dataset.model_arrays(counts=counts_stay)
        for array, stored in zip(arrays, (dataset.x_train, dataset.x_test), strict=True):
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array * scale, stored)


def test_model_arrays_leave_floats_alone():
    x = RNG.random((9, 4))
    dataset = dataset_from_arrays("data", {"x_train": x, "x_test": x})
    np.testing.assert_array_equal(dataset.model_arrays(counts=False)[0], x)


def test_a_dataset_is_frozen():
    dataset = dataset_from_arrays("data", {"x_train": counts(9, 4)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"


# ---- The split -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "n_test"), [(2, 1), (11, 1), (12, 2), (100, 16)])
def test_a_sixth_becomes_the_test_data(n, n_test):
    x = np.arange(3 * n, dtype=np.float64).reshape(n, 3)
    y = np.arange(n)
    first = dataset_from_arrays("data", {"x_train": x, "y_train": y})
    again = dataset_from_arrays("data", {"x_train": x, "y_train": y})
    assert len(first.x_test) == n_test
    np.testing.assert_array_equal(first.y_test, again.y_test)
    np.testing.assert_array_equal(np.sort(np.concatenate([first.y_train, first.y_test])), y)
    np.testing.assert_array_equal(first.x_train, x[first.y_train])
    np.testing.assert_array_equal(first.x_test, x[first.y_test])


def test_the_split_is_the_same_on_any_day():
    dataset = dataset_from_arrays("data", {"x_train": np.zeros((20, 1)), "y_train": np.arange(20)})
    assert dataset.y_test.tolist() == [1, 18, 19]


def test_without_labels():
    dataset = dataset_from_arrays("data", {"x_train": counts(12, 4)})
    assert dataset.y_train is None
    assert dataset.y_test is None


@pytest.mark.parametrize("y", [np.arange(6, dtype=np.uint8), np.arange(6.0), np.c_[:6]])
def test_labels_become_integers(y):
    x = counts(6, 4)
    dataset = dataset_from_arrays("data", {"x_train": x, "y_train": y, "x_test": x})
    assert dataset.y_train.dtype == np.int64
    assert dataset.y_train.tolist() == [0, 1, 2, 3, 4, 5]


# ---- What is refused -------------------------------------------------------------------------

X = np.linspace(0, 1, 24).reshape(6, 4)


def with_value(value, *rows):
    x = X.copy()
    x[list(rows), 1] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.arange(5)}, r"x_train of shape \(5,\) and dtype int64 looks like labels"),
        ({"x_train": np.arange(5.0)}, r"has one axis: use x\.reshape\(-1, 1\)"),
        ({"x_train": np.array(3.0)}, r"is neither \(N, D\) nor grey images"),
        ({"x_train": np.zeros((5, 4, 4, 3))}, "turn colour images grey"),
        ({"x_train": np.zeros((0, 4))}, r"x_train of shape \(0, 4\) .* is empty"),
        ({"x_train": np.zeros((4, 0))}, "is empty"),
        ({"x_train": np.array([["a"]])}, "is not numbers"),
        ({"x_train": np.zeros((3, 3), complex)}, "is not numbers"),
        ({"x_train": with_value(np.nan, 2, 4)}, "holds NaN in row 2, the first of 2 such rows"),
        ({"x_train": with_value(-np.inf, 5)}, "holds infinity in row 5, the first of 1 such rows"),
        ({"x_train": X, "x_test": with_value(np.nan, 3)}, "x_test .* holds NaN in row 3"),
        ({"x_train": X[:1]}, "one row of data is not enough"),
        ({"x_train": X, "x_test": X[:, :3]}, r"shape \(6, 4\) and x_test \(6, 3\): all but"),
        ({"x_train": X.reshape(6, 2, 2), "x_test": X}, r"\(6, 2, 2\) and x_test \(6, 4\)"),
        ({"x_train": X, "x_test": counts(3, 4)}, "x_train is float64 and x_test uint8"),
        ({"x_train": X, "y_test": np.arange(3)}, "labels y_test but no x_test"),
        ({"x_train": X, "y_train": np.arange(5)}, r"does not label 6 rows: .* shape \(6,\)"),
        ({"x_train": X, "y_train": np.eye(6)}, r"one-hot rows become labels by argmax"),
        ({"x_train": X, "y_train": np.full(6, 0.5)}, "is not whole numbers"),
        ({"x_train": X, "y_train": np.full(6, np.nan)}, "is not whole numbers"),
        ({"x_train": X, "y_train": np.full(6, "cat")}, "is not whole numbers: number the classes"),
    ],
)
def test_what_is_refused(arrays, message):
    with pytest.raises(DatasetError, match=message) as caught:
        dataset_from_arrays("my.npz", arrays)
    assert str(caught.value).startswith("my.npz: ")
