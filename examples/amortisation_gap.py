"""What an encoder loses, datum by datum: the family's part and the encoder's own, Eq. VI.3.

A VAE with a two-dimensional z learns 8x8 digits, so log p(x) is known from a grid. For test digits
the gap log p(x) - ELBO is split: what the best diagonal Gaussian for each datum still loses is the
approximation gap, and what the encoder loses beyond that is the amortisation gap. On the right,
what richer families leave on average.
"""

# %%
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import logsumexp

from minivae import VAE, datasets
from minivae.inference import fit_posterior
from minivae.objectives import sample_terms
from minivae.tensor import no_grad, values


# %%
def log_evidence(model, x, limit=5.0, n=201):
    """log p(x) of each datum by the trapezoid rule over z of two dimensions, ``(N,)``."""
    axis = np.linspace(-limit, limit, n, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 1, 2)
    heights = []
    with no_grad():
        for row in x[:, None]:
            heights.append(values(model.log_joint(row, grid))[:, 0].astype(np.float64))
    return logsumexp(heights, axis=1) + 2 * np.log(2 * limit / (n - 1))


def gaps(vae, x, steps=500):
    """log p(x) less the ELBO ``(N,)`` of the encoder's q, and of each datum's own, by family."""
    model, q = vae.model_, vae.posterior(x)
    log_p, log_joint = log_evidence(model, x), partial(model.log_joint, x)
    eps = np.random.default_rng(0).standard_normal((2000, len(x), 2), dtype=np.float32)
    with no_grad():
        elbo = values(sample_terms(model, q, x, eps).log_weights).mean(axis=0)
    found = {"encoder": log_p - elbo}
    for family in ("diagonal", "full", "flow"):
        own = fit_posterior(log_joint, len(x), 2, family, q, 0, steps=steps)
        found[family] = log_p - own.elbo
    return found


# %%
def main(path, n=40, epochs=30):
    data = datasets.load("digits")
    train, test = data.model_arrays(counts=True)[:2]
    vae = VAE(2, hidden=(64,), likelihood="binomial", n_trials=16, epochs=epochs, random_state=0)
    found = gaps(vae.fit(train), test[:n])
    order = np.argsort(found["encoder"])
    best, ours = found["diagonal"][order], found["encoder"][order]
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1), sharey=True)
    place = np.arange(n)
    left.vlines(place, best, ours, color="#cfd9e4", lw=4, label="amortisation gap")
    left.plot(place, ours, "o", color="#98a1ab", label="the encoder's q")
    left.plot(place, best, "o", color="#1b45b4", label="the datum's own diagonal q")
    left.set(xlabel="test digits, in order of the encoder's gap", xticks=[], yscale="log")
    left.set(ylabel="log p(x) $-$ ELBO, nats", ylim=(3e-3, 2 * ours.max()))
    left.legend(frameon=False, loc="upper left")
    means = [gap.mean() for gap in found.values()]
    bars = right.bar(list(found), means, color=["#98a1ab", "#1b45b4", "#3ea282", "#9e69e2"])
    right.bar_label(bars, [f"{mean:.2f}" for mean in means])
    right.set(title="means")
    figure.savefig(path, dpi=150)
    print({name: round(float(mean), 3) for name, mean in zip(found, means, strict=True)})


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
