"""EM for Gaussian mixtures: against exact answers, by hand, by the engine, and as an ascent."""

import copy
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import minivae
from minivae import ops
from minivae.datasets import load_faithful
from minivae.distributions.mixture import MixtureOfGaussians, constrained
from minivae.errors import ConvergenceWarning
from minivae.models.mixture import GaussianMixture
from minivae.models.mixture.data import Data
from minivae.models.mixture.em import e_step, m_step

TYPES = ("full", "tied", "diag", "spherical")


def clusters(N=300, D=2, K=3, seed=0):
    rng = np.random.default_rng(seed)
    A = 0.7 * rng.normal(size=(K, D, D)) + np.eye(D)
    z = rng.integers(K, size=N)
    X = 4 * rng.normal(size=(K, D))[z] + np.einsum("nij,nj->ni", A[z], rng.normal(size=(N, D)))
    return X


def start_of(X, K, kind, seed=0):
    """A start spelt out, as `GaussianMixture` takes it."""
    rng, D = np.random.default_rng(seed), X.shape[1]
    P = np.linalg.inv(np.atleast_2d(np.cov(X.T)))
    one = {"full": np.repeat(P[None], K, 0), "tied": P, "diag": np.repeat(np.diag(P)[None], K, 0)}
    return {
        "weights_init": np.full(K, 1 / K),
        "means_init": X[rng.choice(len(X), K, replace=False)].astype(float),
        "precisions_init": one.get(kind, np.full(K, np.trace(P) / D)),
    }


def fit(X, K, kind="full", *, quiet=True, **options):
    """A fit; warnings that it has not converged are beside the point unless ``quiet`` is False."""
    arguments = {n: options.pop(n) for n in ("sample_weight", "labels") if n in options}
    model = GaussianMixture(K, covariance_type=kind, **options)
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, **arguments)


def as_matrices(model):
    """Sigma as (K, D, D), whatever the type."""
    K, D = model.means_.shape
    C = model.covariances_
    if model.covariance_type == "full":
        return C
    if model.covariance_type == "tied":
        return np.repeat(C[None], K, 0)
    return (C if C.ndim == 2 else C[:, None])[..., None] * np.eye(D)


def log_joint(model, X):
    """log pi_k N(x_n; mu_k, Sigma_k) by SciPy, of shape (N, K)."""
    parts = zip(model.weights_, model.means_, as_matrices(model), strict=True)
    return np.stack([np.log(w) + multivariate_normal.logpdf(X, m, C) for w, m, C in parts], axis=-1)


def assert_same_model(a, b, rtol=1e-10):
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=rtol)


# Density and responsibilities --------------------------------------------------------------------


@pytest.mark.equation("GMM.1")
@pytest.mark.equation("GMM.2")
@pytest.mark.parametrize("kind", TYPES)
def test_densities_and_responsibilities_are_scipys(kind):
    X = clusters()
    model = fit(X, 3, kind, random_state=0)
    joint = log_joint(model, X)
    log_p = logsumexp(joint, axis=1)
    np.testing.assert_allclose(model.score_samples(X), log_p, rtol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X), np.exp(joint - log_p[:, None]), atol=1e-13)
    np.testing.assert_array_equal(model.predict(X), joint.argmax(axis=1))
    assert model.score(X) == pytest.approx(log_p.mean(), rel=1e-13)


@pytest.mark.parametrize("kind", TYPES)
def test_the_density_integrates_to_one(kind):
    model = fit(clusters(D=2), 3, kind, random_state=0)
    axis = np.linspace(-30, 30, 601)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert np.exp(model.score_samples(grid)).sum() * 0.1**2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("kind", TYPES)
def test_precisions_invert_covariances(kind):
    model = fit(clusters(D=3), 2, kind, random_state=0)
    P, U = model.precisions_, model.precisions_cholesky_
    if kind in ("full", "tied"):
        np.testing.assert_allclose(P @ model.covariances_ - np.eye(3), 0, atol=1e-12)
        np.testing.assert_array_equal(U, np.triu(U))
        np.testing.assert_allclose(U @ np.swapaxes(U, -1, -2), P, rtol=1e-13)
    else:
        np.testing.assert_allclose(P, 1 / model.covariances_)
        np.testing.assert_allclose(U, np.sqrt(P))


