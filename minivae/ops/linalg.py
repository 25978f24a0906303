"""Products of matrices and tensors."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

import minivae_kernels as kernels
from minivae.errors import ShapeError
from minivae.ops.shapes import expand_dims, reshape, swapaxes
from minivae.tensor import Array, Value, primitive, unbroadcast

__all__ = ["einsum", "matmul"]


def _matmul(x: Array, y: Array, /) -> Array:
    """x @ y by NumPy's rules: vectors are rows or columns, leading axes broadcast."""
    a, b = np.shape(x), np.shape(y)
    if not a or not b or a[-1] != b[-min(2, len(b))]:
        raise ShapeError(
            f"matmul: shapes {a} @ {b} do not fit: the last axis of the first must equal the last "
            "but one of the second (the only one of a vector); is one of them transposed?"
        )
    if x.ndim == y.ndim == 2 and x.dtype == y.dtype and x.dtype.kind == "f":
        return kernels.matmul(x, y)
    return np.asarray(np.matmul(x, y))


def _matmul_vjp(
    g: Value, out: Value, x: Value, y: Value, wanted: Sequence[bool] = (True, True)
) -> Value:
    # d(X Y) = dX Y + X dY, so X gets G Y^T and Y gets X^T G (Eq. AD.6); a vector is made a matrix
    row, column = x.ndim == 1, y.ndim == 1
    x2 = expand_dims(x, 0) if row else x
    y2 = expand_dims(y, 1) if column else y
    g = expand_dims(g, -1) if column else g
    g = expand_dims(g, -2) if row else g
    gx = gy = None
    if wanted[0]:
        gx = unbroadcast(matmul(g, swapaxes(y2, -1, -2)), x2.shape)
        gx = reshape(gx, x.shape) if row else gx
    if wanted[1]:
        gy = unbroadcast(matmul(swapaxes(x2, -1, -2), g), y2.shape)
        gy = reshape(gy, y.shape) if column else gy
    return gx, gy


matmul = primitive(_matmul, _matmul_vjp)


# ---- einsum ----


def einsum(subscripts: str, *operands: Any) -> Any:
    """Sums of products over named axes, in Einstein's notation.

    Parameters
    ----------
    subscripts
        As in NumPy, with an ellipsis, repeated names and an implicit output allowed.
    operands
        Arrays or tensors, one for each group of names.

    Raises
    ------
    ShapeError
        If the names do not fit the operands.
    """
    return _einsum(*operands, subscripts=_explicit(subscripts, operands))


def _einsum_forward(*operands: Array, subscripts: str) -> Array:
    return np.asarray(np.einsum(subscripts, *operands, optimize=len(operands) > 2))


def _einsum_vjp(
    g: Value, out: Value, *operands: Value, subscripts: str, wanted: Sequence[bool] | None = None
) -> Value:
    # out = a sum of products: each factor gets the cotangent times the other factors
    names, _, output = subscripts.partition("->")
    factors = [*zip(names.split(","), operands, strict=True)]
    return [
        _einsum_cotangent(name, x, [(output, g), *factors[:k], *factors[k + 1 :]])
        if wanted is None or wanted[k]
        else None
        for k, (name, x) in enumerate(factors)
    ]


def _einsum_cotangent(names: str, x: Value, factors: list[tuple[str, Value]]) -> Value:
    """The cotangent of the operand ``x`` with these names, given all other factors."""
    free = iter(sorted(set(string.ascii_letters) - set(names).union(*(n for n, _ in factors))))
    target = ""
    for name, size in zip(names, x.shape, strict=True):
        if name in target:  # a diagonal was taken: only the diagonal gets a cotangent
            other = next(free)
            factors.append((name + other, np.eye(size, dtype=x.dtype)))
            name = other
        elif all(np.shape(f)[n.index(name)] == 1 for n, f in factors if name in n):
            # an axis that only x has was summed: every element along it gets the same
            factors.append((name, np.ones(size, x.dtype)))
        target += name
    equation = ",".join(n for n, _ in factors) + "->" + target
    return unbroadcast(einsum(equation, *(f for _, f in factors)), x.shape)


_einsum = primitive(_einsum_forward, _einsum_vjp)


def _explicit(subscripts: str, operands: Sequence[Any]) -> str:
    """The subscripts with every axis named and the output spelt out."""
    if not isinstance(subscripts, str):
        raise TypeError('einsum: the subscripts come first, as in einsum("ij,jk->ik", x, y)')
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    groups = inputs.split(",")
    if len(groups) != len(operands):
        raise ShapeError(
            f"einsum: {subscripts!r} names {len(groups)} operands, {len(operands)} were given"
        )
    widths = [np.ndim(x) - len(n.replace("...", "")) for n, x in zip(groups, operands, strict=True)]
    for names, x, width in zip(groups, operands, widths, strict=True):
        if width < 0 or (width > 0 and "..." not in names):
            raise ShapeError(
                f"einsum: {names!r} in {subscripts!r} does not fit an operand of shape "
                f"{np.shape(x)}"
            )
    # the axes under an ellipsis get names too, aligned at the last
    free = [c for c in string.ascii_letters if c not in text]
    hidden = "".join(free[: max(widths)])
    groups = [
        n.replace("...", hidden[len(hidden) - w :]) for n, w in zip(groups, widths, strict=True)
    ]
    if not arrow:
        joined = "".join(groups)
        once = sorted(c for c in set(joined) - set(hidden) if joined.count(c) == 1)
        output = hidden + "".join(once)
    return ",".join(groups) + "->" + output.replace("...", hidden)
