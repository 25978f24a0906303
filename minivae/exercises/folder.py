"""A student's folder: the files, what has passed, and what is kept when a file is put back.

The files ``NN_name.py`` and ``progress.json`` are all there is: a folder can be copied, moved or
handed in as it is.
"""

from __future__ import annotations

import json
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minivae.checkpoint import atomic_write
from minivae.exercises.catalogue import Exercise, catalogue, find
from minivae.exercises.processes import TIME_LIMIT, Job, judge_files
from minivae.exercises.running import read_text
from minivae.exercises.verdict import Verdict

__all__ = ["Folder"]

README = """\
Exercises: gradients and latent variables
=========================================

Each file NN_name.py has one hole, between two lines that begin with "# ---".
Read what the file asks for, fill the hole, save, and in this folder type

    minivae exercise check NN       is it right, and what is wrong if not
    minivae exercise next           the first that is not right yet
    minivae exercise watch          check whenever a file is saved
    minivae exercise hint NN        again for the second hint, and the third
    minivae exercise reset NN       the file as it was; yours is kept beside it
    minivae exercise solution NN    after a pass, or with --give-up
    minivae exercise list           all of them, and which are done
    minivae exercise graduate       train a VAE with the answers that have passed

`pytest` in this folder gives the same verdicts. The exercises build on each
other in ideas, not in code: each can be done without the others. What they
compute is in the book: `minivae eq AD.2` prints an equation.
"""

TESTS = '''\
"""The verdicts of `minivae exercise check`, as tests."""

from pathlib import Path

import pytest

from minivae.exercises.folder import Folder

FOLDER = Folder(Path(__file__).parent)


@pytest.mark.parametrize("exercise", FOLDER.exercises(), ids=lambda exercise: exercise.path.stem)
def test_exercise(exercise):
    """The answer is right."""
    verdict = FOLDER.check(exercise)
    if verdict.kind == "todo":
        pytest.skip(verdict.diagnosis)
    if not verdict:
        pytest.fail(str(verdict), pytrace=False)
'''