# The bound ---------------------------------------------------------------------------------------


@pytest.mark.equation("GMM.3")
@given(st.integers(0, 2**32), st.sampled_from(TYPES))
def test_the_bound_is_tight_at_the_responsibilities_and_short_by_the_kl_elsewhere(seed, kind):
    X = clusters(40, seed=1)
    model = fit(X, 3, kind, max_iter=2, random_state=0)
    joint, log_p, r = log_joint(model, X), model.score_samples(X), model.predict_proba(X)

    def bound(q):
        return (q * (joint - np.log(q))).sum(axis=1)

    q = np.random.default_rng(seed).dirichlet(np.ones(3), len(X)) + 1e-12
    q /= q.sum(axis=1, keepdims=True)
    kl = (q * (np.log(q) - joint + log_p[:, None])).sum(axis=1)
    assert (kl >= 0).all()
    np.testing.assert_allclose(bound(q), log_p - kl, rtol=1e-11)
    r = np.maximum(r, 1e-300)
    np.testing.assert_allclose(bound(r), log_p, rtol=1e-11)


@given(st.data())
def test_the_bound_never_falls(data):
    kind = data.draw(st.sampled_from(TYPES))
    N, D = data.draw(st.integers(4, 40)), data.draw(st.integers(1, 4))
    K = data.draw(st.integers(1, min(4, N)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    X = rng.normal(size=(N, D)) * 10.0 ** rng.integers(-3, 4, D) + rng.choice([0, 1e3])
    if data.draw(st.booleans()):
        X = X[rng.integers(N, size=N)]  # with duplicates
    if data.draw(st.booleans()):
        X[:, 0] = np.round(X[:, 0])
    weight = rng.random(N) * (rng.random(N) < 0.9) + 1e-9 if data.draw(st.booleans()) else None
    options = {
        "reg_covar": data.draw(st.sampled_from([1e-9, 1e-6, 1e-2, 1.0])),
        "init_params": data.draw(st.sampled_from(["kmeans", "k-means++", "random"])),
        "sample_weight": weight,
    }
    model = fit(X, K, kind, tol=0, max_iter=30, random_state=0, **options)
    bounds = np.array(model.lower_bounds_)
    assert (np.diff(bounds) >= -1e-10 * np.abs(bounds[1:])).all()


def test_covariances_with_something_added_to_them_would_be_seen_to_fall():
    """The widespread cure for singular covariances maximises nothing: the check above notices."""
    X = load_faithful() / [1.0, 10.0]
    data, theta = Data("test", X), fit(X, 2, max_iter=0, random_state=0).distribution_
    bounds = []
    for _ in range(30):
        statistics = e_step(data, theta)
        bounds.append(statistics.log_likelihood)
        theta = m_step(statistics, theta.means, theta, 0.0).parameters
        precisions = np.linalg.inv(theta.covariances + 0.05 * np.eye(2))
        theta = MixtureOfGaussians.from_precisions(theta.weights, theta.means, precisions)
    assert not (np.diff(bounds) >= -1e-10 * np.abs(bounds[1:])).all()


def test_the_bound_returned_is_that_of_the_parameters_returned():
    X = clusters()
    for kind in TYPES:
        for max_iter in (0, 1, 2, 100):
            model = fit(X, 3, kind, max_iter=max_iter, random_state=0)
            assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-13)
            assert len(model.lower_bounds_) == model.n_iter_
            if max_iter:
                assert model.lower_bounds_[-1] == model.lower_bound_


@pytest.mark.parametrize("kind", TYPES)
def test_an_iteration_moves_weights_means_and_covariances(kind):
    X = clusters()
    start = fit(X, 3, kind, max_iter=0, **start_of(X, 3, kind))
    once = fit(X, 3, kind, max_iter=1, **start_of(X, 3, kind))
    assert _moved(start, once) == {"weights_": True, "means_": True, "covariances_": True}
    # an EM that forgets one of them, as a widely used one forgets the weights, is told
    for forgotten in ("weights_", "means_", "covariances_"):
        lazy = copy.copy(once)
        setattr(lazy, forgotten, getattr(start, forgotten))
        assert [name for name, moved in _moved(start, lazy).items() if not moved] == [forgotten]


def _moved(start, once):
    names = ("weights_", "means_", "covariances_")
    changes = {name: np.abs(getattr(once, name) - getattr(start, name)) for name in names}
    return {name: (change > 1e-3).any(axis=-1).all() for name, change in changes.items()}


# The M-step --------------------------------------------------------------------------------------


@pytest.mark.equation("GMM.4")
@pytest.mark.equation("GMM.5")
@pytest.mark.equation("GMM.6")
@pytest.mark.parametrize("kind", TYPES)
def test_the_m_step_is_the_weighted_mean_and_scatter(kind):
    X = clusters()
    start = fit(X, 3, kind, max_iter=0, **start_of(X, 3, kind))
    r = start.predict_proba(X)
    once = fit(X, 3, kind, max_iter=1, **start_of(X, 3, kind))
    N = r.sum(axis=0)
    means = r.T @ X / N[:, None]
    away = X[:, None] - means
    S = np.einsum("nk,nki,nkj->kij", r, away, away)
    covariances = {
        "full": S / N[:, None, None],
        "tied": S.sum(0) / len(X),
        "diag": np.diagonal(S, axis1=1, axis2=2) / N[:, None],
        "spherical": np.trace(S, axis1=1, axis2=2) / (2 * N),
    }
    np.testing.assert_allclose(once.weights_, N / len(X), rtol=1e-12)
    np.testing.assert_allclose(once.means_, means, rtol=1e-12)
    np.testing.assert_allclose(once.covariances_, covariances[kind], rtol=1e-11, atol=1e-12)


@pytest.mark.equation("GMM.7")
@given(st.integers(0, 2**32), st.integers(1, 4), st.sampled_from(TYPES))
def test_no_covariance_above_the_floor_does_better_than_the_constrained_one(seed, D, kind):
    rng, floor = np.random.default_rng(seed), 0.5
    A = rng.normal(size=(2, D, D))
    S = A @ np.swapaxes(A, 1, 2)
    scatter = {
        "full": S,
        "tied": S[0],
        "diag": np.diagonal(S, axis1=1, axis2=2),
        "spherical": np.trace(S, axis1=1, axis2=2) / D,
    }[kind]
    covariances, U, raised = constrained(np.array(scatter), kind, floor)

    def objective(C):
        if kind in ("diag", "spherical"):
            return -np.log(C) - scatter / C
        value = np.linalg.slogdet(C)[1] + np.trace(np.linalg.solve(C, scatter), axis1=-2, axis2=-1)
        return -value

    best = objective(covariances)
    for _ in range(20):
        if kind in ("diag", "spherical"):
            factor = np.exp(0.3 * rng.normal(size=covariances.shape))
            other = np.maximum(floor, covariances * factor)
        else:
            B = np.eye(D) + 0.2 * rng.normal(size=covariances.shape)
            values, vectors = np.linalg.eigh(B @ covariances @ np.swapaxes(B, -1, -2))
            values = np.maximum(values, floor)
            other = (vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2)
        assert (objective(other) <= best + 1e-9).all()
    if kind in ("full", "tied"):
        inverse = U @ np.swapaxes(U, -1, -2)
        np.testing.assert_allclose(inverse @ covariances - np.eye(D), 0, atol=1e-9)
        assert (np.linalg.eigvalsh(covariances) >= floor * (1 - 1e-12)).all()
        assert (raised == (np.linalg.eigvalsh(scatter) < floor).sum(axis=-1)).all()


def test_a_floor_far_below_the_largest_variance_is_not_lost_in_rounding():
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    S = (Q * [1e8, 1.0, 0.0]) @ Q.T
    _, U, raised = constrained(S[None], "full", 1e-8)
    assert raised.tolist() == [1]
    np.testing.assert_allclose(np.linalg.norm(U[0].T @ Q, axis=0), [1e-4, 1, 1e4], rtol=1e-7)


# Invariances -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_one_component_is_the_sample_mean_and_covariance(kind):
    X = clusters(D=3)
    model = fit(X, 1, kind, random_state=0, quiet=False)
    C = np.cov(X.T, bias=True)
    np.testing.assert_allclose(model.weights_, [1])
    np.testing.assert_allclose(model.means_, [X.mean(axis=0)], rtol=1e-13)
    expected = {"full": C[None], "tied": C, "diag": np.diag(C)[None]}.get(kind, [np.trace(C) / 3])
    np.testing.assert_allclose(model.covariances_, expected, rtol=1e-12)


@given(st.permutations(range(3)), st.integers(0, 2**32), st.sampled_from(TYPES))
def test_renaming_components_and_rearranging_rows_change_nothing(order, seed, kind):
    X, order = clusters(60), list(order)
    start = start_of(X, 3, kind)
    model = fit(X, 3, kind, max_iter=10, **start)
    renamed = {name: value if kind == "tied" and value.shape == (2, 2) else value[order]
               for name, value in start.items()}  # fmt: skip
    rows = np.random.default_rng(seed).permutation(len(X))
    other = fit(X[rows], 3, kind, max_iter=10, **renamed)
    np.testing.assert_allclose(other.lower_bounds_, model.lower_bounds_, rtol=1e-11)
    np.testing.assert_allclose(other.means_, model.means_[order], rtol=1e-8)


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_affine_maps_shift_the_log_likelihood_by_the_log_determinant(kind):
    X = clusters(D=3)
    A, b = np.random.default_rng(5).normal(size=(3, 3)), np.array([3.0, -20, 1])
    start = start_of(X, 3, kind)
    inverse = np.linalg.inv(A)
    mapped = {
        "weights_init": start["weights_init"],
        "means_init": start["means_init"] @ A.T + b,
        "precisions_init": inverse.T @ start["precisions_init"] @ inverse,
    }
    options = {"max_iter": 20, "reg_covar": 0}
    model = fit(X, 3, kind, **options, **start)
    image = fit(X @ A.T + b, 3, kind, **options, **mapped)
    difference = np.array(model.lower_bounds_) - np.array(image.lower_bounds_)
    np.testing.assert_allclose(difference, np.log(abs(np.linalg.det(A))), rtol=1e-9)
    np.testing.assert_allclose(image.means_, model.means_ @ A.T + b, rtol=1e-8)


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_scaling_shifts_the_log_likelihood_by_the_log_determinant(kind):
    X = clusters(D=3)
    A = np.array([2.0, 0.1, -30]) if kind == "diag" else np.full(3, -7.0)
    start = start_of(X, 3, kind)
    mapped = start | {
        "means_init": start["means_init"] * A + 5,
        "precisions_init": start["precisions_init"] / (A if kind == "diag" else A[0]) ** 2,
    }
    options = {"max_iter": 20, "reg_covar": 0}
    model, image = fit(X, 3, kind, **options, **start), fit(X * A + 5, 3, kind, **options, **mapped)
    difference = np.array(model.lower_bounds_) - np.array(image.lower_bounds_)
    np.testing.assert_allclose(difference, np.log(np.abs(A)).sum(), rtol=1e-10)


@given(st.integers(0, 2**32), st.sampled_from(TYPES))
def test_whole_weights_are_repeated_rows(seed, kind):
    X = clusters(50)
    times = np.random.default_rng(seed).integers(0, 4, len(X))
    start = start_of(X, 3, kind)
    repeated = fit(np.repeat(X, times, axis=0), 3, kind, max_iter=15, **start)
    weighted = fit(X, 3, kind, max_iter=15, sample_weight=times, **start)
    np.testing.assert_allclose(weighted.lower_bounds_, repeated.lower_bounds_, rtol=1e-12)
    assert_same_model(weighted, repeated, rtol=1e-9)


def test_identical_components_stay_identical():
    X = clusters()
    C = np.cov(X.T, bias=True)
    start = {"weights_init": [0.3, 0.7], "means_init": X[:2] * 0 + X.mean(0),
             "precisions_init": np.repeat(np.linalg.inv(C)[None], 2, 0)}  # fmt: skip
    model = fit(X, 2, max_iter=5, **start)
    np.testing.assert_allclose(model.weights_, [0.3, 0.7], rtol=1e-12)
    np.testing.assert_allclose(model.covariances_, [C, C], rtol=1e-11)
    assert model.score(X) == pytest.approx(fit(X, 1).score(X), rel=1e-12)


# By hand -----------------------------------------------------------------------------------------


def exp_of(x, terms=80):
    """e^x as a fraction, to some 100 digits for |x| < 20."""
    total, term = Fraction(1), Fraction(1)
    for k in range(1, terms):
        term = (term * x / k).limit_denominator(10**60)
        total += term
    return total


def by_hand(x, pi, mu, var):
    """One iteration for two components in one dimension, in fractions but for root and e^x."""
    r = []
    for xi in x:
        odds = pi[1] / pi[0]  # of component 1 to component 0
        root = Fraction(float(var[0] / var[1])) ** Fraction(1, 2)
        root = Fraction(root)
        for _ in range(6):  # Newton's steps towards the square root
            root = ((root + var[0] / var[1] / root) / 2).limit_denominator(10**60)
        exponent = (xi - mu[0]) ** 2 / (2 * var[0]) - (xi - mu[1]) ** 2 / (2 * var[1])
        odds *= root * (exp_of(exponent) if exponent > 0 else 1 / exp_of(-exponent))
        r.append((1 / (1 + odds)).limit_denominator(10**60))
    r = [r, [1 - a for a in r]]
    N = [sum(q) for q in r]
    mu = [sum(a * b for a, b in zip(q, x, strict=True)) / n for q, n in zip(r, N, strict=True)]
    var = [sum(a * (b - m) ** 2 for a, b in zip(q, x, strict=True)) / n
           for q, m, n in zip(r, mu, N, strict=True)]  # fmt: skip
    return [n / len(x) for n in N], mu, var


def test_three_iterations_by_hand():
    x = [Fraction(a) for a in (-2, -1, 0, 1, 4, 5)]
    state = ([Fraction(1, 2)] * 2, [Fraction(-1), Fraction(3)], [Fraction(1), Fraction(2)])
    X = np.array(x, dtype=float)[:, None]
    for n in (1, 2, 3):
        state = by_hand(x, *state)
        model = fit(
            X,
            2,
            max_iter=n,
            reg_covar=0,
            tol=0,
            weights_init=[0.5, 0.5],
            means_init=[[-1], [3]],
            precisions_init=[[[1]], [[0.5]]],
        )
        pi, mu, var = (np.array([float(a) for a in part]) for part in state)
        np.testing.assert_allclose(model.weights_, pi, rtol=1e-14)
        np.testing.assert_allclose(model.means_[:, 0], mu, rtol=1e-14)
        np.testing.assert_allclose(model.covariances_[:, 0, 0], var, rtol=1e-13)


# Known optima ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "log_likelihood", "p"),
    [
        ("full", -1130.26396018, 11),
        ("tied", -1140.18675944, 8),
        ("diag", -1147.80635254, 9),
        ("spherical", -1709.52928217, 7),
    ],
)
def test_old_faithful(kind, log_likelihood, p):
    """The optima for two components, to which independent implementations converge too."""
    X = load_faithful()
    model = fit(X, 2, kind, tol=1e-11, max_iter=1000, reg_covar=0, random_state=0, quiet=False)
    assert model.score(X) * 272 == pytest.approx(log_likelihood, abs=2e-8)
    assert model.bic(X) == pytest.approx(-2 * log_likelihood + p * np.log(272), abs=1e-7)
    assert model.aic(X) == pytest.approx(-2 * log_likelihood + 2 * p, abs=1e-7)
    if kind == "full":
        order = np.argsort(model.means_[:, 0])
        np.testing.assert_allclose(model.weights_[order], [0.355873, 0.644127], atol=2e-6)
        expected = [[2.036388, 54.478516], [4.289662, 79.968115]]
        np.testing.assert_allclose(model.means_[order], expected, atol=2e-5)


