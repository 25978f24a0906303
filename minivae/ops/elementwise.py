"""Operations on each element: arithmetic, exponentials, activations, choices.

Each block is one operation: its derivative in a line, its forward, its VJP. Inputs broadcast as in NumPy; a
VJP returns cotangents of the output's shape, and the walk sums them down (Eq. AD.4). ``g`` is the cotangent
of the output ``out``.
"""

from __future__ import annotations

from typing import Any

import minivae_kernels as kernels
import numpy as np
from numpy.typing import DTypeLike

from minivae.errors import DtypeError
from minivae.tensor import Array, Operand, Tensor, primitive

__all__ = [
    "abs", "add", "astype", "clip", "cos", "divide", "exp", "expm1", "log", "log1p", "maximum", "minimum",
    "multiply", "negative", "positive", "power", "relu", "sigmoid", "sin", "softplus", "sqrt", "square",
    "subtract", "tanh", "where", "xlogy",
]  # fmt: skip


def _values(x: Any) -> Any:
    """The numbers alone, for masks: nothing flows back through a comparison."""
    return x.data if isinstance(x, Tensor) else x


def _floating(x: Array) -> Array:
    return x if x.dtype.kind == "f" else x.astype(np.float64)


# ---- arithmetic ----


def _add(x: Operand, y: Operand, /) -> Array:
    """x + y."""
    return np.add(x, y)


def _add_vjp(g, out, x, y):
    # d(x + y) = dx + dy
    return g, g


add = primitive(_add, _add_vjp, broadcasts=True)


def _subtract(x, y, /):
    """x - y."""
    if np.result_type(x, y) == bool:
        raise DtypeError("subtract: booleans cannot be subtracted; convert them to float, or use ^ for 'differs'")
    return np.subtract(x, y)


def _subtract_vjp(g, out, x, y, wanted=(True, True)):
    # d(x - y) = dx - dy
    return g, -g if wanted[1] else None


subtract = primitive(_subtract, _subtract_vjp, broadcasts=True)


def _multiply(x, y, /):
    """x * y."""
    return np.multiply(x, y)


def _multiply_vjp(g, out, x, y, wanted=(True, True)):
    # d(x y) = y dx + x dy
    return g * y if wanted[0] else None, g * x if wanted[1] else None


multiply = primitive(_multiply, _multiply_vjp, broadcasts=True)


def _divide(x, y, /):
    """x / y."""
    return np.divide(x, y)


def _divide_vjp(g, out, x, y, wanted=(True, True)):
    # d(x / y) = dx / y - (x / y) dy / y
    return divide(g, y) if wanted[0] else None, -g * divide(out, y) if wanted[1] else None


divide = primitive(_divide, _divide_vjp, broadcasts=True)


def _negative(x, /):
    """-x."""
    return np.negative(x)


def _negative_vjp(g, out, x):
    return -g


negative = primitive(_negative, _negative_vjp)


def _positive(x, /):
    """A copy of x."""
    return np.array(x)


def _positive_vjp(g, out, x):
    return g


positive = primitive(_positive, _positive_vjp)


def _astype(x, /, dtype: DTypeLike):
    """x in another dtype; its cotangent comes back in the old one."""
    return x.astype(dtype)


def _astype_vjp(g, out, x, dtype):
    return g


astype = primitive(_astype, _astype_vjp)


def _power(x, y, /):
    """x ** y."""
    if np.result_type(x, y).kind not in "f":
        x = np.asarray(x, np.float64)  # so that an integer may have a negative power
    return np.power(x, y)


def _power_vjp(g, out, x, y, wanted=(True, True)):
    # d(x^y) = y x^(y-1) dx + x^y log(x) dy; 0 where y = 0, and where x = 0 in the second term
    gx = gy = None
    if wanted[0]:
        # x^(y-1) is infinite at x = 0, y = 0, where the product with y is 0.
        exponent = where(_values(y) == 0, 1.0, y - 1) if np.ndim(_values(y)) else (y - 1 if _values(y) != 0 else 1.0)
        gx = g * (y * power(x, exponent))
    if wanted[1]:
        at_zero = (_values(x) == 0) & (np.asarray(_values(y)) >= 0)
        gy = g * where(at_zero, 0.0, out * log(where(at_zero, 1.0, x)))
    return gx, gy


power = primitive(_power, _power_vjp, broadcasts=True)


def _square(x, /):
    """x ** 2."""
    return np.square(x)


def _square_vjp(g, out, x):
    # d(x^2) = 2 x dx
    return g * (2.0 * x)


square = primitive(_square, _square_vjp)


# ---- exponentials, roots, circles ----


def _exp(x, /):
    """e ** x."""
    return kernels.exp(_floating(x))


def _exp_vjp(g, out, x):
    # d e^x = e^x dx
    return g * out


exp = primitive(_exp, _exp_vjp)


def _expm1(x, /):
    """e ** x - 1, exact near 0."""
    return kernels.expm1(_floating(x))


def _expm1_vjp(g, out, x):
    # d(e^x - 1) = e^x dx
    return g * (out + 1.0)


expm1 = primitive(_expm1, _expm1_vjp)


def _log(x, /):
    """The natural logarithm; -inf at 0, NaN below."""
    return kernels.log(_floating(x))


def _log_vjp(g, out, x):
    # d log x = dx / x
    return divide(g, x)


log = primitive(_log, _log_vjp)


def _log1p(x, /):
    """log(1 + x), exact near 0."""
    return kernels.log1p(_floating(x))


def _log1p_vjp(g, out, x):
    # d log(1 + x) = dx / (1 + x)
    return divide(g, 1.0 + x)


