"""Training data, held-out data of the same writers, and new writers: Eq. VAE.4 for each.

The ELBO of the training data keeps rising. How well the model predicts others shows on held-out
data. The gap grows with the epochs, and shrinks with more data and a smaller network.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE, datasets, recipe

SETTINGS = {
    "3,300 rows, layers (200, 100)": (3300, (200, 100)),
    "300 rows, layers (200, 100)": (300, (200, 100)),
    "300 rows, a layer of 30": (300, (30,)),
}


# %%
def curves(X, others, hidden, passes):
    """The ELBO of X and of each of the others, about 25 times in a fixed number of steps.

    The first column is the number of data seen, in thousands; the others are nats per datum.
    """
    sets = [X[:500], *others]
    epochs = round(passes * 3300 / len(X))
    every = max(epochs // 25, 1)
    found = []

    def look(vae, epoch):
        if epoch % every == 0:
            found.append([epoch * len(X) / 1000, *(vae.score(rows) for rows in sets)])

    settings = {**recipe(datasets.load("optdigits")), "hidden": hidden, "epochs": epochs}
    VAE(latent_dim=2, **settings, random_state=0).fit(X, on_epoch=look)
    return np.array(found)


# %%
def main(folder=Path(__file__).parent, passes=100):
    X, new_writers = datasets.load("optdigits").model_arrays()
    X = np.random.default_rng(0).permutation(X)
    X, held_out = X[:-500], X[-500:]
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (name, (rows, hidden)) in zip(panels, SETTINGS.items(), strict=True):
        found = curves(X[:rows], (held_out, new_writers[:500]), hidden, passes)
        for values, label, style in zip(
            found.T[1:], ("trained on", "held out", "new writers"), ("-", "--", ":"), strict=True
        ):
            axes.plot(found[:, 0], values, style, label=label)
        last = found[-1]
        axes.set(xlabel="data seen, thousands")
        axes.set_title(f"{name}\nbest held out {found[:, 2].max():.0f}, last {last[2]:.0f}")
        print(f"{name}: trained on {last[1]:.1f}; held out {last[2]:.1f}, at best "
              f"{found[:, 2].max():.1f}; new writers {last[3]:.1f}")  # fmt: skip
    panels[0].set(ylabel="ELBO, nats per datum", ylim=(-220, -100))
    panels[0].legend()
    figure.savefig(folder / "overfitting.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
