"""What R-hat sees and what it cannot: traces and ranks of two targets, Eq. CHAIN.4.

The upper row shows HMC on one hill: every chain goes everywhere. In the lower row two hills are ten
standard deviations apart, and chains start on both. No chain crosses, each has the ranks of its own
hill, and R-hat shows it. If all chains started on one hill, the row would look like the upper one.
"""

# %%
from pathlib import Path

import numpy as np

from minivae import figures, ops
from minivae.inference import hmc


def one_hill(z):
    """log N(z; 0, 1) up to a constant."""
    return -0.5 * ops.sum(ops.square(z), -1)


def two_hills(z):
    """Two normal hills of equal weight at -5 and 5."""
    return ops.logsumexp(-0.5 * ops.square(z - np.array([-5.0, 5.0])), -1)


# %%
def main(path):
    starts = np.array([-6.0, -4.0, 4.0, 6.0]).reshape(4, 1, 1)
    chains = [hmc(f, starts, 400, 200, random_state=0) for f in (one_hill, two_hills)]
    draws = np.concatenate([chain.draws[:, :, 0] for chain in chains], axis=-1)
    names = [
        f"{name}\nR-hat {chain.r_hat.item():.2f}, ESS {chain.ess_bulk.item():.0f}"
        for name, chain in zip(("one hill", "two hills"), chains, strict=True)
    ]
    figures.save_figure(figures.trace_and_ranks(draws, names), path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
