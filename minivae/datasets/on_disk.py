"""A data set whose training data stay on disk: the file is mapped, and read once to check it."""

from pathlib import Path
from typing import Any

import numpy as np

from minivae.datasets.dataset import Dataset, kind_of, largest_value, square
from minivae.errors import DatasetError
from minivae.reading import refused
from minivae.stored import StoredRows

__all__ = ["MAPPED", "dataset_on_disk", "map_npy"]

MAPPED = 2**28  # bytes of an .npy file from which on it is mapped
_MOST_TEST = 10_000  # rows held back
_AT_ONCE = 2**22  # numbers


def map_npy(path: Path) -> Any:
    """Return the array in an ``.npy`` file, mapped and not read.

    Raises
    ------
    DatasetError
        If the file is truncated, damaged or holds pickled objects.
    """
    with refused(DatasetError, str(path), "no .npy file of numbers"):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def dataset_on_disk(name: str, array: Any, *, hold_out: bool = True) -> Dataset:
    """Read rows or images on disk once, and infer what kind of data they are.

    They are understood as by ``dataset_from_arrays``. A sixth of the rows, at most 10,000, drawn
    with a fixed seed, become the test data, which are kept in memory.

    Parameters
    ----------
    name
        What messages call the data.
    array
        ``(N, D)``, or images ``(N, H, W)``, on disk.
    hold_out
        Whether there are test data.

    Raises
    ------
    DatasetError
        If there are no rows, or too few to hold some back, or some are not finite numbers.
    """
    where = f"{name}: x_train of shape {array.shape} and dtype {array.dtype}"
    if array.dtype.kind not in "buif" or array.ndim < 2 or 0 in array.shape:
        raise DatasetError(f"{where} is not rows of numbers: data have shape (N, D) or (N, H, W)")
    shape = array.shape[1:]
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        shape = shape[1:] if shape[0] == 1 else shape[:2]
    if len(shape) > 2:
        raise DatasetError(
            f"{where} is neither (N, D) nor grey images (N, H, W): turn colour images grey, or "
            "flatten each datum to one row"
        )
    rows = StoredRows(array)
    seen = _extremes(rows, where)
    most = largest_value(seen, seen[:0])
    kind = kind_of(seen, seen[:0], most)
    image_shape = (int(shape[0]), int(shape[1])) if len(shape) == 2 else None
    if image_shape is None and kind != "real":
        image_shape = square(rows.shape[1])
    test = np.empty(0, np.int64)
    if hold_out:
        if len(rows) < 2:
            raise DatasetError(f"{name}: one row of data is not enough to hold some back")
        # RandomState, because only its streams are promised never to change.
        order = np.random.RandomState(0).permutation(len(rows))
        test = np.sort(order[: max(1, min(len(rows) // 6, _MOST_TEST))])
    train = np.delete(np.arange(len(rows)), test) if len(test) else slice(None)
    x_test = rows.as_stored(test)
    if most is not None:
        x_test = x_test.astype(np.uint8)
    return Dataset(name, rows.select(train), None, x_test, None, image_shape, most, kind)


def _extremes(rows: StoredRows, where: str) -> np.ndarray:
    """A few of the numbers that tell what kind all are: the extremes, and one that is not 0 or 1.

    Returns
    -------
    Of shape ``(1, 3)``.
    """
    low, high, grey = None, None, None
    step = max(1, _AT_ONCE // rows.shape[1])
    for start in range(0, len(rows), step):
        part = rows.read(start, min(start + step, len(rows)))
        if part.dtype.kind == "f":
            bad = ~np.isfinite(part).all(axis=1)
            if bad.any():
                first = int(bad.argmax())
                what = "NaN" if np.isnan(part[first]).any() else "infinity"
                raise DatasetError(
                    f"{where} holds {what} in row {start + first}: drop such rows, or fill the gaps"
                )
        low = part.min() if low is None else min(low, part.min())
        high = part.max() if high is None else max(high, part.max())
        if grey is None:
            between = part[(part != 0) & (part != 1)]
            grey = between[0] if between.size else None
    return np.array([[low, high, low if grey is None else grey]], dtype=rows.source.dtype)
