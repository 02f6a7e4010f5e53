"""Template heads and tails: a prompt shares much of its beginning and end with prompts of other chains.

A template with slots leaves its fixed parts at the ends. How much is shared is counted in bits,
so that three common words are worth less than two rare ones.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TESTS = ((25, 6), (25, 12), (30, 12), (40, 3), (40, 12), (60, 3), (80, 3), (100, 12))
"""Bits that are shared, and the number of other chains that share more than so many."""

LEAST = 25.0
MOST = 64
"""Prompts of the window that are looked at, those that share the most: enough for every test."""


def tested(seen: int) -> tuple[bool, ...]:
    """Which tests have a chance to hit after so many prompts."""
    return tuple(seen >= chains for _, chains in TESTS)


def hits(shared: NDArray[np.float32], chains: NDArray[np.int32]) -> Sequence[bool]:
    """A hit for each of TESTS, from the bits that prompts of the window share and their chains."""
    close = shared > LEAST
    if not close.any():
        return NOTHING
    best: dict[int, float] = {}
    for chain, bits in zip(chains[close].tolist(), shared[close].tolist(), strict=True):
        if bits > best.get(chain, 0.0):
            best[chain] = bits
    falling = sorted(best.values(), reverse=True)
    count = len(falling)
    return [count >= chains and falling[chains - 1] > bits for bits, chains in TESTS]


NOTHING: Sequence[bool] = (False,) * len(TESTS)
