"""20 The M-step

The E-step has said how much of each datum belongs to each component: r, whose
rows sum to 1. Now maximise the bound over the parameters, with r held:
equations GMM.4, GMM.5 and GMM.6. What comes out is what one would write for
labelled data, with counts that are fractions.
"""

import numpy as np


def m_step(x, r):
    """Return pi ``(K,)``, mu ``(K, D)``, Sigma ``(K, D, D)``; x is ``(N, D)``, r ``(N, K)``."""
    # --- your code: return three arrays ---
    counts = r.sum(axis=0)
    mu = r.T @ x / counts[:, None]
    offset = x[:, None, :] - mu
    Sigma = np.einsum("nk,nki,nkj->kij", r, offset, offset) / counts[:, None, None]
    return counts / len(x), mu, Sigma
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["GMM.4", "GMM.5", "GMM.6"]
SECTION = "mixtures_and_em#the-m-step"

HINTS = [
    "Begin with N_k, the number of data that component k answers for: the sum of r over the data.",
    "pi is N_k over N. Mean and covariance are those of the data with the weights r[:, k]: sum, "
    "and divide by N_k. The covariance is taken about the new mean of that component.",
    "counts = r.sum(axis=0); mu = r.T @ x / counts[:, None]; for each k: offset = x - mu[k], and "
    "Sigma[k] = (r[:, k, None] * offset).T @ offset / ...",
]


def scatter(x, weights, about):
    """sum_n w_nk (x_n - c_k)(x_n - c_k)^T for each k."""
    offset = x[:, None, :] - about
    return np.einsum("nk,nki,nkj->kij", weights, offset, offset)


def suspect(pi=None, mu=None, Sigma=None):
    """Parameters as a mistake makes them from x, r, N_k and the new means; the rest right."""

    def wrong(x, r):
        right = m_step(x, r)
        counts = r.sum(axis=0)
        made = (pi, mu, Sigma)
        return tuple(
            a if f is None else f(x, r, counts, right[1]) for a, f in zip(right, made, strict=True)
        )

    return wrong


SUSPECTS = {
    "these are N_k, numbers of data: divide by N for a weight": suspect(pi=lambda x, r, n, m: n),
    "the weights are all 1/K: they move in the M-step too": suspect(
        pi=lambda x, r, n, m: np.full(len(n), 1 / len(n))
    ),
    "divided by N where N_k is meant: the weights of component k sum to N_k": suspect(
        mu=lambda x, r, n, m: r.T @ x / len(x)
    ),
    "not divided by N_k: this is the weighted sum": suspect(mu=lambda x, r, n, m: r.T @ x),
    "the responsibilities are left out: this is the mean of all data": suspect(
        mu=lambda x, r, n, m: np.tile(x.mean(axis=0), (len(n), 1))
    ),
    "divided by N_k twice": suspect(mu=lambda x, r, n, m: m / n[:, None]),
    "divided by N where N_k is meant, in the covariances": suspect(
        Sigma=lambda x, r, n, m: scatter(x, r, m) / len(x)
    ),
    "divided by N_k - 1: the maximum of the likelihood has N_k": suspect(
        Sigma=lambda x, r, n, m: scatter(x, r, m) / (n - 1)[:, None, None]
    ),
    "not divided by N_k: these are the scatter matrices": suspect(
        Sigma=lambda x, r, n, m: scatter(x, r, m)
    ),
    "the data are not centred: subtract the component's mean": suspect(
        Sigma=lambda x, r, n, m: scatter(x, r, 0 * m) / n[:, None, None]
    ),
    "the data are centred at the mean of all: each component has a mean of its own": suspect(
        Sigma=lambda x, r, n, m: scatter(x, r, 0 * m + x.mean(axis=0)) / n[:, None, None]
    ),
    "the responsibilities are left out of the covariances": suspect(
        Sigma=lambda x, r, n, m: scatter(x, np.ones_like(r), m) / n[:, None, None]
    ),
    "the responsibilities are left out of the covariances: every datum counts as one": suspect(
        Sigma=lambda x, r, n, m: scatter(x, np.ones_like(r), m) / len(x)
    ),
    "the responsibilities are squared: they are on both factors of the product": suspect(
        Sigma=lambda x, r, n, m: scatter(x, r**2, m) / n[:, None, None]
    ),
    "this is the covariance of all data, without responsibilities": suspect(
        Sigma=lambda x, r, n, m: np.tile(np.cov(x.T, bias=True), (len(n), 1, 1))
    ),
    "only the diagonal is there: the products of different dimensions are left out": suspect(
        Sigma=lambda x, r, n, m: scatter(x, r, m) / n[:, None, None] * np.eye(x.shape[1])
    ),
    "these are standard deviations: no square root is taken": suspect(
        Sigma=lambda x, r, n, m: np.sqrt(np.abs(scatter(x, r, m) / n[:, None, None]))
    ),
    "the product mu mu^T is added; it has to be subtracted from the mean of x x^T": suspect(
        Sigma=lambda x, r, n, m: (
            scatter(x, r, 0 * m) / n[:, None, None] + m[:, :, None] * m[:, None, :]
        )
    ),
    "all components have one covariance, that of all offsets: here each has its own": suspect(
        Sigma=lambda x, r, n, m: np.tile(scatter(x, r, m).sum(axis=0) / len(x), (len(n), 1, 1))
    ),
    "each datum counts for its likeliest component alone: in EM it counts for all, by r": (
        lambda x, r: m_step(x, np.eye(r.shape[1])[r.argmax(axis=1)])
    ),
}


