"""What stands in for arrays while a fault is explained: one use moved, each use drawn anew."""

import numpy as np
import pytest

from minivae.gradcheck.redrawn import Redrawing, _Redrawn
from minivae.gradcheck.uses import through_each_use

X, G = np.array([0.5, -1.0]), np.array([2.0, 3.0])
TOTAL = G.sum() * np.ones(2)
USES = {
    "ufuncs, items and arrays": (
        lambda x: np.exp(x) * x[0] + np.asarray(x),
        [G * np.exp(X) * 0.5, [(G * np.exp(X)).sum(), 0.0], G],
    ),
    "methods": (lambda x: x.sum() + x.copy() * len(x), [TOTAL, 2 * G]),
    "functions of lists": (lambda x: np.stack([x, 3 * np.ones(2), x]).sum(axis=0), [G, G]),
    "by name": (lambda x: np.sum(a=x) + np.clip(x, a_min=-9, a_max=x + 9), [TOTAL, 0 * G, G]),
    "six": (lambda x: x + x + x + x + x + x, [G] * 6),
    "seven": (lambda x: x + x + x + x + x + x + x, []),
    "one": (lambda x: x * np.ones(x.shape) * x.ndim, []),
    "none": (lambda x: np.ones(x.size), []),
    "no NumPy": (lambda x: x + x.nothing, []),
}


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("position", [0, 1])
def test_the_gradient_of_each_use_is_its_own(name, position):
    f, expected = USES[name]
    arrays = [np.full(2, 7.0)] * 2
    arrays[position] = X
    parts = through_each_use(lambda *a: f(a[position]), arrays, position, G)
    assert len(parts) == len(expected)
    for part, own in zip(parts, expected, strict=True):
        np.testing.assert_allclose(part, own, atol=1e-9)


def counted(late):
    """A generator whose n-th draw is n, in as many numbers as are asked for."""
    rng = Redrawing(np.random.default_rng(0), late)

    class Counting:
        n = 0

        def integers(self, size=()):
            Counting.n += 1
            return np.full(size, Counting.n)

        random = integers

    rng._rng = Counting()
    return rng


@pytest.mark.parametrize("late", [False, True])
def test_each_use_is_drawn_anew(late):
    draw = counted(late).random((2,))
    for n in (1, 2):
        np.testing.assert_array_equal(np.asarray(draw), [n, n])
    assert np.asarray(draw, dtype=np.float32).dtype == np.float32
    assert draw.shape == (2,)
    assert len(draw) == 2
    one = counted(late).integers()
    assert (float(one), int(one), range(9)[one]) == (1.0, 2, 3)


@pytest.mark.parametrize(
    ("compute", "first", "second"),
    [
        (lambda x: x * 10, [10, 10], [20, 20]),
        (lambda x: 10 - x, [9, 9], [8, 8]),
        (lambda x: np.cumsum(x), [1, 2], [2, 4]),
        (lambda x: x[1], 1, 2),
        (lambda x: x.sum(), 4, 6),  # one draw to see that it is a method
        (lambda x: np.clip(0, 5, x), 1, 2),
    ],
)
def test_what_is_computed_is_drawn_anew_if_it_is_late(compute, first, second):
    drawn = compute(counted(False).random((2,)))
    assert not isinstance(drawn, _Redrawn)
    np.testing.assert_array_equal(drawn, first)
    late = compute(counted(True).random((2,)))
    assert isinstance(late, _Redrawn)
    for value in (first, second):
        np.testing.assert_array_equal(np.asarray(late), value)


@pytest.mark.parametrize("late", [False, True])
def test_what_several_draws_make_is_drawn_at_once(late):
    rng = counted(late)
    a, b = rng.random((2,)), rng.random((2,))
    np.testing.assert_array_equal(a + b, [3, 3])
    np.testing.assert_array_equal(np.stack([a, (b, [5, 5])[1]]), [[3, 3], [5, 5]])
    np.testing.assert_array_equal(np.concatenate((a, b)), [4, 4, 5, 5])
