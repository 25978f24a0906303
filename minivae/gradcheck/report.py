"""The screen that a gradient check shows."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from math import isnan
from typing import Literal, NamedTuple

from minivae.notebook import card, number

__all__ = ["GradcheckReport", "Row", "element", "shorten", "wrap"]

Index = tuple[int, ...]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]


class Row(NamedTuple):
    """One element of a gradient: ``ratio`` is analytic / numeric."""

    input: int
    name: str
    index: Index  # type: ignore[assignment]
    analytic: float
    numeric: float
    ratio: float
    relative_error: float


@dataclass(frozen=True)
class GradcheckReport:
    """What a gradient check found: true if, and only if, the gradient is right.

    Parameters
    ----------
    verdict
        ``"PASS"``, ``"FAIL"`` or ``"INCONCLUSIVE"``.
    diagnosis
        A sentence on what is wrong, or on why nothing can be said; None for a gradient that is
        right.
    table
        The five worst elements, the worst first; empty if the check did not come to numbers.
    function
        The function's name and the shapes of its inputs.
    checked, total
        How many elements were compared one by one, and how many there are.
    sampled
        Whether some were compared together: moved at once along a random direction.
    kinks
        The elements left out because the function has a kink there, as name and index.
    error
        The exception that the VJP raised, if it did.
    """

    verdict: Verdict
    diagnosis: str | None
    table: list[Row] = field(default_factory=list)
    function: str = "f"
    checked: int = 0
    total: int = 0
    kinks: list[tuple[str, Index]] = field(default_factory=list)
    sampled: bool = False
    error: BaseException | None = None

    def __bool__(self) -> bool:
        return self.verdict == "PASS"

    def __str__(self) -> str:
        lines = wrap(f"{self.verdict}  {self.function}", "", at_most=2)
        if self.diagnosis:
            lines += ["", *wrap(self.diagnosis, "  ", at_most=8)]
        if self.table:
            lines += [
                "",
                f"  {'':22}{'analytic':>14}{'numeric':>14}{'ratio':>12}{'rel. error':>13}",
            ]
        for row in self.table:
            ratio = "-" if isnan(row.ratio) else f"{row.ratio:.5g}"
            numbers = (
                f"{row.analytic:14.6g}{row.numeric:14.6g}{ratio:>12}{row.relative_error:13.1e}"
            )
            lines.append(f"  {shorten(element(row.name, row.index), 22):22}{numbers}")
        if self.total:
            others = " one by one, the others together" if self.sampled else ""
            lines += ["", f"  {self.checked} of {self.total} elements compared{others}."]
        if self.kinks:
            where = ", ".join(element(*kink) for kink in self.kinks[:4])
            more = f" and {len(self.kinks) - 4} more" if len(self.kinks) > 4 else ""
            lines += wrap(f"Left out, at a kink: {where}{more}.", "  ", at_most=2)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The same in a notebook."""
        rows = [
            (element(r.name, r.index), number(r.analytic), number(r.numeric), number(r.ratio, 5),
             f"{r.relative_error:.1e}") for r in self.table
        ]  # fmt: skip
        head = ("", "analytic", "numeric", "ratio", "rel. error")
        compared = [("elements compared", f"{self.checked} of {self.total}")] if self.total else []
        return card(self.function, self.verdict, self.diagnosis or "", compared, head, rows)


def element(name: str, index: Index) -> str:
    """An element as it is written in Python."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def shorten(text: str, width: int) -> str:
    """A text cut to a width."""
    return text if len(text) <= width else text[: width - 3] + "..."


def wrap(text: str, indent: str, at_most: int) -> list[str]:
    """The lines of a text, each of at most 78 columns."""
    return textwrap.wrap(
        text,
        78,
        initial_indent=indent,
        subsequent_indent=indent or "  ",
        max_lines=at_most,
        placeholder=" ...",
    )
