"""The Bayesian mixture: its bound against draws, term by term, in the limit of EM, at the doors."""

import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from minivae import BayesianGaussianMixture, GaussianMixture
from minivae.distributions.mixture import as_matrices
from minivae.errors import CheckpointError, ConvergenceWarning, NotFittedError, ShapeError
from minivae.models.mixture import posterior as room
from minivae.models.mixture.data import Data
from minivae.models.mixture.em import em_statistics

TYPES = ("full", "tied", "diag", "spherical")
WEIGHTS = ("dirichlet_process", "dirichlet_distribution")


def clusters(N=150, D=2, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(3, D, D)) * 0.6 + np.eye(D)
    z = np.arange(N) % 3
    X = 4 * rng.normal(size=(3, D))[z] + np.einsum("nij,nj->ni", A[z], rng.normal(size=(N, D)))
    return X


def fit(X, K=4, **options):
    given = {name: options.pop(name) for name in ("sample_weight", "labels") if name in options}
    options = {"random_state": 0, "tol": 0, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return BayesianGaussianMixture(K, **options).fit(X, **given)


def prior_of(model):
    names = ("weight_concentration", "mean_precision", "mean", "degrees_of_freedom", "covariance")
    numbers = [getattr(model, f"{name}_prior_") for name in names]
    sticks = model.weight_concentration_prior_type == "dirichlet_process"
    return model._as_posterior("test", tuple(numbers), len(model.mean_prior_),
                               model.covariance_type_, sticks)  # fmt: skip


class Drawn:
    """Draws of pi, mu and Lambda from q, and log q or log p of them, by SciPy alone."""

    def __init__(self, q, rng, S):
        self.kind, (self.K, self.D) = q.expected.covariance_type, q.expected.means.shape
        a = q.concentration
        if a.ndim == 1:
            self.pi = self.sticks = stats.dirichlet(a).rvs(S, random_state=rng)
        else:
            self.sticks = np.stack(
                [stats.beta(*ab).rvs(S, random_state=rng) for ab in a.T], axis=1
            )
            left = np.cumprod(1 - self.sticks, axis=1)
            self.pi = self.sticks * np.concatenate([np.ones((S, 1)), left[:, :-1]], axis=1)
        self.lambdas = [
            w.rvs(S, random_state=rng) for w in self._wisharts(q)
        ]  # matrices, or numbers for p = 1
        self.matrices = self._as_matrices(S)
        self.mu = np.empty((S, self.K, self.D))
        for k in range(self.K):
            C = np.linalg.inv(q.mean_precision[k] * self.matrices[:, k])
            eps = rng.standard_normal((S, self.D))
            self.mu[:, k] = q.expected.means[k] + (np.linalg.cholesky(C) @ eps[..., None])[..., 0]

    def _wisharts(self, q):
        """The Wisharts by the class's own words: tied has K nu, spherical D nu, diag one each."""
        nu, S = q.degrees_of_freedom, q.expected.covariances
        K, D = self.K, self.D
        if self.kind == "full":
            return [stats.wishart(nu[k], np.linalg.inv(nu[k] * S[k])) for k in range(K)]
        if self.kind == "tied":
            return [stats.wishart(K * nu, np.linalg.inv(K * nu * S))]
        if self.kind == "diag":
            return [stats.gamma(nu[k] / 2, scale=2 / (nu[k] * S[k, d]))
                    for k in range(K) for d in range(D)]  # fmt: skip
        return [stats.gamma(D * nu[k] / 2, scale=2 / (D * nu[k] * S[k])) for k in range(K)]

    def _as_matrices(self, S):
        if self.kind in ("full", "tied"):
            drawn = np.stack(self.lambdas, axis=1).reshape(S, -1, self.D, self.D)
            return np.broadcast_to(drawn, (S, self.K, self.D, self.D))
        drawn = np.stack(self.lambdas, axis=1).reshape(S, self.K, -1)
        return np.broadcast_to(drawn, (S, self.K, self.D))[..., None] * np.eye(self.D)

    def log_density(self, q):
        """log q(pi) + log q(Lambda) + log q(mu given Lambda) of each draw, for any such q."""
        a = q.concentration
        if a.ndim == 1:
            total = stats.dirichlet(a).logpdf((self.sticks / self.sticks.sum(1, keepdims=True)).T)
        else:
            total = stats.beta(*a).logpdf(self.sticks).sum(axis=1)
        for w, drawn in zip(self._wisharts(q), self.lambdas, strict=True):
            moved = np.moveaxis(drawn, 0, -1) if drawn.ndim > 1 else drawn
            total = total + w.logpdf(moved)
        for k in range(self.K):
            P = q.mean_precision[k] * self.matrices[:, k]
            away = self.mu[:, k] - q.expected.means[k]
            squares = np.einsum("si,sij,sj->s", away, P, away)
            total = total + 0.5 * (np.linalg.slogdet(P / (2 * np.pi))[1] - squares)
        return total

    def log_joint(self, X):
        """log pi_k N(x_n; mu_k, Lambda_k^-1), ``(S, N, K)``."""
        away = X[None, :, None] - self.mu[:, None]
        squares = np.einsum("snki,skij,snkj->snk", away, self.matrices, away)
        heights = np.linalg.slogdet(self.matrices / (2 * np.pi))[1]
        return np.log(self.pi)[:, None] + 0.5 * (heights[:, None] - squares)


@pytest.mark.equation("VBM.2")
@pytest.mark.equation("VBM.3")
@pytest.mark.equation("VBM.4")
@pytest.mark.equation("VBM.5")
@pytest.mark.equation("VBM.6")
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_bound_is_what_draws_from_q_say(kind, weights):
    X = clusters(40)
    model = fit(X, 3, covariance_type=kind, weight_concentration_prior_type=weights, max_iter=3,
                weight_concentration_prior=0.8, degrees_of_freedom_prior=3.5)  # fmt: skip
    q, prior = model.posterior_, prior_of(model)
    drawn = Drawn(q, np.random.default_rng(1), 4000)
    r = model.predict_proba(X)
    entropy = -np.sum(r * np.log(np.maximum(r, 1e-300)))
    values = (r * drawn.log_joint(X)).sum(axis=(1, 2)) + entropy
    values = values + drawn.log_density(prior) - drawn.log_density(q)
    error = values.std(ddof=1) / np.sqrt(len(values))
    bound = model.lower_bound_ * len(X)
    assert abs(values.mean() - bound) < 5 * error
    assert error < 0.2  # the terms are larger: the Wisharts' alone
    without = bound + room.kl_of_components(q, prior)
    assert abs(values.mean() - without) > 20 * error
    # The responsibilities are a softmax of the expectations.
    logs = drawn.log_joint(X[:5])
    spread = logs.std(axis=0, ddof=1) / np.sqrt(len(logs))
    expected = q.mixture
    per = np.stack([
        np.log(expected.weights[k])
        + stats.multivariate_normal.logpdf(X[:5], expected.means[k], expected.matrices[k])
        for k in range(3)
    ], axis=1)  # fmt: skip
    assert (np.abs(logs.mean(axis=0) - per) < 5.5 * spread).all()
    np.testing.assert_allclose(model.score_samples(X[:5]), logsumexp(per, axis=1))


@pytest.mark.equation("VBM.1")
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_bound_never_falls_and_the_m_step_is_its_maximum(kind, weights):
    X = clusters()
    options = {"covariance_type": kind, "weight_concentration_prior_type": weights}
    model = fit(X, 5, max_iter=60, **options)
    bounds = np.array(model.lower_bounds_)
    assert (np.diff(bounds) > -1e-10 * np.abs(bounds[1:])).all()
    assert len(bounds) == model.n_iter_
    assert bounds[-1] == model.lower_bound_
    # No parameter moved a little from the M-step's does better, the responsibilities held.
    model = fit(X, 3, max_iter=2, **options)
    q, prior, data = model.posterior_, prior_of(model), Data("test", X)
    sums, centres = em_statistics(data, q.mixture, 0.0)
    r = q.mixture.responsibilities(X)

    def held(q):
        """The bound with these responsibilities, which are not those of q."""
        theta = q.mixture
        joint = np.stack([
            np.log(theta.weights[k])
            + stats.multivariate_normal.logpdf(X, theta.means[k], theta.matrices[k])
            for k in range(3)
        ], axis=1)  # fmt: skip
        value = np.sum(r * (joint - np.log(np.maximum(r, 1e-300))))
        return value - room.kl_of_weights(q, prior) - room.kl_of_components(q, prior)

    best = room.m_step(sums, centres, q, prior, 0.0)
    top, rng = held(best), np.random.default_rng(0)
    for _ in range(6):
        for name in ("concentration", "mean_precision", "degrees_of_freedom"):
            old = getattr(best, name)
            moved = best._replace(**{name: old * np.exp(1e-3 * rng.normal(size=old.shape))})
            assert held(moved) < top
        theta = best.expected
        scale = np.exp(1e-3 * rng.normal())
        for moved in (
            type(theta).from_covariances(
                theta.weights, theta.means + 1e-3 * rng.normal(size=theta.means.shape),
                theta.covariances, kind),
            type(theta).from_covariances(
                theta.weights, theta.means, theta.covariances * scale, kind),
        ):  # fmt: skip
            assert held(best._replace(expected=moved)) < top


@pytest.mark.parametrize("kind", TYPES)
def test_vague_priors_and_much_data_give_em(kind):
    X, w = clusters(90), np.full(90, 1e7)
    start = GaussianMixture(3, covariance_type=kind, random_state=0, max_iter=0).fit(X)
    em = GaussianMixture(
        3, covariance_type=kind, tol=0, max_iter=10, reg_covar=0, weights_init=start.weights_,
        means_init=start.means_, precisions_init=start.precisions_,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        em.fit(X)
    vague = {"mean_precision_prior": 1e-9, "weight_concentration_prior": 1e-3}
    model = fit(X, 3, covariance_type=kind, max_iter=10, reg_covar=0, sample_weight=w,
                weight_concentration_prior_type=WEIGHTS[1], **vague)  # fmt: skip
    np.testing.assert_allclose(model.weights_, em.weights_, rtol=1e-5)
    np.testing.assert_allclose(model.means_, em.means_, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.covariances_, em.covariances_, rtol=1e-4, atol=1e-5)
    assert model.lower_bound_ == pytest.approx(em.lower_bound_, abs=1e-4)


def test_a_small_concentration_leaves_superfluous_components_empty():
    X = clusters(300)
    used = [
        (fit(X, 8, weight_concentration_prior=c, weight_concentration_prior_type=WEIGHTS[1],
             max_iter=300).weights_ > 0.01).sum()
        for c in (1e-3, 100.0)
    ]  # fmt: skip
    assert used[0] == 3
    assert used[1] == 8


def test_the_bound_finds_the_number_of_components():
    X = clusters(300)
    options = {"weight_concentration_prior_type": WEIGHTS[1], "weight_concentration_prior": 1.0}
    bounds = [fit(X, K, max_iter=200, n_init=4, tol=1e-3, **options).lower_bound_
              for K in range(1, 6)]  # fmt: skip
    assert 1 + int(np.argmax(bounds)) == 3


@pytest.mark.parametrize("kind", TYPES)
def test_offsets_weights_chunks_and_missing_values(kind):
    X = clusters(120)
    options = {"covariance_type": kind, "max_iter": 10}
    near, far = fit(X, **options), fit(X + 2.0**27, **options)
    np.testing.assert_allclose(far.means_ - 2.0**27, near.means_, atol=1e-5)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-4)
    chunks = fit([X[:50], X[50:]], **options)
    np.testing.assert_allclose(chunks.means_, near.means_, rtol=1e-8)
    w = np.arange(120) % 3
    one, other = (
        fit(x, means, init_params="kmeans", sample_weight=v, **options)
        for x, v, means in ((X, w, 1), (np.repeat(X, w, axis=0), None, 1))
    )
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-10)
    assert one.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-11)
    G = X.copy()
    G[np.random.default_rng(0).random(G.shape) < 0.2] = np.nan
    model = fit(G, missing="marginalise", max_iter=40, covariance_type=kind)
    bounds = np.array(model.lower_bounds_)
    assert (np.diff(bounds) > -1e-10 * np.abs(bounds[1:])).all()
    assert np.isfinite(model.impute(G)).all()
    plain = fit(X, missing="marginalise", **options)
    np.testing.assert_array_equal(plain.lower_bounds_, near.lower_bounds_)
    labels = np.where(np.arange(120) % 4 == 0, np.arange(120) % 3, -1)
    labelled = fit(X, labels=labels, **options)
    assert (labelled.predict(X[::4]) == labels[::4]).mean() > 0.8


