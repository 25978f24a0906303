"""21 The KL to a mixture prior

With a mixture for the prior the KL has no closed form. Its entropy has, equation
GAUSS.3; the other half is a mean over samples, equation PRIOR.2, of the
mixture's log-density, equation PRIOR.1.
"""

import numpy as np


def log_sum_exp(a):
    """log sum exp over the last axis."""
    top = a.max(axis=-1)
    return top + np.log(np.exp(a - top[..., None]).sum(axis=-1))


def kl_to_mixture(log_var, log_pi, log_components):
    """Estimate KL(q(z | x_n) || p) for each datum, ``(N,)``, in nats.

    log_var ``(N, K)`` belongs to q, log_pi ``(C,)`` to the mixture; log_components
    ``(S, N, C)`` is log N(z_s; m_c, L_c L_c^T) at S samples of each q.
    """
    # --- your code: return an array of N numbers ---
    entropy = 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)
    log_prior = log_sum_exp(log_pi + log_components)
    return -entropy - np.mean(log_prior, axis=0)
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["GAUSS.3", "PRIOR.1", "PRIOR.2"]
SECTION = "mixtures_and_em#where-the-two-models-meet"

HINTS = [
    "Three steps: the entropy of each q, from its log-variances; log p(z_s) of each sample; the "
    "mean over the samples. Which axis is which?",
    "log p(z) is log sum_c pi_c N_c: add log_pi, then log_sum_exp over components. Average that "
    "over axis 0, the samples. The logarithm stands inside the mean.",
    "return -0.5 * np.sum(1 + log 2 pi + log_var, axis=1) - np.mean(log_sum_exp(...), axis=0)",
]


def entropy(log_var):
    return 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)


def prior(log_pi, log_components):
    return np.mean(log_sum_exp(log_pi + log_components), axis=0)


def terms(log_var, log_pi, log_components):
    return {
        "the entropy, -H(q)": -entropy(log_var),
        "the prior, -mean log p(z)": -prior(log_pi, log_components),
    }


SUSPECTS = {
    "the weights pi are left out of the mixture": lambda v, p, c: -entropy(v) - prior(0 * p, c),
    "the logarithm is taken after the mean over samples; it belongs inside": lambda v, p, c: (
        -entropy(v) - np.log(np.mean(np.exp(log_sum_exp(p + c)), axis=0))
    ),
    "the components' log-densities are averaged with pi; the logarithm of the sum is "
    "meant": lambda v, p, c: -entropy(v) - np.mean(np.sum(np.exp(p) * c, axis=2), axis=0),
    "the log-joints are summed over components; it is their exponentials that add "
    "up": lambda v, p, c: -entropy(v) - np.mean(np.sum(p + c, axis=2), axis=0),
    "only the nearest component counts, a maximum for log-sum-exp": lambda v, p, c: (
        -entropy(v) - np.mean(np.max(p + c, axis=2), axis=0)
    ),
    "the log 2 pi is missing in the entropy": lambda v, p, c: (
        -0.5 * np.sum(1 + v, axis=1) - prior(p, c)
    ),
    "the 1 is missing in the entropy, the mean of eps**2": lambda v, p, c: (
        -0.5 * np.sum(np.log(2 * np.pi) + v, axis=1) - prior(p, c)
    ),
    "the constant 1 + log 2 pi is counted once, where every dimension has one": lambda v, p, c: (
        -0.5 * (1 + np.log(2 * np.pi) + np.sum(v, axis=1)) - prior(p, c)
    ),
    "the factor 1/2 is missing in the entropy": lambda v, p, c: -2 * entropy(v) - prior(p, c),
    "the entropy is a mean over dimensions; they add up": lambda v, p, c: (
        -entropy(v) / v.shape[1] - prior(p, c)
    ),
    "the entropy has exp(log_var): it needs the log-variance as it is": lambda v, p, c: (
        -entropy(np.exp(v)) - prior(p, c)
    ),
    "the log-variance is halved twice in the entropy: log_var is log sigma**2": lambda v, p, c: (
        -entropy(v / 2) - prior(p, c)
    ),
    "this is minus the KL": lambda v, p, c: entropy(v) + prior(p, c),
    "summed over the samples, where a mean is meant": lambda v, p, c: (
        -entropy(v) - len(c) * prior(p, c)
    ),
    "the prior is the cross-entropy alone: the entropy of q is missing": lambda v, p, c: (
        -prior(p, c)
    ),
    "averaged over data and samples: each datum has its own KL": lambda v, p, c: (
        -entropy(v) - np.mean(prior(p, c))
    ),
}


