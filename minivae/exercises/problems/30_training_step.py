"""30 The gradient of a training step

A whole VAE with a linear decoder: codes by equation REP.1, the likelihood of
equation LIK.1, the KL of equation KL.5, and the loss of equation VAE.4 with
beta = 1 and one sample for each datum. No engine this time: write down the
gradient of the loss by the encoder's outputs and the decoder's parameters.
"""

import numpy as np


def forward(mu, log_var, W, b, x, eps):
    """The loss in nats per datum, with the codes ``(N, K)`` and the logits ``(N, D)``."""
    z = mu + np.exp(log_var / 2) * eps
    logits = z @ W + b
    log_likelihood = np.sum(x * logits - np.logaddexp(0, logits), axis=1)
    kl = 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)
    return np.mean(kl - log_likelihood), z, logits


def gradients(mu, log_var, W, b, x, eps):
    """Return the gradients of the loss by mu, log_var, W and b, in this order.

    mu, log_var, eps are ``(N, K)``, W is ``(K, D)``, b ``(D,)``, x ``(N, D)``.
    """
    _, z, logits = forward(mu, log_var, W, b, x, eps)
    N = len(x)
    p = 0.5 * (1 + np.tanh(logits / 2))  # the sigmoid
    # --- your code: return four arrays ---
    g_logits = (p - x) / N
    g_z = g_logits @ W.T
    g_mu = g_z + mu / N
    g_log_var = 0.5 * g_z * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N
    return g_mu, g_log_var, z.T @ g_logits, g_logits.sum(axis=0)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["VAE.4", "REP.1", "LIK.1", "KL.5"]
SECTION = "vae#objective-and-algorithm"

HINTS = [
    "Go backwards from the loss: to the logits, from there to W, b and z, from z to mu and "
    "log_var. mu and log_var are used twice, by z and by the KL: uses add up.",
    "By the logits the gradient is (p - x) / N. Behind a matrix product it is g_logits @ W.T by z "
    "and z.T @ g_logits by W. The KL has the slopes mu and (exp(log_var) - 1) / 2.",
    "g_mu = g_z + mu / N; g_log_var = 0.5 * g_z * eps * np.exp(log_var / 2) + the KL's part / N; "
    "then z.T @ g_logits and the sum of g_logits over the data.",
]


def suspect(g=None, mu=None, log_var=None, W=None):
    """The gradients as a mistake makes them, in parts; the rest right."""

    def wrong(m, v, weights, b, x, eps):
        _, z, logits = forward(m, v, weights, b, x, eps)
        p, N, sigma = 0.5 * (1 + np.tanh(logits / 2)), len(x), np.exp(v / 2)
        g_logits = (p - x) / N if g is None else g(p, x, N, logits)
        g_z = g_logits @ weights.T
        parts_mu = g_z, m / N
        parts_v = 0.5 * g_z * eps * sigma, 0.5 * (sigma**2 - 1) / N
        return (
            sum(parts_mu) if mu is None else mu(*parts_mu, N),
            sum(parts_v) if log_var is None else log_var(*parts_v, N, g_z, eps, sigma),
            z.T @ g_logits if W is None else W(g_logits, m, z, eps),
            g_logits.sum(axis=0),
        )

    return wrong


