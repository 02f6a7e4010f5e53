"""One new prompt as the signals see it: its tokens, and how it stands to the principal's window."""

from dataclasses import dataclass

from prompts.grams import Cells, Counts, Ids
from prompts.window import Ends, Joined


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that is not in the window yet.

    ids: [n] the tokens that count for pairs and runs; length: all its tokens; seen: distinct
    prompts of the principal before it. counts: how many of those held each of its n - 1 pairs
    and, from there on, of its n - 3 runs of four; at most 255, and never too low below that.
    """

    ids: Ids
    length: int
    seen: int
    words: frozenset[int]
    ends: Ends
    joined: Joined
    cells: Cells
    counts: Counts


def by_length(length: int) -> int:
    """The stratum of a prompt: under 12 tokens, under 24, or longer."""
    return 0 if length < 12 else 1 if length < 24 else 2
