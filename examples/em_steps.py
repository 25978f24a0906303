"""EM's two steps on the bound: Eq. GMM.3 as a function of one mean, the others held fixed.

The E-step lifts the bound until it touches the log-likelihood at the present mean. The M-step goes
to the top of that bound. The log-likelihood lies above the bound everywhere, so it has risen by at
least as much.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import logsumexp
from scipy.stats import norm

shares = (np.arange(12) + 0.5) / 12
X = np.concatenate([norm(-1.0, 1.0).ppf(shares), norm(2.0, 1.0).ppf(shares[::2])])


# %%
def log_joint(mean):
    """log pi_k N(x_n; mu_k, 1), (n, k): the second mean is 2, the weights are 2/3 and 1/3."""
    return np.stack([norm.logpdf(X, mean) + np.log(2 / 3), norm.logpdf(X, 2.0) - np.log(3)], axis=1)


def log_likelihood(mean):
    return logsumexp(log_joint(mean), axis=1).sum()


def responsibilities(mean):
    joint = log_joint(mean)
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


def bound(r, mean):
    """Eq. GMM.3 with the responsibilities r, made at one mean, at another."""
    return (r * (log_joint(mean) - np.log(r))).sum()


def m_step(r):
    """The top of the bound, Eq. GMM.5."""
    return r[:, 0] @ X / r[:, 0].sum()


# %%
def main(path):
    places = np.linspace(-3.2, 3.2, 181)
    figure = Figure(figsize=(7.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    heights = [*map(log_likelihood, places)]
    axes.plot(places, heights, color="#7c0300", lw=2.5, label="log-likelihood")
    mean = 2.6
    for t, colour in enumerate(("#9fb4cf", "#5b7fb5", "#1b45b4")):
        r, top = responsibilities(mean), log_likelihood(mean)
        label = f"bound with the responsibilities of step {t}"
        axes.plot(places, [bound(r, m) for m in places], color=colour, lw=1.5, label=label)
        new = m_step(r)
        axes.plot([mean], [top], "o", color=colour)
        axes.annotate(
            "", (new, bound(r, new)), (mean, top), arrowprops={"arrowstyle": "->", "color": colour}
        )
        axes.plot([new, new], [bound(r, new), log_likelihood(new)], ":", color=colour)
        mean = new
    axes.set(xlabel="the first mean", ylabel="nats", ylim=(min(heights) - 6, max(heights) + 2))
    axes.legend(loc="upper right", frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
