"""A linear VAE finds the principal axes: Eq. PPCA.2 against training on Eq. VAE.4.

PCA finds the subspace of the largest variance; probabilistic PCA adds a density, Eq. PPCA.3. A
linear VAE with a diagonal encoder reaches its log-likelihood and turns its axes to the principal
ones, because any other angle costs it Eq. PPCA.5.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE


# %%
def principal_axes(X, K):
    """W = U (L - s2 I)^(1/2), all eigenvalues l, and s2, the mean of those left out, Eq. PPCA.2."""
    values, vectors = np.linalg.eigh(np.cov(X.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    var = values[K:].mean()
    return vectors[:, :K] * np.sqrt(values[:K] - var), values, var


def log_likelihood(values, K):
    """-1/2 (d log 2 pi + sum of log l_j + (d - K) log s2 + d), nats per datum, Eq. PPCA.3."""
    d, var = len(values), values[K:].mean()
    kept = np.log(values[:K]).sum() + (d - K) * np.log(var)
    return -0.5 * (d * np.log(2 * np.pi) + kept + d)


def posterior(X, W, mean, var):
    """The mean (N, K) and covariance (K, K) of p(z | x), Eq. PPCA.4."""
    inverse = np.linalg.inv(W.T @ W + var * np.eye(W.shape[1]))
    return (X - mean) @ W @ inverse, var * inverse


def rotation_cost(W, var):
    """Nats per datum that the best diagonal q loses, Eq. PPCA.5."""
    M = W.T @ W + var * np.eye(W.shape[1])
    return 0.5 * (np.log(np.diag(M)).sum() - np.linalg.slogdet(M)[1])


def energies(values, K, var, beta=1.0):
    """|w_j|^2 = max(l_j - beta s2, 0): a column below the threshold collapses, Eq. PPCA.6."""
    return np.maximum(values[:K] - beta * var, 0.0)


# %%
def main(folder=Path(__file__).parent):
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((1000, 2)) * [2.0, 1.0]
    X = latent @ np.linalg.qr(rng.standard_normal((6, 2)))[0].T
    X += 0.4 * rng.standard_normal(X.shape)
    W, values, _ = principal_axes(X, 2)
    vae = VAE(
        latent_dim=2, hidden=(), activation="identity", likelihood="gaussian", sigma="shared",
        n_samples=4, epochs=60, learning_rate=0.01, dtype="float64", random_state=1,
    ).fit(X)  # fmt: skip
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(vae.history_["elbo"], label="linear VAE")
    left.axhline(log_likelihood(values, 2), color="black", linestyle="--", label="PCA, Eq. PPCA.3")
    left.set(xlabel="epoch", ylabel="nats per datum", title="ELBO", ylim=(-11, None))
    left.legend(loc="lower right")
    axes = W / np.linalg.norm(W, axis=0)
    right.plot(*((X - X.mean(0)) @ axes).T, ".", color="0.85", markersize=3)
    for columns, style, label in (
        (W, "k--", "PCA"),
        (vae.likelihood_.heads[0].weight.data.T, "C0-", "linear VAE"),
    ):
        for j, (a, b) in enumerate((axes.T @ columns).T):
            right.plot([-a, a], [-b, b], style, linewidth=2, label=label if j == 0 else None)
    right.set(aspect="equal", title="the decoder's columns in the principal plane")
    right.legend()
    figure.savefig(folder / "linear_vae.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
