"""15 The ELBO of one datum

For a datum x the encoder gives mu and log_var, (K,), from which S codes were
drawn; the decoder gave the logits of each of them. The ELBO is the mean over
the draws of log p(x | z), less the KL divergence from the prior in closed form,
equation ELBO.4. It is a number in nats.
"""

import numpy as np


def log_likelihood(x, logits):
    """Compute log p(x | z_s) of each draw, (S,): Bernoulli, x is (D,), logits are (S, D)."""
    return np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)


def kl(mu, log_var):
    """Compute KL(q(z | x) || N(0, I)), a number."""
    return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var)


def elbo(x, logits, mu, log_var):
    """Return the estimate of the ELBO, a number: x (D,), logits (S, D), mu and log_var (K,)."""
    # --- your code: return a number ---
    return np.mean(log_likelihood(x, logits)) - kl(mu, log_var)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["ELBO.4", "ELBO.5"]
SECTION = "kl_and_elbo#two-terms"

HINTS = [
    "The two functions above are all you need. Which of the two terms is an expectation that has "
    "to be estimated from the draws, and which is known exactly?",
    "Reconstruction less KL: the mean of log p(x | z) over the S draws, minus the divergence. What "
    "is maximised is the ELBO; a loss would be its negative.",
    "np.mean(log_likelihood(...)) - kl(...)",
]


def terms(x, logits, mu, log_var):
    return {
        "E_q[log p(x|z)]": np.mean(log_likelihood(x, logits)),
        "-KL": -kl(mu, log_var),
    }


def combine(first, second):
    def wrong(x, logits, mu, log_var):
        return first(log_likelihood(x, logits)) + second(kl(mu, log_var))

    return wrong


SUSPECTS = {
    "the negative ELBO, a loss, where the ELBO itself is asked for": combine(
        lambda r: -np.mean(r), lambda k: k
    ),
    "the KL is added, where it is subtracted": combine(np.mean, lambda k: k),
    "the KL is missing: this is the reconstruction term alone": combine(np.mean, lambda k: 0.0),
    "the reconstruction term is missing: this is minus the KL": combine(
        lambda r: 0.0, lambda k: -k
    ),
    "the sum over the draws, where their mean estimates the expectation": combine(
        np.sum, lambda k: -k
    ),
    "the log of the mean likelihood, where the mean of its log is meant: this is no ELBO": combine(
        lambda r: np.logaddexp.reduce(r) - np.log(len(r)), lambda k: -k
    ),
    "the reconstruction term has the wrong sign: its negative, the cross-entropy, is a loss": (
        combine(lambda r: -np.mean(r), lambda k: -k)
    ),
    "the logits are averaged before the likelihood; it is the log-likelihoods that are": (
        lambda x, logits, mu, log_var: (
            log_likelihood(x, logits.mean(axis=0, keepdims=True))[0] - kl(mu, log_var)
        )
    ),
    "the terms are multiplied, where the KL is subtracted": lambda x, logits, mu, log_var: (
        np.mean(log_likelihood(x, logits)) * kl(mu, log_var)
    ),
    "the log-likelihood is exponentiated: the ELBO has its logarithm": combine(
        lambda r: np.exp(np.mean(r)), lambda k: -k
    ),
    "the likelihoods are averaged, with no logarithm": combine(
        lambda r: np.mean(np.exp(r)), lambda k: -k
    ),
    "x and the logits are exchanged: log_likelihood takes x first": (
        lambda x, logits, mu, log_var: np.mean(log_likelihood(logits, x)) - kl(mu, log_var)
    ),
    "zeros and ones are exchanged in x": lambda x, logits, mu, log_var: (
        np.mean(log_likelihood(1 - x, logits)) - kl(mu, log_var)
    ),
    "only the first draw is used": combine(lambda r: r[0], lambda k: -k),
    "only the last draw is used": combine(lambda r: r[-1], lambda k: -k),
    "the KL is divided by the number of draws, but it is exact": lambda x, logits, mu, log_var: (
        np.mean(log_likelihood(x, logits)) - kl(mu, log_var) / len(logits)
    ),
    "the KL is counted once for each draw": lambda x, logits, mu, log_var: (
        np.mean(log_likelihood(x, logits)) - kl(mu, log_var) * len(logits)
    ),
    "the reconstruction is averaged over the pixels too, where their log-likelihoods add up: it is "
    "D times too small beside the KL": lambda x, logits, mu, log_var: (
        np.mean(log_likelihood(x, logits)) / len(x) - kl(mu, log_var)
    ),
    "the KL is averaged over the latent dimensions, where it is their sum": (
        lambda x, logits, mu, log_var: (
            np.mean(log_likelihood(x, logits)) - kl(mu, log_var) / len(mu)
        )
    ),
    "mu and log_var are exchanged in the KL": lambda x, logits, mu, log_var: (
        np.mean(log_likelihood(x, logits)) - kl(log_var, mu)
    ),
    "log_var is doubled in the KL: sigma against sigma squared": (
        lambda x, logits, mu, log_var: np.mean(log_likelihood(x, logits)) - kl(mu, 2 * log_var)
    ),
    "log_var is halved in the KL: sigma against sigma squared": lambda x, logits, mu, log_var: (
        np.mean(log_likelihood(x, logits)) - kl(mu, log_var / 2)
    ),
    "exp(log_var) is handed to the KL, which takes log_var itself": (
        lambda x, logits, mu, log_var: np.mean(log_likelihood(x, logits)) - kl(mu, np.exp(log_var))
    ),
    "the KL has a weight 2": combine(np.mean, lambda k: -2 * k),
    "the median of the draws, where their mean is meant": combine(np.median, lambda k: -k),
    "the best draw alone, where the mean is meant": combine(np.max, lambda k: -k),
    "the KL has a weight 1/2": combine(np.mean, lambda k: -k / 2),
}


