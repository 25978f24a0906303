"""Operations that move elements without changing them: a VJP here moves the cotangent back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from minivae.doors import refuse_masked
from minivae.errors import ShapeError
from minivae.tensor import Array, Value, primitive, unbroadcast, values

__all__ = [
    "broadcast_to", "concatenate", "diagonal", "expand_dims", "flip", "getitem", "reshape",
    "scatter_add", "squeeze", "stack", "swapaxes", "take_along_axis", "transpose",
]  # fmt: skip

Axes = int | tuple[int, ...] | None
Shape = int | tuple[int, ...]


def _reshape(x: Array, /, shape: Shape) -> Array:
    """The same elements in another shape."""
    return np.reshape(x, shape)


def _reshape_vjp(g: Value, out: Value, x: Value, shape: Shape) -> Value:
    return g.reshape(x.shape)


reshape = primitive(_reshape, _reshape_vjp, warns=False)


def _transpose(x: Array, /, axes: Sequence[int] | None = None) -> Array:
    """The axes in another order; reversed if none is given."""
    return np.transpose(x, axes)


def _transpose_vjp(g: Value, out: Value, x: Value, axes: Sequence[int] | None) -> Value:
    # the inverse permutation
    return transpose(g, None if axes is None else np.argsort([a % x.ndim for a in axes]))


transpose = primitive(_transpose, _transpose_vjp, warns=False)


def _swapaxes(x: Array, /, axis1: int, axis2: int) -> Array:
    """Two axes exchanged."""
    return np.swapaxes(x, axis1, axis2)


def _swapaxes_vjp(g: Value, out: Value, x: Value, axis1: int, axis2: int) -> Value:
    return swapaxes(g, axis1, axis2)


swapaxes = primitive(_swapaxes, _swapaxes_vjp, warns=False)


def _squeeze(x: Array, /, axis: Axes = None) -> Array:
    """Without axes of length 1."""
    return np.squeeze(x, axis)


def _squeeze_vjp(g: Value, out: Value, x: Value, axis: Axes) -> Value:
    return g.reshape(x.shape)


squeeze = primitive(_squeeze, _squeeze_vjp, warns=False)


def _expand_dims(x: Array, /, axis: Shape) -> Array:
    """With new axes of length 1."""
    return np.expand_dims(x, axis)


def _expand_dims_vjp(g: Value, out: Value, x: Value, axis: Shape) -> Value:
    return g.reshape(x.shape)


expand_dims = primitive(_expand_dims, _expand_dims_vjp, warns=False)


def _broadcast_to(x: Array, /, shape: Shape) -> Array:
    """Repeated along new axes and axes of length 1, without copying."""
    return np.broadcast_to(x, shape)


def _broadcast_to_vjp(g: Value, out: Value, x: Value, shape: Shape) -> Value:
    # each element was used many times: its cotangents add up
    return unbroadcast(g, x.shape)


broadcast_to = primitive(_broadcast_to, _broadcast_to_vjp)


def _flip(x: Array, /, axis: Axes = None) -> Array:
    """The elements along axes in reverse."""
    return np.flip(x, axis)


def _flip_vjp(g: Value, out: Value, x: Value, axis: Axes) -> Value:
    return flip(g, axis)


flip = primitive(_flip, _flip_vjp)


# ---- joining ----


def _concatenate_forward(*arrays: Array, axis: int) -> Array:
    return np.concatenate(arrays, axis=axis)


def _concatenate_vjp(g: Value, out: Value, *arrays: Value, axis: int) -> Value:
    # each array gets its own slice of the cotangent
    before = (slice(None),) * (axis % g.ndim)
    ends = np.cumsum([np.shape(a)[axis] for a in arrays]).tolist()
    return [g[(*before, slice(i, j))] for i, j in zip([0, *ends], ends, strict=False)]


_concatenate = primitive(_concatenate_forward, _concatenate_vjp)


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """Arrays joined along an axis they have; all flattened first if it is None."""
    if axis is None:
        return concatenate([reshape(a, -1) for a in arrays])
    return _concatenate(*arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis."""
    return _concatenate(*[expand_dims(a, axis) for a in arrays], axis=axis)


# ---- indexing ----


def _getitem_forward(x: Array, /, index: Any) -> Array:
    return np.asarray(x[index])


def _getitem_vjp(g: Value, out: Value, x: Value, index: Any) -> Value:
    # an element that was picked several times adds up its cotangents (Eq. AD.10)
    return _scatter_add(g, index, x.shape)


_getitem = primitive(_getitem_forward, _getitem_vjp)


def getitem(x: Any, index: Any) -> Any:
    """x[index]: basic, boolean or fancy, where a fancy index may repeat."""
    return _getitem(x, _frozen(index))


def _scatter_add_forward(x: Array, /, index: Any, shape: tuple[int, ...]) -> Array:
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    if _picks_once(index):
        out = np.zeros(shape, dtype)
        out[index] = x
        return out
    out = np.zeros(shape)  # sums, which integers would not hold, and float32 not to the last digits
    np.add.at(out, index, x.astype(np.float64, copy=False))
    return out.astype(dtype, copy=False)


def _scatter_add_vjp(g: Value, out: Value, x: Value, index: Any, shape: tuple[int, ...]) -> Value:
    return _getitem(g, index)


_scatter_add = primitive(_scatter_add_forward, _scatter_add_vjp)


def scatter_add(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of a shape with x added at an index: the adjoint of indexing."""
    return _scatter_add(x, _frozen(index), shape)


def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Any:
    """The elements of x at ``indices`` along an axis: along each line, those at its own places.

    ``take_along_axis(log_probs, labels[:, None])[:, 0]`` picks the number of each row's label.

    Parameters
    ----------
    x
        Of any shape.
    indices
        Whole numbers; as many axes as x, which broadcast with x's but along ``axis``.
    """
    refuse_masked("take_along_axis", indices)
    indices, shape = np.asanyarray(values(indices)), np.shape(x)
    if indices.ndim != len(shape):
        raise ShapeError(
            f"take_along_axis: indices of shape {indices.shape} for x of shape {shape} must have "
            "as many axes; give them one of length 1, as in labels[:, None]"
        )
    axis = normalize_axis_index(axis, len(shape))
    # every axis is indexed: the chosen one by the indices, the others by the place itself
    index = list(np.ogrid[tuple(map(slice, shape))])
    index[axis] = indices
    return getitem(x, tuple(index))


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements x[..., i, i + offset] of two axes, along a new last one."""
    axis1, axis2 = (normalize_axis_index(a, np.ndim(x)) for a in (axis1, axis2))
    others = [a for a in range(np.ndim(x)) if a not in (axis1, axis2)]
    moved = transpose(x, (*others, axis1, axis2))
    i = np.arange(max(min(moved.shape[-2] + min(offset, 0), moved.shape[-1] - max(offset, 0)), 0))
    return moved[..., i - min(offset, 0), i + max(offset, 0)]


def _frozen(index: Any) -> Any:
    """An index that nobody can change any more."""
    refuse_masked("getitem", index)
    if isinstance(index, tuple):
        return tuple(_frozen(i) for i in index)
    if isinstance(index, list):
        return np.array(index) if index else np.array(index, np.intp)
    return index.copy() if isinstance(index, np.ndarray) else values(index)


def _picks_once(index: Any) -> bool:
    """Whether an index is sure to pick each element at most once."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, int | np.integer | np.bool_ | slice)
        or (isinstance(part, np.ndarray) and part.dtype.kind == "b")
        for part in parts
    )
