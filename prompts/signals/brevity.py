"""Prompts of almost nothing: streams that probe a model token by token."""

import numpy as np
from numpy.typing import NDArray

LENGTH = 3
LEAST_SEEN = 5


def stratum(seen: int) -> int:
    """By how much the principal has said before: under 100 prompts, or more."""
    return 0 if seen < 100 else 1


def tested(seen: int) -> bool:
    """Whether the principal has said enough to be judged."""
    return seen >= LEAST_SEEN


def hits(length: int, token_counts: NDArray[np.uint8]) -> tuple[bool, bool]:
    """Whether a prompt has at most LENGTH tokens, and whether the principal never used any of them either."""
    short = length <= LENGTH
    return short, short and not token_counts.any()
