"""Log-densities, divergences and the reparameterised sample, each with its gradient, in nats.

Rows are data, columns are pixels or latent dimensions, and densities are summed over columns.
Where several Monte-Carlo samples share the data, an array with R rows meets one with B rows, R a
multiple of B: row r goes with row ``r % B``. Row sums are kept in float64; results have the dtype
of the arguments. In every ``_backward``, g of shape ``(R,)`` weights the rows.

All raise TypeError for arrays that are not float32 or float64, and ValueError for shapes that do
not go together.
"""

import numpy as np

from minivae_kernels import _loops
from minivae_kernels._arrays import FloatArray, as_floats, contiguous, refuse, run_flat, run_rows


def binomial_log_prob(logits: FloatArray, x: FloatArray, n_trials: float) -> FloatArray:
    """Return sum_d x l - n log(1 + e^l), of shape ``(R,)``, without the constant log C(n, x).

    Parameters
    ----------
    logits
        Log-odds l, shape ``(R, D)``.
    x
        Counts from 0 to n, shape ``(B, D)``.
    n_trials
        n; with 1 this is the Bernoulli's, and also the cross-entropy of grey x.
    """
    logits, x = as_floats("binomial_log_prob", logits, x)
    _check_rows("binomial_log_prob", logits=logits, x=x)
    out = np.empty(len(logits), logits.dtype)
    arrays = contiguous(x), float(n_trials), contiguous(logits), out
    run_rows(_loops.binomial_log_prob, logits, *arrays)
    return out


def binomial_log_prob_backward(
    g: FloatArray, logits: FloatArray, x: FloatArray, n_trials: float
) -> FloatArray:
    """Return the gradient g (x - n sigmoid(l)) with respect to the logits, ``(R, D)``."""
    operation = "binomial_log_prob_backward"
    g, logits, x = as_floats(operation, g, logits, x)
    _check_rows(operation, logits=logits, x=x)
    _check_weights(operation, g, logits)
    out = np.empty(logits.shape, logits.dtype)
    loop = _loops.binomial_log_prob_backward
    run_rows(loop, logits, contiguous(x), float(n_trials), contiguous(g), contiguous(logits), out)
    return out


def continuous_bernoulli_log_prob(logits: FloatArray, x: FloatArray) -> FloatArray:
    """Return sum_d x l - log(1 + e^l) + log C(l), of shape ``(R,)``.

    C(l) = l / tanh(l/2) makes the Bernoulli's formula a density on [0, 1] (Loaiza-Ganem and
    Cunningham 2019).

    Parameters
    ----------
    logits
        l, shape ``(R, D)``.
    x
        Values in [0, 1], shape ``(B, D)``.
    """
    logits, x = as_floats("continuous_bernoulli_log_prob", logits, x)
    _check_rows("continuous_bernoulli_log_prob", logits=logits, x=x)
    out = np.empty(len(logits), logits.dtype)
    run_rows(_loops.continuous_bernoulli_log_prob, logits, contiguous(x), contiguous(logits), out)
    return out


def continuous_bernoulli_log_prob_backward(
    g: FloatArray, logits: FloatArray, x: FloatArray
) -> FloatArray:
    """Return the gradient g (x - E[x]) with respect to the logits, of shape ``(R, D)``."""
    operation = "continuous_bernoulli_log_prob_backward"
    g, logits, x = as_floats(operation, g, logits, x)
    _check_rows(operation, logits=logits, x=x)
    _check_weights(operation, g, logits)
    out = np.empty(logits.shape, logits.dtype)
    loop = _loops.continuous_bernoulli_log_prob_backward
    run_rows(loop, logits, contiguous(x), contiguous(g), contiguous(logits), out)
    return out


def gaussian_log_prob(x: FloatArray, mu: FloatArray, log_var: FloatArray) -> FloatArray:
    """Return -1/2 sum_d log(2 pi) + log_var + (x - mu)^2 e^-log_var, of shape ``(R,)``.

    Parameters
    ----------
    x
        Shape ``(B, D)``.
    mu
        Shape ``(R, D)``.
    log_var
        Shape ``(R, D)``, or ``(1, 1)`` for one shared scale.
    """
    x, mu, log_var = as_floats("gaussian_log_prob", x, mu, log_var)
    _check_rows("gaussian_log_prob", mu=mu, x=x)
    out = np.empty(len(mu), mu.dtype)
    if log_var.shape == (1, 1):
        shared = contiguous(x), float(log_var[0, 0])
        run_rows(_loops.gaussian_log_prob_shared, mu, *shared, contiguous(mu), out)
    else:
        _check_log_var("gaussian_log_prob", mu, log_var)
        arrays = contiguous(x), contiguous(mu), contiguous(log_var), out
        run_rows(_loops.gaussian_log_prob, mu, *arrays)
    return out


