"""Published mistakes: each formula as printed, ours, and the truth from elsewhere.

A case gives three numbers for one quantity: what the printed formula says, what the library or the
right formula says, and the truth by another way: enumeration, an integral, differences. Ours must
be the truth and the printed must not; and the page's table must show both.
"""

import math
import re
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import norm

from exact import axis_noise, model_of, normal_rule
from examples import elbo_gap, linear_vae, pathwise_and_score, quantile_grid
from minivae import GaussianMixture, grad, ops
from minivae.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiagonalGaussian,
    Gaussian,
    kl_divergence,
)
from minivae.objectives import elbo_terms, minibatch_estimate

PAGE = Path(__file__).parents[2] / "derivations" / "21_published_mistakes.md"
CASES = []


class Numbers(NamedTuple):
    """One quantity three times."""

    printed: float
    ours: float
    truth: float
    tolerance: float = 1e-7


def case(function):
    CASES.append(function)
    return function


# Latent variables --------------------------------------------------------------------------------

PRIOR, LIKELIHOOD = np.array([0.5, 0.3, 0.2]), np.array([0.9, 0.4, 0.1])  # p(z), p(x | z)


@case
def bayes_denominator():
    posterior = LIKELIHOOD * PRIOR / (LIKELIHOOD @ PRIOR)
    return Numbers((LIKELIHOOD * LIKELIHOOD / PRIOR).sum(), posterior.sum(), 1.0)


@case
def accepting_by_the_posterior():
    # draw X uniformly, keep it with the probability p(z | X): how often is X the first of four?
    p_z, p_x_z = np.array([0.3, 0.7]), np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    joint = p_z[:, None] * p_x_z
    p_x, posterior = joint.sum(axis=0), joint[0] / joint.sum(axis=0)
    weighted = posterior * p_x
    return Numbers(posterior[0] / posterior.sum(), (weighted / weighted.sum())[0], p_x_z[0, 0])


@case
def one_label_for_all_data():
    # the mass of all data sets of three coins, each coin of one of two kinds
    p_z, p_x = np.array([0.7, 0.3]), np.array([[0.2, 0.8], [0.6, 0.4]])
    sets = np.stack(np.meshgrid(*[[0, 1]] * 3), axis=-1).reshape(-1, 3)
    joint = p_z[:, None, None] * p_x[:, sets]  # (label, set, datum)
    return Numbers(joint.prod(axis=2).sum(), joint.sum(axis=0).prod(axis=1).sum(), 1.0)


@case
def height_as_probability():
    # of x within 0.001 of the middle of N(0, 0.01^2)
    x, step = np.linspace(-1e-3, 1e-3, 2001, retstep=True)
    density = np.exp(Gaussian(0.01).log_prob((np.zeros((2001, 1)),), x[:, None]))
    ours = np.trapezoid(density, dx=step)
    return Numbers(density[1000], ours, math.erf(0.1 / math.sqrt(2)), 1e-6)


@case
def sigma_called_the_variance():
    x = np.linspace(-60, 60, 20001)[:, None]
    density = np.exp(Gaussian(4.0).log_prob((np.zeros_like(x),), x))
    return Numbers(4.0, (density * x[:, 0] ** 2).sum() * 0.006, 4.0**2)


@case
def equal_steps_as_the_prior():
    steps = quantile_grid.equal_steps(20), quantile_grid.quantile_steps(400)
    return Numbers(*(np.mean(s**2) for s in steps), 1.0, 0.01)


# KL and the ELBO ---------------------------------------------------------------------------------

Q, P = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])


@case
def who_represents_whom():
    # extra nats for data that come from q, in a code made for p
    lengths_p, lengths_q = -np.log(P), -np.log(Q)
    return Numbers(
        P @ (lengths_q - lengths_p), Q @ (np.log(Q) - np.log(P)), Q @ lengths_p - Q @ lengths_q
    )


@case
def the_line_of_the_divergence():
    log_p, log_joint = math.log(LIKELIHOOD @ PRIOR), np.log(LIKELIHOOD * PRIOR)
    printed = log_p * (Q @ np.log(Q)) - Q @ log_joint + log_p
    ours = Q @ np.log(Q) - Q @ log_joint + log_p
    return Numbers(printed, ours, Q @ np.log(Q / (LIKELIHOOD * PRIOR / math.exp(log_p))))


