"""The computed equations of the chapter on labels, read from the page and evaluated on numbers."""

import math

import numpy as np
import pytest
from scipy.stats import norm, poisson

from book.formulas import check
from minivae import BayesNet, BernoulliNB, GaussianNB, Node, SemiSupervisedVAE


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


@pytest.mark.equation("DAG.1", evaluated=True)
@pytest.mark.equation("DAG.2", evaluated=True)
def test_directed_graphs():
    # A variable's value is written (i, value), so that p(x_i | Pa_i) knows whose table is meant.
    sizes = {"u": 2, "v": 3, "w": 2, "x": 3}
    parents = {"u": (), "v": ("u",), "w": ("v", "u"), "x": ("w",)}

    def bind(rng, trial):
        tables = {
            i: rng.dirichlet(np.ones(sizes[i]), [sizes[j] for j in parents[i]]) for i in sizes
        }
        net = BayesNet([Node(i, parents[i], tables[i]) for i in reversed(sizes)])
        values = {i: int(rng.integers(sizes[i])) for i in sizes}
        product = {
            "x": [*values.items()], r"\mathrm{Pa}": [[(j, values[j]) for j in parents[i]]
                                                    for i in sizes],
            "p(x)": math.exp(net.log_prob({i: np.array([v]) for i, v in values.items()})[0]),
            r"p(x|\mathrm{Pa})": lambda x, given: tables[x[0]][(*(v for _, v in given), x[1])],
            "ranges": {"i": 4},
        }  # fmt: skip
        # a is v, b is x, and r the pair of u and w; the joint table is a product of ours
        joint = np.einsum("u,uv,vuw,wx->vxuw", *tables.values()).reshape(3, 3, 4)
        answers = [net.query(["v"], {"x": x}) for x in range(3)]
        sums = {
            "p(a|b)": lambda a, b: answers[b - 1][a - 1], "ranges": {"a": 3, "b": 3, "r": 4},
            "p(a,b,r)": lambda a, b, r: joint[a - 1, b - 1, r - 1],
        }  # fmt: skip
        return product, sums

    check("DAG.1", lambda rng, trial: bind(rng, trial)[0])
    check("DAG.2", lambda rng, trial: bind(rng, trial)[1])


@pytest.mark.equation("SSL.1", evaluated=True)
@pytest.mark.equation("SSL.2", evaluated=True)
def test_the_bound_with_and_without_a_label():
    rng = np.random.default_rng(0)
    X, y = rng.poisson(3.0, (12, 2)).astype(float), np.arange(12) % 3
    vae = SemiSupervisedVAE(
        hidden=(4,), likelihood="poisson", epochs=4, dtype="float64", n_samples=2000,
        random_state=0,
    ).fit(X, y)

    def bind(rng, trial):
        x = rng.poisson(3.0, (1, 2)).astype(float)
        bounds, q = [vae.elbo(x, [k])[0] for k in range(3)], vae.predict_proba(x)[0]
        k, eps = trial % 3, rng.normal(size=(10, 1, 2))
        eps = np.concatenate([eps, -eps])
        in_z = vae.posterior(x, [k])
        mu, var, z = in_z.mu, np.exp(in_z.log_var), in_z.rsample(eps)
        means = vae.decode(np.asarray(z).reshape(20, 2), np.full(20, k))
        labelled = {
            "x": 0, "y": k + 1, "p(y)": vae.class_prior_[k],
            "p(x,y)": math.exp(vae.log_likelihood(x, [k], n_samples=2000)[0]),
            r"\mathcal{L}(x,y)": vae.elbo(x, [k], eps)[0],
            r"\mathbb{E}_q(z\midx,y)": [({"z": s}, 1 / 20) for s in range(20)],
            "p(x|y,z)": lambda x_, y, s: poisson.pmf(x[0], means[s]).prod(),
            r"\mathrm{KL}(q||p)": 0.5 * (mu**2 + var - 1 - np.log(var)).sum(),
        }  # fmt: skip
        return labelled, {
            "x": 0, "C": 3, "p(x)": math.exp(vae.log_likelihood(x, n_samples=2000)[0]),
            r"\mathcal{U}(x)": vae.elbo(x)[0], "q(y|x)": lambda y, x: q[int(y) - 1],
            r"\mathcal{L}(x,y)": lambda x, y: bounds[int(y) - 1],
        }  # fmt: skip

    check("SSL.1", lambda rng, trial: bind(rng, trial)[0])
    check("SSL.2", lambda rng, trial: bind(rng, trial)[1])


@pytest.mark.equation("SSL.3", evaluated=True)
def test_the_loss_of_a_minibatch():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(9, 2)), np.array([0, -1, 1, -1, 2, 1, -1, -1, 0])
    vae = SemiSupervisedVAE(
        hidden=(4,), likelihood="gaussian", sigma=0.5, epochs=4, alpha=2.5, dtype="float64",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    C, q = 1.0 * (y[:, None] == np.arange(3)), vae.predict_proba(X)

    class Given:  # the noise, as a generator would draw it
        def __init__(self, eps):
            self.eps = eps

        def standard_normal(self, size, dtype):
            assert size == (len(self.eps[0]), 1, 2)  # a datum's samples together
            return self.eps.swapaxes(0, 1)

    def bind(rng, trial):
        B, eps = rng.permutation(9)[: trial + 2], rng.normal(size=(1, 9, 2))
        loss, _ = vae._objective([C])((X[B], C[B]), Given(eps[:, B]), 1e9)
        both = vae.elbo(X, y, eps)
        return {
            "J(B)": loss.item(), r"\alpha": 2.5, "M": len(B), "N": 9, "m": 5, "y": [*(y + 1)],
            "x": [*range(9)], "B_1": [n + 1 for n in B if y[n] >= 0],
            "B_0": [n + 1 for n in B if y[n] < 0], r"\mathcal{L}(x,y)": lambda n, k: both[n],
            r"\mathcal{U}(x)": lambda n: both[n], "q(y|x)": lambda k, n: q[n, k - 1],
        }  # fmt: skip

    check("SSL.3", bind)
