"""A mean and a variance network on data whose p(y | x) is known: is it calibrated? Eq. USE.10.

The noise grows along x. If the network is calibrated, an interval contains as many of the new data
as it promises.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtri

from minivae import NeuralRegressor


def draw(n, rng):
    """x, y, and the true mean and scale of y."""
    x = rng.uniform(-3, 3, n)
    mu, sigma = np.sin(x), 0.1 + 0.15 * (x + 3) / 2
    return x[:, None], mu + sigma * rng.standard_normal(n), mu, sigma


# %%
def main(folder=Path(__file__).parent, seeds=3, n=1000, epochs=100):
    levels, found, errors = np.array([0.5, 0.8, 0.95]), [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x, y, _, _ = draw(n, rng)
        model = NeuralRegressor((32,), epochs=epochs, random_state=seed).fit(x, y)
        x, y, mu, sigma = draw(4000, rng)
        mean, spread = model.predict(x, return_std=True)
        away = np.abs(y - mean) / spread
        found.append([(away < ndtri(0.5 + level / 2)).mean() for level in levels])
        truth = -0.5 * np.square((y - mu) / sigma) - np.log(sigma * np.sqrt(2 * np.pi))
        errors.append([np.abs(spread / sigma - 1).mean(), (truth - model.log_prob(x, y)).mean()])
    for level, shares in zip(levels, np.transpose(found), strict=True):
        print(f"within the {level:.0%} interval   {shares.mean():.3f} +- {shares.std(ddof=1):.3f}")
    off, lost = np.mean(errors, axis=0)
    print(f"sigma is off by {off:.1%}; log p(y | x) is {lost:.3f} nats below the truth's")
    order = np.argsort(x[:, 0])
    x, mean, spread, mu, sigma = (a[order] for a in (x[:, 0], mean, spread, mu, sigma))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(x, y[order], ",", color="grey")
    axes.plot(x, mean, "C0", label="mean and 2 sigma, learnt")
    axes.plot(x, np.stack([mean - 2 * spread, mean + 2 * spread], axis=1), "C0--")
    axes.plot(x, np.stack([mu, mu - 2 * sigma, mu + 2 * sigma], axis=1), "k:", linewidth=1)
    axes.set(xlabel="x", ylabel="y", title="dotted: the truth")
    axes.legend()
    figure.savefig(Path(folder) / "known_conditional.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
