"""The compiled loops over functions of one number: activations, densities, divergences.

The functions are polynomials and arithmetic on the bits of a floating-point number, so that the
compiler turns each loop into vector instructions; a call to the C library would prevent it. They
work in the precision of their argument, by which the constants are chosen when compiling.

Coefficients are either the start of a power series or, where the loops spend their time, fitted:
the polynomial of that degree whose largest error is least. A test fits them again.
"""

import math
from decimal import Decimal
from fractions import Fraction
from math import comb, factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from minivae_kernels._jit import (
    BlockKernel,
    block_kernel,
    inner,
    scalar,
    summing_block_kernel,
    summing_inner,
)
from minivae_kernels._numbers import Number, bits, from_bits, of, polynomial

Array = npt.NDArray[np.floating[Any]]


# Tables: highest power first ------------------------------------------------------------------

# (e^r - 1 - r) / r^2, fitted for |r| <= log(2)/2
_EXP_32 = tuple(
    np.float32(c) for c in (0.0013814574, 0.00836873, 0.04166839, 0.16666521, 0.49999994)
)
_EXP_64 = (
    *(2.5000108499747864e-08, 2.7630275411951253e-07, 2.7557586402195372e-06),
    *(2.4801493030895443e-05, 0.00019841269506336106, 0.00138888889436868),
    *(0.00833333333349468, 0.04166666666652998, 0.16666666666666413),
    0.5000000000000011,
)

# (log(1 + f) - f) / f^2, fitted for sqrt(1/2) <= 1 + f <= sqrt(2)
_LOG_32 = tuple(
    np.float32(c)
    for c in (
        *(-0.07621661, 0.12904379, -0.13243009, 0.14181834, -0.1660908),
        *(0.20001973, -0.25001583, 0.33333325, -0.49999988),
    )
)
_LOG_64 = (
    *(0.026173955187128044, -0.06006130430491176, 0.06529572961177922, -0.05678119157920162),
    *(0.05658956730565651, -0.06194360136283011, 0.0668593687551389, -0.0714993839261275),
    *(0.0769143293826874, -0.08332864005828376, 0.090909274529879, -0.10000017943135538),
    *(0.11111111098792417, -0.12499999604361653, 0.14285714279621112, -0.16666666671358077),
    *(0.2000000000008523, -0.24999999999974898, 0.33333333333333026, -0.5000000000000003),
)

# the same, fitted for 0 <= f <= 1
_LOG_UNIT_32 = tuple(
    np.float32(c)
    for c in (
        *(-0.0032914265, 0.020088768, -0.057460167, 0.106613375, -0.15344971),
        *(0.19692121, -0.2495802, 0.33330464, -0.4999993),
    )
)
_LOG_UNIT_64 = (
    *(-1.6599599415766488e-05, 0.00019945481673264346, -0.001139683348423646),
    *(0.0041399519941288645, -0.01080816682639397, 0.021808584888104644),
    *(-0.03587755682542615, 0.05039085559162101, -0.06310953239253435),
    *(0.07341422409169149, -0.08212644042470699, 0.09057475000547487),
    *(-0.09992647184718081, 0.11109850198081474, -0.12499835238411462),
    *(0.14285698377647557, -0.16666665578810969, 0.19999999950438535),
    *(-0.2499999999863183, 0.3333333333331394, -0.499999999999999),
)

# (e^x - 1 - x) / x^2 = 1/2! + x/3! + x^2/4! + ..., for |x| <= 1
_EXP_SERIES = [1 / factorial(k) for k in range(20, 1, -1)]
_EXP_WIDE_32 = tuple(np.float32(c) for c in _EXP_SERIES[-10:])
_EXP_WIDE_64 = tuple(np.float64(c) for c in _EXP_SERIES[-18:])

# coth(l/2)/2 - 1/l = B_2 l/2! + B_4 l^3/4! + ..., for |l| <= 2, and its integral over l,
# log(sinh(l/2) / (l/2)) = B_2 l^2/(2 2!) + B_4 l^4/(4 4!) + ..., with the Bernoulli numbers B.
_BERNOULLI = [Fraction(1)]
for _m in range(1, 33):
    _BERNOULLI.append(-sum((comb(_m + 1, _k) * _BERNOULLI[_k] for _k in range(_m)), Fraction(0)))
    _BERNOULLI[_m] /= _m + 1
