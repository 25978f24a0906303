"""42 Find the bug: a bound that is not one

What the bound of a Bayesian mixture charges for each component: the divergence
of its mean and precision from their prior, equation VBM.6. A prior that is q
costs nothing, as it should. Yet the bound with these lines rises and falls, and
always asks for more components. Mend them.
"""

import math

import numpy as np


def log_gamma(nu, D):
    """The sum over i of log Gamma((nu + 1 - i) / 2): log Gamma_D(nu / 2) but for a constant."""
    return np.sum([[math.lgamma((n - i) / 2) for i in range(D)] for n in np.atleast_1d(nu)], axis=1)


def psi(nu, D):
    """The sum over i of psi((nu + 1 - i) / 2), the slope of twice the above."""
    h = 1e-4 * np.atleast_1d(nu)
    return (log_gamma(nu + h, D) - log_gamma(nu - h, D)) / h


def divergence(m, beta, nu, W, m_0, beta_0, nu_0, W_0):
    """Return KL ``(K,)``; m ``(K, D)``, beta, nu ``(K,)``, W ``(K, D, D)``; of p the same."""
    D, P = m.shape[1], nu[:, None, None] * W
    # --- your code: find the bug ---
    squares = np.einsum("kd,kde,ke->k", m - m_0, P, m - m_0)
    kl = 0.5 * (D * (beta_0 / beta - 1 - np.log(beta_0 / beta)) + beta_0 * squares)
    kl += 0.5 * nu_0 * (np.linalg.slogdet(W_0)[1] - np.linalg.slogdet(W)[1])
    kl += log_gamma(nu_0, D) - log_gamma(nu, D) + 0.5 * (nu - nu_0) * psi(nu, D)
    kl += 0.5 * np.einsum("kde,ked->k", np.linalg.inv(W_0), P) - 0.5 * nu * D
    return kl
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, draw

EQUATIONS = ["VBM.6"]

HINTS = [
    "Two densities make q: a Gaussian of the mean, given the precision, and one of the precision.",
    "Count the lines of the equation. The first is the Gaussian's; where are the Wishart's two?",
    "kl += 0.5 * nu_0 * (log_det(W_0) - log_det(W)) + log_gamma(nu_0, D) - log_gamma(nu, D), and "
    "then 0.5 * (nu - nu_0) * psi(nu, D), the trace of inverse(W_0) @ P, and ...",
]


def parts(m, beta, nu, W, m_0, beta_0, nu_0, W_0):
    """The summands of the equation, by name."""
    D, P = m.shape[1], nu[:, None, None] * W
    ratio, away = beta_0 / beta, m - m_0
    return {
        "the part of the two precisions of the mean": 0.5 * D * (ratio - 1 - np.log(ratio)),
        "the squared distance of the means": (
            0.5 * beta_0 * np.einsum("kd,kde,ke->k", away, P, away)
        ),
        "the difference of the log-determinants": (
            0.5 * nu_0 * (np.linalg.slogdet(W_0)[1] - np.linalg.slogdet(W)[1])
        ),
        "the difference of the log-gammas": log_gamma(nu_0, D) - log_gamma(nu, D),
        "the term with psi": 0.5 * (nu - nu_0) * psi(nu, D),
        "the trace": 0.5 * np.einsum("kde,ked->k", np.linalg.inv(W_0), P),
        "the term nu D / 2": -0.5 * nu * D,
    }


def of(*names, **changed):
    """The divergence of some of the summands only, or with others in their places."""

    def wrong(*inputs):
        found = parts(*inputs)
        kept = [value for name, value in found.items() if not any(n in name for n in names)]
        return sum(kept) + sum(f(*inputs) for f in changed.values())

    return wrong


WISHART = ("log-determinants", "log-gammas", "psi", "trace", "nu D")
GAUSSIAN = ("two precisions", "squared distance")
SUSPECTS = {
    "the Wishart's part is missing: what the precision costs is the larger half": of(*WISHART),
    "the Gaussian's part is missing: what the mean costs": of(*GAUSSIAN),
    "the squared distance has W where E[Lambda] = nu W is meant": of(
        "squared distance",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: (
            0.5 * b_0 * np.einsum("kd,kde,ke->k", m - m_0, W, m - m_0)
        ),
    ),
    "the squared distance has beta, where the prior's beta_0 is meant": of(
        "squared distance",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: (
            0.5 * b * np.einsum("kd,kde,ke->k", m - m_0, n[:, None, None] * W, m - m_0)
        ),
    ),
    "the trace has W where E[Lambda] = nu W is meant": of(
        "trace",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: (
            0.5 * np.einsum("kde,ked->k", np.linalg.inv(W_0), W)
        ),
    ),
    "the trace has W_0 where its inverse is meant": of(
        "trace",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: (
            0.5 * np.einsum("kde,ked->k", W_0, n[:, None, None] * W)
        ),
    ),
    "the log-determinants have nu, where the prior's nu_0 is meant": of(
        "log-determinants",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: (
            0.5 * n * (np.linalg.slogdet(W_0)[1] - np.linalg.slogdet(W)[1])
        ),
    ),
    "the log-determinants have the wrong sign": of(
        "log-determinants",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: (
            0.5 * n_0 * (np.linalg.slogdet(W)[1] - np.linalg.slogdet(W_0)[1])
        ),
    ),
    "the log-gammas have the wrong sign": of(
        "log-gammas",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: (
            log_gamma(n, m.shape[1]) - log_gamma(n_0, m.shape[1])
        ),
    ),
    "psi is taken at the prior's nu_0: the expectation is q's": of(
        "psi",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: 0.5 * (n - n_0) * psi(n_0, m.shape[1]),
    ),
    "the quotient beta_0 / beta is upside down": of(
        "two precisions",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: (
            0.5 * m.shape[1] * (b / b_0 - 1 - np.log(b / b_0))
        ),
    ),
    "the part of the two precisions of the mean is counted once, where each dimension has one": of(
        "two precisions",
        d=lambda m, b, n, W, m_0, b_0, n_0, W_0: 0.5 * (b_0 / b - 1 - np.log(b_0 / b)),
    ),
}
for name in WISHART + GAUSSIAN:
    (whole,) = (
        said for said in (
            "the part of the two precisions of the mean", "the squared distance of the means",
            "the difference of the log-determinants", "the difference of the log-gammas",
            "the term with psi", "the trace", "the term nu D / 2",
        ) if name in said
    )  # fmt: skip
    SUSPECTS[f"{whole} is missing"] = of(name)


