"""While the program ``minivae`` loads its libraries, Ctrl-C ends it with a word and no traceback.

Importing NumPy and Numba takes the better part of a second, before any code of ours can catch
anything. So the package imports this module first. In any other program, nothing happens here.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ["started"]


def _is_the_program() -> bool:
    """Whether this is ``python -m minivae``, or the script of that name."""
    _, *words = sys.orig_argv
    module = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    return module == ["minivae"] or Path(sys.argv[0]).stem == "minivae"


def _end(signum: int, frame: Any) -> None:
    # At once: to unwind through libraries that are half loaded brings up errors of their own.
    os.write(2, b"minivae: interrupted\n")
    os._exit(130)


def started() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, as it does elsewhere."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    and _is_the_program()
):
    signal.signal(signal.SIGINT, _end)
