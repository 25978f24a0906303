"""Missing values: against conditioning row by row, closed forms, the engine, and enumeration."""

import warnings
from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

import minivae
from minivae import BernoulliMixture, BernoulliNB, GaussianMixture, GaussianNB, ops
from minivae.alternate import alternate, race
from minivae.distributions.mixture import MixtureOfGaussians, constrained
from minivae.errors import ConvergenceWarning, ShapeError
from minivae.models.mixture.data import Data
from minivae.models.mixture.em import e_step, m_step
from minivae.models.mixture.initialise import filled
from minivae.models.mixture.missing import imputed, patterns_of

TYPES = ("full", "tied", "diag", "spherical")


def theta_of(kind, K=3, D=4, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(K, D, D)) + 1.5 * np.eye(D)
    S = A @ A.swapaxes(1, 2)
    S = {
        "full": S, "tied": S[0], "diag": np.diagonal(S, axis1=1, axis2=2),
        "spherical": S[:, 0, 0],
    }[kind]  # fmt: skip
    pi, mu = rng.dirichlet(np.ones(K)), 2 * rng.normal(size=(K, D))
    return MixtureOfGaussians.from_covariances(pi, mu, S, kind)


def holed(X, share=0.3, seed=1):
    """The rows with NaN in a share of the places."""
    X = X.copy()
    X[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return X


def rows_of(N=60, D=4, seed=0, share=0.3):
    """Rows of four patterns and more, one of them without anything."""
    X = holed(np.random.default_rng(seed).normal(size=(N, D)) * 2, share, seed + 1)
    X[0], X[1] = np.nan, 1.0
    return X


def fit(X, K, **options):
    given = {name: options.pop(name) for name in ("sample_weight", "labels") if name in options}
    options = {"missing": "marginalise", "random_state": 0, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(K, **options).fit(X, **given)


def by_hand(theta, x):
    """log pi_k N(x_o), and the mean and covariance of the whole row given x_o, for each k."""
    o, m = np.flatnonzero(~np.isnan(x)), np.flatnonzero(np.isnan(x))
    joint, means, covariances = [], [], []
    for pi, mu, S in zip(theta.weights, theta.means, theta.matrices, strict=True):
        height = multivariate_normal.logpdf(x[o], mu[o], S[np.ix_(o, o)]) if len(o) else 0.0
        mean, C = x.copy(), np.zeros_like(S)
        B = S[np.ix_(m, o)] @ np.linalg.inv(S[np.ix_(o, o)])
        mean[m] = mu[m] + B @ (x[o] - mu[o])
        C[np.ix_(m, m)] = S[np.ix_(m, m)] - B @ S[np.ix_(o, m)]
        joint.append(np.log(pi) + height)
        means.append(mean)
        covariances.append(C)
    return np.array(joint), np.array(means), np.array(covariances)


# The E-step --------------------------------------------------------------------------------------


@pytest.mark.equation("MISS.1")
@pytest.mark.equation("MISS.2")
@pytest.mark.equation("MISS.3")
@pytest.mark.parametrize("kind", TYPES)
def test_the_sums_are_those_of_conditioning_row_by_row(kind):
    theta, X = theta_of(kind), rows_of()
    rng = np.random.default_rng(3)
    w, labels = rng.uniform(0.1, 2, len(X)), rng.integers(-1, 3, len(X))
    c = theta.means + rng.normal(size=theta.means.shape)
    data = Data("fit", X, sample_weight=w, labels=labels, K=3, missing="marginalise")
    sums = e_step(data, theta, c)
    counts, first, second, likelihood = np.zeros(3), np.zeros((3, 4)), np.zeros((3, 4, 4)), 0.0
    for x, wn, label in zip(X, w, labels, strict=True):
        joint, means, C = by_hand(theta, x)
        r = np.exp(joint - logsumexp(joint)) if label < 0 else np.eye(3)[label]
        likelihood += wn * (logsumexp(joint) if label < 0 else joint[label])
        counts += wn * r
        away = means - c
        first += wn * r[:, None] * away
        second += wn * r[:, None, None] * (away[:, :, None] * away[:, None, :] + C)
    reduced = {
        "full": second, "tied": second.sum(axis=0),
        "diag": np.diagonal(second, axis1=1, axis2=2),
        "spherical": np.trace(second, axis1=1, axis2=2),
    }[kind]  # fmt: skip
    assert sums.log_likelihood == pytest.approx(likelihood, rel=1e-11)
    np.testing.assert_allclose(sums.counts, counts, rtol=1e-11)
    np.testing.assert_allclose(sums.first, first, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(sums.second, reduced, rtol=1e-10, atol=1e-10)


def test_rows_are_grouped_by_what_they_miss():
    X = np.array([[1, np.nan], [2, 3], [np.nan, 1], [4, np.nan]])
    found = {tuple(p.missing): p.rows.tolist() for p in patterns_of(X)}
    assert found == {(1,): [0, 3], (): [1], (0,): [2]}
    assert patterns_of(np.ones((3, 2))) is None
    assert patterns_of(np.full((1, 9), 1e308)) is None  # their sum is not finite


@pytest.mark.parametrize("kind", TYPES)
def test_the_observed_likelihood_never_falls(kind):
    X = rows_of(200, share=0.4)
    model = fit(X, 3, covariance_type=kind, tol=0, max_iter=60, reg_covar=1e-3)
    assert (np.diff(model.lower_bounds_) > -1e-11).all()
    expected = [logsumexp(by_hand(model.distribution_, x)[0]) for x in X]
    assert model.lower_bound_ == pytest.approx(np.mean(expected), rel=1e-10)


@pytest.mark.parametrize("kind", TYPES)
def test_without_missing_values_it_is_plain_em_to_the_last_bit(kind):
    X = np.random.default_rng(0).normal(size=(80, 3)) + np.repeat([[0.0], [3.0]], 40, axis=0)
    options = {"covariance_type": kind, "max_iter": 20}
    one, other = (fit(X, 2, missing=m, **options) for m in ("refuse", "marginalise"))
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))


def test_monotone_patterns_have_the_closed_form_of_regressions():
    """Little and Rubin (2002), section 7.4: the factored likelihood of a Gaussian."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3)) @ rng.normal(size=(3, 3)) + [1.0, -2.0, 0.5]
    X[40:, 2] = X[65:, 1] = np.nan
    mu, S = np.array([X[:, 0].mean()]), np.array([[X[:, 0].var()]])
    for j, n in ((1, 65), (2, 40)):  # the j-th feature on those before it, where it is there
        A = np.column_stack([np.ones(n), X[:n, :j]])
        (a, *b), *_ = np.linalg.lstsq(A, X[:n, j])
        b, noise = np.array(b), np.mean((X[:n, j] - A @ np.array([a, *b])) ** 2)
        mu, across = np.append(mu, a + b @ mu), S @ b
        S = np.block([[S, across[:, None]], [across[None], noise + b @ across]])
    model = fit(X, 1, tol=0, max_iter=600, reg_covar=0)
    np.testing.assert_allclose(model.means_[0], mu, rtol=1e-9)
    np.testing.assert_allclose(model.covariances_[0], S, rtol=1e-9)
    # Imputed means alone, without their conditional covariance, end elsewhere.
    theta = MixtureOfGaussians.from_covariances([1.0], mu[None], S[None])
    shrunk = np.cov(imputed(X, theta).T, bias=True)
    assert (np.diag(shrunk)[1:] < 0.95 * np.diag(S)[1:]).all()


@pytest.mark.parametrize("kind", TYPES)
def test_the_engines_gradient_of_the_observed_likelihood_vanishes(kind):
    """Direct maximisation by an engine that knows nothing of EM would stop where EM stops."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3)) + 6 * (np.arange(60) % 2)[:, None]
    X = holed(X, 0.2)
    start = fit(X, 2, covariance_type=kind, tol=0, max_iter=250, reg_covar=0)
    theta = start.distribution_
    groups = [(np.ix_(p.rows, p.observed), p.observed) for p in patterns_of(X)]
    D = 3

    def value(logits, mu, L):
        log_pi = logits - ops.logsumexp(logits)
        total = 0.0
        for place, o in groups:
            x, joint = X[place], []
            for k in range(2):
                S = (
                    L[k] @ ops.transpose(L[k]) if kind == "full"
                    else L @ ops.transpose(L) if kind == "tied"
                    else (L[k] * L[k]) * np.eye(D)
                )  # fmt: skip
                joint.append(log_pi[k] + gaussian(x, mu[k][o], S[o[:, None], o]))
            total = total + ops.sum(ops.logsumexp(ops.stack(joint, 1), 1))
        return total / len(X)

    factors = theta.factors
    L = {"full": factors, "tied": factors[0]}.get(kind, np.diagonal(factors, 0, 1, 2))
    L = L[:, :1] if kind == "spherical" else L
    gradients = minivae.grad(value, argnums=(0, 1, 2))(np.log(theta.weights), theta.means, L)
    assert max(np.abs(g).max() for g in gradients) < 1e-6
    assert float(value(np.log(theta.weights), theta.means, L)) == pytest.approx(start.lower_bound_)


def gaussian(x, mu, S):
    """log N(x; mu, S) by the engine, by Cholesky's recursion on single numbers."""
    d, L, y = len(mu), {}, []
    for i in range(d):
        for j in range(i + 1):
            rest = S[i, j] - sum((L[i, k] * L[j, k] for k in range(j)), 0.0)
            L[i, j] = ops.sqrt(rest) if i == j else rest / L[j, j]
        away = x[:, i] - mu[i] - sum((L[i, k] * y[k] for k in range(i)), 0.0)
        y.append(away / L[i, i])
    if not d:
        return np.zeros(len(x))
    half = sum((ops.log(L[i, i]) for i in range(d)), 0.0)
    return -half - 0.5 * sum((v * v for v in y), 0.0) - 0.5 * d * np.log(2 * np.pi)


# Predictions, marginals and conditionals ---------------------------------------------------------


@pytest.mark.equation("MISS.1")
@pytest.mark.equation("MISS.4")
@pytest.mark.parametrize("kind", TYPES)
def test_predictions_are_by_the_observed_marginals(kind):
    X = rows_of(80)
    model = fit(X, 3, covariance_type=kind, max_iter=5)
    hand = [by_hand(model.distribution_, x) for x in X]
    joint = np.array([h[0] for h in hand])
    log_p = logsumexp(joint, axis=1)
    r = np.exp(joint - log_p[:, None])
    np.testing.assert_allclose(model.score_samples(X), log_p, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(model.predict_proba(X), r, rtol=1e-10, atol=1e-14)
    np.testing.assert_array_equal(model.predict(X), r.argmax(axis=1))
    assert model.score(X) == pytest.approx(log_p.mean())
    filled = np.einsum("nk,nki->ni", r, np.array([h[1] for h in hand]))
    there = ~np.isnan(X)
    np.testing.assert_array_equal(model.impute(X)[there], X[there])
    np.testing.assert_allclose(model.impute(X)[~there], filled[~there], rtol=1e-9)
    assert model.impute(X.astype(np.float32)).dtype == np.float32


@pytest.mark.equation("MISS.5")
@pytest.mark.parametrize("kind", TYPES)
def test_a_conditional_is_the_joint_over_the_marginal(kind):
    theta, rng = theta_of(kind), np.random.default_rng(5)
    x = rng.normal(size=(7, 4))
    given = theta.condition([2, 0], x[0, [2, 0]])
    x[:, [2, 0]] = x[0, [2, 0]]
    expected = theta.log_prob(x) - theta.marginal([2, 0]).log_prob(x[:, [2, 0]])
    np.testing.assert_allclose(given.log_prob(np.ascontiguousarray(x[:, [1, 3]])), expected)
    assert given.covariance_type == kind
    hand = [
        np.log(pi) + multivariate_normal.logpdf(x[:, [3, 1]], mu[[3, 1]], S[np.ix_([3, 1], [3, 1])])
        for pi, mu, S in zip(theta.weights, theta.means, theta.matrices, strict=True)
    ]
    swapped = np.ascontiguousarray(x[:, [3, 1]])
    found = theta.marginal([3, 1]).log_prob(swapped)
    np.testing.assert_allclose(found, logsumexp(hand, axis=0), rtol=1e-12)
    np.testing.assert_allclose(theta.marginal([-1, 1]).log_prob(swapped), found)


def test_what_is_no_marginal_and_no_condition():
    model = fit(rows_of(), 2, max_iter=2)
    assert model.marginal(1).means.shape == (2, 1)
    assert model.condition(0, [1.0]).means.shape == (2, 3)
    for columns in ([], [0, 4], [1.0], [True, False, True, True], "a", [[0]]):
        with pytest.raises(ValueError, match="must be numbers of columns, from 0 to 3"):
            model.marginal(columns)
    with pytest.raises(ValueError, match=r"columns=\[1, -3\] hold a column twice"):
        model.marginal([1, -3])
    with pytest.raises(ShapeError, match="there must be a value for each column"):
        model.condition([0, 1], [1.0])
    with pytest.raises(ShapeError, match="and a column left"):
        model.condition([0, 1, 2, 3], [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="must be finite"):
        model.condition([0], [np.nan])
    with pytest.raises(ValueError, match="too far from every component"):
        model.condition([0], [1e200])


# Doors -------------------------------------------------------------------------------------------


def test_nan_is_refused_by_default_and_the_option_named():
    X = rows_of()
    for model in (GaussianMixture(2), BernoulliMixture(2)):
        with pytest.raises(ValueError, match=r"X\[0, 0\] = nan.* set missing='marginalise'"):
            model.fit(X)
    with pytest.raises(ValueError, match="missing='drop' makes no sense; it must be one of"):
        GaussianMixture(2, missing="drop").fit(X)
    X[3, 1] = np.inf
    with pytest.raises(ValueError, match=r"X\[3, 1\] = inf, one of 1 rows that hold"):
        GaussianMixture(2, missing="marginalise").fit(X)
    X[3, 1], X[:, 2] = 0.0, np.nan
    with pytest.raises(ValueError, match="column 2 of X has no value in any row; drop it"):
        GaussianMixture(2, missing="marginalise").fit(X)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_chunks_files_weights_and_labels(tmp_path, init):
    X = rows_of(90)
    options = {"init_params": init, "max_iter": 4}
    whole = fit(X, 2, **options)
    path = tmp_path / "x.npy"
    np.save(path, X)
    for data in (np.load(path, mmap_mode="r"), [X[:31], X[31:]]):
        other = fit(data, 2, **options)
        np.testing.assert_allclose(other.means_, whole.means_, rtol=1e-8)
        np.testing.assert_allclose(other.lower_bounds_, whole.lower_bounds_, rtol=1e-9)
    labels = np.where(np.arange(90) % 3 == 0, np.arange(90) % 2, -1)
    model = fit(X, 2, labels=labels, sample_weight=np.full(90, 2.0), **options)
    assert (np.diff(model.lower_bounds_) > -1e-11).all()


def test_weights_are_repeated_rows():
    X, w = rows_of(50), np.random.default_rng(4).integers(0, 4, 50)
    start = {
        "means_init": np.array([[-1.0] * 4, [1.0] * 4]), "weights_init": [0.5, 0.5],
        "precisions_init": np.repeat(np.eye(4)[None], 2, 0), "max_iter": 5,
    }  # fmt: skip
    one = fit(X, 2, sample_weight=w, **start)
    other = fit(np.repeat(X, w, axis=0), 2, **start)
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-10)
    assert one.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-12)


@pytest.mark.parametrize("kind", TYPES)
def test_offsets_duplicates_and_tiny_weights(kind):
    X = rows_of(120, D=3)
    options = {"covariance_type": kind, "max_iter": 10}
    near, far = fit(X, 2, **options), fit(X + 2.0**27, 2, **options)
    np.testing.assert_allclose(far.means_ - 2.0**27, near.means_, atol=1e-5)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-4)
    twice = fit(np.concatenate([X, X[-1:].repeat(40, axis=0)]), 2, **options)
    assert (np.diff(twice.lower_bounds_) > -1e-11).all()
    light = fit(X, 2, sample_weight=np.full(120, 1e-200), **options)
    np.testing.assert_allclose(light.lower_bounds_, near.lower_bounds_, rtol=1e-9)


