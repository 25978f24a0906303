"""The latent space during training: samples of q(z|x), Eq. VAE.3 and Eq. REP.1, coloured by digit.

Training starts at the prior, because the encoder's heads start at zero; then the digits find their
places.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minivae import VAE, datasets, recipe


# %%
def main(folder=Path(__file__).parent, epochs=24):
    digits = datasets.load("optdigits")
    X, X_test = digits.model_arrays()
    eps = np.random.default_rng(0).standard_normal((1, len(X_test), 2), dtype=np.float32)
    frames = []

    def look(vae, epoch):
        z = vae.posterior(X_test).rsample(eps)[0]
        frames.append((epoch, z, vae.score(X_test)))

    vae = VAE(latent_dim=2, **{**recipe(digits), "epochs": epochs}, random_state=0)
    vae.fit(X, on_epoch=look)

    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    points = axes.scatter(*frames[0][1].T, c=digits.y_test, cmap="tab10", s=5)
    axes.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    axes.legend(*points.legend_elements(), loc="upper right", ncols=2, fontsize=8)

    def draw(frame):
        epoch, z, elbo = frame
        points.set_offsets(z)
        axes.set_title(f"epoch {epoch}: ELBO {elbo:.1f} nats")

    animation = FuncAnimation(figure, draw, frames=[*frames, *[frames[-1]] * 8])
    animation.save(folder / "latent_animation.gif", PillowWriter(fps=6), dpi=90)


# %%
if __name__ == "__main__":
    main()
