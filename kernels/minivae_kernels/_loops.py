"""The compiled loops over functions of one number: activations, densities, divergences.

The functions are polynomials and arithmetic on the bits of a floating-point number, so that the
compiler turns each loop into vector instructions; a call to the C library would prevent it. They
work in the precision of their argument: the branch for the other one is removed when compiling.

No coefficient is fitted: each table is the start of a power series, long enough for its precision
on the interval where it is used.
"""

# ruff: noqa: SIM108 - it is the if statement, not the expression, that compiling removes

import math
from decimal import Decimal
from fractions import Fraction
from math import comb, factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from minivae_kernels._jit import kernel, scalar, summing_kernel

Array = npt.NDArray[np.floating[Any]]
Number = Any  # np.float32 or np.float64


# Tables: highest power first, an even number of terms -----------------------------------------

# (e^r - 1 - r) / r^2 = 1/2! + r/3! + r^2/4! + ...
_EXP = [1 / factorial(k) for k in range(20, 1, -1)]
_EXP_32 = tuple(np.float32(c) for c in _EXP[-6:])  # |r| <= log(2)/2
_EXP_64 = tuple(np.float64(c) for c in _EXP[-12:])
_EXP_WIDE_32 = tuple(np.float32(c) for c in _EXP[-10:])  # |r| <= 1
_EXP_WIDE_64 = tuple(np.float64(c) for c in _EXP[-18:])

# (2 atanh(s) - 2s) / s^3 = 2/3 + 2 s^2/5 + 2 s^4/7 + ...
_ATANH = [2 / k for k in range(35, 1, -2)]
_ATANH_32 = tuple(np.float32(c) for c in _ATANH[-4:])  # |s| <= 3 - sqrt(8)
_ATANH_64 = tuple(np.float64(c) for c in _ATANH[-10:])
_ATANH_WIDE_32 = tuple(np.float32(c) for c in _ATANH[-8:])  # |s| <= 1/3
_ATANH_WIDE_64 = tuple(np.float64(c) for c in _ATANH[-16:])

# coth(l/2)/2 - 1/l = B_2 l/2! + B_4 l^3/4! + ..., for |l| <= 2, and its integral over l,
# log(sinh(l/2) / (l/2)) = B_2 l^2/(2 2!) + B_4 l^4/(4 4!) + ..., with the Bernoulli numbers B.
_BERNOULLI = [Fraction(1)]
for _m in range(1, 33):
    _BERNOULLI.append(-sum((comb(_m + 1, _k) * _BERNOULLI[_k] for _k in range(_m)), Fraction(0)))
    _BERNOULLI[_m] /= _m + 1
_COTH = [float(_BERNOULLI[k] / factorial(k)) for k in range(32, 1, -2)]
_COTH_32 = tuple(np.float32(c) for c in _COTH[-8:])
_COTH_64 = tuple(np.float64(c) for c in _COTH)
_LOG_SINH = [float(_BERNOULLI[k] / factorial(k) / k) for k in range(32, 1, -2)]
_LOG_SINH_32 = tuple(np.float32(c) for c in _LOG_SINH[-8:])
_LOG_SINH_64 = tuple(np.float64(c) for c in _LOG_SINH)

_LOG_2_PI = math.log(2 * math.pi)

# log(2) in two parts: the first has few bits, so that a whole number of it is exact.
_LN2_HI_32 = np.float32(round(math.log(2) * 2**11) / 2**11)
_LN2_LO_32 = np.float32(math.log(2) - float(_LN2_HI_32))
_LN2_HI_64 = np.float64(round(math.log(2) * 2**32) / 2**32)
_LN2_LO_64 = np.float64(Decimal(2).ln() - Decimal(float(_LN2_HI_64)))
_INV_LN2_32 = np.float32(1 / math.log(2))
_INV_LN2_64 = np.float64(1 / math.log(2))

# Adding 1.5 * 2^p leaves the nearest integer in the lowest of the p bits of the significand.
_ROUND_32 = np.float32(1.5 * 2**23)
_ROUND_64 = np.float64(1.5 * 2**52)
_ROUND_BITS_32 = _ROUND_32.view(np.int32)
_ROUND_BITS_64 = _ROUND_64.view(np.int64)
_SQRT_HALF_BITS_32 = np.float32(0.5**0.5).view(np.int32)
_SQRT_HALF_BITS_64 = np.float64(0.5**0.5).view(np.int64)


