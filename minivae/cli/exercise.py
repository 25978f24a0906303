"""``minivae exercise``: holes to fill, and what kind of mistake a wrong answer shows."""

import argparse
import json
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minivae.cli.keys import keys, wait_for_key
from minivae.cli.terminal import say, table
from minivae.equations import find_sources, prose, slug
from minivae.exercises import Exercise, Verdict, catalogue
from minivae.exercises.classroom import Class, collect, draw_class, mark, write_csv, write_page
from minivae.exercises.folder import Folder

__all__ = ["register"]

PAUSE = 0.3  # seconds between two looks at the files
KEYS = "n next   h hint   l list   q quit"


def register(commands: Any) -> None:
    """Add the command and its own commands to the parser."""
    parser = commands.add_parser(
        "exercise",
        help="exercises: fill a hole, and be told what kind of mistake you made",
        description="Exercises in gradients and latent variables. 'minivae exercise start DIR' "
        "makes a folder of files, each with one hole to fill; the other commands work in it.",
    )
    parser.set_defaults(run=lambda arguments: parser.print_help())
    actions = parser.add_subparsers(dest="action", metavar="WHAT", title="what to do")

    def add(name: str, run: Any, text: str, number: str = "") -> Any:
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if number == "any":
            action.add_argument("numbers", metavar="NN", nargs="*", help="exercises' numbers")
        elif number:
            action.add_argument("number", metavar="NN", help="the exercise's number")
        action.set_defaults(run=run)
        return action

    start_ = add("start", start, "make a folder of exercises")
    start_.add_argument("folder", metavar="DIR", help="the folder, new or empty")
    start_.add_argument(
        "--from", dest="problems", metavar="DIR", help="a folder of exercises of your own"
    )
    check_ = add("check", check, "say whether an answer is right; without NN, check all", "any")
    check_.add_argument("-v", "--verbose", action="store_true", help="show Python's traceback too")
    check_.add_argument("--json", action="store_true", help="print verdicts as JSON")
    list_ = add("list", listing, "list the exercises, and which have passed")
    list_.add_argument("--json", action="store_true", help="print the list as JSON")
    add("next", next_, "show the first exercise that has not passed yet, and check it")
    add("watch", watch, "check a file whenever it is saved; Ctrl-C ends")
    add("hint", hint, "give a hint; repeat it for the next of three", "required")
    add("reset", reset, "put a file back as it was; yours is kept beside it", "required")
    solution_ = add("solution", solution, "show the solution, after a pass", "required")
    solution_.add_argument("--give-up", action="store_true", help="show it before a pass")
    graduate_ = add("graduate", graduate, "train a VAE of digits with the answers that have passed")
    graduate_.add_argument(
        "--epochs", metavar="N", type=int, default=20, help="passes over the digits"
    )
    progress_ = add("progress", progress, "say how far you are")
    progress_.add_argument("--json", action="store_true", help="print it as JSON, for a teacher")
    class_ = add("class", whole_class, "mark a class's folders, or draw its collected progress")
    class_.add_argument(
        "folder", metavar="DIR", help="a folder with one folder, or one JSON file, per student"
    )
    class_.add_argument(
        "--believe", action="store_true", help="trust progress.json instead of running the answers"
    )
    class_.add_argument(
        "--from", dest="problems", metavar="DIR", help="a folder of exercises of your own"
    )
    class_.add_argument(
        "--limit", metavar="SECONDS", type=float, default=10.0, help="the time an answer may take"
    )
    class_.add_argument(
        "--out",
        metavar="FILE",
        default="class.png",
        help="the picture: .png, .pdf or .svg; .csv and .html go beside it",
    )


def start(arguments: argparse.Namespace) -> None:
    """Make a folder of exercises."""
    own = Path(arguments.problems) if arguments.problems else None
    folder = Folder.start(Path(arguments.folder), own)
    count = len(folder.exercises())
    _print(f"{folder.path} holds {count} exercises. Go there, read README.txt, and begin:")
    print(f"\n  cd {folder.path}\n  minivae exercise next")


