"""An exercise and its one source, from which the student's file is cut.

A file ``problems/NN_name.py`` has two halves. The first is the student's, with the solution between
two markers; the second, below a third marker, is the author's: the check, the hints, the equations
and a bank of wrong answers.
"""

from __future__ import annotations

import ast
import re
import textwrap
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

__all__ = ["BEGIN", "END", "Exercise", "catalogue", "find", "hole"]

PROBLEMS = Path(__file__).with_name("problems")
BEGIN = "# --- your code"
END = "# --- end of your code"
AUTHOR = "# === the author's half"


@dataclass(frozen=True)
class Exercise:
    """One exercise, read from its source.

    Parameters
    ----------
    path
        The source, ``NN_name.py``.
    text
        What it holds.
    """

    path: Path
    text: str

    @property
    def number(self) -> str:
        """Two digits."""
        return self.path.stem[:2]

    @property
    def file(self) -> str:
        """The name of the student's file."""
        return self.path.name

    @cached_property
    def title(self) -> str:
        """What it is about."""
        docstring = ast.get_docstring(ast.parse(self.text)) or ""
        return docstring.partition("\n")[0].removeprefix(self.number).strip()

    @cached_property
    def solved(self) -> str:
        """The student's file with the solution in the hole."""
        return self.text.partition(AUTHOR)[0].rstrip() + "\n"

    @cached_property
    def solution(self) -> str:
        """What stands in the hole of the solution, not indented."""
        lines = self.solved.splitlines()
        begin, end = hole(self.solved) or (0, 0)
        return textwrap.dedent("\n".join(lines[begin : end - 1]))

    @cached_property
    def as_shipped(self) -> str:
        """The student's file as it is handed out."""
        bug = getattr(self.author, "BUG", None)
        return self.filled(
            f'raise NotImplementedError("exercise {self.number}")' if bug is None else bug.body
        )

    def filled(self, body: str) -> str:
        """The student's file with other lines in the hole."""
        lines = self.solved.splitlines()
        begin, end = hole(self.solved) or (0, 0)
        margin = lines[begin - 1][: -len(lines[begin - 1].lstrip())]
        inside = textwrap.indent(textwrap.dedent(body).strip("\n"), margin).splitlines()
        return "\n".join([*lines[:begin], *inside, *lines[end - 1 :]]) + "\n"

    @cached_property
    def function(self) -> str:
        """The name of the function that has the hole."""
        begin = (hole(self.solved) or (0, 0))[0]
        inside = [
            node
            for node in ast.parse(self.solved).body
            if isinstance(node, ast.FunctionDef) and node.lineno < begin
        ]
        return inside[-1].name

    # What the author's half holds.

    @cached_property
    def author(self) -> types.ModuleType:
        """The whole source as a module."""
        module = types.ModuleType(f"minivae.exercises.problems.{self.path.stem}")
        module.__file__ = str(self.path)
        exec(compile(self.text, str(self.path), "exec"), module.__dict__)
        return module

    @property
    def equations(self) -> Sequence[str]:
        """The labels of its equations."""
        return tuple(self.author.EQUATIONS)

    @property
    def section(self) -> str:
        """The book's section that it belongs to, ``"kl_and_elbo#two-terms"``; "" if there is none.

        The name of the chapter's file without its number, and the heading's anchor.
        """
        return str(getattr(self.author, "SECTION", ""))

    @property
    def hints(self) -> Sequence[str]:
        """Three, the last nearly the answer."""
        return tuple(self.author.HINTS)

    @property
    def check(self) -> Callable[[Any], None]:
        """Judge a student's module: return, or raise ``judging.Mistake``."""
        function: Callable[[Any], None] = self.author.check
        return function


def hole(text: str) -> tuple[int, int] | None:
    """The numbers of the two lines that mark the hole; None if there are not exactly two."""
    marks = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.lstrip().startswith((BEGIN, END))
    ]
    if len(marks) != 2 or marks[0][1].startswith(END) or not marks[1][1].startswith(END):
        return None
    return marks[0][0], marks[1][0]


def _is_part(name: str, exercise: Exercise) -> bool:
    """Whether a name is the exercise's number, or the beginning of its file's name."""
    return name.zfill(2) == exercise.number or f"{exercise.file}.".startswith(name)


@cache
def catalogue(folder: Path = PROBLEMS) -> tuple[Exercise, ...]:
    """All exercises, in order."""
    paths = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not paths:
        raise ValueError(f"{folder} holds no exercises, files that are called 01_name.py")
    return tuple(Exercise(path, path.read_text(encoding="utf-8")) for path in paths)


def find(number: str | int, among: Sequence[Exercise] | None = None) -> Exercise:
    """The exercise of that number, or of a name that begins with it: 1, 01, 01_multiply.py.

    Raises
    ------
    ValueError
        If there is none.
    """
    known = catalogue() if among is None else among
    begin = re.match(r"(\d{1,2})(_|\.|$)", str(number))
    for exercise in known:
        if begin and exercise.number == begin[1].zfill(2) and _is_part(str(number), exercise):
            return exercise
    numbers = [exercise.number for exercise in known]
    raise ValueError(f"there is no exercise {number}; they run from {numbers[0]} to {numbers[-1]}")
