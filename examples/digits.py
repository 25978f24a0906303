"""Handwritten digits in two dimensions: fit a VAE, draw its latent space and its prior.

Run it from the repository's root: ``python examples/digits.py``. It draws the README's two
pictures, ``examples/latent.png`` and ``examples/prior.png``, in well under a minute.
"""

# %%
from pathlib import Path

from minivae import VAE, datasets, recipe
from minivae.figures import latent_scatter, prior_predictive_grid, save_figure

digits = datasets.load("optdigits")
X, X_test = digits.model_arrays()

# %% The 8x8 pixels are counts out of 16, so a binomial likelihood is their natural one.
vae = VAE(latent_dim=2, **recipe(digits), random_state=0, verbose=True).fit(X)
print(f"test ELBO {vae.score(X_test):.2f} nats per datum")

# %%
here = Path(__file__).parent
save_figure(latent_scatter(vae.transform(X_test), digits.y_test), here / "latent.png")
grid = prior_predictive_grid(vae.decode, vae.latent_dim, digits.image_shape, vmax=digits.max_value)
save_figure(grid, here / "prior.png")
