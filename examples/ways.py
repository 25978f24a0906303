"""From one digit to another: through the codes, and through the pixels.

A classifier trained on real digits is asked what it sees half-way. Between two codes there is
mostly one digit; between two images there are two, one laid faintly over the other.
"""

# %%
from pathlib import Path

import numpy as np

from minivae import VAE, NeuralClassifier, datasets
from minivae.figures import interpolation, save_figure

SETTINGS = {"likelihood": "binomial", "n_trials": 16, "hidden": (100,), "activation": "tanh",
            "latent_dim": 6, "learning_rate": 3e-3, "batch_size": 100}  # fmt: skip


# %%
def main(folder=Path(__file__).parent, seeds=3, n=2000, epochs=30, pairs=400):
    digits = datasets.load("optdigits")
    X, X_test = digits.model_arrays(counts=True)
    X, y = X[:n], digits.y_train[:n]
    judge = NeuralClassifier((64,), weight_decay=1.0, epochs=40, random_state=0).fit(X, y)
    found = []
    for seed in range(seeds):
        vae = VAE(**SETTINGS, epochs=epochs, random_state=seed).fit(X)
        a, b = np.random.default_rng(seed).choice(len(X_test), (2, pairs))
        z = vae.transform(X_test)
        halfway = {"codes": vae.decode(0.5 * (z[a] + z[b])), "pixels": (X_test[a] + X_test[b]) / 2}
        found.append([(judge.predict_proba(h).max(axis=1) > 0.9).mean() for h in halfway.values()])
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    print(f"half-way images of which a classifier is sure (p > 0.9), {pairs} pairs, {seeds} seeds")
    for name, m, s in zip(("through the codes", "through the pixels"), mean, spread, strict=True):
        print(f"{name:20s} {m:.3f} +- {s:.3f}")
    t = np.linspace(0, 1, 9)[:, None]
    rows = []
    for i, j in ((0, 3), (6, 2)):
        rows += [vae.interpolate(X_test[i], X_test[j], 9), (1 - t) * X_test[i] + t * X_test[j]]
    save_figure(interpolation(np.stack(rows), (8, 8)), Path(folder) / "ways.png")


# %%
if __name__ == "__main__":
    main()