@case
def a_lower_divergence_for_a_higher_bound():
    # q is the posterior; now w rises, and the bound with it. The divergence changes by
    x, w, better, sigma = 1.5, 0.3, 0.8, 0.5
    q = elbo_gap.posterior(x, w, sigma)
    rise = elbo_gap.elbo(x, better, sigma, *q) - elbo_gap.elbo(x, w, sigma, *q)
    gain = elbo_gap.log_marginal(x, better, sigma) - elbo_gap.log_marginal(x, w, sigma)
    truth = elbo_gap.kl_of_gaussians(*q, *elbo_gap.posterior(x, better, sigma))
    return Numbers(-rise, gain - rise, truth)


@case
def the_reconstruction_alone():
    x, w, sigma = 1.5, 1.0, 0.5
    printed = elbo_gap.elbo(x, w, sigma, x / w, math.log(1e-8))
    ours = elbo_gap.elbo(x, w, sigma, *elbo_gap.posterior(x, w, sigma))
    return Numbers(printed, ours, norm(0, math.hypot(w, sigma)).logpdf(x))


@case
def the_divergence_alone():
    x, w, sigma = 1.5, 1.0, 0.5
    ours = elbo_gap.elbo(x, w, sigma, *elbo_gap.posterior(x, w, sigma))
    truth = norm(0, math.hypot(w, sigma)).logpdf(x)
    return Numbers(elbo_gap.elbo(x, w, sigma, 0.0, 0.0), ours, truth)


def two_bumps(x):
    return 0.5 * norm.pdf(x, -2, 0.5) + 0.5 * norm.pdf(x, 2, 0.5)


Z = np.linspace(-9, 9, 3601)


def reverse_divergence(mean, sd):
    q = norm.pdf(Z, mean, sd)
    return (q * (norm.logpdf(Z, mean, sd) - np.log(two_bumps(Z)))).sum() * 0.005


def best(objective, places):
    return places[int(np.argmin([objective(place) for place in places]))]


@case
def likelihood_in_the_other_direction():
    # the scale of the Gaussian that fits two bumps at -2 and 2
    scales = np.arange(0.2, 3.0, 0.01)
    forward = best(lambda s: -(two_bumps(Z) * norm.logpdf(Z, 0, s)).sum(), scales)
    reverse = best(lambda s: reverse_divergence(-2.0, s), scales)
    return Numbers(reverse, forward, math.sqrt(2**2 + 0.5**2), 0.01)


@case
def the_mean_of_q():
    # the mean of the best q for the same two bumps, found from the left
    target = (two_bumps(Z) * Z).sum() * 0.005
    found = best(lambda m: reverse_divergence(m, 0.5), np.arange(-3, 0.5, 0.01))
    return Numbers(target, found, -2.0, 0.01)


def expected_over_data(f, w, sigma):
    """The mean of f(x) over x ~ N(0, w^2 + sigma^2)."""
    points, weight = normal_rule()
    return weight @ np.array([f(x) for x in points[:, 0] * math.hypot(w, sigma)])


@case
def a_bound_with_another_divergence():
    # plus KL(q(z | x) || q(z)), which for the exact encoder is the mutual information
    w, sigma = 1.2, 0.7
    elbo = expected_over_data(
        lambda x: elbo_gap.elbo(x, w, sigma, *elbo_gap.posterior(x, w, sigma)), w, sigma
    )
    information = 0.5 * math.log(1 + (w / sigma) ** 2)
    entropy = 0.5 * math.log(2 * math.pi * math.e * (w**2 + sigma**2))
    return Numbers(elbo + information, elbo, -entropy)


@case
def relu_on_the_mean():
    w, sigma = 1.2, 0.7

    def elbo(x, relu):
        mu, log_var = elbo_gap.posterior(x, w, sigma)
        return elbo_gap.elbo(x, w, sigma, max(mu, 0.0) if relu else mu, log_var)

    printed, ours = (expected_over_data(lambda x, r=r: elbo(x, r), w, sigma) for r in (True, False))
    return Numbers(printed, ours, -norm(0, math.hypot(w, sigma)).entropy())


@case
def mean_field_over_the_data():
    # nats that mean-field q loses for a posterior of correlation 1/2: none over data, these over
    # the components of z
    V = np.array([[1.0, 0.5], [0.5, 1.0]])
    precision = np.linalg.inv(V)
    variances = 1 / np.diag(precision)
    log_ratio = np.linalg.slogdet(V)[1] - np.log(variances).sum()
    ours = 0.5 * (np.diag(precision) @ variances - 2 + log_ratio)
    return Numbers(0.0, ours, -0.5 * math.log(1 - 0.5**2))


