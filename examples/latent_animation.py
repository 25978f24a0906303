"""The latent space during training, Eq. VAE.3 and Eq. REP.1, and the prior's grid beside it.

Samples of q(z|x) are coloured by digit. Training starts at the prior, because the encoder's heads
start at zero; then the digits separate. Beside the samples, a fixed grid of codes is decoded, whose
coordinates are quantiles of N(0, 1).
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import norm

from minivae import VAE, datasets, recipe
from minivae.figures import image_grid

GRID = 10


# %%
def main(folder=Path(__file__).parent, epochs=24):
    digits = datasets.load("optdigits")
    X, X_test = digits.model_arrays()
    eps = np.random.default_rng(0).standard_normal((1, len(X_test), 2), dtype=np.float32)
    quantiles = norm.ppf((np.arange(GRID) + 0.5) / GRID)
    grid = np.stack(np.meshgrid(quantiles, quantiles[::-1]), axis=-1).reshape(-1, 2)
    frames = []

    def look(vae, epoch):
        if epoch % 2:
            return
        z = vae.posterior(X_test).rsample(eps)[0]
        images = image_grid(vae.decode(grid), digits.image_shape, GRID)
        frames.append((epoch, z, images, vae.score(X_test)))

    vae = VAE(latent_dim=2, **{**recipe(digits), "epochs": epochs}, random_state=0)
    vae.fit(X, on_epoch=look)

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes, beside = figure.subplots(1, 2)
    prior = beside.imshow(frames[0][2], cmap="gray_r", vmin=0, vmax=np.nanmax(frames[-1][2]))
    beside.set(xticks=[], yticks=[], title="the prior, decoded")
    points = axes.scatter(*frames[0][1].T, c=digits.y_test, cmap="tab10", s=5)
    axes.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    axes.legend(*points.legend_elements(), loc="upper right", ncols=2, fontsize=8)

    def draw(frame):
        epoch, z, images, elbo = frame
        points.set_offsets(z)
        prior.set_data(images)
        axes.set_title(f"epoch {epoch}: ELBO {elbo:.1f} nats")

    animation = FuncAnimation(figure, draw, frames=[*frames, *[frames[-1]] * 4])
    animation.save(folder / "latent_animation.gif", PillowWriter(fps=3), dpi=80)


# %%
if __name__ == "__main__":
    main()
