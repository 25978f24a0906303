"""A class: who has passed what, and which mistake is the most common in each exercise.

Either the folders that students hand in are marked, by running each answer again, or the files that
``minivae exercise progress --json`` writes are trusted. What cannot be read is listed, and the rest
continues.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minivae.checkpoint import atomic_write
from minivae.exercises.catalogue import Exercise, catalogue
from minivae.exercises.processes import TIME_LIMIT, Job, judge_files
from minivae.exercises.running import read_text
from minivae.exercises.verdict import Verdict, plain

__all__ = ["Class", "Student", "collect", "draw_class", "mark", "write_csv", "write_page"]

PASSED, TRIED, SHOWN, UNTOUCHED = 3, 2, 1, 0
STATES = {
    UNTOUCHED: ("not tried", "#eeeeee"),
    SHOWN: ("solution looked at", "#fdae61"),
    TRIED: ("tried", "#abd9e9"),
    PASSED: ("passed", "#2c7bb6"),
}


@dataclass
class Student:
    """A student's state in each exercise, and what the last wrong answers showed."""

    name: str
    states: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> int:
        """How many exercises have passed."""
        return sum(state == PASSED for state in self.states.values())


@dataclass
class Class:
    """All students, and the files that could not be read, each with the reason."""

    exercises: Sequence[Exercise]
    students: list[Student] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)

    def commonest(self, exercise: Exercise) -> tuple[int, str]:
        """How many students made the most common mistake of an exercise, and what it is."""
        found = [s.wrong[exercise.number] for s in self.students if s.wrong.get(exercise.number)]
        if not found:
            return 0, ""
        kind, count = Counter(map(_kind, found)).most_common(1)[0]
        return count, next(said for said in found if _kind(said) == kind)

    def share(self, exercise: Exercise) -> int:
        """How many students have passed an exercise."""
        return sum(s.states.get(exercise.number) == PASSED for s in self.students)


def _kind(diagnosis: str) -> str:
    """A diagnosis without its numbers, which differ from student to student."""
    return re.sub(r"Line \d+, .*?, raises|-?\d+(\.\d+)?(e[-+]?\d+)?", "", diagnosis)


# ---- marking ----


def mark(
    folder: Path,
    exercises: Sequence[Exercise] | None = None,
    limit: float = TIME_LIMIT,
    said: Callable[[int, int], object] = lambda done, total: None,
) -> Class:
    """Run the answers in the folders of a folder, one for each student, several at a time.

    ``said`` is called with how many answers have been judged, and how many there are.
    """
    exercises = exercises or catalogue()
    found, jobs = Class(exercises), list[Job]()
    owners: dict[Path, Student] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        name = plain(path.name)
        there = _handed_in(path, exercises)
        if there is None:
            found.damaged.append((name, "it holds no exercises"))
            continue
        student = Student(name)
        found.students.append(student)
        salt = zlib.crc32(path.name.encode("utf-8", "surrogateescape")) or 1
        for exercise in exercises:
            if (there / exercise.file).exists():
                owners[there / exercise.file] = student
                jobs.append(Job(exercise, there / exercise.file, salt))
        for number in _looked_at(there, name, found):
            student.states[number] = SHOWN
    for done, (job, verdict) in enumerate(judge_files(jobs, limit), 1):
        _enter(owners[job.path], job, verdict, found)
        said(done, len(jobs))
    return found


def _handed_in(path: Path, exercises: Sequence[Exercise]) -> Path | None:
    """The folder with the exercises: itself, or one inside."""
    names = {exercise.file for exercise in exercises}
    for inside in (path, *sorted(p for p in path.rglob("*") if p.is_dir() and not p.is_symlink())):
        if any((inside / name).exists() for name in names):
            return inside
    return None


def _looked_at(path: Path, name: str, found: Class) -> list[str]:
    """The exercises of which a student has looked at the solution before a pass."""
    try:
        entries = _entries(path / "progress.json")
        return [number for number, entry in entries.items() if entry.get("gave_up")]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        found.damaged.append((f"{name}/progress.json", _reason(error)))
        return []


def _enter(student: Student, job: Job, verdict: Verdict, found: Class) -> None:
    number = job.exercise.number
    if verdict:
        student.states.setdefault(number, PASSED)
    elif verdict.kind != "todo":
        student.states.setdefault(number, TRIED)
        student.wrong[number] = verdict.diagnosis
        if not verdict.where:  # the file itself could not be read
            found.damaged.append((f"{student.name}/{job.exercise.file}", verdict.diagnosis))


# ---- collecting ----


def collect(folder: Path, exercises: Sequence[Exercise] | None = None) -> Class:
    """Read the JSON files of a folder, each named after a student or in a folder that is."""
    found = Class(exercises or catalogue())
    names = set()
    for path in sorted(folder.rglob("*.json")):
        name = plain(path.parent.name if path.name == "progress.json" else path.stem)
        where = plain(str(path.relative_to(folder)))
        if name in names:
            found.damaged.append((where, f"there is another {name}; name files by their students"))
            continue
        try:
            entries = _entries(path)
        except (OSError, ValueError) as error:
            found.damaged.append((where, _reason(error)))
            continue
        names.add(name)
        student = Student(name, {number: _state(entry) for number, entry in entries.items()})
        student.wrong = {
            number: plain(str(entry["last"]))
            for number, entry in entries.items()
            if entry.get("last", "pass") != "pass"
        }
        found.students.append(student)
    return found


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """The exercises of a file of progress.

    Raises
    ------
    OSError, ValueError
        If it is not one.
    """
    foreign = "it is not what 'minivae exercise progress --json' writes"
    try:
        entries = json.loads(read_text(path))["exercises"]
    except (KeyError, TypeError, RecursionError, json.JSONDecodeError):
        raise ValueError(foreign) from None
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise ValueError(foreign)
    return entries


