"""A class's progress, from the files that ``minivae exercise progress --json`` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from minivae.exercises.catalogue import catalogue

__all__ = ["collect", "count_passed", "draw_class"]

PASSED, TRIED, SHOWN, UNTOUCHED = 3, 2, 1, 0


def collect(folder: Path) -> dict[str, dict[str, int]]:
    """Read the JSON files of a folder: by student (the file's name), by exercise, how far it came.

    Raises
    ------
    ValueError
        If a file is not what ``progress --json`` writes, two are of one name, or there is none.
    """
    found: dict[str, dict[str, int]] = {}
    for path in sorted(folder.rglob("*.json")):
        name = path.parent.name if path.name == "progress.json" else path.stem
        if name in found:
            raise ValueError(f"{path}: there is another {name!r}; name the files by their students")
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))["exercises"]
            found[name] = {number: _state(entry) for number, entry in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f"{path} is not what 'minivae exercise progress --json' writes"
            ) from None
    if not found:
        raise ValueError(
            f"{folder} has no JSON files; collect them by 'minivae exercise progress --json'"
        )
    return found


def draw_class(progress: dict[str, dict[str, int]], path: Path) -> None:
    """Draw a row a student and a column an exercise, and write it as PNG, PDF or SVG."""
    import matplotlib
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from minivae.checkpoint import atomic_write

    numbers = [exercise.number for exercise in catalogue()]
    students = sorted(progress, key=lambda s: (-count_passed(progress[s]), s))
    grid = np.array([[progress[s].get(n, UNTOUCHED) for n in numbers] for s in students])
    colours = ["#eeeeee", "#fdae61", "#abd9e9", "#2c7bb6"]
    labels = ["not tried", "solution looked at", "tried", "passed"]
    figure = Figure(figsize=(2.5 + 0.26 * len(numbers), 1.6 + 0.24 * len(students)))
    axes = figure.add_subplot()
    axes.imshow(grid, cmap=ListedColormap(colours), vmin=0, vmax=3, aspect="auto")
    axes.set_xticks(range(len(numbers)), numbers, fontsize=8)
    names = [f"{student}  {count_passed(progress[student])}" for student in students]
    axes.set_yticks(range(len(students)), names, fontsize=8, parse_math=False)
    axes.set_xticks(np.arange(-0.5, len(numbers)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(students)), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    share = [f"{100 * np.mean(grid[:, i] == PASSED):.0f}" for i in range(len(numbers))]
    top = axes.secondary_xaxis("top")
    top.set_xticks(range(len(numbers)), share, fontsize=7)
    top.tick_params(length=0)
    top.set_xlabel("passed, % of the class", fontsize=8)
    axes.set_xlabel("exercise", fontsize=8)
    figure.legend(
        handles=[Patch(color=c, label=s) for c, s in zip(colours, labels, strict=True)],
        loc="outside lower center", ncols=4, fontsize=8, frameon=False,
    )  # fmt: skip
    figure.set_layout_engine("constrained")
    kind = path.suffix.removeprefix(".").lower() or "png"
    with matplotlib.rc_context({"svg.hashsalt": "minivae"}):
        atomic_write(path, lambda file: figure.savefig(file, format=kind, dpi=150))


def _state(entry: dict[str, Any]) -> int:
    if entry.get("gave_up"):  # before a pass: later there is no need to
        return SHOWN
    if entry.get("passed"):
        return PASSED
    return TRIED if entry.get("checks") else UNTOUCHED


def count_passed(entries: dict[str, int]) -> int:
    """How many exercises a student has passed."""
    return sum(state == PASSED for state in entries.values())
