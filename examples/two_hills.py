"""One Gaussian for two hills: which divergence is minimised decides where it goes, Eq. KL.1.

KL(q || p) is infinite where q > 0 and p = 0, so the best q keeps to one hill. KL(p || q) is
infinite where p > 0 and q = 0, so the best q covers both hills, and the valley between. The lower
panel shows each divergence as its q moves along: the first has two minima, the second has one.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.stats import norm

z, dz = np.linspace(-14, 14, 5601, retstep=True)
log_p = np.logaddexp(norm.logpdf(z, -2, 0.5), norm.logpdf(z, 2, 0.5)) - np.log(2)


# %%
def exclusive(mu, sigma):
    """KL(q || p) of q = N(mu, sigma^2), by the trapezoid rule."""
    log_q = norm.logpdf(z, mu, sigma)
    return dz * np.exp(log_q) @ (log_q - log_p)


def inclusive(mu, sigma):
    """KL(p || q)."""
    return dz * np.exp(log_p) @ (log_p - norm.logpdf(z, mu, sigma))


def best(divergence, start):
    """The mean and the scale that minimise a divergence, found from a nearby start."""
    found = minimize(lambda p: divergence(p[0], np.exp(p[1])), start, method="Nelder-Mead")
    return found.x[0], np.exp(found.x[1])


# %%
def main(path):
    figure = Figure(figsize=(7, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
    above.fill_between(z, np.exp(log_p), color="#cfd9e4", label="p")
    for divergence, name, colour, start in (
        (exclusive, "KL(q || p)", "#1b45b4", (1.0, 0.0)),
        (inclusive, "KL(p || q)", "#7c0300", (1.0, 0.0)),
    ):
        mu, sigma = best(divergence, start)
        nats = divergence(mu, sigma)
        label = f"q of the least {name}: {nats:.2f} nats"
        above.plot(z, norm.pdf(z, mu, sigma), color=colour, lw=2, label=label)
        places = np.linspace(-4, 4, 161)
        slices = [divergence(m, sigma) for m in places]
        below.plot(places, slices, color=colour, lw=2, label=f"{name}, q's scale {sigma:.1f}")
    above.set(ylabel="density", ylim=(0, 1.1))
    above.legend(loc="upper left", frameon=False)
    below.set(xlabel="z, and the mean of q", ylabel="nats", xlim=(-4.5, 4.5), ylim=(0, None))
    below.legend(loc="upper center", frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