def check(arguments: argparse.Namespace) -> None:
    """Judge some answers, or all; the exit status is 1 unless all that was judged is right."""
    folder = _folder()
    wanted = [folder.find(name) for name in arguments.numbers]
    if len(wanted) == 1:
        verdicts = [folder.check(wanted[0])]
        if not arguments.json:
            print(verdicts[0].screen(arguments.verbose))
    else:
        verdicts = []
        for verdict in _check_all(folder, wanted or folder.exercises()):
            verdicts.append(verdict)
            if not arguments.json:
                print(_line(verdict), flush=True)
                if arguments.verbose and verdict.kind not in ("pass", "todo"):
                    print(f"\n{verdict.screen(verbose=True)}\n")
        if not arguments.json:
            print(f"\n{sum(map(bool, verdicts))} of {len(verdicts)} pass.")
    if arguments.json:
        print(json.dumps([verdict.as_json() for verdict in verdicts], indent=1))
    if not all(verdicts):
        raise SystemExit(1)


def _check_all(folder: Folder, wanted: Sequence[Exercise]) -> Iterator[Verdict]:
    """The verdicts in order, though several are worked out at a time."""
    say(f"Checking {len(wanted)} exercises, {os.cpu_count() or 1} at a time ...")
    ready: dict[str, Verdict] = {}
    waiting = [exercise.number for exercise in wanted]
    for verdict in folder.check_all(wanted):
        ready[verdict.exercise] = verdict
        while waiting and waiting[0] in ready:
            yield ready[waiting.pop(0)]


def listing(arguments: argparse.Namespace) -> None:
    """List the exercises."""
    folder = _folder()
    if arguments.json:
        rows = [
            {"exercise": e.number, "title": e.title, "file": e.file, "passed": folder.passed(e)}
            for e in folder.exercises()
        ]
        print(json.dumps(rows, indent=1))
        return
    print("\n".join(_listed(folder)))
    print(f"\n{_count(folder)}")


def _listed(folder: Folder) -> list[str]:
    marks = {True: "done", False: "  - "}
    return [f"{marks[folder.passed(e)]}  {e.number}  {e.title}" for e in folder.exercises()]


def next_(arguments: argparse.Namespace) -> None:
    """Check the first exercise that has not passed yet, and go on as long as they pass."""
    folder = _folder()
    while (exercise := folder.next()) is not None:
        verdict = folder.check(exercise)
        if verdict:
            print(verdict)
            continue
        if verdict.kind == "todo":
            print(_task(folder, exercise))
            return
        print(verdict)
        raise SystemExit(1)
    print(f"All {len(folder.exercises())} exercises have passed.")


def watch(arguments: argparse.Namespace) -> None:
    """Check each file that is saved, until all pass, or q, or Ctrl-C."""
    folder = _folder()
    exercise = folder.next()
    if exercise is None:
        print(f"All {len(folder.exercises())} exercises have passed.")
        return
    with keys() as there:
        watched = _Watched(folder, exercise, there)
        try:
            watched.go_on()
        except KeyboardInterrupt:
            say()


