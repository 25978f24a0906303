"""Bits per pixel: how short a model of digits makes their code, Eq. USE.6.

Each length is that of new digits under a model of the old ones: 17 equally likely values, a
histogram for each pixel, and VAEs with more and more dimensions, by the ELBO (which bits-back
coding reaches) and by log p(x). ``lzma`` packs all the new digits together, without training.
"""

# %%
import lzma
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE, datasets
from minivae.metrics import bits_per_value

SETTINGS = {"likelihood": "binomial", "n_trials": 16, "hidden": (100,), "activation": "tanh",
            "learning_rate": 3e-3, "batch_size": 100}  # fmt: skip


def histograms(X, X_test):
    """log p of new data under a histogram for each pixel, with 1 added to every count."""
    log_p = np.zeros(len(X_test))
    for pixel in range(X.shape[1]):
        counts = 1 + np.bincount(X[:, pixel], minlength=17)
        log_p += np.log(counts / counts.sum())[X_test[:, pixel]]
    return log_p


# %%
def main(folder=Path(__file__).parent, seeds=3, n=2000, epochs=50, dims=(1, 2, 4, 8, 16), most=500):
    digits = datasets.load("optdigits")
    X, X_test = (x.astype(int) for x in digits.model_arrays(counts=True))
    X, X_test = X[:n], X_test[:most]
    D = X.shape[1]
    others = {
        "equally likely": np.log2(17),
        "lzma": 8 * len(lzma.compress(X_test.astype(np.uint8).tobytes())) / X_test.size,
        "histograms": float(bits_per_value(histograms(X, X_test).mean(), D)),
    }
    for name, bits in others.items():
        print(f"{name:16s} {bits:.3f} bits per pixel")
    table = np.empty((len(dims), seeds, 2))
    for i, K in enumerate(dims):
        for seed in range(seeds):
            vae = VAE(**SETTINGS, latent_dim=K, epochs=epochs, random_state=seed).fit(X)
            nats = [vae.elbo(X_test).mean(), vae.log_likelihood(X_test, 200).mean()]
            table[i, seed] = bits_per_value(np.array(nats), D)
        (a, b), (s, t) = table[i].mean(axis=0), table[i].std(axis=0, ddof=1)
        print(f"VAE, K = {K:<2d}      {a:.3f} +- {s:.3f} (ELBO)  {b:.3f} +- {t:.3f} (log p(x))")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for j, name in enumerate(("VAE, by the ELBO", "VAE, by log p(x)")):
        axes.plot(dims, table[..., j].mean(axis=1), "o-", color=f"C{j}", label=name)
        axes.plot(np.repeat(dims, seeds), table[..., j].ravel(), ".", color=f"C{j}", alpha=0.5)
    for j, (name, bits) in enumerate(others.items()):
        axes.axhline(bits, color=f"C{j + 2}", linestyle="--", label=name)
    axes.set(xscale="log", xlabel="dimensions of the code", ylabel="bits per pixel")
    axes.set_xticks(dims, map(str, dims))
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(Path(folder) / "compression.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
