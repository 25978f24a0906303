"""14 Reparameterisation

z = mu + sigma * eps with eps ~ N(0, I) is a draw from N(mu, diag(sigma**2))
that can be differentiated by mu and log_var, equation REP.1: sigma =
exp(log_var / 2). When the cotangent g of z comes back, the noise eps is a
number like any other.
"""

import numpy as np


def sample(mu, log_var, eps):
    """Compute z, of the shape of mu, log_var and eps."""
    return mu + np.exp(log_var / 2) * eps


def sample_vjp(g, out, mu, log_var, eps):
    """Return the cotangents of mu and of log_var, in this order; all arrays have one shape."""
    # --- your code: return two arrays ---
    return g, g * 0.5 * np.exp(log_var / 2) * eps
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, call, check_function, check_vjp, combined, draw, named

EQUATIONS = ["REP.1", "REP.2"]
SECTION = "reparameterisation#moving-the-parameters-into-the-function"

HINTS = [
    "Both derivatives are element-wise. mu enters as it is; log_var enters through "
    "exp(log_var / 2).",
    "The chain rule on exp(log_var / 2) gives a factor 1/2 and the exponential itself; eps stays "
    "as the factor that it is in z.",
    "return g, g * 0.5 * np.exp(...) * eps",
]


def check(answer):
    eps = draw(5, 3, seed=2)

    def forward(mu, log_var):
        return sample(mu, log_var, eps)

    def right(g, out, mu, log_var):
        return sample_vjp(g, out, mu, log_var, eps)

    @named("sample_vjp")
    def vjp(g, out, mu, log_var):
        return call(answer.sample_vjp, g, out, mu, log_var, eps)

    def second(factor):
        return lambda g, out, mu, log_var: (g, g * factor(log_var))

    sigma = "sigma against sigma squared"
    suspects = {
        "the factor 1/2 of log_var / 2 is missing": second(lambda v: np.exp(v / 2) * eps),
        "the noise eps is missing from the gradient of log_var": second(
            lambda v: 0.5 * np.exp(v / 2)
        ),
        "both the factor 1/2 and the noise eps are missing from the gradient of log_var": second(
            lambda v: np.exp(v / 2)
        ),
        f"exp(log_var) is the variance, where sigma = exp(log_var / 2) is meant: {sigma}": second(
            lambda v: 0.5 * np.exp(v) * eps
        ),
        f"exp(log_var) is the variance, and the factor 1/2 is missing: {sigma}": second(
            lambda v: np.exp(v) * eps
        ),
        "this is the gradient of sigma: the step from sigma to log_var is missing": second(
            lambda v: np.broadcast_to(eps, v.shape)
        ),
        "the sigma is missing: the derivative of an exponential is the exponential again": second(
            lambda v: 0.5 * eps * np.ones_like(v)
        ),
        "log_var is differentiated as if it were sigma's own root: sigma is divided by": second(
            lambda v: 0.5 * eps * np.exp(-v / 2)
        ),
        "the cotangents are exchanged: mu's comes first": lambda g, out, mu, v: (
            g * 0.5 * np.exp(v / 2) * eps,
            g,
        ),
    }
    suspects |= combined(
        lambda g, out, mu, v, first, spread, noise, half, back: (
            back(g, out) * first(mu, v),
            back(g, out) * half * spread(v) * noise(mu),
        ),
        first={
            "": lambda m, v: np.ones_like(m),
            "mu: its cotangent is multiplied by eps; z moves with mu one to one": lambda m, v: eps,
            "mu: its cotangent is multiplied by mu; z moves with mu one to one": lambda m, v: m,
            "mu: its cotangent is multiplied by sigma; z moves with mu one to one": (
                lambda m, v: np.exp(v / 2)
            ),
            "mu: its cotangent is missing": lambda m, v: 0 * m,
        },
        spread={
            "": lambda v: np.exp(v / 2),
            "log_var: it stands itself where sigma = exp(log_var / 2) is meant": lambda v: v,
            "log_var: its half stands where sigma = exp(log_var / 2) is meant": lambda v: v / 2,
            "log_var: sigma is missing": np.ones_like,
            f"log_var: exp(log_var) is the variance: {sigma}": np.exp,
            "log_var: divided by sigma": lambda v: np.exp(-v / 2),
            "log_var: the rule for powers was used; an exponential keeps its exponent": (
                lambda v: v / 2 * np.exp(v / 2 - 1)
            ),
            "log_var: a factor log_var is too many": lambda v: v * np.exp(v / 2),
        },
        noise={
            "": lambda m: eps,
            "log_var: eps is missing": np.ones_like,
            "log_var: eps is squared": lambda m: eps**2,
            "log_var: this is the score, (eps^2 - 1) / 2, where the path is meant": lambda m: (
                eps**2 - 1
            ),
            "log_var: mu is added to eps; it does not depend on log_var": lambda m: m + eps,
        },
        half={"": 0.5, "log_var: the 1/2 is missing": 1.0, "log_var: the 1/2 is there twice": 0.25},
        back={
            "": lambda g, out: g,
            "the cotangent g is left out": lambda g, out: np.ones_like(g),
            "out stands where g is meant": lambda g, out: out,
        },
    )
    suspects |= {
        "log_var: z itself stands where z - mu is meant": lambda g, out, mu, v: (g, 0.5 * g * out),
        "log_var: z stands where the noise eps is meant": lambda g, out, mu, v: (
            g,
            0.5 * g * np.exp(v / 2) * out,
        ),
    }
    check_vjp(
        vjp, forward, right, suspects=suspects, resized=False,
        mu=draw(5, 3), log_var=draw(5, 3, seed=1),
    )  # fmt: skip
    check_function(
        answer.sample_vjp, sample_vjp, names=("mu's cotangent", "log_var's cotangent"),
        repair=with_z, g=draw(4, 3, seed=3), out=draw(4, 3, seed=4), mu=draw(4, 3),
        log_var=draw(4, 3, seed=1), eps=draw(4, 3, seed=2),
    )  # fmt: skip


