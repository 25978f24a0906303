"""Estimators of gradients: right ones, and wrong ones with what is to be said of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from minivae import grad, ops


class Case(NamedTuple):
    name: str
    estimator: Callable[..., Any]
    objective: Callable[..., Any]
    parameters: Any
    noise: Any = None
    log_prob: Any = None
    f: Any = None
    diagnosis: str = ""


# A Gaussian q = N(mu, sigma^2) and f(z) = sin z: E f = sin(mu) exp(-sigma^2 / 2) ---

GAUSS = {"mu": np.array(0.7), "log_sigma": np.array(-0.5)}


def sine(p):
    return np.sin(p["mu"]) * np.exp(-0.5 * np.exp(2 * p["log_sigma"]))


def gauss_log_prob(p, z):
    e = (z - p["mu"]) / np.exp(p["log_sigma"])
    return -0.5 * e**2 - p["log_sigma"] - 0.5 * np.log(2 * np.pi)


def pathwise(p, rng, S=1, scale=1.0, forget_sigma=False):
    eps = rng.standard_normal(S)
    sigma = np.exp(p["log_sigma"])
    slope = scale * np.cos(p["mu"] + sigma * eps)
    return {
        "mu": np.mean(slope),
        "log_sigma": np.mean(slope * eps * (1.0 if forget_sigma else sigma)),
    }


def score(p, rng, S=1, baseline=None, total=False, twice=1.0):
    """grad log q times sin z, less a baseline."""
    eps = rng.standard_normal(S)
    sigma = np.exp(p["log_sigma"])
    gain = np.sin(p["mu"] + sigma * eps)
    if baseline == "own":
        gain = gain - gain.mean()
    if baseline == "others":
        gain = gain - (gain.sum() - gain) / (S - 1)
    if baseline == "constant":
        gain = gain - 3.0
    summed = np.sum if total else np.mean
    return {
        "mu": twice * summed(gain * eps / sigma),
        "log_sigma": twice * summed(gain * (eps**2 - 1)),
    }


BARE = {"objective": sine, "parameters": GAUSS}
SINE = {**BARE, "log_prob": gauss_log_prob, "f": lambda z: np.sin(z)}


# A categorical q of three classes, and f(theta, z) = a_z exp(theta_z) + theta_0^2 ---

THETA, A = np.array([0.3, -0.4, 0.8]), np.array([1.0, -2.0, 0.5])


def f_classes(theta, z):
    return A[z] * np.exp(theta[z]) + theta[0] ** 2


def log_q_classes(theta, z):
    return log_softmax(theta)[z]


def sum_over_classes(theta):
    return softmax(theta) @ (A * np.exp(theta) + theta[0] ** 2)


def grad_f(theta, z):
    g = np.zeros(3)
    g[z] += A[z] * np.exp(theta[z])
    g[0] += 2 * theta[0]
    return g


def grad_log_q(theta, z):
    return np.eye(3)[z] - softmax(theta)


def classes(score=1.0, direct=1.0, attached=0.0):
    def estimate(theta, rng):
        z = rng.choice(3, p=softmax(theta))
        gain = f_classes(theta, z)
        return (
            score * gain * grad_log_q(theta, z)
            + direct * grad_f(theta, z)
            + attached * log_q_classes(theta, z) * grad_f(theta, z)
        )

    return estimate


def classes_with_a_baseline(own):
    def estimate(theta, rng, S=4):
        z = rng.choice(3, size=S, p=softmax(theta))
        gains = np.array([f_classes(theta, k) for k in z])
        b = gains.mean() if own else (gains.sum() - gains) / (S - 1)
        pairs = zip(gains - b, z, strict=True)
        return np.mean([g * grad_log_q(theta, k) + grad_f(theta, k) for g, k in pairs], axis=0)

    return estimate


def classes_by_surrogate(detach):
    """The library's own gradient of mean(gain * log q + f), its gain held or not."""

    def estimate(theta, rng):
        z = int(rng.choice(3, p=softmax(theta)))

        def surrogate(t):
            f = A[z] * ops.exp(t[z]) + t[0] ** 2
            log_q = t[z] - ops.logsumexp(t)
            return (f_classes(theta, z) if detach else f) * log_q + f

        return grad(surrogate)(theta)

    return estimate


