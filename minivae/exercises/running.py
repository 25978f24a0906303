"""Running a check: in this process, or in one of its own that ends in time."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import linecache
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import traceback
import types
import warnings
from pathlib import Path
from typing import Any

from minivae.exercises.catalogue import Exercise, find, hole
from minivae.exercises.judging import Mistake
from minivae.exercises.verdict import Kind, Verdict

__all__ = ["TIME_LIMIT", "judge", "judge_file"]

TIME_LIMIT = 10.0  # seconds


def judge(exercise: Exercise, text: str, file: str | None = None) -> Verdict:
    """Judge the text of a student's file, in this process and with no time limit."""
    name = file or exercise.file
    printed = io.StringIO()
    say = _Sayer(exercise, text, name, printed)
    module = types.ModuleType(Path(name).stem)
    module.__file__ = name
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # the numbers show what they warn of
            exec(compile(text, name, "exec"), module.__dict__)
            exercise.check(module)
    except Mistake as mistake:
        return say("fail", mistake.diagnosis, shapes=mistake.shapes, rows=mistake.rows)
    except NotImplementedError:
        todo = f"There is nothing in the hole yet: {_task(text)}"
        return say("todo", todo, traceback=traceback.format_exc())
    except SyntaxError as error:
        inside = error.filename == name
        where = f"Line {error.lineno}" if inside else "The answer"
        line = f": {error.text.strip()}" if inside and error.text else ""
        said = f"{where} is not Python, {error.msg}{line}"
        return say("error", said, traceback=traceback.format_exc())
    except (Exception, SystemExit) as error:
        return say("error", _describe(error, name, module), traceback=traceback.format_exc())
    return say("pass")


class _Sayer:
    """Verdicts on one answer."""

    def __init__(self, exercise: Exercise, text: str, name: str, printed: io.StringIO) -> None:
        self.exercise, self.text, self.name, self.printed = exercise, text, name, printed

    def __call__(self, kind: Kind, diagnosis: str = "", **more: Any) -> Verdict:
        marks = hole(self.text)
        line = marks[0] + 1 if marks else 1
        as_it_was = kind in ("pass", "todo") or not self.text
        note = "" if as_it_was else _changed_outside(self.exercise, self.text)
        return Verdict(
            self.exercise.number,
            self.exercise.title,
            kind,
            diagnosis,
            where=f"{Path(self.name).name}:{line}",
            equations=list(self.exercise.equations),
            note=note,
            printed=self.printed.getvalue()[-2000:],
            **more,
        )


def _task(text: str) -> str:
    marks = hole(text)
    if marks is None:
        return "replace the line with NotImplementedError"
    line = text.splitlines()[marks[0] - 1]
    return line.partition(":")[2].strip(" -") or "replace the line with NotImplementedError"


def _describe(error: BaseException, name: str, module: types.ModuleType) -> str:
    """An exception as a sentence, with the line of the student's file that it came from."""
    if isinstance(error, SystemExit):
        return "The answer calls exit(): a check cannot go on after it"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == name]
    where = f"Line {frames[-1].lineno}, {frames[-1].line}, raises" if frames else "The check met"
    if isinstance(error, RecursionError):
        return f"{where} RecursionError: the function calls itself without end"
    if isinstance(error, AttributeError) and not frames and error.obj.__class__ is type(module):
        return (
            f"The file has no {error.name}: it was renamed or removed, or this is the file of "
            "another exercise; 'reset' puts it back and keeps what you wrote beside it"
        )
    what = textwrap.shorten(str(error).partition(", with gufunc signature")[0], 200)
    if "broadcast" in what or "mismatch" in what:
        what += " (print the shapes of its parts: a transpose, or keepdims=True?)"
    return f"{where} {type(error).__name__}: {what}"


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


# ---- in a process of its own ----


def judge_file(exercise: Exercise, path: Path, limit: float = TIME_LIMIT) -> Verdict:
    """Judge a student's file in a process of its own, which is stopped after ``limit`` seconds.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, encoding="utf-8-sig") as file:  # some editors put a mark before the text
        try:
            text = file.read()
        except UnicodeDecodeError:
            return _Sayer(exercise, "", str(path), io.StringIO())(
                "error", "The file is not text in UTF-8: save it as UTF-8"
            )
    with tempfile.TemporaryDirectory() as folder:
        result, stack = Path(folder, "verdict.json"), Path(folder, "stack.txt")
        complaints = Path(folder, "complaints.txt")
        # -P: a file of the student's that is called random.py must not stand for Python's own
        command = [sys.executable, "-P", "-m", "minivae.exercises.running"]
        command += [exercise.number, str(path)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        # The complaints go to a file, not to a pipe: a child that the answer left behind would hold
        # that open.
        with (
            open(complaints, "w", encoding="utf-8") as stderr,
            subprocess.Popen(
                [*command, str(result), str(stack), str(limit)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            ) as process,
        ):
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=limit + 20)
            finally:
                _kill_all(process)
        if result.exists():
            return Verdict.from_json(json.loads(result.read_text(encoding="utf-8")))
        complaint = complaints.read_text(encoding="utf-8", errors="replace")
        say = _Sayer(exercise, text, str(path), io.StringIO())
        hung = stack.read_text(encoding="utf-8") if stack.exists() else ""
    if hung:
        line = _line_of(hung, path)
        at = f", at line {line}" if line else ""
        said = f"It did not end within {limit:g} seconds: an endless loop{at}?"
        return say("timeout", said, traceback=hung)
    said = f"The check's process ended with status {process.returncode} and no verdict"
    return say("error", said, traceback=complaint)


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """End a process, and what it has left behind where the system can tell."""
    process.kill()
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _line_of(stack: str, path: Path) -> str | None:
    for line in stack.splitlines():
        if f'"{path}", line ' in line:
            return line.partition(", line ")[2].split()[0]
    return None


def _main(number: str, path: str, result: str, stack: str, limit: str) -> None:
    """Judge one file and write the verdict."""
    exercise, text = find(number), Path(path).read_text(encoding="utf-8-sig")
    _ = exercise.author  # loaded before the clock runs
    with open(stack, "w", encoding="utf-8") as hung:
        faulthandler.dump_traceback_later(float(limit), exit=True, file=hung)
        verdict = judge(exercise, text, path)
        faulthandler.cancel_dump_traceback_later()
    part = Path(f"{result}.part")
    part.write_text(json.dumps(verdict.as_json()), encoding="utf-8")
    part.replace(result)
    os._exit(0)  # now, and not when threads of the answer have ended


if __name__ == "__main__":
    _main(*sys.argv[1:])