@case
def a_prior_with_the_largest_divergence():
    # the prior's mean, within 10 of 0, for codes with this mean
    codes, places = np.array([0.2, 0.9, 1.3]), np.arange(-10, 10.01, 0.1)

    def divergence(m):
        return kl_divergence(codes[:, None] - m, np.full((3, 1), -1.0)).mean()

    return Numbers(best(lambda m: -divergence(m), places), best(divergence, places), codes.mean())


@case
def what_mine_estimates():
    # Donsker and Varadhan's bound at its best T, for Gaussians of correlation 0.8
    rho, (points, weight) = 0.8, normal_rule(K=2)
    x, y = points[:, 0], rho * points[:, 0] + math.sqrt(1 - rho**2) * points[:, 1]

    def T(x, y):
        return -0.5 * math.log(1 - rho**2) - 0.5 * (
            (x**2 + y**2 - 2 * rho * x * y) / (1 - rho**2) - x**2 - y**2
        )

    ours = weight @ T(x, y) - math.log(weight @ np.exp(T(*points.T)))
    printed = -norm(0, math.sqrt(1 - rho**2)).entropy()  # the mean of the log-posterior
    return Numbers(printed, ours, -0.5 * math.log(1 - rho**2), 1e-6)


# Optimisation and minibatches --------------------------------------------------------------------


@case
def the_step_upside_down():
    t, right = 0.0, 0.0
    for _ in range(200):
        t -= 0.01 / (2 * (t - 1))
        right -= 0.1 * float(grad(lambda t: (t - 1) ** 2)(np.array(right)))
    return Numbers(t, right, 1.0)


@case
def minimising_the_likelihood():
    X, places = np.array([[0.1], [0.7], [1.6]]), np.arange(-3, 3.01, 0.1)

    def log_p(m):
        return Gaussian(1.0).log_prob((np.full((3, 1), m),), X).sum()

    return Numbers(best(log_p, places), best(lambda m: -log_p(m), places), X.mean())


TERMS = np.array([0.3, -1.2, 2.0, 0.5, -3.1, -0.7])
BATCHES = [TERMS[list(batch)] for batch in combinations(range(6), 2)]


@case
def a_minibatch_without_its_factor():
    ours = np.mean([minibatch_estimate(batch, 6) for batch in BATCHES])
    return Numbers(np.mean([batch.sum() for batch in BATCHES]), ours, TERMS.sum())


@case
def a_factor_counted_twice():
    # the gradient per datum, with the factor N/M already inside the batch's log-likelihood
    totals = np.array([minibatch_estimate(batch, 6) for batch in BATCHES])
    return Numbers(totals.mean() / 2, totals.mean() / 6, TERMS.mean())


@case
def independent_draws():
    # the variance without replacement over that with it
    without = np.var([batch.sum() for batch in BATCHES])
    with_replacement = np.var([a + b for a in TERMS for b in TERMS])
    return Numbers(1.0, without / with_replacement, (6 - 2) / (6 - 1))


# Reparameterisation ------------------------------------------------------------------------------


@case
def always_less_variance():
    # the less noisy gradient of E sin 10z
    eps, weight = normal_rule(n=1601, limit=12.0)
    ways = (
        pathwise_and_score.pathwise_gradient(lambda z: ops.sum(ops.sin(10 * z)), 0.0, 0.0, eps),
        pathwise_and_score.score_gradient(lambda z: np.sin(10 * z[:, 0]), 0.0, 0.0, eps),
    )
    path, score = (weight @ g[0][:, 0] ** 2 - (weight @ g[0][:, 0]) ** 2 for g in ways)
    return Numbers(path, min(path, score), 0.5)


@case
def a_start_at_the_prior():
    # KL per dimension where the scale is softplus(0)
    scale = math.log(2)
    ours = kl_divergence(np.zeros((1, 1)), np.full((1, 1), 2 * math.log(scale)))[0]
    truth = quad(lambda z: norm.pdf(z, 0, scale) * (norm.logpdf(z, 0, scale) - norm.logpdf(z)),
                 -9, 9)[0]  # fmt: skip
    return Numbers(0.0, ours, truth)


