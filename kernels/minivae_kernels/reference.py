"""The same functions in plain NumPy, each with its equation beside the line.

Every public kernel has a twin here with its name and signature. The twin is the explanation, and
it is what the tests compare the compiled kernel with. Nothing here is fast, and nothing is checked.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
Arrays = Sequence[FloatArray]  # one for each parameter


# Matrix product --------------------------------------------------------------------------------


def matmul(
    a: FloatArray,
    b: FloatArray,
    *,
    bias: FloatArray | None = None,
    activation: str | None = None,
) -> FloatArray:
    """Return ``activation(a @ b + bias)``, of shape ``(M, N)``.

    Parameters
    ----------
    a, b
        Shapes ``(M, K)`` and ``(K, N)``.
    bias
        Shape ``(N,)``, added to every row.
    activation
        A name from ``ACTIVATIONS``.
    """
    c = a @ b
    if bias is not None:
        c = c + bias
    return c if activation is None else activation_forward(c, activation)


def linear_backward(
    g: FloatArray,
    out: FloatArray,
    x: FloatArray,
    weight: FloatArray,
    activation: str,
    wanted: Sequence[bool] = (True, True, True),
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    """Return the gradients of ``out = activation(x @ weight + bias)`` in x, weight and bias."""
    p = activation_backward(g, out, activation)
    return (
        p @ weight.T if wanted[0] else None,
        x.T @ p if wanted[1] else None,
        np.asarray(p.sum(axis=0)) if wanted[2] else None,
    )


# Functions of one number -----------------------------------------------------------------------


def exp(x: FloatArray) -> FloatArray:
    """Return e^x."""
    return np.asarray(np.exp(x))


def expm1(x: FloatArray) -> FloatArray:
    """Return e^x - 1 without the cancellation near 0."""
    return np.asarray(np.expm1(x))


def log(x: FloatArray) -> FloatArray:
    """Return the natural logarithm; -inf at 0, NaN below."""
    return np.asarray(np.log(x))


def log1p(x: FloatArray) -> FloatArray:
    """Return log(1 + x) without the cancellation near 0."""
    return np.asarray(np.log1p(x))


def tanh(x: FloatArray) -> FloatArray:
    """Return the hyperbolic tangent."""
    return np.asarray(np.tanh(x))


def sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + e^-x), never raising e to a positive power."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + e), e / (1 + e)))


def softplus(x: FloatArray) -> FloatArray:
    """Return log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def relu(x: FloatArray) -> FloatArray:
    """Return max(x, 0); NaN stays NaN."""
    return np.asarray(np.maximum(x, 0))


