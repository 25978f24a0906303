"""Operations on each element: arithmetic, exponentials, activations, choices.

Each block is one operation: its derivative in a line, its forward, its VJP. Inputs broadcast as in
NumPy; a VJP returns cotangents of the output's shape, and the walk sums them down (Eq. AD.4). ``g``
is the cotangent of the output ``out``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from numpy.typing import DTypeLike

import minivae_kernels as kernels
from minivae.errors import DtypeError, GradientError
from minivae.tensor import Array, Tensor, Value, as_array, primitive, values

__all__ = [
    "abs", "add", "astype", "clip", "cos", "divide", "exp", "expm1", "log", "log1p", "maximum",
    "minimum", "multiply", "negative", "positive", "power", "relu", "sigmoid", "sin", "softplus",
    "sqrt", "square", "subtract", "tanh", "where", "xlogy",
]  # fmt: skip

Both = tuple[bool, bool]


def floating(x: Array) -> Array:
    """Integers and booleans as float64; the compiled kernels know no others."""
    return x if x.dtype.kind == "f" else x.astype(np.float64)


# ---- arithmetic ----
#
# Integers and booleans are computed with as float64, so that none wraps around. What only chooses
# or moves elements leaves them as they are.


def _in_floats(operate: Callable[..., Array], *arrays: Any) -> Array:
    """NumPy's result; where it would be of integers or booleans, that of the same as float64."""
    out = _held(operate, *arrays)
    return out if out.dtype.kind == "f" else operate(*(np.asarray(x, np.float64) for x in arrays))


def _held(operate: Callable[..., Array], *arrays: Any) -> Array:
    """NumPy's result; where a plain number is out of the integers' range, as float64."""
    try:
        return operate(*arrays)
    except OverflowError:
        return operate(*(np.asarray(x, np.float64) for x in arrays))


def _add(x: Array, y: Array, /) -> Array:
    """x + y."""
    return _in_floats(np.add, x, y)


def _add_vjp(g: Value, out: Value, x: Value, y: Value) -> Value:
    # d(x + y) = dx + dy
    return g, g


add = primitive(_add, _add_vjp, broadcasts=True)


def _subtract(x: Array, y: Array, /) -> Array:
    """x - y."""
    try:
        return _in_floats(np.subtract, x, y)
    except TypeError:
        mend = "convert them to float, or use !="
        raise DtypeError(f"subtract: booleans have no difference; {mend}") from None


def _subtract_vjp(g: Value, out: Value, x: Value, y: Value, wanted: Both = (True, True)) -> Value:
    # d(x - y) = dx - dy
    return g, -g if wanted[1] else None


subtract = primitive(_subtract, _subtract_vjp, broadcasts=True)


def _multiply(x: Array, y: Array, /) -> Array:
    """x * y."""
    return _in_floats(np.multiply, x, y)


def _multiply_vjp(g: Value, out: Value, x: Value, y: Value, wanted: Both = (True, True)) -> Value:
    # d(x y) = y dx + x dy
    return g * y if wanted[0] else None, g * x if wanted[1] else None


multiply = primitive(_multiply, _multiply_vjp, broadcasts=True)


def _divide(x: Array, y: Array, /) -> Array:
    """x / y."""
    return _in_floats(np.divide, x, y)


def _divide_vjp(g: Value, out: Value, x: Value, y: Value, wanted: Both = (True, True)) -> Value:
    # d(x / y) = dx / y - (x / y) dy / y
    return divide(g, y) if wanted[0] else None, -g * divide(out, y) if wanted[1] else None


divide = primitive(_divide, _divide_vjp, broadcasts=True)


def _negative(x: Array, /) -> Array:
    """-x."""
    return np.negative(floating(x))


def _negative_vjp(g: Value, out: Value, x: Value) -> Value:
    return -g


negative = primitive(_negative, _negative_vjp)


def _positive(x: Array, /) -> Array:
    """A copy of x."""
    return np.array(x)


def _positive_vjp(g: Value, out: Value, x: Value) -> Value:
    return g


positive = primitive(_positive, _positive_vjp)


def _astype(x: Array, /, dtype: DTypeLike) -> Array:
    """x in another dtype; its cotangent comes back in the old one."""
    return as_array("astype", x, dtype).copy()


def _astype_vjp(g: Value, out: Value, x: Value, dtype: DTypeLike) -> Value:
    return g


astype = primitive(_astype, _astype_vjp)


def _power(x: Array, y: Array, /) -> Array:
    """x ** y."""
    if np.result_type(x, y).kind != "f":
        x = np.asarray(x, np.float64)  # so that an integer may have a negative power
    return np.power(x, y)


