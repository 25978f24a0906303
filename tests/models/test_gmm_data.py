"""Mixtures on hard data, and data in other forms: far away, degenerate, on disk, in chunks."""

import tracemalloc
import warnings

import numpy as np
import pytest

from minivae.errors import ConvergenceWarning, DtypeError, ShapeError
from minivae.models.mixture import GaussianMixture
from minivae.models.mixture import initialise as start_room
from minivae.models.mixture.data import Data

TYPES = ("full", "tied", "diag", "spherical")


def clusters(N=300, D=2, K=3, seed=0, spread=6.0):
    rng = np.random.default_rng(seed)
    z = rng.integers(K, size=N)
    return spread * rng.normal(size=(K, D))[z] + rng.normal(size=(N, D))


def fit(X, K, kind="full", **options):
    """A fit about whose warnings the test does not ask."""
    arguments = {n: options.pop(n) for n in ("sample_weight", "labels") if n in options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(K, covariance_type=kind, **options).fit(X, **arguments)


def start_of(X, K, kind):
    rng, D = np.random.default_rng(0), X.shape[1]
    unit = {"full": np.repeat(np.eye(D)[None], K, 0), "tied": np.eye(D), "diag": np.ones((K, D))}
    return {
        "weights_init": np.full(K, 1 / K),
        "means_init": np.array(X[np.sort(rng.choice(len(X), K, replace=False))], dtype=float),
        "precisions_init": unit.get(kind, np.ones(K)) / 4,
    }


def assert_same(a, b, rtol=1e-10):
    np.testing.assert_allclose(a.lower_bounds_, b.lower_bounds_, rtol=rtol)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=rtol)


# Far from the origin -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e4), (np.float64, 1e8)])
@pytest.mark.parametrize("method", start_room.METHODS)
def test_an_offset_changes_nothing_but_the_means(kind, dtype, offset, method):
    X = np.round(clusters() * 64) / 64  # exact at either offset, but for the last bits
    X = (X + offset).astype(dtype).astype(np.float64) - offset
    near = fit(X, 3, kind, init_params=method, random_state=0, max_iter=20)
    far = fit((X + offset).astype(dtype), 3, kind, init_params=method, random_state=0, max_iter=20)
    np.testing.assert_allclose(far.lower_bounds_, near.lower_bounds_, rtol=1e-7)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(far.means_ - offset, near.means_, atol=1e-6)


