"""Readers for the file formats that data come in: IDX, ``.npz``, ``.npy`` and tables of text."""

import csv
import gzip
import io
import math
import os
import re
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from minivae.errors import DatasetError

__all__ = [
    "IDX_FILES",
    "decompress",
    "find_idx_file",
    "is_idx",
    "is_npy",
    "is_npz",
    "parse_idx",
    "parse_npy",
    "parse_table",
    "read_bytes",
    "read_npz",
]

# What MNIST's four files are called, by the role of the array in them.
IDX_FILES = {
    "y_train": "train-labels-idx1-ubyte",
    "x_train": "train-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
}


# What NumPy raises on a damaged header: it may announce any shape, or be no Python at all.
_DAMAGED = (
    EOFError,
    MemoryError,
    OverflowError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)

_GZIP_MAGIC = b"\x1f\x8b"

_IDX_DTYPES = {
    0x08: ">u1",
    0x09: ">i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}

_MOST_AXES = 32  # of an array
_SEPARATORS = ";\t,"

_NPZ_KEYS = {
    "x_train": ("x_train", "train_images", "train_x", "x", "images", "data"),
    "y_train": ("y_train", "train_labels", "train_y", "y", "labels", "target", "targets"),
    "x_test": ("x_test", "test_images", "test_x"),
    "y_test": ("y_test", "test_labels", "test_y"),
}


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, or raise a `DatasetError` that says why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error


def decompress(content: bytes, name: str) -> bytes:
    """Return `content` uncompressed if it is gzip, else as it is.

    Raises
    ------
    DatasetError
        If the gzip stream is truncated or damaged; it names the file `name`.
    """
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DatasetError(
            f"{name} is a truncated or damaged gzip file ({error}): get it again"
        ) from error


def find_idx_file(folder: Path, role: str) -> Path | None:
    """Return the file in `folder` that holds the array `role`, under any of its usual names."""
    hyphens = IDX_FILES[role]
    dotted = hyphens.replace("-idx", ".idx")
    for file_name in (hyphens, dotted, f"{hyphens}.gz", f"{dotted}.gz"):
        if os.path.isfile(folder / file_name):
            return folder / file_name
    return None


def is_npz(content: bytes) -> bool:
    """Tell whether `content` starts as a zip archive does."""
    return content.startswith(b"PK")


def is_npy(content: bytes) -> bool:
    """Tell whether `content` starts as an ``.npy`` file does."""
    return content.startswith(b"\x93NUMPY")


def is_idx(content: bytes) -> bool:
    """Tell whether `content`, uncompressed or gzip, starts as an IDX file does."""
    return content.startswith((_GZIP_MAGIC, b"\x00\x00"))


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """Return the array in an IDX file: the format of MNIST.

    Parameters
    ----------
    content
        The file's bytes, uncompressed or gzip.
    name
        What messages call the file.

    Returns
    -------
    numpy.ndarray
        An array of its own memory, in the machine's byte order.

    Raises
    ------
    DatasetError
        If the header is not IDX, or the data are fewer or more than it announces.
    """
    content = decompress(content, name)
    if len(content) < 4 or content[:2] != b"\x00\x00":
        raise DatasetError(
            f"{name} is not an IDX file: it starts with the bytes "
            f"{content[:4].hex(' ') or '(none)'}, and not with 00 00, a dtype and a rank"
        )
    code, rank = content[2], content[3]
    if code not in _IDX_DTYPES:
        known = ", ".join(f"{known:#04x}" for known in _IDX_DTYPES)
        raise DatasetError(f"{name}: there is no IDX dtype {code:#04x}; the known ones are {known}")
    if rank == 0:
        raise DatasetError(f"{name}: the IDX header announces an array without axes")
    if rank > _MOST_AXES:
        raise DatasetError(f"{name}: the IDX header announces {rank} axes: get it again")
    start = 4 + 4 * rank
    if len(content) < start:
        raise DatasetError(
            f"{name} is truncated: a header of rank {rank} takes {start} bytes, and the file has "
            f"{len(content)}"
        )
    dtype = np.dtype(_IDX_DTYPES[code])
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", count=rank, offset=4))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        fault = "is truncated" if len(content) < expected else "has bytes after its end"
        raise DatasetError(
            f"{name} {fault}: shape {shape} of {dtype.newbyteorder('=')} takes {expected} bytes, "
            f"and the file has {len(content)}: get it again"
        )
    data = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return data.astype(dtype.newbyteorder("="))


def parse_npy(content: bytes, name: str) -> np.ndarray:
    """Return the array in an ``.npy`` file.

    Raises
    ------
    DatasetError
        If the file is damaged or holds pickled objects.
    """
    try:
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    except _DAMAGED as error:
        mend = "store it as an array of numbers" if "allow_pickle" in str(error) else "get it again"
        raise DatasetError(f"{name} is no .npy file of numbers ({error}): {mend}") from error


def parse_table(content: bytes, name: str) -> np.ndarray:
    """Return the numbers in a table of text: a line for each datum, float64 ``(N, D)``.

    Numbers stand between semicolons, tabs, commas or spaces. A first line with words, or with ``#``
    before it, names the columns. Empty lines are passed over.

    Raises
    ------
    DatasetError
        If a line has another number of columns, or something that is no number; the line is named.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{name} is not a table of text in UTF-8 ({error})") from error
    lines = [(i, line) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise DatasetError(f"{name} has no lines")
    try:
        names, table = _names_and_cells(lines)
    except csv.Error as error:
        raise DatasetError(f"{name} is no table of numbers ({error})") from error
    width = len(table[0][1]) if table else len(names)
    comment = lines[0][1].startswith("#")
    title = width == 1 and not any(c in lines[0][1] for c in _SEPARATORS)
    if names and table and len(names) != width and not comment and not title:
        found = f"{width} columns, and {len(names)} in the first"
        raise DatasetError(f"{name}, line {table[0][0]}: {found}")
    rows = np.empty((len(table), width))
    for row, (i, cells) in enumerate(table):
        if len(cells) != width:
            raise DatasetError(f"{name}, line {i}: {len(cells)} columns, and {width} in the first")
        for column, cell in enumerate(cells):
            if not _is_number(cell):
                called = f"{names[column]!r}" if len(names) == width else f"{column + 1}"
                mend = "drop the column if it holds words, and the line if it has gaps"
                if _is_number(cell.replace(",", ".")):
                    mend = "write decimals with a point"
                raise DatasetError(
                    f"{name}, line {i}, column {called}: {cell!r} is no number: {mend}"
                )
            rows[row, column] = float(cell)
    return rows


def _names_and_cells(
    lines: list[tuple[int, str]],
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The words of a first line that has some, and the numbered cells of each other line."""
    first, *others = lines
    unquoted = re.sub(r'"[^"]*"', "", (others or lines)[0][1])
    separator = next((c for c in _SEPARATORS if c in unquoted), None)
    # whatever stands between them: what is all numbers is a datum, be it cut wrongly or not
    pieces = re.split(r"[;,\s\"']+", first[1])
    named = first[1].startswith("#") or any(map(_is_word, pieces))
    names = _cells(first[1].lstrip("#"), separator) if named else []
    return names, [(i, _cells(line, separator)) for i, line in (others if named else lines)]


def _cells(line: str, separator: str | None) -> list[str]:
    """What stands between the separators, or between spaces, without quotes."""
    if separator and '"' in line:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    else:
        cells = line.split(separator)
    return [cell.strip(" \t\"'") for cell in cells]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which Python allows between digits


def _is_word(cell: str) -> bool:
    """Whether it names something: no number, and no mark of a gap."""
    gap = cell.lower() in ("na", "n/a", "null", "none")
    return any(map(str.isalpha, cell)) and not gap and not _is_number(cell)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file under the names ``x_train y_train x_test y_test``.

    The training data may be called ``x_train``, ``train_images``, ``train_x``, ``x``, ``images``
    or ``data``; their labels ``y_train``, ``train_labels``, ``train_y``, ``y``, ``labels``,
    ``target`` or ``targets``; the test data ``x_test``, ``test_images`` or ``test_x``, and their
    labels ``y_test``, ``test_labels`` or ``test_y``; in capitals or not. A file with a single array
    may call it anything. Other arrays are not read.

    Raises
    ------
    DatasetError
        If the file is damaged, holds pickled objects, or names its arrays otherwise.
    """
    try:
        # numpy.load leaves a file that it opened itself open when the archive is damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            members = archive.zip.namelist()
            names = _match_keys(str(path), [key for key in archive if f"{key}.npy" in members])
            return {role: _read_member(path, archive, key) for role, key in names.items()}
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    except (
        *_DAMAGED,
        KeyError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DatasetError(
            f"{path} is a truncated or damaged .npz file ({error}): get it again"
        ) from error


def _match_keys(name: str, keys: list[str]) -> dict[str, str]:
    """Return which array plays which role, as ``{role: key}``."""
    matched = {}
    for role, accepted in _NPZ_KEYS.items():
        found = [key for key in keys if key.lower() in accepted]
        if len(found) > 1:
            raise DatasetError(
                f"{name}: {' and '.join(found)} could all be {role}: keep one, named {role}"
            )
        if found:
            matched[role] = found[0]
    if "x_train" not in matched:
        if len(keys) != 1:
            raise DatasetError(
                f"{name} holds {', '.join(keys) or 'no array'}, and none is called "
                f"{', '.join(_NPZ_KEYS['x_train'])}: name the data x_train"
            )
        return {"x_train": keys[0]}
    return matched


def _read_member(path: Path, archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    """Return one array of an ``.npz`` file."""
    try:
        array = np.asarray(archive[key])
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DatasetError(
                f"{path}: {key} holds Python objects, whose pickle could run any code when loaded, "
                "and is not read: store it as an array of numbers"
            ) from error
        raise
    return array
