"""Draw x, keep it with probability p(y | x): what that recipe draws from, Eq. USE.8.

The table has two classes and twelve values, so everything is a sum. Ancestral sampling draws x from
p(x | y). The recipe does so, too, if its x come from p(x). For any other source a bias remains,
however many are drawn; and even at best the recipe keeps only a share p(y) of its draws.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom


def recipe(proposal, p_y_given_x):
    """The distribution that the recipe draws from, and the share of draws it keeps, Eq. USE.8."""
    kept = proposal * p_y_given_x
    return kept / kept.sum(), kept.sum()


# %%
def main(folder=Path(__file__).parent, n=20000, seeds=5):
    x = np.arange(12)
    p_y = np.array([0.95, 0.05])
    p_x_given_y = np.stack([binom.pmf(x, 11, 0.25), binom.pmf(x, 11, 0.7)])
    p_x = p_y @ p_x_given_y
    p_y1_given_x = p_y[1] * p_x_given_y[1] / p_x
    proposals = {"x from p(x)": p_x, "x uniform": np.full(12, 1 / 12)}
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.bar(x, p_x_given_y[1], color="lightgrey", label="p(x | y), ancestral")
    for name, proposal in proposals.items():
        drawn_from, kept = recipe(proposal, p_y1_given_x)
        bias = 0.5 * np.abs(drawn_from - p_x_given_y[1]).sum()
        found = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            tried = rng.choice(12, n, p=proposal)
            accepted = tried[rng.random(n) < p_y1_given_x[tried]]
            found.append([accepted.mean(), len(accepted) / n])
        (mean, rate), spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        print(f"{name:12s} total variation from p(x | y) {bias:.3f}; keeps {kept:.3f}")
        print(f"{'':12s} mean of x: exact {drawn_from @ x:.3f}, drawn {mean:.3f} +- {spread[0]:.3f}"
              f"; kept {rate:.3f}")  # fmt: skip
        axes.plot(x, drawn_from, "o-", label=f"kept, {name}")
    print(f"{'ancestral':12s} mean of x: exact {p_x_given_y[1] @ x:.3f}; keeps all")
    axes.set(xlabel="x", ylabel="probability")
    axes.legend()
    figure.savefig(Path(folder) / "rejection.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
