"""What a better prior buys: N(0, I), a mixture and a VampPrior on digits, over seeds, Eq. PRIOR.3.

The ELBO and its terms, and log p(x) of the first 100, of digits that training has not seen, in nats
per datum. The gain over N(0, I) is paired by seed, with its standard error.
"""

import argparse
import warnings

import numpy as np

from minivae import VAE, datasets
from minivae.errors import EffectiveSampleSizeWarning

SETTINGS = {"latent_dim": 5, "hidden": (64,), "activation": "tanh", "likelihood": "binomial",
            "n_trials": 16, "batch_size": 64, "learning_rate": 3e-3, "epochs": 30}  # fmt: skip
PRIORS = {
    "N(0, I)": {},
    "mixture of 20": {"prior": "mixture", "prior_components": 20},
    "VampPrior of 20": {"prior": "vamp", "prior_components": 20},
    "VampPrior of 100": {"prior": "vamp", "prior_components": 100},
}


def main(seeds=5, n=1500, held_out=400, settings=SETTINGS):
    X, X_test = datasets.load("optdigits").model_arrays(counts=True)
    X, X_test = X[:n], X_test[:held_out]
    found = {name: [] for name in PRIORS}
    for seed in range(seeds):
        for name, prior in PRIORS.items():
            vae = VAE(**{**settings, **prior}, random_state=seed).fit(X)
            terms = vae.elbo_terms(X_test)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", EffectiveSampleSizeWarning)  # of a few data
                log_p = vae.log_likelihood(X_test[:100], 500)
            found[name].append([a.mean() for a in (terms.elbo, log_p, *terms)])
    base = np.array(found["N(0, I)"])
    print(f"{n} digits, {held_out} held out, {seeds} seeds, nats per datum")
    print(f"{'prior':17s} {'ELBO':>8s}  {'gain':>13s} {'log p(x)':>9s}  {'gain':>13s}  {'rec.':>7s}"
          f" {'KL':>5s}")  # fmt: skip
    for name, rows in found.items():
        mean, gains = np.mean(rows, axis=0), np.array(rows) - base
        error = gains.std(axis=0, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.full(4, np.nan)
        said = [f"{g:+6.2f} +- {e:.2f}" for g, e in zip(gains.mean(axis=0), error, strict=True)]
        if not gains.any():
            said = [""] * 4
        print(f"{name:17s} {mean[0]:8.2f}  {said[0]:>13s} {mean[1]:9.2f}  {said[1]:>13s}"
              f"  {mean[2]:7.2f} {mean[3]:5.2f}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    main(parser.parse_args().seeds)
