"""Files that survive: atomic writes, and checkpoints that come back bit for bit or not at all.

- `save_checkpoint`, `load_checkpoint`: named arrays and JSON metadata in one ``.npz``, no pickle;
- `atomic_write`: a file that is either the old one or the whole new one, whatever happens;
- `remove_partial_files`: tidies up after a process that was killed in the middle of a write;
- `generator_state`, `restore_generator`: a NumPy generator as JSON, and back;
- `data_checksum`: tells whether a run is resumed on the data it was started with.

A checkpoint is a zip archive that ``numpy.load`` can open. Each array is the member ``<name>.npy``;
the member ``metadata.json`` holds the format's name and version, the names of all arrays, and the
caller's metadata. The same content gives the same bytes.
"""

import hashlib
import json
import os
import re
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minivae.errors import CheckpointError, DtypeError
from minivae.reading import opened, read_array, refused, shown

__all__ = [
    "atomic_write",
    "data_checksum",
    "generator_state",
    "load_checkpoint",
    "partial_files",
    "remove_partial_files",
    "restore_generator",
    "save_checkpoint",
]

FORMAT = "minivae-checkpoint"
VERSION = 2  # 1 named the heads of a VAE after its decoder, and its run after its loop

_METADATA_MEMBER = "metadata.json"
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_LONGEST_NAME = 500
_HASHED_AT_ONCE = 2**22  # numbers of data on disk
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)  # what `atomic_write` calls it

_BIT_GENERATORS = {
    "MT19937": np.random.MT19937,
    "PCG64": np.random.PCG64,
    "PCG64DXSM": np.random.PCG64DXSM,
    "Philox": np.random.Philox,
    "SFC64": np.random.SFC64,
}