def add(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return x + y."""
    return np.asarray(x + y)


def tanh_backward(g: FloatArray, out: FloatArray) -> FloatArray:
    """Return g (1 - y^2), where y = tanh(x)."""
    return np.asarray(g * ((1 - out) * (1 + out)))


def sigmoid_backward(g: FloatArray, out: FloatArray) -> FloatArray:
    """Return g y (1 - y), where y = sigmoid(x)."""
    return np.asarray(g * (out * (1 - out)))


def softplus_backward(g: FloatArray, out: FloatArray) -> FloatArray:
    """Return g sigmoid(x) = g (1 - e^-y), where y = softplus(x)."""
    return np.asarray(g * -np.expm1(-out))


def relu_backward(g: FloatArray, out: FloatArray) -> FloatArray:
    """Return g where y = relu(x) is positive and 0 where it is 0; NaN where y is NaN."""
    slope = np.where(np.isnan(out), out, out > 0).astype(out.dtype)  # [y > 0], NaN kept
    return np.asarray(np.where(slope == 0, slope, g * slope))


def activation_forward(x: FloatArray, name: str) -> FloatArray:
    """Return the activation called `name`, applied to every element of x."""
    forward = {"relu": relu, "tanh": tanh, "sigmoid": sigmoid, "softplus": softplus}
    return x.copy() if name == "identity" else forward[name](x)


def activation_backward(g: FloatArray, out: FloatArray, name: str) -> FloatArray:
    """Return g times the derivative of the activation, read off its output."""
    backward = {
        "relu": relu_backward,
        "tanh": tanh_backward,
        "sigmoid": sigmoid_backward,
        "softplus": softplus_backward,
    }
    return g.copy() if name == "identity" else backward[name](g, out)


# Log-densities, summed over the columns --------------------------------------------------------


def binomial_log_prob(logits: FloatArray, x: FloatArray, n_trials: float) -> FloatArray:
    """Return sum_d x l - n log(1 + e^l): the binomial without its constant log C(n, x).

    Parameters
    ----------
    logits
        Shape ``(R, D)``; row r goes with row ``r % B`` of x.
    x
        Shape ``(B, D)``.
    n_trials
        n; 1 is the Bernoulli.
    """
    x = _repeat_rows(x, len(logits))
    return _row_sum(x * logits - n_trials * softplus(logits), logits.dtype)


def binomial_log_prob_backward(
    g: FloatArray, logits: FloatArray, x: FloatArray, n_trials: float
) -> FloatArray:
    """Return g (x - n sigmoid(l)), of shape ``(R, D)``."""
    x = _repeat_rows(x, len(logits))
    return np.asarray(g[:, None] * (x - n_trials * sigmoid(logits)))


def continuous_bernoulli_log_prob(logits: FloatArray, x: FloatArray) -> FloatArray:
    """Return sum_d x l - log(1 + e^l) + log C(l), with C(l) = l / tanh(l/2).

    The last two terms share their logarithms: -log(1 + e^l) + log C(l)
    = -max(l, 0) + log(|l| / (1 - e^-|l|)), which is 0 at l = 0.
    """
    x = _repeat_rows(x, len(logits))
    size = np.abs(logits)
    safe = np.where(size == 0, 1, size)
    log_ratio = np.where(size == 0, 0, np.log(safe / -np.expm1(-safe)))  # log(|l| / (1 - e^-|l|))
    return _row_sum(x * logits - np.maximum(logits, 0) + log_ratio, logits.dtype)


def continuous_bernoulli_log_prob_backward(
    g: FloatArray, logits: FloatArray, x: FloatArray
) -> FloatArray:
    """Return g (x - E[x]), with E[x] = 1/2 + (coth(l/2) / 2 - 1/l), of shape ``(R, D)``."""
    x = _repeat_rows(x, len(logits))
    small = np.abs(logits) < 0.1
    safe = np.where(small, 1, logits)
    excess = np.where(
        small,
        logits / 12 - logits**3 / 720 + logits**5 / 30240 - logits**7 / 1209600,
        0.5 / np.tanh(0.5 * safe) - 1 / safe,
    )
    return np.asarray(g[:, None] * (x - 0.5 - excess)).astype(logits.dtype)


def gaussian_log_prob(x: FloatArray, mu: FloatArray, log_var: FloatArray) -> FloatArray:
    """Return -1/2 sum_d log(2 pi) + log_var + (x - mu)^2 e^-log_var.

    Parameters
    ----------
    x
        Shape ``(B, D)``; row r of mu goes with row ``r % B``.
    mu
        Shape ``(R, D)``.
    log_var
        Shape ``(R, D)``, or ``(1, 1)`` for one shared scale.
    """
    x = _repeat_rows(x, len(mu))
    squared = (x - mu) ** 2 * np.exp(-log_var)
    return _row_sum(-0.5 * (np.log(2 * np.pi) + log_var + squared), mu.dtype)


def gaussian_log_prob_backward(
    g: FloatArray, x: FloatArray, mu: FloatArray, log_var: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the gradients with respect to mu and log_var, each in its own shape."""
    x = _repeat_rows(x, len(mu))
    inverse_var = np.exp(-log_var)
    d_mu = g[:, None] * ((x - mu) * inverse_var)
    d_log_var = g[:, None] * (0.5 * ((x - mu) ** 2 * inverse_var - 1))
    if log_var.shape == (1, 1) != mu.shape:
        d_log_var = d_log_var.sum(dtype=np.float64, keepdims=True)
    return d_mu.astype(mu.dtype), d_log_var.astype(log_var.dtype)


def gaussian_kl(mu: FloatArray, log_var: FloatArray) -> FloatArray:
    """Return KL(N(mu, e^log_var) || N(0, 1)) = 1/2 sum_d mu^2 + (e^log_var - 1 - log_var).

    Parameters
    ----------
    mu, log_var
        Shape ``(R, D)``.
    """
    return _row_sum(0.5 * (mu**2 + _exp_minus_line(log_var)), mu.dtype)


def gaussian_kl_backward(
    g: FloatArray, mu: FloatArray, log_var: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return g mu and g (e^log_var - 1) / 2, each of shape ``(R, D)``."""
    return g[:, None] * mu, g[:, None] * (0.5 * np.expm1(log_var))


def reparameterise(mu: FloatArray, log_var: FloatArray, eps: FloatArray) -> FloatArray:
    """Return z = mu + sigma eps with sigma = e^(log_var/2), of shape ``(R, D)``.

    Parameters
    ----------
    mu, log_var
        Shape ``(B, D)``; row r of eps goes with row ``r % B``.
    eps
        Shape ``(R, D)``, standard normal.
    """
    rows = len(eps)
    sigma = np.exp(0.5 * _repeat_rows(log_var, rows))
    return np.asarray(_repeat_rows(mu, rows) + sigma * eps)


def reparameterise_backward(
    g: FloatArray, log_var: FloatArray, eps: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return d_mu = sum_s g and d_log_var = sum_s g eps sigma / 2, each of shape ``(B, D)``."""
    samples = (-1, *log_var.shape) if log_var.size else (0, *log_var.shape)
    d_mu = g.reshape(samples).sum(axis=0)
    d_log_var = (g * eps).reshape(samples).sum(axis=0) * (0.5 * np.exp(0.5 * log_var))
    return d_mu, d_log_var


def _repeat_rows(x: FloatArray, rows: int) -> FloatArray:
    return np.tile(x, (rows // len(x), 1)) if len(x) else x


def _row_sum(terms: FloatArray, dtype: np.dtype[np.floating[Any]]) -> FloatArray:
    return np.asarray(terms.sum(axis=1, dtype=np.float64)).astype(dtype)


def _exp_minus_line(x: FloatArray) -> FloatArray:
    """Return e^x - 1 - x; near 0, where expm1(x) - x cancels, from its series."""
    small = np.abs(x) < 1
    t = np.where(small, x, 0)
    series = np.zeros_like(t)
    for k in range(20, 1, -1):  # x^2/2! + x^3/3! + ... = x^2/2 (1 + x/3 (1 + x/4 (...)))
        series = (1 + series) * t / k
    return np.asarray(np.where(small, series * t, np.expm1(x) - x))


# Optimisers ------------------------------------------------------------------------------------


def adam_update(
    param: Arrays, grad: Arrays, m: Arrays, v: Arrays, *, step: int, learning_rate: float,
    beta1: float, beta2: float, epsilon: float,
) -> None:  # fmt: skip
    """Do one step of Adam (Kingma & Ba 2015): write new parameters and moments over the old.

    Parameters
    ----------
    step
        Counts from 1; it sets the bias corrections.
    """
    for p, g, m_p, v_p in zip(param, grad, m, v, strict=True):
        m_p[...] = beta1 * m_p + (1 - beta1) * g
        v_p[...] = beta2 * v_p + (1 - beta2) * g**2
        m_hat = m_p / (1 - beta1**step)
        v_hat = v_p / (1 - beta2**step)
        p[...] = p - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)


def sgd_update(
    param: Arrays, grad: Arrays, velocity: Arrays, *, learning_rate: float, momentum: float,
) -> None:  # fmt: skip
    """Do one step of gradient descent with momentum: write new parameters over the old."""
    for p, g, u in zip(param, grad, velocity, strict=True):
        u[...] = momentum * u + g
        p[...] = p - learning_rate * u


# Rows ------------------------------------------------------------------------------------------


def take_rows(
    X: FloatArray, index: npt.NDArray[np.int64], out: FloatArray | None = None
) -> FloatArray:
    """Return the rows of X ``(N, D)`` that index ``(B,)`` names, in a new array or in `out`."""
    return np.take(X, index, axis=0, out=out)
