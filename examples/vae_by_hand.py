"""A variational autoencoder by hand: its model, its loss and its training step on one screen.

It uses nothing of ``minivae.VAE``, and its ``fit`` finds the same parameters, bit for bit. It
prints the ELBO of digits that it has not seen, and draws their codes: ``examples/vae_by_hand.png``.
"""

# %%
import numpy as np
from scipy.special import gammaln

from minivae import datasets, nn, ops, value_and_grad
from minivae.figures import latent_scatter, save_figure
from minivae.optim import Adam
from minivae.randomness import stream


# %% The model: 64 pixels, each a count to 16, to 200 features to a code of 2 numbers, and back
def encode(x, W, b, W_mu, b_mu, W_var, b_var):
    """q(z | x) = N(mu, exp(log_var)), Eq. VAE.3."""
    h = ops.linear(x / 16, W, b, activation="tanh")
    return ops.linear(h, W_mu, b_mu), ops.linear(h, W_var, b_var)


def loss(x, eps, *theta):
    """KL(q(z | x) || p(z)) - log p(x | z), the mean over the data in nats, Eq. VAE.4."""
    mu, log_var = encode(x, *theta[:6])
    z = ops.reparameterise(mu, log_var, eps)[0]  # mu + exp(log_var / 2) eps, Eq. REP.1
    logits = ops.linear(ops.linear(z, *theta[6:8], activation="tanh"), *theta[8:])
    log_choose = (gammaln(17) - gammaln(x + 1) - gammaln(17 - x)).sum(axis=1, dtype=x.dtype)
    log_p = ops.binomial_log_prob(logits, x, n_trials=16.0) + log_choose  # Eq. LIK.2
    return ops.mean(ops.gaussian_kl(mu, log_var) - log_p)


# %% The training: shuffle the data, draw the noise, step along the gradient
def train(X, epochs, seed=0):
    weights, order, noise = (stream(seed, number) for number in range(3))
    layers = [  # mu and log_var begin at 0: q(z | x) begins at the prior
        nn.Dense(i, o, rng=weights, dtype="float32", initialiser=nn.zeros if o == 2 else None)
        for i, o in ((64, 200), (200, 2), (200, 2), (2, 200), (200, 64))
    ]
    p = np.clip(X.mean(axis=0) / 16, 1e-3, 1 - 1e-3)
    layers[-1].bias.data = np.log(p) - np.log1p(-p)  # whatever z, the mean of the data
    theta = [p for layer in layers for p in layer.parameters()]
    adam, step = Adam(theta, learning_rate=5e-3), value_and_grad(loss, argnums=range(2, 12))
    for _ in range(epochs):
        for rows in np.array_split(order.permutation(len(X)), range(128, len(X), 128)):
            eps = noise.standard_normal((1, len(rows), 2), dtype=np.float32)
            adam.step(step(X[rows], eps, *[p.data for p in theta])[1])
    return [p.data for p in theta]


# %%
if __name__ == "__main__":
    digits = datasets.load("optdigits")
    X, X_test = digits.model_arrays()
    theta = train(X, epochs=40)
    eps = np.random.default_rng(0).standard_normal((1, len(X_test), 2), dtype=np.float32)
    print(f"ELBO of {len(X_test)} new digits: {-loss(X_test, eps, *theta):.2f} nats per datum")
    picture = latent_scatter(encode(X_test, *theta[:6])[0], digits.y_test)
    save_figure(picture, __file__.replace(".py", ".png"))
