"""``minivae eq``: an equation of the book, the code that computes it, the tests that check it."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
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
        help="an equation of the book: its code and its tests",
        description="List the book's numbered equations. With a label, such as ELBO.3: print that "
        "equation and the functions that compute it, and run the tests that check it.",
    )
    parser.add_argument("label", metavar="LABEL", nargs="?", help="such as ELBO.3")
    parser.add_argument(
        "--find", metavar="WORD", help="what the glossary says of a word, in English or Chinese"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """List the equations, or show one and run its tests."""
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
    print(_shown(equation, functions))
    print(f"\n{KINDS[registry.kind(equation).partition(':')[0]]}{equation.unread}")
    if not tests:
        print(
            "\nNo test checks it, for nothing computes it." if equation.definition else "\nNo test."
        )
        return
    print("\nChecked by")
    for test in tests:
        print(f"  {_where(test)}  {test.name.rpartition('.')[2]}")
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


def _shown(equation: Equation, functions: Sequence[Place]) -> str:
    where = equation.chapter
    if equation.section != equation.chapter:
        where += f": {equation.section}"
    lines = [f"{equation.label}  {where}", ""]
    lines += [f"    {line}" for line in _formula(equation).splitlines()]
    for function in functions:
        lines += ["", f"{function.name}  {_where(function)}", ""]
        lines += [f"{number:5} {line}".rstrip() for number, line in function.source()]
    if not functions:
        lines += ["", "No function computes it: it defines, or is a step of the argument."]
    return "\n".join(lines)


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