_COTH_64 = tuple(np.float64(_BERNOULLI[k] / factorial(k)) for k in range(32, 1, -2))
_COTH_32 = tuple(map(np.float32, _COTH_64[-8:]))
_LOG_SINH_64 = tuple(np.float64(_BERNOULLI[k] / factorial(k) / k) for k in range(32, 1, -2))
_LOG_SINH_32 = tuple(map(np.float32, _LOG_SINH_64[-8:]))

_EXP, _LOG, _LOG_UNIT = (_EXP_32, _EXP_64), (_LOG_32, _LOG_64), (_LOG_UNIT_32, _LOG_UNIT_64)
_EXP_WIDE, _COTH = (_EXP_WIDE_32, _EXP_WIDE_64), (_COTH_32, _COTH_64)
_LOG_SINH = _LOG_SINH_32, _LOG_SINH_64

# e^r; and e^r / 2^64 or e^r / 2^512, of which `_near_exp` takes the power of two back
_EXP_OF_REST = (*_EXP_32, np.float32(1), np.float32(1)), (*_EXP_64, 1.0, 1.0)
_EXP_NEAR = (
    tuple(np.float32(2.0**-64) * c for c in _EXP_OF_REST[0]),
    tuple(np.float64(2.0**-512) * c for c in _EXP_OF_REST[1]),
)
# (e^2h - 1 - 2h) / 2 h^2: the same coefficients, times powers of two
_EXP_TWICE = (
    tuple(np.float32(2.0 ** (5 - i)) * c for i, c in enumerate(_EXP_32)),
    tuple(np.float64(2.0 ** (10 - i)) * c for i, c in enumerate(_EXP_64)),
)

# Other constants, for float32 and for float64 -----------------------------------------------------


def _pair(of_32: float, of_64: float) -> tuple[Number, Number]:
    return np.float32(of_32), np.float64(of_64)


_LOG_2_PI = math.log(2 * math.pi)

# log(2) in two parts: the first has few bits, so that a whole number of it is exact.
_LN2_HI = _pair(round(math.log(2) * 2**11) / 2**11, round(math.log(2) * 2**32) / 2**32)
_LN2_LO = _pair(*(float(Decimal(2).ln() - Decimal(float(high))) for high in _LN2_HI))
_HALF_LN2, _HALF = _pair(math.log(2) / 2, math.log(2) / 2), _pair(0.5, 0.5)
_INV_LN2, _TWO_INV_LN2 = (_pair(c / math.log(2), c / math.log(2)) for c in (1, 2))

# A number is significand times 2^exponent. The significand has p bits (23 or 52), the exponent is
# stored above them, with a bias (127 or 1023) added. Adding 1.5 * 2^p to a number therefore leaves
# the nearest integer in the lowest bits; with the bias added too, that is an exponent ready to be
# shifted to its place.
_PLACES = 23, 52
_WHOLE = _pair(1.5 * 2**23, 1.5 * 2**52)
_ROUND = _pair(1.5 * 2**23 + 127, 1.5 * 2**52 + 1023)
_NEAR = _pair(1.5 * 2**23 + 64, 1.5 * 2**52 + 512)
_SQRT_HALF, _FOUR = _pair(0.5**0.5, 0.5**0.5), _pair(4, 4)
_EXPONENT_BITS = -(1 << 23), -(1 << 52)

# An exponent moved by so much, and moved back by a multiplication, keeps 2^n inside the range of
# normal numbers where e^x is below or above it.
_SHIFT = _pair(64, 512)
_UP, _DOWN = _pair(2.0**64, 2.0**512), _pair(2.0**-64, 2.0**-512)
_SMALLEST = _pair(2.0**-126, 2.0**-1022)  # that is normal

# Where results are neither 0 nor infinite, nor 1 or -1
_EXP_RANGE = (-104.0, 89.0), (-746.0, 710.0)
_LEAST = _pair(-104, -746)  # of e^x that is not 0
_EXPM1_RANGE = (-40.0, 89.0), (-40.0, 710.0)
_MOST_TANH = _pair(10, 20)
_SIGMOID_RANGE = (-104.0, 32.0), (-746.0, 64.0)


# Functions of one number -----------------------------------------------------------------------


@scalar
def _reduced(x: Number, shift: Number) -> tuple[Number, Number]:
    """Return r and 2^(n + shift), where x = n log(2) + r, |r| <= log(2)/2, Eq. KERNEL.4."""
    to_whole = of(x, _ROUND) + shift
    rounded = x * of(x, _INV_LN2) + to_whole
    power = from_bits(x, bits(rounded) << of(x, _PLACES))
    n = rounded - to_whole
    return (x - n * of(x, _LN2_HI)) - n * of(x, _LN2_LO), power


