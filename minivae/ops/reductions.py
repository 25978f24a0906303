"""Operations that reduce along axes: sums, moments, extremes, products, log-sum-exp.

``axis`` is None (all axes), an int or a tuple; negative ones count from the end, as in NumPy;
``axis=()`` reduces nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

import minivae_kernels as kernels
from minivae.errors import ShapeError
from minivae.ops.elementwise import divide, exp, floating, multiply, where
from minivae.ops.shapes import broadcast_to, flip, reshape, transpose
from minivae.ops.sums import running, total
from minivae.tensor import Array, Value, primitive, values
from minivae_kernels import sums

__all__ = [
    "cumsum", "log_softmax", "logsumexp", "max", "mean", "min", "norm", "prod", "softmax", "std",
    "sum", "var",
]  # fmt: skip

Axis = int | tuple[int, ...] | None
Shape = tuple[int, ...]

_FEW = 1024  # numbers, as in a minibatch, which NumPy takes longer to begin than to add


def _axes(shape: Shape, axis: Axis) -> tuple[int, ...]:
    """The axes to reduce, counted from the front."""
    return tuple(range(len(shape))) if axis is None else normalize_axis_tuple(axis, len(shape))


def _kept(shape: Shape, axis: Axis) -> Shape:
    """The shape a reduction has with ``keepdims=True``."""
    axes = _axes(shape, axis)
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _squeezed(x: Array, shape: Shape, axis: Axis, keepdims: bool) -> Array:
    """A reduction of something of this shape, from the one with ``keepdims=True``."""
    axes = _axes(shape, axis)
    return x if keepdims else x.reshape([n for i, n in enumerate(shape) if i not in axes])


def _count(shape: Shape, axis: Axis) -> int:
    """How many numbers go into each result."""
    return math.prod([shape[i] for i in _axes(shape, axis)])


# ---- sums and moments ----


def _sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum along axes."""
    return total(floating(x), axis, keepdims)


