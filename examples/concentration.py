"""What the concentration does: three clusters, ten components, and how many of them are used.

With a Dirichlet prior, a smaller concentration leaves fewer components in use; Eq. VBM.5 is the
part of the bound that belongs to the weights. With sticks that are cut after ten pieces the
concentration has almost no effect. The script draws ``examples/concentration.png`` in half a
minute.
"""

# %%
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minivae import BayesianGaussianMixture
from minivae.errors import ConvergenceWarning
from minivae.figures import save_figure

TYPES = {"dirichlet_distribution": "Dirichlet", "dirichlet_process": "Dirichlet process"}


def main(folder=Path(__file__).parent):
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [5.0, 0.0], [2.0, 5.0]])
    X = centres.repeat([150, 100, 50], axis=0) + rng.normal(size=(300, 2))
    grid = 10.0 ** np.arange(-4, 4.1, 0.5)

    # %% Weights, the largest first, for each concentration.
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (kind, name) in zip(panels, TYPES.items(), strict=True):
        rows = []
        for concentration in grid:
            model = BayesianGaussianMixture(
                10, weight_concentration_prior_type=kind, random_state=0, max_iter=1000,
                weight_concentration_prior=concentration,
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X)
            rows.append(np.sort(model.weights_)[::-1])
        weights = np.array(rows)
        used = (weights > 0.01).sum(axis=1)
        print(f"{name}: {used[0]} components at {grid[0]:g}, {used[-1]} at {grid[-1]:g}")
        colours = [f"C{k}" for k in range(10)]
        axes.stackplot(grid, weights.T, colors=colours, alpha=0.7, edgecolor="white", linewidth=0.5)
        axes.set(xscale="log", xlabel="weight_concentration_prior", title=name,
                 xlim=(grid[0], grid[-1]), ylim=(0, 1))  # fmt: skip
        for share in (0.5, 0.5 + 1 / 3):
            axes.axhline(share, color="black", linewidth=0.8, linestyle=":")
    panels[0].set_ylabel("weights of ten components")
    save_figure(figure, Path(folder) / "concentration.png")


# %%
if __name__ == "__main__":
    main()
