"""The exceptions and warnings of minivae.

Every error names the operation, the shapes or values involved, the rule that was broken and the
usual mend. They derive from the built-in exception that a NumPy user would expect, so code that
catches ``ValueError`` keeps working.
"""

import sys
import warnings
from functools import cache
from typing import Any

__all__ = [
    "CheckpointError",
    "ConvergenceWarning",
    "DatasetError",
    "DatasetWarning",
    "DtypeError",
    "EffectiveSampleSizeWarning",
    "GradientError",
    "LikelihoodWarning",
    "NotFittedError",
    "ShapeError",
    "not_fitted",
    "warn",
]


class ShapeError(ValueError):
    """Shapes that do not fit the operation."""


class DtypeError(TypeError, ValueError):
    """A dtype that the operation does not take: a TypeError to NumPy, a ValueError elsewhere."""


class GradientError(RuntimeError):
    """A gradient that cannot be formed, or a VJP that broke its contract."""


class CheckpointError(ValueError):
    """A file that is not a readable checkpoint of the expected kind."""


class DatasetError(ValueError):
    """A data set that cannot be found, downloaded or read."""


class NotFittedError(ValueError, AttributeError):
    """An estimator asked for results before ``fit``."""


def not_fitted(message: str) -> NotFittedError:
    """Return a `NotFittedError`, which is scikit-learn's as well where that is loaded."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", None)
    return NotFittedError(message) if theirs is None else _of_both(theirs)(message)


@cache
def _of_both(theirs: type[Exception]) -> Any:
    def reduce(self: Exception) -> tuple[Any, ...]:  # a process without scikit-learn can read it
        return not_fitted, self.args

    return type("NotFittedError", (NotFittedError, theirs), {"__reduce__": reduce})


class ConvergenceWarning(UserWarning):
    """An iterative fit that stopped before it converged."""


class DatasetWarning(UserWarning):
    """Something in a file that was not read as data, or may not be meant as data."""


class EffectiveSampleSizeWarning(UserWarning):
    """An importance-weighted estimate that rests on few of its samples."""


class LikelihoodWarning(UserWarning):
    """A number that looks like a likelihood but is not one."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called the library, however many of the library's own lie between."""
    level, frame = 2, sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] == "minivae" and frame.f_back:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
