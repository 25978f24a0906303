"""One process at a time writes a run's folder: a lock that ends with its process in any case."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["hold", "release", "release_all"]

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_HELD: dict[Path, int] = {}


def hold(path: Path) -> None:
    """Hold the lock whose file is `path`, unless this process does already.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    OSError
        If the file cannot be made.
    """
    path = path.absolute()
    while path not in _HELD:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES):
                os.close(descriptor)
                fault = "another run is writing there; wait until it ends"
                raise BlockingIOError(errno.EAGAIN, fault, str(path.parent)) from None
            # Some network file systems have no locks: then nobody waits for anybody.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                _HELD[path] = descriptor
                return
        os.close(descriptor)  # who held it took it away in between: this one guards nothing


def release(path: Path) -> None:
    """Let go of a lock and take its file away."""
    path = path.absolute()
    descriptor = _HELD.pop(path, None)
    if descriptor is None:
        return
    # In this order, so that nobody holds a file that is about to go; Windows wants the other one.
    with suppress(OSError):
        path.unlink()
    os.close(descriptor)
    with suppress(OSError):
        if sys.platform == "win32":
            path.unlink()


def release_all() -> None:
    """Let go of every lock of this process."""
    for path in list(_HELD):
        release(path)
