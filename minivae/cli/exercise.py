"""``minivae exercise``: holes to fill, and what kind of mistake it is when one is wrong."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from minivae.cli.terminal import say, table
from minivae.exercises import Exercise, Verdict, catalogue, find
from minivae.exercises.classroom import collect, count_passed, draw_class
from minivae.exercises.folder import Folder

__all__ = ["register"]

PAUSE = 0.3  # seconds between two looks at the files


def register(commands: Any) -> None:
    """Add the command and its own commands to the parser."""
    parser = commands.add_parser(
        "exercise",
        help="exercises: fill a hole, and be told what kind of mistake it is",
        description="Exercises in gradients and latent variables. 'minivae exercise start DIR' "
        "makes a folder of files with one hole each; the other commands work in that folder.",
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
    check_ = add("check", check, "say whether an answer is right; without NN, all", "any")
    check_.add_argument("-v", "--verbose", action="store_true", help="show Python's traceback too")
    check_.add_argument("--json", action="store_true", help="print verdicts as JSON")
    list_ = add("list", listing, "list the exercises, and which have passed")
    list_.add_argument("--json", action="store_true", help="print the list as JSON")
    add("next", next_, "show the first exercise that has not passed yet, and check it")
    add("watch", watch, "check a file whenever it is saved; Ctrl-C ends")
    add("hint", hint, "give a hint; again for the next of three", "required")
    add("reset", reset, "put a file back as it was; yours is kept beside it", "required")
    solution_ = add("solution", solution, "show the solution, after a pass", "required")
    solution_.add_argument("--give-up", action="store_true", help="show it before a pass")
    progress_ = add("progress", progress, "say how far you are")
    progress_.add_argument("--json", action="store_true", help="print it as JSON, to be collected")
    class_ = add("class", whole_class, "draw a class's progress from a folder of collected JSON")
    class_.add_argument("folder", metavar="DIR", help="a folder with a JSON file a student")
    class_.add_argument(
        "--out", metavar="FILE", default="class.png", help="the picture: .png, .pdf or .svg"
    )


def start(arguments: argparse.Namespace) -> None:
    """Make a folder of exercises."""
    folder = Folder.start(Path(arguments.folder))
    print(
        f"{folder.path} holds {len(folder.exercises())} exercises. Go there, read README.txt, and "
        "begin:\n\n"
        f"  cd {folder.path}\n  minivae exercise next"
    )


def check(arguments: argparse.Namespace) -> None:
    """Judge some answers, or all; the exit status is 1 unless all that was judged is right."""
    folder = _folder()
    wanted = [_find(number) for number in arguments.numbers] or folder.exercises()
    verdicts = [folder.check(exercise) for exercise in wanted]
    if arguments.json:
        print(json.dumps([verdict.as_json() for verdict in verdicts], indent=1))
    elif len(verdicts) == 1:
        print(verdicts[0].screen(arguments.verbose))
    else:
        for verdict in verdicts:
            print(_line(verdict))
            if arguments.verbose and verdict.kind not in ("pass", "todo"):
                print(f"\n{verdict.screen(verbose=True)}\n")
        print(f"\n{sum(map(bool, verdicts))} of {len(verdicts)} pass.")
    if not all(verdicts):
        raise SystemExit(1)


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
    for exercise in folder.exercises():
        mark = "done" if folder.passed(exercise) else "  - "
        print(f"{mark}  {exercise.number}  {exercise.title}")
    print(f"\n{_count(folder)}")


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
    """Check each file that is saved, until all pass or Ctrl-C."""
    folder = _folder()
    seen = _stamps(folder)
    exercise = folder.next()
    if exercise is not None:
        print(_task(folder, exercise), flush=True)
    try:
        while folder.next() is not None:
            time.sleep(PAUSE)
            found = _stamps(folder)
            for one in folder.exercises():
                if found.get(one.number) not in (seen.get(one.number), None):
                    _report(folder, one)
            seen = found
    except KeyboardInterrupt:
        say()
        return
    print(f"All {len(folder.exercises())} exercises have passed.")


def hint(arguments: argparse.Namespace) -> None:
    """Give the next hint."""
    exercise = _find(arguments.number)
    level, text = _folder().hint(exercise)
    print(f"Hint {level} of {len(exercise.hints)}, exercise {exercise.number}\n")
    print("\n".join(table([("", line)]) if line else "" for line in text.splitlines()))


def reset(arguments: argparse.Namespace) -> None:
    """Put a file back."""
    exercise = _find(arguments.number)
    kept = _folder().reset(exercise)
    where = f"; yours is kept as {kept.name}" if kept else ""
    print(f"{exercise.file} is as it was handed out{where}.")


def solution(arguments: argparse.Namespace) -> None:
    """Show what belongs into the hole."""
    folder, exercise = _folder(), _find(arguments.number)
    if not folder.passed(exercise):
        if not arguments.give_up:
            raise ValueError(
                f"exercise {exercise.number} has not passed yet; 'minivae exercise hint "
                f"{exercise.number}' helps, and --give-up shows the solution"
            )
        folder.give_up(exercise)
    print(f"The hole of {exercise.file}\n")
    print("\n".join(f"    {line}" for line in exercise.solution.splitlines()))


def progress(arguments: argparse.Namespace) -> None:
    """Say how far the student is."""
    folder = _folder()
    if arguments.json:
        print(json.dumps(folder.progress(), indent=1))
        return
    print(_count(folder))
    exercise = folder.next()
    if exercise is not None:
        print(f"Next: {exercise.number}  {exercise.title}, in {exercise.file}")


def whole_class(arguments: argparse.Namespace) -> None:
    """Draw a class's progress, and print it a line a student."""
    out = Path(arguments.out)
    if out.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"--out {out} should end in .png, .pdf or .svg")
    found = collect(Path(arguments.folder))
    draw_class(found, out)
    total = len(catalogue())
    rows = [(name, f"{count_passed(states):2} of {total}") for name, states in found.items()]
    print(table(rows, indent=0))
    print(f"\n{out} shows exercise by exercise.")


# ---- in the student's folder ----


def _folder() -> Folder:
    return Folder(Path())


def _find(number: str) -> Exercise:
    return find(Path(number).name)


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
    verdict = f"\nFill the hole in {folder.path / exercise.file}, then: minivae exercise check "
    return f"{text}\n{verdict}{exercise.number}"


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


def _report(folder: Folder, exercise: Exercise) -> None:
    print(f"\n{'-' * 79}")
    verdict = folder.check(exercise)
    print(verdict, flush=True)
    following = folder.next()
    if verdict and following is not None:
        print(f"\n{_count(folder)}\n\n{_task(folder, following)}", flush=True)
