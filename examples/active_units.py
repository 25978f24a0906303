"""Which dimensions of a code are in use? The variance of each posterior mean over data, Eq. VAE.6.

Two VAEs of digits with 32 latent dimensions, trained with the KL weighted by 1 and by 10. A
dimension whose mean hardly moves with the data has collapsed to the prior: its KL is near zero.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE, datasets

SETTINGS = {"latent_dim": 32, "likelihood": "binomial", "n_trials": 16, "hidden": (100,),
            "activation": "tanh", "learning_rate": 3e-3, "random_state": 0}  # fmt: skip


# %%
def main(folder=Path(__file__).parent, n=2000, epochs=40):
    X, X_test = datasets.load("optdigits").model_arrays()
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, beta in zip(panels, (1.0, 10.0), strict=True):
        vae = VAE(**SETTINGS, beta=beta, epochs=epochs).fit(X[:n])
        q = vae.posterior(X_test)
        mu, log_var = np.asarray(q.mu), np.asarray(q.log_var)
        moves = mu.var(axis=0)
        kl = 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).mean(axis=0)
        order, places = np.argsort(-moves), np.arange(len(moves))
        axes.bar(places - 0.2, moves[order], 0.4, color="#1b45b4", label="variance of the mean")
        axes.bar(places + 0.2, kl[order], 0.4, color="#e96006", label="KL, nats")
        axes.axhline(0.01, color="black", lw=1, ls="--", label="0.01")
        axes.set(title=f"beta = {beta:.0f}: {(moves > 0.01).sum()} of {len(moves)} active",
                 xlabel="latent dimension, sorted", yscale="log", ylim=(1e-5, 20), xticks=[])
        print(f"beta {beta:.0f}: {(moves > 0.01).sum()} active, KL {kl.sum():.1f} nats")
    panels[0].set_ylabel("over new digits")
    panels[1].legend(frameon=False)
    figure.savefig(Path(folder) / "active_units.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
