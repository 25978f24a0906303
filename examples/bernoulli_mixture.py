"""Binary images of digits as a mixture of Bernoulli distributions, Eq. GMM.13, and its means.

With more components new digits have a higher log p(x). EM alternates Eq. GMM.2 with Eq. GMM.14 and
Eq. GMM.4.
"""

# %%
from pathlib import Path

from minivae import BernoulliMixture, datasets
from minivae.figures import component_images, save_figure


# %%
def main(folder=Path(__file__).parent, components=(1, 10, 20, 40)):
    digits = datasets.load("optdigits")
    X, X_test = ((x > digits.max_value / 2).astype(float) for x in (digits.x_train, digits.x_test))
    for K in components:
        mixture = BernoulliMixture(K, max_iter=500, random_state=0).fit(X)
        nats, of_new = mixture.score(X), mixture.score(X_test)
        print(f"K={K}: log p(x) {nats:.2f} nats a digit, of new digits {of_new:.2f}")

    # %% With 40 components there are several ways of writing each digit.
    figure = component_images(mixture.means_, mixture.weights_, digits.image_shape, vmax=1)
    save_figure(figure, Path(folder) / "bernoulli_mixture.png")


# %%
if __name__ == "__main__":
    main()