def engine_log_likelihood(X, kind, K):
    """The mean log-likelihood as the engine sees it, of logits, means and factors' entries."""
    D = X.shape[1]

    def value(logits, means, U):
        log_pi = logits - ops.logsumexp(logits)
        terms = []
        for k in range(K):
            away = X - means[k]
            if kind in ("full", "tied"):
                factor = (U[k] if kind == "full" else U) * np.triu(np.ones((D, D)))
                y, log_det = away @ factor, ops.sum(ops.log(ops.sum(factor * np.eye(D), axis=0)))
            else:
                scale = U[k] * np.ones(D)
                y, log_det = away * scale, ops.sum(ops.log(scale))
            terms.append(log_pi[k] + log_det - 0.5 * ops.sum(y * y, axis=1))
        return ops.mean(ops.logsumexp(ops.stack(terms), axis=0)) - 0.5 * D * np.log(2 * np.pi)

    return value


@pytest.mark.parametrize("kind", TYPES)
def test_the_gradient_vanishes_where_em_stands_still(kind):
    X = load_faithful() / [1.0, 10.0]
    model = fit(X, 2, kind, tol=1e-15, max_iter=3000, reg_covar=0, random_state=0)
    value = engine_log_likelihood(X, kind, 2)
    theta = (np.log(model.weights_), model.means_, model.precisions_cholesky_)
    assert float(value(*theta)) == pytest.approx(model.score(X), rel=1e-12)
    for gradient in minivae.grad(value, argnums=(0, 1, 2))(*theta):
        assert np.abs(gradient).max() < 2e-7
    before = fit(X, 2, kind, max_iter=1, random_state=0)
    theta = (np.log(before.weights_), before.means_, before.precisions_cholesky_)
    gradients = minivae.grad(value, argnums=(0, 1, 2))(*theta)
    assert max(np.abs(g).max() for g in gradients) > 1e-4


