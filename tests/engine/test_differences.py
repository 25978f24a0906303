"""The steps of a numerical derivative, each against what it is made of."""

import numpy as np
import pytest

from minivae.gradcheck.differences import (
    ODD,
    _hidden,
    _kinks,
    _plateau,
    _Quotient,
    _quotient,
    _richardson,
    _scale,
    _scatter,
    _steps,
    slope,
)


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def row(*values, **more):
    return [_Quotient(**{"step": 1.0, "central": 0.0, "gap": 0.0, "noise": 0.0, **q, **more})
            for q in values]  # fmt: skip


def halving(central, **more):
    return row(*[{"step": 2.0**-k, "central": c} for k, c in enumerate(central)], **more)


@pytest.mark.parametrize(
    ("x", "scale"), [(0, 1), (0.3, 1), (1, 1), (-1.5, 2), (2, 2), (-3, 4), (4, 4), (1e6, 2**20)]
)
def test_a_scale_is_the_next_power_of_two(x, scale):
    assert _scale(float(x)) == scale


def test_steps_go_from_far_beyond_to_the_last_digits():
    for ratio in (2.0, 4.0):
        steps = np.array(_steps(0.0, ratio)) / ODD
        np.testing.assert_array_equal(steps, ratio ** np.arange(len(steps))[::-1] * steps[-1])
        assert (steps[0], steps[-1]) == (2.0 ** (11 if ratio == 2 else 10), 2.0**-66)
    steps = _steps(1.0, 2.0)
    assert steps[0] == ODD * 2.0**11
    assert np.spacing(1.0) <= steps[-1] < 2 * np.spacing(1.0)
    huge, small = np.array(_steps(2.0**100, 2.0)), np.array(_steps(-(2.0**-200), 2.0))
    assert huge[0] == ODD * 2.0**103
    assert np.spacing(2.0**100) <= huge[-1] < 2 * np.spacing(2.0**100)
    assert {ODD * 2.0**-k for k in (197, 210, 66)} <= set(small)
    assert small[-1] >= np.spacing(2.0**-200)


def test_a_quotient_weighs_its_outputs_and_knows_its_rounding():
    g, x, h = np.array([2.0, -3.0]), 1.0, 0.25

    def f(t):
        return np.array([t**2, abs(t - 1)])

    q = _quotient(f, x, f(x), g, np.abs(g), h)
    assert q.step == h
    assert q.central == pytest.approx(2 * 2.0, rel=1e-12)
    assert q.gap == pytest.approx(abs(2 * 2 * h - 3 * 2), rel=1e-12)
    rounding = 2 * (np.spacing(1.5625) + np.spacing(0.5625)) + 3 * 2 * np.spacing(0.25)
    assert q.noise == pytest.approx((rounding + 1e-15 * 2 * 1.0) / (2 * h), rel=1e-6)
    assert _quotient(f, x, f(x), g, np.abs(g), 1e-17) is None
    assert _quotient(lambda t: f(t) * np.nan, x, f(x), g, np.abs(g), h) is None


def test_the_leading_error_cancels():
    steps = np.array([0.7, 0.35, 0.1])
    exact = row(*[{"step": h, "central": 3 * 2.0**2 + h**2} for h in steps])  # of x^3 at 2
    np.testing.assert_allclose(_richardson(exact), [12.0, 12.0], rtol=1e-14)
    assert len(_richardson(exact[:1])) == len(_richardson([])) == 0


def test_a_kink_is_where_the_sides_stay_apart():
    def of(gaps, central=1.0, noise=0.0):
        kinks, significant = _kinks(row(*[{"gap": g} for g in gaps], central=central, noise=noise))
        return kinks.tolist(), significant.tolist()

    assert of([1, 1, 1]) == ([True] * 3, [True] * 3)
    assert of([1, 0.5, 0.25]) == ([False] * 3, [True] * 3)
    assert of([1, 0.5, 0.4]) == ([False, False, True], [True] * 3)
    assert of([1, 0.75, 0.75]) == ([False, False, True], [True] * 3)
    assert of([1, 1], noise=0.2) == ([False] * 2, [False] * 2)
    assert of([1, 1], noise=0.1) == ([True] * 2, [True] * 2)
    assert of([1, 1], central=2e6) == ([False] * 2, [False] * 2)
    assert of([1]) == ([True], [True])


