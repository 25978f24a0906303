"""Each exercise proves itself; of its wrong answers a few are tried here, all by make exercises."""

from pathlib import Path

import pytest

from exercises.bank import (
    fault_of_wrong,
    faults_of_form,
    faults_of_screen,
    tally,
    wrong_answers,
)
from minivae.exercises import Verdict, catalogue
from minivae.exercises.judging import Wrong

EXERCISES = pytest.mark.parametrize("exercise", catalogue(), ids=lambda e: e.path.stem)


@EXERCISES
def test_an_exercise_is_whole_and_solvable(exercise):
    assert list(faults_of_form(exercise)) == []


@EXERCISES
def test_wrong_answers_are_told_what_they_are(exercise):
    for wrong in wrong_answers(exercise)[1::6]:
        assert fault_of_wrong(exercise, wrong) is None


def test_the_proof_bites():
    exercise = catalogue()[0]
    assert "passes, though" in fault_of_wrong(exercise, Wrong(exercise.solution, "."))
    assert "should be" in fault_of_wrong(exercise, Wrong("return g, g", "no such thing"))
    small = Verdict("01", "t", "fail", "d", shapes="multiply_vjp: x (2, 3)")
    assert any("cannot tell" in fault for fault in faults_of_screen(small, exercise))
    strange = Verdict("01", "t", "fail", "d", shapes="one: x (3, 4)")
    assert any("no student knows" in fault for fault in faults_of_screen(strange, exercise))


def test_readme_says_how_many_there_are():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert tally(catalogue()) in " ".join(readme.split())
