"""Where scikit-learn's users put an estimator: pipelines, searches, unions, clones."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, check_cv, cross_val_score
from sklearn.naive_bayes import GaussianNB as Theirs
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from minivae import VAE, GaussianMixture, GaussianNB

SMALL = {"likelihood": "gaussian", "hidden": (8,), "epochs": 3, "random_state": 0}
RNG = np.random.default_rng(0)
y = np.arange(90) % 2
FRAME = pd.DataFrame(
    RNG.normal(size=(90, 3)) + 2 * y[:, None], columns=["a", "b", "c"], index=np.arange(90) + 5
)


def test_a_pipeline_from_a_table_to_a_table():
    steps = make_pipeline(StandardScaler(), VAE(**SMALL)).set_output(transform="pandas")
    codes = steps.fit_transform(FRAME)
    assert list(codes.columns) == ["vae0", "vae1"] == list(steps.get_feature_names_out())
    assert list(codes.index) == list(FRAME.index)
    assert steps[-1].feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="must be in the same order"):
        steps.transform(FRAME[["b", "a", "c"]])
    vae = VAE(**{**SMALL, "epochs": 60, "learning_rate": 1e-2})
    classify = make_pipeline(StandardScaler(), vae, LogisticRegression()).fit(FRAME, y)
    assert classify.score(FRAME, y) > 0.8


def test_a_search_in_two_processes():
    search = GridSearchCV(
        GaussianMixture(random_state=0), {"n_components": [1, 2, 3]}, cv=3, n_jobs=2
    ).fit(FRAME)
    by_hand = cross_val_score(GaussianMixture(2, random_state=0), FRAME, cv=3)
    at_two = search.cv_results_["mean_test_score"][1]
    np.testing.assert_allclose(at_two, by_hand.mean(), rtol=1e-10)
    assert list(search.best_estimator_.feature_names_in_) == ["a", "b", "c"]
    wrong = GridSearchCV(GaussianNB(), {"var_smoothing": [-1.0]}, n_jobs=2, error_score="raise")
    with pytest.raises(ValueError, match=r"var_smoothing=-1\.0 makes no sense"):
        wrong.fit(FRAME, y)


def test_unions_and_clones():
    union = FeatureUnion([("two", VAE(**SMALL)), ("one", VAE(**SMALL, latent_dim=1))])
    assert union.fit_transform(FRAME).shape == (90, 3)
    assert union.get_feature_names_out().tolist() == ["two__vae0", "two__vae1", "one__vae0"]
    vae = VAE(**SMALL).set_output(transform="polars").fit(FRAME)
    again = clone(vae)
    assert again.get_params() == vae.get_params()
    assert not hasattr(again, "model_")
    assert type(again.fit(FRAME).transform(FRAME)).__module__.startswith("polars")


def test_errors_are_theirs():
    for ask in (GaussianMixture().predict, VAE().transform, GaussianNB().predict):
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            ask(FRAME)


def test_classifiers_are_cross_validated_as_such():
    assert is_classifier(GaussianNB())
    assert isinstance(check_cv(3, y, classifier=is_classifier(GaussianNB())), StratifiedKFold)
    ours, theirs = (cross_val_score(nb, FRAME, y) for nb in (GaussianNB(), Theirs()))
    np.testing.assert_array_equal(ours, theirs)
