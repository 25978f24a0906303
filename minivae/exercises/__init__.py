"""Exercises: fill a hole, and if the answer is wrong, be told what kind of mistake it shows.

With these files you can

- look at what there is: :func:`find`, :func:`catalogue`, each an :class:`Exercise`;
- judge an answer, in this process or in a separate one: :func:`judge`, :func:`judge_file`, which
  return a :class:`Verdict`; or a function in a cell of a notebook: :func:`check`.

In reading order: ``catalogue``, an exercise and how the hole is cut from its one source;
``judging``, with ``patterns``, what authors write checks with; ``verdict``, the screen that a
student reads; ``running``, which runs a check; ``processes``, which runs several at once, each in
time; ``folder``, a student's files and progress; ``classroom``, a teacher's view of them;
``pieces`` and ``graduation``, a training run made of the answers. The README beside this file is
for authors.
"""

from collections.abc import Callable
from typing import Any

from minivae.exercises.catalogue import Exercise, catalogue, find
from minivae.exercises.processes import judge_file
from minivae.exercises.running import judge, judge_function
from minivae.exercises.verdict import Verdict

__all__ = ["Exercise", "Verdict", "catalogue", "check", "find", "judge", "judge_file"]


def check(number: str | int, function: Callable[..., Any]) -> Verdict:
    """Judge a function as the answer to an exercise, in a notebook or at Python's prompt.

    The verdict is that of ``minivae exercise check``, shown as HTML where that can be. There is no
    time limit: interrupt what does not end.
    """
    return judge_function(find(number), function)