CLASSES = {
    "objective": sum_over_classes,
    "parameters": THETA,
    "noise": ("set", np.arange(3), softmax(THETA)),
    "log_prob": log_q_classes,
    "f": f_classes,
}


# Minibatches: the sum and the mean of squares over N = 7 rows, M = 3 of them at a time ---

ROWS = np.random.default_rng(0).normal(size=(7, 3))
X, Y = ROWS[:, :2], ROWS[:, 2]
W = np.array([0.5, -1.0])
N, M = 7, 3


def total_loss(w):
    return 0.5 * np.square(X @ w - Y).sum()


def mean_loss(w):
    return total_loss(w) / N


def rows_by(draw, factor):
    def estimate(w, rng):
        i = draw(rng)
        return factor * X[i].T @ (X[i] @ w - Y[i])

    return estimate


def permuted(rng):
    return rng.permutation(N)[:M]


def chosen(rng):
    return rng.choice(N, M, replace=False)


def again(rng):
    return rng.integers(0, N, M)


TOTAL = {"objective": total_loss, "parameters": W, "noise": ("minibatches", N, M)}
MEAN = {"objective": mean_loss, "parameters": W, "noise": ("minibatches", N, M)}


def whole_numbers(w, rng):
    """A sum over S = 3 draws of k = 0, 1, 2, 3, where the objective is the mean over k."""
    return sum(2.0 * k * (w * k - 1.0) for k in rng.integers(4, size=3))


COUNTED = {
    "objective": lambda w: sum(ops.sum((w * k - 1.0) ** 2) for k in range(4)) / 4,
    "parameters": np.array([0.7]),
}


def with_a_prior(of_rows, of_prior):
    """MAP: the prior belongs to all rows together, and is not scaled with the minibatch."""

    def estimate(w, rng):
        return of_rows * rows_by(chosen, 1.0)(w, rng) + of_prior * 2.0 * w

    return estimate


MAP = {**TOTAL, "objective": lambda w: total_loss(w) + w @ w}


# (E f)^2 with f = exp(t + e): a product of two expectations ---


def squared_mean(t):
    return float(np.exp(2 * t[0] + 1.0))


def product(share, S=1):
    def estimate(t, rng):
        first = rng.standard_normal(S)
        second = first if share else rng.standard_normal(S)
        return np.array([2 * np.mean(np.exp(t[0] + first)) * np.mean(np.exp(t[0] + second))])

    return estimate


def product_of_rows(share):
    """(mean over rows of x.w)^2 / 2, by two minibatches or by one."""

    def estimate(w, rng):
        first = rng.integers(0, N, 2)
        second = first if share else rng.integers(0, N, 2)
        return np.mean(X[first] @ w) * X[second].mean(axis=0)

    return estimate


SQUARE = {"objective": squared_mean, "parameters": np.array([0.2])}
ROW_SQUARE = {"objective": lambda w: 0.5 * np.mean(X @ w) ** 2, "parameters": W}


# The ELBO of a linear Gaussian model, z ~ N(0, 1) and x ~ N(0.8 z, 1/2), at x = 1.3 ---


def linear_elbo(p):
    m, var = p["mu"], np.exp(2 * p["log_sigma"])
    fit = -0.5 * np.log(np.pi) - ((1.3 - 0.8 * m) ** 2 + 0.64 * var)
    return fit - 0.5 * (m * m + var - 1) + p["log_sigma"]


def of_elbo(p, rng, kl=1.0, entropy=1.0, mirror=-1.0):
    """The pathwise gradient by an antithetic pair, less that of the KL in closed form."""
    sigma, eps = np.exp(p["log_sigma"]), rng.standard_normal()
    here, there = (1.6 * (1.3 - 0.8 * (p["mu"] + sigma * e)) for e in (eps, -eps))
    return {
        "mu": 0.5 * (here + there) - kl * p["mu"],
        "log_sigma": 0.5 * (here + mirror * there) * eps * sigma - kl * (sigma**2 - entropy),
    }