def made(x, r, pi, weight, mean, offset, divide, turn):
    counts = r.sum(axis=0)
    mu = mean(x, r, counts)
    n = divide(counts, x, r)
    n = n[:, None, None] if np.ndim(n) else n
    return pi(counts, len(x)), mu, turn(offset(x, weight(r), mu) / n)


def one_sided(x, weights, mu):
    return np.einsum("nk,ni,nkj->kij", weights, x, x[:, None, :] - mu)


SUSPECTS |= combined(
    made,
    pi={
        "": lambda n, N: n / N,
        "pi is a softmax of N_k: they are to be divided by their sum": lambda n, N: (
            np.exp(n - n.max()) / np.exp(n - n.max()).sum()
        ),
        "pi is the logarithm of the weights": lambda n, N: np.log(n / N),
        "pi is smoothed by a 1 for each component; the maximum has no such counts": lambda n, N: (
            (n + 1) / (N + len(n))
        ),
        "the weights come in another order": lambda n, N: np.sort(n) / N,
    },
    weight={
        "": lambda r: r,
        "the responsibilities are left out of the covariances": np.ones_like,
        "the responsibilities are squared: they are on both factors of the product": np.square,
        "the covariances have the roots of the responsibilities": np.sqrt,
        "in the covariances each datum counts for its likeliest component alone": lambda r: np.eye(
            r.shape[1]
        )[r.argmax(axis=1)],
    },
    mean={
        "": lambda x, r, n: r.T @ x / n[:, None],
        "the means are those of all data": lambda x, r, n: np.tile(x.mean(axis=0), (len(n), 1)),
        "the means are the medians of all data": lambda x, r, n: np.tile(
            np.median(x, axis=0), (len(n), 1)
        ),
        "the means are divided by N, not by N_k": lambda x, r, n: r.T @ x / len(x),
        "the responsibilities are squared in the means": lambda x, r, n: (r**2).T @ x / n[:, None],
        "the means count each datum for its likeliest component alone": lambda x, r, n: np.stack(
            [x[r.argmax(axis=1) == k].mean(axis=0) for k in range(len(n))]
        ),
    },
    offset={
        "": scatter,
        "only one of the two factors is centred": one_sided,
        "centred at one mean for each datum, that of its responsibilities: each component has its "
        "own": lambda x, w, mu: np.einsum("nk,ni,nj->kij", w, x - w @ mu, x - w @ mu),
        "the data are not centred": lambda x, w, mu: scatter(x, w, 0 * mu),
        "centred at the mean of all data": lambda x, w, mu: scatter(x, w, 0 * mu + x.mean(axis=0)),
        "mu is added to x where it is subtracted": lambda x, w, mu: scatter(x, w, -mu),
    },
    divide={
        "": lambda n, x, r: n,
        "the covariances are divided by N, not by N_k": lambda n, x, r: len(x),
        "the covariances are divided by N - 1, where N_k is meant": lambda n, x, r: len(x) - 1,
        "the covariances are divided by N_k - 1": lambda n, x, r: n - 1,
        "the covariances are divided by N_k + 1": lambda n, x, r: n + 1,
        "the covariances have the divisor of an unbiased estimate; the maximum of the likelihood "
        "has N_k": lambda n, x, r: n - (r**2).sum(axis=0) / n,
        "the covariances are not divided by N_k": lambda n, x, r: 1.0,
        "the covariances are divided by N_k twice": lambda n, x, r: n**2,
        "the covariances are divided by the sum of their own weights, not by N_k": lambda n, x, r: (
            np.sqrt(r).sum(axis=0)
        ),
    },
    turn={
        "": lambda S: S,
        "these are the inverses of the covariances": np.linalg.inv,
        "these are factors of the covariances, their roots": np.linalg.cholesky,
        "these are correlations: a covariance is not divided by the scales": lambda S: (
            S / np.sqrt(np.einsum("kii,kjj->kij", S, S))
        ),
        "a sign is lost in the covariances: they may be negative off the diagonal": np.abs,
        "only the diagonal is there": lambda S: S * np.eye(S.shape[1]),
        "one variance for all dimensions: each pair of dimensions has its own number": lambda S: (
            np.trace(S, axis1=1, axis2=2)[:, None, None] / S.shape[1] * np.eye(S.shape[1])
        ),
        "one number is added to each diagonal, 0.001: that is not the maximum": lambda S: (
            S + 1e-3 * np.eye(S.shape[1])
        ),
        "one number is added to each diagonal, 1e-6: that is not the maximum": lambda S: (
            S + 1e-6 * np.eye(S.shape[1])
        ),
    },
)


