"""The equations of inference, read from their pages and evaluated on numbers."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from book.formulas import Of, check
from book.test_formulas_early import column, linear
from examples import posterior_over_parameters, variational_em
from minivae import LatentModel, ops
from minivae.distributions import Categorical, DiagonalGaussian, Gaussian, StandardNormal
from minivae.inference import annealed_importance_sampling, chains, diagnostics
from minivae.objectives import (
    doubly_reparameterised_bound,
    relaxed_sample,
    score_function_elbo,
    sticking_the_landing,
)
from minivae.tensor import Tensor


def well(z):
    """A log-density that is not a parabola, and its slope."""
    return -0.25 * z**4 + 0.3 * z, -(z**3) + 0.3


def density(z):
    return math.exp(well(z)[0])


@pytest.mark.equation("CHAIN.1", evaluated=True)
def test_the_probability_of_a_step():
    def bind(rng, trial):
        z, there = rng.standard_normal(2)
        here, after = (
            chains.State(np.array([[[at]]]), np.array([[well(at)[0]]]), np.zeros((1, 1, 1)),
                         np.ones((1, 1)), np.ones((1, 1)))
            for at in (z, there)
        )  # fmt: skip
        probability = chains._accept(here, after, after.height - here.height, rng)[1].item()
        return {r"\alpha(z,z')": probability, r"\pi": density, "z": z, "z'": there}

    check("CHAIN.1", bind)


def moved(rng, size, mass):
    """A move of one leapfrog step: where from and to, and the probability that it is taken."""
    z, momentum = rng.standard_normal((2, 1, 1, 2))
    variance = np.array([1 / mass])

    def value_and_slope(z):
        height, slope = well(z)
        return height.sum(axis=-1), slope

    height, slope = value_and_slope(z)
    state = chains.State(z, height, slope, np.full((1, 1), size), variance)
    there, after = chains.leapfrog(value_and_slope, state, momentum, np.full((1, 1, 1), size), 1)
    return state, momentum, there, after


@pytest.mark.equation("CHAIN.2", evaluated=True)
def test_the_energy_and_the_end_of_a_trajectory():
    def bind(rng, trial):
        mass = rng.uniform(0.5, 2.0, 2)
        state, momentum, there, after = moved(rng, 0.5, mass)

        class Fixed:
            standard_normal = staticmethod(lambda shape: momentum * np.sqrt(state.variance))
            uniform = staticmethod(lambda low, high, shape: np.ones(shape))
            integers = staticmethod(lambda low, high: low)
            random = staticmethod(lambda shape: np.full(shape, 0.5))

        with pytest.MonkeyPatch.context() as patch:  # the move with this momentum and this end
            patch.setattr(chains, "leapfrog", lambda *_: (there, after))
            alpha = chains.trajectory(None, state, Fixed)[1].item()

        def energy(z, r):
            kinetic = norm.logpdf(np.ravel(r), 0, np.sqrt(mass)) - norm.logpdf(0, 0, np.sqrt(mass))
            return -well(z)[0].sum() - kinetic.sum()

        return {
            "H": energy, "z": column(state.z), "z'": column(there.z), "r": column(momentum),
            "r'": column(after), r"\pi": lambda z: math.exp(well(z)[0].sum()), "K": 2,
            "m": [*mass], r"\alpha": alpha,
        }  # fmt: skip

    check("CHAIN.2", bind)


@pytest.mark.equation("CHAIN.3", evaluated=True)
def test_a_step_of_the_leapfrog():
    def bind(rng, trial):
        h, mass = rng.uniform(0.2, 0.8), rng.uniform(0.5, 2.0, 2)
        state, momentum, there, after = moved(rng, h, mass)
        z, between = column(state.z), column(there.z)
        kicked = column(mass) * (between - z) / h  # what a drift was made with
        return {
            "z": z, "z'": between, "r": column(momentum), "r'": kicked, "r''": column(after),
            "h": h, "m": [*mass], r"\pi": lambda z: math.exp(well(z)[0].sum()), "ranges": {"k": 2},
        }  # fmt: skip

    check("CHAIN.3", bind)


@pytest.mark.equation("CHAIN.4", evaluated=True)
@pytest.mark.equation("CHAIN.6", evaluated=True)
def test_what_draws_are_worth():
    def bind(rng, trial):
        draws = rng.standard_normal((3, 20)) + rng.standard_normal((3, 1))
        return {
            r"\hat{R}": diagnostics._plain_r_hat(draws[..., None]).item(), "T": 20,
            "W": draws.var(axis=1, ddof=1).mean(), "B": draws.mean(axis=1).var(ddof=1),
            r"\mathrm{MCSE}": diagnostics.mcse(draws), r"\sigma": draws.std(ddof=1),
            r"\mathrm{ESS}": diagnostics.ess(np.concatenate([draws[:, :10], draws[:, 10:]])),
        }  # fmt: skip

    check("CHAIN.4", bind)
    check("CHAIN.6", bind)


@pytest.mark.equation("CHAIN.5", evaluated=True)
def test_the_effective_sample_size():
    def bind(rng, trial):
        C, T = 3, 24
        draws = np.zeros((C, T))
        for t in range(T):  # it forgets a little at each step
            draws[:, t] = 0.5 * draws[:, t - 1] + rng.standard_normal(C)
        away = draws - draws.mean(axis=1, keepdims=True)
        W, B = draws.var(axis=1, ddof=1).mean(), draws.mean(axis=1).var(ddof=1)
        lags = [np.mean((away[:, t:] * away[:, : T - t]).sum(axis=1)) / (T - 1) for t in range(T)]
        rho = [1.0, *(1 - (W - lag) / ((T - 1) / T * W + B) for lag in lags[1:])]
        kept, least = [], math.inf  # sums of two neighbours, as long as they are positive, falling
        for k in range(T // 2):
            pair = rho[2 * k] + rho[2 * k + 1]
            if pair <= 0:
                break
            scale = min(pair, least) / pair
            least = min(pair, least)
            kept += [scale * rho[2 * k], scale * rho[2 * k + 1]]
        kept[0], kept[1] = 1.0, kept[0] + kept[1] - 1.0
        return {
            r"\mathrm{ESS}": diagnostics.ess(draws).item(), "C": C, "T": T,
            r"\rho": dict(enumerate(kept)), r"\infty": len(kept) - 1,
        }  # fmt: skip

    check("CHAIN.5", bind)


@pytest.mark.equation("CHAIN.7", evaluated=True)
def test_the_posterior_of_a_mean():
    def bind(rng, trial):
        x, m_0, (v_0, sigma) = rng.standard_normal(5), rng.standard_normal(), rng.uniform(0.5, 2, 2)
        m, v = posterior_over_parameters.normal_posterior(x, m_0, v_0, sigma)
        return {"m": m, "v": v, "m_0": m_0, "v_0": v_0, r"\sigma": sigma, "N": 5, "x": [*x]}

    check("CHAIN.7", bind)


@pytest.mark.equation("CHAIN.8", evaluated=True)
def test_the_log_density_of_two_weights():
    def bind(rng, trial):
        x, w, v_0 = rng.standard_normal((5, 2)), rng.standard_normal(2), rng.uniform(0.5, 4)
        y = rng.choice([-1.0, 1.0], 5)
        found = posterior_over_parameters.log_joint(w[None, None], x, y, v_0).item()
        return {
            "p(w,y|x)": lambda w, y, x: math.exp(found), "w": column(w), "v_0": v_0, "N": 5,
            "x": [column(row) for row in x], "y": [*y],
        }  # fmt: skip

    check("CHAIN.8", bind)


@pytest.mark.equation("AIS.1", evaluated=True)
def test_the_weight_of_a_path():
    def bind(rng, trial):
        x, b = rng.standard_normal(), [0.0, *np.sort(rng.uniform(size=2)), 1.0]
        path = []

        def log_likelihood(z):
            if not isinstance(z, Tensor):
                path.append(z.item())
            return ops.sum(-0.5 * ops.square(x - ops.sin(z)), -1)

        start, seed = rng.standard_normal((1, 1, 1)), trial
        found = annealed_importance_sampling(
            lambda z: ops.sum(-0.5 * ops.square(z), -1), log_likelihood, start, b, seed
        )
        return {
            "w": math.exp(found.estimate.item()), "T": 3, "z": dict(enumerate(path[-3:])),
            "b": dict(enumerate(b)), "x": x,
            "p(x|z)": lambda x, z: math.exp(-0.5 * (x - math.sin(z)) ** 2),
        }  # fmt: skip

    check("AIS.1", bind)


@pytest.mark.equation("GRAD.2", evaluated=True)
def test_the_score_function_gradient_of_the_elbo():
    def bind(rng, trial):
        x, mean = rng.standard_normal(2)
        eps = rng.standard_normal((3, 1, 1))
        mu = Tensor(np.array([[mean]]), requires_grad=True)
        model = LatentModel(StandardNormal(1), lambda z: (ops.sin(z),), Gaussian(0.7))
        q = DiagonalGaussian(mu, np.zeros((1, 1)))
        ops.sum(score_function_elbo(model, q, np.array([[x]]), eps)).backward()
        z = mean + eps.ravel()
        log_w = norm.logpdf(z) + norm.logpdf(x, np.sin(z), 0.7) - norm.logpdf(z, mean)
        return {
            "g": mu.grad.item(), "S": 3, "w": [*np.exp(log_w)], "z": [*z], "x": x, r"\phi": mean,
            "b": [(log_w.sum() - each) / 2 for each in log_w],
            "q(z|x)": Of(lambda phi: lambda z, x: norm.pdf(z, phi)),
            "ranges": {"s": 3, "t": 3},
        }  # fmt: skip

    check("GRAD.2", bind)


def along_the_path(surrogate, S):
    """A binding of a pathwise gradient: z and w follow q's mean phi, and z when it is moved."""

    def bind(rng, trial):
        x, mean = rng.standard_normal(2)
        eps = rng.standard_normal((S, 1, 1))
        mu = Tensor(np.array([[mean]]), requires_grad=True)
        model = LatentModel(StandardNormal(1), lambda z: (ops.sin(z),), Gaussian(0.7))
        q = DiagonalGaussian(mu, np.zeros((1, 1)))
        ops.sum(surrogate(model, q, np.array([[x]]), eps)).backward()

        def joint(x, z):
            return norm.pdf(z) * norm.pdf(x, math.sin(z), 0.7)

        def weights(z, phi):
            return [joint(x, each) / norm.pdf(each, phi) for each in z]

        w = weights(mean + eps.ravel(), mean)
        return {
            "g": mu.grad.item(), "S": S, "x": x, r"\phi": mean, "p(x,z)": joint,
            "z": Of(lambda phi: [phi + each for each in eps.ravel()]), "w": Of(weights),
            "v": [each / sum(w) for each in w],
            "q(z|x)": Of(lambda phi: lambda z, x: norm.pdf(z, phi)),
        }  # fmt: skip

    return bind