@scalar
def _clamp(x: Number, ranges: tuple[Any, Any]) -> Number:
    """Return x held between the bounds of its dtype; NaN stays NaN."""
    low, high = of(x, ranges)
    x = type(x)(low) if x < type(x)(low) else x
    return type(x)(high) if x > type(x)(high) else x


@scalar
def _exp(x: Number) -> Number:
    """e^x = 2^n e^r, with n moved towards 0 on the way.

    Where it is 0, a factor is: a product that becomes 0 by itself takes ten times as long.
    """
    y = _clamp(x, _EXP_RANGE)
    shift = of(x, _SHIFT) if y < 0 else -of(x, _SHIFT)
    back = of(x, _DOWN) if y < 0 else of(x, _UP)
    back = type(x)(0) if x < of(x, _LEAST) else back
    r, power = _reduced(y, shift)
    return polynomial(r, _EXP_OF_REST) * power * back


@scalar
def _near_exp(x: Number) -> tuple[Number, Number]:
    """e^x where n + 64 (or n + 512) is not negative and has 7 (10) bits, and bits that tell.

    Then nothing overflows, and 2^n is an addition to the exponent. The polynomial is divided by the
    64th (512th) power of two, so that n + 64 can be added. The bits are those of n + 64, and others
    where x is too far from 0, or NaN.
    """
    rounded = x * of(x, _INV_LN2) + of(x, _NEAR)
    n = rounded - of(x, _NEAR)
    r = (x - n * of(x, _LN2_HI)) - n * of(x, _LN2_LO)
    power = bits(rounded) << of(x, _PLACES)
    value = from_bits(x, bits(polynomial(r, _EXP_NEAR)) + power)
    return value, bits(from_bits(x, bits(rounded) ^ bits(of(x, _WHOLE))))


@scalar
def _exp_below(size: Number) -> Number:
    """e^-size for size >= 0."""
    is_0 = -size < of(size, _LEAST)
    r, power = _reduced(of(size, _LEAST) if is_0 else -size, of(size, _SHIFT))
    return polynomial(r, _EXP_OF_REST) * power * (type(size)(0) if is_0 else of(size, _DOWN))


@scalar
def _expm1(x: Number) -> Number:
    """e^x - 1 = 2^n (e^r - 1) + (2^n - 1), halved on the way so that 2^n does not overflow."""
    r, half_power = _reduced(_clamp(x, _EXPM1_RANGE), type(x)(-1))
    t = r + r * r * polynomial(r, _EXP)
    half = half_power * t + (half_power - type(x)(0.5))
    return x * (type(x)(1) + x * polynomial(x, _EXP_WIDE)) if abs(x) < 1 else half + half


@scalar
def _exp_minus_line(x: Number) -> Number:
    """e^x - 1 - x, from its series where the subtraction would cancel."""
    return x * x * polynomial(x, _EXP_WIDE) if abs(x) < 1 else _expm1(x) - x


@scalar
def _exponent(u: Number) -> Number:
    """Return the bits of k, where u / 2^k is between sqrt(1/2) and sqrt(2), in their place."""
    moved = bits(u) - bits(of(u, _SQRT_HALF))
    return bits(from_bits(u, moved & of(u, _EXPONENT_BITS)))  # in as many bits as those of u


@scalar
def _whole(exponent: Number) -> Number:
    """Return k of its bits in their place: of doubles, those of 2^52 + 2^11 + k, less 2^52 + 2^11.

    AVX2 has no instruction that makes doubles of 64-bit integers, and would do one at a time.
    """
    if isinstance(exponent, np.int32):
        return np.float32(exponent) * np.float32(2.0**-23)
    else:
        k = (np.uint64(exponent) ^ np.uint64(1 << 63)) >> np.uint64(52)
        return np.uint64(k | np.uint64(1075 << 52)).view(np.float64) - np.float64(2.0**52 + 2**11)


@scalar
def _log_sum(f: Number, exponent: Number) -> Number:
    """Return k log(2) + log(1 + f) for the bits of k in their place, 1 + f as `_exponent` says."""
    k = _whole(exponent)
    low = f * f * polynomial(f, _LOG) + k * of(f, _LN2_LO)
    return k * of(f, _LN2_HI) + (f + low)