def atomic_write(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that `path` is always the old file or the whole new one.

    The bytes go to a temporary file in the same folder, reach the disk, and take the place of
    `path` in one rename. On any failure the temporary file is removed and `path` is untouched.

    Parameters
    ----------
    path
        The file to write. A symbolic link stays one: the file that it points to is replaced.
    write
        Is called with the temporary file, open for binary writing and seekable.

    Raises
    ------
    OSError
        If the folder is missing or read-only, or the disk is full; it names `path`.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # "x" rather than mkstemp, whose files only their owner may read.
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            # The temporary name would mean nothing to whoever reads the message.
            error.filename, error.filename2 = str(target), None
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can do that."""
    if os.name != "posix":
        return
    with suppress(OSError):  # The file is in place; some network file systems refuse only this.
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_partial_files(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed inside `atomic_write` left beside `path`.

    Call it when nobody else can be writing `path`, such as at the start of a run.
    """
    target = Path(os.path.realpath(path))
    for entry, name in partial_files(target.parent):
        if name == target.name:
            entry.unlink(missing_ok=True)


def partial_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what `atomic_write` left half written in a folder, each with the name it was for."""
    for entry in folder.iterdir():
        match = _TEMPORARY.fullmatch(entry.name)
        if match and entry.is_file():
            yield entry, match[1]


def save_checkpoint(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> None:
    """Write named arrays and metadata as one checkpoint, atomically.

    Parameters
    ----------
    path
        The file to write, taken as it is: no suffix is added.
    arrays
        Arrays of any shape and of any dtype but object; dtype, values and memory order are kept.
    metadata
        Anything that JSON can say: dicts with string keys, lists, strings, numbers, booleans and
        None. NumPy scalars become Python's, tuples become lists, NaN and infinities are kept.

    Raises
    ------
    DtypeError
        If an array holds Python objects, or the metadata hold what JSON cannot say.
    ValueError
        If an array's name cannot be stored.
    CheckpointError
        If the file cannot be written; a checkpoint that was there before is intact.
    """
    stored = {_checked_name(name): _checked_array(name, array) for name, array in arrays.items()}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "arrays": list(stored),
        "metadata": _to_json(metadata, "metadata"),
    }

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(_member(_METADATA_MEMBER), json.dumps(header))
            for name, array in stored.items():
                member = _member(f"{name}.npy")
                member.file_size = array.nbytes  # Decides whether it needs 64-bit offsets.
                with archive.open(member, "w") as destination:
                    np.lib.format.write_array(destination, array, allow_pickle=False)

    try:
        atomic_write(path, write)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint {os.fspath(path)}: {error.strerror or error}; "
            "a checkpoint that was there before is unchanged"
        ) from error


def _checked_name(name: str) -> str:
    """Return `name` if a zip member can be called that on every platform."""
    if not name.isprintable() or "\\" in name or not 0 < len(name) <= _LONGEST_NAME:
        raise ValueError(
            f"save_checkpoint: {name!r} cannot name an array: use 1 to {_LONGEST_NAME} printable "
            "characters without a backslash"
        )
    return name


def _checked_array(name: str, array: np.ndarray) -> np.ndarray:
    """Return `array` as a plain ndarray that needs no pickle."""
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise DtypeError(
            f"save_checkpoint: the array {name!r} of shape {array.shape} has dtype {array.dtype}, "
            "and Python objects are not stored: convert it to numbers"
        )
    return array


def _member(name: str) -> zipfile.ZipInfo:
    """Return a zip entry that says nothing of when and where it was written."""
    member = zipfile.ZipInfo(name, date_time=_ZIP_EPOCH)
    member.create_system = 3
    member.external_attr = 0o644 << 16
    return member


def _to_json(value: Any, where: str) -> Any:
    """Return `value` in the types that `json` brings back unchanged."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_to_json(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DtypeError(
                    f"save_checkpoint: {where} has the key {key!r}, which JSON would turn into a "
                    "string: use string keys"
                )
        return {key: _to_json(item, f"{where}[{key!r}]") for key, item in value.items()}
    mend = "store it among the arrays" if isinstance(value, np.ndarray) else "store what defines it"
    raise DtypeError(
        f"save_checkpoint: {where} is a {type(value).__name__}, which JSON cannot say: {mend}"
    )


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint back, every byte of every array verified.

    Parameters
    ----------
    path
        A file that `save_checkpoint` wrote.

    Returns
    -------
    arrays, metadata
        What was saved, in the order in which it was saved.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is truncated or damaged, is something else, holds pickled
        objects, or was written by a newer version.
    """
    name = f"the checkpoint {os.fspath(path)}"
    mend = "use an earlier copy of the checkpoint"
    with refused(CheckpointError, name, mend=mend), opened(path) as (file, size):
        _check_is_zip(name, file.read(len(_ZIP_MAGIC)))
        with zipfile.ZipFile(file) as archive:
            header = _read_header(name, archive, size)
            arrays = {key: _read_array(name, archive, key) for key in header["arrays"]}
            if len(archive.namelist()) != len(arrays) + 1:
                raise ValueError("the archive does not hold the arrays that it lists")
            return arrays, header["metadata"]


def _check_is_zip(name: str, start: bytes) -> None:
    """Refuse a file whose first bytes `start` are not those of a zip archive."""
    if not start:
        raise CheckpointError(f"{name} is empty: use an earlier copy of the checkpoint")
    if start.startswith(_PICKLE_MAGIC):
        raise CheckpointError(
            f"{name} is a Python pickle, which could run any code when loaded, and is not read: "
            f"a checkpoint is a file that minivae saved"
        )
    if not _ZIP_MAGIC.startswith(start):
        raise CheckpointError(
            f"{name} is not a minivae checkpoint: it starts with the bytes {start.hex(' ')}, "
            "unlike an .npz archive"
        )


def _check_members(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive of `size` bytes that announces more than that; nothing is unpacked yet."""
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its arrays are compressed, which those of a checkpoint never are")
    if sum(member.file_size for member in members) > size:
        raise ValueError(f"it announces more than the {size} bytes that it has")


