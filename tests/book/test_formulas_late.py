"""Equations of samples, families, VAEs and mixtures, evaluated as they are printed."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.stats import binom, multivariate_normal, norm

from book.formulas import Of, check
from book.test_formulas_early import column, columns, density, linear
from examples import elbo_gap, linear_vae, pathwise_and_score
from minivae import BernoulliMixture, GaussianMixture, ops
from minivae.distributions import (
    CategoricalLikelihood,
    ContinuousBernoulli,
    Gaussian,
    Poisson,
)  # fmt: skip
from minivae.distributions.mixture import constrained
from minivae.objectives import effective_sample_size, importance_weighted_bound

# Reparameterisation ------------------------------------------------------------------------------


def by_noise(n=12):
    """Noise and weights that are exact for polynomials, and good for waves."""
    eps, weight = np.polynomial.hermite_e.hermegauss(n)
    return [*zip(eps, weight / weight.sum(), strict=True)]


@pytest.mark.equation("SCORE.1", evaluated=True)
def test_the_score():
    def bind(rng, trial):
        mu, v, eps = rng.standard_normal(3)
        z = mu + math.exp(v / 2) * eps
        s_mu, s_v = pathwise_and_score.score(v, eps)
        return {
            "q": Of(lambda mu, v: norm.pdf(z, mu, math.exp(v / 2))), r"\mu": mu, "v": v,
            r"\sigma": math.exp(v / 2), r"\varepsilon": eps, "s_\\mu": s_mu, "s_v": s_v,
        }  # fmt: skip

    check("SCORE.1", bind)


@pytest.mark.equation("SCORE.2", evaluated=True)
@pytest.mark.equation("SCORE.3", evaluated=True)
def test_the_score_function_gradient():
    eps = np.linspace(-9, 9, 181)
    weight = norm.pdf(eps) * 0.1

    def bind(rng, trial):
        mean, b = rng.standard_normal(2)
        z, s = mean + eps, pathwise_and_score.score(0.0, eps)[0]
        return {
            r"\lambda": mean, "f": lambda z: z**3 + z, "b": b,
            "s": Of(lambda z: pathwise_and_score.score(0.0, z - mean)[0]),
            r"\mathbb{E}_q": Of(lambda lambda_: [
                ({"z": each}, 0.1 * norm.pdf(each - lambda_)) for each in mean + eps
            ]),
            "best": pathwise_and_score.best_baseline(z**3 + z, s, weight),
        }  # fmt: skip

    check("SCORE.2", bind, trials=3)
    check("SCORE.3", lambda rng, trial: (env := bind(rng, trial)) | {"b": env["best"]}, trials=3)


@pytest.mark.equation("REP.1", evaluated=True)
def test_a_reparameterised_draw():
    def bind(rng, trial):
        mu, v, eps = rng.standard_normal((3, 1, 1))
        z = ops.reparameterise(mu, v, eps)
        return {"z": z.item(), r"\mu": mu.item(), "v": v.item(), r"\varepsilon": eps.item()}

    check("REP.1", bind)


@pytest.mark.equation("REP.2", evaluated=True)
def test_the_pathwise_gradient():
    def bind(rng, trial):
        cases = [({r"\varepsilon": eps}, weight) for eps, weight in by_noise()]
        return {
            r"\mu": rng.standard_normal(), "v": rng.uniform(-3, -1), "f": np.sin, "f'": np.cos,
            "z": Of(lambda mu, v, varepsilon: mu + math.exp(v / 2) * varepsilon),
            r"\mathbb{E}": cases, r"\mathbb{E}_\varepsilon": cases,
        }  # fmt: skip

    check("REP.2", bind)


def softplus(a):
    return np.logaddexp(0, a)


# Families ----------------------------------------------------------------------------------------


@pytest.mark.equation("GAUSS.1", evaluated=True)
def test_the_density_at_a_draw():
    def bind(rng, trial):
        mu, v, eps = rng.standard_normal((3, 2))
        sigma = np.exp(v / 2)
        return {
            "q(z|x)": norm.pdf(mu + sigma * eps, mu, sigma).prod(), "v": [*v], "K": 2,
            r"\varepsilon": [*eps],
        }  # fmt: skip

    check("GAUSS.1", bind)


@pytest.mark.equation("GAUSS.2", evaluated=True)
def test_the_prior():
    def bind(rng, trial):
        z = rng.standard_normal(3)
        return {"p(z)": multivariate_normal(cov=np.eye(3)).pdf(z), "z": [*z], "K": 3}

    check("GAUSS.2", bind)


@pytest.mark.equation("GAUSS.3", evaluated=True)
def test_the_entropy():
    def bind(rng, trial):
        q = multivariate_normal(rng.standard_normal(2), np.diag(rng.uniform(0.5, 2, 2)))
        pairs = product(by_noise(3), repeat=2)
        draws = [
            ({"z": q.mean + np.sqrt(np.diag(q.cov)) * [a, b]}, p * r) for (a, p), (b, r) in pairs
        ]
        return {
            r"\mathrm{H}(q)": q.entropy(), "q": None, "q(z)": q.pdf, r"\mathbb{E}_q": draws, "K": 2,
            "v": [*np.log(np.diag(q.cov))],
        }  # fmt: skip

    check("GAUSS.3", bind)


@pytest.mark.equation("LIK.1", evaluated=True)
@pytest.mark.equation("LIK.2", evaluated=True)
def test_counts():
    def bind(n):
        def counts(rng, trial):
            logits, x = 3 * rng.standard_normal((1, 4)), 1.0 * rng.integers(n + 1, size=(1, 4))
            p = expit(logits)
            ours = ops.binomial_log_prob(logits, x, n_trials=float(n))[0]
            if n > 1:  # the operation leaves the constant to the likelihood
                ours = binom.logpmf(x, n, p).sum()
            return {
                "p(x|z)": math.exp(ours), "x": [*x[0]], "l": [*logits[0]], "p": [*p[0]], "n": n,
                r"\zeta": softplus, "ranges": {"d": 4},
            }  # fmt: skip

        return counts

    check("LIK.1", bind(1))
    check("LIK.2", bind(5))


@pytest.mark.equation("LIK.3", evaluated=True)
def test_counts_without_a_ceiling():
    def bind(rng, trial):
        r, x = rng.standard_normal((1, 4)), 1.0 * rng.poisson(2, size=(1, 4))
        ours = Poisson().log_prob((r,), x)[0]
        return {"p(x|z)": math.exp(ours), "x": [*x[0]], "r": [*r[0]], "ranges": {"d": 4}}

    check("LIK.3", bind)


@pytest.mark.equation("LIK.4", evaluated=True)
def test_classes():
    def bind(rng, trial):
        logits, x = rng.standard_normal((1, 12)), 1.0 * rng.integers(3, size=(1, 4))
        ours = CategoricalLikelihood(3).log_prob((logits,), x)[0]
        table = {(d + 1, c): logits[0, 3 * d + c] for d in range(4) for c in range(3)}
        return {"p(x|z)": math.exp(ours), "x": [*x[0]], "l": table, "C": 3, "ranges": {"d": 4}}

    check("LIK.4", bind)


@pytest.mark.equation("LIK.5", evaluated=True)
def test_grey_pixels():
    x, weight = np.polynomial.legendre.leggauss(40)

    def constant(logit):
        return 2 / (weight @ (np.exp(logit * (x + 1) / 2) / (1 + np.exp(logit))))

    def bind(rng, trial):
        logits, grey = 2 * rng.standard_normal((1, 3)), rng.random((1, 3))
        ours = ops.continuous_bernoulli_log_prob(logits, grey)[0]
        return {
            "p(x|z)": math.exp(ours), "x": [*grey[0]], "l_d": [*logits[0]],
            "l": rng.standard_normal(), "C": constant, r"\zeta": softplus, "ranges": {"d": 3},
        }  # fmt: skip

    check("LIK.5", bind)


@pytest.mark.equation("LIK.6", evaluated=True)
def test_the_mean_of_a_grey_pixel():
    def bind(rng, trial):
        logit = rng.choice([-1, 1]) * rng.uniform(0.5, 4)
        (mean,) = ContinuousBernoulli().mean((np.array([logit]),))
        return {r"\mathbb{E}": [({"x": float(mean)}, 1.0)], "l": logit}

    check("LIK.6", bind)


@pytest.mark.equation("LIK.7", evaluated=True)
def test_real_values():
    def bind(rng, trial):
        mu, v, x = rng.standard_normal((3, 1, 3))
        ours = math.exp(ops.gaussian_log_prob(mu, v, x)[0])
        return {
            "p(x|z)": ours, r"\mu": [*mu[0]], "v": [*v[0]], "x": [*x[0]], "ranges": {"d": 3},
        }  # fmt: skip

    check("LIK.7", bind)


@pytest.mark.equation("LIK.8", evaluated=True)
def test_the_floor():
    def bind(rng, trial):
        floor, r, a = rng.uniform(0.2, 2), 2 * rng.standard_normal(), rng.standard_normal()
        v = Gaussian("network", floor).log_var(np.array([r]))[0]
        return {
            "v": float(v), "v_0": 2 * math.log(floor), "r": r, "a": a,
            r"\zeta": softplus,
        }  # fmt: skip

    check("LIK.8", bind)


# The variational autoencoder ---------------------------------------------------------------------


@pytest.mark.equation("VAE.4", evaluated=True)
def test_the_loss():
    def bind(rng, trial):
        beta, data = rng.uniform(0.5, 3), [linear(rng, 1) for _ in range(3)]
        kl = [ops.gaussian_kl(*np.reshape(env["q"], (2, 1, 1)))[0] for env in data]
        negative = np.mean([-env[r"\mathcal{L}(x)"] for env in data])
        draws = {}
        for n, env in enumerate(data, start=1):
            mu, v = env["q"]
            draws[n, 1], draws[n, 2] = mu + math.exp(v / 2), mu - math.exp(v / 2)
        return {
            r"J(\theta,\phi)": negative + (beta - 1) * np.mean(kl), r"\beta": beta, "M": 3, "S": 2,
            r"\mathrm{KL}(q||p)": Of(lambda n: kl[n - 1]), "z": draws,
            "p(x|z)": lambda env, z: env["p(x|z)"](env["x"], z), "x": data,
        }  # fmt: skip

    check("VAE.4", bind)


def principal(rng):
    X = rng.standard_normal((40, 4)) * [2.0, 1.3, 0.9, 0.5] @ rng.standard_normal((4, 4))
    W, values, var = linear_vae.principal_axes(X, 2)
    return X, W, values, var


@pytest.mark.equation("PPCA.2", evaluated=True)
def test_the_principal_axes():
    def bind(rng, trial):
        X, W, _, var = principal(rng)
        _, singular, rows = np.linalg.svd(X - X.mean(axis=0))
        axes = rows[:2].T * np.sign((rows[:2].T * W).sum(axis=0))  # an axis has no sign
        return {
            "w": columns(W), "u": columns(axes), r"\lambda": [*(singular**2 / len(X))],
            r"\sigma": math.sqrt(var), "d": 4, "K": 2, "ranges": {"j": 2},
        }  # fmt: skip

    check("PPCA.2", bind)


@pytest.mark.equation("PPCA.3", evaluated=True)
def test_the_likelihood_of_the_principal_axes():
    def bind(rng, trial):
        X, W, values, var = principal(rng)
        p = multivariate_normal(X.mean(axis=0), W @ W.T + var * np.eye(4))
        assert p.logpdf(X).mean() == pytest.approx(linear_vae.log_likelihood(values, 2))
        return {
            "p(x,...,x)": math.exp(p.logpdf(X).sum()), "x": [*X], "N": len(X), "d": 4, "K": 2,
            r"\lambda": [*values], r"\sigma": math.sqrt(var), "ranges": {"j": 4},
        }  # fmt: skip

    check("PPCA.3", bind)


@pytest.mark.equation("PPCA.4", evaluated=True)
def test_the_posterior_given_the_axes():
    def bind(rng, trial):
        W, (x, m) = rng.standard_normal((3, 2)), rng.standard_normal((2, 3, 1))
        z = column([0.3, -0.5])
        joint = density(z, 0, np.eye(2)) * density(x, W @ z + m, 0.49 * np.eye(3))
        return {
            "p(z|x)": joint / density(x, m, W @ W.T + 0.49 * np.eye(3)), "N": density, "x": x,
            "z": z, "m": m, "W": W, "M": W.T @ W + 0.49 * np.eye(2), r"\sigma": 0.7,
        }  # fmt: skip

    check("PPCA.4", bind)


@pytest.mark.equation("PPCA.5", evaluated=True)
def test_the_cost_of_axes_that_are_not_orthogonal():
    def bind(rng, trial):
        W = np.linalg.qr(rng.standard_normal((3, 2)))[0] * [1.5, 0.6]
        if trial % 3:  # else the columns stay orthogonal
            W = W @ np.linalg.qr(rng.standard_normal((2, 2)))[0]
        M = W.T @ W + 0.25 * np.eye(2)
        precision = M / 0.25
        variances = np.linspace(0.02, 2, 200_001)  # the best diagonal q, one dimension at a time
        least = [np.min(0.5 * (P * variances - 1 - np.log(variances))) for P in np.diag(precision)]
        gap = sum(least) - 0.5 * np.linalg.slogdet(precision)[1]
        return {"p(x)": 1.0, r"\mathcal{L}(x)": -gap, "M": M, "x": None, "ranges": {"j": 2}}

    check("PPCA.5", bind, tolerance=1e-6)


@pytest.mark.equation("PPCA.6", evaluated=True)
def test_the_energies():
    def bind(rng, trial):
        values, sigma, beta = rng.uniform(0.1, 2, 3), rng.uniform(0.3, 1), rng.uniform(0.5, 3)
        energies = linear_vae.energies(values, 3, sigma**2, beta)
        return {
            "w": [column([0.6 * math.sqrt(a), 0.8 * math.sqrt(a)]) for a in energies],
            r"\lambda": [*values], r"\sigma": sigma, r"\beta": beta, "ranges": {"j": 3},
        }  # fmt: skip

    check("PPCA.6", bind)


@pytest.mark.equation("IWAE.1", evaluated=True)
def test_the_weight():
    def bind(rng, trial):
        env, z = linear(rng, 1), rng.standard_normal()
        mu, v = elbo_gap.posterior(*env["model"])
        posterior = norm(mu, math.exp(v / 2)).pdf(z)
        w = env["p(x)"] * posterior / env["q(z|x)"](z, env["x"])
        return {**env, "z": z, "w": w}

    check("IWAE.1", bind)


@pytest.mark.equation("IWAE.2", evaluated=True)
@pytest.mark.equation("IWAE.3", evaluated=True)
def test_many_weights():
    def bind(rng, trial):
        log_w = 2 * rng.standard_normal((4, 1))
        return {
            r"\hat{\mathcal{L}}(x)": importance_weighted_bound(log_w)[0], "S": 4, "x": None,
            r"\mathrm{ESS}": effective_sample_size(log_w)[0], "w": [*np.exp(log_w[:, 0])],
            "ranges": {"s": 4},
        }  # fmt: skip

    check("IWAE.2", bind)
    check("IWAE.3", bind)


# Mixtures ----------------------------------------------------------------------------------------


def mixture(rng, max_iter=0, floor=1e-9):
    """A mixture of two Gaussians in the plane, its symbols, and the model that the library has."""
    X = rng.standard_normal((12, 2)) + 2.0 * rng.integers(2, size=(12, 1))
    pi, mu = np.array([0.3, 0.7]), rng.standard_normal((2, 2))
    factors = np.tril(rng.standard_normal((2, 2, 2)), -1) + rng.uniform(0.7, 1.5, 2) * np.eye(2)
    covariances = factors @ factors.transpose(0, 2, 1)
    model = GaussianMixture(
        2, max_iter=max_iter, tol=1e-300, reg_covar=floor, weights_init=pi, means_init=mu,
        precisions_init=np.linalg.inv(covariances),
    )  # fmt: skip
    symbols = {
        r"\pi": [*pi], r"\mu": columns(mu.T), r"\Sigma": [*covariances], "N": density,
        "x_n": columns(X.T), "K": 2, "ranges": {"k": 2, "j": 2, "n": 12},
    }  # fmt: skip
    return model, X, symbols, factors


@pytest.mark.equation("GMM.1", evaluated=True)
@pytest.mark.equation("GMM.12", evaluated=True)
def test_the_density_of_a_mixture():
    def bind(rng, trial):
        model, X, symbols, _ = mixture(rng)
        score = model.fit(X).score_samples(X)[:1]
        each = zip(symbols[r"\mu"], symbols[r"\Sigma"], strict=True)
        conditional = dict(enumerate((density(column(X[0]), *theta) for theta in each), start=1))
        return {
            **symbols, "x": column(X[0]), "p(x)": math.exp(score[0]),
            "p(x|z)": lambda x, z: conditional[z],
        }  # fmt: skip

    check("GMM.1", bind)
    check("GMM.12", bind)


@pytest.mark.equation("GMM.2", evaluated=True)
def test_responsibilities():
    def bind(rng, trial):
        model, X, symbols, _ = mixture(rng)
        r = model.fit(X).predict_proba(X)
        names = (r"\pi", r"\mu", r"\Sigma")
        theta = dict(enumerate(zip(*map(symbols.get, names), strict=True), start=1))

        def by_bayes(k, x):
            pi, mu, Sigma = theta[k]
            return pi * density(x, mu, Sigma) / np.exp(model.score_samples(x.T))[0]

        return {**symbols, "r": r, "p(z|x)": by_bayes}

    check("GMM.2", bind, trials=3)


@pytest.mark.equation("GMM.3", evaluated=True)
def test_the_bound_of_a_mixture():
    def bind(rng, trial):
        model, X, symbols, _ = mixture(rng)
        r, log_p = model.fit(X).predict_proba(X), model.score_samples(X)
        gamma = r if trial % 2 else rng.dirichlet([1, 1], size=12)
        gap = (gamma * np.log(gamma / r)).sum()
        return {
            **symbols, r"\gamma": gamma, r"\mathcal{L}(\gamma,\theta)": log_p.sum() - gap,
            "p(x)": Of(lambda n: math.exp(log_p[n - 1])), r"\theta": None,
        }  # fmt: skip

    check("GMM.3", bind, trials=4, near=1 - 1e-7)


@pytest.mark.equation("GMM.4", evaluated=True)
@pytest.mark.equation("GMM.5", evaluated=True)
@pytest.mark.equation("GMM.6", evaluated=True)
@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_the_m_step():
    def bind(rng, trial):
        seed = rng.integers(99)
        start, X, symbols, _ = mixture(np.random.default_rng(seed))
        r = start.fit(X).predict_proba(X)
        model = mixture(np.random.default_rng(seed), max_iter=1)[0].fit(X)
        return {
            **symbols, "r": r, "N": len(X), "N_k": [*r.sum(axis=0)], r"\pi": [*model.weights_],
            r"\mu": columns(model.means_.T), r"\Sigma": [*model.covariances_],
            "S_k": [*model.covariances_],
        }  # fmt: skip

    for label in ("GMM.4", "GMM.5", "GMM.6"):
        check(label, bind)


@pytest.mark.equation("GMM.8", evaluated=True)
def test_k_means_as_a_limit():
    def bind(rng, trial):
        X, mu = rng.standard_normal((5, 2)), rng.standard_normal((3, 2))
        var = rng.uniform(0.2, 2)
        model = GaussianMixture(
            3, covariance_type="spherical", max_iter=0, means_init=mu,
            weights_init=np.full(3, 1 / 3), precisions_init=np.full(3, 1 / var),
        )  # fmt: skip
        return {
            "r": model.fit(X).predict_proba(X), "x": columns(X.T), "x_n": columns(X.T), "s": var,
            r"\mu": columns(mu.T), "ranges": {"n": 5, "k": 3, "j": 3},
        }  # fmt: skip

    check("GMM.8", bind)
    # and in the limit the nearest takes all, as in k-means
    rng = np.random.default_rng(0)
    X, mu = rng.standard_normal((50, 2)), rng.standard_normal((3, 2))
    model = GaussianMixture(
        3, covariance_type="spherical", max_iter=0, means_init=mu, reg_covar=0.0,
        weights_init=np.full(3, 1 / 3), precisions_init=np.full(3, 1e8),
    )  # fmt: skip
    nearest = ((X[:, None] - mu) ** 2).sum(-1).argmin(axis=1)
    np.testing.assert_array_equal(model.fit(X).predict_proba(X), np.eye(3)[nearest])


@pytest.mark.equation("GMM.9", evaluated=True)
def test_the_information_criterion():
    def bind(rng, trial):
        model, X, *_ = mixture(rng)
        log_p = model.fit(X).score_samples(X)
        return {
            r"\mathrm{BIC}": model.bic(X), r"\mathrm{df}": model.distribution_.n_parameters,
            "p(x_n)": None, "x_n": [*range(1, 13)], "N": 12, "d": 2, "K": 2,
            "p(x)": lambda n: math.exp(log_p[n - 1]), "ranges": {"n": 12},
        }  # fmt: skip

    check("GMM.9", bind)


@pytest.mark.equation("GMM.13", evaluated=True)
@pytest.mark.equation("GMM.14", evaluated=True)
@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_a_mixture_of_bernoullis():
    def bind(rng, trial):
        X = 1.0 * (rng.random((15, 3)) < rng.random((2, 3)).repeat([7, 8], axis=0))
        begin, after = (
            BernoulliMixture(2, max_iter=n, tol=0, floor=0.2, random_state=trial).fit(X)
            for n in (0, 1)
        )
        r = begin.predict_proba(X)
        return {
            "K": 2, "D": 3, r"\pi": [*after.weights_], r"\mu": after.means_, "r": r, r"\tau": 0.2,
            "x_i": [*X[0]], "p(x)": math.exp(after.score_samples(X[:1])[0]), "x": X,
            "N_k": [*r.sum(axis=0)], "ranges": {"k": 2, "i": 3, "n": 15},
        }  # fmt: skip

    check("GMM.13", bind)
    check("GMM.14", bind, trials=12)


@pytest.mark.equation("GMM.7", evaluated=True)
def test_the_floor_of_a_covariance():
    def bind(rng, trial):
        A = rng.standard_normal((3, 3))
        S, tau = A @ A.T, rng.uniform(0.1, 2)
        s, V = np.linalg.eigh(S)
        Sigma = constrained(S[None], "full", tau)[0][0]
        return {"S": S, "V": V, "s": [*s], r"\tau": tau, r"\Sigma": Sigma, "d": 3}

    check("GMM.7", bind)


@pytest.mark.equation("GMM.10", evaluated=True)
def test_fishers_identity():
    def bind(rng, trial):
        x, theta = rng.standard_normal(2)

        def joint(theta):
            return np.array([0.3 * norm.pdf(x, theta), 0.7 * norm.pdf(x, 2 * theta + 1, 1.5)])

        held = np.exp(np.log(joint(theta)) - logsumexp(np.log(joint(theta))))
        return {
            r"\theta": theta, "x": x, "p(x)": Of(lambda theta: joint(theta).sum()), "r": [*held],
            "p(x,k)": Of(lambda theta, k: joint(theta)[k - 1]), "ranges": {"k": 2},
        }  # fmt: skip

    check("GMM.10", bind)


@pytest.mark.equation("GMM.11", evaluated=True)
def test_a_batch_at_a_time():
    def bind(rng, trial):
        _, X, symbols, _ = mixture(rng)
        model = GaussianMixture(2, weights_init=symbols[r"\pi"], means_init=X[:2], random_state=0)
        model.partial_fit(X[:6]).partial_fit(X[6:])

        def sums():
            first = model.weights_ * model.means_.T
            return column(np.concatenate([model.weights_, first.ravel()]))

        before, r = sums(), model.predict_proba(X[:6])
        batch = column(np.concatenate([r.mean(axis=0), (X[:6].T @ r / 6).ravel()]))
        rate = (model.n_iter_ + 2) ** -0.7
        model.partial_fit(X[:6])
        return {
            r"\bar{s}": before, r"\rho_t": rate, r"\bar{s}_\text{batch}": batch,
            "after": {r"\bar{s}": sums()},
        }  # fmt: skip

    check("GMM.11", bind)


@pytest.mark.equation("PRIOR.1", evaluated=True)
def test_a_mixture_for_the_prior():
    def bind(rng, trial):
        model, X, symbols, factors = mixture(rng)
        return {
            "C": 2, r"\pi": symbols[r"\pi"], "m": symbols[r"\mu"], "L": [*factors], "N": density,
            "z": column(X[0]), "p(z)": math.exp(model.fit(X).score_samples(X)[0]),
        }  # fmt: skip

    check("PRIOR.1", bind)


@pytest.mark.equation("PRIOR.2", evaluated=True)
def test_the_divergence_from_samples():
    def bind(rng, trial):
        mu, v = rng.standard_normal((2, 1, 1))
        q, sigma = norm(mu.item(), math.exp(v.item() / 2)), math.exp(v.item() / 2)
        return {
            r"\mathrm{KL}(q||p)": ops.gaussian_kl(mu, v)[0], r"\mathrm{H}(q)": q.entropy(), "S": 2,
            "q": None, "p(z)": norm.pdf, "z": [q.mean() + sigma, q.mean() - sigma],
        }  # fmt: skip

    check("PRIOR.2", bind)
