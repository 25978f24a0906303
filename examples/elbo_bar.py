"""How the ELBO is made up, and its gap: Eq. ELBO.4 and Eq. ELBO.3.

For x = w z + sigma noise everything is known. Each bar is a q: the posterior, one that is too wide,
one with a wrong mean, the prior, and one that has shrunk almost to a point. The line is log p(x),
the same for all. The distance between the line and the end of a bar is the divergence of q from the
posterior. The reconstruction alone would choose the last q.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import LatentModel
from minivae.distributions import DiagonalGaussian, Gaussian, StandardNormal
from minivae.objectives import elbo_terms

x, w, sigma = 1.5, 1.0, 0.5
var = w**2 + sigma**2
log_p = -0.5 * (np.log(2 * np.pi * var) + x**2 / var)
model = LatentModel(StandardNormal(1), lambda z: (w * z,), Gaussian(sigma))


# %%
def parts(mu, log_var):
    """The reconstruction and the KL to the prior, in nats; noise of 1 and -1 makes them exact."""
    q = DiagonalGaussian(np.array([[mu]]), np.array([[log_var]]))
    terms = elbo_terms(model, q, np.array([[x]]), np.array([1.0, -1.0]).reshape(2, 1, 1))
    return terms.reconstruction[0], terms.kl[0]


def guides():
    """A few q by name, each a mean and a log-variance."""
    mu, log_var = w * x / var, np.log(sigma**2 / var)
    return {
        "the posterior": (mu, log_var),
        "four times\nits variance": (mu, log_var + np.log(4)),
        "its mean\noff by 0.6": (mu - 0.6, log_var),
        "the prior": (0.0, 0.0),
        "nearly\na point": (x / w, -8.0),
    }


# %%
def main(path):
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for place, (mu, log_var) in enumerate(guides().values()):
        reconstruction, kl = parts(mu, log_var)
        gap = log_p - (reconstruction - kl)
        bars = (
            (0.0, reconstruction, "#9fb4cf", "reconstruction"),
            (reconstruction, -kl, "#e0a458", "KL(q || prior)"),
            (reconstruction - kl, gap, "#b3443c", "the gap, KL(q || posterior)"),
        )
        for i, (bottom, height, colour, name) in enumerate(bars):
            label = name if place == 0 else None
            at, width = (place + 0.36, 0.2) if i == 2 else (place, 0.5)
            axes.bar(at, height, width, bottom, color=colour, label=label)
        axes.text(place, reconstruction - kl - 0.08, f"ELBO {reconstruction - kl:.2f}",
                  ha="center", va="top", fontsize=9)  # fmt: skip
    axes.axhline(log_p, color="black", lw=1, label=f"log p(x) = {log_p:.2f}")
    axes.set(ylabel="nats", ylim=(-7.4, 0.3))
    axes.set_xticks(range(len(guides())), [*guides()])
    axes.legend(loc="lower left", frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
