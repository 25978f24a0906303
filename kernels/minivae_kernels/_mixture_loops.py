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

from minivae_kernels._blocks import BLOCK, STRIDE, turn
from minivae_kernels._jit import block_kernel, inner, summing_inner
from minivae_kernels._loops import _exp_below, _log

Array = npt.NDArray[np.float64]


# Loops along the rows of one block -------------------------------------------------------------
#
# A block holds `n` rows turned on their side: x[i, r] is feature i of row r.


@inner
def _squared_length(x: Array, n: int, mean: Array, U: Array, t: Array, out: Array) -> None:
    """Write |U^T (x_r - mean)|^2 for the columns x_r, four elements of the product at a time.

    x is centred each time it is loaded: that costs less than keeping what is centred.
    """
    D = mean.size
    fours = D - D % 4
    t0, t1, t2, t3 = t[0], t[1], t[2], t[3]
    for r in range(n):
        out[r] = 0.0
    for j in range(0, fours, 4):
        for r in range(n):
            t0[r] = t1[r] = t2[r] = t3[r] = 0.0
        for i in range(0, j, 4):
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            m0, m1, m2, m3 = mean[i], mean[i + 1], mean[i + 2], mean[i + 3]
            u00, u01, u02, u03 = U[i, j], U[i, j + 1], U[i, j + 2], U[i, j + 3]
            u10, u11, u12, u13 = U[i + 1, j], U[i + 1, j + 1], U[i + 1, j + 2], U[i + 1, j + 3]
            u20, u21, u22, u23 = U[i + 2, j], U[i + 2, j + 1], U[i + 2, j + 2], U[i + 2, j + 3]
            u30, u31, u32, u33 = U[i + 3, j], U[i + 3, j + 1], U[i + 3, j + 2], U[i + 3, j + 3]
            for r in range(n):
                a, b, c, d = x0[r] - m0, x1[r] - m1, x2[r] - m2, x3[r] - m3
                t0[r] = t0[r] + u00 * a + u10 * b + u20 * c + u30 * d
                t1[r] = t1[r] + u01 * a + u11 * b + u21 * c + u31 * d
                t2[r] = t2[r] + u02 * a + u12 * b + u22 * c + u32 * d
                t3[r] = t3[r] + u03 * a + u13 * b + u23 * c + u33 * d
        x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
        m0, m1, m2, m3 = mean[j], mean[j + 1], mean[j + 2], mean[j + 3]
        u00, u01, u02, u03 = U[j, j], U[j, j + 1], U[j, j + 2], U[j, j + 3]
        u11, u12, u13 = U[j + 1, j + 1], U[j + 1, j + 2], U[j + 1, j + 3]
        u22, u23, u33 = U[j + 2, j + 2], U[j + 2, j + 3], U[j + 3, j + 3]
        for r in range(n):
            a, b, c, d = x0[r] - m0, x1[r] - m1, x2[r] - m2, x3[r] - m3
            y0 = t0[r] + u00 * a
            y1 = t1[r] + u01 * a + u11 * b
            y2 = t2[r] + u02 * a + u12 * b + u22 * c
            y3 = t3[r] + u03 * a + u13 * b + u23 * c + u33 * d
            out[r] += y0 * y0 + y1 * y1 + y2 * y2 + y3 * y3
    for j in range(fours, D):
        for r in range(n):
            t0[r] = 0.0
        for i in range(0, fours, 4):
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            m0, m1, m2, m3 = mean[i], mean[i + 1], mean[i + 2], mean[i + 3]
            u0, u1, u2, u3 = U[i, j], U[i + 1, j], U[i + 2, j], U[i + 3, j]
            for r in range(n):
                a, b, c, d = x0[r] - m0, x1[r] - m1, x2[r] - m2, x3[r] - m3
                t0[r] = t0[r] + u0 * a + u1 * b + u2 * c + u3 * d
        for i in range(fours, j):
            x0, m0, u0 = x[i], mean[i], U[i, j]
            for r in range(n):
                t0[r] = t0[r] + u0 * (x0[r] - m0)
        x0, m0, u0 = x[j], mean[j], U[j, j]
        for r in range(n):
            y = t0[r] + u0 * (x0[r] - m0)
            out[r] += y * y


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
def _root(x: Array, n: int, out: Array) -> None:
    for r in range(n):
        out[r] = math.sqrt(x[r])


@summing_inner
def _first_moment(x: Array, n: int, root: Array, centre: Array, z: Array, first: Array) -> None:
    """Write z = sqrt(w) (x - centre), and add up sqrt(w) z."""
    for i in range(centre.size):
        source, to, shift = x[i], z[i], centre[i]
        total = 0.0
        for r in range(n):
            value = root[r] * (source[r] - shift)
            to[r] = value
            total += root[r] * value
        first[i] += total


