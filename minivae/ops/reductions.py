"""Operations that reduce along axes: sums, moments, extremes, products, log-sum-exp.

``axis`` is None (all axes), an int or a tuple, negative counting from the end, as in NumPy; ``axis=()``
reduces nothing.
"""

from __future__ import annotations

from typing import Any

import minivae_kernels as kernels
import numpy as np

from minivae.errors import ShapeError
from minivae.ops.elementwise import divide, exp, multiply, where
from minivae.ops.shapes import broadcast_to, flip, reshape, transpose
from minivae.tensor import Array, Tensor, primitive

__all__ = [
    "cumsum", "log_softmax", "logsumexp", "max", "mean", "min", "norm", "prod", "softmax", "std", "sum", "var",
]  # fmt: skip

Axis = int | tuple[int, ...] | None


def _values(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _kept(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape a reduction has with ``keepdims=True``."""
    axes = range(len(shape)) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _dropped(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape a reduction has with ``keepdims=False``."""
    axes = range(len(shape)) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, len(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many numbers go into each result."""
    axes = range(len(shape)) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, len(shape))
    return int(np.prod([shape[i] for i in axes], dtype=np.int64))


# ---- sums and moments ----


def _sum(x, /, axis: Axis = None, keepdims: bool = False):
    """The sum along axes."""
    return np.sum(x, axis=axis, keepdims=keepdims)


def _sum_vjp(g, out, x, axis, keepdims):
    # d sum(x) = sum(dx): every element gets the cotangent of its sum
    return broadcast_to(reshape(g, _kept(x.shape, axis)), x.shape)


sum = primitive(_sum, _sum_vjp)  # noqa: A001


def _mean(x, /, axis: Axis = None, keepdims: bool = False):
    """The mean along axes; NaN of nothing."""
    return divide(np.sum(x, axis=axis, keepdims=keepdims), _count(x.shape, axis))


def _mean_vjp(g, out, x, axis, keepdims):
    # d mean(x) = sum(dx) / n
    return _sum_vjp(divide(g, _count(x.shape, axis)), out, x, axis, keepdims)


mean = primitive(_mean, _mean_vjp)


def _var(x, /, axis: Axis = None, ddof: int = 0, keepdims: bool = False):
    """The variance along axes, the sum of squares divided by n - ddof."""
    centred = x - np.mean(x, axis=axis, keepdims=True)
    return divide(np.sum(np.square(centred), axis=axis, keepdims=keepdims), _count(x.shape, axis) - ddof)


def _var_vjp(g, out, x, axis, ddof, keepdims):
    # d var(x) = 2 (x - mean) dx / (n - ddof); the mean's own share is zero, for sum(x - mean) = 0
    g = reshape(divide(2.0 * g, _count(x.shape, axis) - ddof), _kept(x.shape, axis))
    return g * (x - mean(x, axis, True))


var = primitive(_var, _var_vjp)


def _std(x, /, axis: Axis = None, ddof: int = 0, keepdims: bool = False):
    """The standard deviation along axes; its derivative is taken as 0 where all values are equal."""
    return np.sqrt(_var(x, axis, ddof, keepdims))


def _std_vjp(g, out, x, axis, ddof, keepdims):
    # d sqrt(v) = dv / (2 sqrt(v))
    flat = _values(out) == 0
    return _var_vjp(where(flat, 0.0, divide(0.5 * g, where(flat, 1.0, out))), None, x, axis, ddof, keepdims)


std = primitive(_std, _std_vjp)


def _norm(x, /, axis: Axis = None, keepdims: bool = False):
    """The Euclidean norm along axes, without overflow; its derivative at 0 is taken as 0."""
    scale = np.max(np.abs(x), axis=axis, keepdims=True, initial=0.0)
    scale = np.where((scale == 0) | ~np.isfinite(scale), 1.0, scale).astype(x.dtype)
    length = scale * np.sqrt(np.sum(np.square(x / scale), axis=axis, keepdims=True))
    return length if keepdims else length.reshape(_dropped(x.shape, axis))


def _norm_vjp(g, out, x, axis, keepdims):
    # d |x| = x . dx / |x|
    kept = _kept(x.shape, axis)
    g, out = reshape(g, kept), reshape(out, kept)
    zero = _values(out) == 0
    return where(zero, 0.0, divide(g, where(zero, 1.0, out))) * x


norm = primitive(_norm, _norm_vjp)


# ---- extremes ----


def _max(x, /, axis: Axis = None, keepdims: bool = False):
    """The largest value along axes; ties share the cotangent evenly."""
    _refuse_nothing("max", x, axis)
    return np.max(x, axis=axis, keepdims=keepdims)


def _min(x, /, axis: Axis = None, keepdims: bool = False):
    """The smallest value along axes; ties share the cotangent evenly."""
    _refuse_nothing("min", x, axis)
    return np.min(x, axis=axis, keepdims=keepdims)


def _extreme_vjp(g, out, x, axis, keepdims):
    # d max(x) = mean of dx over the elements that attain it
    kept = _kept(x.shape, axis)
    attained = (_values(x) == _values(out).reshape(kept)).astype(x.dtype)
    return divide(attained, attained.sum(axis=axis, keepdims=True)) * reshape(g, kept)


max = primitive(_max, _extreme_vjp)  # noqa: A001
min = primitive(_min, _extreme_vjp)  # noqa: A001


def _refuse_nothing(operation: str, x: Array, axis: Axis) -> None:
    if _count(x.shape, axis) == 0:
        raise ShapeError(
            f"{operation}: nothing to reduce, shape {x.shape} along axis {axis} is empty; check for empty arrays first"
        )


# ---- products ----


def _prod(x, /, axis: Axis = None, keepdims: bool = False):
    """The product along axes; its derivative is exact with zeros among the factors."""
    return np.prod(x, axis=axis, keepdims=keepdims)


def _prod_vjp(g, out, x, axis, keepdims):
    # d prod(x) = sum_i (prod_{j != i} x_j) dx_i: no division, which would fail at 0
    return reshape(g, _kept(x.shape, axis)) * product_of_others(x, axis)


prod = primitive(_prod, _prod_vjp)


def _product_of_others(x, /, axis: Axis = None):
    """For each element, the product of all others along axes: one running product from each end."""
    last, restore = _axes_last(x, axis)
    ahead, behind = np.ones_like(last), np.ones_like(last)
    np.cumprod(last[..., :-1], axis=-1, out=ahead[..., 1:])
    np.cumprod(last[..., :0:-1], axis=-1, out=behind[..., -2::-1])
    return restore(ahead * behind)


def _product_of_others_vjp(g, out, x, axis):
    # d prod_{j != i} x_j = sum_{k != i} (prod_{j != i, k} x_j) dx_k
    last, restore = _axes_last(x, axis)
    n = last.shape[-1]
    others = where(np.eye(n, dtype=bool), 1.0, reshape(last, (*last.shape[:-1], 1, n)))
    pairs = where(np.eye(n, dtype=bool), 0.0, product_of_others(others, -1))
    return restore(sum(pairs * reshape(_axes_last(g, axis)[0], (*last.shape, 1)), -2))


product_of_others = primitive(_product_of_others, _product_of_others_vjp)


def _axes_last(x, axis: Axis):
    """The reduced axes as one last axis, and the function that puts them back."""
    axes = tuple(range(x.ndim)) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, x.ndim)
    order = tuple(i for i in range(x.ndim) if i not in axes) + tuple(axes)
    moved = transpose(x, order)
    flat = reshape(moved, (*moved.shape[: x.ndim - len(axes)], _count(x.shape, axes)))
    return flat, lambda y: transpose(reshape(y, moved.shape), tuple(np.argsort(order)))


def _cumsum(x, /, axis: int | None = None):
    """The running sum along an axis, or of the flattened array."""
    return np.cumsum(x, axis=axis)


def _cumsum_vjp(g, out, x, axis):
    # out_i = sum_{j <= i} x_j, so x_j's cotangent is sum_{i >= j} g_i
    a = 0 if axis is None else axis
    return reshape(flip(cumsum(flip(g, a), a), a), x.shape)


cumsum = primitive(_cumsum, _cumsum_vjp)


# ---- log-sum-exp and its kin ----


def _shift(x: Array, axis: Axis) -> Array:
    """The largest value along axes, where it is finite: what to subtract so that exp does not overflow."""
    largest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(largest), largest, 0).astype(x.dtype)


def _logsumexp(x, /, axis: Axis = None, keepdims: bool = False):
    """log(sum(exp(x))) along axes, without overflow; -inf, with zero gradient, where all are -inf."""
    shift = _shift(x, axis)
    total = np.sum(kernels.exp(x - shift), axis=axis, keepdims=True)
    out = kernels.log(total) + shift
    return out if keepdims else out.reshape(_dropped(x.shape, axis))


def _logsumexp_vjp(g, out, x, axis, keepdims):
    # d logsumexp(x) = softmax(x) . dx
    kept = _kept(x.shape, axis)
    out = reshape(out, kept)
    nothing = _values(out) == -np.inf
    return reshape(g, kept) * exp(x - where(nothing, 0.0, out))


logsumexp = primitive(_logsumexp, _logsumexp_vjp)


def _softmax(x, /, axis: Axis = -1):
    """exp(x) / sum(exp(x)) along axes."""
    weights = kernels.exp(x - _shift(x, axis))
    return weights / np.sum(weights, axis=axis, keepdims=True)


def _softmax_vjp(g, out, x, axis):
    # d s = s (dx - s . dx)
    return out * (g - sum(multiply(g, out), axis, True))


softmax = primitive(_softmax, _softmax_vjp)


def _log_softmax(x, /, axis: Axis = -1):
    """x - logsumexp(x) along axes."""
    return x - _logsumexp(x, axis, True)


def _log_softmax_vjp(g, out, x, axis):
    # d log s = dx - s . dx
    return g - exp(out) * sum(g, axis, True)


log_softmax = primitive(_log_softmax, _log_softmax_vjp)
