"""22 The best encoder of a linear VAE

With the decoder x = W z + m + sigma eps the posterior of z is Gaussian, and its
mean and covariance are equation PPCA.4, with M = W^T W + sigma^2 I. Of all q with
independent dimensions the nearest to it has its mean, and the variances
sigma^2 / M_jj. Then the ELBO lacks equation PPCA.5, which is zero for orthogonal
columns of W. Write down that encoder.
"""

import numpy as np


def best_encoder(x, W, m, sigma):
    """Return mu ``(N, K)`` and log_var ``(K,)`` of the best q.

    x is ``(N, D)``, W ``(D, K)``, m ``(D,)``; sigma is the scale of the noise.
    """
    # --- your code: return two arrays ---
    M = W.T @ W + sigma**2 * np.eye(W.shape[1])
    mu = np.linalg.solve(M, W.T @ (x - m).T).T
    return mu, np.log(sigma**2 / np.diag(M))
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["PPCA.4", "PPCA.5"]
SECTION = "linear_vae#probabilistic-pca"

HINTS = [
    "First M, of shape (K, K). Then the equation's mean for one x; for the rows of x at once, "
    "everything is transposed. What is asked for is the logarithm of a variance.",
    "M is symmetric, so the rows of mu are (x - m) @ W @ inverse(M). The log-variance needs the "
    "diagonal of M, not that of its inverse, and sigma squared.",
    "M = W.T @ W + sigma**2 * np.eye(K); mu = (x - m) @ W @ np.linalg.inv(M); log_var = "
    "np.log(sigma**2 / ...)",
]


def made(x, W, m, s2, A, var=None, about=None):
    """mu and log_var with another matrix in the place of M."""
    mu = (x - (m if about is None else about)) @ W @ np.linalg.inv(A)
    return mu, np.log(s2 / np.diag(A) if var is None else var)


def suspect(change):
    """A wrong answer, from x, W, m, sigma^2, M and the right answer."""

    def wrong(x, W, m, sigma):
        M = W.T @ W + sigma**2 * np.eye(W.shape[1])
        return change(x, W, m, sigma**2, M, best_encoder(x, W, m, sigma))

    return wrong


SUSPECTS = {
    "the mean m is not subtracted from x": suspect(
        lambda x, W, m, s2, M, y: made(x, W, m, s2, M, about=0)
    ),
    "the scale is not squared in M: sigma against sigma squared": suspect(
        lambda x, W, m, s2, M, y: made(x, W, m, s2, W.T @ W + np.sqrt(s2) * np.eye(W.shape[1]))
    ),
    "the scale is not squared in the variance: sigma against sigma squared": suspect(
        lambda x, W, m, s2, M, y: (y[0], np.log(np.sqrt(s2) / np.diag(M)))
    ),
    "the noise is missing in M: this is the least-squares projection, without the prior": suspect(
        lambda x, W, m, s2, M, y: made(x, W, m, s2, W.T @ W)
    ),
    "the matrix M has I for sigma^2 I": suspect(
        lambda x, W, m, s2, M, y: made(x, W, m, s2, W.T @ W + np.eye(W.shape[1]))
    ),
    "the mean is not multiplied by the inverse of M": suspect(
        lambda x, W, m, s2, M, y: ((x - m) @ W, y[1])
    ),
    "the mean is multiplied by M, and not by its inverse": suspect(
        lambda x, W, m, s2, M, y: ((x - m) @ W @ M, y[1])
    ),
    "the mean is divided by the diagonal of M; the whole matrix has to be inverted": (
        suspect(lambda x, W, m, s2, M, y: ((x - m) @ W / np.diag(M), y[1]))
    ),
    "the mean is multiplied by the posterior's covariance; its sigma^2 is too many, for "
    "W^T (x - m) is to be divided by sigma^2 then": suspect(
        lambda x, W, m, s2, M, y: (s2 * y[0], y[1])
    ),
    "the mean is divided by sigma^2 once too often": suspect(
        lambda x, W, m, s2, M, y: (y[0] / s2, y[1])
    ),
    "these are the marginal variances of the posterior, the diagonal of sigma^2 inverse(M); the "
    "nearest q with independent dimensions has sigma^2 / M_jj, which is less": suspect(
        lambda x, W, m, s2, M, y: (y[0], np.log(s2 * np.diag(np.linalg.inv(M))))
    ),
    "the variance lacks its sigma^2": suspect(
        lambda x, W, m, s2, M, y: (y[0], -np.log(np.diag(M)))
    ),
    "these are variances: their logarithm is asked for": suspect(
        lambda x, W, m, s2, M, y: (y[0], s2 / np.diag(M))
    ),
    "these are standard deviations: the logarithm of the variance is asked for": suspect(
        lambda x, W, m, s2, M, y: (y[0], np.sqrt(s2 / np.diag(M)))
    ),
    "this is log sigma; the log-variance is twice that": suspect(
        lambda x, W, m, s2, M, y: (y[0], y[1] / 2)
    ),
    "this is the logarithm of the precision, M_jj / sigma^2": suspect(
        lambda x, W, m, s2, M, y: (y[0], -y[1])
    ),
}


