"""How well does an epoch mix a sorted file? The order of Eq. LARGE.2 with small and large pools.

The file has 600 blocks of 100 rows, sorted by ten classes, so a block contains one class or two.
All minibatches of a pool share the pool's classes: their common error is that of Eq. LARGE.3.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

BLOCKS, ROWS, CLASSES = 600, 100, 10


def pool_variance(means, P):
    """The variance of the mean over P of B blocks that are drawn together, Eq. LARGE.3.

    ``means`` are the blocks' own, ``(B,)``.
    """
    B = len(means)
    return np.var(means) / P * (B - P) / (B - 1)


def epoch(P, rng):
    """The numbers of the rows in the order of Eq. LARGE.2, with P blocks in a pool."""
    blocks = rng.permutation(BLOCKS)
    rows = np.arange(BLOCKS * ROWS).reshape(BLOCKS, ROWS)
    pools = [rows[blocks[i : i + P]].ravel() for i in range(0, BLOCKS, P)]
    return np.concatenate([rng.permutation(pool) for pool in pools])


# %%
def main(folder=Path(__file__).parent, window=1000):
    rng = np.random.default_rng(0)
    first = (np.arange(BLOCKS * ROWS) < BLOCKS * ROWS / CLASSES).astype(float)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    print("blocks in a pool   a pool's share of one class is off by")
    for P, style in ((1, {"lw": 0.6, "alpha": 0.4}), (64, {}), (BLOCKS, {"color": "black"})):
        moving = np.convolve(first[epoch(P, rng)], np.full(window, 1 / window), "valid")
        axes.plot(moving, label=f"{P}" if P < BLOCKS else f"{P}: all rows shuffled", **style)
        print(f"{P:>16}   {pool_variance(first.reshape(BLOCKS, ROWS).mean(1), P) ** 0.5:.3f}")
    axes.set(xlabel="row of the epoch", ylabel=f"share of one class of ten, among {window} rows")
    axes.legend(title="blocks in a pool")
    figure.savefig(Path(folder) / "block_order.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
