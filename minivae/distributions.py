"""Distributions: log-densities in nats with every constant, divergences, means, sampling.

A *likelihood* turns the decoder's output into p(x | z). Each knows which outputs it needs
(``heads``), which data it is a density of (``check``), how the encoder sees them
(``encoder_input``), and its log-density, mean and samples. Parameters have shape ``(S*N, D)`` for
data ``(N, D)``: S Monte-Carlo samples of z for each datum.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from scipy.special import gammaln

from minivae import ops
from minivae.errors import DtypeError
from minivae.tensor import Array, Tensor, Value, primitive

__all__ = [
    "Bernoulli",
    "Binomial",
    "ContinuousBernoulli",
    "Gaussian",
    "Likelihood",
    "Prior",
    "StandardNormal",
    "gaussian_entropy",
    "kl_divergence",
    "mixture_log_joint",
    "mixture_log_prob",
    "standard_normal_log_prob",
]

LOG_2PI = math.log(2.0 * math.pi)


# ---- Gaussians over z ----


def kl_divergence(mu: Any, log_var: Any) -> Any:
    """KL(N(mu, exp(log_var)) || N(0, I)) in nats, Eq. KL.4.

    Parameters
    ----------
    mu, log_var
        Arrays or tensors of shape ``(N, K)``.

    Returns
    -------
    array or Tensor
        Of shape ``(N,)``; exact to rounding however near the prior. Kingma and Welling (2014),
        appendix B.
    """
    return ops.gaussian_kl(mu, log_var)


def standard_normal_log_prob(z: Any) -> Any:
    """log N(z; 0, I) in nats, one number a row, Eq. GAUSS.2; ``z`` of shape ``(N, K)``."""
    return -0.5 * ops.sum(ops.square(z), -1) - 0.5 * z.shape[-1] * LOG_2PI


class Prior(Protocol):
    """What a VAE asks of p(z)."""

    def log_prob(self, z: Any) -> Any:
        """log p(z) in nats, one number a row."""

    def kl_divergence(self, mu: Any, log_var: Any, z: Any) -> Any:
        """KL(N(mu, exp(log_var)) || p) in nats, one number a row of mu.

        ``z`` ``(S*N, K)`` are samples from that Gaussian, for a prior without a closed form.
        """

    def sample(self, eps: Array, rng: np.random.Generator) -> Array:
        """A draw of z for each row of standard normal noise ``(n, K)``; ``rng`` for other chance.

        Noise that is larger gives draws as much farther from their centres.
        """

    def moments(self, latent_dim: int) -> tuple[Array, Array]:
        """The mean and the covariance of z."""


class StandardNormal:
    """The prior p(z) = N(0, I)."""

    def log_prob(self, z: Any) -> Any:
        """log p(z) in nats, one number a row."""
        return standard_normal_log_prob(z)

    def kl_divergence(self, mu: Any, log_var: Any, z: Any = None) -> Any:
        """KL(N(mu, exp(log_var)) || p) in nats, one number a row, Eq. KL.4; no sample needed."""
        return kl_divergence(mu, log_var)

    def sample(self, eps: Array, rng: np.random.Generator) -> Array:
        """A draw of z for each row of standard normal noise ``(n, K)``: the noise itself."""
        return eps

    def moments(self, latent_dim: int) -> tuple[Array, Array]:
        """The mean 0 and the covariance I."""
        return np.zeros(latent_dim), np.eye(latent_dim)


def gaussian_entropy(log_var: Any) -> Any:
    """The entropy of N(mu, exp(log_var)) in nats, one number a row, Eq. GAUSS.3."""
    return 0.5 * ops.sum(log_var, -1) + 0.5 * log_var.shape[-1] * (1.0 + LOG_2PI)


# ---- mixtures of Gaussians ----


def _inverse(L: Array, /) -> Array:
    """L^-1 of each matrix ``(C, K, K)``."""
    return np.asarray(np.linalg.inv(L))


def _inverse_vjp(g: Value, out: Value, L: Value) -> Value:
    # d(L^-1) = -L^-1 dL L^-1, so L gets -L^-T G L^-T
    transposed = ops.swapaxes(out, -1, -2)
    return -ops.matmul(ops.matmul(transposed, g), transposed)


inverse = primitive(_inverse, _inverse_vjp)


def mixture_log_joint(z: Any, log_weights: Any, means: Any, factors: Any) -> Any:
    """log pi_c + log N(z; m_c, L_c L_c^T) in nats for each row and component, ``(N, C)``.

    Parameters
    ----------
    z
        Of shape ``(N, K)``.
    log_weights, means
        log pi and m, of shapes ``(C,)`` and ``(C, K)``.
    factors
        L, lower triangular with a positive diagonal, of shape ``(C, K, K)``; what is above the
        diagonal is not looked at.
    """
    K = means.shape[-1]
    factors = factors * np.tri(K, dtype=factors.dtype)
    # L e = z - m turns N(z; m, L L^T) into N(e; 0, I) / |L|
    e = ops.matmul(z - ops.expand_dims(means, 1), ops.swapaxes(inverse(factors), -1, -2))
    log_det = ops.sum(ops.log(ops.sum(factors * np.eye(K, dtype=factors.dtype), -1)), -1)
    heights = log_weights - log_det - 0.5 * K * LOG_2PI
    return ops.swapaxes(ops.expand_dims(heights, 1) - 0.5 * ops.sum(ops.square(e), -1), 0, 1)


def _mixture_log_prob(z: Array, log_weights: Array, means: Array, factors: Array, /) -> Array:
    """log p(z) = log sum_c pi_c N(z; m_c, L_c L_c^T) in nats, one number a row, Eq. PRIOR.1.

    The arguments are those of :func:`mixture_log_joint`.
    """
    log_joint, _, _ = _mixture_parts(z, log_weights, means, factors)
    return np.asarray(ops.logsumexp(log_joint, 0))


def _mixture_parts(
    z: Array, log_weights: Array, means: Array, factors: Array
) -> tuple[Array, Array, Array]:
    """log pi_c + log N(z; m_c, L_c L_c^T) ``(C, N)``, e ``(C, K, N)`` with L e = z - m, and L^-1.

    The rows lie along the last axis, for there are many of them and few of anything else.
    """
    inverses = np.linalg.inv(np.tril(factors))
    e = np.matmul(inverses, z.T - means[..., None])
    log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    heights = log_weights - log_det - 0.5 * means.shape[1] * LOG_2PI
    return heights[:, None] - 0.5 * np.square(e).sum(axis=1), e, inverses


def _mixture_log_prob_vjp(
    g: Array, out: Array, z: Array, log_weights: Array, means: Array, factors: Array
) -> Value:
    # d log p = sum_c r_c (dlog pi_c + (dm + dL e - dz) . L^-T e - sum_i dL_ii / L_ii) with
    # r_c = p(c | z): the gradient of the expected log joint, by Fisher's identity
    log_joint, e, inverses = _mixture_parts(z, log_weights, means, factors)
    r = g * np.exp(log_joint - out)
    counts = r.sum(axis=1)
    pull = np.matmul(inverses.swapaxes(1, 2), r[:, None] * e)
    g_factors = np.matmul(pull, e.swapaxes(1, 2))
    i = np.arange(means.shape[1])
    g_factors[:, i, i] -= counts[:, None] * inverses[:, i, i]
    return -pull.sum(axis=0).T, counts, pull.sum(axis=2), np.tril(g_factors)


def _mixture_log_prob_composed(z: Value, log_weights: Value, means: Value, factors: Value) -> Value:
    return ops.logsumexp(mixture_log_joint(z, log_weights, means, factors), -1)


mixture_log_prob = primitive(
    _mixture_log_prob, _mixture_log_prob_vjp, composed=_mixture_log_prob_composed
)


# ---- likelihoods: p(x | z) ----


class Likelihood(Protocol):
    """What a VAE asks of p(x | z)."""

    heads: tuple[str, ...]

    def check(self, X: Array) -> None:
        """Refuse data that p(x | z) is no density of, naming the first such row."""

    def encoder_input(self, X: Array) -> Array:
        """The data as the encoder sees them."""

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """log p(x | z) in nats with every constant, of shape ``(S*N,)``."""

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """E[x | z] in the data's units, of shape ``(S*N, D)``."""

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """One draw of x for each row of parameters."""

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The bias of each head at which the decoder, whatever z, predicts the data's mean."""