def made(x, logits, mu, log_var, first, second, weight):
    return first(log_likelihood(x, logits), len(x)) - weight(logits, mu) * second(mu, log_var)


SUSPECTS |= combined(
    made,
    first={
        "": lambda r, D: np.mean(r),
        "the sum over the draws, where their mean is meant": lambda r, D: np.sum(r),
        "only the first draw is used": lambda r, D: r[0],
        "the best draw alone": lambda r, D: r.max(),
        "the reconstruction is averaged over the pixels": lambda r, D: np.mean(r) / D,
        "the reconstruction has the wrong sign": lambda r, D: -np.mean(r),
        "the reconstruction is missing": lambda r, D: 0.0,
    },
    second={
        "": kl,
        "mu and log_var are exchanged in the KL": lambda m, v: kl(v, m),
        "log_var is doubled in the KL": lambda m, v: kl(m, 2 * v),
        "log_var is halved in the KL": lambda m, v: kl(m, v / 2),
        "exp(log_var) is handed to the KL, which takes log_var itself": lambda m, v: kl(
            m, np.exp(v)
        ),
        "exp is missing in the KL": lambda m, v: 0.5 * np.sum(m**2 - 1),
        "mu is missing in the KL": lambda m, v: kl(0 * m, v),
        "the KL is missing": lambda m, v: 0.0,
    },
    weight={
        "": lambda a, m: 1.0,
        "the KL has the wrong sign": lambda a, m: -1.0,
        "the KL has a weight 2": lambda a, m: 2.0,
        "the KL has a weight 1/2": lambda a, m: 0.5,
        "the KL is divided by the number of draws": lambda a, m: 1 / len(a),
        "the KL is counted once for each draw": lambda a, m: float(len(a)),
        "the KL is averaged over the latent dimensions": lambda a, m: 1 / len(m),
    },
)


def check(answer):
    x = (draw(7, seed=4) > 0).astype(float)
    check_function(
        answer.elbo, elbo, names=("the ELBO",), terms=terms, suspects=SUSPECTS,
        x=x, logits=draw(5, 7, seed=5), mu=1.5 * draw(3), log_var=draw(3, seed=1),
    )  # fmt: skip


WRONG = [
    Wrong("return np.mean(log_likelihood(x, logits)) + kl(mu, log_var)", "KL is added"),
    Wrong("return kl(mu, log_var) - np.mean(log_likelihood(x, logits))", "negative ELBO"),
    Wrong("return np.sum(log_likelihood(x, logits)) - kl(mu, log_var)", "sum over the draws"),
    Wrong("return np.mean(log_likelihood(x, logits))", "KL is missing"),
    Wrong("return log_likelihood(x, logits) - kl(mu, log_var)", "mean over axis 0 is missing"),
    Wrong("return np.mean(log_likelihood(x, logits)) - kl(log_var, mu)", "exchanged in the KL"),
    Wrong(
        "return np.mean(log_likelihood(x, logits)) - kl(mu, np.exp(log_var))", "handed to the KL"
    ),
    Wrong(
        "return np.mean(log_likelihood(x, logits)) - kl(mu, log_var) / len(mu)", "latent dimensions"
    ),
    Wrong(
        "return np.log(np.mean(np.exp(log_likelihood(x, logits)))) - kl(mu, log_var)",
        "no ELBO",
    ),
    Wrong("return log_likelihood(x, logits)[0] - kl(mu, log_var)", "first draw"),
    Wrong(
        "return np.mean(log_likelihood(x, logits)) / len(x) - kl(mu, log_var)", "D times too small"
    ),
    Wrong(
        "return -np.mean(log_likelihood(x, logits)) - kl(mu, log_var)", "reconstruction term has"
    ),
    Wrong("return np.mean(log_likelihood(logits, x)) - kl(mu, log_var)", "are exchanged"),
    Wrong("return np.mean(np.log(log_likelihood(x, logits))) - kl(mu, log_var)", "the ELBO is nan"),
    Wrong("return -np.inf", "the ELBO is -inf"),
    Wrong("return np.float32(np.mean(log_likelihood(x, logits)) - kl(mu, log_var))", "float32"),
    Wrong(
        "return np.mean(log_likelihood(x, logits[:5])[:-1]) - kl(mu, log_var)",
        "last index of axis 0",
    ),
]
