"""The compiled passes of Gaussian mixtures.

A pass goes block by block through the rows. A block is turned on its side, so that each loop runs
along the rows and becomes vector instructions. For each component the block is centred about the
component's own mean: a shift common to all would lose the digits of a cluster far from it. From
the log-densities come the responsibilities, by a log-sum-exp, and at once their sums.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minivae_kernels._blocks import BLOCK, STRIDE, turn, workspace
from minivae_kernels._jit import block_kernel, inner, summing_inner
from minivae_kernels._loops import _exp_below, _log
from minivae_kernels.registers import add_squares, grow, grow_by, lanes, sums, tile_of, write_rows

Array = npt.NDArray[np.float64]

_ONE = lanes(8)  # numbers in a register
_row, _four_rows, _three_by_three = tile_of(1, 3), tile_of(4, 3), tile_of(3, 3)


# Loops along the rows of one block -------------------------------------------------------------
#
# A block holds `n` rows turned on their side: x[i, r] is feature i of row r.


@inner
def _squared_length(x: Array, n: int, mean: Array, U: Array, z: Array, out: Array) -> None:
    """Write |U^T (x_r - mean)|^2 for the columns x_r.

    A product of matrices that is not written: of its tiles, four rows of three registers, only the
    squares are added up.
    """
    D = mean.size
    for i in range(D):
        source, to, shift = x[i], z[i], mean[i]
        for r in range(n):
            to[r] = source[r] - shift
    stride, last = np.uintp(z.shape[1]), np.uintp(3)
    for r in range(0, n, 3 * _ONE):
        total = _row(z)
        for j in range(0, D, 4):
            tile, at = _four_rows(z), np.uintp(r)
            for i in range(np.uintp(min(j + 4, D))):
                tile = grow(tile, U.T, np.uintp(j), last, i, z, at)
                at += stride
            total = add_squares(total, tile)
        write_rows(total, out, np.uintp(r), np.uintp(0), stride)


@inner
def _scaled_length(x: Array, n: int, mean: Array, scale: Array, out: Array) -> None:
    """Write sum_i ((x_ri - mean_i) scale_i)^2."""
    D = mean.size
    fours = D - D % 4
    for r in range(n):
        out[r] = 0.0
    for i in range(0, fours, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        m0, m1, m2, m3 = mean[i], mean[i + 1], mean[i + 2], mean[i + 3]
        s0, s1, s2, s3 = scale[i], scale[i + 1], scale[i + 2], scale[i + 3]
        for r in range(n):
            a, b = (x0[r] - m0) * s0, (x1[r] - m1) * s1
            c, d = (x2[r] - m2) * s2, (x3[r] - m3) * s3
            out[r] += a * a + b * b + c * c + d * d
    for i in range(fours, D):
        x0, m0, s0 = x[i], mean[i], scale[i]
        for r in range(n):
            a = (x0[r] - m0) * s0
            out[r] += a * a


@summing_inner
def _weigh(row: Array, n: int, scale: Array) -> float:
    """Multiply a row by the scale, and return its sum."""
    total = 0.0
    for r in range(n):
        row[r] *= scale[r]
        total += row[r]
    return total


@summing_inner
def _sum(a: Array, n: int) -> float:
    total = 0.0
    for r in range(n):
        total += a[r]
    return total


@inner
def _weighted(x: Array, n: int, weight: Array, centre: Array, z: Array) -> None:
    """Write z = sqrt(w) (x - centre), and as one more feature sqrt(w); zeros behind the last."""
    D, root = centre.size, z[centre.size]
    for r in range(n):
        root[r] = math.sqrt(weight[r])
    for i in range(D):
        source, to, shift = x[i], z[i], centre[i]
        for r in range(n):
            to[r] = root[r] * (source[r] - shift)
    for i in range(D + 1):
        for r in range(n, min(n + _ONE, STRIDE)):
            z[i, r] = 0.0


@inner
def _moments(z: Array, n: int, first: Array, second: Array) -> None:
    """Add sum_r z_ir z_jr to the lower triangle, three rows and columns at a time.

    Nine sums hide how long each addition takes, and leave room, where there are 16 registers, for
    what is multiplied. The last row, of the products with sqrt(w), are the first moments.
    """
    D, stride = first.size, np.uintp(z.shape[1])
    for i in range(0, D + 1, 3):
        for j in range(0, i + 1, 3):
            tile, down, along = _three_by_three(z), np.uintp(i) * stride, np.uintp(j) * stride
            for _ in range(0, n, _ONE):
                tile = grow_by(tile, z, down, along, stride)
                down += np.uintp(_ONE)
                along += np.uintp(_ONE)
            found = sums(tile)
            for place in range(9):
                row, column = i + place // 3, j + place % 3
                if row < D and column <= row:
                    second[row, column] += found[place]
                elif row == D and column < D:
                    first[column] += found[place]


@summing_inner
def _diagonal_moments(
    x: Array, n: int, weight: Array, centre: Array, first: Array, second: Array
) -> None:
    D = centre.size
    fours = D - D % 4
    for i in range(0, fours, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        m0, m1, m2, m3 = centre[i], centre[i + 1], centre[i + 2], centre[i + 3]
        f0 = f1 = f2 = f3 = s0 = s1 = s2 = s3 = 0.0
        for r in range(n):
            w = weight[r]
            a, b, c, d = x0[r] - m0, x1[r] - m1, x2[r] - m2, x3[r] - m3
            wa, wb, wc, wd = w * a, w * b, w * c, w * d
            f0 += wa
            f1 += wb
            f2 += wc
            f3 += wd
            s0 += wa * a
            s1 += wb * b
            s2 += wc * c
            s3 += wd * d
        first[i] += f0
        first[i + 1] += f1
        first[i + 2] += f2
        first[i + 3] += f3
        second[i] += s0
        second[i + 1] += s1
        second[i + 2] += s2
        second[i + 3] += s3
    for i in range(fours, D):
        x0, m0 = x[i], centre[i]
        f0 = s0 = 0.0
        for r in range(n):
            a = x0[r] - m0
            wa = weight[r] * a
            f0 += wa
            s0 += wa * a
        first[i] += f0
        second[i] += s0


# Passes over one part of the rows --------------------------------------------------------------
#
# Factors are (K, D, D), or (1, D, D) for one that all share, or (K, 1, D) for diagonal ones, and
# the second moments alike; for D = 1 the three are the same. But for the diagonal ones, factors
# have columns of zeros behind the last, up to a multiple of four.


@inner
def _joint(
    x: Array, n: int, offsets: Array, means: Array, factors: Array, z: Array, out: Array
) -> None:
    """Write log(pi_k N(x; mu_k, Sigma_k)), Sigma_k^-1 = U_k U_k^T; offsets hold all but x."""
    for k in range(means.shape[0]):
        row, offset = out[k], offsets[k]
        U = factors[k if factors.shape[0] > 1 else 0]
        if factors.shape[1] == 1:
            _scaled_length(x, n, means[k], U[0], row)
        else:
            _squared_length(x, n, means[k], U, z, row)
        for r in range(n):
            row[r] = offset - 0.5 * row[r]


@inner
def _responsibilities(joint: Array, n: int, log_p: Array, total: Array) -> None:
    """Turn log(pi_k N_k) into numbers proportional to r_k, and write their total and log p(x).

    log p = m + log sum_k e^(l_k - m), with m the largest l_k.
    """
    K = joint.shape[0]
    for r in range(n):
        log_p[r] = joint[0, r]
        total[r] = 0.0
    for k in range(1, K):
        row = joint[k]
        for r in range(n):
            log_p[r] = max(log_p[r], row[r])
    for k in range(K):
        row = joint[k]
        for r in range(n):
            below = log_p[r] - row[r]
            e = _exp_below(below if below < 800.0 else 800.0)  # also where both are infinite
            row[r] = e
            total[r] += e
    for r in range(n):
        log_p[r] += _log(total[r])


@inner
def _given(table: Array, start: int, n: int, joint: Array, log_p: Array, total: Array) -> None:
    """Take the responsibilities from a table."""
    for r in range(n):
        log_p[r] = 0.0
        total[r] = 1.0
        for k in range(joint.shape[0]):
            joint[k, r] = table[start + r, k]


@inner
def _known(joint: Array, start: int, n: int, labels: Any, out: Array) -> None:
    """Keep log(pi_k N_k) of the component that each labelled row is of."""
    for r in range(n):
        if labels[start + r] >= 0:
            out[r] = joint[labels[start + r], r]


@inner
def _fix(
    joint: Array, start: int, n: int, labels: Any, known: Array, log_p: Array, total: Array
) -> None:
    """Give each labelled row to its component."""
    for r in range(n):
        if labels[start + r] >= 0:
            for k in range(joint.shape[0]):
                joint[k, r] = 0.0
            joint[labels[start + r], r] = 1.0
            log_p[r] = known[r]
            total[r] = 1.0


@block_kernel
def statistics(
    start: int, stop: int, X: Any, size: int, weight: Array, labels: Any, given: Array,
    offsets: Array, means: Array, factors: Array, centres: Array, counts: Array, first: Array,
    second: Array, likelihood: Array,
) -> None:  # fmt: skip
    """Add to the statistics of each part those of its rows, `size` in number.

    weight, labels and given may be empty.
    """
    D, K = X.shape[1], means.shape[0]
    x, z, joint, rows = workspace(D), workspace(D + 3), workspace(K), workspace(4)
    log_p, total, share, known = rows[0], rows[1], rows[2], rows[3]
    for part in range(start, stop):
        lost = 0.0
        for low in range(part * size, min((part + 1) * size, len(X)), BLOCK):
            n = min(BLOCK, len(X) - low)
            turn(X, low, n, x)
            if given.size:
                _given(given, low, n, joint, log_p, total)
            else:
                _joint(x, n, offsets, means, factors, z, joint)
                if labels.size:
                    _known(joint, low, n, labels, known)
                _responsibilities(joint, n, log_p, total)
            if labels.size:
                _fix(joint, low, n, labels, known, log_p, total)
            for r in range(n):
                w = weight[low + r] if weight.size else 1.0
                share[r] = w / total[r]
                log_p[r] *= w
            # Kahan's sum: what the addition has lost is taken from the next term
            term = _sum(log_p, n) - lost
            so_far = likelihood[part] + term
            lost = (so_far - likelihood[part]) - term if math.isfinite(so_far) else 0.0
            likelihood[part] = so_far
            for k in range(K):
                row = joint[k]
                count = _weigh(row, n, share)
                if count == 0:  # no row of the block is of this component
                    continue
                counts[part, k] += count
                if factors.shape[1] == 1:
                    to = second[part, k if second.shape[1] > 1 else 0, 0]
                    _diagonal_moments(x, n, row, centres[k], first[part, k], to)
                else:
                    to = second[part, k if second.shape[1] > 1 else 0]
                    _weighted(x, n, row, centres[k], z)
                    _moments(z, n, first[part, k], to)


@block_kernel
def posterior(
    start: int, stop: int, X: Any, size: int, offsets: Array, means: Array, factors: Array,
    log_prob: Array, responsibilities: Array, labels: Any,
) -> None:  # fmt: skip
    """Fill those of the last three that are not empty, part by part."""
    D, K = X.shape[1], means.shape[0]
    x, z, joint, rows = workspace(D), workspace(D), workspace(K), workspace(2)
    log_p, total = rows[0], rows[1]
    for low in range(start * size, min(stop * size, len(X)), BLOCK):
        n = min(BLOCK, len(X) - low)
        turn(X, low, n, x)
        _joint(x, n, offsets, means, factors, z, joint)
        _responsibilities(joint, n, log_p, total)
        if log_prob.size:
            for r in range(n):
                log_prob[low + r] = log_p[r]
        if responsibilities.size:
            for r in range(n):
                for k in range(K):
                    responsibilities[low + r, k] = joint[k, r] / total[r]
        if labels.size:
            for r in range(n):
                best = 0
                for k in range(1, K):  # of the quotients: they may be equal where these are not
                    if joint[k, r] / total[r] > joint[best, r] / total[r]:
                        best = k
                labels[low + r] = best