# Functions of one number -----------------------------------------------------------------------


@scalar
def _polynomial(x: Number, table: tuple[Number, ...]) -> Number:
    """Return the polynomial at x, its even and its odd powers side by side by Horner's rule."""
    square = x * x
    p, q = table[0], table[1]
    for i in range(2, len(table), 2):
        p = p * square + table[i]
        q = q * square + table[i + 1]
    return p * x + q


@scalar
def _nearest_power(x: Number) -> Number:
    """Return the integer n nearest to x / log(2)."""
    if isinstance(x, np.float32):
        return np.int32(np.float32(x * _INV_LN2_32 + _ROUND_32).view(np.int32) - _ROUND_BITS_32)
    else:
        return np.int64(np.float64(x * _INV_LN2_64 + _ROUND_64).view(np.int64) - _ROUND_BITS_64)


@scalar
def _remainder(x: Number, n: Number) -> tuple[Number, Number]:
    """Return r = x - n log(2) as the rounded number and what the rounding lost."""
    count = type(x)(n)
    if isinstance(x, np.float32):
        high, low = x - count * _LN2_HI_32, count * _LN2_LO_32
    else:
        high, low = x - count * _LN2_HI_64, count * _LN2_LO_64
    r = high - low
    return r, (high - r) - low


@scalar
def _power_of_two(n: Number) -> Number:
    """Return 2^n by writing n into the exponent's bits, in the precision of the integer n."""
    if isinstance(n, np.int32):
        return np.int32(np.int32(n + np.int32(127)) << np.int32(23)).view(np.float32)
    else:
        return np.int64(np.int64(n + np.int64(1023)) << np.int64(52)).view(np.float64)


@scalar
def _half(n: Number) -> Number:
    if isinstance(n, np.int32):
        return np.int32(n >> np.int32(1))
    else:
        return np.int64(n >> np.int64(1))


@scalar
def _minus(n: Number, m: Number) -> Number:
    if isinstance(n, np.int32):
        return np.int32(n - m)
    else:
        return np.int64(n - m)


@scalar
def _expm1_reduced(x: Number, n: Number) -> Number:
    """Return e^r - 1 for r = x - n log(2), |r| <= log(2)/2."""
    r, lost = _remainder(x, n)
    if isinstance(x, np.float32):
        series = _polynomial(r, _EXP_32)
    else:
        series = _polynomial(r, _EXP_64)
    return r + (lost + r * (r * series))


@scalar
def _clamp(x: Number, low: float, high: float) -> Number:
    """Return x held between two bounds; NaN stays NaN."""
    x = type(x)(low) if x < low else x
    return type(x)(high) if x > high else x


@scalar
def _exp(x: Number) -> Number:
    """e^x = 2^n e^r; 2^n in two factors, for n may be outside the exponent's range."""
    if isinstance(x, np.float32):
        y = _clamp(x, -104.0, 89.0)
    else:
        y = _clamp(x, -746.0, 710.0)
    n = _nearest_power(y)
    m = _half(n)
    p = type(x)(1) + _expm1_reduced(y, n)
    return p * _power_of_two(m) * _power_of_two(_minus(n, m))


@scalar
def _expm1(x: Number) -> Number:
    """e^x - 1 = 2^n (e^r - 1) + (2^n - 1), halved on the way so that 2^n does not overflow."""
    if isinstance(x, np.float32):
        y = _clamp(x, -40.0, 89.0)
    else:
        y = _clamp(x, -40.0, 710.0)
    n = _nearest_power(y)
    scale = _power_of_two(_minus(n, 1))
    half = scale * _expm1_reduced(y, n) + (scale - type(x)(0.5))
    return x if abs(x) < 1e-16 else half + half


@scalar
def _exp_minus_line(x: Number) -> Number:
    """e^x - 1 - x, from its series where the subtraction would cancel."""
    if isinstance(x, np.float32):
        series = _polynomial(x, _EXP_WIDE_32)
    else:
        series = _polynomial(x, _EXP_WIDE_64)
    return x * x * series if abs(x) < 1 else _expm1(x) - x


