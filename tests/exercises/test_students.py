"""Answers as students write them: right ones pass, wrong ones do not, and are told why."""

import re
from collections import Counter
from functools import cache

import pytest

from exercises.students import RIGHT, WRONG
from minivae.exercises import catalogue, find, judge

VAGUE = "in no simple pattern|no single term|ended with status|The check met"
NUMBERS = [exercise.number for exercise in catalogue()]


@cache
def wrong(number):
    return of(WRONG, number)


def of(answers, number):
    exercise = find(number)
    return [(body, judge(exercise, exercise.filled(body))) for n, body in answers if n == number]


@pytest.mark.parametrize("number", NUMBERS)
def test_right_answers_pass_whatever_numbers_are_drawn(number):
    for body, verdict in of(RIGHT, number):
        assert verdict, f"{body}\n{verdict}"


@pytest.mark.parametrize("number", NUMBERS)
def test_wrong_answers_are_rejected(number):
    for body, verdict in wrong(number):
        assert verdict.kind in ("fail", "error"), body


def test_of_ten_wrong_answers_nine_are_told_what_they_are():
    verdicts = [verdict for number in NUMBERS for _, verdict in wrong(number)]
    vague = [verdict.diagnosis for verdict in verdicts if re.search(VAGUE, verdict.diagnosis)]
    assert len(vague) <= len(verdicts) / 10, "\n".join(vague)


def test_there_are_answers_to_most_exercises():
    assert len(Counter(number for number, _ in RIGHT)) >= 28
    assert len(WRONG) > 280