def test_files_and_doors(tmp_path):
    X = clusters()
    for weights in WEIGHTS:
        for kind in TYPES:
            model = fit(X, 3, covariance_type=kind, weight_concentration_prior_type=weights,
                        max_iter=3, mean_prior=[1.0, 2.0])  # fmt: skip
            model.save(tmp_path / "m.npz")
            same = BayesianGaussianMixture.load(tmp_path / "m.npz")
            np.testing.assert_array_equal(same.score_samples(X), model.score_samples(X))
            np.testing.assert_array_equal(same.sample(9)[0], model.sample(9)[0])
            assert vars(same).keys() == vars(model).keys()
    with pytest.raises(CheckpointError, match="of kind 'bayesian-gmm'"):
        GaussianMixture.load(tmp_path / "m.npz")
    assert not hasattr(model, "bic")
    assert not hasattr(model, "aic")
    with pytest.raises(NotFittedError):
        BayesianGaussianMixture().score(X)
    on = fit(X, 3, max_iter=1, warm_start=True)
    longer = fit(X, 3, max_iter=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        on.fit(X)
    np.testing.assert_array_equal(on.means_, longer.means_)
    with pytest.raises(ValueError, match="weight_concentration_prior_type has changed since"):
        on.set_params(weight_concentration_prior_type=WEIGHTS[1]).fit(X)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weight_concentration_prior": 0}, ValueError, "must be None or a positive number"),
        ({"mean_precision_prior": -1.0}, ValueError, "must be None or a positive number"),
        ({"degrees_of_freedom_prior": 1.0}, ValueError, "should be greater than 1, but got 1.000."),
        ({"weight_concentration_prior_type": "dirichlet"}, ValueError, "must be one of"),
        ({"mean_prior": [1.0]}, ShapeError, r"'means' should have the shape of \(2,\), but got"),
        ({"mean_prior": [1.0]}, ShapeError, "^fit: mean_prior has another shape"),
        ({"covariance_prior": np.diag([1.0, np.inf])}, ValueError, r"covariance_prior at \(1, 1\)"),
        ({"mean_prior": [1.0, np.nan]}, ValueError, r"mean_prior at \(1,\) is nan; it must be fin"),
        ({"mean_prior": "ab"}, ValueError, "mean_prior is not an array of real numbers"),
        ({"covariance_prior": [1.0, 2.0]}, ShapeError, "'full covariance_prior' should have"),
        ({"covariance_prior": -np.eye(2)}, ValueError, "covariances must be positive definite"),
        ({"covariance_prior": [[1, 2], [0, 1]]}, ValueError, "must be symmetric"),
        ({"missing": None}, ValueError, "missing=None makes no sense"),
    ],
)
def test_priors_that_make_no_sense(options, error, message):
    with pytest.raises(error, match=message):
        BayesianGaussianMixture(2, **options).fit(clusters())


