"""Random words: a prompt in which no pair of neighbouring words was ever used before by its principal.

What people write repeats "in the", "how to"; random words and random tokens do not. This is the
side of *high* diversity, on which templates never show.
"""

import numpy as np
from numba import types
from numpy.typing import NDArray

from prompts.compiled import READ_16, READ_64, compiled
from prompts.grams import Ids, Mixed

LEAST_LENGTH = 5
LEAST_SEEN = 10


def stratum(seen: int) -> int:
    """By how much the principal has said before: under 20 prompts, under 100, under 300, or more."""
    return 0 if seen < 20 else 1 if seen < 100 else 2 if seen < 300 else 3


def scored(length: int, seen: int) -> bool:
    """Whether a prompt has pairs to tell by, and a past to compare it with."""
    return length >= LEAST_LENGTH and seen >= LEAST_SEEN


@compiled(types.uint64[::1](READ_64, READ_16, types.Array(types.boolean, 1, "C")))
def told(pairs: Mixed, ids: Ids, begins: NDArray[np.bool_]) -> Mixed:
    """The pairs [n - 1] of n tokens whose second begins a word."""
    found, count = np.empty(len(pairs), np.uint64), 0
    for place in range(len(pairs)):
        if begins[ids[place + 1]]:
            found[count] = pairs[place]
            count += 1
    return found[:count]
