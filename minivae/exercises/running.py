"""Running a check: what an answer's text is worth, in this process and with no limits.

``processes`` runs the same in a separate process that ends in time.
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import re
import stat
import textwrap
import traceback
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minivae.exercises.catalogue import Exercise, hole
from minivae.exercises.judging import Mistake, other_numbers
from minivae.exercises.verdict import Kind, Verdict

__all__ = ["describe", "judge", "judge_function", "read_text", "say", "todo"]

LARGEST = 1_000_000  # bytes in a file that a student hands in
KEPT = 2000  # the last characters that an answer prints


def judge(exercise: Exercise, text: str, file: str | None = None, salt: int = 1) -> Verdict:
    """Judge the text of a student's file, in this process and with no time limit.

    What is right for the author's numbers is tried with others, which ``salt`` chooses.
    """
    name = file or exercise.file
    untouched = todo(exercise, text, name)
    if untouched is not None:
        return untouched
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)

    def module() -> types.ModuleType:
        made = types.ModuleType(Path(name).stem)
        made.__file__ = name
        exec(compile(text, name, "exec"), made.__dict__)
        return made

    return _judge(exercise, module, text, name, salt)


def judge_function(exercise: Exercise, function: Callable[..., Any], salt: int = 1) -> Verdict:
    """Judge a function that a student wrote, in a cell of a notebook, say."""
    name = getattr(getattr(function, "__code__", None), "co_filename", "the function")

    def module() -> types.SimpleNamespace:
        """What stands around the hole in the file, with the student's function."""
        given = {n: v for n, v in vars(exercise.author).items() if not n.startswith("__")}
        return types.SimpleNamespace(**{**given, exercise.function: function})

    return _judge(exercise, module, "", name, salt)


def _judge(
    exercise: Exercise, module: Callable[[], Any], text: str, name: str, salt: int
) -> Verdict:
    printed = _Printed()
    found: dict[str, Any] = {}
    kind: Kind = "error"
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # the numbers show what they warn of
            try_everywhere(exercise, module(), salt)
        kind, diagnosis = "pass", ""
    except Mistake as mistake:
        kind, diagnosis = "fail", mistake.diagnosis
        found = {"shapes": mistake.shapes, "rows": mistake.rows}
    except NotImplementedError as error:
        kind = "error" if text else "todo"
        diagnosis = _still_raises(error, text, name)
    except SyntaxError as error:
        inside = error.filename == name
        where = f"Line {error.lineno}" if inside else "The answer"
        line = f": {error.text.strip()}" if inside and error.text else ""
        diagnosis = f"{where} is not Python, {error.msg}{line}"
    except (Exception, SystemExit) as error:
        diagnosis = describe(error, name)
        found = {"traceback": traceback.format_exc()}
    if kind == "error":
        found.setdefault("traceback", traceback.format_exc())
    return say(exercise, kind, diagnosis, text=text, file=name, printed=str(printed), **found)


def try_everywhere(exercise: Exercise, answer: Any, salt: int) -> None:
    """Check an answer with the author's numbers, then with others."""
    exercise.check(answer)
    try:
        with other_numbers(salt):
            exercise.check(answer)
    except Mistake as mistake:
        said = mistake.diagnosis[:1].lower() + mistake.diagnosis[1:]
        raise Mistake(
            f"Right for the first numbers, and wrong for others of the same shapes: {said}",
            mistake.shapes,
            mistake.rows,
        ) from None


class _Printed(io.StringIO):
    """What an answer prints, of which the end is kept."""

    def write(self, text: str) -> int:
        if self.tell() > 50 * KEPT:
            kept = str(self)
            self.seek(0)
            self.truncate()
            super().write(kept)
        return super().write(text[-50 * KEPT :])

    def __str__(self) -> str:
        return self.getvalue()[-KEPT:]


def say(
    exercise: Exercise, kind: Kind, diagnosis: str = "", *, text: str, file: str, **more: Any
) -> Verdict:
    """A verdict on an answer."""
    marks = hole(text)
    line = marks[0] + 1 if marks else 1
    as_it_was = kind in ("pass", "todo") or not text
    return Verdict(
        exercise.number,
        exercise.title,
        kind,
        diagnosis,
        where=f"{Path(file).name}:{line}" if text else "",
        equations=list(exercise.equations),
        note="" if as_it_was else _changed_outside(exercise, text),
        **more,
    ).cleaned()


# ---- a hole that is not filled ----


def todo(exercise: Exercise, text: str, file: str) -> Verdict | None:
    """The verdict on a hole that is as it was handed out, or empty; None for any other."""
    lines, shipped = _inside(text), _inside(exercise.as_shipped)
    if lines is None or shipped is None:
        return None
    found, handed_out = _statements(lines), _statements(shipped)
    if found is None or handed_out is None:
        return None
    if found and list(map(ast.dump, found)) != list(map(ast.dump, handed_out)):
        return None
    task = _task(text)
    what = "There is nothing in the hole yet"
    if found and "NotImplementedError" not in "\n".join(shipped):
        what = "The hole is as it was handed out"
    return say(exercise, "todo", f"{what}: {task}", text=text, file=file)


def _inside(text: str) -> list[str] | None:
    marks = hole(text)
    return None if marks is None else text.splitlines()[marks[0] : marks[1] - 1]


