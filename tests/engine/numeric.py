"""Derivatives by differences, to hold the engine's against.

Four points instead of two: with steps of 1e-3 and functions of order one, both the cut-off terms
and the rounding stay near 1e-12.
"""

import numpy as np

from minivae import ops, value_and_grad, vjp

STEP = 1e-3


def slope(f, arrays, directions, step=STEP):
    """The derivative of ``f`` at ``arrays`` along ``directions``, of the shape of its value."""

    def at(t):
        moved = (a + t * d for a, d in zip(arrays, directions, strict=True))
        return np.asarray(f(*moved), dtype=np.float64)

    with np.errstate(invalid="ignore"):  # infinities
        return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)


def normal_like(arrays, rng):
    """A random direction for each array."""
    return [rng.standard_normal(a.shape) for a in arrays]


def length(arrays):
    """The Euclidean norm of several arrays taken as one vector."""
    return float(np.sqrt(sum(np.sum(np.square(a)) for a in arrays)))


def inner(left, right):
    """The inner product of several arrays taken as one vector."""
    return float(sum(np.sum(a * b) for a, b in zip(left, right, strict=True)))


def gradient_error(f, arrays, rng):
    """How far the engine's gradient is from differences, relative to its length.

    The value may have any shape: a random cotangent is pulled back, and compared along a random
    direction.
    """
    value, pull_back = vjp(f, *arrays)
    g = rng.standard_normal(value.shape)
    gradients = pull_back(g)
    directions = normal_like(arrays, rng)
    exact = inner([g], [slope(f, arrays, directions)])
    size = max(length(gradients) * length(directions), abs(exact))
    return abs(inner(gradients, directions) - exact) / size if size else 0.0


def curvature_error(f, arrays, rng):
    """How far the engine's second derivatives are from differences of its first."""
    weights = rng.standard_normal(np.shape(f(*arrays)))
    directions = normal_like(arrays, rng)
    numbers = tuple(range(len(arrays)))

    def gradients(*xs):
        return value_and_grad(lambda *ys: ops.sum(f(*ys) * weights), numbers)(*xs)[1]

    def along(*xs):
        return sum(ops.sum(g * d) for g, d in zip(gradients(*xs), directions, strict=True))

    second = value_and_grad(along, numbers)(*arrays)[1]
    differences = [
        slope(lambda *xs, i=i: gradients(*xs)[i], arrays, directions) for i in range(len(arrays))
    ]
    size = max(length(second), length(differences))
    apart = length([a - b for a, b in zip(second, differences, strict=True)])
    return apart / size if size > 1e-9 else apart