def _power_vjp(g: Value, out: Value, x: Value, y: Value, wanted: Both = (True, True)) -> Value:
    # d(x^y) = y x^(y-1) dx + x^y log(x) dy; at x = 0 the first is 0 if y = 0, the second if y >= 0
    gx = gy = None
    zero = np.equal(values(x), 0)
    if wanted[0]:
        corner = zero & np.equal(values(y), 0)
        gx = g * (y * power(x, where(corner, 1.0, y - 1) if corner.any() else y - 1))
    if wanted[1]:
        flat = zero & np.greater_equal(values(y), 0)
        gy = g * where(flat, 0.0, out * log(where(flat, 1.0, x)))
    return gx, gy


power = primitive(_power, _power_vjp, broadcasts=True)


def _square(x: Array, /) -> Array:
    """x ** 2."""
    return np.square(floating(x))


def _square_vjp(g: Value, out: Value, x: Value) -> Value:
    # d(x^2) = 2 x dx
    return g * (2.0 * x)


square = primitive(_square, _square_vjp)


# ---- exponentials, roots, circles ----


def _exp(x: Array, /) -> Array:
    """e ** x."""
    return kernels.exp(floating(x))


def _exp_vjp(g: Value, out: Value, x: Value) -> Value:
    # d e^x = e^x dx
    return g * out


exp = primitive(_exp, _exp_vjp, warns=False)


def _expm1(x: Array, /) -> Array:
    """e ** x - 1, exact near 0."""
    return kernels.expm1(floating(x))


def _expm1_vjp(g: Value, out: Value, x: Value) -> Value:
    # d(e^x - 1) = e^x dx, which keeps its digits far below 0, where out + 1 loses them
    return g * exp(x)


expm1 = primitive(_expm1, _expm1_vjp, warns=False)


def _log(x: Array, /) -> Array:
    """The natural logarithm; -inf at 0, NaN below."""
    return kernels.log(floating(x))


def _log_vjp(g: Value, out: Value, x: Value) -> Value:
    # d log x = dx / x
    return divide(g, x)


log = primitive(_log, _log_vjp, warns=False)


def _log1p(x: Array, /) -> Array:
    """log(1 + x), exact near 0."""
    return kernels.log1p(floating(x))


def _log1p_vjp(g: Value, out: Value, x: Value) -> Value:
    # d log(1 + x) = dx / (1 + x)
    return divide(g, 1.0 + x)


log1p = primitive(_log1p, _log1p_vjp, warns=False)


def _xlogy(x: Array, y: Array, /) -> Array:
    """x log y, and 0 wherever x = 0."""
    return np.asarray(scipy.special.xlogy(x, y), dtype=np.result_type(x, y, 1.0))


def _xlogy_vjp(g: Value, out: Value, x: Value, y: Value, wanted: Both = (True, True)) -> Value:
    # d(x log y) = log(y) dx + (x / y) dy; both are taken as 0 at x = y = 0
    corner = np.equal(values(x), 0) & np.equal(values(y), 0)
    safe = where(corner, 1.0, y)
    return g * log(safe) if wanted[0] else None, g * divide(x, safe) if wanted[1] else None


xlogy = primitive(_xlogy, _xlogy_vjp, broadcasts=True)


def _sqrt(x: Array, /) -> Array:
    """The square root; its derivative is infinite at 0."""
    return np.sqrt(floating(x))


def _sqrt_vjp(g: Value, out: Value, x: Value) -> Value:
    # d sqrt(x) = dx / (2 sqrt(x))
    return divide(0.5 * g, out)


sqrt = primitive(_sqrt, _sqrt_vjp)


def _abs(x: Array, /) -> Array:
    """|x|; its derivative at 0 is taken as 0."""
    return np.abs(floating(x))


def _abs_vjp(g: Value, out: Value, x: Value) -> Value:
    # d|x| = sign(x) dx
    return g * np.sign(values(x))


abs = primitive(_abs, _abs_vjp)


def _sin(x: Array, /) -> Array:
    """Sine, of radians."""
    return np.sin(floating(x))


def _sin_vjp(g: Value, out: Value, x: Value) -> Value:
    # d sin x = cos x dx
    return g * cos(x)


sin = primitive(_sin, _sin_vjp)


def _cos(x: Array, /) -> Array:
    """Cosine, of radians."""
    return np.cos(floating(x))


def _cos_vjp(g: Value, out: Value, x: Value) -> Value:
    # d cos x = -sin x dx
    return -g * sin(x)


cos = primitive(_cos, _cos_vjp)


# ---- activations ----


def _tanh(x: Array, /) -> Array:
    """Hyperbolic tangent."""
    return kernels.tanh(floating(x))


def _tanh_vjp(g: Value, out: Value, x: Value) -> Value:
    # d tanh x = (1 - tanh^2 x) dx: from the output, for 1 / cosh^2 x overflows
    return g * ((1.0 - out) * (1.0 + out))


tanh = primitive(_tanh, _tanh_vjp, warns=False)


def _sigmoid(x: Array, /) -> Array:
    """1 / (1 + e^-x), without overflow."""
    return kernels.sigmoid(floating(x))


