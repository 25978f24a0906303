"""Exercises: fill a hole, and be told what kind of mistake it is if it is wrong.

With these files you can

- look at what there is: :func:`find`, :func:`catalogue`, each an :class:`Exercise`;
- judge an answer, in this process or in one of its own: :func:`judge`, :func:`judge_file`, which
  return a :class:`Verdict`.

In reading order: ``catalogue``, an exercise and how the hole is cut from its one source;
``judging``, with ``patterns``, what authors write checks with; ``verdict``, the screen that a
student reads; ``running``, which runs a check; ``processes``, which runs several at once, each in
time; ``folder``, a student's files and progress; ``classroom``, a teacher's view of them. The
README beside this file is for authors.
"""

from minivae.exercises.catalogue import Exercise, catalogue, find
from minivae.exercises.processes import judge_file
from minivae.exercises.running import judge
from minivae.exercises.verdict import Verdict

__all__ = ["Exercise", "Verdict", "catalogue", "find", "judge", "judge_file"]
