"""Template heads and tails: a prompt shares much of its beginning and end with prompts of other chains.

A template with slots leaves its fixed parts at the ends. How much is shared is counted in bits,
so that three common words are worth less than two rare ones.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.float32]
Places = NDArray[np.int32]

TESTS = ((25, 6, 0), (25, 12, 0), (30, 12, 0), (40, 3, 20), (40, 12, 0), (60, 3, 0), (80, 3, 20), (80, 12, 0))
"""Bits that are shared; the number of other chains that share more than so many; and how many prompts ago at least.

What lies back some prompts tells a template that is come back to from the burst of a moment.
"""

LEAST = 25.0
MOST = 64
"""Prompts of the window that are looked at, those that share the most: enough for every test."""

NOTHING: Sequence[bool] = (False,) * len(TESTS)


def hits(shared: Bits, chains: Places, ages: NDArray[np.int64]) -> Sequence[bool]:
    """A hit for each of TESTS, from what prompts of the window share with a new one, their chains and ages: each more
    than LEAST bits.
    """
    if not len(shared):
        return NOTHING
    found = list(zip(chains.tolist(), shared.tolist(), ages.tolist(), strict=True))
    falling = {lag: _falling(found, lag) for lag in {lag for _, _, lag in TESTS}}
    return [len(falling[lag]) >= count and falling[lag][count - 1] > bits for bits, count, lag in TESTS]


def _falling(found: Sequence[tuple[int, float, int]], lag: int) -> list[float]:
    """The most bits of each chain, counting prompts of at least an age, the highest first."""
    best: dict[int, float] = {}
    for chain, bits, age in found:
        if age > lag and bits > best.get(chain, 0.0):
            best[chain] = bits
    return sorted(best.values(), reverse=True)