LINEAR = {"objective": linear_elbo, "parameters": GAUSS}


def score_less(baseline):
    """The score function, with a baseline of the same draws."""

    def estimate(p, rng, S=4):
        eps, sigma = rng.standard_normal(S), np.exp(p["log_sigma"])
        gain = np.sin(p["mu"] + sigma * eps)
        weight = baseline(gain, np.sin(p["mu"] - sigma * eps))
        return {"mu": np.mean(weight * eps / sigma), "log_sigma": np.mean(weight * (eps**2 - 1))}

    return estimate


# log p(x) of that model as a function of the slope, by weights that are normalised by their own sum


def log_p_x(a):
    return -0.5 * np.log(2 * np.pi * (a[0] ** 2 + 0.5)) - 0.5 * 1.3**2 / (a[0] ** 2 + 0.5)


def self_normalised(S):
    def estimate(a, rng):
        z = rng.standard_normal(S)
        return np.array([softmax(-((1.3 - a[0] * z) ** 2)) @ (2 * (1.3 - a[0] * z) * z)])

    return estimate


# Two data and two draws of z for each: the logarithm of a mean over draws, not over data ---

PAIR = np.array([0.5, -1.1])
NODES, MASS = np.polynomial.hermite_e.hermegauss(60)


def two_draws_bound(a):
    log_p = -((PAIR[:, None] - a[0] * NODES) ** 2)
    both = np.logaddexp(log_p[:, :, None], log_p[:, None, :])
    return float(np.einsum("nij,i,j->", both, MASS, MASS) / (2 * np.pi))


def bound_over(axis, power=1):
    def estimate(a, rng):
        z = rng.standard_normal((2, 2))  # draws, data
        weights = softmax(-((PAIR - a[0] * z) ** 2), axis=axis) ** power
        return np.array([(weights * 2 * (PAIR - a[0] * z) * z).sum()])

    return estimate


BOUND = {"objective": two_draws_bound, "parameters": np.array([0.7])}


# Discrete z by Gumbel noise ---

SQUARED = {"objective": lambda t: float(softmax(t) @ A**2), "parameters": THETA}
MEAN_SQUARED = {"objective": lambda t: float((softmax(t) @ A) ** 2), "parameters": THETA}


def relaxed(t, rng):
    """Gumbel-softmax at temperature 1."""
    y = softmax(t + rng.gumbel(size=3))
    return (np.diag(y) - np.outer(y, y)) @ (2 * (y @ A) * A)


def by_gumbels(share):
    """(E a_z)^2 by two draws of z, or by one and the same."""

    def estimate(t, rng):
        first = rng.gumbel(size=3)
        second = first if share else rng.gumbel(size=3)
        z, other = np.argmax(t + first), np.argmax(t + second)
        return 2 * A[z] * A[other] * (np.eye(3)[z] - softmax(t))

    return estimate


def uniform_classes(power):
    def estimate(t, rng):
        z = rng.integers(3)
        return (3 * softmax(t)[z]) ** power * A[z] ** 2 * (np.eye(3)[z] - softmax(t))

    return estimate


# A matrix ---

MATRIX = {
    "objective": lambda t: float(np.square(t).sum()),
    "parameters": np.array([[0.4, -1.0], [0.3, 0.8]]),
}


def by_rows(turn, factor=1.0):
    def estimate(t, rng):
        u = rng.standard_normal(2)
        g = 2 * factor * np.outer(u, u) @ t
        return g.T if turn else g

    return estimate


# Signs: the gradient by a random direction, E[(u . g) u] = g ---

POINT = np.array([0.3, -1.2, 0.8])


def bowl(x):
    return float(np.sum(np.cos(x)) + x[0] * x[1])


