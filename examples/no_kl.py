"""Training without the KL: Eq. VAE.4 with beta 0 and 1, judged by Eq. ELBO.4.

Without the KL nothing keeps q(z|x) near the prior: means spread, variances shrink, and each datum
gets its own spot. The pictures show new digits: the bound on their log p(x) falls, and in the end
even their reconstruction is worse.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE, datasets


# %%
def main(folder=Path(__file__).parent, epochs=80):
    digits = datasets.load("optdigits")
    X, X_test = digits.model_arrays()
    X, X_test, y_test = (X[:500] >= 8) * 1.0, (X_test[:500] >= 8) * 1.0, digits.y_test[:500]
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    cloud, bare, curves = figure.subplots(1, 3)
    for axes, beta, style in ((cloud, 1.0, "-"), (bare, 0.0, "--")):
        elbo, scale = [], []

        def look(vae, epoch, elbo=elbo, scale=scale):
            elbo.append(vae.score(X_test))
            scale.append(np.exp(0.5 * vae.posterior(X_test).log_var).mean())

        vae = VAE(
            latent_dim=2, hidden=(200, 100), beta=beta,
            epochs=epochs, batch_size=50, learning_rate=2e-3, random_state=0,
        )  # fmt: skip
        vae.fit(X, on_epoch=look)
        terms = vae.elbo_terms(X_test)
        q = vae.posterior(X_test)
        axes.scatter(*q.mu.T, c=y_test, cmap="tab10", s=200 * np.exp(q.log_var).mean(1) + 1)
        axes.set(xlabel=r"$\mu_1$", ylabel=r"$\mu_2$")
        axes.set_title(
            f"beta = {beta:.0f}: sigma {scale[-1]:.2f}, mean $|\\mu|$ {np.abs(q.mu).mean():.1f}\n"
            f"reconstruction {terms.reconstruction.mean():.0f}, KL {terms.kl.mean():.0f} nats"
        )
        curves.plot(elbo, style, label=f"trained with beta = {beta:.0f}")
    curves.set(xlabel="epoch", title="ELBO of new digits (KL counted), nats")
    curves.legend()
    figure.savefig(folder / "no_kl.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