class _Watched:
    """A folder that is watched, and what is on the screen."""

    def __init__(self, folder: Folder, exercise: Exercise, keys: bool) -> None:
        self.folder, self.exercise, self.keys = folder, exercise, keys
        self.seen = _stamps(folder)

    def show(self, text: str, doing: str = "") -> None:
        """Put a text on the screen, with what is going on below it."""
        if self.keys:
            print("\x1b[2J\x1b[H", end="")
        doing = doing or f"Watching {self.folder.path.resolve().name}; save a file to check it"
        print(f"{text}\n\n{_count(self.folder)}\n{doing}{'   ' + KEYS if self.keys else ''}")
        sys.stdout.flush()

    def go_on(self) -> None:
        """Look for keys and for saved files, in turn."""
        self.show(_task(self.folder, self.exercise))
        while True:
            if self.keys:
                if not self.press(wait_for_key(PAUSE)):
                    return
            else:
                time.sleep(PAUSE)
            found = _stamps(self.folder)
            for one in self.folder.exercises():
                before, now = self.seen.get(one.number), found.get(one.number)
                if now is not None and now != before:
                    self.check(one)
                elif now is None and before is not None:
                    reset = f"'minivae exercise reset {one.number}' puts it back"
                    self.show(_wrapped(f"{one.file} is gone; {reset}, as it was handed out"))
            self.seen = found
            if self.folder.next() is None:
                print(f"All {len(self.folder.exercises())} exercises have passed.")
                return

    def check(self, exercise: Exercise) -> None:
        """Check one that was saved."""
        name = f"{exercise.number}  {exercise.title}"
        if self.keys:
            self.show(name, f"Checking {exercise.file} ...")
        else:
            print(f"\n{'-' * 79}", flush=True)
        verdict = self.folder.check(exercise)
        self.exercise = exercise
        following = self.folder.next()
        if verdict and following is not None and not self.keys:
            self.exercise = following
            self.show(f"{verdict}\n\n{_task(self.folder, following)}")
        else:
            self.show(str(verdict))

    def press(self, key: str) -> bool:
        """Do what a key asks for; False if that is to end."""
        if key == "n":
            self.exercise = self.folder.next() or self.exercise
            self.show(_task(self.folder, self.exercise))
        elif key == "h":
            self.show(_hint(self.folder, self.exercise))
        elif key == "l":
            self.show("\n".join(_listed(self.folder)))
        return key != "q"


def hint(arguments: argparse.Namespace) -> None:
    """Give the next hint."""
    folder = _folder()
    print(_hint(folder, folder.find(arguments.number)))


def _hint(folder: Folder, exercise: Exercise) -> str:
    level, text = folder.hint(exercise)
    lines = [table([("", line)]) if line else "" for line in text.splitlines()]
    head = f"Hint {level} of {len(exercise.hints)}, exercise {exercise.number}\n"
    return "\n".join([head, *lines])


def reset(arguments: argparse.Namespace) -> None:
    """Put a file back."""
    folder = _folder()
    exercise = folder.find(arguments.number)
    kept = folder.reset(exercise)
    where = f"; yours is kept as {kept.name}" if kept else ""
    _print(f"{exercise.file} is as it was handed out{where}.")


def solution(arguments: argparse.Namespace) -> None:
    """Show what belongs in the hole."""
    folder = _folder()
    exercise = folder.find(arguments.number)
    if not folder.passed(exercise):
        if not arguments.give_up:
            raise ValueError(
                f"exercise {exercise.number} has not passed yet; 'minivae exercise hint "
                f"{exercise.number}' helps, and --give-up shows the solution"
            )
        folder.give_up(exercise)
    print(f"The hole of {exercise.file}\n")
    print("\n".join(f"    {line}" for line in exercise.solution.splitlines()))


def graduate(arguments: argparse.Namespace) -> None:
    """Train with a student's answers."""
    from minivae.cli import graduation  # loads the models, which no other exercise needs

    graduation.run(arguments)


def progress(arguments: argparse.Namespace) -> None:
    """Say how far the student is."""
    folder = _folder()
    if arguments.json:
        print(json.dumps(folder.progress(), indent=1))
        return
    print(_count(folder))
    exercise = folder.next()
    if exercise is not None:
        _print(f"Next: {exercise.number}  {exercise.title}, in {exercise.file}")


