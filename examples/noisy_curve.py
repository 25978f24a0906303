"""A curve in space, and a VAE that finds its one dimension: Eq. VAE.3 and Eq. VAE.1.

The points lie near a helix. One latent must be enough, and the code must follow the curve.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from minivae import VAE


# %%
def curve(t):
    return np.stack([np.cos(t), np.sin(t), 0.35 * t], axis=-1)


def main(folder=Path(__file__).parent):
    rng = np.random.default_rng(0)
    t = rng.uniform(-4, 4, 2000)
    X = curve(t) + 0.08 * rng.standard_normal((2000, 3))
    vae = VAE(
        latent_dim=1, hidden=(64, 64), activation="tanh", likelihood="gaussian", sigma="shared",
        beta_warmup=20, epochs=150, learning_rate=3e-3, random_state=3,
    ).fit(X)  # fmt: skip
    z = vae.transform(X)[:, 0]
    order = abs(spearmanr(z, t).statistic)
    scale = np.exp(0.5 * vae.likelihood_.log_var(vae.likelihood_.shared.data).item())
    figure = Figure(figsize=(9, 4), layout="constrained")
    space = figure.add_subplot(1, 2, 1, projection="3d")
    space.scatter(*X.T, c=z, s=3, cmap="viridis", alpha=0.5)
    space.plot(*vae.decode(np.linspace(z.min(), z.max(), 300)[:, None]).T, color="black")
    space.set_title(f"data, coloured by z; E[x|z]\nnoise learnt: {scale:.3f} (true: 0.08)")
    plane = figure.add_subplot(1, 2, 2)
    plane.plot(t, z, ".", markersize=2)
    plane.set(xlabel="place on the curve", ylabel="mean of q(z|x)")
    plane.set_title(f"rank correlation {order:.3f}")
    figure.savefig(folder / "noisy_curve.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
