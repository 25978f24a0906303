"""Independent random streams from one ``random_state``.

Training, evaluation, pictures and samples of a model draw from separate numbered streams, so
that none of them disturbs another.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

__all__ = ["entropy_from", "stream"]


def entropy_from(random_state: Any) -> int:
    """One whole number from which all streams of a model are drawn.

    Parameters
    ----------
    random_state
        An int, a ``RandomState``, a ``Generator`` (both are drawn from) or None for fresh entropy.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if random_state is None:
        return secrets.randbits(63)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    whole = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if whole and random_state >= 0:
        return int(random_state)
    raise ValueError(
        f"random_state={random_state!r} must be a whole number from 0, a RandomState, a Generator "
        "or None"
    )


def stream(entropy: int, *numbers: int) -> np.random.Generator:
    """The numbered random stream of a model: independent, so that none disturbs another."""
    seed = np.random.SeedSequence(entropy, spawn_key=numbers)
    return np.random.Generator(np.random.PCG64(seed))
