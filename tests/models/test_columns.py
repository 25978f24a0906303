"""Tables with named columns at every door: in scikit-learn's words, with a table of a few lines."""

import math

import numpy as np
import pytest

from minivae import (
    VAE,
    BayesianGaussianMixture,
    BernoulliMixture,
    BernoulliNB,
    CategoricalVAE,
    ConditionalVAE,
    GaussianMixture,
    GaussianNB,
    NeuralClassifier,
    NeuralRegressor,
    SemiSupervisedVAE,
    inference,
    metrics,
    resume,
)
from minivae.checks import as_classes, check_data, column_names
from minivae.errors import CheckpointError, DtypeError, NotFittedError, ShapeError


class Table:
    """What pandas and polars have in common."""

    def __init__(self, values, columns):
        self.values, self.columns = np.asarray(values), columns
        self.shape = self.values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)

    def __len__(self):
        return len(self.values)

    def reordered(self, *columns):
        return Table(self.values[:, [self.columns.index(c) for c in columns]], list(columns))


class Arrow:
    """What Arrow has: columns are not names there."""

    def __init__(self, values, names):
        self.values, self.column_names, self.columns = np.asarray(values), names, list(values.T)
        self.shape = self.values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


RNG = np.random.default_rng(0)
y = np.repeat([0, 1], 20)
X = RNG.integers(0, 2, (40, 3)).astype(float)
TABLE = Table(X, ["a", "b", "c"])
SMALL = {"hidden": (2,), "latent_dim": 1, "epochs": 1, "random_state": 0}
MODELS = {
    "gmm": (lambda: GaussianMixture(random_state=0), False),
    "bernoulli": (lambda: BernoulliMixture(random_state=0), False),
    "gaussian-nb": (GaussianNB, True),
    "bernoulli-nb": (BernoulliNB, True),
    "vae": (lambda: VAE(**SMALL), False),
    "conditional": (lambda: ConditionalVAE(**SMALL), True),
    "semi-supervised": (lambda: SemiSupervisedVAE(**SMALL), True),
    "categorical": (lambda: CategoricalVAE(**SMALL), False),
    "bayesian": (lambda: BayesianGaussianMixture(random_state=0), False),
    "classifier": (lambda: NeuralClassifier(epochs=1, random_state=0), True),
    "regressor": (lambda: NeuralRegressor(epochs=1, random_state=0), True),
}
DOORS = (
    "predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "score",
    "score_samples", "bic", "aic", "reconstruct", "transform", "posterior", "elbo", "elbo_terms",
    "log_likelihood", "log_likelihood_of_classes", "active_units", "log_prob",
)  # fmt: skip
NEED_Y = {
    "score", "transform", "posterior", "elbo", "elbo_terms", "log_likelihood", "reconstruct",
    "active_units", "log_prob",
}  # fmt: skip


def fitted(name, table=TABLE):
    make, takes_y = MODELS[name]
    return make().fit(table, y) if takes_y else make().fit(table)


def doors(model):
    labelled = GaussianNB | BernoulliNB | ConditionalVAE | NeuralClassifier | NeuralRegressor
    takes_y = isinstance(model, labelled)
    for name in DOORS:
        if method := getattr(model, name, None):
            yield name, (lambda t, m=method, n=name: m(t, y) if takes_y and n in NEED_Y else m(t))


@pytest.mark.filterwarnings("ignore::minivae.errors.EffectiveSampleSizeWarning")
@pytest.mark.parametrize("name", MODELS)
def test_every_door_asks_for_the_columns_of_fit_in_their_order(name):
    model = fitted(name)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.feature_names_in_.dtype == object
    found = list(doors(model))
    assert len(found) >= 3
    for door, ask in found:
        ask(TABLE)  # no warning
        operation = door.removesuffix("_of_classes")
        with pytest.raises(ValueError, match=rf"^{operation}: The feature names .*\n.*same order"):
            ask(TABLE.reordered("c", "a", "b"))
        with pytest.raises(ValueError, match=r"unseen at fit time:\n- A\nFeature .*:\n- a\n"):
            ask(Table(X, ["A", "b", "c"]))
        with pytest.raises(ValueError, match=r"seen at fit time, yet now missing:\n- b\n$"):
            ask(TABLE.reordered("a", "c"))
        with pytest.warns(UserWarning, match=r"^X does not have valid feature names, but \w+ was"):
            ask(X)
        with (
            pytest.raises(ShapeError, match=r"X has 2 features, but .* is expecting 3 features"),
            pytest.warns(UserWarning, match="does not have valid feature names"),
        ):
            ask(X[:, :2])


