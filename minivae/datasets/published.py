"""The full MNIST and Fashion-MNIST: where they may be on this machine, and where to get them.

A file counts as the published one by the SHA-256 of its *uncompressed* content, because the same
images circulate in different gzip wrappings.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minivae.checkpoint import atomic_write
from minivae.datasets.files import IDX_FILES, decompress, find_idx_file, parse_idx, read_bytes
from minivae.errors import DatasetError
from minivae.notebook import progress_bar
from minivae.reading import shown

__all__ = ["PUBLISHED", "find_published", "load_published"]

_TIMEOUT_SECONDS = 20.0
_CHUNK_BYTES = 1 << 16
_MOST_BYTES = 1 << 26  # of a download; the largest file, as it is sent, takes less than half


@dataclass(frozen=True)
class Published:
    """One published data set: the sums of its files, and where to download them."""

    sha256: Mapping[str, str]
    hosts: tuple[str, ...]
    system_folder: str | None
    hint: str


PUBLISHED = {
    "mnist": Published(
        sha256={
            "y_train": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "x_train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "y_test": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            "x_test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        },
        # The authors' own page no longer serves the files; these two mirrors do.
        hosts=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        system_folder=None,
        hint="",
    ),
    "fashion-mnist": Published(
        sha256={
            "y_train": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "x_train": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "y_test": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            "x_test": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        },
        hosts=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        system_folder="/usr/share/datasets/fashion-mnist",
        hint="install Debian's package dataset-fashion-mnist, or ",
    ),
}


def load_published(name: str) -> dict[str, np.ndarray]:
    """Return the four arrays of a published data set, from this machine or from the network.

    Looked for in the folder ``$MINIVAE_DATA`` and its subfolder of that name, then where Debian
    has it,
    then in the user's cache; else downloaded into that cache.

    Parameters
    ----------
    name
        A key of `PUBLISHED`.

    Returns
    -------
    dict
        ``x_train``, ``x_test`` ``(N, 28, 28)`` and ``y_train``, ``y_test`` ``(N,)``, all uint8.

    Raises
    ------
    DatasetError
        If a file is not the published one, or the data cannot be obtained anywhere: the message
        says all that was tried, and how to get them.
    """
    tried = []
    if not os.environ.get("MINIVAE_DATA"):
        tried.append("$MINIVAE_DATA (not set)")
    for folder in _places(name):
        fault = _fault_of_folder(folder)
        contents = None if fault else _read_folder(name, folder)
        if contents is not None:
            break
        tried.append(f"{folder} ({fault or 'holds another data set'})")
    else:
        contents = _download(name, tried)
    return {role: parse_idx(content, IDX_FILES[role]) for role, content in contents.items()}


def find_published(name: str) -> tuple[Path | None, list[str]]:
    """Return the first folder with all files of a data set, and where it was looked for in vain.

    The files are not read.

    Parameters
    ----------
    name
        A key of `PUBLISHED`.
    """
    tried = [] if os.environ.get("MINIVAE_DATA") else ["$MINIVAE_DATA (not set)"]
    for folder in _places(name):
        fault = _fault_of_folder(folder)
        if fault is None:
            return folder, tried
        tried.append(f"{folder} ({fault})")
    return None, tried


def _places(name: str) -> Iterator[Path]:
    """Yield the folders in which a data set may be, in the order in which they are searched."""
    own = os.environ.get("MINIVAE_DATA")
    if own:
        yield Path(os.path.expanduser(own)) / name
        yield Path(os.path.expanduser(own))
    system_folder = PUBLISHED[name].system_folder
    if system_folder is not None:
        yield Path(system_folder)
    yield _cache_folder() / name


def _cache_folder() -> Path:
    """Return the folder for this user's downloads."""
    base = os.environ.get("XDG_CACHE_HOME")
    if not base and os.name == "nt":
        base = os.environ.get("LOCALAPPDATA")
    return Path(base or os.path.expanduser("~/.cache")) / "minivae"