class Folder:
    """A folder with exercises.

    Parameters
    ----------
    path
        Where it is.

    Raises
    ------
    ValueError
        If it was not made by :meth:`start`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read()

    @classmethod
    def start(cls, path: Path, problems: Path | None = None) -> Folder:
        """Put exercises into a new or empty folder: the library's, or those of a given folder.

        Raises
        ------
        FileExistsError
            If there is something in it.
        """
        if path.exists() and not path.is_dir():
            raise FileExistsError(f"{path} is a file; name a new folder")
        if path.is_dir() and any(path.iterdir()):
            mend = "name a new folder"
            if (path / "progress.json").exists():
                mend = "it was started already: go there and type 'minivae exercise next'"
            raise FileExistsError(f"{path} is not empty; {mend}")
        exercises = catalogue(problems.resolve()) if problems else catalogue()
        path.mkdir(parents=True, exist_ok=True)
        for exercise in exercises:
            _write(path / exercise.file, exercise.as_shipped)
        _write(path / "README.txt", README)
        _write(path / "test_exercises.py", TESTS)
        started = {
            "started": _now(),
            **({"problems": str(problems.resolve())} if problems else {}),
            "exercises": {e.number: {"passed": None} for e in exercises},
        }
        _write(path / "progress.json", json.dumps(started, indent=1))
        return cls(path)

    def exercises(self) -> tuple[Exercise, ...]:
        """All exercises, in order."""
        problems = self._read().get("problems")
        return catalogue(Path(problems)) if problems else catalogue()

    def find(self, name: str) -> Exercise:
        """The exercise of that number, or of a name that begins with it."""
        return find(Path(name).name, self.exercises())

    def file(self, exercise: Exercise) -> Path:
        """The student's file.

        Raises
        ------
        ValueError
            If it is not there.
        """
        path = self.path / exercise.file
        if not path.is_file():
            raise ValueError(
                f"{path} is not there; 'minivae exercise reset {exercise.number}' puts it back"
            )
        return path

    def check(self, exercise: Exercise, limit: float = TIME_LIMIT) -> Verdict:
        """Judge an answer in a separate process, and note the verdict."""
        self.file(exercise)
        (verdict,) = self.check_all([exercise], limit)
        return verdict

    def check_all(
        self, exercises: Sequence[Exercise], limit: float = TIME_LIMIT
    ) -> Iterator[Verdict]:
        """Judge answers, several at a time; their verdicts in the order in which they end."""
        salt = self.salt
        jobs = [Job(exercise, self.path / exercise.file, salt) for exercise in exercises]
        for job, verdict in judge_files(jobs, limit):
            self._note(job.exercise, verdict)
            yield verdict

    def _note(self, exercise: Exercise, verdict: Verdict) -> None:
        progress = self._read()
        entry = progress["exercises"].setdefault(exercise.number, {"passed": None})
        if verdict.kind != "todo":
            entry["checks"] = entry.get("checks", 0) + 1
            entry["last"] = verdict.diagnosis if not verdict else "pass"
        if verdict and not entry.get("passed"):
            entry["passed"] = _now()
        if verdict.kind != "todo":
            self._save(progress)

    @property
    def salt(self) -> int:
        """The folder's seed for the numbers that answers are tried with besides the author's."""
        return zlib.crc32(str(self._read().get("started")).encode()) or 1

    def passed(self, exercise: Exercise) -> bool:
        """Whether the answer has been right once."""
        return bool(self._entry(exercise).get("passed"))

    def next(self) -> Exercise | None:
        """The first exercise that has not passed yet."""
        return next((e for e in self.exercises() if not self.passed(e)), None)

    def hint(self, exercise: Exercise) -> tuple[int, str]:
        """The next hint, counted from 1; the last again when all have been seen."""
        progress = self._read()
        entry = progress["exercises"].setdefault(exercise.number, {"passed": None})
        level = min(entry.get("hints", 0) + 1, len(exercise.hints))
        entry["hints"] = level
        self._save(progress)
        return level, exercise.hints[level - 1]

    def give_up(self, exercise: Exercise) -> None:
        """Note that the solution was looked at before a pass."""
        progress = self._read()
        progress["exercises"].setdefault(exercise.number, {"passed": None})["gave_up"] = _now()
        self._save(progress)

    def reset(self, exercise: Exercise) -> Path | None:
        """Put a file back as it was handed out; return where the student's was kept, if it was."""
        path = self.path / exercise.file
        if not path.is_file():
            _write(path, exercise.as_shipped)
            return None
        content = path.read_bytes()
        if content == exercise.as_shipped.encode():
            return None
        number = 1
        while (kept := path.with_suffix(f".mine{number}.txt")).exists():
            number += 1
        atomic_write(kept, lambda file: file.write(content))
        _write(path, exercise.as_shipped)
        return kept

    def progress(self) -> dict[str, Any]:
        """What was done, for whoever collects it."""
        progress = self._read()
        passed = [e.number for e in self.exercises() if self.passed(e)]
        return {
            "folder": self.path.resolve().name,
            "passed": len(passed),
            "total": len(self.exercises()),
            **progress,
        }

    def _entry(self, exercise: Exercise) -> dict[str, Any]:
        entry: dict[str, Any] = self._read()["exercises"].get(exercise.number, {})
        return entry

    def _read(self) -> dict[str, Any]:
        path = self.path / "progress.json"
        try:
            found = json.loads(read_text(path))
            if not all(isinstance(entry, dict) for entry in found["exercises"].values()):
                raise TypeError
        except FileNotFoundError:
            raise ValueError(
                f"{self.path.resolve()} is not a folder of exercises; go to yours, or make one: "
                "minivae exercise start DIR"
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(
                f"{path} cannot be read; 'minivae exercise start DIR' makes a new folder, into "
                "which your files can be copied to count afresh"
            ) from None
        return dict(found)

    def _save(self, progress: dict[str, Any]) -> None:
        """Write the progress; where that cannot be, the verdict or hint is still worth having."""
        path = self.path / "progress.json"
        try:
            _write(path, json.dumps(progress, indent=1))
        except OSError as error:
            warnings.warn(f"{path} cannot be written, so this is not noted: {error}", stacklevel=3)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _write(path: Path, text: str) -> None:
    atomic_write(path, lambda file: file.write(text.encode()))
