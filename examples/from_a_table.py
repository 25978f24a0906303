"""From a table to a latent space: what a variational autoencoder makes of the rows of a CSV file.

Each row becomes a point in a plane, Eq. VAE.3, such that similar rows lie close together. You need
nothing but a table of numbers: no command line, and no knowledge of networks.
"""

# %% A table is a file of text: a line of names, then a line of numbers for each row.
# Here one is written, of handwritten digits: 64 columns say how much ink is in each square, and
# the column `label` says which digit was meant. Put the name of your own file in its place.
from pathlib import Path

import numpy as np

from minivae import VAE, datasets, recipe
from minivae.figures import latent_scatter, save_figure

digits = datasets.load("optdigits")
names = [f"row {i} column {j}" for i in range(8) for j in range(8)]
table = np.column_stack([digits.x_train, digits.y_train])
folder = Path(__file__).parent
np.savetxt(folder / "digits.csv", table, "%d", ",", header=",".join([*names, "label"]), comments="")

# %% `load` reads it and says what it has found.
# A sixth of the rows is put aside: what the model has not seen tells how good it is.
data = datasets.load(folder / "digits.csv")

# %% `recipe` chooses what suits the kind of numbers: counts, yes or no, measurements.
# The model learns to write each row as two numbers, and to make the row of them again.
X, X_new = data.model_arrays()
settings = {**recipe(data), "hidden": (100,), "epochs": 40}
vae = VAE(**settings, random_state=0).fit(X)

# %% How well? The score is in nats per row, and higher is better.
# Rows that it has not seen should score nearly as well as those that it has.
print(f"rows it has seen {vae.score(X):.1f}, rows it has not {vae.score(X_new):.1f}")

# %% Every new row is now a point.
# The labels were not used for this: they only colour the picture.
points = vae.transform(X_new)
figure = latent_scatter(points, data.y_test)

# %% Rows that do not fit are those with the lowest score.
scores = vae.elbo(X_new)
for i in np.argsort(scores)[:3]:
    print(f"row {i}: {scores[i]:.0f} nats, labelled {data.y_test[i]}")

# %% The model can also draw rows of its own, and be kept in a file.
print(vae.sample(3, random_state=0)[:, 16:24].round(1))
vae.save(folder / "table-model.npz")

# %%
save_figure(figure, Path(__file__).with_suffix(".png"))