@scalar
def _log(x: Number) -> Number:
    subnormal = x < of(x, _SMALLEST)
    u = x * type(x)(2.0**60) if subnormal else x
    k = _exponent(u)
    f = from_bits(x, bits(u) - k) - type(x)(1)
    k = bits(from_bits(x, k - (60 << of(x, _PLACES)))) if subnormal else k
    value = _log_sum(f, k)
    value = value if x < type(x)(np.inf) else x  # infinity and NaN
    at_most_0 = type(x)(np.nan) if x < 0 else type(x)(-np.inf)
    return at_most_0 if x <= 0 else value


@scalar
def _log1p(x: Number) -> Number:
    """log(1 + x) = k log(2) + log(1 + f): 1 + f = 2^-k (1 + x), f = 2^-k x + (2^-k - 1).

    One rounding; that of u = 1 + x only chooses k. 2^(2 - k) stands for 2^-k, which may be too
    small.
    """
    u = type(x)(1) + x
    k = _exponent(u)
    power = from_bits(x, bits(of(x, _FOUR)) - k)
    quarter = type(x)(0.25)
    f = (quarter * x) * power + (quarter * power - type(x)(1))
    value = _log_sum(f, k)
    value = value if (x < type(x)(np.inf)) & (u != type(x)(1)) else x  # small, infinite or NaN
    at_most_0 = type(x)(np.nan) if x < -1 else type(x)(-np.inf)
    return at_most_0 if x <= -1 else value


@scalar
def _log1p_unit(x: Number) -> Number:
    """log(1 + x) for 0 <= x <= 1, without the square of x, which may be subnormal."""
    return x + x * (x * polynomial(x, _LOG_UNIT))


@scalar
def _tanh(x: Number) -> Number:
    """tanh(x) = y / (y + 1) with 2 y = e^2|x| - 1 = 2^n (e^2h - 1) + (2^n - 1), and the sign of x.

    h is taken in one step: where n is large the result depends little on it.
    """
    size = of(x, _MOST_TANH) if abs(x) > of(x, _MOST_TANH) else abs(x)
    rounded = size * of(x, _TWO_INV_LN2) + of(x, _ROUND)
    power, half = from_bits(x, bits(rounded) << of(x, _PLACES)), of(x, _HALF)
    h = size - (rounded - of(x, _ROUND)) * of(x, _HALF_LN2)
    y = power * (h + h * h * polynomial(h, _EXP_TWICE)) + (power * half - half)
    return math.copysign(y / (y + type(x)(1)), x)


@scalar
def _sigmoid(x: Number) -> Number:
    """1 / (1 + e^-x) = 1 / (1 + 2^n + 2^n (e^r - 1)), the larger of 1 and 2^n added last.

    Numerator and denominator are moved towards 0, for e^-x may overflow where the result does not.
    """
    one = of(x, _DOWN)
    r, power = _reduced(-_clamp(x, _SIGMOID_RANGE), -of(x, _SHIFT))
    larger, smaller = (one, power) if power < one else (power, one)
    return one / (larger + (smaller + power * (r + r * r * polynomial(r, _EXP))))


@scalar
def _softplus(x: Number) -> Number:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    return (x if x > 0 else type(x)(0)) + _log1p_unit(_exp_below(abs(x)))


# Loops over whole arrays, taken flat -------------------------------------------------------------


_AT_ONCE = 1024  # numbers that are done again if one of them is far from 0


@inner
def _all_near_exp(x: Array, out: Array) -> Any:
    """Write e^x, and tell whether all x were near enough to 0."""
    seen = _near_exp(x.dtype.type(0))[1]
    for i in range(np.uintp(x.size)):
        out[i], found = _near_exp(x[i])
        seen = type(seen)(seen | found)  # in as many bits
    return 0 <= seen < (128 if x.itemsize == 4 else 1024)


@block_kernel
def exp(start: int, stop: int, x: Array, out: Array) -> None:
    for low in range(start, stop, _AT_ONCE):
        some, to = x[low : min(low + _AT_ONCE, stop)], out[low : min(low + _AT_ONCE, stop)]
        if not _all_near_exp(some, to):
            for i in range(np.uintp(some.size)):
                to[i] = _exp(some[i])