def test_stepwise_updates_files_and_the_tags(tmp_path):
    X = rows_of(90)
    model = GaussianMixture(2, missing="marginalise", random_state=0)
    model.partial_fit(X[:50]).partial_fit(X[50:])
    before = model.distribution_
    by_sums = m_step(
        e_step(Data("", X, missing="marginalise"), before), before.means, before, 1e-6
    ).parameters
    assert np.isfinite(by_sums.covariances).all()
    assert model.n_iter_ == 2
    model.save(tmp_path / "m.npz")
    same = GaussianMixture.load(tmp_path / "m.npz")
    assert same.missing == "marginalise"
    np.testing.assert_array_equal(same.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(model.fit_predict(X), model.predict(X))


def test_the_floor_is_the_constrained_maximum_here_too():
    X = rows_of(40, D=3)
    X[:, 1] = np.where(np.isnan(X[:, 1]), np.nan, 2.0)  # does not vary
    model = fit(X, 2, reg_covar=1e-2, max_iter=30, tol=0)
    assert (np.diff(model.lower_bounds_) > -1e-10).all()
    values = np.linalg.eigvalsh(model.covariances_)
    assert values.min() == pytest.approx(1e-2, rel=1e-9)
    theta = model.distribution_
    step = m_step(e_step(Data("", X, missing="marginalise"), theta), theta.means, theta, 1e-2)
    expected = constrained(step.scatter, "full", 1e-2)[0]
    np.testing.assert_allclose(step.parameters.covariances, expected)


# Features that are independent -------------------------------------------------------------------


@pytest.mark.equation("MISS.6")
def test_a_mixture_of_bernoullis_sums_over_what_is_missing():
    rng = np.random.default_rng(0)
    X = (rng.random((150, 5)) < rng.random((2, 5)).repeat(75, axis=0)).astype(float)
    G = holed(X)
    G[0] = np.nan
    options = {"missing": "marginalise", "random_state": 0, "tol": 0, "floor": 1e-2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = BernoulliMixture(2, max_iter=40, **options).fit(G)
    assert (np.diff(model.lower_bounds_) > -1e-12).all()
    theta = model.distribution_
    for x, found in zip(G[:20], model.score_samples(G[:20]), strict=True):
        m = np.flatnonzero(np.isnan(x))
        whole = np.repeat(x[None], 2 ** len(m), axis=0)
        whole[:, m] = list(product([0.0, 1.0], repeat=len(m)))
        assert found == pytest.approx(logsumexp(theta.log_prob(whole)), rel=1e-11, abs=1e-12)
    r = model.predict_proba(G)
    np.testing.assert_allclose(r.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(G)[1:], r.argmax(axis=1)[1:])
    # Where EM stands still, no mean within the floor does better.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = BernoulliMixture(2, max_iter=3000, **options).fit(G)
    seen, r = ~np.isnan(G), model.predict_proba(G)
    expected = (r.T @ np.where(seen, G, 0)) / (r.T @ seen)
    np.testing.assert_allclose(model.means_, np.clip(expected, 1e-2, 0.99), rtol=1e-6)
    G[:, 1] = np.nan
    with pytest.raises(ValueError, match="column 1 of X has no value"):
        BernoulliMixture(2, missing="marginalise").fit(G)


@pytest.mark.equation("MISS.6")
def test_naive_bayes_leaves_the_missing_factors_out():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    X = holed(rng.normal(size=(200, 3)) + y[:, None])
    X[0] = np.nan
    model = GaussianNB(missing="marginalise", var_smoothing=1e-3).fit(X, y)
    epsilon = 1e-3 * np.nanvar(X, axis=0).max()
    for k in range(2):
        np.testing.assert_allclose(model.theta_[k], np.nanmean(X[y == k], axis=0))
        np.testing.assert_allclose(model.var_[k], np.nanvar(X[y == k], axis=0) + epsilon)
    parts = norm.logpdf(X[:, None], model.theta_, np.sqrt(model.var_))
    joint = np.log(model.class_prior_) + np.nansum(parts, axis=2)
    np.testing.assert_allclose(model.predict_joint_log_proba(X), joint)
    portions = GaussianNB(missing="marginalise", var_smoothing=1e-3)
    portions.partial_fit(X[:70], y[:70], classes=[0, 1]).partial_fit(X[70:], y[70:])
    np.testing.assert_allclose(portions.var_, model.var_)
    with pytest.raises(ValueError, match="feature 1 has no value in any datum of class 1"):
        GaussianNB(missing="marginalise").fit(np.where((y == 1)[:, None] & [0, 1, 0], np.nan, X), y)
    with pytest.raises(ValueError, match="set missing='marginalise'"):
        GaussianNB().fit(X, y)

    B = np.where(np.isnan(X), np.nan, X > 0.5)
    model = BernoulliNB(missing="marginalise", binarize=None).fit(B, y)
    on = np.stack([(np.nansum(B[y == k], axis=0) + 1) / ((~np.isnan(B[y == k])).sum(axis=0) + 2)
                   for k in range(2)])  # fmt: skip
    np.testing.assert_allclose(np.exp(model.feature_log_prob_), on)
    parts = np.where(np.isnan(B)[:, None], 0, np.log(np.where(B[:, None] == 1, on, 1 - on)))
    joint = np.log(np.bincount(y) / 200) + parts.sum(axis=2)
    np.testing.assert_allclose(model.predict_joint_log_proba(B), joint)
    same = BernoulliNB(missing="marginalise", binarize=0.5).fit(X, y)
    np.testing.assert_array_equal(same.predict(X), model.predict(B))


# Starts that race --------------------------------------------------------------------------------


def four_clusters(seed=0):
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0], [6, 0], [0, 6], [6, 6]])
    return centres.repeat(60, axis=0) + rng.normal(size=(240, 2))


