"""Naive Bayes against enumeration, arithmetic by hand, and itself in portions."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from minivae import BernoulliNB, GaussianNB, LatentModel
from minivae.distributions import Bernoulli, Categorical
from minivae.errors import DtypeError, NotFittedError, ShapeError

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 60)
X = RNG.normal(size=(60, 4)) + Y[:, None] * [1.0, 0.0, -1.0, 0.5]


@pytest.mark.equation("NB.1")
@pytest.mark.equation("NB.2")
@pytest.mark.parametrize("kind", [GaussianNB, BernoulliNB])
def test_the_posterior_is_by_bayes_rule_over_all_classes(kind):
    model = kind().fit(X, Y)
    if kind is GaussianNB:
        log_joint = np.stack(
            [
                np.log(model.class_prior_[k])
                + stats.norm.logpdf(X, model.theta_[k], np.sqrt(model.var_[k])).sum(axis=1)
                for k in range(3)
            ],
            -1,
        )
    else:
        p = np.exp(model.feature_log_prob_)
        latent = LatentModel(
            Categorical(model.class_log_prior_), lambda z: (z @ np.log(p / (1 - p)),), Bernoulli()
        )
        x = (X > 0).astype(float)
        log_joint = latent.log_joint(x, latent.prior.support(len(x))).T
    np.testing.assert_allclose(model.predict_joint_log_proba(X), log_joint, rtol=1e-12)
    posterior = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    np.testing.assert_allclose(model.predict_proba(X), posterior, rtol=1e-10)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(posterior), rtol=1e-9)
    np.testing.assert_array_equal(model.predict(X), posterior.argmax(axis=1))
    assert model.score(X, Y) == (posterior.argmax(axis=1) == Y).mean()


@pytest.mark.equation("NB.3")
def test_gaussian_by_hand():
    x, y = np.array([[1.0, 10.0], [3.0, 10.0], [0.0, 2.0], [0.0, 4.0], [6.0, 6.0]]), [1, 1, 0, 0, 0]
    model = GaussianNB(var_smoothing=0.5).fit(x, y)
    # the features' variances over all data: 2 + 2.8 = 5.2 and 10.24; half of the larger is added
    assert model.epsilon_ == pytest.approx(0.5 * 10.24)
    assert GaussianNB().fit(x, y).epsilon_ == pytest.approx(1e-9 * 10.24, rel=1e-12)
    np.testing.assert_allclose(model.theta_, [[2, 4], [2, 10]])
    np.testing.assert_allclose(model.var_ - model.epsilon_, [[8, 8 / 3], [1, 0]], atol=1e-12)
    np.testing.assert_allclose(model.class_prior_, [0.6, 0.4])
    given = GaussianNB(priors=[0.1, 0.9]).fit(x, y)
    np.testing.assert_allclose(given.class_prior_, [0.1, 0.9])


@pytest.mark.equation("NB.4")
def test_bernoulli_by_hand():
    x, y = np.array([[1, 0], [1, 1], [0, 0], [0, 0], [0, 1]]), ["a", "a", "b", "b", "b"]
    model = BernoulliNB(alpha=0.5).fit(x, y)
    np.testing.assert_allclose(
        np.exp(model.feature_log_prob_), [[2.5 / 3, 1.5 / 3], [0.5 / 4, 1.5 / 4]]
    )
    joint = 0.4 * (2.5 / 3) * 0.5, 0.6 * (0.5 / 4) * (2.5 / 4)
    np.testing.assert_allclose(model.predict_proba([[1, 0]])[0], np.array(joint) / sum(joint))
    assert model.predict([[1, 0]]).tolist() == ["a"]
    even = BernoulliNB(fit_prior=False).fit(x, y)
    np.testing.assert_allclose(np.exp(even.class_log_prior_), [0.5, 0.5])
    uneven = BernoulliNB(class_prior=[0.3, 0.7]).fit(x, y)
    np.testing.assert_allclose(np.exp(uneven.class_log_prior_), [0.3, 0.7])


def test_without_smoothing_what_never_happened_is_impossible_and_nothing_is_nan():
    x, y = [[1, 0], [1, 1], [0, 1]], [0, 0, 1]
    model = BernoulliNB(alpha=0.0).fit(x, y)
    # class 0 never had its first feature off, class 1 never had it on, nor its second off
    proba = model.predict_proba([[1, 0], [0, 1]])
    np.testing.assert_array_equal(proba, [[1, 0], [0, 1]])
    joint = model.predict_joint_log_proba([[1, 1]])[0]
    np.testing.assert_allclose(joint, [np.log(2 / 3 * 0.5), -np.inf])


@pytest.mark.parametrize("kind", [GaussianNB, BernoulliNB])
def test_portions_and_weights_are_as_good_as_rows(kind):
    # in portions, one without a class; far from zero, where raw second moments would be lost
    far = X + 1e6 if kind is GaussianNB else X
    order = np.argsort(Y, kind="stable")
    whole, parts = kind().fit(far, Y), kind()
    for rows in np.array_split(order, 7):
        parts.partial_fit(far[rows], Y[rows], classes=[0, 1, 2])
    for name in ("class_count_", "theta_", "var_", "feature_count_", "feature_log_prob_"):
        if hasattr(whole, name):
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-8)
    # a whole number as a weight counts a row so often; 0 leaves it out, but for epsilon_
    times = RNG.integers(0, 4, 60)
    settings = {"var_smoothing": 0.0} if kind is GaussianNB else {}
    weighted = kind(**settings).fit(X, Y, times)
    repeated = kind(**settings).fit(np.repeat(X, times, axis=0), np.repeat(Y, times))
    np.testing.assert_allclose(
        weighted.predict_log_proba(X), repeated.predict_log_proba(X), rtol=1e-8, atol=1e-12
    )


def test_a_class_without_data_so_far_is_never_predicted():
    gaussian = GaussianNB(priors=[0.2, 0.3, 0.5]).partial_fit(X[Y < 2], Y[Y < 2], [0, 1, 2])
    counted = BernoulliNB().partial_fit(X[Y < 2], Y[Y < 2], [0, 1, 2])
    for model in (gaussian, counted):
        proba = model.predict_proba(X)
        assert (proba[:, 2] == 0).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)
        with pytest.raises(ValueError, match="that there were data of"):
            model.sample([2])


def test_draws_have_the_moments_of_their_class():
    n = 40_000
    gaussian, bernoulli = GaussianNB().fit(X, Y), BernoulliNB().fit(X, Y)
    x = gaussian.sample(np.full(n, 1), random_state=0)
    away = (x.mean(axis=0) - gaussian.theta_[1]) / np.sqrt(gaussian.var_[1] / n)
    spread = (x.var(axis=0) / gaussian.var_[1] - 1) / np.sqrt(2 / n)
    assert (np.abs([away, spread]) < 5).all()
    on = bernoulli.sample(np.full(n, 2), random_state=0)
    p = np.exp(bernoulli.feature_log_prob_[2])
    assert (np.abs(on.mean(axis=0) - p) < 5 * np.sqrt(p * (1 - p) / n)).all()
    mixed = gaussian.sample([0, 2, 1], 3)
    assert mixed.shape == (3, 4)
    np.testing.assert_array_equal(mixed, gaussian.sample([0, 2, 1], 3))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(NotFittedError):
        GaussianNB().predict(X)
    with pytest.raises(ShapeError, match=r"y has shape \(3,\) for 60 data"):
        GaussianNB().fit(X, Y[:3])
    with pytest.raises(DtypeError, match="classes are whole numbers or names"):
        BernoulliNB().fit(X, Y + 0.5)
    with pytest.raises(ValueError, match="feature 1 does not vary within class 0"):
        GaussianNB(var_smoothing=0).fit([[0.0, 1], [1, 1], [2, 3], [3, 4]], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="first call needs classes="):
        GaussianNB().partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"y\[0\] = 5 is not one of the classes"):
        GaussianNB().fit(X, Y).partial_fit(X[:1], [5])
    with pytest.raises(ValueError, match=r"X\[0, 0\] = .* with binarize=None data must be 0 or 1"):
        BernoulliNB(binarize=None).fit(X, Y)
    with pytest.raises(ValueError, match="must be 3 numbers from 0, one a class, of sum 1"):
        GaussianNB(priors=[0.5, 0.6, 0.1]).fit(X, Y)
    with pytest.raises(ValueError, match="alpha=-1 makes no sense"):
        BernoulliNB(alpha=-1).fit(X, Y)
    with pytest.raises(ValueError, match="all sample weights are zero"):
        BernoulliNB().fit(X, Y, np.zeros(60))


def test_what_a_portion_leaves_open_is_refused_until_another_settles_it():
    nan, portions = np.nan, GaussianNB(missing="marginalise")
    portions.partial_fit([[1, 2], [2, 3]], [3, 3], classes=[3, 4])
    portions.partial_fit([[5, nan], [6, nan]], [4, 4])
    with pytest.raises(ValueError, match=r"predict_proba: feature 1 has no .* class 4; go"):
        portions.predict_proba([[5.5, 3.0]])
    with pytest.raises(ValueError, match="sample: feature 1 has no value in any datum of class 4"):
        portions.sample([3, 4])
    assert np.isnan(portions.theta_[1, 1])
    x = np.array([[5.2, nan], [1.0, nan]])  # of which the open factor integrates to 1
    first = GaussianNB(var_smoothing=0).fit([[1], [2], [5], [6]], [3, 3, 4, 4])
    np.testing.assert_allclose(portions.predict_proba(x), first.predict_proba(x[:, :1]), rtol=1e-6)
    X, y = [[5, nan], [6, nan], [5.5, 1], [5, 4], [1, 2], [2, 3]], [4, 4, 4, 4, 3, 3]
    portions.partial_fit(X[2:4], y[2:4])
    whole = GaussianNB(missing="marginalise").fit(X, y)
    first_gaps = GaussianNB(missing="marginalise").partial_fit(X[:2], y[:2], classes=[3, 4])
    first_gaps.partial_fit(X[2:], y[2:])
    for model in (portions, first_gaps):
        np.testing.assert_allclose(model.theta_, whole.theta_, rtol=1e-14)
        np.testing.assert_allclose(model.predict_proba(X), whole.predict_proba(X), rtol=1e-10)


def test_factors_that_nothing_smooths_are_refused_by_fit_and_after_portions():
    flat = GaussianNB(var_smoothing=0).partial_fit([[1, 2], [2, 3]], [0, 0], classes=[0, 1])
    flat.partial_fit([[5, 1], [5, 1]], [1, 1])
    with pytest.raises(ValueError, match=r"predict: .* feature 0 does not vary within class 1"):
        flat.predict([[5.5, 3.0]])
    flat.partial_fit([[6.0, 2.0]], [1])
    X, y = [[1, 2], [2, 3], [5, 1], [5, 1], [6, 2]], [0, 0, 1, 1, 1]
    whole = GaussianNB(var_smoothing=0).fit(X, y)
    np.testing.assert_allclose(flat.predict_proba(X), whole.predict_proba(X), rtol=1e-10)

    B, y = np.array([[1, np.nan], [0, np.nan], [1, 0], [1, 1]]), [0, 0, 1, 1]
    model = BernoulliNB(alpha=0, missing="marginalise", binarize=None)
    with pytest.raises(ValueError, match="fit: feature 1 has no value in any datum of class 0"):
        model.fit(B, y)
    model.partial_fit(B[:2], y[:2], classes=[0, 1])  # class 1 is impossible as yet
    np.testing.assert_array_equal(model.predict_proba(B[:1]), [[1.0, 0.0]])
    model.partial_fit(B[2:], y[2:])
    with pytest.raises(ValueError, match="score: feature 1 has no value in any datum of class 0"):
        model.score(B, y)
    np.testing.assert_allclose(model.predict_proba(B[:1]), [[1 / 3, 2 / 3]])
    with pytest.raises(ValueError, match="column 1 of X has no value in any row; drop it"):
        BernoulliNB(missing="marginalise").fit(B[:2], [0, 1])


def test_a_datum_that_no_class_gives_a_density_is_refused_by_every_question():
    model = GaussianNB().fit(X, Y)
    for question in (model.predict, model.predict_proba, lambda x: model.score(x, [0])):
        with pytest.raises(ValueError, match=r"X\[0\] has the density 0 under every class"):
            question([[1e200, 0, 0, 0]])


@pytest.mark.parametrize("model", [GaussianNB(priors=[1.0]), BernoulliNB(class_prior=[1.0])])
def test_a_refusal_names_the_method_that_was_called(model):
    with pytest.raises(ValueError, match=r"^partial_fit: (class_)?prior.* must be 3 numbers"):
        model.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"^partial_fit: X.* data must be 0 or 1"):
        BernoulliNB(binarize=None).partial_fit(X, Y, classes=[0, 1, 2])
