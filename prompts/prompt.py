"""A prompt as it is compared: by itself, and against one window."""

from dataclasses import dataclass

from prompts.grams import Cells, Counts, Ids, Mixed
from prompts.window import Ends, Joined


@dataclass(frozen=True, slots=True)
class Said:
    """What of a prompt does not depend on who sent it.

    ids: [n] the tokens that count for pairs and runs; length: all its tokens, at least 1; mixed:
    hashes of its n - 1 pairs and, from there on, of its n - 3 runs of four.
    """

    ids: Ids
    length: int
    words: frozenset[int]
    ends: Ends
    mixed: Mixed
    digest: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that is not in a window yet; seen: the distinct prompts there before it.

    counts: how many of those held each of its pairs and runs; at most 255, and never too low
    below that.
    """

    said: Said
    seen: int
    joined: Joined
    cells: Cells
    counts: Counts


def by_length(length: int) -> int:
    """The stratum of a prompt: under 12 tokens, under 24, or longer."""
    return 0 if length < 12 else 1 if length < 24 else 2