def _sum_vjp(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    # d sum(x) = sum(dx): every element gets the cotangent of its sum
    return broadcast_to(g.reshape(_kept(x.shape, axis)), x.shape)


sum = primitive(_sum, _sum_vjp)


@np.errstate(all="ignore")
def _mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean along axes; NaN of nothing."""
    whole = axis is None and not keepdims and x.ndim == 1
    if whole and 0 < x.size <= _FEW and x.dtype.char in "fd":
        return sums.mean(x)
    return np.asarray(total(floating(x), axis, keepdims) / _count(x.shape, axis))


def _mean_vjp(g: Array, out: Array, x: Array, axis: Axis, keepdims: bool) -> Array:
    # d mean(x) = sum(dx) / n
    spread = np.empty(x.shape, x.dtype)
    spread[...] = g.reshape(_kept(x.shape, axis)) / _count(x.shape, axis)
    return spread


def _mean_composed(x: Value, axis: Axis, keepdims: bool) -> Value:
    return divide(sum(x, axis, keepdims), _count(x.shape, axis))


mean = primitive(_mean, _mean_vjp, composed=_mean_composed)


def _var(x: Array, /, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Array:
    """The variance along axes, the sum of squares divided by n - ddof."""
    squares = total(np.square(x - _mean(x, axis, True)), axis, keepdims)
    n = _count(x.shape, axis) - ddof
    return np.asarray(np.divide(squares, n if n > 0 else 0))


def _var_vjp(g: Value, out: Value, x: Value, axis: Axis, ddof: int, keepdims: bool) -> Value:
    # d var(x) = 2 (x - mean) dx / (n - ddof); the mean's share is zero, for sum(x - mean) = 0
    n = _count(x.shape, axis) - ddof
    g = reshape(divide(2.0 * g, n if n > 0 else 0), _kept(x.shape, axis))
    return g * (x - mean(x, axis, True))


var = primitive(_var, _var_vjp)


def _std(x: Array, /, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Array:
    """The standard deviation along axes; its derivative is taken as 0 where all are equal."""
    return np.asarray(np.sqrt(_var(x, axis, ddof, keepdims)))


def _std_vjp(g: Value, out: Value, x: Value, axis: Axis, ddof: int, keepdims: bool) -> Value:
    # d sqrt(v) = dv / (2 sqrt(v))
    flat = np.equal(values(out), 0)
    g = where(flat, 0.0, divide(0.5 * g, where(flat, 1.0, out)))
    return _var_vjp(g, out, x, axis, ddof, keepdims)


std = primitive(_std, _std_vjp)


def _norm(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The Euclidean norm along axes, without overflow; its derivative at 0 is taken as 0."""
    scale = np.max(np.abs(x), axis=_axes(x.shape, axis), keepdims=True, initial=0)
    scale = np.where((scale == 0) | ~np.isfinite(scale), 1, scale)
    squares = np.square(x / scale)
    length = scale * np.sqrt(total(squares, axis, True))
    return _squeezed(length, x.shape, axis, keepdims)


def _norm_vjp(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    # d |x| = x . dx / |x|
    kept = _kept(x.shape, axis)
    g, out = reshape(g, kept), reshape(out, kept)
    zero = np.equal(values(out), 0)
    return g * (where(zero, 0.0, x) / where(zero, 1.0, out))


norm = primitive(_norm, _norm_vjp)


# ---- extremes ----


def _max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest value along axes; ties share the cotangent evenly."""
    _refuse_nothing("max", x, axis)
    return np.asarray(np.max(x, axis=axis, keepdims=keepdims))


def _min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest value along axes; ties share the cotangent evenly."""
    _refuse_nothing("min", x, axis)
    return np.asarray(np.min(x, axis=axis, keepdims=keepdims))


def _extreme_vjp(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    # d max(x) = mean of dx over the elements that attain it
    kept = _kept(x.shape, axis)
    attained = np.equal(values(x), values(out).reshape(kept)).astype(x.dtype)
    share = divide(attained, total(attained, axis, True))
    return share * reshape(g, kept)


max = primitive(_max, _extreme_vjp)
min = primitive(_min, _extreme_vjp)


def _refuse_nothing(operation: str, x: Array, axis: Axis) -> None:
    if _count(x.shape, axis) == 0:
        raise ShapeError(
            f"{operation}: an array of shape {x.shape} has no {operation} along axis {axis}; "
            "check for empty arrays first"
        )


# ---- products ----


def _prod(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The product along axes; its derivative is exact with zeros among the factors."""
    return np.asarray(np.prod(floating(x), axis=axis, keepdims=keepdims))


def _prod_vjp(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    # d prod(x) = sum_i (prod_{j != i} x_j) dx_i (Eq. AD.9): no division, which would fail at 0
    return reshape(g, _kept(x.shape, axis)) * product_of_others(x, axis)


prod = primitive(_prod, _prod_vjp)


def _product_of_others(x: Array, /, axis: Axis = None) -> Array:
    """For each element, the product of all others along axes: one running product from each end."""
    last, restore = _axes_last(x, axis)
    ahead, behind = np.ones_like(last), np.ones_like(last)
    np.cumprod(last[..., :-1], axis=-1, out=ahead[..., 1:])
    np.cumprod(last[..., :0:-1], axis=-1, out=behind[..., -2::-1])
    return np.asarray(restore(ahead * behind))


def _product_of_others_vjp(g: Value, out: Value, x: Value, axis: Axis) -> Value:
    # d prod_{j != i} x_j = sum_{k != i} (prod_{j != i, k} x_j) dx_k
    last, restore = _axes_last(x, axis)
    n = last.shape[-1]
    itself = np.eye(n, dtype=bool)
    others = where(itself, 1.0, reshape(last, (*last.shape[:-1], 1, n)))
    pairs = where(itself, 0.0, product_of_others(others, -1))
    return restore(sum(pairs * reshape(_axes_last(g, axis)[0], (*last.shape, 1)), -2))


product_of_others = primitive(_product_of_others, _product_of_others_vjp)


def _axes_last(x: Value, axis: Axis) -> tuple[Value, Callable[[Value], Value]]:
    """The reduced axes as one last axis, and the function that puts them back."""
    axes = _axes(x.shape, axis)
    order = tuple(i for i in range(x.ndim) if i not in axes) + axes
    moved = transpose(x, order)
    flat = reshape(moved, (*moved.shape[: x.ndim - len(axes)], _count(x.shape, axis)))
    return flat, lambda y: transpose(reshape(y, moved.shape), np.argsort(order))


def _cumsum(x: Array, /, axis: int | None = None) -> Array:
    """The running sum along an axis, or of the flattened array."""
    return running(floating(x), axis)


def _cumsum_vjp(g: Value, out: Value, x: Value, axis: int | None) -> Value:
    # out_i = sum_{j <= i} x_j, so x_j's cotangent is sum_{i >= j} g_i
    a = 0 if axis is None else axis
    return reshape(flip(cumsum(flip(g, a), a), a), x.shape)


cumsum = primitive(_cumsum, _cumsum_vjp)


# ---- log-sum-exp and its kin ----


def _shift(x: Array, axis: Axis) -> Array:
    """The largest value along axes, where it is finite: subtracted, exp does not overflow."""
    largest = np.max(x, axis=_axes(x.shape, axis), keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(largest), largest, 0)


def _logsumexp(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) along axes, without overflow; where all are -inf, -inf with gradient 0."""
    x = floating(x)
    shift = _shift(x, axis)
    mass = total(kernels.exp(x - shift), axis, True)
    return _squeezed(kernels.log(mass) + shift, x.shape, axis, keepdims)


def _logsumexp_vjp(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    # d logsumexp(x) = softmax(x) . dx (Eq. AD.7)
    kept = _kept(x.shape, axis)
    nothing = np.equal(values(out), -np.inf).reshape(kept)
    return reshape(g, kept) * where(nothing, 0.0, softmax(where(nothing, 0.0, x), axis))


logsumexp = primitive(_logsumexp, _logsumexp_vjp)


def _softmax(x: Array, /, axis: Axis = -1) -> Array:
    """exp(x) / sum(exp(x)) along axes."""
    x = floating(x)
    weights = kernels.exp(x - _shift(x, axis))
    return weights / total(weights, axis, True)


def _softmax_vjp(g: Value, out: Value, x: Value, axis: Axis) -> Value:
    # d s = s (dx - s . dx) (Eq. AD.8)
    return out * (g - sum(multiply(g, out), axis, True))


softmax = primitive(_softmax, _softmax_vjp)


def _log_softmax(x: Array, /, axis: Axis = -1) -> Array:
    """x - logsumexp(x) along axes."""
    shifted = floating(x) - _shift(floating(x), axis)
    return shifted - kernels.log(total(kernels.exp(shifted), axis, True))


def _log_softmax_vjp(g: Value, out: Value, x: Value, axis: Axis) -> Value:
    # d log s = dx - s . dx
    return g - exp(out) * sum(g, axis, True)


log_softmax = primitive(_log_softmax, _log_softmax_vjp)
