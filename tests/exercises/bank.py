"""What every exercise has to prove, as functions: the tests and ``make exercises`` call them."""

import re

from minivae.equations import read_registry
from minivae.exercises import judge
from minivae.exercises.catalogue import hole


def wrong_answers(exercise):
    """The bank of an exercise, and its bug if it is one to find."""
    bug = getattr(exercise.author, "BUG", None)
    return [*exercise.author.WRONG, *([bug] if bug else [])]


def faults(exercise):
    """All that is wrong with an exercise, a sentence each."""
    found = list(faults_of_form(exercise))
    shipped = judge(exercise, exercise.as_shipped)
    bug = getattr(exercise.author, "BUG", None)
    if bug is None and shipped.kind != "todo":
        found.append(f"as handed out it is {shipped.kind}: {shipped.diagnosis}")
    solved = judge(exercise, exercise.solved)
    if not solved:
        found.append(f"its solution does not pass: {solved.diagnosis}\n{solved.traceback}")
    for wrong in wrong_answers(exercise):
        fault = fault_of_wrong(exercise, wrong)
        if fault:
            found.append(fault)
    return found


def fault_of_wrong(exercise, wrong):
    """What is wrong with the verdict on a wrong answer, or None."""
    verdict = judge(exercise, exercise.filled(wrong.body))
    if verdict:
        return f"passes, though it is wrong: {wrong.body!r}"
    if verdict.kind not in ("fail", "error") or not re.search(wrong.diagnosis, verdict.diagnosis, re.I):
        return f"{wrong.body!r}\n  should be: {wrong.diagnosis}\n  is ({verdict.kind}): {verdict.diagnosis}"
    screen = str(verdict).splitlines()
    if len(screen) > 23 or max(map(len, screen)) > 80:
        return f"{wrong.body!r}: {len(screen)} lines of up to {max(map(len, screen))} columns"
    return None


def faults_of_form(exercise):
    """What is wrong before anything is run."""
    if hole(exercise.solved) is None:
        yield "its hole is not marked by two lines"
    if len(exercise.hints) != 3 or not all(hint.strip() for hint in exercise.hints):
        yield "it does not have three hints"
    if len(wrong_answers(exercise)) < 4:
        yield "its bank has fewer than four wrong answers"
    labels = {equation.label for equation in read_registry().equations}
    if not exercise.equations or not set(exercise.equations) <= labels:
        yield f"its equations {exercise.equations} are not all in the book"
    if not exercise.title or len(exercise.title) > 60:
        yield "its title is missing, or longer than 60 characters"