@pytest.mark.parametrize("name", MODELS)
def test_names_that_came_later_are_warned_about_and_a_fit_forgets(name):
    model = fitted(name, X)
    assert not hasattr(model, "feature_names_in_")
    _, ask = next(doors(model))
    with pytest.warns(UserWarning, match=r"^X has feature names, but \w+ was fitted without"):
        ask(TABLE)
    takes_y = MODELS[name][1]
    for data, names in ((TABLE, ["a", "b", "c"]), (X, None), (Table(X, [0, 1, 2]), None)):
        model.fit(data, y) if takes_y else model.fit(data)
        assert (list(model.feature_names_in_) if names else None) == names
        assert hasattr(model, "feature_names_in_") == bool(names)


@pytest.mark.parametrize("name", [name for name in MODELS if not name.endswith("-nb")])
def test_names_are_kept_by_files(name, tmp_path):
    model = fitted(name)
    model.save(tmp_path / "model.npz")
    again = type(model).load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.feature_names_in_, model.feature_names_in_)
    for _, ask in doors(again):
        with pytest.raises(ValueError, match="must be in the same order"):
            ask(TABLE.reordered("b", "a", "c"))
        break


def test_a_fit_that_is_refused_leaves_the_names():
    for name, (_, takes_y) in MODELS.items():
        model = fitted(name)
        bad = Table(np.full((40, 2), np.nan), ["p", "q"])
        with pytest.raises(ValueError, match="NaN"):
            model.fit(bad, y) if takes_y else model.fit(bad)
        assert list(model.feature_names_in_) == ["a", "b", "c"]


def test_only_strings_are_names():
    assert column_names(Table(X, ("a", np.str_("b"), "c")), "fit") == ("a", "b", "c")
    assert column_names(Table(X, [("a", 1), ("b", 1), ("c", 1)]), "fit") is None
    assert column_names(X, "fit") is column_names(X.tolist(), "fit") is None
    assert column_names(Table, "fit") is None
    with pytest.raises(TypeError, match=r"only supported .* \['int', 'str'\] as feature name"):
        GaussianMixture().fit(Table(X, ["a", 1, "c"]))
    model = GaussianMixture(random_state=0).fit(Arrow(X, ["a", "b", "c"]))
    assert list(model.feature_names_in_) == ["a", "b", "c"]


def test_only_some_names_are_shown():
    model = GaussianMixture().fit(TABLE)
    with pytest.raises(ValueError, match=r"- n0\n- n1\n- n10\n- n11\n- n2\n- \.\.\.\nFeature"):
        model.predict(Table(np.zeros((1, 12)), [f"n{i}" for i in range(12)]))


# Portions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [GaussianMixture, BernoulliMixture])
def test_all_chunks_have_the_same_columns(make):
    model = make(random_state=0).fit([TABLE, TABLE])
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    for second, fault in ((TABLE.reordered("b", "a", "c"), r"\['b', 'a', 'c'\]"), (X, "without")):
        with pytest.raises(ValueError, match=f"of chunk 1 are {fault}.*first.*'a', 'b', 'c'"):
            make().fit([TABLE, second])
    with pytest.raises(ValueError, match="columns of chunk 1"):
        make().fit([X, TABLE])


def test_portions_keep_to_the_first(tmp_path):
    swapped = TABLE.reordered("b", "a", "c")
    model = GaussianMixture(random_state=0).partial_fit(TABLE)
    with pytest.raises(ValueError, match=r"^partial_fit: The feature names"):
        model.partial_fit(swapped)
    with pytest.raises(ValueError, match=r"^fit: The feature names"):
        model.set_params(warm_start=True).fit(swapped)
    assert list(model.partial_fit(TABLE).feature_names_in_) == ["a", "b", "c"]
    for model in (GaussianNB(), BernoulliNB()):
        model.partial_fit(TABLE, y, classes=[0, 1])
        with pytest.raises(ValueError, match=r"^partial_fit: The feature names"):
            model.partial_fit(swapped, y)
    np.testing.assert_array_equal(GaussianMixture().fit_predict(TABLE), np.zeros(40))
    VAE(**SMALL).fit(TABLE, checkpoint=tmp_path / "run.npz")
    with pytest.raises(ValueError, match=r"^resume: The feature names"):
        resume(tmp_path / "run.npz", swapped)
    assert list(resume(tmp_path / "run.npz", TABLE).feature_names_in_) == ["a", "b", "c"]


