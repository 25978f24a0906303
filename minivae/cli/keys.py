"""Single keys from a terminal, without Enter, where the system can say which was pressed."""

import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["keys", "wait_for_key"]


@contextlib.contextmanager
def keys() -> Iterator[bool]:
    """Let keys come one at a time, unseen; whether there is a terminal that they can come from."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield False
        return
    try:
        import termios
        import tty
    except ImportError:  # Windows has msvcrt for this, which needs no preparation
        yield True
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield True
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def wait_for_key(seconds: float) -> str:
    """The key that is pressed within some time; "" if none is."""
    try:
        import msvcrt
    except ImportError:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if ready else ""
    console: Any = msvcrt
    time.sleep(seconds)
    return str(console.getwch()) if console.kbhit() else ""