@case
def relu_on_a_sample():
    eps, weight = normal_rule(n=4001)
    cut = np.maximum(eps[:, 0], 0)
    return Numbers(weight @ cut**2 - (weight @ cut) ** 2, weight @ eps[:, 0] ** 2, 1.0)


# Families ----------------------------------------------------------------------------------------


def mass_on_the_unit_interval(likelihood, p):
    x, weight = np.polynomial.legendre.leggauss(80)
    logits = np.full((80, 1), math.log(p / (1 - p)))
    return 0.5 * weight @ np.exp(likelihood.log_prob((logits,), 0.5 * (x[:, None] + 1)))


@case
def grey_pixels_as_probabilities():
    masses = (
        mass_on_the_unit_interval(f, 0.9)
        for f in (Bernoulli("cross-entropy"), ContinuousBernoulli())
    )
    return Numbers(*masses, 1.0)


@case
def a_squashed_gaussian_sample():
    # a sample pushed through a sigmoid and scored as if it were Gaussian: the density's mass there
    x, weight = np.polynomial.legendre.leggauss(80)
    gaussian = Gaussian(0.7).log_prob((np.full((80, 1), 0.5),), 0.5 * (x[:, None] + 1))
    logits = np.zeros((2, 1)), np.array([[0.0], [1.0]])
    on_and_off = np.exp(Bernoulli().log_prob((logits[0],), logits[1])).sum()
    return Numbers(0.5 * weight @ np.exp(gaussian), on_and_off, 1.0)


@case
def a_variance_without_a_floor():
    # 784 values reproduced, the network's output at -60
    x, raw = np.ones((1, 784)), np.full((1, 784), -60.0)
    printed = ops.gaussian_log_prob(x, raw, x)[0]
    ours = Gaussian("network", 1e-3).log_prob((x, raw), x)[0]
    return Numbers(printed, ours, 784 * norm(0, 1e-3).logpdf(0))


@case
def a_variance_in_one_pass():
    X = (1000 + np.array([0.1, -1.3, 0.4, 1.6, -0.9, 0.2, 1.1, -0.8])).astype(np.float32)
    total = squares = np.float32(0)
    for x in X:
        total, squares = total + x, squares + x * x
    n = np.float32(len(X))
    printed = squares / n - (total / n) ** 2
    return Numbers(printed, float(ops.var(X)), X.astype(np.float64).var(), 1e-4)


# Mixtures ----------------------------------------------------------------------------------------

DATA = np.array([-2.1, -1.4, -1.9, 0.3, 1.2, 1.8, 2.4])
UNIFORM = (np.arange(20) + 0.5) / 20
PI, MU, VAR = np.array([0.4, 0.6]), np.array([-1.5, 1.0]), np.array([0.8, 1.3])


def log_joint(pi, mu, var):
    return np.log(pi) + norm(mu, np.sqrt(var)).logpdf(DATA[:, None])


def held():
    joint = log_joint(PI, MU, VAR)
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


def slope(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h)


@case
def the_density_of_a_component():
    # the integral of the printed density, m = 1
    printed = quad(lambda x: 1 / (2 * math.pi * 0.5) * math.exp(-(x**2) / (2 * 0.5)), -9, 9)[0]
    x = np.linspace(-9, 9, 3601)[:, None]
    model = GaussianMixture(
        1, max_iter=0, weights_init=[1.0], means_init=[[0.0]], precisions_init=[[[2.0]]]
    ).fit(np.array([[0.0], [1.0]]))
    return Numbers(printed, np.exp(model.score_samples(x)).sum() * 0.005, 1.0)


@case
def responsibilities_without_a_sum():
    printed = np.exp(-((DATA[0] - MU) ** 2) / (2 * VAR)) / (2 * math.pi * VAR)
    return Numbers(printed.sum(), held()[0].sum(), 1.0)


@case
def the_derivative_by_a_weight():
    r = held()
    truth = slope(lambda p: (r * log_joint(np.array([p, PI[1]]), MU, VAR)).sum(), PI[0])
    return Numbers(r[:, 0].sum(), r[:, 0].sum() / PI[0], truth, 1e-6)


@case
def the_derivative_by_a_mean():
    r = held()
    ours = (r[:, 0] * (DATA - MU[0])).sum() / VAR[0]
    truth = slope(lambda m: (r * log_joint(PI, np.array([m, MU[1]]), VAR)).sum(), MU[0])
    return Numbers(0.5 * ours, ours, truth, 1e-6)


