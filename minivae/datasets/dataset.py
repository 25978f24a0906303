"""One data set in memory, and how arrays from outside become one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minivae.errors import DatasetError
from minivae.notebook import card
from minivae.stored import StoredRows

__all__ = ["Dataset", "dataset_from_arrays", "kind_of", "largest_value", "square"]

# Below this, whole numbers are counts; above it, pixels of 8 bits, of which few images use all 255.
_LARGEST_COUNT = 127

# Fewer pixels than 4x4 are more likely measurements that happen to be a square number of columns.
_SMALLEST_IMAGE = 16


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test data, and what kind of numbers they are.

    Attributes
    ----------
    name
        What `load` was asked for, or the file's name.
    x_train, x_test
        Data ``(N, D)`` as stored: ``uint8`` from 0 to `max_value`, or floats. Training data may be
        `StoredRows`, which stay on disk.
    y_train, y_test
        Integer labels ``(N,)``, -1 where one is not known; or conditions, float64 ``(N, C)``; or
        None.
    image_shape
        ``(H, W)`` with ``H * W == D``, or None when the rows are not pictures.
    max_value
        The largest value that a whole-number datum can take (16 for optdigits, 255 for MNIST), or
        None for floats.
    kind
        ``"binary"`` (0 and 1), ``"counts"`` (whole numbers), ``"grey"`` (8-bit pixels, or floats in
        [0, 1]) or ``"real"``.
    source
        The name or path by which `load` finds the data again; None if they came from elsewhere.
    columns
        The names of the data's columns, if they came from a table with names.
    """

    name: str
    x_train: np.ndarray | StoredRows
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    image_shape: tuple[int, int] | None
    max_value: int | None
    kind: str
    source: str | None = None
    columns: tuple[str, ...] | None = None

    @property
    def test_labels(self) -> np.ndarray | None:
        """The labels of the test data, if there are any and they are not conditions."""
        return self.y_test if self.y_test is not None and self.y_test.ndim == 1 else None

    def _repr_html_(self) -> str:
        """What it is, in a notebook."""
        shape = self.image_shape
        labels = "none" if self.y_train is None else f"{len(np.unique(self.y_train))} classes"
        facts = [
            ("to train with", f"{len(self.x_train)} rows of {self.x_train.shape[1]} numbers"),
            ("to test with", f"{len(self.x_test)} rows"),
            ("kind", self.kind + (f", pictures of {shape[0]} x {shape[1]}" if shape else "")),
            ("labels", labels),
        ]
        return card(self.name, facts=facts)

    def model_arrays(self, *, counts: bool | None = None) -> tuple[Any, np.ndarray]:
        """Return the training and the test data as floats.

        Parameters
        ----------
        counts
            Whether whole numbers stay counts; else they are divided by `max_value`. By default if
            they are of the kind ``"counts"``. Floats are returned as they are.

        Returns
        -------
        x_train, x_test
            Of shape ``(N, D)``, float32 where they were whole numbers; what is on disk becomes
            that when it is read.
        """
        if self.max_value is None:
            return self.x_train, self.x_test
        counts = self.kind == "counts" if counts is None else counts
        scale = np.float32(1 if counts else self.max_value)
        if isinstance(self.x_train, StoredRows):
            x_train: Any = self.x_train.divided(float(scale))
        else:
            x_train = self.x_train.astype(np.float32) / scale
        return x_train, self.x_test.astype(np.float32) / scale


