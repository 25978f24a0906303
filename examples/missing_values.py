"""What imputation forgets: two thirds of one feature missing, and three ways to an ellipse.

EM adds the conditional covariance of Eq. MISS.2 to the sums, Eq. MISS.3. Imputing means and then
fitting leaves it out, and the ellipse shrinks onto a line. The script draws
``examples/missing_values.png`` in a few seconds.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import GaussianMixture
from minivae.figures import save_figure


def ellipse(mean, covariance):
    """The points at two standard deviations."""
    turn = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(turn), np.sin(turn)])
    return mean[:, None] + 2 * np.linalg.cholesky(covariance) @ circle


def main(folder=Path(__file__).parent):
    rng = np.random.default_rng(0)
    whole = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.6], [0.6, 1.0]], 600)
    holed = whole.copy()
    holed[rng.random(600) < 2 / 3, 1] = np.nan

    # %% Exact EM, and what iterating "impute, then fit" ends with.
    fits = {"all values": GaussianMixture().fit(whole)}
    options = {"missing": "marginalise", "tol": 1e-8, "max_iter": 500}
    fits["EM with the gaps"] = GaussianMixture(**options).fit(holed)
    imputed = GaussianMixture(**options, random_state=0).fit(holed)
    for _ in range(50):
        imputed = GaussianMixture().fit(imputed.impute(holed))
    fits["imputed means"] = imputed
    for name, model in fits.items():
        (_, across), (_, variance) = model.covariances_[0]
        print(f"{name}: variance {variance:.3f}, covariance {across:.3f}")

    # %%
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    there = ~np.isnan(holed[:, 1])
    filled = imputed.impute(holed)
    axes.scatter(*whole[there].T, s=6, color="0.6", label="rows without gaps")
    axes.scatter(*filled[~there].T, s=6, color="#c26b4a", label="gaps, filled by means")
    for (name, model), style in zip(fits.items(), ("k:", "C0-", "C1-"), strict=True):
        axes.plot(*ellipse(model.means_[0], model.covariances_[0]), style, label=name)
    axes.set(xlabel="always observed", ylabel="missing in two rows of three", aspect="equal")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    save_figure(figure, Path(folder) / "missing_values.png")


# %%
if __name__ == "__main__":
    main()
