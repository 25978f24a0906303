"""41 Find the bug: what imputing forgets

The M-step of a mixture for rows of which only the first F of D features are
there: means and covariances of whole rows, expected given what is there,
equations MISS.2 and MISS.3. The lines run, and the means come out well. Yet the
variances shrink from one iteration to the next. Mend them.
"""

import numpy as np


def m_step(x, r, mu, Sigma):
    """Return mu ``(K, D)``, Sigma ``(K, D, D)`` from the old; x ``(N, F)``, r ``(N, K)``."""
    F, rows = x.shape[1], x[:, None] + 0 * r[:, :, None]
    B = Sigma[:, F:, :F] @ np.linalg.inv(Sigma[:, :F, :F])
    missing = mu[:, F:] + np.einsum("kmo,nko->nkm", B, rows - mu[:, :F])
    filled = np.concatenate([rows, missing], axis=2)  # each row as each component sees it
    # --- your code: find the bug ---
    counts = r.sum(axis=0)
    mean = np.einsum("nk,nkd->kd", r, filled) / counts[:, None]
    away = filled - mean
    covariance = np.einsum("nk,nki,nkj->kij", r, away, away) / counts[:, None, None]
    covariance[:, F:, F:] += Sigma[:, F:, F:] - B @ Sigma[:, :F, F:]
    return mean, covariance
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["MISS.2", "MISS.3"]

HINTS = [
    "The mean of a square is not the square of the mean. Of which features is only a mean known?",
    "E[x x^T] has a second term where x is missing: the covariance of x_m given x_o.",
    "covariance[:, F:, F:] += Sigma[:, F:, F:] - B @ ...",
]


def made(x, r, mu, Sigma, centre, rest, divide, where):
    F, n = x.shape[1], r.sum(axis=0)
    rows = x[:, None] + 0 * r[:, :, None]
    B = Sigma[:, F:, :F] @ np.linalg.inv(Sigma[:, :F, :F])
    missing = mu[:, F:] + np.einsum("kmo,nko->nkm", B, rows - mu[:, :F])
    filled = np.concatenate([rows, missing], axis=2)
    mean = np.einsum("nk,nkd->kd", r, filled) / n[:, None]
    away = filled - centre(mean, mu)
    S = np.einsum("nk,nki,nkj->kij", r, away, away) / divide(n, len(x))[:, None, None]
    C = rest(Sigma[:, F:, F:], B, Sigma[:, :F, F:], n[:, None, None])
    return mean, where(S, C, F)


def into_missing(S, C, F):
    S = S.copy()
    S[:, F:, F:] += C
    return S


def instead(S, C, F):
    S = S.copy()
    S[:, F:, F:] = C
    return S


SUSPECTS = combined(
    made,
    centre={
        "": lambda mean, mu: mean,
        "centred at the old means: the covariance is about the new ones": lambda mean, mu: mu,
        "the rows are not centred": lambda mean, mu: 0 * mu,
    },
    rest={
        "": lambda S, B, S_om, n: S - B @ S_om,
        "the covariance of what is missing given what is there is left out: this imputes means, "
        "and variances shrink": lambda S, B, S_om, n: 0 * S,
        "what is missing has its marginal covariance: what is there tells something of it": (
            lambda S, B, S_om, n: S
        ),
        "the conditional covariance has the wrong sign": lambda S, B, S_om, n: B @ S_om - S,
        "what is there is added to the uncertainty, where it is taken off": (
            lambda S, B, S_om, n: S + B @ S_om
        ),
        "B B^T stands where B S_om is meant": lambda S, B, S_om, n: S - B @ B.swapaxes(1, 2),
        "the conditional covariance is divided by N_k: each row has it, and they are averaged": (
            lambda S, B, S_om, n: (S - B @ S_om) / n
        ),
        "the conditional covariance is counted N_k times, where the sum is divided by N_k": (
            lambda S, B, S_om, n: (S - B @ S_om) * n
        ),
        "the conditional covariance is counted twice": lambda S, B, S_om, n: 2 * (S - B @ S_om),
    },
    divide={
        "": lambda n, N: n,
        "divided by N_k - 1, where the maximum of the likelihood has N_k": lambda n, N: n - 1,
        "divided by N, where N_k is meant": lambda n, N: 0 * n + N,
        "not divided by N_k: these are sums": lambda n, N: n**0,
    },
    where={
        "": into_missing,
        "only the diagonal of the conditional covariance is added": lambda S, C, F: into_missing(
            S, C * np.eye(C.shape[1]), F
        ),
        "the conditional covariance stands in the place of the spread of the filled values, and "
        "has to be added to it": instead,
    },
)


