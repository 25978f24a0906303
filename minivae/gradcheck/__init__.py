"""Is this gradient right? Finite differences tell, and show what kind of mistake it has if not.

With these files you can

- hold a gradient against differences: :func:`gradcheck`, which returns a :class:`GradcheckReport`;
- do so in a test: :func:`assert_gradcheck`;
- ask whether an estimate of a gradient is right on average: :func:`check_unbiased`, which returns
  an :class:`UnbiasedReport`.

In reading order: ``differences``, the numeric derivative; ``rules``, what every VJP must keep to;
``problem``, a function at a point; ``diagnosis``, with ``uses``, the kind of mistake a wrong
gradient shows; ``report``, the screen you read; ``check``, which puts them together. For
estimates: ``scripted``, every noise there can be; ``redrawn``, noise that is used twice; ``bias``,
the kind of mistake; ``unbiased``, which puts them together.
"""

from minivae.gradcheck.check import assert_gradcheck, gradcheck
from minivae.gradcheck.report import GradcheckReport, Row
from minivae.gradcheck.unbiased import UnbiasedReport, UnbiasedRow, check_unbiased

__all__ = [
    "GradcheckReport",
    "Row",
    "UnbiasedReport",
    "UnbiasedRow",
    "assert_gradcheck",
    "check_unbiased",
    "gradcheck",
]