def test_labels_known_and_unknown():
    rng = np.random.default_rng(0)
    z = rng.integers(3, size=400)
    X = 3 * np.array([[0, 0], [1, 0], [0, 1]])[z] + rng.normal(size=(400, 2))
    labels = np.where(rng.random(400) < 0.2, z, -1)
    model = fit(X, 3, labels=labels, random_state=0, tol=1e-8, max_iter=500)
    assert (model.predict(X) == z).mean() > 0.85  # the components have the labels' numbers
    joint, known = log_joint(model, X), labels >= 0
    bound = joint[known, labels[known]].sum() + logsumexp(joint[~known], axis=1).sum()
    assert model.lower_bound_ == pytest.approx(bound / 400, rel=1e-12)
    assert (np.diff(model.lower_bounds_) > -1e-10).all()
    for method in ("k-means++", "random", "random_from_data"):
        other = fit(X, 3, labels=labels, init_params=method, random_state=0, tol=1e-8, max_iter=500)
        assert other.lower_bound_ == pytest.approx(model.lower_bound_, abs=1e-4)


def test_all_labels_known_is_one_m_step():
    X, z = clusters(), np.arange(300) % 3
    model = fit(X, 3, labels=z, random_state=0, quiet=False)
    for k in range(3):
        np.testing.assert_allclose(model.means_[k], X[z == k].mean(axis=0), rtol=1e-12)
        C = np.cov(X[z == k].T, bias=True)
        np.testing.assert_allclose(model.covariances_[k], C, rtol=1e-11)