def test_parameters_from_elsewhere_have_no_names():
    model = GaussianMixture().fit(TABLE)
    model.load_state_dict(GaussianMixture().fit(X).state_dict())
    assert not hasattr(model, "feature_names_in_")


def test_conditions_have_names_too(tmp_path):
    conditions = Table(RNG.normal(size=(40, 2)), ["age", "dose"])
    model = ConditionalVAE(**SMALL).fit(TABLE, conditions)
    assert list(model.condition_names_in_) == ["age", "dose"]
    model.save(tmp_path / "model.npz")
    for asked in (model, ConditionalVAE.load(tmp_path / "model.npz")):
        asked.elbo(TABLE, conditions)
        with pytest.raises(ValueError, match=r"^elbo: The feature names"):
            asked.elbo(TABLE, conditions.reordered("dose", "age"))
        with pytest.warns(UserWarning, match=r"^y does not have valid feature names"):
            asked.decode([[0.0]], [[1.0, 2.0]])
    assert not hasattr(model.fit(TABLE, y), "condition_names_in_")


# What tables hold --------------------------------------------------------------------------------


class NAType:
    """As pandas marks what is missing."""


def test_objects_are_taken_one_by_one():
    from decimal import Decimal
    from fractions import Fraction

    values = np.array([[1, True], [Decimal("0.5"), Fraction(1, 4)]], object)
    np.testing.assert_array_equal(
        check_data(values, "fit", dtype="float64"), [[1, 1], [0.5, 0.25]]
    )
    for missing in (NAType(), None, np.ma.masked, float("nan")):
        values[1, 0] = missing
        with pytest.raises(ValueError, match=r"X\[1, 0\] = nan, one of 1 rows that hold NaN"):
            check_data(values, "fit", dtype="float64")
    with pytest.raises(DtypeError, match="Complex data not supported"):
        check_data(np.ones((2, 2), complex), "fit", dtype="float64")


def test_classes_may_be_objects():
    assert as_classes(np.array(["b", "aa"], object), "fit").dtype == "<U2"
    assert as_classes(np.array([1, True], object), "fit").tolist() == [1, 1]
    names = np.array(["yes", "no"], object)[y]
    model = GaussianNB().fit(X + RNG.normal(size=X.shape), names)
    assert model.classes_.tolist() == ["no", "yes"]
    for missing in (None, NAType(), float("nan")):
        with pytest.raises(DtypeError, match=r"fit: y\[1\] is missing"):
            GaussianNB().fit(X[:2], np.array(["a", missing], object))
    with pytest.raises(ShapeError, match="requires y to be passed, but the target y is None"):
        GaussianNB().fit(X, None)
    for wrong in (np.full(40, np.inf), np.full(40, 0.5)):
        with pytest.raises(DtypeError, match="Unknown label type"):
            GaussianNB().fit(X, wrong)
    with pytest.raises(DtypeError, match=r"Unknown label type: .*\['int', 'str'\]"):
        GaussianNB().fit(X[:2], np.array(["a", 1], object))


def test_naive_bayes_returns_no_nan():
    data = X + np.random.default_rng(2).normal(size=X.shape)
    for fit, why in (
        (lambda: GaussianNB().fit(data * 1e200, y), r"fit: \w+ is not finite"),
        (lambda: GaussianNB().fit(data, y, np.full(40, 1e308)), "adds up to infinity"),
        (lambda: GaussianNB(priors=[np.nan, 1.0]).fit(data, y), "2 numbers from 0"),
        (lambda: GaussianNB().fit(data, y).predict_proba([[1e160] * 3]), r"X\[0\] has the dens"),
        (lambda: BernoulliNB(alpha=1e308).fit(X, y).predict_proba(X), "has the density 0"),
    ):
        with pytest.raises(ValueError, match=why):
            fit()
    with np.errstate(all="raise"):
        p = GaussianNB().fit(data, y, np.full(40, 1e-310)).predict_proba(data * 100)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)


def test_a_score_needs_a_class_for_each_datum():
    model = GaussianNB().fit(X + RNG.normal(size=X.shape), y)
    with pytest.raises(ShapeError, match=r"score: y has shape \(40, 1\)"):
        model.score(X, y[:, None])
    with pytest.raises(ValueError, match="score: sample_weight"):
        model.score(X, y, sample_weight=np.ones(3))