@case
def the_derivative_by_a_variance():
    r, away, v = held()[:, 0], (DATA - MU[0]) ** 2, VAR[0]
    printed = -0.5 * (r * (1 / v + away / v)).sum()
    ours = -0.5 * (r * (1 / v - away / v**2)).sum()
    truth = slope(lambda v: (held() * log_joint(PI, MU, np.array([v, VAR[1]]))).sum(), v)
    return Numbers(printed, ours, truth, 1e-6)


@case
def labels_of_zero_and_one():
    # the slope of the log-likelihood, by the first mean, where the iteration stands still
    X = np.concatenate([norm(-1.2, 0.8).ppf(UNIFORM), norm(1.2, 1.0).ppf(UNIFORM)])

    def joint(pi, mu, var):
        return np.log(pi) + norm(mu, np.sqrt(var)).logpdf(X[:, None])

    def slope_of(pi, mu, var):
        def total(m):
            return logsumexp(joint(pi, np.array([m, mu[1]]), var), axis=1).sum()

        return slope(total, mu[0])

    pi, mu, var = PI, MU, VAR
    for _ in range(50):
        r = np.eye(2)[joint(pi, mu, var).argmax(axis=1)]
        N = r.sum(axis=0)
        pi, mu = N / len(X), r.T @ X / N
        var = (r * (X[:, None] - mu) ** 2).sum(axis=0) / N
    em = GaussianMixture(
        2, tol=1e-16, max_iter=20_000, weights_init=PI, means_init=MU[:, None],
        precisions_init=1 / VAR[:, None, None],
    ).fit(X[:, None])  # fmt: skip
    ours = slope_of(em.weights_, em.means_[:, 0], em.covariances_[:, 0, 0])
    return Numbers(slope_of(pi, mu, var), ours, 0.0, 1e-4)


@case
def the_best_fit():
    # the log-likelihood that can be had: here a component sits on a datum, its variance 1e-200
    em = GaussianMixture(2, random_state=0).fit(DATA[:, None])
    mu, var = np.array([DATA[0], DATA.mean()]), np.array([1e-200, DATA.var()])
    ours = logsumexp(log_joint(np.array([0.5, 0.5]), mu, var), axis=1).sum()
    broad = np.log(0.5 * norm(DATA.mean(), DATA.std()).pdf(DATA))
    truth = broad[1:].sum() + math.log(0.5) - 0.5 * math.log(2 * math.pi) + 100 * math.log(10)
    return Numbers(em.score(DATA[:, None]) * len(DATA), ours, truth)


@case
def a_ridge_after_the_m_step():
    # the change of the log-likelihood by one iteration from EM's own fixed point
    em = GaussianMixture(2, tol=1e-15, max_iter=5000, random_state=0).fit(DATA[:, None])
    pi, mu, var = em.weights_, em.means_[:, 0], em.covariances_[:, 0, 0]

    def total(extra):
        joint = log_joint(pi, mu, var)
        r = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        N = r.sum(axis=0)
        new_mu = r.T @ DATA / N
        new_var = (r * (DATA[:, None] - new_mu) ** 2).sum(axis=0) / N + extra
        return logsumexp(log_joint(N / len(DATA), new_mu, new_var), axis=1).sum()

    before = logsumexp(log_joint(pi, mu, var), axis=1).sum()
    return Numbers(total(0.05) - before, total(0.0) - before, 0.0, 1e-6)


@case
def axes_as_causes():
    # the log-likelihood lost by turning the factors of a linear model by 0.6; its ELBO loses this
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 4)) * [3.0, 2.0, 1.0, 0.5]
    W, _, var = linear_vae.principal_axes(X, 2)
    c, s = math.cos(0.6), math.sin(0.6)
    turned = W @ np.array([[c, -s], [s, c]])
    x, eps = X - X.mean(axis=0), axis_noise(2, 100)

    def elbo(W):
        mu, V = linear_vae.posterior(x, W, 0.0, var)
        q = DiagonalGaussian(mu, np.tile(-np.log(np.diag(np.linalg.inv(V))), (100, 1)))
        model = model_of(lambda z: (z @ W.T,), Gaussian(math.sqrt(var)), 2)
        return elbo_terms(model, q, x, eps).elbo.mean()

    def log_p(W):
        C = W @ W.T + var * np.eye(4)
        return -0.5 * (np.linalg.slogdet(C)[1] + np.trace(np.linalg.solve(C, np.cov(X.T))))

    return Numbers(elbo(W) - elbo(turned), log_p(W) - log_p(turned), 0.0)


