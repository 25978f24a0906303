"""Blocks of rows, turned on their side: what the loops of mixtures and of k-means work on.

In a workspace of shape ``(D, STRIDE)`` a feature's numbers lie one beside the other, so that what
is done to each row of a block becomes vector instructions. This file is one of those that name
cached machine code: the cache of a loop sees no file but the loop's own.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from minivae_kernels._jit import kernel

BLOCK = 256  # rows: long enough for the sums over a block, short enough for the first caches
STRIDE = BLOCK + 8  # rows of the workspace 2 kB apart would evict each other


@kernel
def turn(X: Any, start: int, n: int, x: npt.NDArray[np.float64]) -> None:
    """Turn a block on its side, eight rows at a time: x[i, r] is feature i of row start + r."""
    first, eights = np.uintp(start), np.uintp(n - n % 8)
    for r in range(np.uintp(0), eights, np.uintp(8)):
        for i in range(np.uintp(X.shape[1])):
            for s in range(np.uintp(8)):
                x[i, r + s] = X[first + r + s, i]
    for r in range(eights, np.uintp(n)):
        for i in range(np.uintp(X.shape[1])):
            x[i, r] = X[first + r, i]