def test_nothing_is_taken_from_under_a_mask_or_out_of_a_word():
    hidden = np.ma.masked_array([0.0, 1.0, 0.0], [0, 1, 0])
    vae = fitted("vae", X)
    state = vae.state_dict()
    name = next(iter(state))
    noise = np.ma.masked_array(np.zeros((1, 40, 1)), np.arange(40).reshape(1, 40, 1) == 3)
    for take in (
        lambda: GaussianMixture().fit([hidden, hidden]),
        lambda: vae.elbo(X, eps=noise),
        lambda: vae.load_state_dict({**state, name: np.ma.masked_all(state[name].shape)}),
        lambda: GaussianNB().fit(X, np.ma.masked_equal(y, 1)),
        lambda: GaussianNB().partial_fit(X, y, classes=np.ma.masked_equal([0, 1, 2], 2)),
    ):
        with pytest.raises(ValueError, match=r"is masked in \d+ places"):
            take()
    words, complex_ones = ["1"] * 40, np.ones(40, complex)
    for weight, why in ((words, "holds words, such as '1'"), (complex_ones, "complex")):
        with pytest.raises(ValueError, match=f"sample_weight is not an array of .*{why}"):
            GaussianMixture().fit(X, sample_weight=weight)


def hidden(*shape):
    return np.ma.masked_array(np.zeros(shape), np.arange(math.prod(shape)).reshape(shape) == 1)


def normal(z):
    return -0.5 * (z**2).sum(axis=-1)


IS_ONE = np.array([True, False, True])


@pytest.mark.parametrize(
    "take",
    [
        lambda: metrics.roc_auc(hidden(3), IS_ONE),
        lambda: metrics.roc_auc(np.arange(3.0), np.ma.masked_array(IS_ONE, [0, 0, 1])),
        lambda: metrics.adjusted_rand_index(hidden(3), np.arange(3)),
        lambda: metrics.normalised_mutual_information(np.arange(3), hidden(3)),
        lambda: metrics.bits_per_value(hidden(3), 2),
        lambda: inference.metropolis(normal, hidden(1, 2, 1), draws=4, random_state=0),
        lambda: inference.annealed_importance_sampling(
            normal, normal, hidden(2, 1, 1), [0.0, 1.0], random_state=0
        ),
        lambda: inference.diagnostics.r_hat(hidden(2, 8, 1)),
        lambda: NeuralClassifier(epochs=1).fit(X, np.ma.masked_equal(y, 1)),
        lambda: NeuralRegressor(epochs=1).fit(X, hidden(40)),
    ],
    ids=range(10),
)
def test_no_other_door_takes_what_is_under_a_mask(take):
    with pytest.raises((DtypeError, ValueError), match="mask"):
        take()


# Files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["a"], [1, 2, 3], "abc", {"a": 1}])
def test_names_that_are_none_are_refused(names, tmp_path):
    from minivae.checkpoint import load_checkpoint, save_checkpoint

    path = tmp_path / "model.npz"
    for model in (fitted("gmm"), fitted("vae")):
        model.save(path)
        arrays, metadata = load_checkpoint(path)
        save_checkpoint(path, arrays, {**metadata, "feature_names": names})
        with pytest.raises(CheckpointError, match="feature_names_in_ is not a list of 3 names"):
            type(model).load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 10**12}, "latent_dim=1000000000000, .* need more weights than"),
        ({"hidden": [10**9, 10**9]}, "need more weights than"),
        ({"hidden": [2, 10**10]}, "need more weights than"),
        ({"likelihood": "categorical", "n_classes": 10**9}, "need more weights than"),
        ({"prior": "mixture", "prior_components": 10**12}, "need more weights than"),
    ],
)
def test_sizes_are_compared_with_the_file_before_memory_is_asked_for(change, message, tmp_path):
    from minivae.checkpoint import load_checkpoint, save_checkpoint

    path = tmp_path / "model.npz"
    VAE(**SMALL).fit(X).save(path)
    arrays, metadata = load_checkpoint(path)
    save_checkpoint(path, arrays, {**metadata, "params": {**metadata["params"], **change}})
    with pytest.raises(CheckpointError, match=message):
        VAE.load(path)
    for key in ("n_features", "condition"):
        for wrong, words in ((10**12, "need more"), (2.5, "whole"), ("x", "whole"), (-3, "whole")):
            save_checkpoint(path, arrays, {**metadata, key: wrong})
            with pytest.raises(CheckpointError, match=words):
                VAE.load(path)
    save_checkpoint(path, arrays, {**metadata, "history": {"elbo": ["x"]}})
    with pytest.raises(CheckpointError, match="history holds what is not a number"):
        VAE.load(path)
    for name, array in arrays.items():
        save_checkpoint(path, {**arrays, name: np.full_like(array, np.nan)}, metadata)
        with pytest.raises(CheckpointError, match="holds NaN or infinity"):
            VAE.load(path)


