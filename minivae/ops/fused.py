"""Fused operations: what a variational autoencoder computes most, each in one pass over memory.

Each has a composed twin made of simple operations. The twin explains it, tests it, and stands in
for it where second derivatives are wanted. Parameters of shape ``(S*N, D)`` go with data of shape
``(N, D)`` repeated S times, once for each Monte-Carlo sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minivae_kernels as kernels
from minivae.errors import ShapeError
from minivae.ops.elementwise import (
    divide,
    exp,
    expm1,
    log,
    positive,
    relu,
    sigmoid,
    softplus,
    square,
    tanh,
    where,
)  # fmt: skip
from minivae.ops.linalg import matmul
from minivae.ops.reductions import sum
from minivae.ops.shapes import concatenate
from minivae.ops.sums import total
from minivae.tensor import Array, Value, primitive, values

__all__ = [
    "ACTIVATIONS", "binomial_log_prob", "continuous_bernoulli_log_prob", "gaussian_kl",
    "gaussian_log_prob", "linear", "reparameterise",
]  # fmt: skip

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "identity": positive, "relu": relu, "tanh": tanh, "sigmoid": sigmoid, "softplus": softplus,
}  # fmt: skip


def _repeat_rows(x: Value, like: Value) -> Value:
    """Data repeated to the number of rows of the parameters."""
    times = like.shape[0] // x.shape[0] if x.shape[0] else 1
    return x if times == 1 else concatenate([x] * times)


def _sum_repeats(g: Array, shape: tuple[int, ...]) -> Array:
    """The adjoint of :func:`_repeat_rows`, on arrays."""
    return g if g.shape == shape else total(g.reshape(-1, *shape), 0)


# ---- a layer ----


def _linear(x: Array, weight: Array, bias: Array, /, activation: str = "identity") -> Array:
    """activation(x @ weight + bias), Eq. MLP.1.

    Parameters
    ----------
    x, weight, bias
        Of shapes ``(N, D)``, ``(D, H)`` and ``(H,)``.
    activation
        A key of ``ACTIVATIONS``.
    """
    try:
        return kernels.matmul(x, weight, bias=bias, activation=activation)
    except ValueError as error:
        a, b, c = np.shape(x), np.shape(weight), np.shape(bias)
        if len(a) == len(b) == 2 and a[1] == b[0] and c == b[1:]:
            raise ValueError(str(error).replace("matmul", "linear", 1)) from None
        raise ShapeError(
            f"linear: shapes x {a}, weight {b} and bias {c} do not fit; they must be "
            "(N, D), (D, H) and (H,)"
        ) from None


def _linear_vjp(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array,
    activation: str,
    wanted: Sequence[bool] = (True, True, True),
) -> Value:
    # Eq. MLP.2: P = G * activation'(pre), read off the output; P W^T, X^T P, column sums of P
    return kernels.linear_backward(g, out, x, weight, activation, wanted)


def _linear_composed(x: Value, weight: Value, bias: Value, activation: str) -> Value:
    return ACTIVATIONS[activation](matmul(x, weight) + bias)


linear = primitive(_linear, _linear_vjp, composed=_linear_composed)


# ---- the posterior: sampling and its divergence from the prior ----


def _reparameterise(mu: Array, log_var: Array, eps: Array, /) -> Array:
    """z = mu + exp(log_var / 2) eps, Eq. REP.1.

    Parameters
    ----------
    mu, log_var
        Of shape ``(N, K)``.
    eps
        Standard normal noise of shape ``(S, N, K)`` or ``(S*N, K)``, which is the shape of z.
    """
    rows = eps.reshape(-1, eps.shape[-1]) if eps.ndim > 2 else eps
    return kernels.reparameterise(mu, log_var, rows).reshape(eps.shape)


def _reparameterise_vjp(
    g: Array,
    out: Array,
    mu: Array,
    log_var: Array,
    eps: Array,
    wanted: Sequence[bool] = (True, True, True),
) -> Value:
    # Eq. REP.2: dz = dmu + exp(log_var / 2) (eps dlog_var / 2 + deps)
    rows = (-1, eps.shape[-1])
    g_mu, g_log_var = kernels.reparameterise_backward(g.reshape(rows), log_var, eps.reshape(rows))
    g_eps = _reparameterise(np.zeros_like(mu), log_var, g) if wanted[2] else None
    return g_mu, g_log_var, g_eps


def _reparameterise_composed(mu: Value, log_var: Value, eps: Value) -> Value:
    if eps.ndim == 3:
        return mu + exp(0.5 * log_var) * eps
    return _repeat_rows(mu, eps) + exp(0.5 * _repeat_rows(log_var, eps)) * eps


reparameterise = primitive(_reparameterise, _reparameterise_vjp, composed=_reparameterise_composed)


def _gaussian_kl(mu: Array, log_var: Array, /) -> Array:
    """KL(N(mu, exp(log_var)) || N(0, I)) in nats, one number per row, Eq. KL.5.

    Parameters
    ----------
    mu, log_var
        Of shape ``(N, K)``.
    """
    return kernels.gaussian_kl(mu, log_var)


def _gaussian_kl_vjp(g: Array, out: Array, mu: Array, log_var: Array) -> Value:
    # dKL = mu dmu + (e^log_var - 1) dlog_var / 2
    return kernels.gaussian_kl_backward(g, mu, log_var)


def _gaussian_kl_composed(mu: Value, log_var: Value) -> Value:
    return 0.5 * sum(square(mu) + (expm1(log_var) - log_var), -1)


gaussian_kl = primitive(_gaussian_kl, _gaussian_kl_vjp, composed=_gaussian_kl_composed)


# ---- likelihoods: log p(x | z), one number a row ----


def _binomial_log_prob(logits: Array, x: Array, /, n_trials: float = 1.0) -> Array:
    """sum_d x_d l_d - n softplus(l_d) in nats, without the constant log C(n, x), Eq. LIK.2.

    Parameters
    ----------
    logits
        Log-odds of success, of shape ``(S*N, D)``.
    x
        Counts in 0..n, of shape ``(N, D)``.
    n_trials
        n; with 1 this is the Bernoulli log-density.
    """
    return kernels.binomial_log_prob(logits, x, n_trials)


def _binomial_log_prob_vjp(
    g: Array,
    out: Array,
    logits: Array,
    x: Array,
    n_trials: float,
    wanted: Sequence[bool] = (True, True),
) -> Value:
    # d log p = (x - n sigma(l)) dl + l dx
    return (
        kernels.binomial_log_prob_backward(g, logits, x, n_trials) if wanted[0] else None,
        _sum_repeats(g[:, None] * logits, x.shape) if wanted[1] else None,
    )


def _binomial_log_prob_composed(logits: Value, x: Value, n_trials: float) -> Value:
    return sum(_repeat_rows(x, logits) * logits - n_trials * softplus(logits), -1)


binomial_log_prob = primitive(
    _binomial_log_prob, _binomial_log_prob_vjp, composed=_binomial_log_prob_composed
)


def _gaussian_log_prob(mu: Array, log_var: Array, x: Array, /) -> Array:
    """-1/2 sum_d (log 2 pi + log_var_d + (x_d - mu_d)^2 / exp(log_var_d)) in nats, Eq. LIK.7.

    Parameters
    ----------
    mu
        Means, of shape ``(S*N, D)``.
    log_var
        Log-variances, of shape ``(S*N, D)``, or ``(1, 1)`` where all share one.
    x
        Data, of shape ``(N, D)``.
    """
    return kernels.gaussian_log_prob(x, mu, log_var)


def _gaussian_log_prob_vjp(
    g: Array,
    out: Array,
    mu: Array,
    log_var: Array,
    x: Array,
    wanted: Sequence[bool] = (True, True, True),
) -> Value:
    # d log p = (x - mu) / var (dmu - dx) + ((x - mu)^2 / var - 1) dlog_var / 2
    g_mu, g_log_var = kernels.gaussian_log_prob_backward(g, x, mu, log_var)
    return g_mu, g_log_var, -_sum_repeats(g_mu, x.shape) if wanted[2] else None


def _gaussian_log_prob_composed(mu: Value, log_var: Value, x: Value) -> Value:
    residual = _repeat_rows(x, mu) - mu
    return -0.5 * sum(np.log(2 * np.pi) + log_var + square(residual) * exp(-log_var), -1)


gaussian_log_prob = primitive(
    _gaussian_log_prob, _gaussian_log_prob_vjp, composed=_gaussian_log_prob_composed
)


def _continuous_bernoulli_log_prob(logits: Array, x: Array, /) -> Array:
    """sum_d x_d l_d - softplus(l_d) + log C(l_d) in nats, C(l) = l / tanh(l / 2), Eq. LIK.5.

    Parameters
    ----------
    logits
        Natural parameters, of shape ``(S*N, D)``.
    x
        Data in [0, 1], of shape ``(N, D)``.
    """
    return kernels.continuous_bernoulli_log_prob(logits, x)


def _continuous_bernoulli_log_prob_vjp(
    g: Array, out: Array, logits: Array, x: Array, wanted: Sequence[bool] = (True, True)
) -> Value:
    # d log p = (x - E[x]) dl + l dx
    return (
        kernels.continuous_bernoulli_log_prob_backward(g, logits, x) if wanted[0] else None,
        _sum_repeats(g[:, None] * logits, x.shape) if wanted[1] else None,
    )


def _continuous_bernoulli_log_prob_composed(logits: Value, x: Value) -> Value:
    # near l = 0, log(l / tanh(l / 2)) = log 2 + l^2 / 12 - 7 l^4 / 1440 + ...
    near = np.abs(values(logits)) < 0.05
    safe = where(near, 1.0, logits)
    s = square(where(near, logits, 0.0))
    series = np.log(2.0) + s / 12.0 - 7.0 / 1440.0 * s * s + 31.0 / 90720.0 * s * s * s
    log_c = where(near, series, log(divide(safe, tanh(0.5 * safe))))
    return sum(_repeat_rows(x, logits) * logits - softplus(logits) + log_c, -1)


continuous_bernoulli_log_prob = primitive(
    _continuous_bernoulli_log_prob,
    _continuous_bernoulli_log_prob_vjp,
    composed=_continuous_bernoulli_log_prob_composed,
)
