"""``minivae eq``: an equation of the book, the code that computes it, the tests that check it."""

import argparse
import os
import pydoc
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from minivae.cli.terminal import closest, say, table
from minivae.cli.tex import render
from minivae.equations import (
    Equation,
    Place,
    Registry,
    find,
    find_sources,
    read_registry,
    read_terms,
)  # fmt: skip

__all__ = ["register"]

KINDS = {
    "definition": "A definition: there is nothing to evaluate.",
    "evaluated": "Its TeX is read and evaluated on random numbers.",
    "unread": "Its TeX is read by nobody but you: ",
}


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "eq",
        help="show an equation of the book, its code and its tests",
        description="List the book's numbered equations. With a label, such as ELBO.4, print that "
        "equation; the flags add the code that computes it, and run the tests that check it.",
    )
    parser.add_argument("label", metavar="LABEL", nargs="?", help="such as ELBO.4")
    parser.add_argument("--code", action="store_true", help="print the functions that compute it")
    parser.add_argument("--test", action="store_true", help="run the tests that check it")
    parser.add_argument(
        "--find", metavar="WORD", help="what the glossary says about a word, English or Chinese"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """List the equations, or show one, its code and its tests."""
    registry = read_registry()
    if arguments.find is not None:
        print(found(arguments.find, registry))
        return
    if arguments.label is None:
        print(listing(registry))
        return
    equation = _find(arguments.label, registry)
    functions = registry.functions.get(equation.label, ())
    tests = registry.tests.get(equation.label, ())
    print(_shown(equation))
    kind = f"{KINDS[registry.kind(equation).partition(':')[0]]}{equation.unread}"
    print(_wrapped(f"\n{kind}", 0))
    if arguments.code:
        _page(_code(equation, functions))
    if not (arguments.code or arguments.test):
        print(_more(equation, functions, tests))
    if not arguments.test:
        return
    if not tests:
        print(
            "\nNo test checks it, for nothing computes it." if equation.definition else "\nNo test."
        )
        return
    print("\nChecked by")
    for test in tests:
        print(_wrapped(f"{_where(test)}  {test.name.rpartition('.')[2]}", 2))
    _run_tests(tests)


def found(word: str, registry: Registry) -> str:
    """The entries of the glossary that have a word, and the equations that they cite."""
    terms, equations = find(word, registry, read_terms())
    if not terms and not equations:
        raise ValueError(f"neither the glossary nor a heading has {word!r}; 'minivae eq' lists all")
    lines = []
    for term in terms:
        text = re.sub(r"\$([^$]+)\$", lambda tex: render(tex[1]) or tex[1], term.text)
        lines += [f"{term.name} ({', '.join(term.chinese)}): {text}", ""]
    return "\n".join([*lines, listing(registry, equations)]).strip()


def listing(registry: Registry, equations: Sequence[Equation] | None = None) -> str:
    """Some equations or all by chapter, each with the first line of its formula."""
    lines: list[str] = []
    chapter = None
    for equation in registry.equations if equations is None else equations:
        if equation.chapter != chapter:
            chapter = equation.chapter
            lines += ["", chapter]
        kind = registry.kind(equation).partition(":")[0]
        begin = f"{equation.label:8}  {kind:10}"
        lines.append(table([(begin, _formula(equation).splitlines()[0])]))
    if not lines:
        return "The book has no numbered equation." if equations is None else ""
    return "\n".join(lines[1:])


def _find(label: str, registry: Registry) -> Equation:
    labels = {equation.label: equation for equation in registry.equations}
    if label.upper() in labels:
        return labels[label.upper()]
    family = label.upper().partition(".")[0]
    relatives = [known for known in labels if known.partition(".")[0] == family]
    hint = (
        f"there are {', '.join(relatives)}"
        if relatives
        else closest(label.upper(), labels) or "'minivae eq' lists them"
    )
    raise ValueError(f"there is no equation {label!r}; {hint}")


def _formula(equation: Equation) -> str:
    return render(equation.tex) or equation.tex


def _shown(equation: Equation) -> str:
    """The equation alone."""
    where = equation.chapter
    if equation.section != equation.chapter:
        where += f": {equation.section}"
    formula = [_wrapped(line, 4) for line in _formula(equation).splitlines()]
    return "\n".join([_wrapped(f"{equation.label}  {where}", 0), "", *formula])


def _more(equation: Equation, functions: Sequence[Place], tests: Sequence[Place]) -> str:
    """What else there is to see, in a line."""
    if not functions:
        return "\nNo function computes it: it defines, or is a step of the argument."
    some = f"{len(functions)} functions compute" if len(functions) > 1 else "One function computes"
    count = f"{len(tests)} tests check" if len(tests) != 1 else "1 test checks"
    label = f"minivae eq {equation.label}"
    return _wrapped(f"\n{some} it ({label} --code), and {count} it (--test).", 0)


def _code(equation: Equation, functions: Sequence[Place]) -> str:
    """The functions that compute an equation; not what a student is about to write."""
    numbers = _not_passed(equation.label)
    if numbers:
        said = f"The code would give away exercise {' and '.join(numbers)}: look at it after a pass"
        return f"\n{_wrapped(f'{said}, or type minivae exercise hint {numbers[0]}.', 0)}"
    lines = []
    for function in functions:
        lines += ["", _wrapped(f"{function.name}  {_where(function)}", 0), ""]
        lines += [_code_line(number, line) for number, line in function.source()]
    return "\n".join(lines or ["", "No function computes it."])


def _not_passed(label: str) -> list[str]:
    """The exercises in this folder that ask for an equation and have not passed."""
    from minivae.exercises.folder import Folder  # with all that checks need: not for the others

    try:
        folder = Folder(Path())
    except ValueError:
        return []
    asked = [e for e in folder.exercises() if label in e.equations]
    return [e.number for e in asked if not folder.passed(e)]


def _width() -> int:
    return shutil.get_terminal_size().columns - 1


def _wrapped(text: str, indent: int) -> str:
    """A text in lines as wide as the terminal, those after the first a little further in."""
    margin = " " * indent
    lead = "\n" * (len(text) - len(text.lstrip("\n")))
    return lead + textwrap.fill(
        text.lstrip("\n"), _width(), initial_indent=margin, subsequent_indent=margin + "    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _code_line(number: int, line: str) -> str:
    """A line of code with its number; what is too long goes on in the next, without one."""
    margin = f"{number:5} {line[: len(line) - len(line.lstrip())]}"
    if len(line) + 6 <= _width():
        return f"{number:5} {line}".rstrip()
    further = " " * (len(margin) + 4)
    return textwrap.fill(
        line.lstrip(), _width(), initial_indent=margin, subsequent_indent=further,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _page(text: str) -> None:
    """Print a text, screen by screen if it is longer than the terminal."""
    rows = text.count("\n") + 4
    if sys.stdout.isatty() and rows > shutil.get_terminal_size().lines:
        pydoc.pager(text)
    else:
        print(text)


def _where(place: Place) -> str:
    """The file, from the folder that holds its package, and the line."""
    packages = [*find_sources().packages.values(), find_sources().tests, find_sources().examples]
    inside = next(folder for folder in packages if place.path.is_relative_to(folder))
    return f"{place.path.relative_to(inside.parent).as_posix()}:{place.line}"


def _run_tests(tests: Sequence[Place]) -> None:
    """Run them with pytest and say how it went; the exit status is 1 if one fails."""
    missing = [name for name in ("pytest", "hypothesis", "pytest_timeout") if not find_spec(name)]
    if missing:
        packages = " ".join(missing).replace("_", "-")
        print(f"\nTo run them, {' and '.join(missing)} must be installed: pip install {packages}")
        return
    root = find_sources().tests.parent
    chosen = [f"{test.path}::{_node(test, root)}" for test in tests]
    say(f"\nRunning {'it' if len(tests) == 1 else 'them'} ...")
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short"]
    command += [f"--rootdir={root}", "-c", str(root / "pyproject.toml"), "-p", "no:cacheprovider"]
    # Tests consist of assertions, which an optimising interpreter leaves out.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONOPTIMIZE"}
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [*command, *chosen],
            cwd=folder,  # where hypothesis keeps its examples
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            errors="backslashreplace",
            check=False,
        )
    if result.returncode:
        print(result.stdout + result.stderr)
        raise SystemExit(1)
    print(result.stdout.strip().splitlines()[-1])


def _node(test: Place, root: Path) -> str:
    module = test.path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
    return test.name.removeprefix(f"{module}.").replace(".", "::")