def combine(x, W, m, sigma, centre, inner, how, scale, which, out):
    K = W.shape[1]
    M = inner(W, sigma, K)
    mu = how(centre(x, m) @ W, M)
    return mu, out(scale(sigma), which(M, W))


SUSPECTS |= combined(
    combine,
    centre={
        "": lambda x, m: x - m,
        "the mean m is not subtracted": lambda x, m: x,
        "m is added, where it is subtracted": lambda x, m: x + m,
        "m is the model's, and not the mean of these x": lambda x, m: x - x.mean(axis=0),
        "m - x, where x - m is meant": lambda x, m: m - x,
    },
    inner={
        "": lambda W, s, K: W.T @ W + s**2 * np.eye(K),
        "M lacks sigma^2 I": lambda W, s, K: W.T @ W,
        "M has sigma for sigma^2": lambda W, s, K: W.T @ W + s * np.eye(K),
        "M has I for sigma^2 I": lambda W, s, K: W.T @ W + np.eye(K),
        "M is divided by sigma^2": lambda W, s, K: W.T @ W / s**2 + np.eye(K),
        "M has the inverse of sigma^2": lambda W, s, K: W.T @ W + np.eye(K) / s**2,
        "in M sigma^2 is subtracted": lambda W, s, K: W.T @ W - s**2 * np.eye(K),
        "sigma is taken for a log-scale in M": lambda W, s, K: W.T @ W + np.exp(s) * np.eye(K),
        "sigma^2 is added to all elements of M": lambda W, s, K: W.T @ W + s**2,
        "M has only the diagonal of W^T W": lambda W, s, K: (
            np.diag(np.diag(W.T @ W)) + s**2 * np.eye(K)
        ),
    },
    how={
        "": lambda a, M: a @ np.linalg.inv(M),
        "the mean is not multiplied by the inverse of M": lambda a, M: a,
        "the mean is multiplied by M, not by its inverse": lambda a, M: a @ M,
        "the mean is divided by the diagonal of M": lambda a, M: a / np.diag(M),
        "the mean is multiplied by a root of the inverse": lambda a, M: (
            a @ np.linalg.cholesky(np.linalg.inv(M))
        ),
    },
    scale={
        "": lambda s: s**2,
        "the variance has sigma for sigma^2": lambda s: s,
        "the variance lacks sigma^2": lambda s: 1.0,
        "the variance is divided by sigma^2": lambda s: s**-2,
    },
    which={
        "": lambda M, W: np.diag(M),
        "the variance has the diagonal of M's inverse upside down": lambda M, W: (
            1 / np.diag(np.linalg.inv(M))
        ),
        "the variance has the eigenvalues of M, where its diagonal is meant": lambda M, W: (
            np.linalg.eigvalsh(M)
        ),
        "the variance is multiplied by M_jj, where it is divided": lambda M, W: 1 / np.diag(M),
        "the variance is not divided by M_jj": lambda M, W: np.ones(len(M)),
        "the variance has W^T W without its sigma^2, and inverts that": lambda M, W: (
            1 / np.diag(np.linalg.inv(W.T @ W))
        ),
        "the variance has W^T W where M is meant": lambda M, W: np.diag(W.T @ W),
    },
    out={
        "": lambda s, d: np.log(s / d),
        "the logarithm is missing": lambda s, d: s / d,
        "a standard deviation, and no logarithm": lambda s, d: np.sqrt(s / d),
        "log_var is halved: this is log sigma": lambda s, d: np.log(s / d) / 2,
        "log_var has the wrong sign": lambda s, d: -np.log(s / d),
        "the logarithm is of sigma^2 alone: take that of the quotient": lambda s, d: np.log(s) / d,
    },
)