def slope_of_bowl(x):
    return -np.sin(x) + np.array([x[1], x[0], 0.0])


def along_signs(factor=1.0):
    def estimate(x, rng):
        u = rng.choice([-1.0, 1.0], size=3)
        return factor * u * (u @ slope_of_bowl(x))

    return estimate


SIGNS = {"objective": bowl, "parameters": POINT, "noise": "signs"}


def frozen(p, rng):
    return pathwise(p, np.random.default_rng(3))


def case(name, estimator, rest, diagnosis="", **more):
    return Case(name, estimator, diagnosis=diagnosis, **{**rest, **more})


RIGHT = [
    case("pathwise", pathwise, BARE),
    case("score", score, SINE),
    case("score, S = 2, others", lambda p, r: score(p, r, 2, "others"), SINE),
    case("score, constant baseline", lambda p, r: score(p, r, 1, "constant"), BARE),
    case("classes", classes(), CLASSES),
    case("classes, surrogate", classes_by_surrogate(True), CLASSES),
    case("classes, others", classes_with_a_baseline(False), CLASSES),
    case("permutation", rows_by(permuted, N / M), TOTAL),
    case("choice", rows_by(chosen, N / M), TOTAL),
    case("integers", rows_by(again, N / M), TOTAL),
    case("mean", rows_by(chosen, 1 / M), MEAN),
    case("two draws", product(share=False), SQUARE),
    case("two minibatches", product_of_rows(share=False), ROW_SQUARE),
    case("signs", along_signs(), SIGNS),
    case("signs for normal numbers", lambda x, r: (lambda u: u * (u @ slope_of_bowl(x)))(
        r.standard_normal(3)), SIGNS),
    case("a prior beside a minibatch", with_a_prior(N / M, 1.0), MAP),
    case("ELBO", of_elbo, LINEAR),
    case("others over S", score_less(lambda f, _: f - (f.sum() - f) / f.size), BARE),
    case("uniform classes, weighed", uniform_classes(1), SQUARED),
    case("a matrix", by_rows(False), MATRIX),
    case("without noise", lambda x, r: slope_of_bowl(x), SIGNS),
]  # fmt: skip

