"""The fitted coefficients in the loops: what they are fitted to, and the fit itself.

``python tests/kernels/coefficients.py`` prints all tables. A polynomial of given degree has the
least largest error when that error is reached with alternating sign at as many points as there are
coefficients, and one more (Chebyshev); Remez's exchange finds those points. Everything is computed
with sixty digits.
"""

import math
from collections.abc import Callable
from decimal import Decimal, getcontext
from typing import NamedTuple

import numpy as np

getcontext().prec = 60
GRID = 300
LOG_2, ROOT_2 = Decimal(2).ln(), Decimal(2).sqrt()


def exp_excess(r: Decimal) -> Decimal:
    """(e^r - 1 - r) / r^2."""
    return (r.exp() - 1 - r) / (r * r) if abs(r) > 1e-14 else Decimal("0.5") + r / 6


def exp_weight(r: Decimal) -> Decimal:
    """What an error of the above is in e^r, relatively."""
    return max(r * r, Decimal("1e-10")) / r.exp()


def log_excess(f: Decimal) -> Decimal:
    """(log(1 + f) - f) / f^2."""
    return ((1 + f).ln() - f) / (f * f) if abs(f) > 1e-14 else Decimal("-0.5") + f / 3


def log_weight(f: Decimal) -> Decimal:
    """What an error of the above is in log(1 + f), relatively."""
    return abs(f * f / (1 + f).ln()) if abs(f) > 1e-9 else Decimal("1e-9")


class Fit(NamedTuple):
    """A function, the weight of its errors, and the interval."""

    function: Callable[[Decimal], Decimal]
    weight: Callable[[Decimal], Decimal]
    low: Decimal
    high: Decimal


# The intervals are a little longer than what rounding leaves of the argument.
EXP = Fit(exp_excess, exp_weight, -LOG_2 / 2 - Decimal("1e-4"), LOG_2 / 2 + Decimal("1e-4"))
LOG = Fit(log_excess, log_weight, 1 / ROOT_2 - 1 - Decimal("1e-6"), ROOT_2 - 1 + Decimal("1e-6"))
LOG_UNIT = Fit(log_excess, log_weight, Decimal("1e-4"), Decimal(1))
TABLES = {
    "_EXP_32": (EXP, 4),
    "_EXP_64": (EXP, 9),
    "_LOG_32": (LOG, 8),
    "_LOG_64": (LOG, 19),
    "_LOG_UNIT_32": (LOG_UNIT, 8),
    "_LOG_UNIT_64": (LOG_UNIT, 20),
}


def points(fit: Fit) -> list[Decimal]:
    """A grid that is denser towards the ends."""
    middle, half = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
    return [middle - half * Decimal(math.cos(math.pi * i / GRID)) for i in range(GRID + 1)]


def errors(coefficients: list[Decimal], lowest: int, fit: Fit) -> list[Decimal]:
    """The weighted errors on the grid of sum_k c_k x^(lowest + k)."""
    found = []
    for x in points(fit):
        value = Decimal(0)
        for c in reversed(coefficients):
            value = value * x + c
        found.append(fit.weight(x) * (value * x**lowest - fit.function(x)))
    return found


def remez(fit: Fit, degree: int, lowest: int = 0) -> list[Decimal]:
    """Coefficients of x^lowest to x^degree with the least largest weighted error."""
    grid = points(fit)
    values, weights = [fit.function(x) for x in grid], [fit.weight(x) for x in grid]
    count = degree - lowest + 2
    chosen = [round(i * GRID / (count - 1)) for i in range(count)]
    coefficients: list[Decimal] = []
    for _ in range(20):
        rows = [
            [*(grid[p] ** k for k in range(lowest, degree + 1)), (-1) ** i / weights[p], values[p]]
            for i, p in enumerate(chosen)
        ]
        coefficients = solve(rows)[:-1]
        off = errors(coefficients, lowest, fit)
        runs: list[list[int]] = []  # neighbours whose errors have one sign
        for i, e in enumerate(off):
            if runs and (off[runs[-1][0]] >= 0) == (e >= 0):
                runs[-1].append(i)
            else:
                runs.append([i])
        peaks = [max(run, key=lambda i: abs(off[i])) for run in runs]
        while len(peaks) > count:
            peaks.pop(0 if abs(off[peaks[0]]) < abs(off[peaks[-1]]) else -1)
        if len(peaks) < count or peaks == chosen:
            break
        chosen = peaks
    return coefficients


def solve(rows: list[list[Decimal]]) -> list[Decimal]:
    """Gauss's elimination, the right-hand side being the last column."""
    n = len(rows)
    for i in range(n):
        best = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[best] = rows[best], rows[i]
        for r in range(i + 1, n):
            m = rows[r][i] / rows[i][i]
            rows[r] = [a - m * b for a, b in zip(rows[r], rows[i], strict=True)]
    x = [Decimal(0)] * n
    for i in reversed(range(n)):
        x[i] = (rows[i][n] - sum(rows[i][c] * x[c] for c in range(i + 1, n))) / rows[i][i]
    return x


def rounded(fit: Fit, degree: int, kind: type) -> list[Decimal]:
    """Round one coefficient after the other, and fit the higher ones again each time."""
    fixed: list[Decimal] = []
    while True:

        def rest(x: Decimal) -> Decimal:
            return fit.function(x) - sum(c * x**k for k, c in enumerate(fixed))

        others = remez(fit._replace(function=rest), degree, len(fixed))
        if len(others) == 1:
            return fixed + others
        fixed.append(Decimal(float(kind(float(others[0])))))


def table(name: str) -> list[float]:
    """A table as it stands in the loops, highest power first."""
    fit, degree = TABLES[name]
    kind = np.float32 if name.endswith("32") else np.float64
    coefficients = rounded(fit, degree, kind) if name == "_LOG_UNIT_32" else remez(fit, degree)
    return [kind(float(c)) for c in reversed(coefficients)]


if __name__ == "__main__":
    for name in TABLES:
        print(name, *table(name), sep="\n    ")
