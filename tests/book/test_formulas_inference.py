"""The equations of inference, read from their pages and evaluated on numbers."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from book.formulas import Of, check
from book.test_formulas_early import column, linear
from minivae import LatentModel, ops
from minivae.distributions import Categorical, DiagonalGaussian, Gaussian, StandardNormal
from minivae.inference import annealed_importance_sampling, chains, diagnostics
from minivae.objectives import relaxed_sample, score_function_elbo
from minivae.tensor import Tensor


def well(z):
    """A log-density that is no parabola, and its slope."""
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