log1p = primitive(_log1p, _log1p_vjp)


def _xlogy(x, y, /):
    """x log y, and 0 wherever x = 0."""
    return np.where(x == 0, 0.0, x * kernels.log(np.where(x == 0, 1.0, y)))


def _xlogy_vjp(g, out, x, y, wanted=(True, True)):
    # d(x log y) = log(y) dx + (x / y) dy; the second term is 0 wherever x = 0
    zero = np.asarray(_values(x) == 0)
    gx = g * where(zero & (np.asarray(_values(y)) == 0), 0.0, log(where(zero & (_values(y) == 0), 1.0, y))) if wanted[0] else None
    gy = g * where(zero, 0.0, divide(x, where(zero, 1.0, y))) if wanted[1] else None
    return gx, gy


xlogy = primitive(_xlogy, _xlogy_vjp, broadcasts=True)


def _sqrt(x, /):
    """The square root; its derivative is infinite at 0."""
    return np.sqrt(_floating(x))


def _sqrt_vjp(g, out, x):
    # d sqrt(x) = dx / (2 sqrt(x))
    return divide(0.5 * g, out)


sqrt = primitive(_sqrt, _sqrt_vjp)


def _abs(x, /):
    """|x|; its derivative at 0 is taken as 0."""
    return np.abs(x)


def _abs_vjp(g, out, x):
    # d|x| = sign(x) dx
    return g * np.sign(_values(x))


abs = primitive(_abs, _abs_vjp)  # noqa: A001


def _sin(x, /):
    """Sine, of radians."""
    return np.sin(_floating(x))


def _sin_vjp(g, out, x):
    # d sin x = cos x dx
    return g * cos(x)


sin = primitive(_sin, _sin_vjp)


def _cos(x, /):
    """Cosine, of radians."""
    return np.cos(_floating(x))


def _cos_vjp(g, out, x):
    # d cos x = -sin x dx
    return -g * sin(x)


cos = primitive(_cos, _cos_vjp)


# ---- activations ----


def _tanh(x, /):
    """Hyperbolic tangent."""
    return kernels.tanh(_floating(x))


def _tanh_vjp(g, out, x):
    # d tanh x = (1 - tanh^2 x) dx: from the output, for 1 / cosh^2 x overflows
    return g * (1.0 - out * out)


tanh = primitive(_tanh, _tanh_vjp)


def _sigmoid(x, /):
    """1 / (1 + e^-x), without overflow."""
    return kernels.sigmoid(_floating(x))


def _sigmoid_vjp(g, out, x):
    # d sigma = sigma (1 - sigma) dx, where 1 - sigma(x) = sigma(-x) keeps its digits
    return g * (out * sigmoid(-x))


sigmoid = primitive(_sigmoid, _sigmoid_vjp)


def _softplus(x, /):
    """log(1 + e^x), without overflow."""
    return kernels.softplus(_floating(x))


def _softplus_vjp(g, out, x):
    # d log(1 + e^x) = sigma(x) dx
    return g * sigmoid(x)


softplus = primitive(_softplus, _softplus_vjp)


def _relu(x, /):
    """max(x, 0); its derivative at 0 is taken as 0, and NaN stays NaN."""
    return kernels.relu(_floating(x))


def _relu_vjp(g, out, x):
    # d max(x, 0) = [x > 0] dx
    return where(_values(x) > 0, g, 0.0)


relu = primitive(_relu, _relu_vjp)


# ---- choices ----


def _share(winner: Array, tie: Array, like: Any) -> Array:
    """The share of a cotangent: 1 to the winner, half to each side of a tie."""
    return np.where(tie, 0.5, np.where(winner, 1.0, 0.0)).astype(like.dtype)


def _maximum(x, y, /):
    """The larger of the two; a tie shares its cotangent evenly, NaN wins."""
    return np.maximum(x, y)


def _maximum_vjp(g, out, x, y):
    # d max(x, y) = [x > y] dx + [y > x] dy, and halves where x = y
    a, b = _values(x), _values(y)
    tie = np.equal(a, b)
    return g * _share(~np.less(a, b), tie, g), g * _share(~np.less(b, a), tie, g)


maximum = primitive(_maximum, _maximum_vjp, broadcasts=True)


def _minimum(x, y, /):
    """The smaller of the two; a tie shares its cotangent evenly, NaN wins."""
    return np.minimum(x, y)


def _minimum_vjp(g, out, x, y):
    # d min(x, y) = [x < y] dx + [y < x] dy, and halves where x = y
    a, b = _values(x), _values(y)
    tie = np.equal(a, b)
    return g * _share(~np.greater(a, b), tie, g), g * _share(~np.greater(b, a), tie, g)


minimum = primitive(_minimum, _minimum_vjp, broadcasts=True)


def _where(condition, x, y, /):
    """x where the condition holds, else y.

    A cotangent of 0 goes to the branch not taken. If that branch itself has an infinite derivative there, 0
    times infinity is NaN: make its input safe with a ``where`` of its own.
    """
    return np.where(condition, x, y)


def _where_vjp(g, out, condition, x, y):
    # d where(c, x, y) = [c] dx + [not c] dy
    c = _values(condition)
    return None, where(c, g, 0.0), where(c, 0.0, g)


where = primitive(_where, _where_vjp, broadcasts=True)


def _clip(x, /, lower: Any = None, upper: Any = None):
    """x held between constant bounds; at a bound the derivative is 1."""
    return np.clip(x, lower, upper)


def _clip_vjp(g, out, x, lower, upper):
    # d clip(x) = [lower <= x <= upper] dx
    return where(_values(out) == _values(x), g, 0.0)


clip = primitive(_clip, _clip_vjp)
