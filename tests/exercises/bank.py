"""What every exercise has to prove; as a script, all of it: make exercises.

``python tests/exercises/bank.py 13`` tries one; with a path, one of one's own.
"""

import re
import sys
from functools import cache
from pathlib import Path

from minivae.equations import read_registry
from minivae.exercises import catalogue, find, judge
from minivae.exercises.catalogue import Exercise, hole


@cache
def labels():
    """All equations of the book."""
    return {equation.label for equation in read_registry().equations}


def wrong_answers(exercise):
    """The bank of an exercise, and its bug if it is one to find, once somebody has touched it."""
    bug = getattr(exercise.author, "BUG", None)
    touched = bug and bug._replace(body=f"_ = 0  # looked at\n{bug.body}")
    return [*exercise.author.WRONG, *([touched] if bug else [])]


def faults_of_form(exercise):
    """What is wrong before a wrong answer is tried."""
    if hole(exercise.solved) is None:
        yield "its hole is not marked by two lines"
    if len(exercise.hints) != 3 or not all(hint.strip() for hint in exercise.hints):
        yield "it does not have three hints"
    if len(wrong_answers(exercise)) < 4:
        yield "its bank has fewer than four wrong answers"
    if not exercise.equations or not set(exercise.equations) <= labels():
        yield f"its equations {exercise.equations} are not all in the book"
    if not exercise.title or len(exercise.title) > 60:
        yield "its title is missing, or longer than 60 characters"
    shipped = judge(exercise, exercise.as_shipped)
    if shipped.kind != "todo" or shipped.rows:
        yield f"as handed out it is {shipped.kind}: {shipped.diagnosis}"
    solved = judge(exercise, exercise.solved)
    if not solved:
        yield f"its solution does not pass: {solved.diagnosis}\n{solved.traceback}"


def fault_of_wrong(exercise, wrong):
    """What is wrong with the verdict on a wrong answer, or None."""
    verdict = judge(exercise, exercise.filled(wrong.body))
    if verdict:
        return f"passes, though it is wrong:\n{wrong.body}"
    found = re.search(wrong.diagnosis, verdict.diagnosis, re.IGNORECASE)
    if verdict.kind not in ("fail", "error") or not found:
        said = f"({verdict.kind}) {verdict.diagnosis}"
        return f"{wrong.body}\n  should be: {wrong.diagnosis}\n  is: {said}"
    return next(faults_of_screen(verdict, exercise), None)


def faults_of_screen(verdict, exercise):
    """What does not fit: the screen, or the lengths of the inputs' axes."""
    screen = str(verdict).splitlines()
    if len(screen) > 23 or max(map(len, screen)) > 80:
        yield f"{len(screen)} lines of up to {max(map(len, screen))} columns:\n{verdict}"
    called = verdict.shapes.partition(":")[0]
    if called and f"def {called}(" not in exercise.solved:
        yield f"it names {called}, which no student knows"
    shapes = [
        tuple(map(int, re.findall(r"\d+", shape)))
        for shape in re.findall(r"\(([\d, ]+)\)", verdict.shapes)
    ]
    for shape in shapes:
        stretched = 1 in shape  # an axis to be broadcast
        if not stretched and (min(shape) < 3 or (len(shape) == 2 and len(set(shape)) < 2)):
            square = all(len(s) == 2 and len(set(s)) == 1 for s in shapes)
            if not square:
                yield f"shapes that cannot tell N from 2, or one axis from another: {shapes}"


def named(name):
    """An exercise of the catalogue, or one's own, by its path."""
    path = Path(name)
    return Exercise(path, path.read_text(encoding="utf-8")) if path.is_file() else find(name)


def tally(exercises):
    """How many there are, as README says it."""
    wrong = sum(len(wrong_answers(exercise)) for exercise in exercises)
    return f"{len(exercises)} exercises, {wrong} wrong answers"


def main(names):
    """Try the whole bank, or that of the exercises named, and say how it went."""
    bad = 0
    exercises = [named(name) for name in names] or catalogue()
    for exercise in exercises:
        found = list(faults_of_form(exercise))
        for wrong in wrong_answers(exercise):
            fault = fault_of_wrong(exercise, wrong)
            found += [fault] if fault else []
        for fault in found:
            print(f"{exercise.file}: {fault}\n")
        bad += len(found)
    said = "NO" if bad else "yes"
    print(f"{tally(exercises)}, each rejected with the diagnosis intended: {said}.")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
