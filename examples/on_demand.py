"""A digit on demand, and back: a conditional VAE as a generator and as a classifier, Eq. NB.2.

Each row has draws of one class. A classifier that was trained on real digits says which digit each
draw is, and with Bayes' rule the generator itself says which digit a new one is.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import ConditionalVAE, NeuralClassifier, datasets
from minivae.figures import image_grid

SETTINGS = {"likelihood": "binomial", "n_trials": 16, "hidden": (100,), "activation": "tanh",
            "latent_dim": 4, "learning_rate": 3e-3, "batch_size": 100}  # fmt: skip


# %%
def main(folder=Path(__file__).parent, seeds=3, n=2000, epochs=40, most=200):
    digits = datasets.load("optdigits")
    X, X_test = digits.model_arrays(counts=True)
    X, y, X_test, y_test = X[:n], digits.y_train[:n], X_test[:most], digits.y_test[:most]
    judge = NeuralClassifier((64,), weight_decay=1.0, epochs=40, random_state=0).fit(X, y)
    wanted, found = np.repeat(np.arange(10), 50), []
    for seed in range(seeds):
        vae = ConditionalVAE(**SETTINGS, epochs=epochs, random_state=seed).fit(X, y)
        drawn = vae.sample(y=wanted, random_state=seed)
        log_p = vae.log_likelihood_of_classes(X_test, 100)  # p(y) is the same for all
        by_bayes = vae.classes_[log_p.argmax(axis=1)]
        found.append([(judge.predict(drawn) == wanted).mean(), (by_bayes == y_test).mean()])
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    print(f"judge on real digits              {judge.score(X_test, y_test):.3f}")
    print(f"draws that are the digit wanted   {mean[0]:.3f} +- {spread[0]:.3f}, {seeds} seeds")
    print(f"real digits named by Bayes' rule  {mean[1]:.3f} +- {spread[1]:.3f}")
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    some = drawn.reshape(10, 50, -1)[:, :12].reshape(120, -1)
    axes.imshow(image_grid(some, (8, 8), 12), cmap="gray_r")
    axes.set_yticks(4 + 9 * np.arange(10), map(str, range(10)))
    axes.set(xticks=[], ylabel="class", title="draws of x given the class")
    figure.savefig(Path(folder) / "on_demand.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
