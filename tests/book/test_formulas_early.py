"""Equations of the engine, networks, the bound and minibatches, evaluated as they are printed."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import multivariate_normal, norm

import minivae_kernels as kernels
from book.formulas import Of, check
from exact import normal_rule
from examples import elbo_gap, minibatch_variance, step_size
from minivae import Tensor, hvp, ops, vjp
from minivae.gradcheck.check import _tolerance
from minivae.nn import glorot_uniform, he_normal
from minivae.objectives import minibatch_estimate
from minivae.optim import SGD, Adam
from minivae.tensor import unbroadcast


def column(values):
    return np.array(values, float).reshape(-1, 1)


def columns(matrix):
    return [column(c) for c in np.asarray(matrix).T]


# Reverse mode ------------------------------------------------------------------------------------


@pytest.mark.equation("AD.2", evaluated=True)
def test_a_pull_back():
    def bind(rng, trial):
        x, g = rng.standard_normal((2, 3))
        s = softmax(x)
        return {
            "x": column(x), "y": Of(lambda x: [*softmax(x[:, 0])]),
            "J": np.diag(s) - np.outer(s, s),
            r"\bar{y}": column(g), r"\bar{x}": column(vjp(ops.softmax, x)[1](g)[0]),
            "ranges": {"i": 3, "j": 3},
        }  # fmt: skip

    check("AD.2", bind)


@pytest.mark.equation("AD.4", evaluated=True)
def test_the_adjoint_of_broadcasting():
    def bind(rng, trial):
        g, b = rng.standard_normal((4, 3)), rng.standard_normal((1, 3))
        return {
            r"\bar{y}": g, r"\bar{b}": unbroadcast(g, (1, 3)), "b": b, r"\mathrm{d}": 1.0,
            r"\mathrm{broadcast}": lambda b: np.broadcast_to(b, (4, 3)),
        }  # fmt: skip

    check("AD.4", bind)


@pytest.mark.equation("AD.5", evaluated=True)
def test_a_hessian_times_a_vector():
    def f(x):
        return x[0] ** 2 * x[1] + ops.exp(x[1]) * x[2]

    def slope(x, v):
        e = np.exp(x[1])
        return 2 * x[0] * x[1] * v[0] + (x[0] ** 2 + e * x[2]) * v[1] + e * v[2]

    def bind(rng, trial):
        x, v = rng.standard_normal((2, 3))
        rows = [hvp(f, x, e) for e in np.eye(3)]
        return {
            "x": column(x), "v": column(v), "H": np.array(rows), "f(x)": lambda x: f(x[:, 0]),
            "f": Of(lambda x: f(x[:, 0])), "F": Of(lambda x, v: slope(x[:, 0], v[:, 0])),
            "ranges": {"i": 3, "j": 3},
        }  # fmt: skip

    check("AD.5", bind, tolerance=1e-6)


@pytest.mark.equation("AD.6", evaluated=True)
def test_a_product_of_matrices():
    def bind(rng, trial):
        A, B, g = (rng.standard_normal(shape) for shape in ((3, 2), (2, 4), (3, 4)))
        back = vjp(ops.matmul, A, B)[1](g)
        return {"A": A, "B": B, r"\bar{Y}": g, r"\bar{A}": back[0], r"\bar{B}": back[1]}

    check("AD.6", bind)


@pytest.mark.equation("AD.7", evaluated=True)
def test_log_sum_exp():
    def bind(rng, trial):
        x, g = rng.standard_normal(4), rng.standard_normal()
        return {
            "x": [*x], "y": logsumexp(x), "s": [*softmax(x)], r"\bar{y}": g,
            r"\bar{x}": [*vjp(ops.logsumexp, x)[1](np.array(g))[0]], "ranges": {"j": 4, "k": 4},
        }  # fmt: skip

    check("AD.7", bind)


@pytest.mark.equation("AD.8", evaluated=True)
def test_a_softmax():
    def bind(rng, trial):
        x, g = rng.standard_normal((2, 4))
        back = vjp(ops.softmax, x)[1](g)[0]
        return {
            "s": [*softmax(x)], r"\bar{s}": [*g], r"\bar{x}": [*back], "ranges": {"i": 4, "j": 4},
        }  # fmt: skip

    check("AD.8", bind)


@pytest.mark.equation("AD.9", evaluated=True)
def test_a_product_of_many():
    def bind(rng, trial):
        x, g = rng.standard_normal(4), rng.standard_normal()
        x[: trial % 3] = 0.0  # none, one and two zeros
        back = vjp(ops.prod, x)[1](np.array(g))[0]
        return {"x": [*x], r"\bar{y}": g, r"\bar{x}": [*back], "ranges": {"j": 4, "k": 4}}

    check("AD.9", bind)


@pytest.mark.equation("AD.10", evaluated=True)
def test_picking():
    def bind(rng, trial):
        x, g, picked = rng.standard_normal(4), rng.standard_normal(5), rng.integers(4, size=5)
        back = vjp(lambda x: x[picked], x)[1](g)[0]
        return {
            r"\bar{y}": [*g], r"\bar{x}": [*back], "j()": lambda i: picked[i - 1] + 1,
            "ranges": {"i": 5, "j": 4},
        }  # fmt: skip

    check("AD.10", bind)


# Checking gradients ------------------------------------------------------------------------------


@pytest.mark.equation("CHECK.1", evaluated=True)
def test_a_central_difference():
    def bind(rng, trial):
        x, h = rng.standard_normal(), rng.uniform(0.1, 1)
        return {"f": np.exp, "x": x, "h": h, "D": lambda h: step_size.central(np.exp, x, h)}

    check("CHECK.1", bind)


@pytest.mark.equation("CHECK.2", evaluated=True)
def test_the_error_of_a_difference():
    def bind(rng, trial):
        # so large a value that rounding weighs as much as curvature does
        f, third, h = 1e14 * rng.uniform(-1, 1), rng.standard_normal(), rng.uniform(0.1, 0.5)
        error = step_size.error_of(h, f, third)
        return {
            "f": f, "f'": 1.5, "f'''": third, "h": h, "u": 2.0**-53, "D": lambda h: 1.5 + error,
        }  # fmt: skip

    check("CHECK.2", bind, near=1 - 1e-7)


@pytest.mark.equation("CHECK.3", evaluated=True)
def test_the_best_step():
    def bind(rng, trial):
        f, third = 1e14 * rng.uniform(-1, 1), rng.standard_normal()
        return {"f": f, "f'''": third, "u": 2.0**-53, r"h^\star": step_size.best_step(f, third)}

    check("CHECK.3", bind)


@pytest.mark.equation("CHECK.4", evaluated=True)
def test_two_steps_make_a_better_difference():
    def bind(rng, trial):
        f, x, (h_1, h_2) = np.poly1d(rng.standard_normal(5)), rng.standard_normal(), (0.7, 0.3)
        return {
            "D": lambda h: step_size.central(f, x, h), "f'": f.deriv()(x), "h": 0.7,
            "h_1": h_1, "h_2": h_2, "O": lambda _: 0.0,  # for a polynomial of degree 4
        }  # fmt: skip

    check("CHECK.4", bind)


@pytest.mark.equation("CHECK.5", evaluated=True)
def test_the_number_that_is_differenced():
    def bind(rng, trial):
        x, g = rng.standard_normal((2, 3))
        _, pull_back = vjp(ops.log_softmax, x)
        return {
            "J": np.array([pull_back(e)[0] for e in np.eye(3)]), "g": column(g), "x": column(x),
            "f": [lambda x, i=i: log_softmax(x[:, 0])[i] for i in range(3)], "h": 1e-4,
            "e": columns(np.eye(3)), "ranges": {"i": 3, "j": 3},
        }  # fmt: skip

    check("CHECK.5", bind)


@pytest.mark.equation("CHECK.6", evaluated=True)
def test_the_tolerance():
    def bind(rng, trial):
        # a and d as far apart as is allowed, by the one term or by the other
        a, tau = 1e6 * rng.uniform(1, 2) * (-1) ** trial, (0.05, 3.0)[trial // 2 % 2]
        d = a
        for _ in range(60):
            d = a + (-1) ** (trial // 4) * _tolerance(a, d, 8 * tau)
        return {"a": a, "d": d, r"\tau": tau}

    check("CHECK.6", bind, trials=8, near=1 - 1e-7)


# Kernels and networks ----------------------------------------------------------------------------


@pytest.mark.equation("KERNEL.1", evaluated=True)
def test_the_product_of_a_layer():
    def bind(rng, trial):
        A, B, b = (rng.standard_normal(shape) for shape in ((2, 4), (4, 3), (1, 3)))
        return {
            "A": A, "B": B, "b": b, r"\varphi": np.tanh, "K": 4, "M": 2, "N": 3,
            "C": kernels.matmul(A, B, bias=b[0], activation="tanh"), "ranges": {"i": 2, "j": 3},
        }  # fmt: skip

    check("KERNEL.1", bind)


@pytest.mark.equation("KERNEL.4", evaluated=True)
def test_an_exponential_in_two_parts():
    def bind(rng, trial):
        x = rng.uniform(-8, 8)
        exp = kernels.exp(np.array([x]))[0]
        n = math.frexp(exp * math.sqrt(2))[1] - 1
        return {"x": x, "n": n, "r": math.log(exp / 2.0**n), r"\mathrm{round}": np.round}

    check("KERNEL.4", bind, trials=20, near=0.5)


@pytest.mark.equation("MLP.1", evaluated=True)
def test_a_layer():
    def bind(rng, trial):
        X, W, b = (rng.standard_normal(shape) for shape in ((4, 3), (3, 2), (1, 2)))
        Y = ops.linear(X, W, b[0], activation="tanh")
        return {"X": X, "W": W, "b": b, "Y": Y, r"\varphi": np.tanh}

    check("MLP.1", bind)


@pytest.mark.equation("MLP.2", evaluated=True)
def test_a_layer_backwards():
    def bind(rng, trial):
        X, W, b, g = (rng.standard_normal(shape) for shape in ((4, 3), (3, 2), (1, 2), (4, 2)))
        back = vjp(lambda X, W, b: ops.linear(X, W, b, activation="softplus"), X, W, b[0])[1](g)
        A = X @ W + b
        return {
            "X": X, "W": W, "A": A, r"\varphi'": lambda a: 1 / (1 + np.exp(-a)), "N": 4,
            "P": vjp(ops.softplus, A)[1](g)[0], r"\bar{Y}": g, r"\bar{X}": back[0],
            r"\bar{W}": back[1], r"\bar{b}": back[2][None], "ranges": {"j": 2},
        }  # fmt: skip

    check("MLP.2", bind)


class Widest:
    """A generator whose every draw is as far out as it can be."""

    def uniform(self, low, high, shape):
        return np.full(shape, high)

    def standard_normal(self, shape):
        return np.ones(shape)


@pytest.mark.equation("MLP.4", evaluated=True)
@pytest.mark.equation("MLP.5", evaluated=True)
def test_the_spread_of_weights():
    def bind(initialiser, divisor):
        def with_width(rng, trial):
            D, H = rng.integers(1, 90, size=2)
            sigma = initialiser(Widest(), D, H)[0, 0] / math.sqrt(divisor)
            return {"D": D, "H": H, r"\sigma_w": sigma}

        return with_width

    check("MLP.4", bind(glorot_uniform, 3))  # a uniform draw has a third of its limit's square
    check("MLP.5", bind(he_normal, 1))


@pytest.mark.equation("OPT.2", evaluated=True)
def test_momentum():
    def bind(rng, trial):
        (first, g), start = rng.standard_normal((2, 2)), rng.standard_normal(2)
        theta = Tensor(start, requires_grad=True)
        sgd = SGD([theta], learning_rate=0.3, momentum=0.8)
        sgd.step([first])
        before = theta.data.copy()
        sgd.step([g])
        return {
            "v": column((start - before) / 0.3), r"\theta": column(before), "g": column(g),
            "m": 0.8, r"\eta": 0.3, "after": {"v": column((before - theta.data) / 0.3),
                                    r"\theta": column(theta.data)},
        }  # fmt: skip

    check("OPT.2", bind)


@pytest.mark.equation("OPT.3", evaluated=True)
def test_adam():
    def bind(rng, trial):
        theta = Tensor(rng.standard_normal(1), requires_grad=True)
        adam = Adam([theta], learning_rate=0.3, beta1=0.7, beta2=0.8, epsilon=0.1)
        symbols = {"m": {}, "v": {}, r"\theta": {}, "g": {}}
        for t in range(4):
            states = [a[0] for name, a in adam.state_dict().items() if name != "step_count"]
            symbols["m"][t], symbols["v"][t] = states
            symbols[r"\theta"][t], symbols["g"][t + 1] = theta.item(), rng.standard_normal()
            adam.step([np.array([symbols["g"][t + 1]])])
        return {
            **symbols, r"\beta_1": 0.7, r"\beta_2": 0.8, r"\eta": 0.3, r"\varepsilon": 0.1,
            "ranges": {"t": 3},
        }  # fmt: skip

    check("OPT.3", bind)


# Latent variables --------------------------------------------------------------------------------


def density(x, mean, covariance):
    mean = np.broadcast_to(np.asarray(mean, float).ravel(), (len(x),))
    return multivariate_normal(mean, covariance).pdf(x[:, 0])


@pytest.mark.equation("LVM.5", evaluated=True)
def test_the_marginal_of_a_linear_model():
    z, weight = normal_rule()

    def bind(rng, trial):
        x, W, sigma = rng.standard_normal((2, 1)), rng.standard_normal((2, 1)), 0.8
        integral = weight @ norm(x.T, sigma).pdf(z @ W.T).prod(axis=1)
        return {"x": x, "W": W, r"\sigma": sigma, "I": np.eye(2), "N": density, "p(x)": integral}

    check("LVM.5", bind)


@pytest.mark.equation("LVM.6", evaluated=True)
def test_the_posterior_of_a_linear_model():
    points, weight = normal_rule()

    def bind(rng, trial):
        x, w, z = rng.standard_normal(3)
        sigma = rng.uniform(0.5, 1.5)
        joint = norm.pdf(z) * norm.pdf(x, w * z, sigma)
        return {
            "x": x, "w": w, "z": z, r"\sigma": sigma, "p(z|x)":
            joint / (weight @ norm.pdf(x, w * points[:, 0], sigma)),
            "N": lambda z, mean, var: norm(mean, math.sqrt(var)).pdf(z),
        }  # fmt: skip

    check("LVM.6", bind)


@pytest.mark.equation("LVM.7", evaluated=True)
def test_a_grid():
    def bind(rng, trial):
        x, W = rng.standard_normal((2, 1)), rng.standard_normal((2, 2))
        axis = np.linspace(-6, 6, 25)
        points = [column(z) for z in product(axis, axis)]
        return {
            "x": x, "z": points, "K": 2, "n": 25, r"\Delta": axis[1] - axis[0],
            "p(x)": density(x, 0, W @ W.T + np.eye(2)), "p(z)": lambda z: norm.pdf(z).prod(),
            "p(x|z)": lambda x, z: norm.pdf(x - W @ z).prod(),
        }  # fmt: skip

    check("LVM.7", bind, trials=2)


# KL and the ELBO ---------------------------------------------------------------------------------


@pytest.mark.equation("KL.4", evaluated=True)
def test_the_divergence_of_two_gaussians():
    eps, weight = normal_rule()

    def bind(rng, trial):
        (mu, mu_p), (sigma, sigma_p) = rng.standard_normal(2), rng.uniform(0.5, 2, 2)
        z = mu + sigma * eps[:, 0]
        kl = weight @ (norm.logpdf(z, mu, sigma) - norm.logpdf(z, mu_p, sigma_p))
        return {
            r"\mathrm{KL}(q||p)": kl, r"\mu": mu, r"\sigma": sigma, r"\mu_p": mu_p,
            r"\sigma_p": sigma_p,
        }  # fmt: skip

    check("KL.4", bind)


@pytest.mark.equation("KL.5", evaluated=True)
def test_the_divergence_from_the_prior():
    def bind(rng, trial):
        mu, v = rng.standard_normal((2, 1, 3))
        kl = ops.gaussian_kl(mu, v)[0]
        return {r"\mathrm{KL}(N||N)": kl, r"\mu": [*mu[0]], "v": [*v[0]], "K": 3}

    check("KL.5", bind)


def linear(rng, trial):
    """x = w z + sigma noise, with q beside the posterior, and now and then the posterior itself."""
    x, w, sigma = rng.standard_normal(), rng.standard_normal(), rng.uniform(0.5, 1.5)
    mu, v = np.array(elbo_gap.posterior(x, w, sigma)) + (trial % 2) * rng.standard_normal(2)
    q = norm(mu, math.exp(v / 2))
    z, weight = np.polynomial.hermite_e.hermegauss(4)
    pairs = zip(q.mean() + q.std() * z, weight / weight.sum(), strict=True)
    drawn = [({"z": place}, share) for place, share in pairs]
    evidence = norm(0, math.hypot(w, sigma)).pdf(x)
    return {
        "x": x, "q(z|x)": lambda z, x: q.pdf(z), "p(z)": norm.pdf, "p(x)": evidence,
        "p(x|z)": lambda x, z: norm.pdf(x, w * z, sigma), r"\mathbb{E}_q": drawn,
        "p(x,z)": lambda x, z: norm.pdf(z) * norm.pdf(x, w * z, sigma),
        r"\mathcal{L}(x)": elbo_gap.elbo(x, w, sigma, mu, v), "q": (mu, v), "model": (x, w, sigma),
    }  # fmt: skip


@pytest.mark.equation("ELBO.2", evaluated=True)
def test_the_bound():
    check("ELBO.2", linear, near=1 - 1e-7)


@pytest.mark.equation("ELBO.4", evaluated=True)
def test_the_bound_in_two_terms():
    def bind(rng, trial):
        env = linear(rng, trial)
        kl = ops.gaussian_kl(*np.reshape(env["q"], (2, 1, 1)))[0]
        return {**env, r"\mathrm{KL}(q||p)": kl}

    check("ELBO.4", bind)


@pytest.mark.equation("ELBO.5", evaluated=True)
def test_the_bound_from_samples():
    def bind(rng, trial):
        env = linear(rng, trial)
        mu, v = env["q"]
        z = [mu + math.exp(v / 2), mu - math.exp(v / 2)]  # exact for what is quadratic in z
        return {**env, "S": 2, "z": z}

    check("ELBO.5", bind)


@pytest.mark.equation("ELBO.3", evaluated=True)
def test_the_bound_and_its_gap():
    def bind(rng, trial):
        env = linear(rng, trial)
        gap = elbo_gap.kl_of_gaussians(*env["q"], *elbo_gap.posterior(*env["model"]))
        return {**env, r"\mathrm{KL}(q||p)": gap}

    check("ELBO.3", bind)


# Minibatches -------------------------------------------------------------------------------------


def batches(rng, trial, draws):
    """Six terms, and the library's estimate from every minibatch of three."""
    terms = rng.standard_normal(6)
    rows = [*draws(range(6), 3)] if draws is combinations else [*draws(range(6), repeat=3)]
    estimates = [float(minibatch_estimate(terms[list(batch)], 6)) for batch in rows]
    return {
        "L_n": [*terms], "L": terms.sum(), "N": 6, "M": 3, "B": [n + 1 for n in rows[trial]],
        r"\hat{L}": estimates[trial], r"\sigma": terms.std(),
        r"\mathbb{E}": [({r"\hat{L}": estimate}, 1 / len(rows)) for estimate in estimates],
        r"\mathrm{Var}(\hat{L})": np.var(estimates),
        "c": np.mean([
            (terms[i] - terms.mean()) * (terms[j] - terms.mean())
            for i in range(6) for j in range(6) if i != j
        ]),
    }  # fmt: skip


@pytest.mark.equation("MB.2", evaluated=True)
@pytest.mark.equation("MB.4", evaluated=True)
def test_minibatches_without_replacement():
    check("MB.2", lambda rng, trial: batches(rng, trial, combinations))
    check("MB.4", lambda rng, trial: batches(rng, trial, combinations))


@pytest.mark.equation("MB.3", evaluated=True)
def test_minibatches_with_replacement():
    def bind(rng, trial):
        env = batches(rng, trial, product)
        assert minibatch_variance.variance_with(np.array(env["L_n"]), 3) == pytest.approx(
            env[r"\mathrm{Var}(\hat{L})"]
        )
        return env

    check("MB.3", bind, trials=2)
