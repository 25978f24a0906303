"""Files from elsewhere: reading them safely, and saying clearly what is wrong with them.

- `opened`: a regular file, and nothing that may never end;
- `read_array`: the array of an ``.npy``, once its header agrees with the size of what follows;
- `refused`: the one place where whatever a reader raises becomes a sentence;
- `shown`: text from a file on one line, printable and of bounded length.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:  # the command line speaks before NumPy is loaded
    import numpy as np

__all__ = ["opened", "read_array", "read_text", "refused", "shown"]

LONGEST = 200
MOST_TEXT = 2**24  # bytes of a record or a history; a long run writes a hundredth of that
_CHUNK = 2**20


def shown(text: object, longest: int = LONGEST) -> str:
    """Return text on one line, what cannot be printed escaped, and the middle of long text cut."""
    line = " ".join(str(text).split())
    if len(line) > longest:
        half = (longest - 5) // 2
        line = f"{line[:half]} ... {line[-half:]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


@contextmanager
def refused(
    kind: type[ValueError],
    name: str,
    fault: str = "truncated or damaged",
    mend: str = "get it again",
) -> Iterator[None]:
    """Turn whatever reading the file ``name`` raises into one sentence of bounded length.

    A parser that meets bytes which nobody wrote on purpose may raise anything: so this takes
    every exception but those of `kind`, which are sentences already, warnings that somebody made
    errors, and a lack of memory.
    """
    try:
        yield
    except (kind, Warning, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise kind(f"cannot read {name}: {error.strerror}") from error
        missing = isinstance(error, KeyError)
        why = shown(f"it has no {error}" if missing else error) or type(error).__name__
        raise kind(f"{name} is {fault} ({why}): {mend}") from error


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading; give it and its size in bytes.

    Raises
    ------
    OSError
        If it cannot be read, or is a device or a pipe, which may never end.
    """
    status = os.stat(path)  # before it is opened, because to open a pipe waits for who writes it
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        fault = "it is a device or a pipe, which may never end; give a file"
        raise OSError(errno.EINVAL, fault, os.fspath(path))
    with open(path, "rb") as file:
        yield file, os.fstat(file.fileno()).st_size


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the content of a small file of text in UTF-8.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, is not such a text, or has more than 16 MB.
    """
    with opened(path) as (file, size):
        if size > MOST_TEXT:
            raise ValueError(f"it has {size} bytes, and at most {MOST_TEXT} are read")
        return file.read(size).decode("utf-8")


def read_array(file: IO[bytes], size: int, kind: type[ValueError], name: str) -> np.ndarray:
    """Return the array in an open ``.npy`` of ``size`` bytes, which messages call ``name``.

    Raises
    ------
    ValueError
        If it holds Python objects; of the kind that is handed in.
        If the header makes no sense, or announces another number of bytes than there are; what
        follows the header has not been read then.
    """
    import numpy as np

    try:
        major, _ = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        shape, fortran, dtype = (read if major == 1 else np.lib.format.read_array_header_2_0)(file)
    except Exception as error:  # it is Python, and may be nonsense in any way
        raise ValueError(shown(error) or "its header is nonsense") from error
    if dtype.hasobject:
        raise kind(
            f"{name} holds Python objects, whose pickle could run any code when loaded, and is not "
            "read: store it as an array of numbers"
        )
    start, n_bytes = file.tell(), math.prod(shape) * dtype.itemsize
    if start + n_bytes != size:
        fault = "bytes after its end" if start + n_bytes < size else "less than it announces"
        raise ValueError(
            f"it has {fault}: shape {shown(shape)} of {shown(dtype)} takes {start + n_bytes} "
            f"bytes, and there are {size}"
        )
    # Not numpy.load, which looks at the header again: to go back in a zip ends its check of sums.
    content = np.empty(n_bytes, np.uint8)
    for i in range(0, n_bytes, _CHUNK):
        part = file.read(min(_CHUNK, n_bytes - i))
        content[i : i + len(part)] = np.frombuffer(part, np.uint8)
        if i + len(part) < min(i + _CHUNK, n_bytes):
            raise ValueError(f"it ends after {start + i + len(part)} of {size} bytes")
    array = content.view(dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