def _refuse(X: Array, bad: Array, likelihood: str, rule: str, mend: str) -> None:
    """Raise for the first row of ``X`` that breaks a rule."""
    rows = np.flatnonzero(bad.any(axis=1))
    if rows.size:
        column = int(np.flatnonzero(bad[rows[0]])[0])
        raise ValueError(
            f"likelihood {likelihood!r}: X[{rows[0]}, {column}] = {X[rows[0], column]} is outside "
            f"its support; {rule}. {mend}"
        )


def _refuse_outside_unit(X: Array, likelihood: str) -> None:
    _refuse(
        X, (X < 0) | (X > 1), likelihood, "grey values lie in [0, 1]", "Divide 8-bit pixels by 255."
    )


def _numbers(x: Any) -> Array:
    return x.data if isinstance(x, Tensor) else np.asarray(x)


def _logit(p: Array) -> Array:
    """log p / (1 - p), held back from infinity so that a pixel that is always off can be learnt."""
    p = np.clip(p, 1e-3, 1.0 - 1e-3)
    logit: Array = np.log(p) - np.log1p(-p)
    return logit


class Binomial:
    """Independent counts of successes out of ``n_trials``, Eq. LIK.2.

    The head is the log-odds of success.
    """

    heads: tuple[str, ...] = ("logits",)
    name = "binomial"

    def __init__(self, n_trials: int) -> None:
        if isinstance(n_trials, bool) or not isinstance(n_trials, int | np.integer):
            raise DtypeError(f"Binomial: n_trials={n_trials!r} must be a whole number")
        if n_trials < 1:
            raise ValueError(f"Binomial: n_trials={n_trials} must be at least 1")
        self.n_trials = int(n_trials)
        k = np.arange(self.n_trials + 1)
        # log C(n, k) for every possible count
        self.log_coefficient = (
            gammaln(self.n_trials + 1) - gammaln(k + 1) - gammaln(self.n_trials - k + 1)
        )

    def check(self, X: Array) -> None:
        """Refuse what is no count from 0 to ``n_trials``."""
        bad = (X < 0) | (self.n_trials < X) | (np.floor(X) != X)
        _refuse(
            X, bad, self.name, f"data are whole counts from 0 to n_trials = {self.n_trials}",
            "Is n_trials right? Grey values in [0, 1] want 'continuous-bernoulli'.",
        )  # fmt: skip

    def encoder_input(self, X: Array) -> Array:
        """The share of successes, X / n."""
        return X / self.n_trials

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """log Bin(x; n, sigmoid(logits)) with its log C(n, x)."""
        (logits,) = parameters
        constants = self.log_coefficient[_numbers(x).astype(np.intp)].sum(axis=1)
        repeats = logits.shape[0] // len(constants) if len(constants) else 1
        log_kernel = ops.binomial_log_prob(logits, x, n_trials=float(self.n_trials))
        return log_kernel + np.tile(constants.astype(logits.dtype), repeats)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """The expected count, n sigmoid(logits)."""
        return self.n_trials * _numbers(ops.sigmoid(parameters[0]))

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """Counts drawn at random."""
        p = _numbers(ops.sigmoid(parameters[0]))
        return rng.binomial(self.n_trials, p).astype(p.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The log-odds of each column's share of successes."""
        return (_logit(X.mean(axis=0) / self.n_trials),)


class Bernoulli:
    """Independent pixels, on or off, Eq. LIK.1.

    The head is the log-odds of *on*. With ``grey`` the data may lie between 0 and 1, and
    ``log_prob`` is the cross-entropy: what many tutorials train on, and no log-density.
    """

    heads: tuple[str, ...] = ("logits",)
    name = "bernoulli"

    def __init__(self, grey: bool = False) -> None:
        self.grey = grey

    def check(self, X: Array) -> None:
        """Refuse what is not 0 or 1, with ``grey`` what is not in between either."""
        if self.grey:
            _refuse_outside_unit(X, self.name)
            return
        _refuse(
            X, (X != 0) & (X != 1), self.name, "pixels are 0 or 1",
            "For grey pixels say what is meant: grey='threshold', 'sample' or 'cross-entropy', or "
            "take likelihood='continuous-bernoulli'; for counts likelihood='binomial'.",
        )  # fmt: skip

    def encoder_input(self, X: Array) -> Array:
        """The pixels themselves."""
        return X

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """x log p + (1 - x) log(1 - p), summed over pixels, where p = sigmoid(logits)."""
        return ops.binomial_log_prob(parameters[0], x, n_trials=1.0)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """The probability of *on*."""
        return _numbers(ops.sigmoid(parameters[0]))

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """Pixels, on with that probability."""
        p = _numbers(ops.sigmoid(parameters[0]))
        return (rng.random(p.shape) < p).astype(p.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The log-odds of each column's mean."""
        return (_logit(X.mean(axis=0)),)


class ContinuousBernoulli:
    """Independent grey values in [0, 1] with density C(p) p^x (1-p)^(1-x), Eq. LIK.4.

    The head is the natural parameter log p / (1 - p). Loaiza-Ganem and Cunningham (2019).
    """

    heads: tuple[str, ...] = ("logits",)
    name = "continuous-bernoulli"

    def check(self, X: Array) -> None:
        """Refuse what is not in [0, 1]."""
        _refuse_outside_unit(X, self.name)

    def encoder_input(self, X: Array) -> Array:
        """The grey values themselves."""
        return X

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """x log p + (1 - x) log(1 - p) + log C(p), summed over pixels."""
        return ops.continuous_bernoulli_log_prob(parameters[0], x)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """The mean grey value, which is nearer to 1/2 than p is, Eq. LIK.6."""
        # E[x] = 1 / (1 - e^-l) - 1 / l, odd about 1/2; near 0 it is 1/2 + l/12 - l^3/720
        logits = _numbers(parameters[0])
        a = np.abs(logits.astype(np.float64))
        safe = np.where(a < 1e-2, 1.0, a)
        half = np.where(
            a < 1e-2, a / 12.0 - a**3 / 720.0, -1.0 / np.expm1(-safe) - 1.0 / safe - 0.5
        )
        mean: Array = (0.5 + np.copysign(half, logits)).astype(logits.dtype)
        return mean

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """Grey values, by the inverse of their distribution function."""
        # F(x) = (e^(l x) - 1) / (e^l - 1), inverted for l <= 0 and mirrored: no overflow
        logits = _numbers(parameters[0])
        a = -np.abs(logits.astype(np.float64))
        u = rng.random(a.shape)
        flat = a > -1e-6
        x = np.where(flat, u, np.log1p(u * np.expm1(a)) / np.where(flat, 1.0, a))
        return np.where(logits > 0, 1.0 - x, x).astype(logits.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """The natural parameter at which E[x] is each column's mean, by bisection."""
        target = np.clip(X.mean(axis=0, dtype=np.float64), 0.02, 0.98)
        low, high = np.full_like(target, -60.0), np.full_like(target, 60.0)
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = self.mean((middle,)) < target
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (0.5 * (low + high),)


class Gaussian:
    """Independent Gaussian values, Eq. LIK.3.

    Parameters
    ----------
    sigma
        ``"network"``: the decoder gives a mean and a variance for every value; ``"shared"``: one
        scale for all, learnt; a number: that scale, fixed.
    floor
        The least scale that can be learnt, in the data's units. Without one the likelihood is
        unbounded: a decoder that reproduces a datum exactly gains without end as its variance
        falls. Mattei and Frellsen (2018).
    """

    name = "gaussian"

    def __init__(self, sigma: str | float = "network", floor: float = 1e-3) -> None:
        if isinstance(sigma, str):
            if sigma not in ("network", "shared"):
                raise ValueError(
                    f"Gaussian: sigma={sigma!r} is unknown; use 'network', 'shared' or a positive "
                    "number"
                )
        elif not 0 < sigma < math.inf:
            raise ValueError(f"Gaussian: sigma={sigma} must be positive and finite")
        if not 0 < floor < math.inf:
            raise ValueError(f"Gaussian: floor={floor} must be positive and finite")
        self.sigma, self.floor = sigma, floor
        self.heads: tuple[str, ...] = ("mu", "raw_log_var") if sigma == "network" else ("mu",)

    @property
    def log_floor(self) -> float:
        """The floor as a log-variance."""
        return 2.0 * math.log(self.floor)

    def log_var(self, raw: Any) -> Any:
        """A log-variance above the floor, floor + softplus(raw - floor), Eq. LIK.5."""
        return self.log_floor + ops.softplus(raw - self.log_floor)

    def _raw(self, log_var: Array) -> Array:
        """The inverse of :meth:`log_var`: log(expm1(log_var - floor)) + floor."""
        excess = np.maximum(log_var - self.log_floor, 1e-3)
        raw: Array = excess + np.log(-np.expm1(-excess)) + self.log_floor
        return raw

    def initial_shared(self, X: Array) -> Array:
        """The shared scale's parameter at the data's standard deviation, of shape ``(1, 1)``."""
        return np.full((1, 1), self._raw(np.log(np.maximum(X.var(axis=0).mean(), 1e-12))))

    def scale(self, parameters: tuple[Any, ...]) -> tuple[Any, Any]:
        """mu and log_var, of shapes ``(S*N, D)`` and ``(S*N, D)`` or ``(1, 1)``."""
        if len(parameters) == 2:
            return parameters[0], self.log_var(parameters[1])
        mu = parameters[0]
        return mu, np.full((1, 1), 2.0 * math.log(float(self.sigma)), _numbers(mu).dtype)

    def check(self, X: Array) -> None:
        """Any finite value will do."""

    def encoder_input(self, X: Array) -> Array:
        """The values themselves."""
        return X

    def log_prob(self, parameters: tuple[Any, ...], x: Any) -> Any:
        """log N(x; mu, exp(log_var))."""
        mu, log_var = self.scale(parameters)
        return ops.gaussian_log_prob(mu, log_var, x)

    def mean(self, parameters: tuple[Any, ...]) -> Array:
        """mu."""
        return _numbers(parameters[0])

    def sample(self, parameters: tuple[Any, ...], rng: np.random.Generator) -> Array:
        """mu + sigma times standard normal noise."""
        mu, log_var = map(_numbers, self.scale(parameters))
        return (mu + np.exp(0.5 * log_var) * rng.standard_normal(mu.shape)).astype(mu.dtype)

    def initial_biases(self, X: Array) -> tuple[Array, ...]:
        """Each column's mean and, for a variance network, its log-variance above the floor."""
        if self.sigma != "network":
            return (X.mean(axis=0),)
        return X.mean(axis=0), self._raw(np.log(np.maximum(X.var(axis=0), 1e-12)))