@summing_inner
def _second_moment(z: Array, n: int, out: Array) -> None:
    """Add sum_r z_ir z_jr to the lower triangle, sixteen elements at a time."""
    D = out.shape[0]
    fours = D - D % 4
    for i in range(0, fours, 4):
        a0, a1, a2, a3 = z[i], z[i + 1], z[i + 2], z[i + 3]
        for j in range(0, i, 4):
            b0, b1, b2, b3 = z[j], z[j + 1], z[j + 2], z[j + 3]
            c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = 0.0
            c20 = c21 = c22 = c23 = c30 = c31 = c32 = c33 = 0.0
            for r in range(n):
                c00 += a0[r] * b0[r]
                c01 += a0[r] * b1[r]
                c02 += a0[r] * b2[r]
                c03 += a0[r] * b3[r]
                c10 += a1[r] * b0[r]
                c11 += a1[r] * b1[r]
                c12 += a1[r] * b2[r]
                c13 += a1[r] * b3[r]
                c20 += a2[r] * b0[r]
                c21 += a2[r] * b1[r]
                c22 += a2[r] * b2[r]
                c23 += a2[r] * b3[r]
                c30 += a3[r] * b0[r]
                c31 += a3[r] * b1[r]
                c32 += a3[r] * b2[r]
                c33 += a3[r] * b3[r]
            o0, o1, o2, o3 = out[i], out[i + 1], out[i + 2], out[i + 3]
            o0[j] += c00
            o0[j + 1] += c01
            o0[j + 2] += c02
            o0[j + 3] += c03
            o1[j] += c10
            o1[j + 1] += c11
            o1[j + 2] += c12
            o1[j + 3] += c13
            o2[j] += c20
            o2[j + 1] += c21
            o2[j + 2] += c22
            o2[j + 3] += c23
            o3[j] += c30
            o3[j + 1] += c31
            o3[j + 2] += c32
            o3[j + 3] += c33
        c00 = c10 = c11 = c20 = c21 = c22 = c30 = c31 = c32 = c33 = 0.0
        for r in range(n):
            c00 += a0[r] * a0[r]
            c10 += a1[r] * a0[r]
            c11 += a1[r] * a1[r]
            c20 += a2[r] * a0[r]
            c21 += a2[r] * a1[r]
            c22 += a2[r] * a2[r]
            c30 += a3[r] * a0[r]
            c31 += a3[r] * a1[r]
            c32 += a3[r] * a2[r]
            c33 += a3[r] * a3[r]
        out[i, i] += c00
        out[i + 1, i] += c10
        out[i + 1, i + 1] += c11
        out[i + 2, i] += c20
        out[i + 2, i + 1] += c21
        out[i + 2, i + 2] += c22
        out[i + 3, i] += c30
        out[i + 3, i + 1] += c31
        out[i + 3, i + 2] += c32
        out[i + 3, i + 3] += c33
    for i in range(fours, D):
        a0, to = z[i], out[i]
        for j in range(0, fours, 4):
            b0, b1, b2, b3 = z[j], z[j + 1], z[j + 2], z[j + 3]
            c0 = c1 = c2 = c3 = 0.0
            for r in range(n):
                c0 += a0[r] * b0[r]
                c1 += a0[r] * b1[r]
                c2 += a0[r] * b2[r]
                c3 += a0[r] * b3[r]
            to[j] += c0
            to[j + 1] += c1
            to[j + 2] += c2
            to[j + 3] += c3
        for j in range(fours, i + 1):
            b0 = z[j]
            c0 = 0.0
            for r in range(n):
                c0 += a0[r] * b0[r]
            to[j] += c0


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
# Factors are (K, D, D), or (1, D, D) for one that all share, or (K, 1, D) for diagonal ones; the
# second moments have the shape of the factors. For D = 1 the three are the same.


@inner
def _joint(
    x: Array, n: int, offsets: Array, means: Array, factors: Array, t: Array, out: Array
) -> None:
    """Write log(pi_k N(x; mu_k, Sigma_k)), Sigma_k^-1 = U_k U_k^T; offsets hold all but x."""
    for k in range(means.shape[0]):
        row, offset = out[k], offsets[k]
        U = factors[k if factors.shape[0] > 1 else 0]
        if factors.shape[1] == 1:
            _scaled_length(x, n, means[k], U[0], row)
        else:
            _squared_length(x, n, means[k], U, t, row)
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
            log_p[r] = row[r] if row[r] > log_p[r] else log_p[r]
    for k in range(K):
        row = joint[k]
        for r in range(n):
            e = _exp_below(log_p[r] - row[r] if row[r] > -np.inf else np.inf)
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
    start: int,
    stop: int,
    X: Any,
    size: int,
    weight: Array,
    labels: Any,
    given: Array,
    offsets: Array,
    means: Array,
    factors: Array,
    centres: Array,
    counts: Array,
    first: Array,
    second: Array,
    likelihood: Array,
) -> None:
    """Add to the statistics of each part those of its rows, `size` in number.

    weight, labels and given may be empty.
    """
    D, K = X.shape[1], means.shape[0]
    x, z = np.empty((D, STRIDE)), np.empty((D, STRIDE))
    t, joint = np.empty((4, STRIDE)), np.empty((K, STRIDE))
    log_p, total, share = np.empty(STRIDE), np.empty(STRIDE), np.empty(STRIDE)
    known, root = np.zeros(STRIDE), np.empty(STRIDE)
    for part in range(start, stop):
        lost = 0.0
        for low in range(part * size, min((part + 1) * size, len(X)), BLOCK):
            n = min(BLOCK, len(X) - low)
            turn(X, low, n, x)
            if given.size:
                _given(given, low, n, joint, log_p, total)
            else:
                _joint(x, n, offsets, means, factors, t, joint)
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
                    _root(row, n, root)
                    _first_moment(x, n, root, centres[k], z, first[part, k])
                    _second_moment(z, n, second[part, k if second.shape[1] > 1 else 0])


@block_kernel
def posterior(
    start: int,
    stop: int,
    X: Any,
    size: int,
    offsets: Array,
    means: Array,
    factors: Array,
    log_prob: Array,
    responsibilities: Array,
    labels: Any,
) -> None:
    """Fill those of the last three that are not empty, part by part."""
    D, K = X.shape[1], means.shape[0]
    x, t, joint = np.empty((D, STRIDE)), np.empty((4, STRIDE)), np.empty((K, STRIDE))
    log_p, total = np.empty(STRIDE), np.empty(STRIDE)
    for low in range(start * size, min(stop * size, len(X)), BLOCK):
        n = min(BLOCK, len(X) - low)
        turn(X, low, n, x)
        _joint(x, n, offsets, means, factors, t, joint)
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