def _read_header(name: str, archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    """Return the content of ``metadata.json`` if this version can read what it describes."""
    members = archive.namelist()
    header = None
    if _METADATA_MEMBER in members:
        _check_members(archive, size)
        header = json.loads(archive.read(_METADATA_MEMBER))
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(
            f"{name} is not a minivae checkpoint: it is an archive of something else, which holds "
            f"{shown(', '.join(members[:4])) or 'nothing'}"
        )
    version = header.get("version")
    if isinstance(version, int) and version > VERSION:
        raise CheckpointError(
            f"{name} has checkpoint format version {shown(version)}, and this minivae reads up to "
            f"version {VERSION}: upgrade minivae to read it"
        )
    if isinstance(version, int) and not isinstance(version, bool) and 0 < version < VERSION:
        raise CheckpointError(
            f"{name} has checkpoint format version {version}, of an earlier minivae, and this one "
            f"reads version {VERSION}: fit the model again, or read it with the minivae that wrote "
            "it"
        )
    if version != VERSION:
        raise ValueError(f"there is no checkpoint format version {version!r}")
    if not (isinstance(header["arrays"], list) and isinstance(header["metadata"], dict)):
        raise ValueError("its metadata are not as this version writes them")
    return header


def _read_array(name: str, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """Return one array of the archive; reading the member to its end checks its CRC-32."""
    member = archive.getinfo(f"{key}.npy")
    with archive.open(member) as file:
        return read_array(file, member.file_size, CheckpointError, f"{name}: {shown(key)}")


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return all that decides the future of `rng`, its draws and its spawned children, as JSON.

    Parameters
    ----------
    rng
        A generator over any of NumPy's bit generators.
    """
    seed = rng.bit_generator.seed_seq
    sequence = None
    if isinstance(seed, np.random.SeedSequence):
        sequence = {
            "entropy": _without_arrays(seed.entropy),
            "spawn_key": list(seed.spawn_key),
            "pool_size": seed.pool_size,
            "n_children_spawned": seed.n_children_spawned,
        }
    return {
        "state": _without_arrays(dict(rng.bit_generator.state)),
        "seed_sequence": sequence,
    }


def restore_generator(state: Mapping[str, Any]) -> np.random.Generator:
    """Return a generator that goes on exactly where `generator_state` was taken.

    Parameters
    ----------
    state
        What `generator_state` returned, possibly after a trip through JSON.

    Raises
    ------
    CheckpointError
        If `state` does not describe one of NumPy's generators.
    """
    try:
        kind = state["state"]["bit_generator"]
        if kind not in _BIT_GENERATORS:
            raise ValueError(f"there is no bit generator {kind!r}")
        sequence = _with_arrays(state["seed_sequence"]) or {"entropy": 0}
        seed = np.random.SeedSequence(**sequence)
        bit_generator = _BIT_GENERATORS[kind](seed)
        bit_generator.state = _with_arrays(state["state"])
    except Exception as error:  # NumPy's generators raise what their C code happens to
        raise CheckpointError(
            f"this is not the state of a random generator: {shown(repr(error))}"
        ) from error
    return np.random.Generator(bit_generator)


def _without_arrays(value: Any) -> Any:
    """Return a generator's state with each array as a dict of its dtype and values."""
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "values": value.tolist()}
    if isinstance(value, dict):
        return {key: _without_arrays(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(value: Any) -> Any:
    """Undo `_without_arrays`."""
    if isinstance(value, dict):
        if value.keys() == {"dtype", "values"}:
            return np.array(value["values"], dtype=value["dtype"])
        return {key: _with_arrays(item) for key, item in value.items()}
    return value


def data_checksum(X: Any, beside: np.ndarray | None = None) -> str:
    """Return the SHA-256 of an array's dtype, shape and values, as hexadecimal digits.

    Parameters
    ----------
    X
        An array of any shape; its layout in memory does not matter. One of two axes may be on disk,
        and is read in portions.
    beside
        Further columns, for X of shape ``(N, D)``.

    Raises
    ------
    DtypeError
        If `X` holds Python objects, whose bytes are not in the array.
    """
    if getattr(X, "ndim", 0) != 2:
        X = np.asarray(X)
    if X.dtype.hasobject:
        raise DtypeError(
            f"data_checksum: an array of shape {X.shape} has dtype {X.dtype}, and Python objects "
            "have no bytes to sum: convert it to numbers"
        )
    shape = X.shape if beside is None else (X.shape[0], X.shape[1] + beside.shape[1])
    digest = hashlib.sha256(f"{X.dtype.str} {shape}".encode())
    if X.ndim != 2:
        digest.update(np.ascontiguousarray(X).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()
    step = max(1, _HASHED_AT_ONCE // max(1, shape[1]))
    for part in (slice(start, start + step) for start in range(0, shape[0], step)):
        rows = X[part] if beside is None else np.hstack([X[part], beside[part]])
        digest.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
