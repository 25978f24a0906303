"""`load` and `load_faithful`: from a name or a path to data."""

import dataclasses
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from minivae.datasets.dataset import Dataset, dataset_from_arrays
from minivae.datasets.files import (
    IDX_FILES,
    find_idx_file,
    is_idx,
    is_npy,
    is_npz,
    parse_idx,
    read_bytes,
    read_npy,
    read_npz,
)
from minivae.datasets.on_disk import MAPPED, dataset_on_disk, map_npy
from minivae.datasets.published import PUBLISHED, load_published
from minivae.datasets.tables import parse_table
from minivae.errors import DatasetError
from minivae.reading import opened, refused, shown

__all__ = ["load", "load_faithful"]

_ALIASES = {"digits": "optdigits"}
_TABLES = (".csv", ".tsv", ".txt")

_NAMES = ("optdigits", "mnist", "fashion-mnist", "faithful")


def load(
    name_or_path: str | os.PathLike[str], *, hold_out: bool = True, conditions: Sequence[str] = ()
) -> Dataset:
    """Load a data set by its name, or from a file.

    Parameters
    ----------
    name_or_path
        ``"optdigits"`` (or ``"digits"``) or ``"faithful"``, which are embedded; ``"mnist"`` or
        ``"fashion-mnist"``, looked for in the folder ``$MINIVAE_DATA``, where Debian's
        ``dataset-fashion-mnist`` puts it, and in the user's cache, else downloaded into that cache;
        or a path to an ``.npz`` file
        (`read_npz` says which names it may use), to an IDX file of images, raw or gzip, or to a
        folder with MNIST's four IDX files, of which only the training images are necessary, to an
        ``.npy`` file, or to a table of text, ``.csv``, ``.tsv`` or ``.txt`` (`parse_table` says
        what it may look like). `dataset_from_arrays` says how files are understood. An ``.npy``
        file of 256 MB or more stays on disk: its ``x_train`` are `StoredRows`.
    hold_out
        Whether some training data become the test data where there are none.
    conditions
        The columns that are conditions and not data: names of a table's columns, or their
        numbers from 1 if they have none. Of an ``.npz`` file ``("y",)``, its ``y_train`` as it is.

    Raises
    ------
    DatasetError
        If there is no such data set, or it cannot be read or downloaded.
    """
    name = str(name_or_path).lower().replace("_", "-")
    name = _ALIASES.get(name, name)
    if isinstance(name_or_path, str) and name in _NAMES:
        if conditions:
            raise DatasetError(f"{name} has labels and no conditions: those are columns of a table")
        if name in PUBLISHED:
            arrays = load_published(name)
        else:
            arrays = {"x_train": load_faithful()} if name == "faithful" else _embedded_digits()
        return dataclasses.replace(
            dataset_from_arrays(name, arrays, hold_out=hold_out),
            source=name,
        )
    path = Path(os.path.expanduser(name_or_path))
    if not os.path.exists(path):
        raise DatasetError(
            f"there is no data set and no file {shown(name_or_path)!r}: the data sets are "
            f"{', '.join(_NAMES)}, and a file is an .npz, .npy, .csv or IDX file, or a folder "
            "with the four IDX files of MNIST"
        )
    given = bool(conditions)
    large = not os.path.isdir(path) and os.path.getsize(path) >= MAPPED
    if large and not given and _starts_as_npy(path):
        data = dataset_on_disk(path.name, map_npy(path), hold_out=hold_out)
    else:
        arrays = _read_path(path, conditions)
        data = dataset_from_arrays(path.name, arrays, hold_out=hold_out, conditions=given)
    return dataclasses.replace(data, source=str(path.resolve()))


def _starts_as_npy(path: Path) -> bool:
    with refused(DatasetError, str(path)), opened(path) as (file, _):
        return is_npy(file.read(8))


def load_faithful() -> np.ndarray:
    """Return the Old Faithful eruptions: minutes of eruption and of waiting, float64 ``(272, 2)``.

    The source is Azzalini and Bowman (1990), Applied Statistics 39, 357-365.
    """
    table = resources.files("minivae.datasets").joinpath("faithful", "faithful.csv")
    with table.open(encoding="ascii") as lines:
        return np.loadtxt(lines, delimiter=",", skiprows=1)


def _embedded_digits() -> dict[str, np.ndarray]:
    """Return the arrays of the optical digits."""
    archive = resources.files("minivae.datasets").joinpath("optdigits", "optdigits.npz")
    with resources.as_file(archive) as path:
        return read_npz(path)


def _read_path(path: Path, conditions: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return the arrays of a file or of a folder of IDX files."""
    if os.path.isdir(path):
        found = {role: find_idx_file(path, role) for role in IDX_FILES}
        if found["x_train"] is None:
            raise DatasetError(
                f"the folder {path} holds no {IDX_FILES['x_train']}, raw or .gz: give a folder "
                "with the IDX files of MNIST, or a single file"
            )
        return {
            role: parse_idx(read_bytes(file), str(file)) for role, file in found.items() if file
        }
    with refused(DatasetError, str(path)), opened(path) as (file, _):
        start = file.read(8)
    table = path.suffix.lower() in _TABLES
    if conditions and not table and tuple(conditions) != ("y",):
        raise DatasetError(f"{path} has no columns with names: its conditions are called y")
    if is_npz(start):
        return read_npz(path)
    if is_idx(start):
        return {"x_train": parse_idx(read_bytes(path), str(path))}
    if is_npy(start):
        return {"x_train": read_npy(path)}
    if table:
        return _counted(parse_table(read_bytes(path), str(path), conditions))
    raise DatasetError(
        f"{path} is not a data file: it starts with the bytes "
        f"{start[:4].hex(' ') or '(none)'}: give an .npz, .npy or IDX file, or a table that is "
        f"called {', '.join(_TABLES)}"
    )


def _counted(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tell counts in a table of text from measurements: whole numbers that eight bits hold."""
    x = arrays["x_train"]
    if x.size and ((x >= 0) & (x <= 255) & (np.floor(x) == x)).all():
        return {**arrays, "x_train": x.astype(np.uint8)}
    return arrays
