"""23 Find the bug: an iteration of EM

One iteration of EM for a mixture with diagonal covariances, equations GMM.2 and
GMM.4 to GMM.6. The lines run, the likelihood rises, and means and variances come
out well. Yet the mixture that EM ends with is not the one it should be. Mend it.
"""

import numpy as np


def responsibilities(x, pi, mu, var):
    """r ``(N, K)`` for data ``(N, D)``, weights ``(K,)``, means and variances ``(K, D)``."""
    offset = x[:, None, :] - mu
    log_joint = np.log(pi) - 0.5 * np.sum(np.log(2 * np.pi * var) + offset**2 / var, axis=2)
    joint = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return joint / joint.sum(axis=1, keepdims=True)


def em_iteration(x, pi, mu, var):
    """Return the new pi ``(K,)``, mu and var ``(K, D)``, from the present ones and x."""
    r = responsibilities(x, pi, mu, var)
    # --- your code: find the bug ---
    counts = r.sum(axis=0)
    mu = r.T @ x / counts[:, None]
    var = np.einsum("nk,nkd->kd", r, (x[:, None, :] - mu) ** 2) / counts[:, None]
    return counts / len(x), mu, var
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["GMM.2", "GMM.4", "GMM.5", "GMM.6"]
SECTION = "mixtures_and_em#the-m-step"

HINTS = [
    "EM has three kinds of parameters. Follow each of them from the top of the function to its "
    "return.",
    "The new weights are computed. Where do they go?",
    "weights is never used: the function returns the pi that it was given. Return weights.",
]


def suspect(pi=None, mu=None, var=None):
    """Parameters as a mistake makes them; the rest right."""

    def wrong(x, old_pi, old_mu, old_var):
        r = responsibilities(x, old_pi, old_mu, old_var)
        right = em_iteration(x, old_pi, old_mu, old_var)
        old = (old_pi, old_mu, old_var)
        return tuple(
            a if f is None else f(x, r, r.sum(axis=0), right, old)
            for a, f in zip(right, (pi, mu, var), strict=True)
        )

    return wrong


SUSPECTS = {
    "the weights come out as they went in: EM moves them too": suspect(
        pi=lambda x, r, n, new, old: old[0]
    ),
    "the means come out as they went in": suspect(mu=lambda x, r, n, new, old: old[1]),
    "the variances come out as they went in": suspect(var=lambda x, r, n, new, old: old[2]),
    "the weights are numbers of data: they must sum to 1": suspect(pi=lambda x, r, n, new, old: n),
    "the weights are multiplied by the old ones, which r contains already": suspect(
        pi=lambda x, r, n, new, old: old[0] * n / len(x)
    ),
    "the weights are multiplied by the old ones, which r contains already, and normalised": suspect(
        pi=lambda x, r, n, new, old: old[0] * n / (old[0] @ n)
    ),
    "the weights are all 1/K: they are the shares of the data": suspect(
        pi=lambda x, r, n, new, old: np.full(len(n), 1 / len(n))
    ),
    "the weights count each datum for its likeliest component alone": suspect(
        pi=lambda x, r, n, new, old: np.bincount(r.argmax(axis=1), minlength=len(n)) / len(x)
    ),
    "the weights are averaged with the old ones: the M-step goes all the way": suspect(
        pi=lambda x, r, n, new, old: (old[0] + n / len(x)) / 2
    ),
    "the variances are about the old means; about the new ones they are less": suspect(
        var=lambda x, r, n, new, old: (
            (r[:, :, None] * (x[:, None] - old[1]) ** 2).sum(axis=0) / n[:, None]
        )
    ),
    "the weights belong to other responsibilities, those of the new means and variances": suspect(
        pi=lambda x, r, n, new, old: responsibilities(x, old[0], new[1], new[2]).mean(axis=0)
    ),
    "not divided by N_k but by N": suspect(
        mu=lambda x, r, n, new, old: r.T @ x / len(x),
    ),
}


def made(x, old_pi, old_mu, old_var, weights, means, variances):
    r = responsibilities(x, old_pi, old_mu, old_var)
    n = r.sum(axis=0)
    mu = means(x, r, n)
    return weights(r, n, len(x), old_pi), mu, variances(x, r, n, mu, old_mu)


def second(x, r, n):
    return r.T @ x**2 / n[:, None]


