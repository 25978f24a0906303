"""A generator whose draws are a script: all roads together have the moments of the law itself."""

import itertools

import numpy as np
import pytest

from minivae.gradcheck.scripted import Law, Scripted, TooMany, Unscripted, law_from, paths


def mean(estimate, law=None, nodes=4, most=10_000):
    """The expectation over all roads, and how many there are."""
    script, said = Scripted(law or Law(), nodes, most), set()

    def watched(rng):
        value = np.asarray(estimate(rng), np.float64)
        said.add(rng.roads)
        return value

    found = list(paths(watched, script, most))
    assert sum(p for p, _ in found) == pytest.approx(1.0)
    assert said == {len(found)}
    return sum(p * x for p, x in found), len(found)


def powers(x):
    return np.stack([x, x**2, x**3])


LOW, HIGH = np.array([1.0, -2.0]), np.array([2.0, 4.0])
UNIFORM = [(HIGH ** (k + 1) - LOW ** (k + 1)) / (k + 1) / (HIGH - LOW) for k in (1, 2, 3)]
EXPECTED = {
    "normal": (lambda r: powers(r.normal(LOW, HIGH)),
               [LOW, LOW**2 + HIGH**2, LOW**3 + 3 * LOW * HIGH**2], 16),
    "as it is": (lambda r: powers(r.normal()), [0, 1, 0], 4),
    "one normal": (lambda r: powers(r.normal(1.0, 2.0)), [1, 5, 13], 4),
    "three normals": (lambda r: powers(r.normal(1.0, 2.0, 3)), np.outer([1, 5, 13], [1] * 3), 64),
    "standard": (lambda r: powers(r.standard_normal(2)), [[0, 0], [1, 1], [0, 0]], 16),
    "uniform": (lambda r: powers(r.uniform(LOW, HIGH)), UNIFORM, 16),
    "one uniform": (lambda r: powers(r.uniform()), [1 / 2, 1 / 3, 1 / 4], 4),
    "random": (lambda r: powers(r.random((1, 2))), [[[1 / k] * 2] for k in (2, 3, 4)], 16),
    "integers": (lambda r: powers(r.integers(3)), [1, 5 / 3, 3], 3),
    "from 1": (lambda r: powers(r.integers(1, 3, size=2)), np.outer([1.5, 2.5, 4.5], [1, 1]), 4),
    "with the end": (lambda r: powers(r.integers(1, 3, endpoint=True)), [2, 14 / 3, 12], 3),
    "choice": (lambda r: powers(r.choice([1.0, 2.0], p=[0.25, 0.75])), [1.75, 3.25, 6.25], 2),
    "two choices": (lambda r: r.choice(2, (1, 2)), [[0.5, 0.5]], 4),
    "of columns": (lambda r: r.choice(np.arange(6).reshape(2, 3), axis=1), [1, 4], 3),
    "without replacement": (
        lambda r: [(x := r.choice(3, 2, replace=False)).prod(), x[0] == x[1]], [2 / 3, 0], 6),
    "permutation": (lambda r: r.permutation(3) @ [0, 1, 10], 11, 6),
    "of rows": (lambda r: r.permutation(np.eye(2)), np.full((2, 2), 0.5), 2),
    "of an axis": (lambda r: r.permutation([[1, 2, 9]], axis=1), [[4, 4, 4]], 6),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_all_roads_have_the_laws_moments(name):
    estimate, expected, roads = EXPECTED[name]
    found, n = mean(estimate)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert n == roads


def test_draws_are_put_where_they_are_asked_for():
    def in_place(rng):
        out, rows = np.empty((2, 1)), np.array([[1.0, 2.0], [3.0, 4.0]])
        assert rng.standard_normal(out=out) is out
        again = np.empty(1)
        assert rng.random(out=again) is again
        rng.shuffle(rows, axis=1)
        assert (rows[:, 0] != rows[:, 1]).all()
        return np.concatenate([out.ravel() ** 2, again, rows.ravel()])

    found, roads = mean(in_place, nodes=2)
    np.testing.assert_allclose(found, [1, 1, 0.5, 1.5, 1.5, 3.5, 3.5])
    assert roads == 2**4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types_and_shapes_are_a_generators(dtype):
    ours, theirs = Scripted(Law(), 2, 100), np.random.default_rng(0)
    for call in (
        lambda r: r.standard_normal(),
        lambda r: r.standard_normal((2, 3), dtype=dtype),
        lambda r: r.random(3, dtype=dtype),
        lambda r: r.normal(np.zeros((2, 1)), np.ones(3)),
        lambda r: r.uniform(size=()),
        lambda r: r.integers(5, size=(2, 2)),
        lambda r: r.integers(5, size=2, dtype=np.int32),
        lambda r: r.choice(np.eye(3), 2),
        lambda r: r.permutation(4),
    ):
        found, expected = np.asarray(call(ours)), np.asarray(call(theirs))
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


def test_a_stated_law_stands_in():
    signs = law_from("signs")
    found, roads = mean(lambda r: powers(r.standard_normal(2)), signs)
    np.testing.assert_allclose(found, [[0, 0], [1, 1], [0, 0]])
    assert roads == 4
    rows = law_from(("set", [[1.0, 2.0], [3.0, 5.0], [0.0, 0.0]], [0.5, 0.25, 0.25]))
    found, roads = mean(lambda r: r.standard_normal((2, 1, 2)), rows)
    np.testing.assert_allclose(found, [[[1.25, 2.25]]] * 2)
    assert roads == 9
    with pytest.raises(Unscripted, match=r"shape \(3,\), where the set has rows of shape \(2,\)"):
        mean(lambda r: r.standard_normal(3), rows)
    # of a minibatch's rows only the first are in disorder
    law = law_from(("minibatches", 4, 2))
    found, roads = mean(lambda r: r.permutation(4), law)
    assert roads == 12
    firsts = itertools.permutations(range(4), 2)
    orders = [(*two, *sorted({0, 1, 2, 3} - set(two))) for two in firsts]
    np.testing.assert_allclose(found, np.mean(orders, axis=0))
    assert mean(lambda r: r.permutation(3), law)[1] == 6
    assert law_from(None) == law_from("normal") == Law()
    assert law_from("sample") is None


@pytest.mark.parametrize(
    "noise",
    [
        "normals", 3, (), ("set", [1.0]), ("set", [1.0, 2.0], [0.5]), ("set", [1, 2], [1.5, -0.5]),
        ("set", [1.0], [0.9]), ("set", [], []), ("set", 1.0, 1.0), ("set", [1.0], [[1.0]]),
        ("minibatches", 4), ("minibatches", 4, 5), ("minibatches", 4, 0), ("minibatches", 4.0, 2),
        ("minibatches", 4, 2.0), (3, 4, 5),
    ],
    ids=str,
)  # fmt: skip
def test_a_law_that_is_none_is_refused(noise):
    with pytest.raises(ValueError, match="check_unbiased: "):
        law_from(noise)


@pytest.mark.parametrize(
    ("estimate", "error"),
    [
        (lambda r: r.integers([1, 2]), Unscripted),
        (lambda r: r.integers(0, [1, 2]), Unscripted),
        (lambda r: r.choice(3, replace=False, p=[0.2, 0.3, 0.5]), Unscripted),
        (lambda r: r.gamma(2.0), Unscripted),
        (lambda r: r.integers(101), TooMany),
        (lambda r: r.permutation(5), TooMany),
        (lambda r: r.random(7), TooMany),
        (lambda r: [r.integers(1) for _ in range(5002)], TooMany),
    ],
)
def test_what_has_no_script_or_too_many_roads_is_refused(estimate, error):
    with pytest.raises(error):
        mean(estimate, nodes=2, most=100)


def test_as_many_roads_as_there_may_be():
    assert mean(lambda r: r.integers(100), most=101)[1] == 100
    assert mean(lambda r: r.permutation(4), most=25)[1] == 24
    script = Scripted(Law(), 2, 100)
    assert script.integers(100) == 0
    np.testing.assert_array_equal(script.pool, np.arange(100))
    assert (script.asked, script.integrated) == (1, 0)
    script.standard_normal(3)
    assert (script.asked, script.integrated) == (4, 3)
    script.choice([5, 6], 2)
    script.permutation(3)
    assert (script.asked, script.pool.tolist()) == (9, [5, 6])