def made(log_var, log_pi, log_components, one, two_pi, spread, factor, mix, average):
    K = log_var.shape[1]
    h = factor * (one(K) + two_pi(K) + spread(log_var))
    return -h - average(mix(log_pi, log_components))


SUSPECTS |= combined(
    made,
    one={
        "": lambda K: K,
        "the entropy lacks its 1": lambda K: 0,
        "the 1 of the entropy has the wrong sign": lambda K: -K,
        "the 1 of the entropy is counted once, where every dimension has one": lambda K: 1,
    },
    two_pi={
        "": lambda K: K * np.log(2 * np.pi),
        "the entropy lacks log 2 pi": lambda K: 0,
        "the entropy has log pi for log 2 pi": lambda K: K * np.log(np.pi),
        "the entropy has 2 pi, and not its logarithm": lambda K: 2 * np.pi * K,
        "the entropy has log 2 pi once, where every dimension has one": lambda K: np.log(2 * np.pi),
        "log 2 pi has the wrong sign in the entropy": lambda K: -K * np.log(2 * np.pi),
    },
    spread={
        "": lambda v: v.sum(axis=1),
        "the entropy has exp(log_var) where log_var is meant": lambda v: np.exp(v).sum(axis=1),
        "the entropy has a logarithm too many: log_var is one already": lambda v: np.log(v**2).sum(
            axis=1
        ),
        "the entropy is summed over the data too: each datum has its own": lambda v: (
            v.sum() + (len(v) - 1) * v.shape[1] * (1 + np.log(2 * np.pi))
        ),
        "the log-variances are summed over the data too: each datum has its own": lambda v: v.sum(),
        "the log-variances are halved twice": lambda v: v.sum(axis=1) / 2,
        "the log-variances are counted twice": lambda v: 2 * v.sum(axis=1),
        "the log-variances have the wrong sign": lambda v: -v.sum(axis=1),
        "the log-variances are missing": lambda v: 0,
        "the log-variances are averaged over the dimensions, where they add up": lambda v: v.mean(
            axis=1
        ),
    },
    factor={
        "": 0.5,
        "the entropy lacks its 1/2": 1.0,
        "the entropy has the wrong sign": -0.5,
        "the entropy is missing": 0.0,
        "the entropy has a 1/2 too many": 0.25,
    },
    mix={
        "": lambda p, c: log_sum_exp(p + c),
        "the weights pi are left out of the mixture": lambda p, c: log_sum_exp(c),
        "log_pi is exponentiated and multiplied: log pi is added to log N": lambda p, c: (
            log_sum_exp(np.exp(p) * c)
        ),
        "pi is added, where log pi is meant": lambda p, c: log_sum_exp(np.exp(p) + c),
        "this is p(z), and not its logarithm": lambda p, c: np.exp(log_sum_exp(p + c)),
        "a mean over the components, divided by C: the weights pi do that already": lambda p, c: (
            log_sum_exp(p + c) - np.log(len(p))
        ),
        "the joint log-densities are averaged over the components": lambda p, c: (p + c).mean(
            axis=2
        ),
        "only the nearest component counts": lambda p, c: (p + c).max(axis=2),
        "the log-densities are averaged with pi": lambda p, c: np.sum(np.exp(p) * c, axis=2),
        "log p(z) has the wrong sign": lambda p, c: -log_sum_exp(p + c),
        "log p(z) is missing": lambda p, c: 0 * c[..., 0],
    },
    average={
        "": lambda a: a.mean(axis=0),
        "summed over the samples": lambda a: a.sum(axis=0),
        "the first sample alone": lambda a: a[0],
        "the last sample alone": lambda a: a[-1],
        "the mean is taken before the logarithm": lambda a: np.log(np.exp(a).mean(axis=0)),
        "the largest of the samples": lambda a: a.max(axis=0),
    },
)
SUSPECTS |= {
    "the components' log-densities are averaged over the samples first; log p(z) of each sample "
    "comes before that mean": lambda v, p, c: -entropy(v) - log_sum_exp(p + c.mean(axis=0)),
    "this is the KL to N(0, I) without its mean; the prior here is a mixture": lambda v, p, c: (
        0.5 * np.sum(np.exp(v) - 1 - v, axis=1)
    ),
}


