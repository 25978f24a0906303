"""The fitted coefficients: fitted again, and their errors."""

import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from minivae_kernels import _loops

sys.path.insert(0, str(Path(__file__).parent))
import coefficients


@pytest.mark.slow
@pytest.mark.parametrize("name", coefficients.TABLES)
def test_fitting_again_gives_the_same(name):
    ours = getattr(_loops, name)
    again = coefficients.table(name)
    assert {type(c) for c in ours} <= {float, np.float32}
    # The points of largest error lie on a grid: the last digits are not determined.
    np.testing.assert_allclose(ours, again, rtol=1e-3 if name.endswith("32") else 1e-6)


@pytest.mark.parametrize("name", coefficients.TABLES)
def test_errors_are_a_fraction_of_a_unit(name):
    fit, _ = coefficients.TABLES[name]
    ours = [Decimal(float(c)) for c in reversed(getattr(_loops, name))]
    unit = 2.0 ** (-24 if name.endswith("32") else -53)
    assert max(map(abs, coefficients.errors(ours, 0, fit))) < Decimal(0.3 * unit)