# What pipelines ask ------------------------------------------------------------------------------


def test_a_transformer_without_scikit_learn():
    vae = VAE(**{**SMALL, "latent_dim": 2})
    with pytest.raises(NotFittedError, match="get_feature_names_out"):
        vae.get_feature_names_out()
    codes = vae.fit_transform(TABLE)
    np.testing.assert_array_equal(codes, vae.transform(TABLE))
    assert vae.get_feature_names_out().tolist() == ["vae0", "vae1"]
    assert vae.get_feature_names_out(["a", "b", "c"]).tolist() == ["vae0", "vae1"]
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        vae.get_feature_names_out(["b", "a", "c"])
    with pytest.raises(ValueError, match=r"should have length equal .* \(3\), got 2"):
        vae.fit(X).get_feature_names_out(["a", "b"])
    assert vae.set_output(transform="default").set_output() is vae
    assert type(vae.transform(X)) is np.ndarray
    with pytest.raises(ValueError, match="transform='xarray' must be one of default, pandas, pol"):
        vae.set_output(transform="xarray")
    model = ConditionalVAE(**SMALL)
    np.testing.assert_array_equal(model.fit_transform(X, y), model.transform(X, y))
    model = SemiSupervisedVAE(**SMALL)
    np.testing.assert_array_equal(model.fit_transform(X, y), model.transform(X))


class TheirError(ValueError, AttributeError):
    pass


def test_not_fitted_is_scikit_learns_error_where_that_is_loaded(monkeypatch):
    import pickle
    import sys
    from types import SimpleNamespace

    monkeypatch.setitem(
        sys.modules, "sklearn.exceptions", SimpleNamespace(NotFittedError=TheirError)
    )
    with pytest.raises(TheirError, match="predict: This GaussianNB instance") as found:
        GaussianNB().predict(X)
    assert isinstance(found.value, NotFittedError)
    stored = pickle.dumps(found.value)
    assert isinstance(pickle.loads(stored), TheirError)
    monkeypatch.delitem(sys.modules, "sklearn.exceptions")
    assert type(pickle.loads(stored)) is NotFittedError
    with pytest.raises(NotFittedError):
        GaussianNB().predict(X)


# Weights -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::minivae.errors.ConvergenceWarning")
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random_from_data"])
@pytest.mark.parametrize("max_iter", [0, 1, 20])
def test_weights_count_rows_from_the_start_on(init_params, max_iter):
    rng = np.random.default_rng(1)
    data, weight = rng.normal(size=(60, 3)).round(1), rng.integers(0, 5, 60)
    repeated = np.repeat(data, weight, axis=0)
    for seed in range(3):
        options = {"init_params": init_params, "max_iter": max_iter, "random_state": seed}
        one = GaussianMixture(4, **options).fit(data, sample_weight=weight)
        other = GaussianMixture(4, **options).fit(repeated)
        np.testing.assert_allclose(one.means_, other.means_, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(one.weights_, other.weights_, rtol=1e-9)
        np.testing.assert_allclose(one.lower_bound_, other.lower_bound_, rtol=1e-9)
        assert one.n_iter_ == other.n_iter_


@pytest.mark.filterwarnings("ignore::minivae.errors.ConvergenceWarning")
def test_weights_count_rows_of_ones_and_zeros_too():
    weight = RNG.integers(0, 4, 40)
    for max_iter in (0, 20):
        one = BernoulliMixture(3, max_iter=max_iter, random_state=0).fit(X, sample_weight=weight)
        other = BernoulliMixture(3, max_iter=max_iter, random_state=0).fit(
            np.repeat(X, weight, axis=0)
        )
        np.testing.assert_allclose(one.means_, other.means_, rtol=1e-9)