def dataset_from_arrays(
    name: str, arrays: Mapping[str, np.ndarray], *, hold_out: bool = True, conditions: bool = False
) -> Dataset:
    """Check arrays from outside, and infer what kind of data they are.

    Images ``(N, H, W)``, or with a single channel, are flattened. Rows of ``D = H * H`` whole
    numbers, or of numbers in [0, 1], are taken for square images. Whole numbers up to 127 are
    counts of their largest value, up to 255 grey pixels of 8 bits. Without test data, a sixth of
    the training data, drawn with a fixed seed, becomes the test data.

    Parameters
    ----------
    name
        What messages call the data.
    arrays
        ``x_train``, and as far as there are any ``x_test``, ``y_train``, ``y_test`` and the names
        of the ``columns``.
    hold_out
        Whether training data become test data where there are none; else ``x_test`` is empty.
    conditions
        Whether ``y_train`` and ``y_test`` are conditions and not labels.

    Raises
    ------
    DatasetError
        If shapes, dtypes or values are not those of a data set.
    """
    x_train, image_shape = _as_rows(name, "x_train", arrays["x_train"])
    read = _as_conditions if conditions else _as_labels
    y_train = read(name, "y_train", arrays.get("y_train"), len(x_train))
    if "x_test" in arrays:
        x_test, test_image_shape = _as_rows(name, "x_test", arrays["x_test"])
        y_test = read(name, "y_test", arrays.get("y_test"), len(x_test))
        if x_train.shape[1] != x_test.shape[1] or image_shape != test_image_shape:
            raise DatasetError(
                f"{name}: x_train has shape {arrays['x_train'].shape} and x_test "
                f"{arrays['x_test'].shape}: all but the number of rows must be equal"
            )
        if (x_train.dtype.kind == "f") != (x_test.dtype.kind == "f"):
            raise DatasetError(
                f"{name}: x_train is {x_train.dtype} and x_test {x_test.dtype}: store both as "
                "whole numbers or both as floats, in the same units"
            )
    elif "y_test" in arrays:
        raise DatasetError(f"{name}: there are labels y_test but no x_test that they belong to")
    elif not hold_out:
        x_test, y_test = x_train[:0], None if y_train is None else y_train[:0]
    else:
        chosen = _test_rows(name, len(x_train))
        x_train, x_test = x_train[~chosen], x_train[chosen]
        y_train, y_test = (None, None) if y_train is None else (y_train[~chosen], y_train[chosen])

    max_value = largest_value(x_train, x_test)
    if x_train.dtype.kind == "f":
        dtype = np.result_type(x_train, x_test, np.float32).newbyteorder("=")
        dtype = np.dtype(np.float64) if dtype.itemsize > 8 else dtype
    else:
        dtype = np.dtype(np.float64 if max_value is None else np.uint8)
    x_train, x_test = x_train.astype(dtype), x_test.astype(dtype)
    kind = kind_of(x_train, x_test, max_value)
    if image_shape is None and kind != "real":
        image_shape = square(x_train.shape[1])
    columns = tuple(map(str, arrays["columns"])) if "columns" in arrays else None
    return Dataset(
        name, x_train, y_train, x_test, y_test, image_shape, max_value, kind, columns=columns
    )


