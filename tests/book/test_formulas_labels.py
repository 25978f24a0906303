"""The computed equations of the chapter on labels, read from the page and evaluated on numbers."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from book.formulas import check
from minivae import BernoulliNB, GaussianNB, SemiSupervisedVAE


def labelled(rng, n=9, D=2, C=3):
    return rng.normal(size=(n, D)), np.arange(n) % C


@pytest.mark.equation("NB.1", evaluated=True)
@pytest.mark.equation("NB.2", evaluated=True)
def test_naive_bayes():
    def bind(rng, trial):
        X, Y = labelled(rng)
        model, x, y = GaussianNB().fit(X, Y), rng.normal(size=2), int(rng.integers(3))
        sigma, feature = np.sqrt(model.var_), {value: d for d, value in enumerate(x)}
        given = norm.pdf(x, model.theta_, sigma).prod(axis=1) * model.class_prior_
        posterior = np.exp(model.predict_log_proba(x[None]))[0]

        def one(x_d, k):
            d, k = feature[x_d], int(k) - 1
            return norm.pdf(x_d, model.theta_[k, d], sigma[k, d])

        return {
            "x": [*x], "y": y + 1, "D": 2, "C": 3, "p(y)": model.class_prior_[y], "p(x|y)": one,
            "p(x,y)": posterior[y] * given.sum(), "p(y|x)": posterior[y],
            "p(x,k)": lambda x, k: given[int(k) - 1],
        }  # fmt: skip

    check("NB.1", bind)
    check("NB.2", bind)


@pytest.mark.equation("NB.3", evaluated=True)
@pytest.mark.equation("NB.4", evaluated=True)
def test_what_is_read_off_the_data():
    def bind(rng, trial):
        X, Y = labelled(rng)
        on, alpha = X > 0, rng.uniform(0.5, 2)
        model, tau = GaussianNB(var_smoothing=0.1).fit(X, Y), 0.1 * X.var(axis=0).max()
        switches = BernoulliNB(alpha=alpha).fit(on, Y)
        env = {
            "c": 1.0 * (Y[:, None] == np.arange(3)), "N": 9, "N_k": [3.0] * 3, r"\tau": tau,
            r"\mu": model.theta_, r"\sigma": np.sqrt(model.var_), r"\alpha": alpha,
            "p": np.exp(switches.feature_log_prob_), "ranges": {"k": 3, "d": 2},
        }  # fmt: skip
        return {**env, "x": X}, {**env, "x": 1.0 * on}

    check("NB.3", lambda rng, trial: bind(rng, trial)[0])
    check("NB.4", lambda rng, trial: bind(rng, trial)[1])


@pytest.mark.equation("SSL.2", evaluated=True)
def test_the_bound_without_a_label():
    rng = np.random.default_rng(0)
    X, y = rng.poisson(3.0, (12, 2)).astype(float), np.arange(12) % 3
    vae = SemiSupervisedVAE(
        hidden=(4,), likelihood="poisson", epochs=4, dtype="float64", n_samples=2000,
        random_state=0,
    ).fit(X, y)

    def bind(rng, trial):
        x = rng.poisson(3.0, (1, 2)).astype(float)
        bounds, q = [vae.elbo(x, [k])[0] for k in range(3)], vae.predict_proba(x)[0]
        return {
            "x": 0, "C": 3, "p(x)": math.exp(vae.log_likelihood(x, n_samples=2000)[0]),
            r"\mathcal{U}(x)": vae.elbo(x)[0], "q(y|x)": lambda y, x: q[int(y) - 1],
            r"\mathcal{L}(x,y)": lambda x, y: bounds[int(y) - 1],
        }  # fmt: skip

    check("SSL.2", bind)