def test_a_plateau_is_where_the_derivative_changes_least():
    found = _plateau(halving([9.0, 5.0, 2.0, 2.0, 2.0, 2.0, 7.0]), window=3)
    assert found.kind == "smooth"
    assert (found.value, found.error, found.step) == (2.0, 0.0, 2.0**-4)
    noisy = _plateau(halving([9.0, 5.0, 2.0, 2.0, 2.0, 2.0, 7.0], noise=0.01), window=3)
    assert noisy.error == pytest.approx(0.02)
    assert _plateau(halving([1.0, 1.0, 1.0]), window=3) is None
    assert _plateau(halving([1.0, 1.0, 1.0, 1.0]), window=3).value == 1.0
    assert _plateau(halving([1.0] * 5, gap=1.0), window=3) is None  # a kink
    assert _plateau(halving([0.0] * 5), window=3) is None  # relative to nothing
    assert _plateau(halving([0.0] * 5), window=3, absolute=True).value == 0.0
    # two flat pieces: the one whose error is less in proportion, or in itself
    two = halving([3.0, 3.0, 3.1, 900.0, 900.0, 901.0, 900.0, 0.0])
    assert _plateau(two, window=2).value > 800
    assert _plateau(two, window=2, absolute=True).value < 4


def test_scatter_grows_as_one_over_the_step():
    found = _scatter(halving([4.0, 4.0, 4.0, 4.3, 4.0]), 1.0)
    r = _richardson(halving([4.0, 4.0, 4.0, 4.3, 4.0]))
    assert found == pytest.approx(np.mean(np.abs(np.diff(r)) * [2.0**-2, 2.0**-3, 2.0**-4]))
    assert _scatter(halving([4.0, 5.0]), 1.0) == 0.0
    assert _scatter(halving([4.0, 5.0, 4.0, 5.0]), 0.25) == 0.0
    assert _hidden(-3.0, np.array([2.0, 1.0])) == 3 * np.spacing(3.0)
    assert _hidden(0.1, np.array([2.0])) == 2 * np.spacing(1.0)


SMOOTH = {
    "exp": (np.exp, np.exp, [0.3, -4.0, 20.0]),
    "sine of a large number": (np.sin, np.cos, [1e4, 3e6]),
    "cube": (lambda t: t**3, lambda t: 3 * t**2, [1e-5, 1e5, 1e-100]),
    "nearly flat": (lambda t: 1 + 1e-9 * t, lambda t: 1e-9, [0.5]),
    "root": (np.sqrt, lambda t: 0.5 / np.sqrt(t), [1e-12, 1e12]),
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("thorough", [False, True])
def test_the_error_covers_what_is_wrong(name, thorough):
    f, derivative, points = SMOOTH[name]
    for x in points:
        right = 2.0 * derivative(x)
        for claim in (right, 1.5 * right):
            found = slope(lambda t: np.array([f(t)]), x, np.array([2.0]), claim, thorough)
            assert found.kind == "smooth"
            assert abs(found.value - right) <= 8 * found.error + 1e-12 * abs(right)
            assert found.error <= 0.02 * abs(right)


def test_what_has_no_derivative_is_a_kink_or_rough():
    def kind(f, x):
        return slope(lambda t: np.array([f(t)]), x, np.ones(1), 0.0).kind

    assert kind(abs, 0.0) == "kink"
    assert kind(lambda t: max(t, 0.0), 0.0) == "kink"
    assert kind(lambda t: np.nan if t > 0.5 else t, 0.5) in ("kink", "rough")
    still = slope(lambda t: np.array([3.0]), 1.0, np.ones(1), 0.0)
    assert (still.kind, still.value) == ("smooth", 0.0)