@scalar
def _exponent(x: Number) -> Number:
    """Return the integer k for which x / 2^k is between sqrt(1/2) and sqrt(2)."""
    if isinstance(x, np.float32):
        return np.int32(np.int32(np.float32(x).view(np.int32) - _SQRT_HALF_BITS_32) >> np.int32(23))
    else:
        return np.int64(np.int64(np.float64(x).view(np.int64) - _SQRT_HALF_BITS_64) >> np.int64(52))


@scalar
def _significand(x: Number, k: Number) -> Number:
    """Return x / 2^k by taking k from the exponent's bits."""
    if isinstance(x, np.float32):
        return np.int32(np.float32(x).view(np.int32) - np.int32(k << np.int32(23))).view(np.float32)
    else:
        return np.int64(np.float64(x).view(np.int64) - np.int64(k << np.int64(52))).view(np.float64)


@scalar
def _log_sum(u: Number, rest: Number, offset: Number) -> Number:
    """Return log(u) + rest + offset log(2), for u > 0, normal and finite, and a small rest.

    u = 2^k (1 + f), and log(1 + f) = 2 atanh(s) = f - s f + (2 atanh(s) - 2s), s = f / (2 + f),
    with s f written as f^2/2 - s f^2/2 to keep its rounding small.
    """
    k = _exponent(u)
    count = type(u)(k) + offset
    f = _significand(u, k) - type(u)(1)
    s = f / (type(u)(2) + f)
    square = type(u)(0.5) * f * f
    if isinstance(u, np.float32):
        high, low = count * _LN2_HI_32, count * _LN2_LO_32
        tail = s * s * _polynomial(s * s, _ATANH_32)
    else:
        high, low = count * _LN2_HI_64, count * _LN2_LO_64
        tail = s * s * _polynomial(s * s, _ATANH_64)
    return high - ((square - (s * (square + tail) + (low + rest))) - f)


@scalar
def _log(x: Number) -> Number:
    subnormal = x < type(x)(1e-37)
    scaled = x * type(x)(2.0**60) if subnormal else x
    offset = type(x)(-60) if subnormal else type(x)(0)
    value = _log_sum(scaled, type(x)(0), offset)
    value = value if x < type(x)(np.inf) else x  # infinity and NaN
    value = value if x != 0 else type(x)(-np.inf)
    return type(x)(np.nan) if x < 0 else value


@scalar
def _log1p(x: Number) -> Number:
    """log(1 + x) = log(u) + (1 + x - u) / u, where u is 1 + x as rounded."""
    u = type(x)(1) + x
    lost = x - (u - type(x)(1)) if x < 1 else type(x)(1) - (u - x)
    value = _log_sum(u, lost / u, type(x)(0))
    value = value if x < type(x)(np.inf) else x  # infinity and NaN
    value = value if x != -1 else type(x)(-np.inf)
    value = type(x)(np.nan) if x < -1 else value
    return x if abs(x) < 1e-16 else value


@scalar
def _log1p_unit(x: Number) -> Number:
    """log(1 + x) = 2 atanh(x / (2 + x)) for 0 <= x <= 1."""
    s = x / (type(x)(2) + x)
    if isinstance(x, np.float32):
        tail = _polynomial(s * s, _ATANH_WIDE_32)
    else:
        tail = _polynomial(s * s, _ATANH_WIDE_64)
    return x - s * (x - s * s * tail)  # 2s = x - s x


@scalar
def _tanh(x: Number) -> Number:
    """tanh(x) = t / (t + 2) with t = e^(2|x|) - 1, and the sign of x."""
    size = _clamp(abs(x), 0.0, 20.0)
    t = _expm1(size + size)
    value = t / (t + type(x)(2))
    return value if x > 0 else (x if x == 0 else -value)


@scalar
def _sigmoid(x: Number) -> Number:
    """1 / (1 + e^-x) = 1 - q, and e^x / (1 + e^x) = e^x - e^x q, with q = e^-|x| / (1 + e^-|x|)."""
    e = _exp(-abs(x))
    q = e / (type(x)(1) + e)
    return type(x)(1) - q if x >= 0 else e - e * q