def _over_all(function: Any) -> BlockKernel:
    """Return the loop that writes the function of every x."""

    def loop(start: int, stop: int, x: Array, out: Array) -> None:
        for i in range(np.uintp(start), np.uintp(stop)):
            out[i] = function(x[i])

    loop.__name__ = function.__name__.lstrip("_")
    return block_kernel(loop)


expm1, log, log1p = map(_over_all, (_expm1, _log, _log1p))
tanh, sigmoid, softplus = map(_over_all, (_tanh, _sigmoid, _softplus))


@block_kernel
def softplus_backward(start: int, stop: int, g: Array, y: Array, out: Array) -> None:
    for i in range(np.uintp(start), np.uintp(stop)):
        out[i] = g[i] * -_expm1(-y[i])


# Loops over rows -------------------------------------------------------------------------------
#
# Row r goes with row (first + r) % B of an array that has B rows. Sums are kept in float64, of
# terms that are written down first: a loop that also adds up doubles has half as wide registers.


@summing_inner
def _total(terms: Array) -> float:
    """The sum, in float64."""
    total = 0.0
    for d in range(np.uintp(terms.size)):
        total += terms[d]
    return total


@scalar
def _log_sinh_ratio(x: Number) -> Number:
    """log(sinh(x/2) / (x/2)) for |x| <= 2."""
    return x * x * polynomial(x * x, _LOG_SINH)


@scalar
def _coth_excess(x: Number) -> Number:
    """coth(x/2) / 2 - 1/x for |x| <= 2."""
    return x * polynomial(x * x, _COTH)


@block_kernel
def binomial_log_prob(
    start: int, stop: int, x: Array, n_trials: float, logits: Array, out: Array
) -> None:
    n = logits.dtype.type(n_trials)
    zero, terms = logits.dtype.type(0), np.empty(logits.shape[1], logits.dtype)
    for r in range(start, stop):
        row, data = logits[r], x[r % x.shape[0]]
        for d in range(np.uintp(row.size)):  # two short loops: more of their turns overlap
            terms[d] = _exp_below(abs(row[d]))
        for d in range(np.uintp(row.size)):
            # x l - n softplus(l), with n max(l, 0) taken out of the softplus
            trials = n if row[d] > 0 else zero
            terms[d] = (data[d] - trials) * row[d] - n * _log1p_unit(terms[d])
        out[r] = _total(terms)


@block_kernel
def binomial_log_prob_backward(
    start: int, stop: int, x: Array, n_trials: float, g: Array, logits: Array, out: Array
) -> None:
    n = logits.dtype.type(n_trials)
    for r in range(start, stop):
        row, data, to, weight = logits[r], x[r % x.shape[0]], out[r], g[r]
        for d in range(row.size):
            to[d] = weight * (data[d] - n * _sigmoid(row[d]))


@block_kernel
def continuous_bernoulli_log_prob(
    start: int, stop: int, x: Array, logits: Array, out: Array
) -> None:
    zero, half, one = logits.dtype.type(0), logits.dtype.type(0.5), logits.dtype.type(1)
    terms = np.empty(logits.shape[1], logits.dtype)
    for r in range(start, stop):
        row, data = logits[r], x[r % x.shape[0]]
        for d in range(row.size):
            size = abs(row[d])
            # (x - 1/2) l - log(sinh(l/2) / (l/2)), and away from 0 the same without overflow
            near = (data[d] - half) * row[d] - _log_sinh_ratio(row[d])
            step = one if row[d] > 0 else zero
            far = (data[d] - step) * row[d] + _log(size / -_expm1(-size))
            terms[d] = near if size < 2 else far
        out[r] = _total(terms)


@block_kernel
def continuous_bernoulli_log_prob_backward(
    start: int, stop: int, x: Array, g: Array, logits: Array, out: Array
) -> None:
    half, one = logits.dtype.type(0.5), logits.dtype.type(1)
    for r in range(start, stop):
        row, data, to, weight = logits[r], x[r % x.shape[0]], out[r], g[r]
        for d in range(row.size):
            size = abs(row[d])
            near = (data[d] - half) - _coth_excess(row[d])
            rest = one / size - one / _expm1(size)
            far = (data[d] - one) + rest if row[d] > 0 else data[d] - rest
            to[d] = weight * (near if size < 2 else far)