def _sigmoid_vjp(g: Value, out: Value, x: Value) -> Value:
    # d sigma = sigma (1 - sigma) dx, where 1 - sigma(x) = sigma(-x) keeps its digits
    return g * (out * sigmoid(-x))


sigmoid = primitive(_sigmoid, _sigmoid_vjp, warns=False)


def _softplus(x: Array, /) -> Array:
    """log(1 + e^x), without overflow."""
    return kernels.softplus(floating(x))


def _softplus_vjp(g: Value, out: Value, x: Value) -> Value:
    # d log(1 + e^x) = sigma(x) dx
    return g * sigmoid(x)


softplus = primitive(_softplus, _softplus_vjp, warns=False)


def _relu(x: Array, /) -> Array:
    """max(x, 0); its derivative at 0 is taken as 0, and NaN stays NaN."""
    return kernels.relu(floating(x))


def _relu_vjp(g: Value, out: Value, x: Value) -> Value:
    # d max(x, 0) = [x > 0] dx
    slope = np.heaviside(values(x), 0.0)
    return where(np.equal(slope, 0), 0.0, g * slope)


relu = primitive(_relu, _relu_vjp, warns=False)


# ---- choices ----


def _share(winner: Array, tie: Array, like: Value) -> Array:
    """The share of a cotangent: 1 to the winner, half to each side of a tie."""
    return np.where(tie, 0.5, winner).astype(like.dtype)


def _maximum(x: Array, y: Array, /) -> Array:
    """The larger of the two; a tie shares its cotangent evenly, NaN wins."""
    return _held(np.maximum, x, y)


def _maximum_vjp(g: Value, out: Value, x: Value, y: Value) -> Value:
    # d max(x, y) = [x > y] dx + [y > x] dy, and halves where x = y
    a, b = values(x), values(y)
    tie = np.equal(a, b)
    return g * _share(~np.less(a, b), tie, g), g * _share(~np.less(b, a), tie, g)


maximum = primitive(_maximum, _maximum_vjp, broadcasts=True)


def _minimum(x: Array, y: Array, /) -> Array:
    """The smaller of the two; a tie shares its cotangent evenly, NaN wins."""
    return _held(np.minimum, x, y)


def _minimum_vjp(g: Value, out: Value, x: Value, y: Value) -> Value:
    # d min(x, y) = [x < y] dx + [y < x] dy, and halves where x = y
    a, b = values(x), values(y)
    tie = np.equal(a, b)
    return g * _share(~np.greater(a, b), tie, g), g * _share(~np.greater(b, a), tie, g)


minimum = primitive(_minimum, _minimum_vjp, broadcasts=True)


def _where(condition: Array, x: Array, y: Array, /) -> Array:
    """x where the condition holds, else y.

    A cotangent of 0 goes to the branch not taken. If that branch itself has an infinite derivative
    there, 0 times infinity is NaN: make its input safe with a ``where`` of its own.
    """
    out = np.where(condition, x, y)
    if out.dtype.kind in "iu":  # NumPy lets a plain number wrap around here
        try:
            np.asarray(x, out.dtype), np.asarray(y, out.dtype)
        except OverflowError:
            out = np.where(condition, np.asarray(x, np.float64), np.asarray(y, np.float64))
    return out


def _where_vjp(g: Value, out: Value, condition: Value, x: Value, y: Value) -> Value:
    # d where(c, x, y) = [c] dx + [not c] dy
    c = values(condition)
    return None, where(c, g, 0.0), where(c, 0.0, g)


where = primitive(_where, _where_vjp, broadcasts=True)


def _clip(x: Array, /, lower: Any = None, upper: Any = None) -> Array:
    """x held between constant bounds; at a bound the derivative is 1."""
    return np.clip(x, _bound(lower, x), _bound(upper, x))


def _bound(bound: Any, x: Array) -> Any:
    """A bound of clip as NumPy takes it; plain numbers stay weak."""
    if isinstance(bound, Tensor) and bound.requires_grad:
        raise GradientError(
            "clip: a bound is a constant and gets no gradient; use maximum(x, lower) and "
            "minimum(x, upper), which share it between x and the bound"
        )
    bound = bound.item() if isinstance(bound, np.generic) else values(bound)
    if isinstance(bound, int) and x.dtype.kind in "iu":  # NumPy 2.0 takes none beyond the dtype's
        return min(max(bound, np.iinfo(x.dtype).min), np.iinfo(x.dtype).max)
    return bound if bound is None or isinstance(bound, float | int) else as_array("clip", bound)


def _clip_vjp(g: Value, out: Value, x: Value, lower: Any, upper: Any) -> Value:
    # d clip(x) = [lower <= x <= upper] dx
    return where(np.equal(values(out), values(x)), g, 0.0)


clip = primitive(_clip, _clip_vjp, broadcasts=True)