@scalar
def _softplus(x: Number) -> Number:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    return (x if x > 0 else type(x)(0)) + _log1p_unit(_exp(-abs(x)))


# Loops over whole arrays, taken flat -------------------------------------------------------------


@kernel
def exp(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = _exp(x[i])


@kernel
def expm1(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = _expm1(x[i])


@kernel
def log(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = _log(x[i])


@kernel
def log1p(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = _log1p(x[i])


@kernel
def tanh(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = _tanh(x[i])


@kernel
def sigmoid(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = _sigmoid(x[i])


@kernel
def softplus(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = _softplus(x[i])


@kernel
def softplus_backward(g: Array, y: Array, out: Array) -> None:
    for i in range(g.size):
        out[i] = g[i] * -_expm1(-y[i])


# Loops over rows -------------------------------------------------------------------------------
#
# Row r goes with row (first + r) % B of an array that has B rows. Sums are kept in float64.


@scalar
def _log_sinh_ratio(x: Number) -> Number:
    """log(sinh(x/2) / (x/2)) for |x| <= 2."""
    if isinstance(x, np.float32):
        return x * x * _polynomial(x * x, _LOG_SINH_32)
    else:
        return x * x * _polynomial(x * x, _LOG_SINH_64)


@scalar
def _coth_excess(x: Number) -> Number:
    """coth(x/2) / 2 - 1/x for |x| <= 2."""
    if isinstance(x, np.float32):
        return x * _polynomial(x * x, _COTH_32)
    else:
        return x * _polynomial(x * x, _COTH_64)


@summing_kernel
def binomial_log_prob(first: int, x: Array, n_trials: float, logits: Array, out: Array) -> None:
    n = logits.dtype.type(n_trials)
    zero = logits.dtype.type(0)
    for r in range(logits.shape[0]):
        row, data = logits[r], x[(first + r) % x.shape[0]]
        total = 0.0
        for d in range(row.size):
            # x l - n softplus(l), with n max(l, 0) taken out of the softplus
            trials = n if row[d] > 0 else zero
            total += (data[d] - trials) * row[d] - n * _log1p_unit(_exp(-abs(row[d])))
        out[r] = total


@kernel
def binomial_log_prob_backward(
    first: int, x: Array, n_trials: float, g: Array, logits: Array, out: Array
) -> None:
    n = logits.dtype.type(n_trials)
    for r in range(logits.shape[0]):
        row, data, to, weight = logits[r], x[(first + r) % x.shape[0]], out[r], g[r]
        for d in range(row.size):
            to[d] = weight * (data[d] - n * _sigmoid(row[d]))


@summing_kernel
def continuous_bernoulli_log_prob(first: int, x: Array, logits: Array, out: Array) -> None:
    zero, half, one = logits.dtype.type(0), logits.dtype.type(0.5), logits.dtype.type(1)
    for r in range(logits.shape[0]):
        row, data = logits[r], x[(first + r) % x.shape[0]]
        total = 0.0
        for d in range(row.size):
            size = abs(row[d])
            # (x - 1/2) l - log(sinh(l/2) / (l/2)), and away from 0 the same without overflow
            near = (data[d] - half) * row[d] - _log_sinh_ratio(row[d])
            step = one if row[d] > 0 else zero
            far = (data[d] - step) * row[d] + _log(size / -_expm1(-size))
            total += near if size < 2 else far
        out[r] = total


@kernel
def continuous_bernoulli_log_prob_backward(
    first: int, x: Array, g: Array, logits: Array, out: Array
) -> None:
    half, one = logits.dtype.type(0.5), logits.dtype.type(1)
    for r in range(logits.shape[0]):
        row, data, to, weight = logits[r], x[(first + r) % x.shape[0]], out[r], g[r]
        for d in range(row.size):
            size = abs(row[d])
            near = (data[d] - half) - _coth_excess(row[d])
            rest = one / size - one / _expm1(size)
            far = (data[d] - one) + rest if row[d] > 0 else data[d] - rest
            to[d] = weight * (near if size < 2 else far)


@summing_kernel
def gaussian_log_prob(first: int, x: Array, mu: Array, log_var: Array, out: Array) -> None:
    for r in range(mu.shape[0]):
        data, centre, spread = x[(first + r) % x.shape[0]], mu[r], log_var[r]
        total = centre.size * _LOG_2_PI
        for d in range(centre.size):
            distance = data[d] - centre[d]
            total += spread[d] + distance * distance * _exp(-spread[d])
        out[r] = -0.5 * total


@kernel
def gaussian_log_prob_backward(
    first: int, x: Array, g: Array, mu: Array, log_var: Array, d_mu: Array, d_log_var: Array
) -> None:
    half, one = mu.dtype.type(0.5), mu.dtype.type(1)
    for r in range(mu.shape[0]):
        data, centre, spread = x[(first + r) % x.shape[0]], mu[r], log_var[r]
        to, to_spread, weight = d_mu[r], d_log_var[r], g[r]
        for d in range(centre.size):
            distance = data[d] - centre[d]
            scaled = distance * _exp(-spread[d])
            to[d] = weight * scaled
            to_spread[d] = weight * (half * (distance * scaled - one))


@summing_kernel
def gaussian_log_prob_shared(first: int, x: Array, log_var: float, mu: Array, out: Array) -> None:
    precision = _exp(-log_var)
    for r in range(mu.shape[0]):
        data, centre = x[(first + r) % x.shape[0]], mu[r]
        squared = 0.0
        for d in range(centre.size):
            squared += (data[d] - centre[d]) * (data[d] - centre[d])
        out[r] = -0.5 * (centre.size * (_LOG_2_PI + log_var) + squared * precision)


@summing_kernel
def gaussian_log_prob_shared_backward(
    first: int, x: Array, log_var: float, g: Array, mu: Array, d_mu: Array, d_log_var: Array
) -> None:
    precision = _exp(-log_var)
    for r in range(mu.shape[0]):
        data, centre, to = x[(first + r) % x.shape[0]], mu[r], d_mu[r]
        weight = mu.dtype.type(g[r] * precision)
        squared = 0.0
        for d in range(centre.size):
            distance = data[d] - centre[d]
            to[d] = weight * distance
            squared += distance * distance
        d_log_var[r] = 0.5 * g[r] * (squared * precision - centre.size)


@summing_kernel
def gaussian_kl(first: int, mu: Array, log_var: Array, out: Array) -> None:
    for r in range(mu.shape[0]):
        centre, spread = mu[r], log_var[r]
        total = 0.0
        for d in range(centre.size):
            total += centre[d] * centre[d] + _exp_minus_line(spread[d])
        out[r] = 0.5 * total


@kernel
def gaussian_kl_backward(
    first: int, g: Array, mu: Array, log_var: Array, d_mu: Array, d_log_var: Array
) -> None:
    half = mu.dtype.type(0.5)
    for r in range(mu.shape[0]):
        centre, spread, to, to_spread, weight = mu[r], log_var[r], d_mu[r], d_log_var[r], g[r]
        for d in range(centre.size):
            to[d] = weight * centre[d]
            to_spread[d] = weight * (half * _expm1(spread[d]))


@kernel
def reparameterise(first: int, mu: Array, log_var: Array, eps: Array, out: Array) -> None:
    half = mu.dtype.type(0.5)
    for r in range(eps.shape[0]):
        b = (first + r) % mu.shape[0]
        centre, spread, noise, to = mu[b], log_var[b], eps[r], out[r]
        for d in range(noise.size):
            to[d] = centre[d] + _exp(half * spread[d]) * noise[d]


@kernel
def reparameterise_backward(
    g: Array, log_var: Array, eps: Array, d_mu: Array, d_log_var: Array
) -> None:
    half = g.dtype.type(0.5)
    rows = log_var.shape[0]
    for b in range(rows):
        spread, to, to_spread = log_var[b], d_mu[b], d_log_var[b]
        to[:] = 0
        to_spread[:] = 0
        for r in range(b, g.shape[0], rows):  # every sample of row b
            weight, noise = g[r], eps[r]
            for d in range(spread.size):
                to[d] += weight[d]
                to_spread[d] += weight[d] * noise[d]
        for d in range(spread.size):
            to_spread[d] *= half * _exp(half * spread[d])
