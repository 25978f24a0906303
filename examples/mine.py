"""A critic's bound on mutual information, on Gaussians where it is known: Eq. MI.1 and Eq. MI.2.

For each correlation a critic is trained on 1000 pairs and evaluated on them and on 1000 new ones,
with three seeds. On the right is the true critic, log p(x, z) - log p(x) p(z). Even its estimates
have a bias and a spread, which grow with the information, because a few pairs dominate the mean of
exp(T).
"""

# %%
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae.information import donsker_varadhan
from minivae.nn import MLP
from minivae.optim import Adam
from minivae.tensor import no_grad
from minivae.training import Player, Run


def true_information(rho):
    """In nats, Eq. MI.2."""
    return -0.5 * np.log1p(-(rho**2))


def pairs(rho, n, rng):
    """n pairs of standard normal numbers of correlation rho, ``(n, 2)``."""
    x, e = rng.standard_normal((2, n))
    return np.stack([x, rho * x + np.sqrt(1 - rho**2) * e], axis=1)


def best_critic(rho, xz):
    """log p(x, z) - log p(x) p(z), at which Eq. MI.1 is an equality."""
    x, z = xz.T
    inside = rho**2 * (x**2 + z**2) - 2 * rho * x * z
    return true_information(rho) - inside / (2 * (1 - rho**2))


def estimate(critic, xz):
    """The bound on pairs; each z with the next x makes a pair that does not belong together."""
    apart = np.stack([xz[:, 0], np.roll(xz[:, 1], 1)], axis=1)
    return donsker_varadhan(critic(xz), critic(apart))


def learnt_critic(xz, seed, epochs):
    """A network trained to raise the bound on these pairs."""
    layers = MLP((2, 32, 32, 1), activation="relu", rng=np.random.default_rng(seed))

    def critic(xz):
        return layers(xz)[:, 0]

    def loss(batch, rng, progress):
        bound = estimate(critic, batch[0])
        return -bound, {"bound": bound.item()}

    run = Run(
        [Player(layers.parameters(), loss)], [xz], epochs=epochs, batch_size=250,
        order=np.random.default_rng(seed), noise=np.random.default_rng(seed),
        optimiser=lambda p: Adam(p, 2e-3),
    )  # fmt: skip
    run.run()
    return critic


# %%
def main(folder=Path(__file__).parent, n=1000, epochs=60, seeds=3, repeats=400):
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    rhos = np.array([0.0, 0.5, 0.8, 0.95, 0.99, 0.999])
    truth = true_information(rhos)
    found = np.empty((2, len(rhos), seeds))
    for i, rho in enumerate(rhos):
        for seed in range(seeds):
            rng = np.random.default_rng([i, seed])
            seen, new = pairs(rho, n, rng), pairs(rho, n, rng)
            critic = learnt_critic(seen, seed, epochs)
            with no_grad():
                found[:, i, seed] = [float(estimate(critic, xz).data) for xz in (seen, new)]
    print("   rho   truth    data seen     new data")
    for rho, true, seen, new in zip(rhos, truth, *found, strict=True):
        print(f"{rho:6.3f}  {true:6.3f}  {seen.mean():6.3f} +- {seen.std(ddof=1):.3f}"
              f"  {new.mean():6.3f} +- {new.std(ddof=1):.3f}")
    rng = np.random.default_rng(9)
    few, new = pairs(0.0, 50, rng), pairs(0.0, 1000, rng)
    critic = learnt_critic(few, 0, 20 * epochs)
    with no_grad():
        by_heart, outside = (float(estimate(critic, xz).data) for xz in (few, new))
    print(f"50 independent pairs, learnt by heart: {by_heart:.2f}, on new ones {outside:.2f}")
    left.plot(truth, truth, color="black", linestyle="--", label="truth")
    for name, marker, each in (("data it learnt from", "o", found[0]), ("new data", "s", found[1])):
        left.plot(truth, each.mean(axis=1), marker + "-", label=f"critic, {name}")
    left.set(xlabel="true information, nats", ylabel="estimate")
    left.legend(frameon=False)

    # %% The true critic: what batches make of it
    rng = np.random.default_rng(0)
    sizes = (30, 100, 300, 1000)
    for rho in (0.5, 0.95, 0.999):
        critic, true = partial(best_critic, rho), true_information(rho)
        each = np.array(
            [[estimate(critic, pairs(rho, size, rng)) for _ in range(repeats)] for size in sizes]
        )
        bias, spread = each.mean(axis=1) - true, each.std(axis=1)
        right.errorbar(sizes, bias, spread, capsize=3, label=f"I = {true:.2f}")
        print(f"true critic, I = {true:.3f}: bias of batches of 30, 100, 300, 1000:",
              *(f"{b:+.3f}" for b in bias))  # fmt: skip
    right.axhline(0, color="black", linestyle="--")
    right.set(xscale="log", xlabel="batch size", ylabel="error of the true critic, nats")
    right.legend(frameon=False)
    figure.savefig(Path(folder) / "mine.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
