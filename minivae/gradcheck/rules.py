"""The rules that every VJP must obey, whatever it computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minivae.errors import GradientError
from minivae.gradcheck.diagnosis import describe_shape
from minivae.tensor import Tensor

__all__ = ["BrokenRule", "check_rules", "cotangent"]

Array = NDArray[Any]


class BrokenRule(Exception):
    """A function or a VJP broke a rule: the message is the diagnosis, the cause what it raised."""


def cotangent(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """A random cotangent: of both signs, no entry near zero, no two alike.

    Sizes are drawn from a continuum: a rule among the entries, such as a sum that is one of them,
    would hide a wrong VJP.
    """
    signs = np.where(np.arange(math.prod(shape)) % 2, -1.0, 1.0)
    sizes = random.uniform(0.5, 1.5, shape)
    return np.asarray(sizes * random.permutation(signs).reshape(shape))


def check_rules(made: Tensor, names: Sequence[str], random: np.random.Generator) -> str | None:
    """Call the VJP of the operation that made a tensor by hand, and see that it keeps to the rules.

    Returns
    -------
    str or None
        What is wrong in its use of the cotangent, which the numbers show as well.

    Raises
    ------
    BrokenRule
        If it raises, returns a wrong count, shape or dtype, writes into its arguments, returns the
        same array at every call, or depends on anything but its arguments.
    """
    g = cotangent(made.shape, random)
    first = _pull_back(made, g.copy(), names)
    kept = [c if c is None else np.array(c) for c in first]
    touched = g.copy()
    second = _pull_back(made, touched, names)
    if not np.array_equal(touched, g):
        raise BrokenRule("the VJP changes the cotangent g in place: write g = g * d, not g *= d")
    if not _close_enough(second, kept, 1e-12):
        raise BrokenRule("two calls of the VJP differ: it must depend on nothing but its arguments")
    scaled = _pull_back(made, -1024.0 * g, names)
    if not _close_enough(first, kept, 0.0):
        raise BrokenRule(
            "the VJP returns the same array at every call and writes into it: make a new one"
        )
    if not _close_enough(_pull_back(made, _strided(g), names), kept, 1e-9):
        raise BrokenRule(
            "the VJP depends on the memory layout of g: its strides, not only its values"
        )
    doubled = _pull_back(made, 2.0 * g, names)
    uses = zip(names, kept, doubled, scaled, strict=True)
    faults = [(name, _fault(*cs)) for name, *cs in uses if any(c is not None for c in cs)]
    fault = next((fault for _, fault in faults if fault), None)
    if fault is None:
        return None
    having = [name for name, other in faults if other == fault]
    said, mend = fault
    where = "" if len(having) == len(faults) else f" in the cotangent of {' and '.join(having)}"
    return f"{said}{where}: {mend}"


def _fault(once: Any, twice: Any, scaled: Any) -> tuple[str, str] | None:
    """What is wrong, and its mend, in a cotangent's use of g, of 2 g and of -1024 g."""

    def is_(expected: Any, found: Any = scaled) -> bool:
        return _close_enough([found], [expected], 1e-9)

    mend = "nothing may be added, and nothing clipped"
    not_linear = "the VJP is not linear in the cotangent g", mend
    if once is None or twice is None or scaled is None:
        return not_linear
    if is_(-1024.0 * once):
        return None
    if is_(once):
        return "the cotangent g is left out", "multiply the derivative by it"
    if is_(1024.0**2 * once):
        return "the cotangent g enters squared", "multiply by it once"
    if is_(once - 1025.0 * (twice - once)):
        return "a term stands without the cotangent g", "multiply it by g, or leave it out"
    return not_linear


def _pull_back(made: Tensor, g: Array, names: Sequence[str]) -> list[Array | None]:
    """The cotangents exactly as the VJP returns them, if their count, shape and dtype are right."""
    node = made._node
    if node is None:
        raise GradientError("check_rules: a leaf was made by no operation")
    wanted = [isinstance(x, Tensor) and x.requires_grad for x in node.inputs]
    try:
        with np.errstate(all="ignore"):
            returned = node.operation.pull_back(g, made, node, wanted, False)
    except NotImplementedError as error:
        raise BrokenRule(
            f"the VJP is not written yet: {error or 'it raises NotImplementedError'}"
        ) from error
    except GradientError as error:
        raise BrokenRule(str(error)) from error
    except Exception as error:
        if "read-only" in str(error):
            raise BrokenRule(
                "the VJP writes into its inputs or its output; work on a copy"
            ) from error
        what = str(error).partition(", with gufunc signature")[0]
        raise BrokenRule(f"the VJP raises {type(error).__name__}: {what}") from error
    found: list[Array | None] = []
    for name, c, x, want in zip(names, returned, node.inputs, wanted, strict=True):
        if not want or c is None:
            found.append(None)
            continue
        array = np.asarray(c)
        if (
            isinstance(c, np.ndarray | np.generic)
            and array.dtype != np.float64
            and x.dtype == np.float64
        ):
            raise BrokenRule(f"the cotangent of {name} has dtype {array.dtype}, the input float64")
        if array.dtype.kind not in "fiu":
            raise BrokenRule(
                f"the cotangent of {name} is {type(c).__name__}, not an array of numbers"
            )
        if array.shape != x.shape and not (node.operation.broadcasts and array.shape == made.shape):
            raise BrokenRule(
                f"the cotangent of {name} {describe_shape(array.shape, x.shape, made.shape)}"
            )
        found.append(array)
    return found


def _close_enough(
    found: Sequence[Array | None], expected: Sequence[Array | None], tolerance: float
) -> bool:
    """Whether two sets of cotangents are equal but for rounding."""
    for a, b in zip(found, expected, strict=True):
        if a is None or b is None:
            if a is not b:
                return False
            continue
        floor = tolerance * np.max(np.abs(b), where=np.isfinite(b), initial=0.0)
        if not np.allclose(a, b, rtol=tolerance, atol=float(floor), equal_nan=True):
            return False
    return True


def _strided(g: Array) -> Array:
    """The same numbers laid out otherwise in memory, with gaps and axes reversed; read-only."""
    wide = np.repeat(np.asarray(g, order="F"), 2, axis=0)[::2] if g.ndim else g.copy()
    wide = np.asfortranarray(wide) if g.ndim > 1 else wide
    wide.flags.writeable = False
    return wide
