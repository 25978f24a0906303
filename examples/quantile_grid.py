"""Two grids of codes, and what they show of the prior: Eq. VAE.2.

Equal steps from -3 to 3 spend half of their pictures where the prior hardly ever goes: the mean of
z^2 is over 3, while under the prior it is 1. Steps of equal probability show what the model would
draw.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtri

from minivae import VAE, datasets, recipe
from minivae.figures import image_grid

n = 15


# %%
def equal_steps(n, extent=3.0):
    return np.linspace(-extent, extent, n)


def quantile_steps(n):
    """The middles of n parts of N(0, 1) that are equally probable."""
    return ndtri((np.arange(n) + 0.5) / n)


# %%
def main(folder=Path(__file__).parent):
    digits = datasets.load("optdigits")
    X, _ = digits.model_arrays()
    vae = VAE(latent_dim=2, **{**recipe(digits), "epochs": 20}, random_state=0).fit(X)
    figure = Figure(figsize=(9, 4.9), layout="constrained")
    for axes, name, steps in zip(
        figure.subplots(1, 2),
        ("equal steps", "equal probability"),
        (equal_steps(n), quantile_steps(n)),
        strict=True,
    ):
        z = np.stack(np.meshgrid(steps, steps[::-1]), axis=-1).reshape(-1, 2)
        axes.imshow(image_grid(vae.decode(z), digits.image_shape, n), cmap="gray_r")
        axes.set_title(f"{name}: mean $z^2$ = {np.mean(steps**2):.2f}, prior: 1")
        axes.set_axis_off()
    figure.savefig(folder / "quantile_grid.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
