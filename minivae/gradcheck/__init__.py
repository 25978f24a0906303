"""Is this gradient right? Finite differences answer, and say what kind of mistake it is if not.

With these files you can

- hold a gradient against differences: :func:`gradcheck`, which returns a :class:`GradcheckReport`;
- do so in a test: :func:`assert_gradcheck`.

In reading order: ``differences``, the numeric derivative; ``rules``, what every VJP must keep to;
``problem``, a function at a point; ``diagnosis``, with ``uses``, the kind of mistake a wrong
gradient shows; ``report``, the screen you read; ``check``, which puts them together.
"""

from minivae.gradcheck.check import assert_gradcheck, gradcheck
from minivae.gradcheck.report import GradcheckReport, Row

__all__ = ["GradcheckReport", "Row", "assert_gradcheck", "gradcheck"]