def check(answer):
    a = 1.5 * draw(11, 3, seed=2)
    a[np.arange(11), np.arange(11) % 3] += 2.0
    r = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
    check_function(
        answer.m_step,
        m_step,
        suspects=SUSPECTS,
        names=("pi", "mu", "Sigma"),
        elsewhere={
            "for data near a million: the mean of x x^T less mu mu^T loses all digits there; "
            "subtract the mean first": {"x": draw(11, 4, seed=1) + 1e6},
            "where each datum belongs to one component": {"r": np.eye(3)[np.arange(11) % 3]},
        },
        repair=shared,
        lengths=(2,),
        x=draw(11, 4, seed=1) + 0.5,
        r=r,
    )


def shared(inputs):
    """The same inputs with responsibilities that sum to 1 for each datum."""
    r = inputs["r"]
    return {**inputs, "r": r / r.sum(axis=1, keepdims=True)}


COUNTS = "counts = r.sum(axis=0)\n"
MU = "mu = r.T @ x / counts[:, None]\n"
OFFSET = "offset = x[:, None, :] - mu\n"
SUM = 'Sigma = np.einsum("nk,nki,nkj->kij", r, offset, offset)'
RETURN = "return counts / len(x), mu, Sigma"
OVER = " / counts[:, None, None]\n"

WRONG = [
    Wrong(COUNTS + MU + OFFSET + SUM + OVER + "return counts, mu, Sigma", "numbers of data"),
    Wrong(
        COUNTS
        + MU
        + OFFSET
        + SUM
        + OVER
        + "return np.full(len(counts), 1 / len(counts)), mu, Sigma",
        "all 1/K",
    ),
    Wrong(
        COUNTS + "mu = r.T @ x / len(x)\n" + OFFSET + SUM + OVER + RETURN,
        "mu.* N where N_k|divided by N where N_k",
    ),
    Wrong(COUNTS + MU + OFFSET + SUM + " / len(x)\n" + RETURN, "in the covariances"),
    Wrong(COUNTS + MU + OFFSET + SUM + " / (counts - 1)[:, None, None]\n" + RETURN, "N_k - 1"),
    Wrong(COUNTS + MU + OFFSET + SUM + "\n" + RETURN, "scatter matrices"),
    Wrong(
        COUNTS + MU + 'Sigma = np.einsum("nk,ni,nj->kij", r, x, x)' + OVER + RETURN, "not centred"
    ),
    Wrong(
        COUNTS + MU + OFFSET + 'Sigma = np.einsum("nki,nkj->kij", offset, offset)' + OVER + RETURN,
        "left out of the covariances",
    ),
    Wrong(
        COUNTS + MU + OFFSET + "offset = r[:, :, None] * offset\n"
        'Sigma = np.einsum("nki,nkj->kij", offset, offset)' + OVER + RETURN,
        "squared",
    ),
    Wrong(
        COUNTS + MU + OFFSET + 'Sigma = np.einsum("nk,nki,nki->ki", r, offset, offset)'
        " / counts[:, None]\n" + RETURN,
        "shape",
    ),
    Wrong(
        COUNTS
        + MU
        + OFFSET
        + SUM
        + OVER
        + "return counts / len(x), mu, Sigma * np.eye(x.shape[1])",
        "only the diagonal",
    ),
    Wrong(COUNTS + MU + OFFSET + SUM + OVER + "return counts / len(x), mu.T, Sigma", "transposed"),
    Wrong(
        "r = np.eye(r.shape[1])[r.argmax(axis=1)]\n" + COUNTS + MU + OFFSET + SUM + OVER + RETURN,
        "likeliest component alone",
    ),
    Wrong(
        COUNTS + "mu = np.tile(x.mean(axis=0), (r.shape[1], 1))\n" + OFFSET + SUM + OVER + RETURN,
        "mean of all data",
    ),
    Wrong(COUNTS + MU + OFFSET + SUM + OVER + "return mu, Sigma", "3|three|two"),
    Wrong(
        "w = r / r.sum(axis=0)\n"
        "mu = w.T @ x\n"
        "second = np.einsum('nk,ni,nj->kij', w, x, x)\n"
        "return r.mean(axis=0), mu, second - mu[:, :, None] * mu[:, None, :]",
        "near a million",
    ),
    Wrong(
        "mu = (r / r.sum(axis=0)).T @ x\n"
        "var = np.stack([np.average((x - m) ** 2, axis=0, weights=w) for m, w in zip(mu, "
        "r.T)])\n"
        "return r.mean(axis=0), mu, var",
        "the diagonal alone",
    ),
]