SUSPECTS = {
    "the likelihood's part has the wrong sign: the loss has minus log p(x | z)": suspect(
        g=lambda p, x, N, a: (x - p) / N
    ),
    "the data are not subtracted from p": suspect(g=lambda p, x, N, a: p / N),
    "the sigmoid is missing: the slope of the softplus is p, not the logit": suspect(
        g=lambda p, x, N, a: (a - x) / N
    ),
    "the likelihood's part is that by p and not by the logit: it is p - x": suspect(
        g=lambda p, x, N, a: (p - x) / (p * (1 - p)) / N
    ),
    "the factor p (1 - p) is too many: by the logit the slope is p - x itself": suspect(
        g=lambda p, x, N, a: (p - x) * p * (1 - p) / N
    ),
    "the likelihood's part is not divided by N, the loss is a mean over the data": suspect(
        g=lambda p, x, N, a: p - x
    ),
    "it lacks the KL's part: mu and log_var are used twice, and uses add up": suspect(
        mu=lambda a, k, N: a, log_var=lambda a, k, N, g, e, s: a
    ),
    "only the KL's part is there: mu and log_var act through z as well, and uses add up": suspect(
        mu=lambda a, k, N: k, log_var=lambda a, k, N, g, e, s: k
    ),
    "the KL's part is not divided by N, the other is": suspect(
        mu=lambda a, k, N: a + N * k, log_var=lambda a, k, N, g, e, s: a + N * k
    ),
    "the KL's part has the wrong sign": suspect(
        mu=lambda a, k, N: a - k, log_var=lambda a, k, N, g, e, s: a - k
    ),
    "the KL's part is twice what it should be: (exp(log_var) - 1) has a 1/2, mu has no 2": suspect(
        mu=lambda a, k, N: a + 2 * k, log_var=lambda a, k, N, g, e, s: a + 2 * k
    ),
    "the KL's part lacks its -1, the slope of -log_var": suspect(
        log_var=lambda a, k, N, g, e, s: a + 0.5 * s**2 / N
    ),
    "the part through z lacks the 1/2 of exp(log_var / 2)": suspect(
        log_var=lambda a, k, N, g, e, s: 2 * a + k
    ),
    "the part through z lacks eps": suspect(log_var=lambda a, k, N, g, e, s: 0.5 * g * s + k),
    "the part through z lacks sigma": suspect(log_var=lambda a, k, N, g, e, s: 0.5 * g * e + k),
    "the part through z has exp(log_var) for exp(log_var / 2): sigma against sigma squared": (
        suspect(log_var=lambda a, k, N, g, e, s: 0.5 * g * e * s**2 + k)
    ),
    "the part through z is that of sigma; by log_var it is half of that times sigma": suspect(
        log_var=lambda a, k, N, g, e, s: g * e + k
    ),
    "the part through z is that of mu": suspect(log_var=lambda a, k, N, g, e, s: g + k),
    "the decoder saw z, a sample, and not its mean mu": suspect(W=lambda g, m, z, e: m.T @ g),
    "the decoder saw z, and not eps": suspect(W=lambda g, m, z, e: e.T @ g),
}


def made(mu, log_var, W, b, x, eps, g, through, spread, noise, half, kl_mu, kl_v, kl_N, seen):
    _, z, logits = forward(mu, log_var, W, b, x, eps)
    p, N = 0.5 * (1 + np.tanh(logits / 2)), len(x)
    g_logits = g(p, x, N, logits)
    g_z = through(g_logits, W)
    g_mu = g_z + kl_mu(mu) * kl_N(N)
    path = half * g_z * noise(eps) * spread(log_var)
    return (
        g_mu,
        path + kl_v(log_var) * kl_N(N),
        seen(z, mu, eps).T @ g_logits,
        g_logits.sum(axis=0),
    )