def _fault_of_folder(folder: Path) -> str | None:
    """Return why `folder` cannot hold a whole data set, or None."""
    if not os.path.isdir(folder):
        return "no such folder"
    missing = [IDX_FILES[role] for role in IDX_FILES if find_idx_file(folder, role) is None]
    if len(missing) == len(IDX_FILES):
        return "none of the files"
    return f"without {', '.join(missing)}" if missing else None


def _read_folder(name: str, folder: Path) -> dict[str, bytes] | None:
    """Return the verified contents of a folder, or None if it holds another published data set."""
    others = {sum_ for key in PUBLISHED if key != name for sum_ in PUBLISHED[key].sha256.values()}
    contents = {}
    for role in IDX_FILES:
        path = find_idx_file(folder, role)
        if path is None:
            raise DatasetError(f"{folder}: {IDX_FILES[role]} went away while it was read")
        content = decompress(read_bytes(path), str(path))
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 in others:
            return None
        _verify(name, role, sha256, f"{path} is not")
        contents[role] = content
    return contents


def _verify(name: str, role: str, sha256: str, what: str) -> None:
    """Refuse a file that is not the published one."""
    expected = PUBLISHED[name].sha256[role]
    if sha256 != expected:
        raise DatasetError(
            f"{what} the {IDX_FILES[role]} of {name}: the SHA-256 of its uncompressed content "
            f"starts with {sha256[:12]}, and should with {expected[:12]}: delete it and get it "
            "again"
        )


def _download(name: str, tried: list[str]) -> dict[str, bytes]:
    """Return the verified contents of all files, fetching into the cache those it does not hold."""
    folder = _cache_folder() / name
    contents = {}
    for role, file_name in IDX_FILES.items():
        path = find_idx_file(folder, role)
        if path is not None:
            contents[role] = decompress(read_bytes(path), str(path))
            _verify(name, role, hashlib.sha256(contents[role]).hexdigest(), f"{path} is not")
        else:
            sent, contents[role] = _fetch(name, role, tried)
            _keep(folder / f"{file_name}.gz", sent)
    return contents


def _fetch(name: str, role: str, tried: list[str]) -> tuple[bytes, bytes]:
    """Return a file as it was sent and uncompressed, from the first host with the right one."""
    from http.client import HTTPException

    published = PUBLISHED[name]
    for host in published.hosts:
        url = f"{host}{IDX_FILES[role]}.gz"
        try:
            sent = _read_url(url)
            content = decompress(sent, "what was sent")
            _verify(name, role, hashlib.sha256(content).hexdigest(), "what was sent is not")
        except (DatasetError, OSError, HTTPException) as error:
            reason = shown(str(error).removeprefix("<urlopen error ").removesuffix(">"))
            tried.append(f"{url} ({reason})")
        else:
            return sent, content
    raise DatasetError(
        f"{name} is not on this machine and could not be downloaded. Tried: {'; '.join(tried)}. "
        f"To get it: {published.hint}put {', '.join(IDX_FILES.values())}, raw or .gz, into a "
        "folder and set MINIVAE_DATA to it. The data set optdigits is always there."
    )


def _read_url(url: str) -> bytes:
    """Return what a host sends, with a progress bar if a person is watching."""
    from urllib.request import urlopen

    with urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
        size = response.headers.get("Content-Length")
        chunks = []
        with progress_bar(
            total=int(size) if size and re.fullmatch("[0-9]{1,15}", size) else None,
            desc=url.rpartition("/")[2],
            unit="B",
            unit_scale=True,
            leave=False,
            disable=None,  # Shown on a terminal only.
        ) as progress:
            while chunk := response.read(_CHUNK_BYTES):
                chunks.append(chunk)
                progress.update(len(chunk))
                if sum(map(len, chunks)) > _MOST_BYTES:
                    raise DatasetError(f"it sends more than {_MOST_BYTES} bytes")
    return b"".join(chunks)


def _keep(path: Path, content: bytes) -> None:
    """Write a downloaded file into the cache."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, lambda file: file.write(content))
    except OSError as error:
        raise DatasetError(
            f"cannot keep the downloaded {path}: {error.strerror or error}: set XDG_CACHE_HOME to "
            "a folder that can be written"
        ) from error
