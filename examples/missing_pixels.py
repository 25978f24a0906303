"""The lower half of a digit from its upper half, by the posterior of what is seen, Eq. USE.7.

The code has two dimensions, so the posterior is summed on a grid. It is compared with the training
mean, and with what most people would try first, an encoder that is shown the mean in place of what
is missing.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import softmax, xlog1py, xlogy

from minivae import VAE, datasets
from minivae.figures import image_grid

SETTINGS = {"likelihood": "binomial", "n_trials": 16, "hidden": (100,), "activation": "tanh",
            "latent_dim": 2, "learning_rate": 3e-3, "batch_size": 100}  # fmt: skip


def imputed(x, seen, means, log_prior):
    """E[x | what is seen] over a grid of codes, ``(N, D)``, Eq. USE.7.

    ``means`` are E[x | z] as shares of 16, ``(G, D)``.
    """
    k, p = x[:, seen].astype(float), np.clip(means[:, seen].astype(float), 1e-6, 1 - 1e-6)
    log_seen = k @ xlogy(1.0, p).T + (16 - k) @ xlog1py(1.0, -p).T  # the constant cancels
    return 16 * softmax(log_seen + log_prior, axis=1) @ means


# %%
def main(folder=Path(__file__).parent, seeds=3, n=2000, epochs=60, points=60):
    digits = datasets.load("optdigits")
    X, X_test = digits.model_arrays(counts=True)
    X, D = X[:n], X.shape[1]
    seen = np.arange(D) < D // 2
    side = np.linspace(-4, 4, points)
    z = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.float32)
    log_prior = -0.5 * np.square(z).sum(axis=1)
    names = ("training mean", "filled, then encoded", "posterior of what is seen")
    errors = []
    for seed in range(seeds):
        vae = VAE(**SETTINGS, epochs=epochs, random_state=seed).fit(X)
        filled = np.where(seen, X_test, X.mean(axis=0).round())
        guesses = [np.broadcast_to(X.mean(axis=0), X_test.shape), vae.reconstruct(filled),
                   imputed(X_test, seen, vae.decode(z) / 16, log_prior)]  # fmt: skip
        errors.append([np.sqrt(np.square(g - X_test)[:, ~seen].mean()) for g in guesses])
    mean, spread = np.mean(errors, axis=0), np.std(errors, axis=0, ddof=1)
    print(f"root mean square error of the missing half, of 16; {seeds} seeds")
    for name, m, s in zip(names, mean, spread, strict=True):
        print(f"{name:28s} {m:.3f} +- {s:.3f}")
    some = [int(np.argmax(digits.y_test == k)) for k in range(10)]
    rows = [X_test[some], np.where(seen, X_test[some], 0)]
    rows += [np.where(seen, X_test[some], g[some]) for g in guesses]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(image_grid(np.concatenate(rows), (8, 8), 10), cmap="gray_r")
    axes.set_yticks(4 + 9 * np.arange(5), ["digit", "what is seen", *names])
    axes.set(xticks=[])
    figure.savefig(Path(folder) / "missing_pixels.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
