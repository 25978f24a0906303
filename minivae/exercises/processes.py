"""Checks in separate processes, several at a time, each ended in time.

Where the system can fork, a check is a child of this process, which has everything loaded: it
begins at once. Elsewhere it is a new Python. Its verdict comes back in a file that was open before
the student's lines ran; whatever else they leave there costs them the verdict, and nobody else's.
None of this is a sandbox: it guards against accidents.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from minivae.exercises.catalogue import Exercise
from minivae.exercises.running import judge, read_text, say, todo
from minivae.exercises.verdict import Verdict

__all__ = ["TIME_LIMIT", "Job", "judge_file", "judge_files"]

TIME_LIMIT = 10.0  # seconds
MEMORY = 2 << 30  # bytes that an answer may ask for besides what is loaded
FILE = 64 << 20  # bytes of a file that it may write
LONGEST = 1 << 20  # bytes of a verdict
GRACE = 5.0  # seconds after which a process that does not end by itself is killed
LOOK = 0.005  # seconds between two looks at the children


class Job(NamedTuple):
    """An answer to be judged: the file, and which numbers to try besides the author's."""

    exercise: Exercise
    path: Path
    salt: int = 1


def judge_file(
    exercise: Exercise, path: Path, limit: float = TIME_LIMIT, salt: int = 1
) -> Verdict:
    """Judge a student's file in a separate process, which is stopped after ``limit`` seconds."""
    ((_, verdict),) = judge_files([Job(exercise, path, salt)], limit)
    return verdict


def judge_files(
    jobs: Iterable[Job],
    limit: float = TIME_LIMIT,
    begun: Callable[[Job], object] = lambda job: None,
) -> Iterator[tuple[Job, Verdict]]:
    """Judge files, as many at a time as there are processors, in the order in which they end.

    ``begun`` is called with each that a process is started for; a hole that is not filled takes
    none.
    """
    waiting, running = iter(jobs), list[_Running]()
    more = True
    try:
        while more or running:
            while more and len(running) < (os.cpu_count() or 1):
                job = next(waiting, None)
                if job is None:
                    more = False
                    break
                text, verdict = _read(job)
                if verdict is None:
                    begun(job)
                    running.append(_start(job, text, limit))
                else:
                    yield job, verdict
            ended = [one for one in running if one.ended()]
            for one in ended:
                running.remove(one)
                yield one.job, one.verdict()
            if running and not ended:
                time.sleep(LOOK)
    finally:
        for one in running:
            one.kill()


def _read(job: Job) -> tuple[str, Verdict | None]:
    """The text of an answer, and a verdict if that needs no process."""
    try:
        text = read_text(job.path)
    except FileNotFoundError:
        said = f"The file is not there; 'minivae exercise reset {job.exercise.number}' puts it back"
    except (OSError, ValueError) as error:
        said = str(error.strerror if isinstance(error, OSError) else error)
    else:
        return text, todo(job.exercise, text, str(job.path))
    return "", say(job.exercise, "error", said, text="", file=str(job.path))


def _start(job: Job, text: str, limit: float) -> _Running:
    return (_Forked if hasattr(os, "fork") else _Spawned)(job, text, limit)


class _Running:
    """A check that runs."""

    def __init__(self, job: Job, text: str, limit: float) -> None:
        self.job, self.text, self.limit = job, text, limit
        self.result: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed by verdict
        self.stack: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.begun = time.monotonic()
        self.status: int | None = None
        self.begin()

    def begin(self) -> None:
        raise NotImplementedError

    def poll(self) -> int | None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError

    def ended(self) -> bool:
        """Whether it has ended; what takes too long is killed."""
        self.status = self.poll()
        if self.status is None and self.age > self.limit + GRACE:
            self.kill()
            self.status = self.poll()
        return self.status is not None

    @property
    def age(self) -> float:
        """The seconds since it began."""
        return time.monotonic() - self.begun

    @property
    def took_long(self) -> bool:
        """Whether it was stopped for the time it took."""
        return self.age >= self.limit

    def verdict(self) -> Verdict:
        """What it found, or how it ended without finding anything."""
        took_long = self.took_long
        self.kill()  # and what the answer left running
        said, hung = self._content(self.result), self._content(self.stack)
        self.result.close()
        self.stack.close()
        about = {"text": self.text, "file": str(self.job.path)}
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            verdict = Verdict.from_json(json.loads(said))
            if verdict.exercise == self.job.exercise.number:
                return verdict
        if took_long:
            line = _line_of(hung, str(self.job.path))
            at = f", at line {line}" if line else ""
            said = f"It did not end within {self.limit:g} seconds: an endless loop{at}?"
            return say(self.job.exercise, "timeout", said, traceback=hung, **about)
        said = f"The check's process ended with status {self.status} and no verdict"
        return say(self.job.exercise, "error", said, **about)

    @staticmethod
    def _content(file: IO[bytes]) -> str:
        file.seek(0)
        return file.read(LONGEST).decode("utf-8", errors="replace")