SUSPECTS |= combined(
    made,
    g={
        "": lambda p, x, N, a: (p - x) / N,
        "the likelihood's part has the wrong sign": lambda p, x, N, a: (x - p) / N,
        "the likelihood's part is not divided by N": lambda p, x, N, a: p - x,
        "the likelihood's part is divided by N D: pixels are summed": lambda p, x, N, a: (
            (p - x) / x.size
        ),
        "the likelihood's part is divided by D, where it is by N": lambda p, x, N, a: (
            (p - x) / x.shape[1]
        ),
        "p (1 - p) stands where p is meant": lambda p, x, N, a: (p * (1 - p) - x) / N,
        "the likelihood's part has p (1 - p) too many": lambda p, x, N, a: (
            (p - x) * p * (1 - p) / N
        ),
        "the likelihood's part is twice what it should be: no square is there": (
            lambda p, x, N, a: 2 * (p - x) / N
        ),
        "x is not subtracted": lambda p, x, N, a: p / N,
    },
    through={
        "": lambda g, W: g @ W.T,
        "the part through z is missing": lambda g, W: 0.0 * (g @ W.T),
        "the part through z has the wrong sign": lambda g, W: -(g @ W.T),
        "W is not used on the way to z": lambda g, W: g.sum(axis=1, keepdims=True) + 0 * (g @ W.T),
    },
    spread={
        "": lambda v: np.exp(v / 2),
        "log_var: exp(log_var) for exp(log_var / 2), sigma against sigma squared": np.exp,
        "log_var: the path lacks sigma": np.ones_like,
        "log_var: the path is divided by sigma": lambda v: np.exp(-v / 2),
        "log_var: the path has log_var where sigma is meant": lambda v: v,
    },
    noise={
        "": lambda e: e,
        "log_var: the path lacks eps": np.ones_like,
        "log_var: the path has eps squared": np.square,
    },
    half={
        "": 0.5,
        "log_var: the path lacks its 1/2": 1.0,
        "log_var: the path has a 1/2 too many": 0.25,
    },
    kl_mu={
        "": lambda m: m,
        "mu: the KL's part is missing": lambda m: 0 * m,
        "mu: the KL's part has a 1/2 too many; the square's 2 cancels it": lambda m: m / 2,
        "mu: the KL's part has a 2 too many": lambda m: 2 * m,
        "mu: the KL's part has the square, not its derivative": np.square,
        "mu: the KL itself, and not its derivative": lambda m: m**2 / 2,
        "mu: the KL's part has the wrong sign": lambda m: -m,
    },
    kl_v={
        "": lambda v: (np.exp(v) - 1) / 2,
        "log_var: the KL's part is missing": lambda v: 0 * v,
        "log_var: the KL's part has the wrong sign": lambda v: (1 - np.exp(v)) / 2,
        "log_var: the KL's part lacks its 1/2": lambda v: np.exp(v) - 1,
        "log_var: the KL's part lacks its -1": lambda v: np.exp(v) / 2,
        "log_var: the KL's part has log_var where exp(log_var) is meant": lambda v: (v - 1) / 2,
        "log_var: the KL's part has exp(log_var / 2), sigma for sigma squared": lambda v: (
            (np.exp(v / 2) - 1) / 2
        ),
        "log_var: the KL itself, and not its derivative": lambda v: (np.exp(v) - 1 - v) / 2,
        "log_var: the KL's part is that of sigma": lambda v: np.exp(v / 2) - np.exp(-v / 2),
    },
    kl_N={
        "": lambda N: 1 / N,
        "the KL's part is not divided by N": lambda N: 1.0,
        "the KL's part is multiplied by N, where it is divided": lambda N: float(N),
        "the KL's part is divided by N twice": lambda N: 1 / N**2,
    },
    seen={
        "": lambda z, m, e: z,
        "W: the decoder saw z, and not its mean mu": lambda z, m, e: m,
        "W: the decoder saw z, and not the noise": lambda z, m, e: e,
    },
)
SUSPECTS |= {
    "mu: the KL's part has z where mu is meant": lambda mu, log_var, W, b, x, eps: (
        gradients(mu, log_var, W, b, x, eps)[0] + np.exp(log_var / 2) * eps / len(x),
    ),
    "log_var: z itself stands where z - mu is meant": lambda mu, log_var, W, b, x, eps: (
        None,
        gradients(mu, log_var, W, b, x, eps)[1]
        + 0.5 * (gradients(mu, log_var, W, b, x, eps)[0] - mu / len(x)) * mu,
    ),
    "log_var: g_mu stands where g_z is meant; mu's part of the KL does not come through z": (
        lambda mu, log_var, W, b, x, eps: (
            None,
            gradients(mu, log_var, W, b, x, eps)[1] + 0.5 * mu * eps * np.exp(log_var / 2) / len(x),
        )
    ),
    "the sign of the whole is wrong: this is the gradient of the bound, not of the loss": (
        lambda *inputs: tuple(-g for g in gradients(*inputs))
    ),
}