SUSPECTS |= combined(
    made,
    weights={
        "": lambda r, n, N, old: n / N,
        "these are the responsibilities of one datum: sum them over all": lambda r, n, N, old: r[0],
        "the old weights are kept in part: the M-step goes all the way": lambda r, n, N, old: (
            0.9 * old + 0.1 * n / N
        ),
        "the new weights are taken in part: the M-step goes all the way": lambda r, n, N, old: (
            0.1 * old + 0.9 * n / N
        ),
        "a 1 is added to each count: the maximum has none": lambda r, n, N, old: (
            (n + 1) / (N + len(n))
        ),
        "the weights are the largest responsibilities, where their mean is meant": (
            lambda r, n, N, old: r.max(axis=0)
        ),
        "the weights were sorted: each belongs to its component": lambda r, n, N, old: (
            np.sort(n) / N
        ),
        "the weights have a softmax too many": lambda r, n, N, old: np.exp(n) / np.exp(n).sum(),
    },
    means={
        "": lambda x, r, n: r.T @ x / n[:, None],
        "the means are divided by N": lambda x, r, n: r.T @ x / len(x),
        "the means are those of all data": lambda x, r, n: np.tile(x.mean(axis=0), (len(n), 1)),
        "the means are not divided by N_k": lambda x, r, n: r.T @ x,
    },
    variances={
        "": lambda x, r, n, mu, old: second(x, r, n) - mu**2,
        "the variances are divided by N, where N_k is meant": lambda x, r, n, mu, old: (
            (second(x, r, n) - mu**2) * (n / len(x))[:, None]
        ),
        "the variances are not divided by N_k": lambda x, r, n, mu, old: (
            (second(x, r, n) - mu**2) * n[:, None]
        ),
        "these are standard deviations": lambda x, r, n, mu, old: np.sqrt(
            second(x, r, n) - mu**2
        ),
        "the square of the mean is not subtracted": lambda x, r, n, mu, old: second(x, r, n),
        "the old mean's square is subtracted, where it must be the new one's": (
            lambda x, r, n, mu, old: second(x, r, n) - old**2
        ),
        "the mean is subtracted without its square": lambda x, r, n, mu, old: second(x, r, n) - mu,
        "the variances are those of all data, without responsibilities": (
            lambda x, r, n, mu, old: np.tile(x.var(axis=0), (len(n), 1))
        ),
        "the variances are about the mean of all data": lambda x, r, n, mu, old: (
            r.T @ (x - x.mean(axis=0)) ** 2 / n[:, None]
        ),
        "something is added to the variances, 1e-6": lambda x, r, n, mu, old: (
            second(x, r, n) - mu**2 + 1e-6
        ),
        "the variances have N_k - 1": lambda x, r, n, mu, old: (
            (second(x, r, n) - mu**2) * (n / (n - 1))[:, None]
        ),
    },
)


def check(answer):
    x = draw(11, 4, seed=1)
    check_function(
        answer.em_iteration,
        em_iteration,
        suspects=SUSPECTS,
        names=("pi", "mu", "var"),
        elsewhere={
            "for data near a million: the mean of x**2 less mu**2 loses all digits there; subtract "
            "the mean first": {"x": x + 1e6, "mu": draw(3, 4, seed=2) + 1e6},
        },
        repair=weighted,
        fixed=("var",),
        x=x,
        pi=np.array([0.2, 0.5, 0.3]),
        mu=draw(3, 4, seed=2),
        var=draw(3, 4, seed=3, low=0.5, high=2.0),
    )


def weighted(inputs):
    """The same inputs with weights that sum to 1."""
    return {**inputs, "pi": inputs["pi"] / inputs["pi"].sum()}


COUNTS = "counts = r.sum(axis=0)\n"
MU = "mu = r.T @ x / counts[:, None]\n"
VAR = 'var = np.einsum("nk,nkd->kd", r, (x[:, None, :] - mu) ** 2) / counts[:, None]\n'

BUG = Wrong(
    COUNTS + "weights = counts / len(x)\n" + MU + VAR + "return pi, mu, var",
    "weights come out as they went in",
)

WRONG = [
    Wrong(COUNTS + MU + VAR + "return counts, mu, var", "must sum to 1"),
    Wrong(COUNTS + "pi = pi * counts / len(x)\n" + MU + VAR + "return pi, mu, var", "old ones"),
    Wrong(COUNTS + MU + VAR + "return np.full(3, 1 / 3), mu, var", "all 1/K"),
    Wrong(COUNTS + MU + VAR + "return np.mean(r, axis=1), mu, var", "shape"),
    Wrong(COUNTS + MU + VAR + "return counts / len(counts), mu, var", "pi must sum to 1.*3.667"),
    Wrong(
        COUNTS + MU + VAR + "return responsibilities(x, pi, mu, var).mean(axis=0), mu, var",
        "other responsibilities",
    ),
    Wrong(
        COUNTS + MU + VAR + "return np.bincount(r.argmax(axis=1), minlength=3) / len(x), mu, var",
        "likeliest",
    ),
    Wrong(
        COUNTS
        + "var = (r[:, :, None] * (x[:, None] - mu) ** 2).sum(axis=0) / counts[:, None]\n"
        + MU
        + "return counts / len(x), mu, var",
        "about the old means",
    ),
    Wrong(COUNTS + VAR + "return counts / len(x), mu, var", "means come out as they went in|mu"),
    Wrong(
        "counts = r.sum(axis=0)\n"
        "mu = r.T @ x / counts[:, None]\n"
        "var = r.T @ x**2 / counts[:, None] - mu**2\n"
        "return counts / len(x), mu, var",
        "near a million",
    ),
]