# Stepwise EM -------------------------------------------------------------------------------------


@pytest.mark.equation("GMM.11")
@pytest.mark.parametrize("kind", TYPES)
def test_an_update_mixes_the_sums_of_old_and_new_data(kind):
    X = clusters(400)
    model, before = (fit(X[:300], 3, kind, max_iter=5, tol=0, random_state=0) for _ in range(2))
    rate = (5 + 2) ** -0.7
    r_old = fit(X[:300], 3, kind, max_iter=4, tol=0, random_state=0).predict_proba(X[:300])
    r_new = before.predict_proba(X[300:])
    model.partial_fit(X[300:])
    # The same as one M-step on all rows, old ones with (1 - rate)/300 and new ones with rate/100.
    w = np.concatenate([np.full(300, (1 - rate) / 300), np.full(100, rate / 100)])
    r = w[:, None] * np.concatenate([r_old, r_new])
    np.testing.assert_allclose(model.weights_, r.sum(axis=0), rtol=1e-11)
    means = r.T @ X / r.sum(axis=0)[:, None]
    np.testing.assert_allclose(model.means_, means, rtol=1e-10)
    away = X[:, None] - means
    S = np.einsum("nk,nki,nkj->kij", r, away, away)
    expected = {
        "full": S / r.sum(0)[:, None, None],
        "tied": S.sum(0),
        "diag": np.diagonal(S, axis1=1, axis2=2) / r.sum(0)[:, None],
        "spherical": np.trace(S, axis1=1, axis2=2) / (2 * r.sum(0)),
    }
    np.testing.assert_allclose(model.covariances_, expected[kind], rtol=1e-9, atol=1e-11)
    assert model.lower_bound_ == pytest.approx(model.score(X[300:]), rel=1e-12)


