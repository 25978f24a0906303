"""What a Gaussian mixture takes in and gives out: files, states, weights, starts, draws."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from minivae import GaussianMixture
from minivae.alternate import alternate
from minivae.checkpoint import load_checkpoint, save_checkpoint
from minivae.datasets import load_faithful
from minivae.distributions import MixtureOfGaussians
from minivae.errors import CheckpointError, ConvergenceWarning
from minivae.models.mixture.data import Data, Piece
from minivae.models.mixture.em import _with_data, em_statistics
from minivae.models.mixture.initialise import filled, k_means

TYPES = ("full", "tied", "diag", "spherical")
X = load_faithful()


def fit(X, K, **options):
    arguments = {n: options.pop(n) for n in ("sample_weight", "labels") if n in options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(K, **options).fit(X, **arguments)


def inverse(kind, scale, D=2, K=2):
    unit = {"full": np.stack([np.eye(D)] * K), "tied": np.eye(D), "diag": np.ones((K, D))}
    return scale * unit.get(kind, np.ones(K))


# The value ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_a_mixture_as_a_value(kind):
    model = fit(X, 3, covariance_type=kind, random_state=0)
    value = model.distribution_
    parts = list(zip(value.weights, value.means, value.matrices, strict=True))
    joint = np.stack([w * multivariate_normal.pdf(X, m, S) for w, m, S in parts], axis=1)
    np.testing.assert_allclose(value.log_prob(X), np.log(joint.sum(axis=1)), rtol=1e-11)
    r = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(value.responsibilities(X), r, atol=1e-12)
    np.testing.assert_array_equal(value.labels(X), r.argmax(axis=1))
    L = value.factors
    assert L.shape == (3, 2, 2)
    np.testing.assert_array_equal(L, np.tril(L))
    np.testing.assert_allclose(L @ L.swapaxes(1, 2), value.matrices, rtol=1e-12)
    mean, covariance = value.moments()  # EM's M-step keeps the data's own
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-10)
    if kind in ("full", "tied"):
        np.testing.assert_allclose(covariance, np.cov(X.T, bias=True), rtol=1e-9)
    for other in (
        MixtureOfGaussians.from_covariances(value.weights, value.means, value.covariances, kind),
        MixtureOfGaussians.from_precisions(value.weights, value.means, value.precisions, kind),
        MixtureOfGaussians.from_factors(value.weights, value.means, L),
    ):
        np.testing.assert_allclose(other.checked("test").log_prob(X), value.log_prob(X), rtol=1e-9)


@pytest.mark.parametrize("kind", TYPES)
def test_factors_may_be_off_by_rounding_and_no_more(kind):
    D = 20  # the error of a product of D x D factors grows with D
    value = MixtureOfGaussians.from_covariances(
        [0.5, 0.5], np.zeros((2, D)), inverse(kind, 3.0, D), kind
    )

    def scaled(factor):
        return replace(value, precisions_cholesky=value.precisions_cholesky * factor)

    rounding = 1e-10 if kind in ("full", "tied") else 1e-12
    scaled(1 + rounding).checked("test")
    with pytest.raises(ValueError, match=r"^test: the factors of the precisions do not belong"):
        scaled(1 + 1e-8).checked("test")


def test_the_moments_are_those_of_draws():
    value = MixtureOfGaussians.from_covariances(
        [0.3, 0.7], [[0.0, 0], [3, -1]], [[[1.0, 0.5], [0.5, 2]], [[0.3, 0], [0, 1]]]
    )
    n = 200_000
    draws, z = value.sample(n, np.random.default_rng(0))
    mean, covariance = value.moments()
    error = np.sqrt(np.diagonal(covariance) / n)
    assert (np.abs(draws.mean(axis=0) - mean) < 4 * error).all()
    np.testing.assert_allclose(np.cov(draws.T), covariance, rtol=0.02)
    assert abs((z == 0).mean() - 0.3) < 4 * np.sqrt(0.21 / n)


def parameters(kind, scale=1.0):
    rng = np.random.default_rng(3)
    A = rng.normal(size=(2, 2, 2))
    S = A @ A.swapaxes(1, 2) + np.eye(2)
    covariances = {"full": S, "tied": S[0], "diag": S[:, 0] ** 2, "spherical": S[:, 0, 0]}[kind]
    return np.array([0.25, 0.75]), rng.normal(size=(2, 2)), scale * covariances


def broken(kind):
    """A name, and how a mixture of that type can be none by one number."""
    yield "means", lambda w, m, S: (w, put(m, (1, 0), np.nan), S)
    yield "weights", lambda w, m, S: (put(w, 0, np.nan), m, S)
    yield "weights", lambda w, m, S: (np.array([5.0, -4]), m, S)
    yield "weights", lambda w, m, S: (w * 1.001, m, S)
    yield "covariances at", lambda w, m, S: (w, m, put(S, -1, np.nan))
    yield "covariances at", lambda w, m, S: (w, m, put(S, -1, np.inf))
    yield "positive definite", lambda w, m, S: (w, m, -S)
    yield "shapes", lambda w, m, S: (w[:1], m, S)
    yield "shapes", lambda w, m, S: (w, m[0], S)
    if kind != "spherical":  # whose covariances say nothing of D
        yield "shapes", lambda w, m, S: (w, m[:, :1], S)
    if kind in ("full", "tied"):
        place = (1, 0, 1) if kind == "full" else (0, 1)
        yield "covariances at", lambda w, m, S: (w, m, put(S, place, np.nan))  # above the diagonal
        yield "symmetric", lambda w, m, S: (w, m, put(S, place, 1.01 * S[place] + 0.01 * S.max()))


def put(array, place, value):
    array = np.array(array)
    array[place] = value
    return array


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
@pytest.mark.parametrize("kind", TYPES)
def test_what_is_not_a_mixture_is_refused(kind, scale):
    right = parameters(kind, scale)
    MixtureOfGaussians.from_covariances(*right, kind)
    for words, spoil in broken(kind):
        with pytest.raises(ValueError, match=f"MixtureOfGaussians: .*{words}"):
            MixtureOfGaussians.from_covariances(*spoil(*right), kind)


def test_a_state_that_is_not_a_mixtures_is_not_taken_over():
    for kind in TYPES:
        model = fit(X, 2, covariance_type=kind, random_state=0)
        before = model.state_dict()
        for _, spoil in broken(kind):
            state = dict(zip(before, spoil(*before.values()), strict=True))
            with pytest.raises(ValueError, match="load_state_dict: "):
                model.load_state_dict(state)
        _, means, S = parameters(kind)
        one = ([1.0], means[:1], S if kind == "tied" else S[:1])
        with pytest.raises(ValueError, match="there are 1 weights; n_components=2"):
            model.load_state_dict(dict(zip(before, one, strict=True)))
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


# Files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_a_file_gives_back_the_model(kind, tmp_path):
    rng = np.random.default_rng(4)  # it has no place in a file, but a model fitted with it has
    hard = np.vstack([X, np.full((9, 2), 30.0), [[1e5, 1e-3]]])
    for data, K, floor in ((X, 2, 1e-6), (hard, 5, 1e-9)):
        model = fit(data, K, covariance_type=kind, reg_covar=floor, random_state=rng)
        model.save(tmp_path / "model.npz")
        again = GaussianMixture.load(tmp_path / "model.npz")
        assert again.random_state is None
        for name, value in vars(model).items():
            if name.endswith("_") or name.startswith("_"):
                np.testing.assert_array_equal(getattr(again, name), value)
        np.testing.assert_array_equal(again.score_samples(data), model.score_samples(data))


def spoilt_files(kind):
    for words, spoil in broken(kind):
        if words != "positive definite":
            def change(a, v, spoil=spoil):
                names = ("weights_", "means_", "covariances_")
                a.update(zip(names, spoil(*(a[n] for n in names)), strict=True))

            yield change
    U = "precisions_cholesky_"
    yield lambda a, v: a.update({U: a[U] * 1.001})
    yield lambda a, v: a.update({U: -a[U]})
    yield lambda a, v: a.update({U: put(a[U], -1, np.nan)})
    yield lambda a, v: a.update({"covariances_": 2 * a["covariances_"]})
    yield lambda a, v: a.update({"_scatter": a["_scatter"][:1]})
    yield lambda a, v: a.update({"_scatter": np.full_like(a["_scatter"], np.nan)})
    yield lambda a, v: a.update({"collapsed_": np.array([2])})
    yield lambda a, v: a.update({"empty_": np.array([0.5])})
    yield lambda a, v: a.update({"more": np.ones(2)})
    yield lambda a, v: a.pop("means_")
    if kind in ("full", "tied"):
        yield lambda a, v: a.update({U: np.swapaxes(a[U], -1, -2)})
    for name, value in (
        ("n_iter_", -1), ("n_iter_", 2.5), ("converged_", "yes"), ("lower_bound_", "high"),
        ("lower_bounds_", [1.0, None]), ("lower_bounds_", 3), ("n_features_in_", 3),
        ("_bound_before", []), ("_fitted_type", "round"), ("_fitted_type", ["full"]), ("other", 1),
    ):  # fmt: skip
        yield lambda a, v, name=name, value=value: v.update({name: value})


@pytest.mark.parametrize("kind", TYPES)
def test_what_a_file_holds_is_checked_as_what_is_fitted(kind, tmp_path):
    path = tmp_path / "model.npz"
    fit(X, 2, covariance_type=kind, random_state=0).save(path)
    arrays, metadata = load_checkpoint(path)
    for change in spoilt_files(kind):
        a, fitted = dict(arrays), dict(metadata["fitted"])
        change(a, fitted)
        save_checkpoint(path, a, {**metadata, "fitted": fitted})
        with pytest.raises(CheckpointError, match="not a checkpoint of this version's Gaussian"):
            GaussianMixture.load(path)
    for params in ({"n_components": 0}, {"width": 2}, {"covariance_type": "round"}):
        save_checkpoint(path, arrays, metadata | {"params": metadata["params"] | params})
        with pytest.raises(CheckpointError, match="not a checkpoint of this version's Gaussian"):
            GaussianMixture.load(path)


# Initial values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", TYPES)
def test_one_number_that_is_not_finite_among_initial_values(kind, value):
    given = {
        "weights_init": np.full(2, 0.5), "means_init": X[:2], "precisions_init": inverse(kind, 1.0)
    }  # fmt: skip
    for name, array in given.items():
        spoilt = np.array(array)
        spoilt.flat[-1] = value
        with pytest.raises(ValueError, match=f"is {value} at "):
            GaussianMixture(2, covariance_type=kind, **{**given, name: spoilt}).fit(X)


@pytest.mark.parametrize("scale", [1e-12, 1e-8, 1.0, 1e8])
@pytest.mark.parametrize("kind", ["full", "tied"])
def test_precisions_are_symmetric_at_any_scale(kind, scale):
    P = inverse(kind, scale)
    place = (1, 0, 1) if kind == "full" else (0, 1)
    P[place] = 1e-9 * scale  # by rounding
    fit(X, 2, covariance_type=kind, precisions_init=P, random_state=0, max_iter=0)
    P[place] = 0.3 * scale
    which = "component 1" if kind == "full" else "all components"
    with pytest.raises(ValueError, match=f"that of {which} is not symmetric"):
        GaussianMixture(2, covariance_type=kind, precisions_init=P).fit(X)


def test_numbers_under_a_mask_are_not_taken():
    masked = np.ma.masked_array(np.ones(len(X)), mask=np.arange(len(X)) == 3)
    bare = np.ma.masked_array(np.ones(len(X)))  # nothing is masked
    fit(X, 2, sample_weight=bare, labels=-bare.astype(int), random_state=0)
    for method in (GaussianMixture(2).fit, GaussianMixture(2).partial_fit):
        with pytest.raises(ValueError, match="sample_weight is masked in 1 places"):
            method(X, sample_weight=masked)
        with pytest.raises(ValueError, match="labels is masked in 1 places"):
            method(X, labels=-masked.astype(int))
    for name, value in (
        ("weights_init", np.full(2, 0.5)), ("means_init", X[:2]),
        ("precisions_init", inverse("full", 1.0)),
    ):  # fmt: skip
        hidden = np.ma.masked_array(value, mask=value == value.flat[0])
        with pytest.raises(ValueError, match=f"'.*' is masked in {hidden.mask.sum()} places"):
            GaussianMixture(2, **{name: hidden}).fit(X)


# Starts ------------------------------------------------------------------------------------------


def test_rows_are_drawn_as_starts_by_their_weights():
    """A whole number counts a row so many times, so of 1 row and 3 the latter begins 3 in 4."""
    rows, weight, n = np.array([[0.0], [1.0]]), np.array([1.0, 3.0]), 2000
    starts = [
        fit(
            rows, 1, init_params="random_from_data", max_iter=0, random_state=i,
            sample_weight=weight,
        ).means_[0, 0]
        for i in range(n)
    ]  # fmt: skip
    assert abs(np.mean(starts) - 0.75) < 4 * np.sqrt(0.75 * 0.25 / n)


@pytest.mark.parametrize("method", ["random_from_data", "k-means++", "kmeans"])
def test_rows_without_weight_are_no_starts(method, monkeypatch):
    weight = np.zeros(len(X))
    weight[[5, 50, 200]] = 1, 2, 0.5
    expected = np.sort(X[[5, 50, 200]], axis=0)
    for limit in (2**17, 100):  # of so many rows a start is found
        monkeypatch.setattr("minivae.models.mixture.initialise.LIMIT", limit)
        for seed in range(5):
            options = {"init_params": method, "max_iter": 0, "random_state": seed}
            model = fit(X, 3, sample_weight=weight, **options)
            np.testing.assert_allclose(np.sort(model.means_, axis=0), expected)
            four = np.append(weight, [1.0])  # a row twice: 3 rows that differ for 4 components
            model = GaussianMixture(4, **options)
            with pytest.warns(ConvergenceWarning) as caught:
                model.fit(np.vstack([X, X[5:6]]), sample_weight=four)
            assert any("only 3 distinct rows for 4 comp" in str(w.message) for w in caught)
            assert np.isin(model.means_, expected).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_gaps_are_filled_along_the_line_on_which_the_data_lie(weighted):
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    line = np.stack([x, 5.0 - 3.0 * x + rng.normal(size=400)], axis=1)
    gaps, weight = line.copy(), None
    gaps[x > 0.8, 1] = np.nan  # where the line is lowest, so that what is seen has another mean
    gaps[line[:, 1] > 8.0, 0] = np.nan  # and where it is highest
    if weighted:  # rows that do not count lie elsewhere
        gaps = np.concatenate([gaps, 100.0 + rng.normal(size=(50, 2))])
        weight = np.repeat([1.0, 0.0], [400, 50])
    data = Data("fit", gaps, sample_weight=weight, missing="marginalise")
    (rows,) = filled(data, 1, "full", np.random.default_rng(1))
    seen = ~np.isnan(gaps)
    np.testing.assert_array_equal(rows.X[seen], gaps[seen])
    np.testing.assert_allclose(rows.X[:400].mean(axis=0), line.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(rows.X[:400].T), np.cov(line.T), rtol=0.15)
    (apart,) = filled(data, 1, "diag", np.random.default_rng(1))
    drawn, column = apart.X[:400][x > 0.8, 1], line[x <= 0.8, 1]
    assert abs(drawn.mean() - column.mean()) < 4.5 * column.std() / np.sqrt(len(drawn))
    assert drawn.std() == pytest.approx(column.std(), rel=0.25)


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_an_empty_cluster_takes_the_farthest_row_that_counts(unit):
    rows = unit * np.array([[0.0], [1.0], [10.0], [11.0], [30.0], [50.0], [70.0], [170.0]])
    weight = np.array([1.0, 1, 100, 1, 1, 1, 0, 0])
    begin = unit * np.array([[0.5], [10.5], [1e6]])
    centres, z = k_means(Piece(rows[:5], None, None), begin)
    np.testing.assert_allclose(centres / unit, [[0.5], [10.5], [30.0]])
    assert z.tolist() == [0, 0, 1, 1, 2]
    # those at 70 and 170 have no weight, that at 50 has a label: 30 is what is left
    for label, two in [(0, [50.0, 1012 / 103]), (1, [0.5, 1061 / 102])]:
        labels = np.array([-1, -1, -1, -1, -1, label, -1, -1])
        centres, z = k_means(Piece(rows, weight, labels), begin)
        np.testing.assert_allclose(centres[:, 0] / unit, [*two, 30.0])
    # two empty clusters take two rows, the farther one first
    begin = unit * np.array([[0.5], [1e6], [10.5], [2e6]])
    centres, _ = k_means(Piece(rows[:6], None, None), begin)
    np.testing.assert_allclose(centres / unit, [[0.5], [50.0], [10.5], [30.0]])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("shift", "moved"), [(np.sqrt(0.5e6), False), (np.sqrt(2e6), True)])
def test_sums_are_taken_again_where_a_mean_moves_by_a_thousand_scales(kind, shift, moved):
    D = 4
    rows = np.repeat(np.eye(D), 2, axis=0) * np.sqrt(D)  # variance 1 in each feature, mean 0
    rows[1::2] *= -1
    mean = np.zeros((1, D))
    mean[0, 1] = shift
    P = inverse(kind, 1e-6, D, K=1)
    theta = MixtureOfGaussians.from_precisions(np.ones(1), mean, P, kind)
    statistics, centres = em_statistics(Data("test", rows), theta, 1e-9)
    np.testing.assert_allclose(centres, 0 * mean if moved else mean, atol=1e-9)
    np.testing.assert_allclose(statistics.first[0], 8 * (0 - centres[0]), atol=1e-7)


def test_no_component_has_data_where_there_are_none():
    assert _with_data(np.array([1.0, 1e-3, 0.0])).tolist() == [True, True, False]
    assert _with_data(np.zeros(2)).tolist() == [False, False]


# Far away ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_a_row_that_is_too_far_for_any_density_is_named(kind):
    start = {
        "weights_init": [0.5, 0.5], "means_init": [[0, 0], [1.0, 1]],
        "precisions_init": inverse(kind, 1e14), "covariance_type": kind,
    }  # fmt: skip
    model = fit([[0.0, 0], [1, 1], [1, 0.5]], 2, max_iter=0, reg_covar=1e-14, **start)
    far = [[0.0, 0.0], [1e148, 0.0]]
    for name in ("predict", "predict_proba", "score_samples", "score", "reconstruct", "bic"):
        with pytest.raises(ValueError, match=rf"{name}: X\[1\] is so far from every component"):
            getattr(model, name)(far)
    assert np.isfinite(model.predict_proba([[1e140, 0.0]])).all()
    with pytest.raises(ValueError, match="fit: a row of X is so far from every component"):
        GaussianMixture(2, **start).fit(far)


# Draws and reconstructions -----------------------------------------------------------------------


def test_a_random_state_given_to_sample_goes_before_the_models_own():
    model = fit(X, 2, random_state=3)
    draws = model.sample(20)[0]
    np.testing.assert_array_equal(model.sample(20, random_state=3)[0], draws)
    np.testing.assert_array_equal(model.sample(20)[0], draws)
    other = model.sample(20, random_state=4)[0]
    assert (other != draws).any()
    model.set_params(random_state=4)
    np.testing.assert_array_equal(model.sample(20)[0], other)
    a, b = (model.sample(20, random_state=np.random.default_rng(7))[0] for _ in range(2))
    np.testing.assert_array_equal(a, b)
    rng = np.random.default_rng(7)
    np.testing.assert_array_equal(model.sample(20, random_state=rng)[0], a)
    assert (model.sample(20, random_state=rng)[0] != a).any()  # a Generator goes on
    with pytest.raises(ValueError, match="random_state="):
        model.sample(2, random_state=-1)


@pytest.mark.parametrize("kind", TYPES)
def test_a_reconstruction_is_the_mean_of_the_means_by_responsibility(kind):
    model = fit(X, 3, covariance_type=kind, random_state=0)
    r = model.predict_proba(X)
    expected = sum(r[:, k, None] * model.means_[k] for k in range(3))
    np.testing.assert_allclose(model.reconstruct(X), expected, rtol=1e-12)
    # The mean of a regression of x on itself: an M-step leaves the mean of all as it is.
    settled = fit(X, 3, covariance_type=kind, random_state=0, tol=1e-12, max_iter=2000)
    np.testing.assert_allclose(settled.reconstruct(X).mean(axis=0), X.mean(axis=0), rtol=1e-7)


# The loop ----------------------------------------------------------------------------------------


def test_an_interruption_leaves_the_model_as_it_was(monkeypatch):
    model = fit(X, 2, random_state=0)
    before = {name: np.copy(value) for name, value in vars(model).items()}
    calls = []

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return statistics(*arguments, **options)

    import minivae.models.mixture.em as room

    statistics = room.mixture_statistics
    monkeypatch.setattr(room, "mixture_statistics", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X + 1)
    assert len(calls) == 4
    for name, value in vars(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_the_loop_knows_no_family():
    """Coordinate ascent on -(a - b)^2 - (b - 3)^2 / 9: each step halves nothing but the error."""
    seen = []
    trace = alternate(
        lambda theta: theta,  # a = b is the best a
        lambda a, theta: (9 * a + 3) / 10,
        0.0,
        lambda a, theta: -((theta - 3) ** 2) / 9,
        1e-6,
        1000,
        report=lambda n, bound, rise: seen.append((n, bound, rise)),
    )
    errors = 3 * 0.9 ** np.arange(trace.n_iter + 1)
    assert trace.theta == pytest.approx(3 - errors[-1])
    np.testing.assert_allclose(trace.bounds, -(errors[1:] ** 2) / 9, rtol=1e-9)
    assert (trace.bound, trace.converged, trace.error) == (trace.bounds[-1], True, None)
    assert [n for n, _, _ in seen] == list(range(1, trace.n_iter + 1))
    assert trace.bound_before == seen[-1][1]
    assert seen[-1][2] < 1e-6 <= seen[-2][2]
    none = alternate(lambda t: t, lambda a, t: 1 / 0, 2.0, lambda a, t: -t, 0.0, 0)
    assert none[:6] == (2.0, [], -2.0, -np.inf, False, 0)
    ended = alternate(
        lambda t: t, lambda a, t: t + 1 if t < 2 else t / 0, 0.0, lambda a, t: t, 0.0, 9,
        ends=ZeroDivisionError,
    )  # fmt: skip
    assert (ended.theta, ended.bounds, ended.bound, ended.n_iter) == (2.0, [1.0, 2.0], 2.0, 2)
    assert isinstance(ended.error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        alternate(lambda t: t, lambda a, t: t / 0, 1.0, lambda a, t: t, 0.0, 9)
