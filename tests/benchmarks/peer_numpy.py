"""NumPy, with OpenBLAS behind its matrix products."""

from __future__ import annotations

from typing import Any

import cases
import numpy as np
import scipy.special
from threadpoolctl import threadpool_limits

VERSION = f"numpy {np.__version__}"
_FUNCTIONS = {
    "exp": np.exp,
    "tanh": np.tanh,
    "log1p": np.log1p,
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(x, np.float32(0.0)),
}


def set_threads(n: int) -> None:
    threadpool_limits(n)


def prepare(case: str) -> Any:
    if case.startswith("product"):
        a, b = cases.product_data(case)
        return lambda: a @ b, lambda: {"answer": cases.fingerprint(a @ b)}
    f, x = _FUNCTIONS[case.split()[1]], cases.function_data(case)
    return lambda: f(x), lambda: {"answer": cases.fingerprint(f(x))}