def check(answer):
    check_function(
        answer.kl_to_mixture,
        kl_to_mixture,
        terms=terms,
        suspects=SUSPECTS,
        log_var=draw(4, 6, seed=1),
        log_pi=np.log([0.1, 0.15, 0.2, 0.25, 0.3]),
        log_components=draw(3, 4, 5, seed=2) - 2.0,
    )
    check_function(
        answer.kl_to_mixture,
        kl_to_mixture,
        elsewhere={
            "for samples far from every component: their densities underflow to 0; log_sum_exp is "
            "given for that": {"log_components": draw(3, 4, 5, seed=3) - 1500.0},
            "where log_var is -30 or 30: it was clipped, or something was added": {
                "log_var": draw(4, 6, seed=4) + 30.0 * np.sign(draw(4, 6, seed=5)),
            },
        },
        repair=weighted,
        log_var=draw(4, 6, seed=1),
        log_pi=np.log([0.1, 0.15, 0.2, 0.25, 0.3]),
        log_components=draw(3, 4, 5, seed=2) - 1.0,
    )


def weighted(inputs):
    """The same inputs with weights that sum to 1."""
    return {**inputs, "log_pi": inputs["log_pi"] - log_sum_exp(inputs["log_pi"])}


ENTROPY = "entropy = 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)\n"
PRIOR = "log_prior = log_sum_exp(log_pi + log_components)\n"
RETURN = "return -entropy - np.mean(log_prior, axis=0)"

WRONG = [
    Wrong(ENTROPY + "log_prior = log_sum_exp(log_components)\n" + RETURN, "pi are left out"),
    Wrong(ENTROPY + PRIOR + "return entropy - np.mean(log_prior, axis=0)", "entropy.*sign"),
    Wrong(ENTROPY + PRIOR + "return entropy + np.mean(log_prior, axis=0)", "minus the KL|sign"),
    Wrong(
        ENTROPY + PRIOR + "return -entropy + np.mean(log_prior, axis=0)",
        "log p.z. has the wrong sign",
    ),
    Wrong(ENTROPY + PRIOR + "return -np.mean(log_prior, axis=0)", "entropy.* missing"),
    Wrong("return -0.5 * np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)", "log p.z. is missing"),
    Wrong(ENTROPY + PRIOR + "return -entropy - np.sum(log_prior, axis=0)", "over the samples|3"),
    Wrong(
        ENTROPY + PRIOR + "return -entropy - np.log(np.mean(np.exp(log_prior), axis=0))",
        "belongs inside",
    ),
    Wrong(
        ENTROPY + "log_prior = np.sum(np.exp(log_pi) * log_components, axis=2)\n" + RETURN,
        "averaged with pi",
    ),
    Wrong("entropy = 0.5 * np.sum(1 + log_var, axis=1)\n" + PRIOR + RETURN, "log 2 pi"),
    Wrong("entropy = 0.5 * np.sum(np.log(2 * np.pi) + log_var, axis=1)\n" + PRIOR + RETURN, "1 is"),
    Wrong("entropy = np.sum(1 + np.log(2 * np.pi) + log_var, axis=1)\n" + PRIOR + RETURN, "1/2"),
    Wrong(
        ENTROPY + "log_prior = np.log(np.sum(np.exp(log_pi + log_components), axis=2))\n" + RETURN,
        "underflow",
    ),
    Wrong(ENTROPY + "log_prior = np.max(log_pi + log_components, axis=2)\n" + RETURN, "maximum"),
    Wrong(
        "entropy = 0.5 * np.sum(1 + np.log(2 * np.pi) + log_var)\n" + PRIOR + RETURN,
        "entropy is summed over the data",
    ),
    Wrong(
        ENTROPY + "return -entropy - np.mean(log_pi + log_components, axis=(0, 2))",
        "averaged over the components",
    ),
]