@pytest.mark.equation("GRAD.3", evaluated=True)
def test_the_gradient_that_sticks_the_landing():
    check("GRAD.3", along_the_path(sticking_the_landing, 3))


@pytest.mark.equation("GRAD.4", evaluated=True)
def test_the_doubly_reparameterised_gradient():
    check("GRAD.4", along_the_path(doubly_reparameterised_bound, 3))


@pytest.mark.equation("GRAD.5", evaluated=True)
def test_a_soft_class():
    def bind(rng, trial):
        logits, tau = rng.standard_normal((1, 3)), rng.uniform(0.3, 2)
        eps = rng.gumbel(size=(1, 1, 3))
        z = relaxed_sample(Categorical(logits), eps, tau)
        return {
            "z": [*np.ravel(z)], "l": [*logits[0]], r"\varepsilon": [*eps.ravel()], r"\tau": tau,
            "ranges": {"c": 3, "i": 3},
        }  # fmt: skip

    check("GRAD.5", bind)


@pytest.mark.equation("VI.2", evaluated=True)
def test_the_best_factor_of_a_mean_field():
    def bind(rng, trial):
        P, x = np.array([[1.5, 0.7], [0.7, 1.2]]), rng.standard_normal()
        mu, z = rng.standard_normal((2, 2))

        def log_joint(z):  # of two latents that hang together, and x
            return -0.5 * (z @ P @ z) + x * z[0] - 0.5 * x**2

        # one round of the updates of `cavi`: each factor, given the mean of the other
        means = [(x - P[0, 1] * mu[1]) / P[0, 0], -P[1, 0] * mu[0] / P[1, 1]]
        factors = [norm(m, P[k, k] ** -0.5).pdf for k, m in enumerate(means)]
        nodes, weight = np.polynomial.hermite_e.hermegauss(5)

        def others(j, z):
            other = 2 - j  # counted from 0
            at = [[*z] for _ in nodes]
            for place, e in zip(at, nodes, strict=True):
                place[other] = mu[other] + P[other, other] ** -0.5 * e
            cases = [({"z": place}, w) for place, w in zip(at, weight / weight.sum(), strict=True)]
            return cases

        def constant(j):  # what is left at another place
            place = [0.3, -0.8]
            mean = sum(w * log_joint(np.array(case["z"])) for case, w in others(j, place))
            return math.log(factors[int(j) - 1](place[int(j) - 1])) - mean

        return {
            "q": factors, "z": [*z], "x": x, "c": Of(constant), "ranges": {"j": 2},
            "p(x,z)": lambda x, z: math.exp(log_joint(np.array(z))),
            r"\mathbb{E}_-j": Of(others),
        }  # fmt: skip

    check("VI.2", bind)


