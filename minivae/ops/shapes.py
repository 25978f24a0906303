"""Operations that move elements without changing them: a VJP here moves the cotangent back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivae.tensor import Tensor, primitive, unbroadcast

__all__ = [
    "broadcast_to", "concatenate", "expand_dims", "flip", "getitem", "reshape", "scatter_add", "squeeze", "stack",
    "swapaxes", "transpose",
]  # fmt: skip


def _reshape(x, /, shape: int | tuple[int, ...]):
    """The same elements in another shape."""
    return np.reshape(x, shape)


def _reshape_vjp(g, out, x, shape):
    return reshape(g, x.shape)


reshape = primitive(_reshape, _reshape_vjp)


def _transpose(x, /, axes: tuple[int, ...] | None = None):
    """The axes in another order; reversed if none is given."""
    return np.transpose(x, axes)


def _transpose_vjp(g, out, x, axes):
    # the inverse permutation
    return transpose(g, None if axes is None else tuple(int(i) for i in np.argsort([a % x.ndim for a in axes])))


transpose = primitive(_transpose, _transpose_vjp)


def _swapaxes(x, /, axis1: int, axis2: int):
    """Two axes exchanged."""
    return np.swapaxes(x, axis1, axis2)


def _swapaxes_vjp(g, out, x, axis1, axis2):
    return swapaxes(g, axis1, axis2)


swapaxes = primitive(_swapaxes, _swapaxes_vjp)


def _squeeze(x, /, axis: int | tuple[int, ...] | None = None):
    """Without axes of length 1."""
    return np.squeeze(x, axis)


def _squeeze_vjp(g, out, x, axis):
    return reshape(g, x.shape)


squeeze = primitive(_squeeze, _squeeze_vjp)


def _expand_dims(x, /, axis: int | tuple[int, ...]):
    """With new axes of length 1."""
    return np.expand_dims(x, axis)


def _expand_dims_vjp(g, out, x, axis):
    return reshape(g, x.shape)


expand_dims = primitive(_expand_dims, _expand_dims_vjp)


def _broadcast_to(x, /, shape: tuple[int, ...]):
    """Repeated along new axes and axes of length 1, without copying."""
    return np.broadcast_to(x, shape)


def _broadcast_to_vjp(g, out, x, shape):
    # each element was used many times: its cotangents add up
    return unbroadcast(g, x.shape)


broadcast_to = primitive(_broadcast_to, _broadcast_to_vjp)


def _flip(x, /, axis: int | tuple[int, ...] | None = None):
    """The elements along axes in reverse."""
    return np.flip(x, axis)


def _flip_vjp(g, out, x, axis):
    return flip(g, axis)


flip = primitive(_flip, _flip_vjp)


# ---- joining ----


def _join(*arrays, axis: int = 0):
    return np.concatenate(arrays, axis=axis)


def _join_vjp(g, out, *arrays, axis=0):
    # each array gets its own slice of the cotangent
    ends = np.cumsum([a.shape[axis] for a in arrays])
    before = (slice(None),) * (axis % g.ndim)
    return tuple(getitem(g, (*before, slice(int(end) - a.shape[axis], int(end)))) for a, end in zip(arrays, ends, strict=True))


_concatenate = primitive(_join, _join_vjp)


def concatenate(arrays: Sequence[Any], axis: int = 0):
    """Arrays joined along an axis they have."""
    return _concatenate(*arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0):
    """Arrays of one shape joined along a new axis."""
    return _concatenate(*[expand_dims(a, axis) for a in arrays], axis=axis)


# ---- indexing ----


def _freeze(index: Any) -> Any:
    """An index that nobody can change any more."""
    if isinstance(index, tuple):
        return tuple(_freeze(i) for i in index)
    if isinstance(index, Tensor):
        return index.data
    return np.array(index) if isinstance(index, list | np.ndarray) else index


def _getitem(x, /, index: Any):
    return x[index]


def _getitem_vjp(g, out, x, index):
    # an element that was picked several times adds up its cotangents
    return scatter_add(g, index, x.shape)


_getitem_primitive = primitive(_getitem, _getitem_vjp)


def getitem(x: Any, index: Any):
    """x[index]: basic, boolean or fancy, where a fancy index may repeat."""
    return _getitem_primitive(x, index=_freeze(index))


def _scatter_add(x, /, index: Any, shape: tuple[int, ...]):
    """Zeros of a shape with x added at an index: the adjoint of indexing."""
    out = np.zeros(shape, x.dtype)
    if _picks_once(index):
        out[index] = x
    else:
        np.add.at(out, index, x)
    return out


def _scatter_add_vjp(g, out, x, index, shape):
    return getitem(g, index)


scatter_add = primitive(_scatter_add, _scatter_add_vjp)


def _picks_once(index: Any) -> bool:
    """Whether an index is sure to pick each element at most once."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        p is None or p is Ellipsis or isinstance(p, int | np.integer | slice) or getattr(p, "dtype", None) == bool
        for p in parts
    )
