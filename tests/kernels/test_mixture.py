"""The mixture and k-means kernels: twins, exact cases, threads, far offsets, the interpreter."""

from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivae_kernels as kernels
from minivae_kernels import clustering, mixture, mixture_reference
from minivae_kernels._blocks import BLOCK, STRIDE, workspace

TYPES = mixture.COVARIANCE_TYPES
DTYPES = [np.float32, np.float64]


def mixture_of(K, D, kind, rng, offset=0.0):
    """Weights, means and factors of some mixture."""
    U = np.triu(0.3 * rng.normal(size=(K, D, D)), 1) + (0.3 + rng.random((K, D, 1))) * np.eye(D)
    scales = 0.3 + rng.random((K, D))
    factors = {"full": U, "tied": U[0], "diag": scales, "spherical": scales[:, 0]}
    return rng.dirichlet(np.ones(K)), offset + 2 * rng.normal(size=(K, D)), factors[kind], kind


@numba.njit
def room(rows):
    """A workspace's shape, and the address of each of its rows."""
    found = workspace(rows)
    return found.shape, [found[r].ctypes.data for r in range(rows)]


def test_a_workspaces_rows_begin_where_cache_lines_do():
    for rows in (1, 2, 3, 5, 8, 13):
        shape, begins = room(rows)
        assert shape == (rows, STRIDE)
        assert not any(begin % 64 for begin in begins)


def options_of(name, N, K, D, rng):
    return {
        "plain": {},
        "weights": {"sample_weight": rng.random(N) * (rng.random(N) < 0.8)},
        "labels": {"labels": rng.integers(-1, K, N)},
        "centres": {"centres": rng.normal(size=(K, D))},
        "given": {"responsibilities": rng.dirichlet(np.ones(K), N)},
        "all": {
            "sample_weight": rng.random(N),
            "labels": rng.integers(-1, K, N),
            "centres": rng.normal(size=(K, D)),
            "responsibilities": rng.dirichlet(np.ones(K), N),
        },
    }[name]


rows = st.one_of(st.integers(1, 20), st.sampled_from([255, 256, 257, 300, 520]))
OPTIONS = ["plain", "weights", "labels", "centres", "given", "all"]


@given(
    rows,
    st.integers(1, 14),
    st.integers(1, 6),
    st.sampled_from(TYPES),
    st.sampled_from(OPTIONS),
    st.sampled_from(DTYPES),
    st.integers(0, 2**32),
)
def test_the_pass_agrees_with_its_twin(N, D, K, kind, option, dtype, seed):
    rng = np.random.default_rng(seed)
    X, theta = rng.normal(size=(N, D)).astype(dtype), mixture_of(K, D, kind, rng)
    options = options_of(option, N, K, D, rng)
    got = mixture.mixture_statistics(X, *theta, **options)
    expected = mixture_reference.mixture_statistics(X, *theta, **options)
    for a, b in zip(got, expected, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11 * N * D)


