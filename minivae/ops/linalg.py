"""Products of matrices and tensors."""

from __future__ import annotations

import string
from typing import Any

import minivae_kernels as kernels
import numpy as np

from minivae.errors import ShapeError
from minivae.ops.shapes import expand_dims, reshape, swapaxes
from minivae.tensor import primitive, unbroadcast

__all__ = ["einsum", "matmul"]


def _matmul(x, y, /):
    """x @ y by NumPy's rules: vectors are rows or columns, leading axes broadcast."""
    if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[-min(2, y.ndim)]:
        raise ShapeError(
            f"matmul: shapes {x.shape} @ {y.shape} do not fit: the last axis of the first must equal the last axis "
            "but one of the second (the only one of a vector); is one of them transposed?"
        )
    if x.ndim == y.ndim == 2 and x.dtype.kind == "f" and y.dtype.kind == "f":
        return kernels.matmul(x, y)
    return np.matmul(x, y)


def _matmul_vjp(g, out, x, y, wanted=(True, True)):
    # d(X Y) = dX Y + X dY, so X gets G Y^T and Y gets X^T G; a vector is made a matrix first
    row, column = x.ndim == 1, y.ndim == 1
    x2 = expand_dims(x, 0) if row else x
    y2 = expand_dims(y, 1) if column else y
    g = expand_dims(g, -1) if column else g
    g = expand_dims(g, -2) if row else g
    gx = gy = None
    if wanted[0]:
        gx = matmul(g, swapaxes(y2, -1, -2))
        gx = reshape(unbroadcast(gx, x2.shape), x.shape)
    if wanted[1]:
        gy = matmul(swapaxes(x2, -1, -2), g)
        gy = reshape(unbroadcast(gy, y2.shape), y.shape)
    return gx, gy


matmul = primitive(_matmul, _matmul_vjp)


# ---- einsum ----


def einsum(subscripts: str, *operands: Any):
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
    return _einsum_primitive(*operands, subscripts=_explicit(subscripts, operands))


def _einsum(*operands, subscripts: str):
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2)


def _einsum_vjp(g, out, *operands, subscripts, wanted=None):
    # out_o = sum over the other names of a product: each factor gets the cotangent times the other factors
    inputs, output = subscripts.split("->")
    names = inputs.split(",")
    cotangents = []
    for k, x in enumerate(operands):
        if wanted is not None and not wanted[k]:
            cotangents.append(None)
            continue
        factors = [(output, g)] + [(names[j], operands[j]) for j in range(len(operands)) if j != k]
        target = ""
        for i, name in enumerate(names[k]):
            if name in target:  # a diagonal was taken: only the diagonal gets a cotangent
                other = next(c for c in string.ascii_letters if c not in subscripts + target)
                factors.append((name + other, np.eye(x.shape[i])))
                target += other
            else:
                target += name
        for i, name in enumerate(target):  # an axis summed away on its own: every element gets the same
            if not any(name in n for n, _ in factors):
                factors.append((name, np.ones(x.shape[i])))
        equation = ",".join(n for n, _ in factors) + "->" + target
        cotangents.append(unbroadcast(einsum(equation, *(f for _, f in factors)), x.shape))
    return tuple(cotangents)


_einsum_primitive = primitive(_einsum, _einsum_vjp)


def _explicit(subscripts: str, operands: tuple[Any, ...]) -> str:
    """The subscripts with every axis named and the output spelt out."""
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    names = inputs.split(",")
    if len(names) != len(operands):
        raise ShapeError(f"einsum: {subscripts!r} names {len(names)} operands, {len(operands)} were given")
    free = [c for c in string.ascii_letters if c not in text]
    widths = [np.ndim(x) - len(n.replace("...", "")) for n, x in zip(names, operands, strict=True)]
    for n, x, width in zip(names, operands, widths, strict=True):
        if width < 0 or (width > 0 and "..." not in n):
            raise ShapeError(f"einsum: {n!r} in {subscripts!r} does not fit an operand of shape {np.shape(x)}")
    widest = max((w for n, w in zip(names, widths, strict=True) if "..." in n), default=0)
    hidden = "".join(free[:widest])
    names = [n.replace("...", hidden[widest - w :]) for n, w in zip(names, widths, strict=True)]
    if not arrow:
        joined = "".join(names)
        output = hidden + "".join(sorted(c for c in set(joined) - set(hidden) if joined.count(c) == 1))
    return ",".join(names) + "->" + output.replace("...", hidden)
