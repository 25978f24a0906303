"""Blocks of rows, turned on their side: what the loops of mixtures and of k-means work on.

In a workspace of shape ``(D, STRIDE)`` a feature's numbers lie one beside the other, so that what
is done to each row of a block becomes vector instructions. Some blocks together are a part, which
one thread works on and which has sums of its own.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from minivae_kernels._jit import inner

BLOCK = 256  # rows: long enough for the sums over a block, short enough for the first caches
STRIDE = BLOCK + 8  # rows of the workspace 2 kB apart would evict each other

_PARTS = 16  # the most that rows are cut into, for each part keeps its own sums
_WORTH_SHARING = 400_000  # additions and multiplications in a part: some 50 microseconds


def parts_of(N: int, work: int) -> tuple[int, int]:
    """Return how many rows a part has, and how many parts there are; `work` is that of a row."""
    count = max(1, min(_PARTS, N * work // _WORTH_SHARING))
    blocks = -(-N // BLOCK)
    size = max(1, -(-blocks // count)) * BLOCK
    return size, -(-N // size)


@inner
def workspace(rows: int) -> npt.NDArray[np.float64]:
    """Return zeros for so many rows, ``(rows, STRIDE)``, which begin where cache lines do.

    A register that is loaded from across the border of two lines takes twice as long.
    """
    memory = np.zeros(rows * STRIDE + 8)
    start = -(memory.ctypes.data // 8) % 8
    return memory[start : start + rows * STRIDE].reshape(rows, STRIDE)


@inner
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