@given(rows, st.integers(1, 9), st.integers(1, 6), st.sampled_from(TYPES), st.sampled_from(DTYPES))
def test_densities_agree_with_their_twins(N, D, K, kind, dtype):
    rng = np.random.default_rng(N * D * K)
    X, theta = rng.normal(size=(N, D)).astype(dtype), mixture_of(K, D, kind, rng)
    for name in ("mixture_log_prob", "mixture_responsibilities", "mixture_labels"):
        got = getattr(mixture, name)(X, *theta)
        expected = getattr(mixture_reference, name)(X, *theta)
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", TYPES)
def test_far_away_points_have_responsibilities_and_a_log_density(kind):
    theta = (np.array([0.5, 0.5]), np.array([[0.0, 0.0], [1.0, 0.0]]))
    factors = {"full": np.eye(2)[None].repeat(2, 0), "tied": np.eye(2), "diag": np.ones((2, 2))}
    X = np.array([[1e6, 0.0], [-1e100, 3.0], [0.5, 1e150]])
    theta = (*theta, factors.get(kind, np.ones(2)), kind)
    log_p = mixture.mixture_log_prob(X, *theta)
    np.testing.assert_allclose(log_p[:2], -0.5 * np.array([999999.0**2, 1e200]), rtol=1e-6)
    r = mixture.mixture_responsibilities(X, *theta)
    np.testing.assert_array_equal(r[0], [0, 1])
    np.testing.assert_allclose(r.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(r[2], [0.5, 0.5])


def test_a_component_without_weight_takes_nothing():
    rng = np.random.default_rng(0)
    weights, means, U, kind = mixture_of(3, 2, "full", rng)
    weights = np.array([0.4, 0.0, 0.6])
    X = rng.normal(size=(40, 2))
    statistics = mixture.mixture_statistics(X, weights, means, U, kind)
    assert statistics.counts[1] == 0
    assert not statistics.first[1].any()
    assert not statistics.second[1].any()
    two = mixture.mixture_log_prob(X, weights[[0, 2]], means[[0, 2]], U[[0, 2]], kind)
    np.testing.assert_allclose(mixture.mixture_log_prob(X, weights, means, U, kind), two)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", TYPES)
def test_sums_far_from_the_origin_are_exact(kind, dtype):
    """Clusters 2e4 or 2e8 apart: whatever one shift is taken, it is far from one of them."""
    offset = 1e4 if dtype == np.float32 else 1e8
    rng = np.random.default_rng(0)
    quarters = rng.integers(-8, 9, (600, 3)) / 4  # exact at either offset
    signs = np.where(np.arange(600) < 300, 1.0, -1.0)[:, None]
    X = (signs * offset + quarters).astype(dtype)
    assert (X.astype(np.float64) == signs * offset + quarters).all()
    means = np.array([[offset] * 3, [-offset] * 3])
    one = {"full": np.eye(3)[None].repeat(2, 0), "tied": np.eye(3), "diag": np.ones((2, 3))}
    theta = (np.array([0.5, 0.5]), means, one.get(kind, np.ones(2)), kind)
    got = mixture.mixture_statistics(X, *theta)
    exact = [[[sum(Fraction(a) * Fraction(b) for a, b in zip(x, y, strict=True)) for x in half.T]
              for y in half.T] for half in (quarters[:300], quarters[300:])]  # fmt: skip
    exact = np.array(exact, dtype=float)
    second = {
        "full": exact,
        "tied": exact.sum(0),
        "diag": np.diagonal(exact, axis1=1, axis2=2),
        "spherical": np.trace(exact, axis1=1, axis2=2),
    }
    np.testing.assert_array_equal(got.counts, [300, 300])
    np.testing.assert_array_equal(got.first, [quarters[:300].sum(0), quarters[300:].sum(0)])
    np.testing.assert_array_equal(got.second, second[kind])


def test_a_long_sum_of_log_densities_keeps_its_digits():
    X = np.full((200_000, 1), 0.1)
    theta = (np.ones(1), np.zeros((1, 1)), np.ones((1, 1)), "diag")
    one = mixture.mixture_log_prob(X[:1], *theta)[0]
    total = mixture.mixture_statistics(X, *theta).log_likelihood
    assert abs(total - 200_000 * one) <= 4e-16 * abs(total)


@pytest.mark.parametrize("kind", TYPES)
def test_one_thread_or_many_the_bits_are_the_same(kind):
    rng = np.random.default_rng(0)
    X, theta = rng.normal(size=(30_011, 7)), mixture_of(5, 7, kind, rng)
    draws, centres = rng.random((9, 5)), rng.normal(size=(5, 7))
    before = kernels.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            kernels.set_num_threads(threads)
            results.append([
                *mixture.mixture_statistics(X, *theta),
                mixture.mixture_responsibilities(X, *theta),
                clustering.kmeans_plus_plus(X, draws),
                *clustering.lloyd_step(X, centres),
            ])  # fmt: skip
    finally:
        kernels.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_rows_are_cut_into_whole_blocks():
    X = np.zeros((100_000, 3))
    made = mixture._Mixture("", X, *mixture_of(4, 3, "full", np.random.default_rng(0)))
    size, parts = made.parts()
    assert 1 < parts <= 16
    assert size % BLOCK == 0
    assert size * (parts - 1) < 100_000 <= size * parts


def test_refusals_name_every_shape():
    weights, means, U, kind = mixture_of(2, 3, "full", np.random.default_rng(0))
    X = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"_log_prob: got X \(4, 2\).*means \(2, 3\).*same D"):
        mixture.mixture_log_prob(X[:, :2], weights, means, U, kind)
    with pytest.raises(ValueError, match=r"precisions_cholesky \(2, 3, 3\); for 2 .* for diag"):
        mixture.mixture_log_prob(X, weights, means, U, "diag")
    with pytest.raises(ValueError, match="'round' is not one of 'full'"):
        mixture.mixture_log_prob(X, weights, means, U, "round")
    with pytest.raises(ValueError, match=r"sample_weight \(3,\); sample_weight must be \(4,\)"):
        mixture.mixture_statistics(X, weights, means, U, kind, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match=r"centres \(2, 2\)"):
        mixture.mixture_statistics(X, weights, means, U, kind, centres=np.ones((2, 2)))
    with pytest.raises(TypeError, match="float32 or float64, not int64"):
        mixture.mixture_log_prob(X.astype(np.int64), weights, means, U, kind)
    with pytest.raises(ValueError, match="of the same D"):
        clustering.lloyd_step(X, np.ones((2, 2)))
    with pytest.raises(ValueError, match="a number for each row"):
        clustering.lloyd_step(X, means, labels=np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="a number for each row"):
        clustering.kmeans_plus_plus(X, np.zeros((1, 1)), sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="two axes"):
        clustering.kmeans_plus_plus(X, np.zeros(3))