def least_bic(X, seed, n_init):
    options = {"init_params": "random_from_data", "random_state": seed, "n_init": n_init}
    fits = [fit(X, K, missing="refuse", max_iter=300, tol=1e-5, **options) for K in range(1, 7)]
    return 1 + int(np.argmin([model.bic(X) for model in fits]))


@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_a_start_that_fails_does_not_choose_the_number_of_components():
    X = four_clusters()
    assert [least_bic(X, seed, 1) for seed in (0, 3)] == [5, 5]  # a single start does
    assert [least_bic(X, seed, 8) for seed in (0, 3)] == [4, 4]


def test_the_best_of_a_race_has_gone_its_own_way():
    X = four_clusters()
    options = {"missing": "refuse", "init_params": "random_from_data", "tol": 1e-6}
    options |= {"max_iter": 100, "random_state": 1}
    alone = max((fit(X, 4, n_init=1, **options | {"random_state": i}) for i in range(3)),
                key=lambda model: model.lower_bound_)  # fmt: skip
    raced = fit(X, 4, n_init=6, **options)
    assert raced.lower_bound_ >= alone.lower_bound_ - 1e-4
    again = GaussianMixture(
        4, means_init=raced.means_, weights_init=raced.weights_,
        precisions_init=raced.precisions_, max_iter=0,
    ).fit(X)  # fmt: skip
    assert again.lower_bound_ == pytest.approx(raced.lower_bound_, rel=1e-12)
    assert raced.lower_bounds_[-1] == raced.lower_bound_
    assert len(raced.lower_bounds_) == raced.n_iter_
    assert (np.diff(raced.lower_bounds_) > -1e-11).all()