def with_z(inputs):
    """The same inputs with the z that belongs to them."""
    return {**inputs, "out": sample(inputs["mu"], inputs["log_var"], inputs["eps"])}


WRONG = [
    Wrong("return g, g * np.exp(log_var / 2) * eps", "factor 1/2 .* missing"),
    Wrong("return g, g * 0.5 * np.exp(log_var / 2)", "noise eps is missing"),
    Wrong("return g, g * 0.5 * np.exp(log_var) * eps", "sigma against sigma squared"),
    Wrong("return g, g * eps", "gradient of sigma"),
    Wrong("return g, -g * 0.5 * np.exp(log_var / 2) * eps", "wrong sign"),
    Wrong("return g, np.zeros_like(g)", "gradient of log_var is zero"),
    Wrong(
        "return np.zeros_like(g), g * 0.5 * np.exp(log_var / 2) * eps",
        "mu: its cotangent is missing",
    ),
    Wrong("return g * mu, g * 0.5 * np.exp(log_var / 2) * eps", "multiplied by mu"),
    Wrong("return g * 0.5 * np.exp(log_var / 2) * eps, g", "exchanged"),
    Wrong("return np.ones_like(g), 0.5 * np.exp(log_var / 2) * eps", "cotangent g is left out"),
    Wrong("return g, g * 0.5 * (mu + np.exp(log_var / 2) * eps)", "z itself"),
    Wrong("return g, g * 0.5 * np.exp(log_var / 2) * np.random.normal(size=g.shape)", "two calls"),
    Wrong(
        "z = mu + np.exp(log_var / 2) * eps\nreturn g, g * 0.5 * np.exp(log_var / 2) * z",
        "z stands where the noise",
    ),
    Wrong("return g, 0.5 * eps * np.exp(log_var / 2)", "left out in the cotangent of log_var"),
    Wrong("return {'mu': g, 'log_var': g * 0.5 * np.exp(log_var / 2) * eps}", "returns a dict"),
    Wrong(
        "safe = np.where(np.abs(eps) > 0, eps, 1.0)\n"
        "return g * safe / safe, g * (out - mu) / 2 * eps / eps",
        "where eps is 0",
    ),
]