def check(answer):
    a, A = 1.5 * draw(13, 3, seed=2), draw(3, 7, 7, seed=3)
    x, mu = draw(13, 4, seed=1) + 0.5, draw(3, 7, seed=5)
    check_function(
        answer.m_step,
        m_step,
        suspects=SUSPECTS,
        names=("mean", "covariance"),
        elsewhere={
            "for data near a million: the mean of x x^T less the mean's square loses all digits "
            "there; subtract the mean first": {"x": x + 1e6, "mu": mu + 1e6},
        },
        repair=possible,
        fixed=("Sigma",),
        x=x,
        r=np.exp(a) / np.exp(a).sum(axis=1, keepdims=True),
        mu=mu,
        Sigma=A @ A.swapaxes(1, 2) + 4 * np.eye(7),
    )


def possible(inputs):
    """The same inputs with responsibilities that sum to 1, and positive definite covariances."""
    r, S = inputs["r"], inputs["Sigma"]
    values, vectors = np.linalg.eigh(S + S.swapaxes(1, 2))
    S = (vectors * np.maximum(values / 2, 0.5)[:, None]) @ vectors.swapaxes(1, 2)
    return {**inputs, "r": r / r.sum(axis=1, keepdims=True), "Sigma": S}


COUNTS = "counts = r.sum(axis=0)\n"
MEAN = 'mean = np.einsum("nk,nkd->kd", r, filled) / counts[:, None]\n'
AWAY = "away = filled - mean\n"
SUM = 'covariance = np.einsum("nk,nki,nkj->kij", r, away, away)'
OVER = " / counts[:, None, None]\n"
ADD = "covariance[:, F:, F:] += Sigma[:, F:, F:] - B @ Sigma[:, :F, F:]\n"
RETURN = "return mean, covariance"
BEGIN = COUNTS + MEAN + AWAY + SUM + OVER

BUG = Wrong(BEGIN + RETURN, "left out: this imputes means")

WRONG = [
    Wrong(BEGIN + "covariance[:, F:, F:] += Sigma[:, F:, F:]\n" + RETURN, "marginal covariance"),
    Wrong(BEGIN + ADD.replace("- B", "+ B") + RETURN, "is taken off"),
    Wrong(
        BEGIN + ADD.replace("Sigma[:, :F, F:]", "B.swapaxes(1, 2)") + RETURN, r"B B\^T stands where"
    ),
    Wrong(BEGIN + ADD.replace("+=", "-=") + RETURN, "wrong sign"),
    Wrong(BEGIN + ADD.replace("+=", "=") + RETURN, "has to be added"),
    Wrong(COUNTS + MEAN + AWAY + SUM + "\n" + ADD + "covariance /= counts[:, None, None]\n"
          + RETURN, "divided by N_k: each row has it"),
    Wrong(COUNTS + MEAN + AWAY + SUM + "\n" + ADD + RETURN, "these are sums"),
    Wrong(COUNTS + MEAN + AWAY + SUM + " / len(x)\n" + ADD + RETURN, "where N_k is meant"),
    Wrong(COUNTS + MEAN + AWAY + SUM + " / (counts - 1)[:, None, None]\n" + ADD + RETURN,
          "N_k - 1"),
    Wrong(COUNTS + MEAN + "away = filled - mu\n" + SUM + OVER + ADD + RETURN, "old means"),
    Wrong(COUNTS + MEAN + "away = filled\n" + SUM + OVER + ADD + RETURN, "not centred"),
    Wrong(
        BEGIN + "C = Sigma[:, F:, F:] - B @ Sigma[:, :F, F:]\n"
        "covariance[:, F:, F:] += C * np.eye(C.shape[1])\n" + RETURN,
        "only the diagonal",
    ),
    Wrong(
        COUNTS + MEAN + 'covariance = np.einsum("nk,nki,nkj->kij", r, filled, filled)' + OVER
        + "covariance -= mean[:, :, None] * mean[:, None]\n" + ADD + RETURN,
        "near a million",
    ),
    Wrong(BEGIN + ADD + "return mean", "two|2"),
]  # fmt: skip