def whole_class(arguments: argparse.Namespace) -> None:
    """Mark a class, or believe what it wrote; print it, draw it, write CSV and a page."""
    out, folder = Path(arguments.out), Path(arguments.folder)
    if out.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"--out {out} should end in .png, .pdf or .svg")
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    exercises = catalogue(Path(arguments.problems).resolve()) if arguments.problems else catalogue()
    if arguments.believe or not any(folder.glob("**/[0-9][0-9]_*.py")):
        found = collect(folder, exercises)
    else:
        found = mark(folder, exercises, limit=arguments.limit, said=_Marked())
    if not found.students:
        why = "".join(f"; {where}: {why}" for where, why in found.damaged[:1])
        raise ValueError(f"{folder} has no folders with exercises, and no files of progress{why}")
    print(_whole(found))
    draw_class(found, out)
    write_csv(found, out.with_suffix(".csv"))
    write_page(found, out.with_suffix(".html"))
    names = f"{out}, {out.with_suffix('.csv').name} and {out.with_suffix('.html').name}"
    _print(f"\n{names} show exercise by exercise.")


class _Marked:
    """How many answers have been judged, now and then."""

    def __init__(self) -> None:
        self.last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self.last > 5:
            self.last = now
            say(f"{done} of {total} answers judged")


def _whole(found: Class) -> str:
    total = len(found.exercises)
    lines = [table([(s.name, f"{s.passed:2} of {total}") for s in found.students], indent=0)]
    lines += ["", "Exercise by exercise: who has passed, and the commonest mistake", ""]
    for exercise in found.exercises:
        count, diagnosis = found.commonest(exercise)
        lines.append(f"{exercise.number}  {found.share(exercise)} of {len(found.students)} passed")
        if count:
            often = "once:" if count == 1 else f"{count} times:"
            lines.append(table([(often, diagnosis)], indent=4))
    if found.damaged:
        lines += ["", "Could not be read:"]
        lines += [table([("", f"{where}: {why}")]) for where, why in found.damaged]
    return "\n".join(lines)


# ---- in the student's folder ----


def _folder() -> Folder:
    return Folder(Path())


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 79, break_long_words=False, break_on_hyphens=False)


def _print(text: str) -> None:
    """Print a sentence in lines that fit 80 columns."""
    print("\n".join(_wrapped(line) for line in text.split("\n")))


def _count(folder: Folder) -> str:
    done = sum(folder.passed(exercise) for exercise in folder.exercises())
    total = len(folder.exercises())
    bar = "#" * round(40 * done / total)
    return f"[{bar:40}] {done} of {total} have passed"


def _line(verdict: Verdict) -> str:
    word = {"pass": "pass", "todo": "  - ", "fail": "WRONG", "error": "ERROR", "timeout": "ENDLESS"}
    found = f"{word[verdict.kind]:8}{verdict.exercise}  {verdict.title}"
    if verdict.kind in ("pass", "todo"):
        return found
    return f"{found}\n{table([('', verdict.diagnosis)], indent=10)}"


def _task(folder: Folder, exercise: Exercise) -> str:
    """What there is to do: the first lines of the student's file."""
    text = exercise.solved.split('"""')[1].strip()
    where = f"Fill the hole in {exercise.file}, then:"
    section = _section(exercise)
    return f"{text}\n\n{section}{where} minivae exercise check {exercise.number}"


def _section(exercise: Exercise) -> str:
    """The section of the book to read, in a line; empty if there is none."""
    name, _, anchor = exercise.section.partition("#")
    for page in find_sources().book.glob(f"[0-9][0-9]_{name}.md"):
        title, *lines = prose(page.read_text(encoding="utf-8")).splitlines()
        for line in lines:
            if line.startswith("## ") and slug(line[3:]) == anchor:
                return f"Read: {line[3:]}, in the chapter {title[2:]}\n"
    return ""


def _stamps(folder: Folder) -> dict[str, tuple[int, int]]:
    """When each file was changed, and its length; editors may rename a new file into place."""
    found = {}
    for exercise in folder.exercises():
        try:
            status = (folder.path / exercise.file).stat()
        except FileNotFoundError:
            continue
        found[exercise.number] = (status.st_mtime_ns, status.st_size)
    return found