def _statements(lines: list[str]) -> list[ast.stmt] | None:
    """The statements in a hole that do anything; None if it is not Python."""
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    try:
        body = ast.parse(textwrap.dedent("\n".join(code))).body
    except (SyntaxError, ValueError):
        return None
    return [s for s in body if not isinstance(s, ast.Pass) and not _is_constant(s)]


def _is_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _task(text: str) -> str:
    marks = hole(text)
    line = text.splitlines()[marks[0] - 1] if marks else ""
    return line.partition(":")[2].strip(" -") or "replace the line with NotImplementedError"


# ---- exceptions ----


def _still_raises(error: BaseException, text: str, name: str) -> str:
    """What to do about the line that a file is handed out with, when there is an answer too."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == name]
    line = f"Line {frames[-1].lineno}" if frames else "The file"
    said = f"{line} still raises NotImplementedError"
    body = _statements(_inside(text) or []) or []
    at = [i for i, s in enumerate(body) if isinstance(s, ast.Raise)]
    if at and at[0] < len(body) - 1:
        return f"{said}, and nothing that stands below it runs: delete that line"
    if at and not any(isinstance(s, ast.Return) for one in body for s in ast.walk(one)):
        return f"{said}; what stands above it has no return: write one in place of that line"
    return f"{said}: delete that line"


def describe(error: BaseException, name: str) -> str:
    """An exception as a sentence, with the line of the student's file that it came from."""
    if isinstance(error, SystemExit):
        return "The answer calls exit(): a check cannot go on after it"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == name]
    where = f"Line {frames[-1].lineno}, {frames[-1].line}, raises" if frames else "The check met"
    if isinstance(error, RecursionError):
        return f"{where} RecursionError: the function calls itself without end"
    if isinstance(error, MemoryError):
        return f"{where} MemoryError: it asks for more memory than a check may have"
    if isinstance(error, AttributeError) and not frames and type(error.obj) is types.ModuleType:
        return (
            f"The file has no {error.name}: it was renamed or removed, or this is the file of "
            "another exercise; 'reset' puts it back and keeps what you wrote beside it"
        )
    what = textwrap.shorten(str(error).partition(", with gufunc signature")[0], 200)
    said = f"{where} {type(error).__name__}: {what}"
    said += "".join(f" ({note})" for note in getattr(error, "__notes__", ())[:1])
    return said + (_help(error, what, name, frames[-1].line or "") if frames else "")


def _help(error: BaseException, what: str, name: str, line: str) -> str:
    """What a teacher would add, who sees the line and the arrays in it."""
    local = _locals(error, name)
    if re.search(r"(length-1|0-dimensional|size-1) array", what) and "math." in line:
        call = re.search(r"math\.(\w+)", line)
        return f" (math.{call[1]} takes one number: np.{call[1]} takes arrays)" if call else ""
    if isinstance(error, NameError):
        return f" (known here: {', '.join(local)})" if local else ""
    words = set(re.findall(r"\w+", line))
    arrays = {n: v for n, v in local.items() if n in words and isinstance(v, np.ndarray)}
    shapes = [f"{n} {v.shape}" for n, v in arrays.items()]
    if not re.search("broadcast|mismatch|dimension|aligned|axis|shape|out of bounds", what):
        return ""
    there = f" (there: {', '.join(shapes)})" if shapes else ""
    if "out of bounds" in what:
        return f"{there}; is it an index of another axis, or does it count from 1?"
    if "matmul" in what or "aligned" in what or "@" in line:
        return f"{there}; in A @ B the last axis of A and the first of B agree: a transpose?"
    return f"{there}; is it a transpose, an axis, or keepdims=True?"


def _locals(error: BaseException, name: str) -> dict[str, Any]:
    """The variables of the student's function where it failed."""
    found: dict[str, Any] = {}
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == name:
            found = {k: v for k, v in at.tb_frame.f_locals.items() if not k.startswith("__")}
        at = at.tb_next
    return found


def _changed_outside(exercise: Exercise, text: str) -> str:
    """Whether anything but the hole was changed, in words."""
    reset = f"'minivae exercise reset {exercise.number}' puts back what was handed out, and keeps"
    marks, shipped = hole(text), exercise.solved
    if marks is None:
        return f"The two lines that mark the hole are no longer there. {reset} a copy of this file."
    theirs, ours = text.splitlines(), shipped.splitlines()
    begin, end = hole(shipped) or (0, 0)
    same = theirs[: marks[0] - 1] == ours[: begin - 1]
    tail = [line.rstrip() for line in theirs[marks[1] :]]
    if same and "\n".join(tail).strip() == "\n".join(ours[end:]).strip():
        return ""
    return f"Lines outside the hole were changed. If that was not meant: {reset} a copy."


# ---- files ----


def read_text(path: Path) -> str:
    """The text of a file that somebody handed in: UTF-8, or UTF-16 as some systems save it.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is not a file of text.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("It is not a file: a folder, a pipe or a device is in its place")
    if status.st_size > LARGEST:
        raise ValueError(f"The file has {status.st_size} bytes; a few thousand are what it takes")
    content = path.read_bytes()
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError("The file is not text in UTF-8: save it as UTF-8") from None
