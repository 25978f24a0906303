"""What people type: ``minivae train`` and the commands that look at what it leaves.

A command is a module with ``register``, which adds its flags to the parser, and a function from the
parsed flags to nothing. Results go to standard output, progress and complaints to standard error.
The exit status is 0, 1 after a failing test or where nobody reads the results, 2 for what was
refused, 130 after Ctrl-C.
"""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import minivae
from minivae._starting import started
from minivae.cli.lock import release_all
from minivae.cli.terminal import (
    Interrupted,
    Parser,
    closest,
    complain,
    one_line,
    plain_warnings,
)

__all__ = ["main"]

# The commands by the module that has them, with what the list says of each. A module is loaded for
# its own command alone: the list is there before NumPy and Numba are.
COMMANDS = {
    "train": {"train": "train a VAE on handwritten digits, or on other data"},
    "sweep": {"sweep": "train over a range of sizes and seeds, and compare them on held-out data"},
    "inspect": {
        "sample": "draw data from a trained model",
        "reconstruct": "encode data and decode their codes",
        "info": "what a run's checkpoint holds",
    },
    "score": {"score": "how strange a trained model finds each row of a file"},
    "infer": {"infer": "compare methods of inference on one datum"},
    "gmm": {"gmm": "fit a Gaussian mixture by EM to Old Faithful, or to other data"},
    "export": {"export": "write a run's model for another engine, and read it back"},
    "equation": {"eq": "show an equation of the book, its code and its tests"},
    "exercise": {"exercise": "exercises: fill a hole, and be told what kind of mistake you made"},
    "doctor": {"doctor": "what this machine has, what is missing, and what is slow and why"},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        What follows the program's name; what the process was started with if None.

    Returns
    -------
    int
        The exit status.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    unread = sys.stdout is None
    _make_writable()
    try:
        started()
        if unread:
            complain("standard output is closed: the results are lost")
        with plain_warnings():
            _run(argv)
            sys.stdout.flush()
    except BrokenPipeError:  # as in `minivae info RUN | head -1`: nobody reads on
        _discard_stdout()
        return 1
    except KeyboardInterrupt as interrupt:
        complain(str(interrupt) if isinstance(interrupt, Interrupted) else "interrupted")
        return 130
    except (ValueError, TypeError, ArithmeticError, OSError, MemoryError) as error:
        complain(one_line(error))
        _discard_what_cannot_be_written()
        return 2
    finally:
        release_all()
    return int(unread)


def _run(argv: list[str]) -> None:
    parser, commands = _parsers(argv[0] if argv else "")
    if not argv:
        parser.print_help()
        return
    if not argv[0].startswith("-") and argv[0] not in commands:
        hint = closest(argv[0], commands) or f"there are {', '.join(commands)}"
        parser.error(f"there is no command {argv[0]!r}; {hint}")
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        flags = commands[arguments.command].flags() if arguments.command else parser.flags()
        hint = closest(unknown[0].partition("=")[0], flags) or "--help lists what there is"
        parser.error(f"{unknown[0]!r} is not understood; {hint}")
    arguments.arguments = argv
    arguments.run(arguments)


def _parsers(wanted: str) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser of all, and those of the commands by name; only the wanted one is whole."""
    parser = Parser(
        prog="minivae",
        description="Deep latent-variable models from scratch. 'minivae train' is the place to "
        "begin: in half a minute it trains a VAE on digits and draws what the VAE has learned.",
        epilog="'minivae COMMAND --help' lists a command's flags.",
    )
    parser.add_argument("--version", action="version", version=f"minivae {minivae.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for module, sentences in COMMANDS.items():
        if wanted in sentences:
            import_module(f"minivae.cli.{module}").register(commands)
        else:
            for name, sentence in sentences.items():
                commands.add_parser(name, help=sentence)
    return parser, commands.choices


def _make_writable() -> None:
    """Open what the shell closed, and escape what the streams' encoding cannot say."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_what_cannot_be_written() -> None:
    """After a full disk, say, which the interpreter would meet again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()


def _discard_stdout() -> None:
    """Let the interpreter flush into nothing when it ends."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