def test_a_race_gives_up_what_cannot_win_and_nothing_else():
    """Ascents a (1 - b^n) of known ends: only what its pace cannot bring up is given up."""
    calls = {}

    def climb(i, so_far, more):
        end, pace = [(1.0, 0.5), (2.0, 0.5), (3.0, 0.97), (1.5, 0.5)][i]
        calls[i] = calls.get(i, 0) + more
        return alternate(
            lambda n: n, lambda _, n: n + 1, so_far.theta, lambda _, n: end * (1 - pace**n),
            0.0, more, bound_before=so_far.bound_before,
        )  # fmt: skip

    i, trace = race([0, 0, 0, 0], climb, 200)
    assert (i, trace.n_iter, trace.theta) == (2, 200, 200)
    assert trace.bound == 3.0 * (1 - 0.97**200)
    assert trace.bounds == [3.0 * (1 - 0.97**n) for n in range(1, 201)]
    assert calls[0] < 40 > calls[3]
    assert race([0], lambda i, so_far, more: climb(1, so_far, more), 200)[1].n_iter == 200


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_before_the_start_gaps_are_filled_by_draws(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    X = np.stack([5.0 + x, -3.0 + 2.0 * x + 0.2 * rng.normal(size=4000)], axis=1)
    gaps = rng.random(4000) < 0.5
    X[gaps, 1] = np.nan
    data = Data("fit", X, K=1, missing="marginalise")
    rows = filled(data, 1, kind, rng).sample(4000, rng)[0]
    np.testing.assert_array_equal(rows[~gaps], X[~gaps])
    mean, variance = rows[gaps, 1].mean(), rows[gaps, 1].var()
    assert abs(mean - -3.0) < 5 * 2.0 / np.sqrt(2000)
    assert abs(variance / 4.04 - 1) < 0.2  # draws, which vary as the data do
    r = np.corrcoef(rows[gaps].T)[0, 1]
    assert r > 0.98 if kind in ("full", "tied") else abs(r) < 0.11
