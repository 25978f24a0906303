"""Rate and distortion as beta goes from 1/8 to 32: Eq. VAE.4, and Eq. RATE.1 for a linear decoder.

On the left the curve is known: a linear decoder with fixed noise uses the directions whose variance
exceeds beta sigma^2, and trained models lie on the curve. On the right are digits, for which only
trained models give the curve.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import VAE, datasets
from minivae.distributions import Gaussian

BETAS = 2.0 ** np.arange(-3, 6)


def linear_curve(eigenvalues, var, beta):
    """The rate, Eq. RATE.1, and the mean squared error of the best linear model, both exact.

    A direction in use keeps beta sigma^2 of its variance as error, the others keep all of it.
    """
    used = eigenvalues > beta * var
    rate = 0.5 * np.log(eigenvalues[used] / (beta * var)).sum()
    return rate, np.where(used, beta * var, eigenvalues).sum()


# %%
def main(folder=Path(__file__).parent, epochs=200, digits_epochs=12, betas=BETAS):
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    eigenvalues, var = np.array([4.0, 2.0, 1.0, 0.5]), 0.1
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 4))
    X -= X.mean(axis=0)
    X = X @ np.linalg.inv(np.linalg.cholesky(np.cov(X.T, bias=True))).T * np.sqrt(eigenvalues)
    fine = np.geomspace(0.4, 40.0, 300)
    left.plot(*zip(*(linear_curve(eigenvalues, var, b) for b in fine), strict=True), label="exact")
    print("  beta  rate, exact  trained  squared error, exact  trained")
    for beta in betas[betas >= 0.5]:
        vae = VAE(
            4, (), likelihood=Gaussian(var**0.5), beta=beta, epochs=epochs, batch_size=100,
            learning_rate=1e-2, n_samples=4, dtype="float64", random_state=0,
        ).fit(X)  # fmt: skip
        terms = vae.elbo_terms(X, rng.standard_normal((30, len(X), 4)))
        constant = -2.0 * np.log(2 * np.pi * var)
        rate, error = terms.kl.mean(), 2 * var * (constant - terms.reconstruction.mean())
        exact = linear_curve(eigenvalues, var, beta)
        print(f"{beta:6.3f}  {exact[0]:11.3f}  {rate:7.3f}  {exact[1]:20.3f}  {error:7.3f}")
        left.plot(rate, error, "o", color="#7c0300")
    left.set(xlabel="rate: KL, nats", ylabel="distortion: squared error", title="linear decoder")
    left.legend(frameon=False)

    X, X_test = datasets.load("optdigits").model_arrays(counts=True)
    points = []
    for beta in betas:
        vae = VAE(10, (64,), "tanh", "binomial", n_trials=16, beta=beta, epochs=digits_epochs,
                  learning_rate=3e-3, random_state=0).fit(X[:1500])  # fmt: skip
        terms = vae.elbo_terms(X_test[:500])
        points.append((terms.kl.mean(), -terms.reconstruction.mean()))
        rate, distortion = points[-1]
        print(f"digits, beta {beta:6.3f}: rate {rate:6.2f}, distortion {distortion:.2f}, "
              f"ELBO {-rate - distortion:.2f}")  # fmt: skip
    rate, distortion = np.transpose(points)
    right.plot(rate, distortion, "o-", color="#7c0300")
    for beta, at in zip(betas, points, strict=True):
        right.annotate(f"{beta:g}", at, xytext=(4, 4), textcoords="offset points", fontsize=8)
    best = rate + distortion
    r = np.linspace(0, rate.max(), 2)
    right.plot(r, best.min() - r, color="black", linestyle=":", label="the best ELBO among them")
    right.set(xlabel="rate: KL, nats", ylabel="distortion: -reconstruction, nats",
              title="digits, held out; numbers are beta")  # fmt: skip
    right.legend(frameon=False)
    figure.savefig(Path(folder) / "rate_distortion.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
