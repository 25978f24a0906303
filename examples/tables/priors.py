"""What a better prior buys: N(0, I), a mixture and a VampPrior on digits, over seeds, Eq. PRIOR.3.

The ELBO and log p(x) (of half of them) of digits that training has not seen, in nats per datum; the
marginal KL is what the prior costs, Eq. SURG.2. The gain over N(0, I) is paired by seed, with its standard error.
"""

import argparse

import numpy as np

from minivae import VAE, datasets

SETTINGS = {"latent_dim": 5, "hidden": (64,), "activation": "tanh", "likelihood": "binomial",
            "n_trials": 16, "batch_size": 64, "learning_rate": 3e-3, "epochs": 30}  # fmt: skip
PRIORS = {
    "N(0, I)": {},
    "mixture of 20": {"prior": "mixture", "prior_components": 20},
    "VampPrior of 20": {"prior": "vamp", "prior_components": 20},
    "VampPrior of 100": {"prior": "vamp", "prior_components": 100},
}


def main(seeds=3, n=1500, held_out=400, settings=SETTINGS):
    X, X_test = datasets.load("optdigits").model_arrays(counts=True)
    X, X_test = X[:n], X_test[:held_out]
    found = {name: [] for name in PRIORS}
    for seed in range(seeds):
        for name, prior in PRIORS.items():
            vae = VAE(**{**settings, **prior}, random_state=seed).fit(X)
            parts = vae.surgery(X_test)
            found[name].append([vae.score(X_test), vae.log_likelihood(X_test[:200], 200).mean(),
                                parts.information, parts.marginal_kl])  # fmt: skip
    base = np.array(found["N(0, I)"])
    print(f"{n} digits, {held_out} held out, {seeds} seeds, nats per datum")
    print(f"{'prior':17s} {'ELBO':>8s}  {'gain':>13s} {'log p(x)':>9s}  {'gain':>13s}  {'I':>5s}"
          f" {'cost':>5s}")  # fmt: skip
    for name, rows in found.items():
        mean, gains = np.mean(rows, axis=0), np.array(rows) - base
        error = gains.std(axis=0, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.full(4, np.nan)
        said = [f"{g:+6.2f} +- {e:.2f}" for g, e in zip(gains.mean(axis=0), error, strict=True)]
        if not gains.any():
            said = [""] * 4
        print(f"{name:17s} {mean[0]:8.2f}  {said[0]:>13s} {mean[1]:9.2f}  {said[1]:>13s}"
              f"  {mean[2]:5.2f} {mean[3]:5.2f}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    main(parser.parse_args().seeds)