def gaussian_log_prob_backward(
    g: FloatArray, x: FloatArray, mu: FloatArray, log_var: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the gradients with respect to mu and log_var, each in its argument's shape."""
    operation = "gaussian_log_prob_backward"
    g, x, mu, log_var = as_floats(operation, g, x, mu, log_var)
    _check_rows(operation, mu=mu, x=x)
    _check_weights(operation, g, mu)
    d_mu = np.empty(mu.shape, mu.dtype)
    if log_var.shape == (1, 1):
        by_row = np.empty(len(mu))
        shared = contiguous(x), float(log_var[0, 0])
        loop = _loops.gaussian_log_prob_shared_backward
        run_rows(loop, mu, *shared, contiguous(g), contiguous(mu), d_mu, by_row)
        return d_mu, np.full((1, 1), by_row.sum(), mu.dtype)
    _check_log_var(operation, mu, log_var)
    d_log_var = np.empty(mu.shape, mu.dtype)
    arrays = contiguous(x), contiguous(g), contiguous(mu), contiguous(log_var)
    run_rows(_loops.gaussian_log_prob_backward, mu, *arrays, d_mu, d_log_var)
    return d_mu, d_log_var


def gaussian_kl(mu: FloatArray, log_var: FloatArray) -> FloatArray:
    """Return KL(N(mu, e^log_var) || N(0, 1)), summed over columns, of shape ``(R,)``.

    1/2 sum_d mu^2 + (e^log_var - 1 - log_var), the bracket accurate also where it is near 0.

    Parameters
    ----------
    mu, log_var
        Shape ``(R, D)``.
    """
    mu, log_var = as_floats("gaussian_kl", mu, log_var)
    _check_log_var("gaussian_kl", mu, log_var)
    out = np.empty(len(mu), mu.dtype)
    run_rows(_loops.gaussian_kl, mu, contiguous(mu), contiguous(log_var), out)
    return out


def gaussian_kl_backward(
    g: FloatArray, mu: FloatArray, log_var: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the gradients g mu and g (e^log_var - 1) / 2, each of shape ``(R, D)``."""
    g, mu, log_var = as_floats("gaussian_kl_backward", g, mu, log_var)
    _check_log_var("gaussian_kl_backward", mu, log_var)
    _check_weights("gaussian_kl_backward", g, mu)
    d_mu, d_log_var = np.empty(mu.shape, mu.dtype), np.empty(mu.shape, mu.dtype)
    arrays = contiguous(g), contiguous(mu), contiguous(log_var)
    run_rows(_loops.gaussian_kl_backward, mu, *arrays, d_mu, d_log_var)
    return d_mu, d_log_var


def reparameterise(mu: FloatArray, log_var: FloatArray, eps: FloatArray) -> FloatArray:
    """Return z = mu + sigma eps with sigma = e^(log_var/2), of shape ``(R, D)``.

    Parameters
    ----------
    mu, log_var
        Shape ``(B, D)``.
    eps
        Standard normal, shape ``(R, D)``.
    """
    mu, log_var, eps = as_floats("reparameterise", mu, log_var, eps)
    _check_log_var("reparameterise", mu, log_var)
    _check_rows("reparameterise", eps=eps, mu=mu)
    out = np.empty(eps.shape, eps.dtype)
    run_flat(_loops.reparameterise, *(x.ravel() for x in (eps, mu, log_var, out)))
    return out


def reparameterise_backward(
    g: FloatArray, log_var: FloatArray, eps: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return sum_s g and sum_s g eps sigma / 2: the gradients for mu and log_var, ``(B, D)``.

    Parameters
    ----------
    g
        The gradient with respect to z, shape ``(R, D)``; s runs over the samples of a row.
    log_var
        Shape ``(B, D)``.
    eps
        Shape ``(R, D)``.
    """
    operation = "reparameterise_backward"
    g, log_var, eps = as_floats(operation, g, log_var, eps)
    _check_rows(operation, eps=eps, log_var=log_var)
    if g.shape != eps.shape:
        raise refuse(operation, "g must have the shape of eps", g=g, eps=eps)
    d_mu, d_log_var = np.empty(log_var.shape, g.dtype), np.empty(log_var.shape, g.dtype)
    arrays = log_var, g, eps, d_mu, d_log_var
    run_flat(_loops.reparameterise_backward, *(x.ravel() for x in arrays))
    return d_mu, d_log_var


def _check_rows(operation: str, **pair: FloatArray) -> None:
    """Refuse unless the first has the second's columns, and its rows a whole number of times."""
    (name, many), (few_name, few) = pair.items()
    if many.ndim == 2 and few.ndim == 2 and many.shape[1] == few.shape[1]:
        count, period = len(many), len(few)
        if count == period or (period and count % period == 0):
            return
    rule = (
        f"both must have two axes and as many columns, and {name} the rows of {few_name} a whole "
        f"number of times, all rows of the first sample first"
    )
    raise refuse(operation, rule, **pair)


def _check_log_var(operation: str, mu: FloatArray, log_var: FloatArray) -> None:
    if mu.ndim != 2 or mu.shape != log_var.shape:
        rule = "log_var must have the shape of mu, with two axes; broadcast it first"
        raise refuse(operation, rule, mu=mu, log_var=log_var)


def _check_weights(operation: str, g: FloatArray, by_row: FloatArray) -> None:
    if g.shape != by_row.shape[:1]:
        rule = "g must have one number for each row of the other"
        raise refuse(operation, rule, g=g, by_row=by_row)