def check(answer):
    check_function(
        answer.gradients,
        gradients,
        suspects=SUSPECTS,
        names=("g_mu", "g_log_var", "g_W", "g_b"),
        mu=draw(7, 3, seed=1),
        log_var=draw(7, 3, seed=2),
        W=draw(3, 5, seed=3),
        b=draw(5, seed=4),
        x=(draw(7, 5, seed=5) > 0).astype(float),
        eps=draw(7, 3, seed=6),
    )


G = "g_logits = (p - x) / N\ng_z = g_logits @ W.T\n"
MU = "g_mu = g_z + mu / N\n"
LOG_VAR = "g_log_var = 0.5 * g_z * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N\n"
RETURN = "return g_mu, g_log_var, z.T @ g_logits, g_logits.sum(axis=0)"

WRONG = [
    Wrong(G + "g_mu = g_z\n" + LOG_VAR + RETURN, "lacks the KL's part"),
    Wrong(
        G + MU + "g_log_var = 0.5 * g_z * eps * np.exp(log_var / 2)\n" + RETURN,
        "lacks the KL's part",
    ),
    Wrong(G + "g_mu = mu / N\n" + LOG_VAR + RETURN, "only the KL's part"),
    Wrong(G + "g_mu = g_z + mu\n" + LOG_VAR + RETURN, "KL's part is not divided by N"),
    Wrong(
        "g_logits = p - x\ng_z = g_logits @ W.T\n" + MU + LOG_VAR + RETURN,
        "likelihood's part is not divided",
    ),
    Wrong(
        "g_logits = (x - p) / N\ng_z = g_logits @ W.T\n" + MU + LOG_VAR + RETURN,
        "likelihood's part has the wrong sign",
    ),
    Wrong(
        G
        + MU
        + "g_log_var = g_z * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / N\n"
        + RETURN,
        "lacks the 1/2",
    ),
    Wrong(
        G
        + MU
        + "g_log_var = 0.5 * g_z * eps * np.exp(log_var) + 0.5 * (np.exp(log_var) - 1) / N\n"
        + RETURN,
        "sigma against sigma squared",
    ),
    Wrong(
        G
        + MU
        + "g_log_var = 0.5 * g_z * eps * np.exp(log_var / 2) + (np.exp(log_var) - 1) / N\n"
        + RETURN,
        "KL's part is twice",
    ),
    Wrong(
        G
        + MU
        + "g_log_var = 0.5 * g_z * eps * np.exp(log_var / 2) + 0.5 * np.exp(log_var) / N\n"
        + RETURN,
        "lacks its -1",
    ),
    Wrong(
        G + MU + LOG_VAR + "return g_mu, g_log_var, mu.T @ g_logits, g_logits.sum(axis=0)",
        "and not its mean",
    ),
    Wrong(
        G + MU + LOG_VAR + "return g_mu, g_log_var, z.T @ g_logits, g_logits.mean(axis=0)",
        "g_b.*mean|7",
    ),
    Wrong(
        G + MU + LOG_VAR + "return g_mu, g_log_var, g_logits.T @ z, g_logits.sum(axis=0)",
        "transposed",
    ),
    Wrong(G + MU + LOG_VAR + "return g_mu, g_log_var, z.T @ g_logits, g_logits", "shape|sum"),
    Wrong(
        "g_logits = (logits - x) / N\ng_z = g_logits @ W.T\n" + MU + LOG_VAR + RETURN,
        "sigmoid is missing",
    ),
    Wrong(
        G + MU + "g_log_var = 0.5 * g_z * z + 0.5 * (np.exp(log_var) - 1) / N\n" + RETURN,
        "z itself stands",
    ),
    Wrong(
        "g_logits = (p - x) / 7\n"
        "g_z = g_logits @ W.T\n"
        "g_log_var = 0.5 * g_z * eps * np.exp(log_var / 2) + 0.5 * (np.exp(log_var) - 1) / 7\n"
        "return g_z + mu / 7, g_log_var, z.T @ g_logits, g_logits.sum(axis=0)",
        "does a number stand in the code",
    ),
    Wrong(
        "g_logits = (p - x) / N\n"
        "g_z = g_logits @ W\n"
        "return g_z + mu / N, g_z, z.T @ g_logits, g_logits.sum(axis=0)",
        "a transpose?",
    ),
]