class _Forked(_Running):
    """A check in a child of this process."""

    def begin(self) -> None:
        _ = self.job.exercise.author  # loaded here, once for all
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a fork beside threads: the kernels' pool allows it
            self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.setsid()
                _set_limits()
                with open(os.devnull, "r+b") as nothing:
                    for number in (0, 1, 2):
                        os.dup2(nothing.fileno(), number)
                _close_all_but(self.result.fileno(), self.stack.fileno())
                _report(self.job, self.text, self.limit, self.result, self.stack)
                status = 0
            finally:
                os._exit(status)  # now, and not when threads of the answer have ended

    def poll(self) -> int | None:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.status is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class _Spawned(_Running):
    """A check in a separate Python process, which takes its time to begin."""

    def __init__(self, job: Job, text: str, limit: float) -> None:
        super().__init__(job, text, limit)
        self.begun += 20.0

    @property
    def took_long(self) -> bool:
        return bool(self._content(self.stack))

    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        names = [Path(self.folder.name, name) for name in ("verdict", "stack")]
        # -P: a file of the student's that is called random.py must not stand for Python's own
        command = [sys.executable, "-P", "-m", "minivae.exercises.processes"]
        command += [str(self.job.exercise.path), str(self.job.path), str(self.job.salt)]
        self.files = names
        self.process = subprocess.Popen(
            [*command, str(self.limit), *map(str, names)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def poll(self) -> int | None:
        status = self.process.poll()
        if status is not None:
            for name, file in zip(self.files, (self.result, self.stack), strict=True):
                with contextlib.suppress(OSError), open(name, "rb") as written:
                    file.write(written.read(LONGEST))
            self.files = []
        return status

    def kill(self) -> None:
        self.process.kill()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.folder.cleanup()


def _close_all_but(*kept: int) -> None:
    """Close what the parent has open: an answer has no business there."""
    begin = 3
    for number in sorted(kept):
        os.closerange(begin, number)
        begin = number + 1
    os.closerange(begin, begin + 4096)


def _set_limits() -> None:
    """Bounds on memory and on the files that are written, where the system has them."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        def bound(what: int, size: int) -> None:
            hard = resource.getrlimit(what)[1]
            resource.setrlimit(what, (size if hard < 0 else min(size, hard), hard))

        bound(resource.RLIMIT_CORE, 0)
        bound(resource.RLIMIT_FSIZE, FILE)
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        bound(resource.RLIMIT_AS, int(pages) * resource.getpagesize() + MEMORY)


def _report(job: Job, text: str, limit: float, result: Any, stack: Any) -> None:
    """Judge an answer and write the verdict."""
    faulthandler.dump_traceback_later(limit, exit=True, file=stack)
    verdict = judge(job.exercise, text, str(job.path), job.salt)
    faulthandler.cancel_dump_traceback_later()
    result.write(json.dumps(verdict.as_json()).encode())
    result.flush()


def _line_of(stack: str, path: str) -> str | None:
    for line in stack.splitlines():
        if f'"{path}", line ' in line:
            return line.partition(", line ")[2].split()[0]
    return None


def _main(problem: str, path: str, salt: str, limit: str, result: str, stack: str) -> None:
    exercise = Exercise(Path(problem), Path(problem).read_text(encoding="utf-8"))
    job = Job(exercise, Path(path), int(salt))
    _ = job.exercise.author  # loaded before the clock runs
    with open(result, "wb") as verdict, open(stack, "wb") as hung:
        _report(job, read_text(job.path), float(limit), verdict, hung)
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