@pytest.mark.equation("VI.4", evaluated=True)
def test_the_bound_of_variational_em():
    def bind(rng, trial):
        x, sigma, w = variational_em.x, variational_em.sigma, rng.uniform(0.3, 1.5)
        m, log_var = rng.standard_normal((2, 4))
        v = sigma**2 / (w**2 + sigma**2)  # of the posterior, whose mean is w x v / sigma^2

        def kl(q, p):
            return 0.5 * (math.log(p[1] / q[1]) + (q[1] + (q[0] - p[0]) ** 2) / p[1] - 1)

        return {
            r"\mathcal{F}": lambda q, theta: variational_em.bound((m, log_var), w).item(),
            "q": [*zip(m, np.exp(log_var), strict=True)], r"\theta": w, "N": 4, "x": [*x], "z": 0.0,
            "p(x)": lambda x: norm.pdf(x, 0, math.hypot(w, sigma)), r"\mathrm{KL}(q||p)": kl,
            "p(z|x)": lambda z, x: (w * x * v / sigma**2, v),
        }  # fmt: skip

    check("VI.4", bind)


@pytest.mark.equation("VI.3", evaluated=True)
def test_the_bound_of_a_datums_own_q():
    def bind(rng, trial):
        env = linear(rng, trial)
        return {
            **env, r"\mathcal{L}(x;\lambda)": env[r"\mathcal{L}(x)"], r"\lambda": 0.0, "n": 1,
            r"\mathbb{E}_q(z;\lambda_n)": env[r"\mathbb{E}_q"], "x": [env["x"]],
            r"q(z;\lambda)": lambda z, lambda_: norm.pdf(z, env["q"][0], math.exp(env["q"][1] / 2)),
            r"\lambda_n": 0.0,
        }  # fmt: skip

    check("VI.3", bind)


@pytest.mark.equation("CVAE.1", evaluated=True)
def test_the_bound_given_a_condition():
    def bind(rng, trial):
        env = linear(rng, trial)
        kl = ops.gaussian_kl(*np.reshape(env["q"], (2, 1, 1)))[0]
        return {
            **env, r"\mathrm{KL}(q||p)": kl, "y": 0.0, "p(x|y)": lambda x, y: env["p(x)"],
            "p(x|z,y)": lambda x, z, y: env["p(x|z)"](x, z),
            r"\mathcal{L}(x,y)": env[r"\mathcal{L}(x)"],
        }  # fmt: skip

    check("CVAE.1", bind)
