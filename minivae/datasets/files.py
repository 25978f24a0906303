"""Readers for the formats that arrays come in: IDX, ``.npz`` and ``.npy``."""

import gzip
import io
import math
import os
import zipfile
from pathlib import Path

import numpy as np

from minivae.errors import DatasetError
from minivae.reading import opened, read_array, refused, shown

__all__ = [
    "IDX_FILES",
    "decompress",
    "find_idx_file",
    "is_idx",
    "is_npy",
    "is_npz",
    "parse_idx",
    "read_bytes",
    "read_npy",
    "read_npz",
]

# What MNIST's four files are called, by the role of the array in them.
IDX_FILES = {
    "y_train": "train-labels-idx1-ubyte",
    "x_train": "train-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
}

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

# Data that shrink by more than a hundredth, and are large, are taken for a trap: three megabytes of
# zeros, compressed, fill three gigabytes.
_MOST_EXPANSION = 100
_EXPANDED_ON_TRUST = 2**28

_NPZ_KEYS = {
    "x_train": ("x_train", "train_images", "train_x", "x", "images", "data"),
    "y_train": ("y_train", "train_labels", "train_y", "y", "labels", "target", "targets"),
    "x_test": ("x_test", "test_images", "test_x"),
    "y_test": ("y_test", "test_labels", "test_y"),
}


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, or raise a `DatasetError` that says why it cannot be read."""
    with refused(DatasetError, str(path)), opened(path) as (file, size):
        return file.read(size)


def decompress(content: bytes, name: str) -> bytes:
    """Return the content of an IDX file uncompressed if it is gzip, else as it is.

    Of what lies beyond the end that the header announces, only the first byte is unpacked.

    Raises
    ------
    DatasetError
        If the gzip stream is truncated or damaged, or what is in it is not IDX; it names the file
        ``name``.
    """
    if not content.startswith(_GZIP_MAGIC):
        return content
    with (
        refused(DatasetError, name, "a truncated or damaged gzip file"),
        gzip.GzipFile(fileobj=io.BytesIO(content)) as file,
    ):
        start = file.read(4 + 4 * _MOST_AXES)
        *_, announced = _idx_header(start, name)
        _check_expansion(len(content), announced, name)
        return start + file.read(max(0, announced + 1 - len(start)))


def _check_expansion(n_packed: int, announced: int, name: str) -> None:
    """Refuse to unpack what would grow out of all proportion."""
    if announced > max(_EXPANDED_ON_TRUST, _MOST_EXPANSION * n_packed):
        raise DatasetError(
            f"{name} announces {announced} bytes, compressed to {n_packed}, and is not unpacked: "
            "if it is not a trap, store it uncompressed"
        )


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
    dtype, shape, start, announced = _idx_header(content, name)
    if len(content) != announced:
        fault = "is truncated" if len(content) < announced else "has bytes after its end"
        raise DatasetError(
            f"{name} {fault}: shape {shape} of {dtype.newbyteorder('=')} takes {announced} bytes, "
            f"and the file has {len(content)}: get it again"
        )
    data = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return data.astype(dtype.newbyteorder("="))


def _idx_header(content: bytes, name: str) -> tuple[np.dtype, tuple[int, ...], int, int]:
    """Return dtype and shape, where the data start, and where they should end."""
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
    return dtype, shape, start, start + math.prod(shape) * dtype.itemsize


def read_npy(path: Path) -> np.ndarray:
    """Return the array in an ``.npy`` file.

    Raises
    ------
    DatasetError
        If the file is damaged or holds pickled objects.
    """
    name = str(path)
    with refused(DatasetError, name, "no .npy file of numbers"), opened(path) as (file, size):
        return read_array(file, size, DatasetError, name)


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
    name = str(path)
    with (
        refused(DatasetError, name, "a truncated or damaged .npz file"),
        opened(path) as (file, _),
        zipfile.ZipFile(file) as archive,
    ):
        members = {info.filename: info for info in archive.infolist()}
        keys = [member[:-4] for member in members if member.endswith(".npy")]
        roles = _match_keys(name, keys)
        return {
            role: _read_member(archive, members[f"{key}.npy"], f"{name}: {shown(key)}")
            for role, key in roles.items()
        }


def _match_keys(name: str, keys: list[str]) -> dict[str, str]:
    """Return which array plays which role, as ``{role: key}``."""
    matched = {}
    for role, accepted in _NPZ_KEYS.items():
        found = [key for key in keys if key.lower() in accepted]
        if len(found) > 1:
            raise DatasetError(
                f"{name}: {shown(' and '.join(found))} could all be {role}: keep one, named {role}"
            )
        if found:
            matched[role] = found[0]
    if "x_train" not in matched:
        if len(keys) != 1:
            raise DatasetError(
                f"{name} holds {shown(', '.join(keys)) or 'no array'}, and none is called "
                f"{', '.join(_NPZ_KEYS['x_train'])}: name the data x_train"
            )
        return {"x_train": keys[0]}
    return matched


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    """Return one array of an ``.npz`` file."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DatasetError(f"{name} is compressed as NumPy never does: store it by numpy.savez")
    _check_expansion(member.compress_size, member.file_size, name)
    with archive.open(member) as file:
        return read_array(file, member.file_size, DatasetError, name)