def test_stepwise_em_learns_from_batches():
    X = clusters(20_000, seed=7)
    model = GaussianMixture(3, random_state=0)
    for start in range(0, len(X), 500):
        model.partial_fit(X[start : start + 500])
    assert model.n_iter_ == 40
    assert len(model.lower_bounds_) == 40
    whole = fit(X, 3, tol=1e-8, max_iter=500, random_state=0)
    assert model.score(X) == pytest.approx(whole.score(X), abs=1e-3)


# The two steps as functions ----------------------------------------------------------------------


def test_the_steps_can_be_taken_one_by_one():
    X = clusters()
    start = start_of(X, 3, "diag")
    model = fit(X, 3, "diag", max_iter=3, **start)
    theta = MixtureOfGaussians.from_precisions(*start.values(), "diag")
    data = Data("test", X)
    for _ in range(3):
        theta = m_step(e_step(data, theta), theta.means, theta, 1e-6).parameters
    np.testing.assert_allclose(theta.means, model.means_, rtol=1e-13)
    # Sums about other centres lead to the same parameters.
    elsewhere = theta.means + 1
    a = m_step(e_step(data, theta), theta.means, theta, 1e-6).parameters
    b = m_step(e_step(data, theta, elsewhere), elsewhere, theta, 1e-6).parameters
    np.testing.assert_allclose(a.covariances, b.covariances, rtol=1e-11)


@pytest.mark.parametrize(("fitted", "since"), [("tied", "diag"), ("diag", "tied")])
def test_a_covariance_type_set_after_the_fit_waits_for_the_next(tmp_path, fitted, since):
    X = clusters(N=200, D=3, K=3)  # K = D: both types' covariances have one shape
    model = fit(X, 3, fitted, random_state=0)
    expected = model.score_samples(X), model.bic(X)
    model.set_params(covariance_type=since)
    model.save(tmp_path / "mixture.npz")
    for one in (model, GaussianMixture.load(tmp_path / "mixture.npz")):
        assert one.covariance_type_ == fitted
        np.testing.assert_array_equal(one.score_samples(X), expected[0])
        assert one.bic(X) == expected[1]
        with pytest.raises(ValueError, match=f"fitted with 3 {fitted} .* go on with 3 {since} "):
            one.partial_fit(X)
    assert model.fit(X).covariance_type_ == since