WRONG = [
    case("sign", lambda p, r: pathwise(p, r, scale=-1.0), BARE, "wrong sign"),
    case("twice", lambda p, r: pathwise(p, r, scale=2.0), BARE, "twice what it should be"),
    case("half", lambda p, r: pathwise(p, r, scale=0.5), BARE, "half of what it should be"),
    case("a factor of its own", lambda p, r: pathwise(p, r, scale=0.7), BARE, r"0\.7 times"),
    case("chain factor", lambda p, r: pathwise(p, r, forget_sigma=True), BARE,
         r"of log_sigma is 1\.649 times what it should be; that of mu is right"),
    case("own sample, S = 3", lambda p, r: score(p, r, 3, "own"), SINE,
         "baseline that looks at its own sample.*S = 3"),
    case("own sample, bare", lambda p, r: score(p, r, 3, "own"), BARE,
         "baseline that looks at its own sample.*S = 3"),
    case("sum over draws", lambda p, r: score(p, r, 3, total=True), BARE,
         "sum over S = 3 draws where their mean is wanted"),
    case("score doubled", lambda p, r: score(p, r, twice=2.0), SINE, "score term .* twice"),
    case("missing score", classes(score=0), CLASSES, "misses the score term"),
    case("doubled score", classes(score=2), CLASSES, "has the score term f grad log q twice"),
    case("score's sign", classes(score=-1), CLASSES, "score term .* wrong sign"),
    case("missing grad f", classes(direct=0), CLASSES, "misses the term grad f"),
    case("doubled grad f", classes(direct=2), CLASSES, "has the term grad f.* twice"),
    case("not detached", classes(attached=1), CLASSES, "weights that are not detached"),
    case("not detached, on the tape", classes_by_surrogate(False), CLASSES,
         "weights that are not detached"),
    case("instead of grad f", classes(direct=0, attached=1), CLASSES,
         "not detached, instead of the term grad f"),
    case("own sample, classes", classes_with_a_baseline(True), CLASSES,
         "baseline that looks at its own sample.*S = 4"),
    case("N/M missing", rows_by(permuted, 1.0), TOTAL, "misses the factor N/M = 7/3"),
    case("N/M missing, choice", rows_by(chosen, 1.0), TOTAL, "misses the factor N/M = 7/3"),
    case("mean against sum", rows_by(chosen, 1 / M), TOTAL, "is a mean over the minibatch where"),
    case("sum against mean", rows_by(again, 1.0), MEAN,
         "is a sum over the minibatch where its mean"),
    case("all against mean", rows_by(permuted, N / M), MEAN, "sum over all N = 7 where their mean"),
    case("N/M twice", rows_by(permuted, (N / M) ** 2), TOTAL, "N/M = 7/3 .* once too often"),
    case("sum over whole numbers", whole_numbers, COUNTED, "sum over S = 3 draws where their mean"),
    case("never the last row", rows_by(lambda r: r.integers(0, N - 1, M), N / M), TOTAL,
         "no single factor"),
    case("one draw for two", product(share=True), SQUARE, "a noise is used twice"),
    case("one minibatch for two", product_of_rows(share=True), ROW_SQUARE,
         "a noise is used twice"),
    case("frozen", frozen, BARE, "never change: the estimator asks the generator for nothing"),
    case("unused", lambda p, r: (r.standard_normal(), frozen(p, r))[1], BARE,
         "never change: the estimator does not use its draws"),
    case("sign, along signs", along_signs(-1.0), SIGNS, "wrong sign"),
    case("a prior scaled, too", with_a_prior(N / M, N / M), MAP, "no single factor: .* a prior"),
    case("the prior left out", with_a_prior(N / M, 0.0), MAP, "no single factor: .* a prior"),
    case("divided by S - 1", lambda p, r: score(p, r, 4, twice=4 / 3), SINE,
         "divided by S - 1 = 3 where S = 4"),
    case("sign of the KL lost", lambda p, r: of_elbo(p, r, kl=-1.0), LINEAR, "gradient of mu is"),
    case("entropy left out", lambda p, r: of_elbo(p, r, entropy=0.0), LINEAR,
         "of log_sigma is .* that of mu is right"),
    case("sign of an antithetic pair", lambda p, r: of_elbo(p, r, mirror=1.0), LINEAR,
         "of log_sigma is .* that of mu is right"),
    case("mirror image as a baseline", score_less(lambda f, mirrored: f - mirrored), BARE,
         "of mu is twice .* of log_sigma is zero on average"),
    case("advantages in units of their own", score_less(lambda f, _: (f - f.mean()) / f.std()),
         BARE, "gradient of mu is"),
    case("self-normalised weights", self_normalised(2),
         {"objective": log_p_x, "parameters": np.array([0.9])}, "the gradient is -1.8"),
    case("logsumexp over data", bound_over(1), BOUND, "times what"),
    case("weights squared", bound_over(0, power=2), BOUND, "times what"),
    case("Gumbel-softmax", relaxed, SQUARED, "times what|no single factor"),
    case("Gumbel noise reused", by_gumbels(True), MEAN_SQUARED, "no single factor|used twice"),
    case("uniform classes", uniform_classes(0), SQUARED, "no single factor"),
    case("transposed", by_rows(True), MATRIX, "the gradient is transposed"),
    case("a matrix, thrice", by_rows(False, 3.0), MATRIX, "the gradient is 3 times what it should"),
    case("zero", lambda x, r: 0 * x, SIGNS, "all estimates are zero"),
    case("NaN", lambda x, r: x * np.nan, SIGNS, "not finite"),
    case("shape", lambda x, r: x[:2], SIGNS, r"the estimate has shapes \[\(2,\)\]"),
    case("chance of its own", lambda x, r: np.random.default_rng().normal(size=3), SIGNS,
         "changes although the generator does not"),
]  # fmt: skip