def check(answer):
    A, B = draw(5, 3, 3, seed=2), draw(5, 3, 3, seed=6)
    check_function(
        answer.divergence,
        divergence,
        suspects=SUSPECTS,
        terms=parts,
        fixed=("beta", "nu", "W", "beta_0", "nu_0", "W_0"),
        repair=positive,
        tolerance=1e-6,
        m=draw(5, 3, seed=1),
        beta=draw(5, seed=3, low=1.0, high=9.0),
        nu=draw(5, seed=4, low=40.0, high=60.0),
        W=A @ A.swapaxes(1, 2) + np.eye(3),
        m_0=draw(5, 3, seed=5),
        beta_0=draw(5, seed=7, low=0.5, high=0.9),
        nu_0=draw(5, seed=8, low=30.0, high=39.0),
        W_0=B @ B.swapaxes(1, 2) + np.eye(3),
    )


def positive(inputs):
    """The same inputs with symmetric, positive definite matrices."""

    def mended(S):
        values, vectors = np.linalg.eigh(S + S.swapaxes(-1, -2))
        return (vectors * np.maximum(values / 2, 0.5)[..., None, :]) @ vectors.swapaxes(-1, -2)

    return {**inputs, "W": mended(inputs["W"]), "W_0": mended(inputs["W_0"])}


SQUARES = 'squares = np.einsum("kd,kde,ke->k", m - m_0, P, m - m_0)\n'
MEAN = "kl = 0.5 * (D * (beta_0 / beta - 1 - np.log(beta_0 / beta)) + beta_0 * squares)\n"
DETS = "kl += 0.5 * nu_0 * (np.linalg.slogdet(W_0)[1] - np.linalg.slogdet(W)[1])\n"
GAMMAS = "kl += log_gamma(nu_0, D) - log_gamma(nu, D) + 0.5 * (nu - nu_0) * psi(nu, D)\n"
TRACE = 'kl += 0.5 * np.einsum("kde,ked->k", np.linalg.inv(W_0), P) - 0.5 * nu * D\n'
RETURN = "return kl"

BUG = Wrong(SQUARES + MEAN + RETURN, "the Wishart's part is missing")

WRONG = [
    Wrong("kl = 0\n" + DETS + GAMMAS + TRACE + RETURN, "the Gaussian's part is missing"),
    Wrong(SQUARES + MEAN + GAMMAS + TRACE + RETURN, "log-determinants"),
    Wrong(SQUARES + MEAN + DETS + TRACE + RETURN, "log-gammas|psi"),
    Wrong(SQUARES + MEAN + DETS + GAMMAS + RETURN, "trace|nu D"),
    Wrong(SQUARES.replace("P,", "W,") + MEAN + DETS + GAMMAS + TRACE + RETURN,
          r"squared distance has W"),
    Wrong(SQUARES + MEAN.replace("beta_0 * squares", "beta * squares") + DETS + GAMMAS + TRACE
          + RETURN, "prior's beta_0"),
    Wrong(SQUARES + MEAN + DETS + GAMMAS + TRACE.replace("P)", "W)") + RETURN, "trace has W where"),
    Wrong(SQUARES + MEAN + DETS + GAMMAS + TRACE.replace("np.linalg.inv(W_0)", "W_0") + RETURN,
          "W_0 where its inverse"),
    Wrong(SQUARES + MEAN + DETS.replace("nu_0", "nu") + GAMMAS + TRACE + RETURN,
          "log-determinants have nu"),
    Wrong(SQUARES + MEAN + DETS.replace("+=", "-=") + GAMMAS + TRACE + RETURN,
          "log-determinants have the wrong sign|log-determinants has the wrong sign"),
    Wrong(SQUARES + MEAN + DETS + GAMMAS.replace("psi(nu, D)", "psi(nu_0, D)") + TRACE + RETURN,
          "prior's nu_0"),
    Wrong(SQUARES + MEAN.replace("beta_0 / beta", "beta / beta_0") + DETS + GAMMAS + TRACE
          + RETURN, "upside down"),
    Wrong(SQUARES + MEAN.replace("D * (", "(", 1) + DETS + GAMMAS + TRACE + RETURN,
          "each dimension has one"),
    Wrong(SQUARES + MEAN + DETS + GAMMAS + TRACE + "return kl.sum()", "shape|sum"),
]  # fmt: skip