@pytest.mark.parametrize("n", [2, 7])
def test_by_default_the_priors_are_the_mean_and_the_unbiased_covariance(n):
    X = np.random.default_rng(0).normal((3.0, -1.0), size=(n, 2))
    model = fit(X, 1, max_iter=1)
    np.testing.assert_allclose(model.mean_prior_, X.mean(axis=0))
    np.testing.assert_allclose(model.covariance_prior_, np.cov(X.T), atol=3e-6)
    kind = fit(X, 1, max_iter=1, covariance_type="diag")
    np.testing.assert_allclose(kind.covariance_prior_, X.var(axis=0, ddof=1), atol=3e-6)


def test_data_that_do_not_vary():
    X = clusters()
    X[:, 1] = 3.0
    with pytest.raises(ValueError, match="do not vary in some direction"):
        fit(X, 2, reg_covar=0)
    with pytest.raises(ValueError, match=r"next to nothing beside another.*a row that is far out"):
        fit(np.vstack([X, [[1e9, 1e9]]]), 2)
    model = fit(X, 2, max_iter=30)
    bounds = np.array(model.lower_bounds_)
    assert (np.diff(bounds) > -1e-10 * np.abs(bounds[1:])).all()
    assert np.linalg.eigvalsh(model.covariances_).min() > 0.99e-6
    K, D = model.means_.shape
    assert as_matrices(model.covariances_, "full", K, D).shape == (2, 2, 2)
    repeated = fit(np.repeat(clusters(6), 20, axis=0), 8, max_iter=20)
    assert np.isfinite(repeated.lower_bound_)
