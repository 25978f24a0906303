"""Old Faithful's eruptions, short and long: a mixture of two Gaussians by EM, and why not three.

Eq. GMM.1 is the density drawn on the left, Eq. GMM.2 gives the responsibilities on the right. The
script draws ``examples/faithful.png`` in a few seconds.
"""

# %%
from pathlib import Path

from minivae import GaussianMixture
from minivae.datasets import load_faithful
from minivae.figures import mixture_map, save_figure


def main(folder=Path(__file__).parent):
    X = load_faithful()  # minutes of eruption, minutes until the next

    # %% BIC weighs the likelihood against the number of parameters: two components are enough.
    mixtures = [GaussianMixture(K, random_state=0).fit(X) for K in range(1, 6)]
    for mixture in mixtures:
        nats, bic = mixture.score(X), mixture.bic(X)
        print(f"K={mixture.n_components}: log p(x) {nats:.4f} nats per datum, BIC {bic:.1f}")
    best = min(mixtures, key=lambda mixture: mixture.bic(X))

    # %% After a short eruption the next one comes soon.
    for weight, (eruption, waiting) in zip(best.weights_, best.means_, strict=True):
        print(f"{weight:.0%} last {eruption:.1f} minutes, and {waiting:.0f} pass until the next")

    # %%
    figure = mixture_map(X, best.weights_, best.means_, best.covariances_)
    for axes in figure.axes[:2]:
        axes.set(xlabel="eruption, minutes", ylabel="until the next, minutes")
    save_figure(figure, Path(folder) / "faithful.png")


# %%
if __name__ == "__main__":
    main()
