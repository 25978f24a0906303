"""Products of matrices and tensors, and triangular matrices."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

import minivae_kernels as kernels
from minivae.errors import ShapeError
from minivae.ops.elementwise import floating, where
from minivae.ops.shapes import expand_dims, reshape, swapaxes
from minivae.tensor import Array, Value, primitive, unbroadcast

__all__ = [
    "einsum", "inverse_triangular", "matmul", "positive_diagonal", "solve_triangular", "tril",
    "triu",
]  # fmt: skip


_LONG = 4096  # from here on, products of vectors and batches go to the kernel
_FEW = 256  # products that einsum may add up in float32 one after the other


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
    if x.dtype.char == y.dtype.char == "f" and x.shape[-1] > _LONG:
        return _long_matmul(x, y)
    out = np.matmul(x, y)
    if out.dtype.kind != "f":  # integers are computed with as float64, so that none wraps around
        out = np.matmul(floating(x), floating(y))
    return np.asarray(out)


def _long_matmul(x: Array, y: Array) -> Array:
    """The product of float32 vectors or batches by the kernel, whose long sums keep their digits.

    The libraries behind NumPy add up a vector's products in a few running totals.
    """
    x2 = x[None] if x.ndim == 1 else x
    y2 = y[:, None] if y.ndim == 1 else y
    lead = np.broadcast_shapes(x2.shape[:-2], y2.shape[:-2])
    out = np.empty((*lead, x2.shape[-2], y2.shape[-1]), x.dtype)
    x2, y2 = (np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in (x2, y2))
    for i in np.ndindex(lead):
        out[i] = kernels.matmul(x2[i], y2[i])
    out = out[..., 0] if y.ndim == 1 else out
    return out if x.ndim > 1 else out[..., 0, :] if y.ndim > 1 else out[..., 0]


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
    names, _, output = subscripts.partition("->")
    dtype = np.result_type(*operands)
    if dtype != np.float64 and (dtype.kind != "f" or _terms(names, output, operands) > _FEW):
        # integers would wrap around, and NumPy adds long sums of float32 in single file
        wide = [np.asarray(x, np.float64) for x in operands]
        out = np.einsum(subscripts, *wide, optimize=True)
        return np.asarray(out, dtype if dtype.kind == "f" else np.float64)
    return np.asarray(np.einsum(subscripts, *operands, optimize=len(operands) > 2))


def _terms(names: str, output: str, operands: Sequence[Array]) -> int:
    """How many products are added up in each number of the result."""
    lengths: dict[str, int] = {}
    for text, x in zip(names.split(","), operands, strict=True):
        for name, n in zip(text, x.shape, strict=True):
            lengths[name] = max(n, lengths.get(name, 1))
    return math.prod(n for name, n in lengths.items() if name not in output)


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


# ---- triangular matrices ----


def _tril(x: Array, /, k: int = 0) -> Array:
    """The lower triangles of matrices ``(..., M, N)`` up to the k-th diagonal; zeros above."""
    return np.tril(x, k)


def _tril_vjp(g: Value, out: Value, x: Value, k: int) -> Value:
    return tril(g, k)


tril = primitive(_tril, _tril_vjp)


def _triu(x: Array, /, k: int = 0) -> Array:
    """The upper triangles of matrices ``(..., M, N)`` from the k-th diagonal; zeros below."""
    return np.triu(x, k)


def _triu_vjp(g: Value, out: Value, x: Value, k: int) -> Value:
    return triu(g, k)


triu = primitive(_triu, _triu_vjp)


def _positive_diagonal(x: Array, /) -> Array:
    """Matrices ``(..., K, K)`` with the exponentials of their diagonals in the diagonals' places.

    With :func:`tril` it makes any numbers the factor L of a covariance L L^T, which has no other
    such factor: the diagonal of a Cholesky factor is positive.
    """
    out, i = np.array(floating(x)), np.arange(_side("positive_diagonal", x))
    out[..., i, i] = np.exp(out[..., i, i])
    return out


def _positive_diagonal_vjp(g: Value, out: Value, x: Value) -> Value:
    # dy_ij = dx_ij beside the diagonal, and dy_ii = y_ii dx_ii on it
    return g * where(np.eye(x.shape[-1], dtype=bool), out, 1.0)


positive_diagonal = primitive(_positive_diagonal, _positive_diagonal_vjp)


def _solve_triangular(a: Array, b: Array, /, trans: int = 0, lower: bool = False) -> Array:
    """The solution x of A x = b, or of A^T x = b, for triangular matrices A.

    Parameters
    ----------
    a
        A, of shape ``(..., K, K)``. Its other triangle is not looked at, and a zero on its
        diagonal gives infinities.
    b
        Of shape ``(..., K, N)``, or ``(K,)``; the axes in front broadcast.
    trans
        0 for A x = b, 1 for A^T x = b.
    lower
        Whether A is the lower triangle of ``a``, or the upper.
    """
    K = _side("solve_triangular", a)
    if np.ndim(b) == 0 or np.shape(b)[-min(2, np.ndim(b))] != K:
        raise ShapeError(
            f"solve_triangular: shapes {np.shape(a)} and {np.shape(b)} do not fit: matrices "
            "(..., K, K) need right-hand sides (..., K, N) or one vector (K,)"
        )
    a = np.swapaxes(a, -1, -2) if trans else a
    x = b[:, None] if b.ndim == 1 else b
    if lower == bool(trans):  # from the last equation to the first
        a, x = a[..., ::-1, ::-1], x[..., ::-1, :]
    # The matrices' own axes come first, so that each line below works on all matrices at once.
    lead = np.broadcast_shapes(a.shape[:-2], x.shape[:-2])
    L = np.moveaxis(a, (-2, -1), (0, 1))
    L = L.reshape(K, K, *[1] * (len(lead) - a.ndim + 2), *a.shape[:-2], 1)
    x = np.moveaxis(np.broadcast_to(x, (*lead, *x.shape[-2:])), -2, 0)
    x = np.array(x, np.result_type(floating(a), floating(b)))
    for i in range(K):  # x_i = (b_i - sum_{j < i} L_ij x_j) / L_ii
        x[i] /= L[i, i]
        x[i + 1 :] -= L[i + 1 :, i] * x[i]
    x = np.moveaxis(x, 0, -2)
    x = x[..., ::-1, :] if lower == bool(trans) else x
    return x[..., 0] if b.ndim == 1 else x


def _solve_triangular_vjp(
    g: Value,
    out: Value,
    a: Value,
    b: Value,
    trans: int,
    lower: bool,
    wanted: Sequence[bool] = (True, True),
) -> Value:
    # A dx = db - dA x, so b gets A^-T g and A gets -(A^-T g) x^T, in its own triangle
    column = b.ndim == 1
    g, x = (expand_dims(g, -1), expand_dims(out, -1)) if column else (g, out)
    gb = solve_triangular(a, g, 1 - trans, lower)
    ga = None
    if wanted[0]:
        left, right = (x, gb) if trans else (gb, x)
        own = tril if lower else triu
        ga = -unbroadcast(own(matmul(left, swapaxes(right, -1, -2))), a.shape)
    return ga, reshape(unbroadcast(gb, (*b.shape, 1) if column else b.shape), b.shape)


solve_triangular = primitive(_solve_triangular, _solve_triangular_vjp)


def inverse_triangular(a: Any, lower: bool = False) -> Any:
    """The inverses of triangular matrices ``(..., K, K)``; the other triangle is not looked at.

    For a few matrices and many right-hand sides, a product with the inverse is faster than
    ``solve_triangular``.
    """
    eye = np.eye(_side("inverse_triangular", a), dtype=getattr(a, "dtype", None))
    return solve_triangular(a, eye, 0, lower)


def _side(operation: str, a: Any) -> int:
    """The number of rows of square matrices."""
    shape: tuple[int, ...] = np.shape(a)
    if len(shape) < 2 or shape[-2] != shape[-1]:
        raise ShapeError(f"{operation}: shape {shape} is not that of square matrices (..., K, K)")
    return shape[-1]