def test_what_is_no_label_or_no_mixture_is_refused_before_memory_is_touched():
    X, parameters = np.zeros((600, 2)), (np.ones(2) / 2, np.zeros((2, 2)), np.ones((2, 2)), "diag")
    with pytest.raises(ValueError, match="labels must be below 2, the number of components"):
        mixture.mixture_statistics(X, *parameters, labels=np.full(600, 2))
    with pytest.raises(ValueError, match="a centre for each label"):
        clustering.lloyd_step(X, np.zeros((2, 2)), labels=np.full(600, 2))
    with pytest.raises(ValueError, match="a centre for each label, and one at least"):
        clustering.lloyd_step(X, np.zeros((0, 2)))
    nothing = (np.empty(0), np.empty((0, 2)), np.empty((0, 2)), "diag")
    with pytest.raises(ValueError, match="at least one component and one feature"):
        mixture.mixture_log_prob(X, *nothing)
    for i, name in enumerate(("weights", "means", "precisions")):
        bad = [x if isinstance(x, str) else x.copy() for x in parameters]
        bad[i].flat[-1] = np.nan
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            mixture.mixture_log_prob(X, *bad)


def test_an_impossible_label_makes_the_log_likelihood_minus_infinite():
    X = np.random.default_rng(0).normal(size=(900, 2))
    labels = np.full(900, -1)
    labels[0] = 1
    parameters = (np.array([1.0, 0.0]), np.zeros((2, 2)), np.ones((2, 2)), "diag")
    assert mixture.mixture_statistics(X, *parameters, labels=labels).log_likelihood == -np.inf


@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_and_read_only_arrays_make_no_difference(dtype):
    rng = np.random.default_rng(0)
    X, theta = rng.normal(size=(50, 4)).astype(dtype), mixture_of(3, 4, "full", rng)
    expected = mixture.mixture_log_prob(X, *theta)
    locked = X.copy()
    locked.flags.writeable = False
    for same in (np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], locked):
        np.testing.assert_array_equal(mixture.mixture_log_prob(same, *theta), expected)


# K-means -----------------------------------------------------------------------------------------


