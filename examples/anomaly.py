"""A model of eights looks at other digits, and at means of eights: Eq. USE.1 and Eq. USE.2.

The scores are minus log p(x), minus the ELBO and minus the reconstruction. A mean of five eights is
a blur, and no such image is among the data. But it lies in the middle of them, where the density is
high, so each score finds it less strange than real eights.
"""

# %%
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE, datasets
from minivae.errors import EffectiveSampleSizeWarning
from minivae.metrics import roc_auc, roc_auc_interval, roc_curve

SETTINGS = {"likelihood": "binomial", "n_trials": 16, "hidden": (64,), "activation": "tanh",
            "latent_dim": 4, "learning_rate": 5e-3, "batch_size": 50}  # fmt: skip
NAMES = ("-log p(x)", "-ELBO", "-reconstruction")


def strangeness(vae, X, S=200):
    """The three scores, ``(3, N)``."""
    terms = vae.elbo_terms(X)
    with warnings.catch_warnings():  # of the strange, few samples say that it is unlikely
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
        log_p = vae.log_likelihood(X, S, proposal="encoder")
    return -np.stack([log_p, terms.elbo, terms.reconstruction])


# %%
def main(folder=Path(__file__).parent, seeds=3, epochs=60, most=600):
    digits = datasets.load("optdigits")
    X, X_test = digits.model_arrays(counts=True)
    own = X_test[digits.y_test == 8]
    five = np.random.default_rng(0).choice(own, (len(own), 5)).mean(axis=1).round()
    strange = {"other digits": X_test[digits.y_test != 8][:most], "means of eights": five}
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    panels = dict(zip(strange, figure.subplots(1, 2), strict=True))
    areas = {what: [] for what in strange}
    for seed in range(seeds):
        vae = VAE(**SETTINGS, epochs=epochs, random_state=seed).fit(X[digits.y_train == 8])
        usual = strangeness(vae, own)
        for what, data in strange.items():
            scores = np.concatenate([usual, strangeness(vae, data)], axis=1)
            positive = np.arange(scores.shape[1]) >= len(own)
            areas[what].append([roc_auc(s, positive) for s in scores])
            for name, s, colour in zip(NAMES, scores, ("C0", "C1", "C2"), strict=True):
                label = name if seed == 0 else None
                panels[what].plot(*roc_curve(s, positive), color=colour, alpha=0.6, label=label)
            if seed == 0:
                _, low, high = roc_auc_interval(scores[0], positive)
                print(f"{what}: area of -log p(x) between {low:.3f} and {high:.3f} (95 %, seed 0)")
    print(f"{'area under the curve':22s}" + "".join(f"{name:>18s}" for name in NAMES))
    for what, found in areas.items():
        mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        cells = (f"{m:.3f} +- {s:.3f}" for m, s in zip(mean, spread, strict=True))
        print(f"{what:22s}" + "".join(f"{cell:>18s}" for cell in cells))
    for what, panel in panels.items():
        panel.plot([0, 1], [0, 1], "k:", linewidth=1)
        panel.set(xlabel="false alarms", ylabel="found", title=f"{what} among eights")
    panels["other digits"].legend(loc="lower right")
    figure.savefig(Path(folder) / "anomaly.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
