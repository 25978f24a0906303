"""Tables of pandas, polars and Arrow: names kept, gaps named, numbers read as they are."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from minivae import VAE, BernoulliMixture, ConditionalVAE, GaussianMixture, GaussianNB

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
NAMES = ["a", "b", "c"]
SMALL = {"likelihood": "gaussian", "hidden": (2,), "epochs": 1, "random_state": 0}
MAKERS = {
    "pandas": lambda X, names: pd.DataFrame(X, columns=names),
    "polars": lambda X, names: pl.DataFrame(X, schema=names, orient="row"),
    "table": lambda X, names: pa.table(dict(zip(names, X.T, strict=True))),
    "batch": lambda X, names: pa.record_batch(dict(zip(names, X.T, strict=True))),
}
FEW = {"pandas": MAKERS["pandas"], "polars": MAKERS["polars"], "table": MAKERS["table"]}


@pytest.mark.parametrize("kind", MAKERS)
def test_names_are_kept_and_asked_for(kind):
    make = MAKERS[kind]
    y = np.arange(40) % 2
    for model in (
        GaussianMixture(2, random_state=0).fit(make(X, NAMES)),
        BernoulliMixture(random_state=0).fit(make((X > 0) * 1.0, NAMES)),
        GaussianNB().fit(make(X, NAMES), y),
        VAE(**SMALL).fit(make(X, NAMES)),
    ):
        assert list(model.feature_names_in_) == NAMES
        ask = model.transform if isinstance(model, VAE) else model.predict
        data = (X > 0) * 1.0 if isinstance(model, BernoulliMixture) else X
        first = ask(make(data, NAMES))
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            np.testing.assert_array_equal(first, ask(data))
        with pytest.raises(ValueError, match="must be in the same order"):
            ask(make(data[:, ::-1], NAMES[::-1]))


@pytest.mark.parametrize("kind", FEW)
def test_chunks_are_tables(kind):
    make = FEW[kind]
    chunks = [make(X[:20], NAMES), make(X[20:], NAMES)]
    model = GaussianMixture(2, random_state=0).fit(chunks)
    np.testing.assert_allclose(model.means_, GaussianMixture(2, random_state=0).fit(X).means_)
    with pytest.raises(ValueError, match="the columns of chunk 1 are"):
        GaussianMixture(2).fit([chunks[0], make(X[20:], ["a", "c", "b"])])


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": [0.5, 1.5, 2.5]}),
        pd.DataFrame({"a": pd.array([1.0, None, 3.0], "Float64"), "b": [0.5, 1.5, 2.5]}),
        pd.DataFrame({"a": pd.array([True, None, False], "boolean"), "b": [0.5, 1.5, 2.5]}),
        pd.DataFrame({"a": [1, None, 3], "b": [0.5, 1.5, 2.5]}, dtype=object),
        pl.DataFrame({"a": [1, None, 3], "b": [0.5, 1.5, 2.5]}),
        pa.table({"a": [1, None, 3], "b": [0.5, 1.5, 2.5]}),
    ],
    ids=["Int64", "Float64", "boolean", "object", "polars", "arrow"],
)
def test_gaps_are_named(table):
    with pytest.raises(ValueError, match=r"fit: X\[1, 0\] = nan, one of 1 rows that hold NaN"):
        GaussianMixture().fit(table)


def test_nullable_columns_without_gaps_are_numbers():
    frame = pd.DataFrame(
        {
            "a": pd.array([1, 2, 3, 5], "Int64"),
            "b": pd.array([0.5, 1, 2, 2], "Float32"),
            "c": pd.array([True, False, True, True], "boolean"),
            "d": pd.array([1, 2, 2, 1], "int8[pyarrow]"),
        }
    )
    model = GaussianMixture(covariance_type="diag").fit(frame)
    np.testing.assert_allclose(model.means_, [[2.75, 1.375, 0.75, 1.5]])


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": ["red", "blue"], "b": [1.0, 2.0]}),
        pd.DataFrame({"a": pd.Categorical(["red", "blue"]), "b": [1.0, 2.0]}),
        pl.DataFrame({"a": ["red", "blue"], "b": [1.0, 2.0]}),
    ],
    ids=["strings", "categories", "polars"],
)
def test_words_are_named(frame):
    with pytest.raises(TypeError, match=r"X\[0, 0\] is the word 'red', and not a number; encode"):
        GaussianMixture().fit(frame)


@pytest.mark.parametrize("wrap", [pd.Series, pl.Series, pa.array])
def test_labels_and_weights_of_any_library(wrap):
    names = np.array(["no", "yes"])[np.arange(40) % 2]
    plain = GaussianNB().fit(X, names, sample_weight=np.arange(40.0))
    model = GaussianNB().fit(X, wrap(names.tolist()), sample_weight=wrap(np.arange(40.0)))
    np.testing.assert_array_equal(model.theta_, plain.theta_)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.score(X, wrap(names.tolist())) == plain.score(X, names)
    ConditionalVAE(**SMALL).fit(X, wrap(names.tolist()))
    given = np.where(np.arange(40) < 10, np.arange(40) % 2, -1)
    GaussianMixture(2, random_state=0).fit(X, labels=wrap(given.tolist()))
    with pytest.raises(TypeError, match=r"y\[1\] is missing"):
        GaussianNB().fit(X[:3], wrap(["a", None, "b"]))


def test_conditions_keep_their_names():
    conditions = pd.DataFrame(RNG.normal(size=(40, 2)), columns=["age", "dose"])
    model = ConditionalVAE(**SMALL).fit(X, conditions)
    with pytest.raises(ValueError, match="must be in the same order"):
        model.elbo(X, conditions[["dose", "age"]])
