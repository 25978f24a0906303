"""A critic's term that keeps x and z informative: what it buys and costs, over seeds, Eq. MI.1.

The loss is -ELBO - weight I, the information by a critic that is the second player of one run. The
mutual information of held-out digits with their codes, Eq. SURG.2, lies below the logarithm of
their number; the ELBO is theirs, too, in nats per datum, its change paired by seed with a standard
error.
"""

import argparse

import numpy as np

from minivae import LatentModel, datasets, ops
from minivae.distributions import Binomial, StandardNormal
from minivae.information import donsker_varadhan, elbo_surgery
from minivae.models.vae import Encoder
from minivae.nn import MLP
from minivae.objectives import elbo_terms
from minivae.optim import Adam
from minivae.tensor import no_grad, values
from minivae.training import Player, Run

K, N_TRIALS = 2, 16


def train(X, weight, seed, epochs):
    """p(x, z) and an encoder, trained on -ELBO - weight I."""
    style = {"activation": "tanh", "rng": np.random.default_rng(seed), "dtype": X.dtype}
    D = X.shape[1]
    likelihood = Binomial(N_TRIALS).built(64, D, rng=style["rng"], dtype=X.dtype)
    decoder = MLP((K, 64), output_activation="tanh", **style)
    model = LatentModel(StandardNormal(K, X.dtype), decoder, likelihood)
    likelihood.start_at(X)
    encoder = Encoder(D, (64,), K, **style)
    critic = MLP((D + K, 64, 1), **{**style, "activation": "relu"})

    def posterior(x):
        return encoder(likelihood.encoder_input(x))

    def bound(x, z):
        seen = likelihood.encoder_input(x)
        apart = np.roll(seen, 1, axis=0)  # every z with another datum
        joint, product = (critic(ops.concatenate([s, z], 1))[:, 0] for s in (seen, apart))
        return donsker_varadhan(joint, product)

    def learn(batch, rng, progress):
        (x,) = batch
        q = posterior(x)
        eps = q.noise(rng)
        elbo = ops.mean(elbo_terms(model, q, x, eps).elbo)
        loss = -elbo if weight == 0 else -elbo - weight * bound(x, q.rsample(eps)[0])
        return loss, {"elbo": elbo.item()}

    def watch(batch, rng, progress):
        (x,) = batch
        with no_grad():
            q = posterior(x)
            z = values(q.rsample(q.noise(rng)))[0]
        found = bound(x, z)
        return -found, {"information": found.item()}

    players = [Player([*encoder.parameters(), *model.parameters()], learn)]
    if weight:
        players.append(Player(critic.parameters(), watch))
    Run(
        players, [X], epochs=epochs, batch_size=100, order=np.random.default_rng(seed),
        noise=np.random.default_rng(seed + 1), optimiser=lambda p: Adam(p, 3e-3),
    ).run()  # fmt: skip
    return model, posterior


def main(seeds=3, n=1500, held_out=600, epochs=30, weights=(0.0, 1.0, 5.0, 20.0)):
    X, X_test = (x.astype(np.float64)
                 for x in datasets.load("optdigits").model_arrays(counts=True))  # fmt: skip
    X, X_test = X[:n], X_test[:held_out]
    found = {weight: [] for weight in weights}
    for seed in range(seeds):
        for weight in weights:
            model, posterior = train(X, weight, seed, epochs)
            with no_grad():
                q = posterior(X_test).detach()
                q = type(q)(values(q.mu), values(q.log_var))
                eps = q.noise(np.random.default_rng(0), 4)
                terms = elbo_terms(model, q, X_test, eps)
            parts = elbo_surgery(q, model.prior, q.rsample(eps))
            found[weight].append([values(terms.elbo).mean(), values(terms.reconstruction).mean(),
                                  parts.information, parts.marginal_kl])  # fmt: skip
    base = np.array(found[weights[0]])
    print(f"{n} digits, {held_out} held out, {seeds} seeds, nats per datum; log {held_out} = "
          f"{np.log(held_out):.2f}")  # fmt: skip
    print(f"{'weight':>6s} {'ELBO':>8s}  {'change':>14s} {'reconstruction':>14s} {'I':>6s}"
          f"  {'marginal KL':>11s}")  # fmt: skip
    for weight, rows in found.items():
        mean, change = np.mean(rows, axis=0), (np.array(rows) - base)[:, 0]
        error = change.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else np.nan
        said = f"{change.mean():+.2f} +- {error:.2f}" if change.any() else ""
        print(f"{weight:6.1f} {mean[0]:8.2f}  {said:>14s} {mean[1]:14.2f} {mean[2]:6.2f}"
              f"  {mean[3]:11.2f}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    main(parser.parse_args().seeds)
