"""The result of a check, and the screen that shows it."""

from __future__ import annotations

import dataclasses
import textwrap
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, NamedTuple, get_args

from minivae.notebook import card, number

__all__ = ["Kind", "Row", "Verdict", "plain"]

WIDTH = 79
WORDS = {
    "pass": "PASS",
    "fail": "WRONG",
    "todo": "TO DO",
    "error": "ERROR",
    "timeout": "ENDLESS",
}
Kind = Literal["pass", "fail", "todo", "error", "timeout"]


class Row(NamedTuple):
    """One element: where, the student's number, the right one."""

    where: str
    yours: float
    expected: float

    @property
    def ratio(self) -> float:
        """The student's by the right one."""
        return self.yours / self.expected if self.expected else float("nan")


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found: true if, and only if, the answer is right.

    Parameters
    ----------
    exercise
        The exercise's number.
    title
        Its title.
    kind
        ``"pass"``; ``"fail"`` for a wrong answer; ``"todo"`` for a hole that is not filled;
        ``"error"`` for an answer that does not run; ``"timeout"`` for one that does not end.
    diagnosis
        What is wrong, as a sentence.
    where
        The hole, as ``file:line``.
    shapes
        The function that was judged, with the shapes of its inputs.
    rows
        The five worst elements, the worst first.
    equations
        The labels of the equations.
    note
        One more thing to know, such as lines outside the hole that were changed.
    traceback
        What Python says, for those who ask.
    printed
        What the answer printed.
    """

    exercise: str
    title: str
    kind: Kind
    diagnosis: str = ""
    where: str = ""
    shapes: str = ""
    rows: list[Row] = field(default_factory=list)
    equations: list[str] = field(default_factory=list)
    note: str = ""
    traceback: str = ""
    printed: str = ""

    def __bool__(self) -> bool:
        return self.kind == "pass"

    def __str__(self) -> str:
        return self.screen()

    def __repr__(self) -> str:
        return self.screen()

    def _repr_html_(self) -> str:
        """The verdict in a notebook."""
        rows = [(row.where, number(row.yours, 7), number(row.expected, 7)) for row in self.rows]
        return card(
            f"{self.exercise}  {self.title}",
            WORDS[self.kind],
            self.diagnosis,
            [("equations", ", ".join(self.equations))] if not self else (),
            ("", "yours", "expected"),
            rows,
        )

    def as_json(self) -> dict[str, Any]:
        """The same as numbers and strings, for those who collect verdicts."""
        return {
            **dataclasses.asdict(self),
            "rows": [
                {
                    "where": row.where,
                    **{
                        name: value if isfinite(value) else str(value)
                        for name, value in (
                            ("yours", row.yours),
                            ("expected", row.expected),
                            ("ratio", row.ratio),
                        )
                    },
                }
                for row in self.rows
            ],
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Verdict:
        """The verdict that :meth:`as_json` wrote."""
        rows = [Row(r["where"], float(r["yours"]), float(r["expected"])) for r in found["rows"]]
        return cls(**{**found, "rows": rows[:5]}).cleaned()

    def cleaned(self) -> Verdict:
        """The same with whatever would disturb a terminal or a file of text written out."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"there is no verdict {self.kind!r}")
        text: dict[str, Any] = {
            part.name: plain(getattr(self, part.name))
            for part in dataclasses.fields(self)
            if part.type == "str"
        }
        rows = [row._replace(where=plain(row.where)) for row in self.rows]
        labels = [plain(label) for label in self.equations]
        return dataclasses.replace(self, rows=rows, equations=labels, **text)

    def screen(self, verbose: bool = False) -> str:
        """The verdict on one screen of 80 columns and 24 lines; more if ``verbose``."""
        name = f"{self.exercise}  {self.title}"
        if self:
            return "\n".join([f"PASS  {name}", *self._note(), *self._printed(verbose)])
        lines = [f"{WORDS[self.kind]}  {name}"]
        if self.where:
            lines.append(f"  in {self.where}")
        if self.shapes:
            lines += _wrap(self.shapes, 1)
        lines += ["", *_wrap(self.diagnosis, 7)]
        if self.rows:
            lines += ["", f"  {'':28}{'yours':>15}{'expected':>15}{'ratio':>12}"]
        for row in self.rows:
            ratio = f"{row.ratio:.5g}" if isfinite(row.ratio) else "-"
            where = textwrap.shorten(row.where, 28, placeholder="...")
            lines.append(f"  {where:28}{row.yours:15.7g}{row.expected:15.7g}{ratio:>12}")
        lines += self._note() + self._printed(verbose)
        if verbose and self.traceback:
            lines += ["", self.traceback.rstrip()]
        labels = ", ".join(self.equations)
        word = "Equation" if len(self.equations) == 1 else "Equations"
        look = f"{word} {labels} (minivae eq {self.equations[0]})" if labels else ""
        hint = f"Hint: minivae exercise hint {self.exercise}"
        lines += ["", f"  {look}", f"  {hint}"] if look else ["", f"  {hint}"]
        return "\n".join(lines)

    def _note(self) -> list[str]:
        return ["", *_wrap(self.note, 3)] if self.note else []

    def _printed(self, verbose: bool) -> list[str]:
        """The last lines that the answer printed, where a debugging print puts its news."""
        found = self.printed.rstrip().splitlines()
        if not found:
            return []
        kept = found if verbose else found[-3:]
        more = f" (the last {len(kept)} of {len(found)} lines)" if len(kept) < len(found) else ""
        return [f"  It printed{more}:", *(f"    {line}"[:WIDTH] for line in kept)]


def plain(text: str) -> str:
    """A text with control characters and halves of surrogate pairs written out."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode()
        for c in text
    )


def _wrap(text: str, at_most: int) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        max_lines=at_most,
        placeholder=" ...",
    )