def _reason(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def _state(entry: dict[str, Any]) -> int:
    if entry.get("gave_up"):  # before a pass: later there is no need to
        return SHOWN
    if entry.get("passed"):
        return PASSED
    return TRIED if entry.get("checks") else UNTOUCHED


# ---- what a teacher looks at ----


def _ordered(found: Class) -> list[Student]:
    return sorted(found.students, key=lambda s: (-s.passed, s.name))


def write_csv(found: Class, path: Path) -> None:
    """Write one row per student: the name, how many have passed, and each exercise in a word."""
    numbers = [exercise.number for exercise in found.exercises]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["student", "passed", *numbers])
    for student in _ordered(found):
        words = [STATES[student.states.get(number, UNTOUCHED)][0] for number in numbers]
        # A cell that begins like this is run by spreadsheets.
        name = f"'{student.name}" if student.name.startswith(tuple("=+-@\t")) else student.name
        writer.writerow([name, student.passed, *words])
    atomic_write(path, lambda file: file.write(text.getvalue().encode()))


PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Exercises of a class</title>
<style>
body {{ font: 15px/1.4 sans-serif; margin: 2em; max-width: 80em }}
table {{ border-collapse: collapse; margin-bottom: 2em }}
td, th {{ padding: 2px 6px; text-align: left; vertical-align: top }}
.s td {{ border: 2px solid white; min-width: 1em }}
{colours}
</style>
<h1>Exercises of a class</h1>
<p>{summary}</p>
<table class="s"><tr><th>student</th><th>passed</th>{numbers}</tr>
{rows}
</table>
<p>{legend}</p>
<h2>What goes wrong</h2>
<table><tr><th></th><th>exercise</th><th>passed</th><th>the commonest mistake</th></tr>
{mistakes}
</table>
{damaged}
</html>
"""


def write_page(found: Class, path: Path) -> None:
    """Write one HTML page that needs nothing else: the table, and the commonest mistakes."""
    say = html.escape
    numbers = [exercise.number for exercise in found.exercises]

    def cell(student: Student, number: str) -> str:
        state = student.states.get(number, UNTOUCHED)
        title = student.wrong.get(number) or STATES[state][0]
        return f'<td class="s{state}" title="{say(title)}"></td>'

    rows = [
        f"<tr><td>{say(s.name)}</td><td>{s.passed}</td>{''.join(cell(s, n) for n in numbers)}</tr>"
        for s in _ordered(found)
    ]
    mistakes = []
    for exercise in found.exercises:
        count, diagnosis = found.commonest(exercise)
        times = "once" if count == 1 else f"{count} times"
        often = f"{times}: {say(diagnosis)}" if count else ""
        mistakes.append(
            f"<tr><td>{exercise.number}</td><td>{say(exercise.title)}</td>"
            f"<td>{found.share(exercise)}</td><td>{often}</td></tr>"
        )
    lost = "".join(f"<li>{say(where)}: {say(why)}</li>" for where, why in found.damaged)
    text = PAGE.format(
        colours="\n".join(f".s{i} {{ background: {c} }}" for i, (_, c) in STATES.items()),
        summary=f"{len(found.students)} students, {len(numbers)} exercises. Rest the pointer on a "
        "cell for the last diagnosis.",
        numbers="".join(f"<th>{number}</th>" for number in numbers),
        rows="\n".join(rows),
        legend=" ".join(
            f'<span class="s{i}">&nbsp;&nbsp;&nbsp;</span> {word}'
            for i, (word, _) in STATES.items()
        ),
        mistakes="\n".join(mistakes),
        damaged=f"<h2>What could not be read</h2><ul>{lost}</ul>" if lost else "",
    )
    atomic_write(path, lambda file: file.write(text.encode()))


def draw_class(found: Class, path: Path) -> None:
    """Draw one row per student and one column per exercise, and write it as PNG, PDF or SVG."""
    import matplotlib
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    numbers = [exercise.number for exercise in found.exercises]
    students = _ordered(found)
    grid = np.array([[s.states.get(n, UNTOUCHED) for n in numbers] for s in students])
    words, colours = zip(*STATES.values(), strict=True)
    figure = Figure(figsize=(2.5 + 0.26 * len(numbers), 1.6 + 0.24 * len(students)))
    axes = figure.add_subplot()
    axes.imshow(grid, cmap=ListedColormap(colours), vmin=0, vmax=3, aspect="auto")
    axes.set_xticks(range(len(numbers)), numbers, fontsize=8)
    names = [f"{student.name}  {student.passed}" for student in students]
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
        handles=[Patch(color=c, label=s) for c, s in zip(colours, words, strict=True)],
        loc="outside lower center", ncols=4, fontsize=8, frameon=False,
    )  # fmt: skip
    figure.set_layout_engine("constrained")
    kind = path.suffix.removeprefix(".").lower() or "png"
    with matplotlib.rc_context({"svg.hashsalt": "minivae"}):
        atomic_write(path, lambda file: figure.savefig(file, format=kind, dpi=150))