# The checks --------------------------------------------------------------------------------------

ROW = re.compile(r"^\| `(\w+)` \| .+ \| `([^`|]+)` \| `([^`|]+)` \|$", re.MULTILINE)
SECTION = re.compile(r"(?ms)^## (.+?)\n(.*?)(?=^## |\Z)")
ENTRY = re.compile(r"^(?:\*\*|- |\| `).*(?:\n(?![-|\n]).*)*", re.MULTILINE)
NAMES = re.compile(r"(?:\*\*.*?\*\* \(|- \(|\| `\w+` \| )(.*?)(?:\)| \|)")
KINDS = ("Errors of concept", "Slips of translation", "Misprints")


def misattributed(page):
    """Entries that name no text of the list with its edition, or a person where they should not."""
    sections = dict(SECTION.findall(page))
    texts = sections["The texts, and the editions that were read"]
    editions = {"many programs", *re.findall(r"(?m)^\| (\w[^|]*?) \| (?!Text)", texts)}
    authors = re.findall(r"by (?:[A-Z]\. )?(\w+) \|", texts)
    for kind in KINDS:
        for entry in ENTRY.findall(sections[kind]):
            entry = " ".join(entry.split())
            found = NAMES.match(entry)
            names = found[1].split("; ") if found else [""]
            for name in names:
                if name not in editions:
                    yield f"{kind}: {entry[:60]!r} names no text with its edition"
                elif kind == "Slips of translation" and not name.endswith("translation"):
                    yield f"{kind}: {entry[:60]!r} is of no translation"
    for section, text in sections.items():
        for author in authors:
            if text is not texts and author in text:
                yield f"{section}: names {author}, who may not have written it"


def on_the_page():
    return {name: (a, b) for name, a, b in ROW.findall(PAGE.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("mistake", CASES, ids=lambda mistake: mistake.__name__)
def test_ours_is_true_and_the_printed_is_not(mistake):
    printed, ours, truth, tolerance = mistake()
    assert ours == pytest.approx(truth, rel=tolerance, abs=tolerance)
    assert printed != pytest.approx(truth, rel=10 * tolerance, abs=10 * tolerance)
    assert abs(printed - truth) > 0.04 * max(abs(truth), 0.5), "too near to tell them apart"
    shown = [float(number) for number in on_the_page()[mistake.__name__]]
    assert shown == pytest.approx([printed, truth], rel=2e-3, abs=6e-4)


def test_every_row_of_the_page_has_a_case():
    rows = [name for name, _, _ in ROW.findall(PAGE.read_text(encoding="utf-8"))]
    assert sorted(rows) == sorted(mistake.__name__ for mistake in CASES)


def test_every_mistake_is_laid_at_the_door_of_the_edition_that_prints_it():
    page = PAGE.read_text(encoding="utf-8")
    sections = dict(SECTION.findall(page))
    entries = sum(len(ENTRY.findall(sections[kind])) for kind in KINDS)
    assert entries > 2 * len(CASES)  # a row for each, and what is said in words
    assert "\n".join(misattributed(page)) == ""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("rule** (Tutorial, Chinese translation)", "rule** (Tutorial)", "no text"),
        ("rule** (Tutorial, Chinese translation)", "rule**", "no text"),
        ("**The mean of $q$** (VAE and GMM)", "**The mean of $q$** (VAE)", "no text"),
        ("**Mean-field** (Tutorial,", "**Mean-field** (J. Altosaar,", "names Altosaar"),
        ("- (Notes) $p(z)$", "- $p(z)$", "no text"),
        ("| Tutorial, Chinese translation | the mean of", "| Tutorial | the mean of", "no text"),
        ("**The step upside down** (Tutorial, Chinese translation)",
         "**The step upside down** (Notes)", "of no translation"),
    ],
)  # fmt: skip
def test_a_mistake_at_the_wrong_door_is_seen(old, new, complaint):
    page = PAGE.read_text(encoding="utf-8")
    assert old in page
    assert complaint in "\n".join(misattributed(page.replace(old, new)))
