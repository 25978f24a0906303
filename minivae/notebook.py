"""How things show in a notebook: one style for all of them, and the progress bar that fits.

A card takes its colours from the page around it, and what it adds reads on light and dark alike.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from html import escape
from importlib.util import find_spec
from typing import Any

__all__ = ["card", "number", "progress_bar"]

GREEN, ORANGE, RED, GREY = "#1a7f37", "#b35900", "#b30000", "#57606a"  # below white letters
COLOURS = {
    "PASS": GREEN, "fitted": GREEN, "FAIL": RED, "ERROR": RED, "ENDLESS": RED, "WRONG": ORANGE,
    "INCONCLUSIVE": ORANGE,
}  # fmt: skip
LINE = "1px solid rgba(128,128,128,.4)"
CARD = f"border:{LINE};border-radius:6px;padding:.5em .8em;max-width:48em;line-height:1.45"
BADGE = "color:#fff;border-radius:4px;padding:.05em .5em;margin-right:.5em;background:"
CELL = f"padding:.1em .7em;border-top:{LINE};text-align:"
QUIET = "opacity:.7;font-weight:normal"


def card(
    title: str,
    badge: str = "",
    text: str = "",
    facts: Iterable[tuple[str, object]] = (),
    head: Sequence[str] = (),
    rows: Iterable[Sequence[str]] = (),
) -> str:
    """HTML of a title, a word on how it stands, a sentence, names with values, and a table.

    Parameters
    ----------
    title
        What it is.
    badge
        ``"PASS"``, ``"fitted"``: a word in a colour that says whether that is well.
    text
        A sentence or more.
    facts
        Names and what they stand for.
    head, rows
        A table; its first column holds names, the others numbers.
    """
    colour = COLOURS.get(badge, GREY)
    word = f'<span style="{BADGE}{colour}">{escape(badge)}</span>' if badge else ""
    parts = [f"<div>{word}<b>{escape(title)}</b></div>"]
    if text:
        parts.append(f'<div style="margin-top:.3em">{escape(text)}</div>')
    named = [
        _row([f'<span style="{QUIET}">{escape(name)}</span>', escape(str(value))], "left")
        for name, value in facts
    ]
    numbers = [_row([escape(cell) for cell in row], "right") for row in rows]
    if numbers:
        first = [f'<span style="{QUIET}">{escape(cell)}</span>' for cell in head]
        numbers.insert(0, _row(first, "right"))
    for table in filter(None, (named, numbers)):
        style = "border-collapse:collapse;margin-top:.4em"
        parts.append(f'<table style="{style}">{"".join(table)}</table>')
    return f'<div style="{CARD}">{"".join(parts)}</div>'


def _row(cells: Sequence[str], align: str) -> str:
    styles = ["left", *[align] * (len(cells) - 1)]
    inside = (f'<td style="{CELL}{s}">{cell}</td>' for s, cell in zip(styles, cells, strict=True))
    return f'<tr style="background:none">{"".join(inside)}</tr>'


def number(x: float, digits: int = 6) -> str:
    """A number in a table; a dash for NaN."""
    return "-" if math.isnan(x) else f"{x:.{digits}g}"


def progress_bar(**options: Any) -> Any:
    """tqdm's bar with these options: of widgets in a notebook that has them, else of text."""
    if _in_notebook() and find_spec("ipywidgets"):
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm
    return tqdm(**options)


def _in_notebook() -> bool:
    """Whether a kernel of a notebook runs this."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