def check(answer):
    check_function(
        answer.best_encoder,
        best_encoder,
        suspects=SUSPECTS,
        names=("mu", "log_var"),
        elsewhere={
            "for data near a million, and a mean there": {
                "x": 1e6 + draw(6, 5, seed=1),
                "m": 1e6 + draw(5, seed=3),
            },
            "where the noise is small, 0.01": {"sigma": 0.01},
        },
        x=draw(6, 5, seed=1),
        W=draw(5, 3, seed=2),
        m=draw(5, seed=3),
        sigma=0.6,
    )


M = "M = W.T @ W + sigma**2 * np.eye(W.shape[1])\n"
MU = "mu = (x - m) @ W @ np.linalg.inv(M)\n"

WRONG = [
    Wrong(
        M + "mu = x @ W @ np.linalg.inv(M)\nreturn mu, np.log(sigma**2 / np.diag(M))", "m is not"
    ),
    Wrong(
        "M = W.T @ W + sigma * np.eye(W.shape[1])\n"
        + MU
        + "return mu, np.log(sigma**2 / np.diag(M))",
        "not squared in M",
    ),
    Wrong(M + MU + "return mu, np.log(sigma / np.diag(M))", "not squared in the variance"),
    Wrong(
        "M = W.T @ W + sigma * np.eye(W.shape[1])\n" + MU + "return mu, np.log(sigma / np.diag(M))",
        "not squared in M",
    ),
    Wrong("M = W.T @ W\n" + MU + "return mu, np.log(sigma**2 / np.diag(M))", "noise is missing"),
    Wrong(
        "M = W.T @ W + np.eye(W.shape[1])\n" + MU + "return mu, np.log(sigma**2 / np.diag(M))",
        "I for sigma",
    ),
    Wrong(
        "M = W.T @ W + sigma**2\n" + MU + "return mu, np.log(sigma**2 / np.diag(M))",
        "added to all|identity",
    ),
    Wrong(M + "return (x - m) @ W, np.log(sigma**2 / np.diag(M))", "not multiplied by the inverse"),
    Wrong(M + MU + "return mu, np.log(np.diag(sigma**2 * np.linalg.inv(M)))", "marginal variances"),
    Wrong(M + MU + "return mu, sigma**2 / np.diag(M)", "their logarithm is asked"),
    Wrong(M + MU + "return mu, 0.5 * np.log(sigma**2 / np.diag(M))", "log sigma|half"),
    Wrong(M + MU + "return mu.T, np.log(sigma**2 / np.diag(M))", "transposed"),
    Wrong(M + MU + "return sigma**2 * mu, np.log(sigma**2 / np.diag(M))", "covariance"),
    Wrong(M + MU + "return mu, sigma**2 * np.linalg.inv(M)", "log_var has shape"),
    Wrong(
        "M = W @ W.T + sigma**2 * np.eye(len(W))\n"
        "return (x - m) @ np.linalg.inv(M), np.log(sigma**2 / np.diag(M))",
        "shape",
    ),
    Wrong(
        "M = W.T @ W + (sigma**2 + 1e-8) * np.eye(W.shape[1])\n"
        "mu = (x - m) @ W @ np.linalg.inv(M)\n"
        "return mu, np.log(sigma**2 / np.diag(M))",
        "small constant",
    ),
    Wrong(
        "M = W.T @ W + sigma**2 * np.eye(3)\n"
        "mu = (x - m) @ W @ np.linalg.inv(M)\n"
        "return mu, np.log(sigma**2 / np.diag(M))",
        "has length 1",
    ),
]
SUSPECTS[
    "the sigma^2 is added to all elements of M: times the identity, it goes to the diagonal"
] = suspect(lambda x, W, m, s2, M, y: made(x, W, m, s2, W.T @ W + s2))
