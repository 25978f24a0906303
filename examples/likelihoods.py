"""The likelihoods and what they are densities of: Eq. LIK.1 to Eq. LIK.7.

A decoder outputs one or two numbers for each value of a datum, and the likelihood turns them into a
distribution. Bars are probabilities and sum to 1; areas under curves are 1. The dashed curves are
the cross-entropy of grey pixels, which many programs use as if it were a density: the areas under
them are less than 1.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae.distributions import Bernoulli, Binomial, ContinuousBernoulli, Gaussian, Poisson

COLOURS = ("#1b45b4", "#7c0300", "#3f7d20")


# %%
def curve(likelihood, outputs, values):
    """The density or probability of each value, for one output of the decoder."""
    column = np.asarray(values, dtype=float)[:, None]
    rows = tuple(np.full_like(column, output) for output in outputs)
    return np.exp(likelihood.log_prob(rows, column))


def logit(p):
    return np.log(p / (1 - p))


# %%
def main(path):
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    whole = (
        (axes[0], Bernoulli(), np.arange(2), [(logit(p),) for p in (0.2, 0.7)],
         "Bernoulli: on or off"),
        (axes[1], Binomial(16), np.arange(17), [(logit(p),) for p in (0.1, 0.5, 0.9)],
         "binomial: counts of 16"),
        (axes[2], Poisson(), np.arange(21), [(np.log(r),) for r in (1.0, 4.0, 10.0)],
         "Poisson: counts without a ceiling"),
    )  # fmt: skip
    for place, likelihood, values, outputs, title in whole:
        for i, output in enumerate(outputs):
            width = 0.8 / len(outputs)
            at = values + (i - (len(outputs) - 1) / 2) * width
            place.bar(at, curve(likelihood, output, values), width, color=COLOURS[i])
        place.set(title=title, ylabel="probability")
    axes[0].set_xticks([0, 1])
    grey, x = np.linspace(0, 1, 401), np.linspace(-4, 4, 401)
    for i, p in enumerate((0.2, 0.5, 0.95)):
        density = curve(ContinuousBernoulli(), (logit(p),), grey)
        axes[3].plot(grey, density, color=COLOURS[i], lw=2)
        entropy = p**grey * (1 - p) ** (1 - grey)
        axes[3].plot(grey, entropy, "--", color=COLOURS[i], lw=1)
    axes[3].set(title="continuous Bernoulli: grey pixels", ylabel="density", ylim=(0, None))
    axes[3].plot([], [], "k--", lw=1, label="cross-entropy, area below 1")
    axes[3].legend(frameon=False, loc="upper left")
    for i, (mu, log_var) in enumerate(((-1.0, -2.0), (0.0, 0.0), (1.5, 1.0))):
        density = curve(Gaussian("network"), (mu, log_var), x)
        label = f"$\\sigma$ = {np.exp(log_var / 2):.2f}"
        axes[4].plot(x, density, color=COLOURS[i], lw=2, label=label)
    axes[4].set(title="Gaussian: real values", ylabel="density", ylim=(0, None))
    axes[4].legend(frameon=False)
    raw = np.linspace(-8, 3, 201)
    for i, floor in enumerate((0.01, 0.1, 0.5)):
        v = Gaussian("network", floor).log_var(raw)
        axes[5].plot(raw, v, color=COLOURS[i], lw=2, label=f"floor {floor}")
    axes[5].plot(raw, raw, "k:", lw=1)
    axes[5].set(title="its variance and the floor", xlabel="network's output")
    axes[5].set_ylabel("log-variance")
    axes[5].legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