@block_kernel
def gaussian_log_prob(
    start: int, stop: int, x: Array, mu: Array, log_var: Array, out: Array
) -> None:
    terms = np.empty(mu.shape[1], mu.dtype)
    for r in range(start, stop):
        data, centre, spread = x[r % x.shape[0]], mu[r], log_var[r]
        for d in range(np.uintp(centre.size)):
            distance = data[d] - centre[d]
            terms[d] = spread[d] + distance * distance * _exp(-spread[d])
        out[r] = -0.5 * (centre.size * _LOG_2_PI + _total(terms))


@block_kernel
def gaussian_log_prob_backward(
    start: int, stop: int, x: Array, g: Array, mu: Array, log_var: Array, d_mu: Array,
    d_log_var: Array,
) -> None:  # fmt: skip
    half, one = mu.dtype.type(0.5), mu.dtype.type(1)
    for r in range(start, stop):
        data, centre, spread = x[r % x.shape[0]], mu[r], log_var[r]
        to, to_spread, weight = d_mu[r], d_log_var[r], g[r]
        for d in range(centre.size):
            distance = data[d] - centre[d]
            scaled = distance * _exp(-spread[d])
            to[d] = weight * scaled
            to_spread[d] = weight * (half * (distance * scaled - one))


@summing_block_kernel
def gaussian_log_prob_shared(
    start: int, stop: int, x: Array, log_var: float, mu: Array, out: Array
) -> None:
    precision = _exp(-log_var)
    for r in range(start, stop):
        data, centre = x[r % x.shape[0]], mu[r]
        squared = 0.0
        for d in range(centre.size):
            squared += (data[d] - centre[d]) * (data[d] - centre[d])
        out[r] = -0.5 * (centre.size * (_LOG_2_PI + log_var) + squared * precision)


@summing_block_kernel
def gaussian_log_prob_shared_backward(
    start: int, stop: int, x: Array, log_var: float, g: Array, mu: Array, d_mu: Array,
    d_log_var: Array,
) -> None:  # fmt: skip
    precision = _exp(-log_var)
    for r in range(start, stop):
        data, centre, to = x[r % x.shape[0]], mu[r], d_mu[r]
        weight = mu.dtype.type(g[r] * precision)
        squared = 0.0
        for d in range(centre.size):
            distance = data[d] - centre[d]
            to[d] = weight * distance
            squared += distance * distance
        d_log_var[r] = 0.5 * g[r] * (squared * precision - centre.size)


@block_kernel
def gaussian_kl(start: int, stop: int, mu: Array, log_var: Array, out: Array) -> None:
    terms = np.empty(mu.shape[1], mu.dtype)
    for r in range(start, stop):
        centre, spread = mu[r], log_var[r]
        for d in range(np.uintp(centre.size)):
            terms[d] = centre[d] * centre[d] + _exp_minus_line(spread[d])
        out[r] = 0.5 * _total(terms)


@block_kernel
def gaussian_kl_backward(
    start: int, stop: int, g: Array, mu: Array, log_var: Array, d_mu: Array, d_log_var: Array
) -> None:
    half = mu.dtype.type(0.5)
    for r in range(start, stop):
        centre, spread, to, to_spread, weight = mu[r], log_var[r], d_mu[r], d_log_var[r], g[r]
        for d in range(centre.size):
            to[d] = weight * centre[d]
            to_spread[d] = weight * (half * _expm1(spread[d]))


@block_kernel
def reparameterise(
    start: int, stop: int, eps: Array, mu: Array, log_var: Array, out: Array
) -> None:
    """All flat; numbers b to the last of the data go with some of eps, then they begin anew."""
    half, first = mu.dtype.type(0.5), start
    while first < stop:
        b = first % mu.size
        end = min(stop, first + mu.size - b)
        before = np.uintp(first - b)
        for i in range(np.uintp(first), np.uintp(end)):
            out[i] = mu[i - before] + _exp(half * log_var[i - before]) * eps[i]
        first = end


@block_kernel
def reparameterise_backward(
    start: int, stop: int, log_var: Array, g: Array, eps: Array, d_mu: Array, d_log_var: Array
) -> None:
    """All flat."""
    half, low, high, first = g.dtype.type(0.5), np.uintp(start), np.uintp(stop), np.uintp(0)
    for i in range(low, high):
        d_mu[i] = 0
        d_log_var[i] = 0
    while first < np.uintp(g.size):  # every sample of these numbers
        for i in range(low, high):
            d_mu[i] += g[first + i]
            d_log_var[i] += g[first + i] * eps[first + i]
        first += np.uintp(log_var.size)
    for i in range(low, high):
        d_log_var[i] *= half * _exp(half * log_var[i])
