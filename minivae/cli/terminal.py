"""How the commands speak: one-line complaints, plain warnings, progress, aligned numbers."""

import argparse
import difflib
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from minivae.reading import shown

__all__ = [
    "Interrupted",
    "Parser",
    "add_quiet",
    "closest",
    "complain",
    "one_line",
    "plain_warnings",
    "say",
    "table",
]

WIDTH = 80
LONGEST = 2000  # characters of a complaint


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C, and what there is to say about it."""


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, and whose help fits 80 columns."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Help)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise ValueError(message)

    def flags(self) -> list[str]:
        """Return all flags, such as ``--out``."""
        return [flag for flag in self._option_string_actions if flag.startswith("--")]


class _Help(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        width = min(WIDTH, shutil.get_terminal_size().columns) - 1
        super().__init__(prog, max_help_position=26, width=width)
        self._action_max_length = 16  # else the names of commands, which are indented, do not fit


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet``."""
    parser.add_argument("--quiet", action="store_true", help="print the results and nothing else")


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the question whether one of the known words was meant, if one is near."""
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {matches[0]}?" if matches else None


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line and without Python's decoration."""
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return shown(f"{where}{error.strerror}", LONGEST)
    message = str(error)
    for prefix in ("VAE: ", "GaussianMixture: ", "fit: "):
        message = message.removeprefix(prefix)
    return shown(message, LONGEST) or type(error).__name__


def complain(message: str) -> None:
    """Write one line to standard error."""
    print(f"minivae: {message}", file=sys.stderr, flush=True)


def say(message: str = "", *, quiet: bool = False) -> None:
    """Write what is going on to standard error, unless it is not wanted."""
    if not quiet:
        print(message, file=sys.stderr, flush=True)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show each warning as one line, without the place in the code that gave it."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        complain(f"warning: {shown(message, LONGEST)}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def table(rows: Iterable[tuple[str, str]], *, indent: int = 2) -> str:
    """Return names and what they stand for in two columns, long lines wrapped within 80."""
    rows = list(rows)
    name_width = max(len(name) for name, _ in rows)
    lines = []
    for name, text in rows:
        start = f"{'':{indent}}{name:{name_width}}  "
        wrapped = textwrap.fill(
            text,
            WIDTH - 1,
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_on_hyphens=False,
            break_long_words=False,
        )
        lines.append(wrapped or start.rstrip())
    return "\n".join(lines)
