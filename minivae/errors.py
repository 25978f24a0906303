"""The exceptions and warnings of minivae.

Every error names the operation, the shapes or values involved, the rule that was broken and the
usual mend. They derive from the built-in exception that a NumPy user would expect, so code that
catches ``ValueError`` keeps working.
"""

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
]


class ShapeError(ValueError):
    """Shapes that do not fit the operation."""


class DtypeError(TypeError):
    """A dtype that the operation does not take."""


class GradientError(RuntimeError):
    """A gradient that cannot be formed, or a VJP that broke its contract."""


class CheckpointError(ValueError):
    """A file that is not a readable checkpoint of the expected kind."""


class DatasetError(ValueError):
    """A data set that cannot be found, downloaded or read."""


class NotFittedError(ValueError, AttributeError):
    """An estimator asked for results before ``fit``."""


class ConvergenceWarning(UserWarning):
    """An iterative fit that stopped before it converged."""


class DatasetWarning(UserWarning):
    """Something in a file that was not taken for data, or may not be meant as such."""


class EffectiveSampleSizeWarning(UserWarning):
    """An importance-weighted estimate that rests on few of its samples."""


class LikelihoodWarning(UserWarning):
    """A number that looks like a likelihood and is not one."""