def _as_rows(name: str, key: str, array: np.ndarray) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Return data as ``(N, D)`` with the shape of the images, or refuse them."""
    where = f"{name}: {key} of shape {array.shape} and dtype {array.dtype}"
    if array.dtype.kind not in "buif":
        raise DatasetError(f"{where} is not numbers: data are integers or floats of shape (N, D)")
    if array.ndim == 1:
        mend = (
            "looks like labels, and data have shape (N, D) or (N, H, W): give the images instead"
            if array.dtype.kind in "bui"
            else "has one axis: use x.reshape(-1, 1) if each number is a datum"
        )
        raise DatasetError(f"{where} {mend}")
    if array.size == 0:
        raise DatasetError(f"{where} is empty: at least one row and one column are needed")
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):
        array = array[:, 0] if array.shape[1] == 1 else array[..., 0]
    if array.ndim not in (2, 3):
        raise DatasetError(
            f"{where} is neither (N, D) nor grey images (N, H, W): turn colour images grey, or "
            "flatten each datum to one row"
        )
    image_shape = (array.shape[1], array.shape[2]) if array.ndim == 3 else None
    rows = array.reshape(len(array), -1)
    if rows.dtype.kind == "f":
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            first = int(bad.argmax())
            values = rows[first]
            nan = np.isnan(values).any()
            what = "NaN" if nan else "infinity"
            more = ", or fit them from Python with missing='marginalise', which takes gaps"
            raise DatasetError(
                f"{where} holds {what} in row {first}, the first of {bad.sum()} such rows: drop "
                f"the rows{more if nan else ''}"
            )
    return rows, image_shape


def _as_labels(name: str, key: str, array: np.ndarray | None, n_rows: int) -> np.ndarray | None:
    """Return labels as int64 ``(N,)``, or refuse them."""
    if array is None:
        return None
    where = f"{name}: {key} of shape {array.shape} and dtype {array.dtype}"
    if array.shape not in ((n_rows,), (n_rows, 1)):
        raise DatasetError(
            f"{where} does not label {n_rows} rows: labels have shape ({n_rows},), and one-hot "
            "rows become labels by argmax(axis=1)"
        )
    labels = array.reshape(-1)
    whole = labels.dtype.kind in "bui" or (
        labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels % 1 == 0)).all())
    )
    if not whole:
        raise DatasetError(
            f"{where} is not whole numbers: number the classes, or leave the labels out"
        )
    return labels.astype(np.int64)


def _as_conditions(
    name: str, key: str, array: np.ndarray | None, n_rows: int
) -> np.ndarray | None:
    """Return conditions as float64 ``(N, C)``, or refuse them."""
    if array is None:
        raise DatasetError(f"{name} has no {key}: conditions are numbers for each row of the data")
    rows = array.reshape(-1, 1) if array.ndim == 1 else array
    where = f"{name}: {key} of shape {array.shape} and dtype {array.dtype}"
    if rows.ndim != 2 or len(rows) != n_rows or rows.dtype.kind not in "buif":
        raise DatasetError(f"{where} are not conditions of {n_rows} rows: those are numbers (N, C)")
    found = rows.astype(np.float64)
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DatasetError(f"{where} holds NaN or infinity in row {row}: drop the row")
    return found


def _test_rows(name: str, n_rows: int) -> np.ndarray:
    """Return a mask ``(N,)`` that is True at a sixth of the rows, the same ones in each run."""
    if n_rows < 2:
        raise DatasetError(
            f"{name}: one row of data is not enough to hold some back for testing: give at least "
            "two, or an x_test"
        )
    chosen = np.zeros(n_rows, dtype=bool)
    # RandomState, because only its streams are promised never to change.
    order = np.random.RandomState(0).permutation(n_rows)
    chosen[order[: max(1, n_rows // 6)]] = True
    return chosen


def largest_value(x_train: np.ndarray, x_test: np.ndarray) -> int | None:
    """Return the largest value that whole-number data can take, or None for measurements."""
    if x_train.dtype.kind == "f":
        return None
    some = [x for x in (x_train, x_test) if len(x)]
    lowest = min(int(x.min()) for x in some)
    highest = max(int(x.max()) for x in some)
    if lowest < 0 or highest > 255:
        return None
    return max(highest, 1) if highest <= _LARGEST_COUNT else 255


def kind_of(x_train: np.ndarray, x_test: np.ndarray, max_value: int | None) -> str:
    """Return what kind of numbers the data are."""
    if max_value is None:
        in_unit_interval = all(bool(((x >= 0) & (x <= 1)).all()) for x in (x_train, x_test))
        binary = all(bool(((x == 0) | (x == 1)).all()) for x in (x_train, x_test))
    else:
        in_unit_interval, binary = max_value == 255, max_value == 1
    if binary:
        return "binary"
    if in_unit_interval:
        return "grey"
    return "real" if max_value is None else "counts"


def square(n_pixels: int) -> tuple[int, int] | None:
    """Return the shape of a square image with this number of pixels, if there is one."""
    side = math.isqrt(n_pixels)
    return (side, side) if side * side == n_pixels >= _SMALLEST_IMAGE else None