@given(rows, st.integers(1, 9), st.integers(1, 7), st.sampled_from(DTYPES), st.integers(0, 2**32))
def test_k_means_agrees_with_its_twins(N, D, K, dtype, seed):
    rng = np.random.default_rng(seed)
    # Whole numbers: sums are exact, and of equally good candidates both take the first.
    X, centres = rng.integers(-9, 9, (N, D)).astype(dtype), rng.integers(-9, 9, (K, D)) / 1.0
    weight = rng.integers(1, 5, N) / 4
    for options in ({}, {"sample_weight": weight}, {"labels": rng.integers(-1, K, N)}):
        got = clustering.lloyd_step(X, centres, **options)
        expected = mixture_reference.lloyd_step(X, centres, **options)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * N)
    draws = rng.random((min(N, 6), 1 + K))
    for options in ({}, {"sample_weight": weight}, {"centres": centres}):
        np.testing.assert_array_equal(
            clustering.kmeans_plus_plus(X, draws, **options),
            mixture_reference.kmeans_plus_plus(X, draws, **options),
        )


def test_seeds_are_distinct_rows_and_end_when_there_are_no_more():
    X = np.repeat(np.array([[0.0, 0], [1, 0], [5, 5]]), [1000, 1, 1000], axis=0)
    draws = np.random.default_rng(0).random((6, 3))
    seeds = clustering.kmeans_plus_plus(X, draws)
    assert sorted(map(tuple, X[seeds])) == [(0, 0), (1, 0), (5, 5)]
    assert len(clustering.kmeans_plus_plus(X, draws, centres=X[[0, 1000, 1001]])) == 0
    rest = clustering.kmeans_plus_plus(X, draws, centres=X[[0, 1001]])
    np.testing.assert_array_equal(X[rest], [[1, 0]])


def test_rows_without_weight_are_no_seeds():
    X = np.arange(600.0)[:, None]
    weight = np.zeros(600)
    weight[[3, 599]] = 1e-3
    draws = np.random.default_rng(0).random((5, 4))
    assert set(clustering.kmeans_plus_plus(X, draws, sample_weight=weight)) == {3, 599}


def test_seeds_are_drawn_by_squared_distance():
    X = np.array([[0.0], [1.0], [3.0]])
    u = (np.arange(1000) + 0.5) / 1000
    second = [clustering.kmeans_plus_plus(X, np.array([[v]]), centres=X[:1])[0] for v in u]
    np.testing.assert_array_equal(np.bincount(second), [0, 100, 900])


INTERPRETED = """
import numpy as np
from minivae_kernels import clustering, mixture, mixture_reference as reference

rng = np.random.default_rng(0)
for D in (1, 2, 6):
    K, X = 3, rng.normal(size=(9, D))
    U = np.triu(0.3 * rng.normal(size=(K, D, D)), 1) + np.eye(D)
    for kind, factors in (("full", U), ("tied", U[0]), ("diag", 1 + rng.random((K, D)))):
        theta = np.full(K, 1 / K), rng.normal(size=(K, D)), factors, kind
        labels = rng.integers(-1, K, 9)
        for got, expected in zip(
            mixture.mixture_statistics(X, *theta, labels=labels),
            reference.mixture_statistics(X, *theta, labels=labels),
        ):
            np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)
        for name in ("mixture_log_prob", "mixture_responsibilities", "mixture_labels"):
            got, expected = (getattr(room, name)(X, *theta) for room in (mixture, reference))
            np.testing.assert_allclose(got, expected, rtol=1e-12)
    draws, centres = rng.random((4, 3)), rng.normal(size=(3, D))
    for got, expected in zip(clustering.lloyd_step(X, centres), reference.lloyd_step(X, centres)):
        np.testing.assert_allclose(got, expected)
    seeds = clustering.kmeans_plus_plus(X, draws)
    np.testing.assert_array_equal(seeds, reference.kmeans_plus_plus(X, draws))
print("agree")
"""


def test_interpreted_kernels_agree_with_their_twins(run_python):
    run = run_python(INTERPRETED, NUMBA_DISABLE_JIT="1")
    assert run.stdout == "agree\n", run.stderr
