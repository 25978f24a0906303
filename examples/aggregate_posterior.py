"""The aggregate posterior beside the prior it was trained with: Eq. SURG.2 and Eq. PRIOR.3.

Three models of digits with two-dimensional codes, each with its own prior. The lines are the
aggregate posterior of 200 digits and the shading is the prior. The titles give the information I,
which is worth paying for, and the marginal KL, which is the cost of the prior.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE, datasets
from minivae.information import aggregate_log_prob, surgery_by_quadrature
from minivae.tensor import no_grad, values

SETTINGS = {"latent_dim": 2, "hidden": (64,), "activation": "tanh", "likelihood": "binomial",
            "n_trials": 16, "batch_size": 64, "learning_rate": 3e-3, "random_state": 0}  # fmt: skip
PRIORS = {
    "N(0, I)": {},
    "mixture of 20": {"prior": "mixture", "prior_components": 20},
    "VampPrior of 20": {"prior": "vamp", "prior_components": 20},
}


# %%
def main(folder=Path(__file__).parent, n=1000, epochs=25, shown=200):
    X = datasets.load("optdigits").model_arrays(counts=True)[0][:n]
    figure = Figure(figsize=(10, 3.7), layout="constrained")
    for axes, (name, prior) in zip(figure.subplots(1, 3), PRIORS.items(), strict=True):
        vae = VAE(**SETTINGS, **prior, epochs=epochs).fit(X)
        q = vae.posterior(X[:shown])
        parts = surgery_by_quadrature(q, vae.prior_)
        print(f"{name:16s} KL {parts.kl:.3f} = information {parts.information:.3f} + marginal KL "
              f"{parts.marginal_kl:.3f}")  # fmt: skip
        reach = 1.15 * np.abs(q.mu).max()
        axis = np.linspace(-reach, reach, 161, dtype=q.mu.dtype)
        z = np.stack(np.meshgrid(axis, axis), axis=-1)
        with no_grad():
            aggregate, log_prior = (np.exp(values(f)) for f in (
                aggregate_log_prob(q, z), vae.prior_.log_prob(z)))  # fmt: skip
        axes.contourf(axis, axis, log_prior, levels=12, cmap="Greys")
        levels = np.geomspace(0.02, 0.8, 5) * aggregate.max()
        axes.contour(axis, axis, aggregate, levels=levels, colors="#7c0300", linewidths=0.7)
        says = f"I = {parts.information:.2f}, marginal KL = {parts.marginal_kl:.2f}"
        axes.set(title=f"{name}\n{says}", xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
    figure.savefig(Path(folder) / "aggregate_posterior.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
