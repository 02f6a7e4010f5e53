"""One new prompt as the signals see it: its tokens, and how it stands to the principal's window."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompts.grams import Keys
from prompts.window import Ends, Joined


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that is not in the window yet.

    ids: [n] token ids that count for pairs and runs; length: all its tokens; seen: distinct
    prompts of the principal before it; counts are those of the principal's prompts before it
    that held each token, pair and run of four, each at most 255.
    """

    ids: NDArray[np.uint64]
    length: int
    seen: int
    words: frozenset[int]
    ends: Ends
    joined: Joined
    keys: Keys
    token_counts: NDArray[np.uint8]
    pair_counts: NDArray[np.uint8]
    run_counts: NDArray[np.uint8]


def by_length(length: int) -> int:
    """The stratum of a prompt: under 12 tokens, under 24, or longer."""
    return 0 if length < 12 else 1 if length < 24 else 2