@pytest.mark.parametrize("kind", TYPES)
def test_clusters_as_far_apart_as_from_the_origin(kind):
    """About no common shift do both clusters keep their digits."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2)) + np.where(np.arange(400) < 200, 1e8, -1e8)[:, None]
    model = fit(X, 2, kind, random_state=0)
    for half in (X[:200], X[200:]):
        centred = half - half.mean(axis=0)
        k = int(np.abs(model.means_ - half.mean(axis=0)).sum(axis=1).argmin())
        C, expected = model.covariances_, centred.T @ centred / 200
        if kind == "full":
            np.testing.assert_allclose(C[k], expected, rtol=1e-6, atol=1e-7)
        elif kind == "diag":
            np.testing.assert_allclose(C[k], np.diag(expected), rtol=1e-6)
        elif kind == "spherical":
            assert C[k] == pytest.approx(np.trace(expected) / 2, rel=1e-6)


@pytest.mark.parametrize("kind", TYPES)
def test_means_begun_far_from_the_data_lose_no_digits(kind):
    X = clusters(K=1)
    units = {"full": np.eye(2)[None], "tied": np.eye(2), "diag": np.ones((1, 2))}
    unit = units.get(kind, np.ones(1))
    start = {"weights_init": [1], "means_init": [[1e9, -1e9]], "precisions_init": unit * 1e-12}
    for reg_covar in (0, 1e-6):
        model = fit(X, 1, kind, reg_covar=reg_covar, max_iter=1, **start)
        best = fit(X, 1, kind, reg_covar=reg_covar)
        np.testing.assert_allclose(model.means_, best.means_, rtol=1e-6)
        np.testing.assert_allclose(model.covariances_, best.covariances_, rtol=1e-6)


def test_a_point_at_which_all_densities_underflow():
    X = np.vstack([clusters(), [[1e7, 1e7]]])
    model = fit(X, 3, random_state=0, **start_of(clusters(), 3, "full"))
    assert np.isfinite(model.lower_bound_)
    np.testing.assert_allclose(model.predict_proba([[1e140, 0.0]]).sum(), 1)
    assert np.isfinite(model.score_samples([[1e140, 0.0]])).all()


# Degenerate data ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_a_collapsed_component_is_named(kind):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(100, 2)), np.full((5, 2), 30.0)])
    if kind == "tied":  # one covariance for all collapses only with all
        X = np.vstack([np.zeros((50, 2)), np.ones((50, 2)) * [1, 2], np.ones((50, 2)) * [3, -1]])
    K = 3 if kind == "tied" else 2
    model = GaussianMixture(K, covariance_type=kind, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"components? .*\d.* collapsed: reg_covar=1e-06"):
        model.fit(X)
    point = int(np.abs(model.means_ - 30).sum(axis=1).argmin())
    assert model.collapsed_.tolist() == ([0, 1, 2] if kind == "tied" else [point])
    assert model.empty_.tolist() == []
    assert np.isfinite(model.lower_bound_)
    if kind == "full":
        np.testing.assert_allclose(np.linalg.eigvalsh(model.covariances_[point]), [1e-6] * 2)


@pytest.mark.parametrize("kind", TYPES)
def test_nothing_is_said_of_healthy_data(kind):
    model = GaussianMixture(3, covariance_type=kind, random_state=0, n_init=3).fit(clusters())
    assert model.converged_
    assert model.collapsed_.tolist() == []
    assert model.empty_.tolist() == []


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_without_a_floor_a_collapse_ends_the_climb_where_there_still_is_a_density(kind):
    X = np.vstack([clusters(K=1), [[50.0, 50]]])
    start = start_of(X, 2, kind) | {"means_init": [[0, 0], [45.0, 45]]}
    model = GaussianMixture(2, covariance_type=kind, reg_covar=0, **start)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X)
    assert any("component 1 collapsed, and with reg_covar=0" in str(w.message) for w in caught)
    assert not model.converged_
    assert np.isfinite(model.score_samples(X)).all()
    assert model.lower_bound_ == pytest.approx(model.score(X))
    assert len(model.lower_bounds_) == model.n_iter_


@pytest.mark.parametrize("kind", TYPES)
def test_without_a_floor_a_start_without_a_density_is_refused(kind):
    X = np.repeat([[0.0, 0], [1, 1]], 5, axis=0)
    model = GaussianMixture(2, covariance_type=kind, reg_covar=0)
    with pytest.raises(ValueError, match=r"ill-defined empirical covariance .* components? "):
        model.fit(X)
    assert not hasattr(model, "means_")


def test_fewer_distinct_rows_than_components():
    X = np.repeat([[0.0, 0], [5, 5]], 20, axis=0)
    for method in ("kmeans", "k-means++", "random_from_data"):
        model = GaussianMixture(4, init_params=method, random_state=0)
        with pytest.warns(ConvergenceWarning) as caught:
            model.fit(X)
        messages = " / ".join(str(w.message) for w in caught)
        assert "only 2 distinct rows for 4 components" in messages
        assert "collapsed" in messages
        assert np.isfinite(model.lower_bound_)


def test_an_empty_component_is_named():
    X = clusters()
    start = start_of(X, 3, "full")
    start["means_init"][1] = 1e5
    model = GaussianMixture(3, **start)
    with pytest.warns(ConvergenceWarning, match="component 1 ran empty"):
        model.fit(X)
    assert model.empty_.tolist() == [1]
    np.testing.assert_array_equal(model.means_[1], [1e5, 1e5])  # any would do: it is kept
    assert model.weights_[1] == 0
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.parametrize("kind", TYPES)
def test_constant_features_are_reported_and_not_taken_for_a_collapse(kind):
    X = clusters(D=3)
    X[:, 1] = 7.0
    model = GaussianMixture(3, covariance_type=kind, random_state=0)
    if kind == "spherical":
        model.fit(X)
    else:
        words = "less than reg_covar=1e-06 in 1 of 3 directions"
        with pytest.warns(ConvergenceWarning, match=words):
            model.fit(X)
    assert model.collapsed_.tolist() == []
    np.testing.assert_array_equal(model.means_[:, 1], [7, 7, 7])
    without = fit(X[:, [0, 2]], 3, kind, random_state=0)
    if kind != "spherical":
        constant = -0.5 * np.log(2 * np.pi * 1e-6)
        assert model.lower_bound_ == pytest.approx(without.lower_bound_ + constant, rel=1e-9)


@pytest.mark.parametrize("kind", TYPES)
def test_a_single_row(kind):
    with pytest.warns(ConvergenceWarning):
        model = GaussianMixture(1, covariance_type=kind).fit([[3.0, 4.0]])
    np.testing.assert_array_equal(model.means_, [[3, 4]])
    assert model.predict([[3.0, 4.0]]).tolist() == [0]


# Weights -----------------------------------------------------------------------------------------


def test_rows_without_weight_do_not_count():
    X = clusters()
    weight = (np.arange(len(X)) % 3 > 0).astype(float)
    start = start_of(X, 3, "full")
    a = fit(X, 3, sample_weight=weight, max_iter=10, **start)
    b = fit(X[weight > 0], 3, max_iter=10, **start)
    assert_same(a, b)
    with pytest.raises(ValueError, match=r"n_components = 3, n_samples = 2"):
        GaussianMixture(3).fit(X, sample_weight=np.arange(len(X)) < 2)
    for method in start_room.METHODS:
        model = fit(np.vstack([X, [[1e9, 0]]]), 3, init_params=method, random_state=0,
                    sample_weight=np.append(np.ones(len(X)), 0))  # fmt: skip
        assert (np.abs(model.means_) < 100).all()


def test_the_scale_of_the_weights_does_not_matter():
    X, weight = clusters(), np.random.default_rng(0).random(300)
    start = start_of(X, 3, "diag")
    a = fit(X, 3, "diag", sample_weight=weight, max_iter=10, **start)
    b = fit(X, 3, "diag", sample_weight=1e6 * weight, max_iter=10, **start)
    assert_same(a, b)


# Chunks and files --------------------------------------------------------------------------------


class Chunks:
    """Rows in chunks of uneven length; counts how often it was gone through."""

    def __init__(self, X, cuts=(7, 100, 101, 250)):
        self.parts = np.split(X, cuts)
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return iter(self.parts)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_disk_and_chunks_agree(kind, dtype, tmp_path, monkeypatch):
    X = clusters().astype(dtype)
    weight, labels = np.random.default_rng(0).random(300), np.arange(300) % 4 - 1
    options = {"max_iter": 10, "tol": 0, "sample_weight": weight, "labels": labels}
    options |= start_of(X, 3, kind)
    path = tmp_path / "X.npy"
    np.save(path, X)
    whole = fit(X, 3, kind, **options)
    monkeypatch.setattr("minivae.models.mixture.data._NUMBERS", 100)  # the file in pieces
    chunks = Chunks(X)
    assert_same(fit(chunks, 3, kind, **options), whole)
    assert chunks.passes == 1 + 10 + 1  # to check the rows, the iterations, the final bound
    assert_same(fit([*chunks], 3, kind, **options), whole)
    assert_same(fit(np.load(path, mmap_mode="r"), 3, kind, **options), whole)
    other_order = X.dtype.newbyteorder()
    swapped = np.memmap(tmp_path / "swapped", dtype=other_order, mode="w+", shape=X.shape)
    swapped[:] = X
    assert_same(fit(swapped, 3, kind, **options), whole)


def test_starts_are_found_on_a_sample_of_many_rows(monkeypatch):
    monkeypatch.setattr(start_room, "LIMIT", 64)
    X = clusters(2000)
    best = fit(X, 3, tol=1e-8, max_iter=300, n_init=5, random_state=0)
    for method in start_room.METHODS:
        for data in (X, Chunks(X)):
            patience = {"tol": 1e-8, "max_iter": 300, "n_init": 12}  # a plateau may be given up
            model = fit(data, 3, init_params=method, random_state=1, **patience)
            assert model.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-4)
    sample = Data("test", X).sample(64, np.random.default_rng(0)).X
    assert len(np.unique(sample, axis=0)) == 64
    same = Data("test", Chunks(X)).sample(64, np.random.default_rng(0)).X
    np.testing.assert_array_equal(sample, same)


@pytest.mark.parametrize("weighted", [False, True])
def test_k_means_goes_on_from_its_sample_with_all_rows(monkeypatch, weighted):
    monkeypatch.setattr(start_room, "LIMIT", 64)
    X, K = clusters(2000), 3
    weight = np.random.default_rng(0).integers(0, 3, 2000) * 1.0 if weighted else np.ones(2000)
    options = {"max_iter": 0, "random_state": 1, "sample_weight": weight if weighted else None}
    model = fit(Chunks(X), K, **options)
    shares = np.round(model.weights_ * weight.sum())
    np.testing.assert_allclose(model.weights_, shares / weight.sum())  # of all, and not of 64
    nearest = ((X[:, None] - model.means_) ** 2).sum(axis=2).argmin(axis=1)
    for k in range(K):  # the clusters' means and covariances, but for the last move of the centres
        mine = nearest == k
        assert abs(shares[k] - weight[mine].sum()) < 0.01 * weight.sum()
        mean = np.average(X[mine], axis=0, weights=weight[mine])
        np.testing.assert_allclose(model.means_[k], mean, atol=0.05)
        scatter = np.cov(X[mine].T, bias=True, aweights=weight[mine])
        np.testing.assert_allclose(model.covariances_[k], scatter, atol=0.1)


def test_k_means_goes_through_all_rows_until_the_centres_stand_still():
    class Counted(Data):
        passes = 0

        def map(self, function):
            self.passes += 1
            return super().map(function)

    X = np.array([[0.0], [1.0], [10.0], [14.0]])
    data, far = Counted("test", X), Counted("test", X)
    still = start_room.k_means_of_all(data, np.array([[0.5], [12.0], [99.0]]), 1e-12)
    np.testing.assert_array_equal(still, [[0.5], [12.0], [99.0]])  # and one without rows stays
    moved = start_room.k_means_of_all(far, np.array([[0.0], [1.0], [99.0]]), 1e-12)
    np.testing.assert_array_equal(moved, [[0.5], [12.0], [99.0]])
    assert (data.passes, far.passes) == (1, 3)  # the last one sees that nothing moves


def test_a_generator_is_refused_with_a_word_why():
    X = clusters()
    with pytest.raises(ValueError, match="generator, which can be gone through only once"):
        GaussianMixture(2).fit(part for part in np.split(X, 3))
    with pytest.raises(ValueError, match="list_iterator, which can be gone through only once"):
        GaussianMixture(2).fit(iter([X]))

    class Once:
        def __init__(self):
            self.parts = iter([X])

        def __iter__(self):
            return self.parts

    with pytest.raises(ValueError, match="the same rows each time"):
        GaussianMixture(2).fit(Once())


def test_chunks_that_change():
    X = clusters(D=3)
    with pytest.raises(ShapeError, match=r"1 has shape \(10, 2\); all chunks must have 3 columns"):
        GaussianMixture(2).fit([X, X[:10, :2]])
    with pytest.raises(ValueError, match=r"chunk 1\[2, 0\] = nan"):
        GaussianMixture(2).fit([X, np.where(np.arange(300)[:, None] == 2, np.nan, X)])
    with pytest.raises(ShapeError, match="no chunks"):
        GaussianMixture(2).fit(Chunks(X).__class__(X[:0], cuts=()).parts[:0] or set())

    class Growing:
        n = 0

        def __iter__(self):
            self.n += 1
            return iter([X] * self.n)

    with pytest.raises(ValueError, match="gave 300 rows at first and another number"):
        GaussianMixture(2).fit(Growing())


def test_a_file_with_a_hole_names_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("minivae.models.mixture.data._NUMBERS", 200)
    X = clusters()
    X[123, 1] = np.inf
    np.save(tmp_path / "X.npy", X)
    with pytest.raises(ValueError, match=r"X\[123, 1\] = inf"):
        GaussianMixture(2).fit(np.load(tmp_path / "X.npy", mmap_mode="r"))


@pytest.mark.parametrize("kind", TYPES)
def test_memory_does_not_grow_with_the_data(kind):
    """Nothing of N rows by K components is kept: 100,000 rows in 8 would take 6.4 MB."""
    X = np.random.default_rng(0).normal(size=(100_000, 3)).astype(np.float32)
    model = GaussianMixture(8, covariance_type=kind, max_iter=2, tol=0, **start_of(X, 8, kind))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)  # compiled, helpers too
        tracemalloc.start()
        model.fit(X)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1e6


# Bad data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        ([1.0, 2, 3], {}, ShapeError, r"\(3,\); it must be \(N, D\)"),
        (np.zeros((2, 2, 2)), {}, ShapeError, "must be flattened"),
        (np.zeros((0, 2)), {}, ShapeError, "at least one datum"),
        ([["a", "b"]], {}, DtypeError, "real numbers"),
        ([[1.0, np.nan], [2, 3]], {}, ValueError, r"X\[0, 1\] = nan"),
        ([[1.0, 3], [np.inf, 3]], {}, ValueError, r"X\[1, 0\] = inf"),
        ([[1.0, 3], [1e200, 3]], {}, ValueError, r"X\[1, 0\] = 1e\+200 is too large"),
        (np.eye(2), {"sample_weight": [1, -1]}, ValueError, r"sample_weight\[1\] = -1"),
        (np.eye(2), {"sample_weight": [1, np.nan]}, ValueError, r"sample_weight\[1\] = nan"),
        (np.eye(2), {"sample_weight": [0, 0]}, ValueError, "is 0 for all 2 rows"),
        (np.eye(2), {"sample_weight": [1, 1, 1]}, ShapeError, r"\(3,\); it must be \(2,\)"),
        (np.eye(2), {"labels": [0, 2]}, ValueError, r"labels\[1\] = 2 is out of range.* to 1"),
        (np.eye(2), {"labels": [-2, 0]}, ValueError, r"labels\[0\] = -2 is out of range"),
        (np.eye(2), {"labels": [0.5, 0]}, ValueError, "whole numbers"),
        (np.eye(2), {"labels": ["a", "b"]}, ValueError, "whole numbers"),
        (np.eye(2), {"labels": [0]}, ShapeError, r"\(1,\); they must be \(2,\)"),
        (np.ones((1, 2)), {}, ValueError, "Expected n_samples >= n_components"),
    ],
)
def test_bad_data_are_refused_and_the_model_stays_as_it_was(data, options, error, message):
    model = GaussianMixture(2, random_state=0).fit(clusters())
    before = {name: np.copy(value) for name, value in vars(model).items() if name.endswith("_")}
    for method in (model.fit, GaussianMixture(2).fit, GaussianMixture(2).partial_fit):
        with pytest.raises(error, match=message):
            method(data, **options)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(model, name), value)


@pytest.mark.parametrize("kind", TYPES)
def test_only_the_ratio_of_weights_counts_whatever_numpy_was_told(kind):
    X = clusters(N=80, K=2, seed=3)
    first = fit(X, 2, kind, random_state=0)
    with np.errstate(all="raise"):
        for weight in 1e-300, 1e-307, 1e300:
            scaled = fit(X, 2, kind, random_state=0, sample_weight=np.full(80, weight))
            np.testing.assert_allclose(scaled.means_, first.means_, rtol=1e-9)
            assert scaled.lower_bound_ == pytest.approx(first.lower_bound_, rel=1e-9)
        uneven = np.where(np.arange(80) < 40, 1.0, 1e-300)
        some = fit(X, 2, kind, random_state=0, sample_weight=uneven)
        assert some.lower_bound_ == pytest.approx(
            some.score_samples(X[:40]).mean(), rel=1e-9
        )
        for weight in 1e-310, 5e-324:
            with pytest.raises(ValueError, match=r"sample_weight is .* at most"):
                fit(X, 2, kind, sample_weight=np.full(80, weight))


@pytest.mark.parametrize("kind", TYPES)
def test_variances_that_are_not_normal_numbers_are_none(kind):
    X = clusters(N=60, K=1)
    small = fit(X * 1e-150, 1, kind, reg_covar=0)
    same = fit(X, 1, kind, reg_covar=0).lower_bound_ + 300 * np.log(10)
    assert small.lower_bound_ == pytest.approx(same, rel=1e-9)
    for scale in 1e-155, 1e-160, 1e-200:
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            fit(X * scale, 1, kind, reg_covar=0)


def test_the_means_of_labelled_rows():
    X = np.random.default_rng(0).normal(size=(50, 2))
    labels = np.random.default_rng(1).integers(-1, 2, 50)  # none of component 2
    known, means = Data("test", X, labels=labels, K=3).labelled_means(3)
    np.testing.assert_array_equal(known, [0, 1])
    np.testing.assert_allclose(means, [X[labels == k].mean(axis=0) for k in (0, 1)], rtol=1e-13)
    known, means = Data("test", X, K=3).labelled_means(3)
    assert known.shape == (0,)
    assert means.shape == (0, 2)
