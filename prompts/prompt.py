"""A prompt as it is compared: by itself, and against one window."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prompts.grams import Ids, Mixed

KEPT = 192
"""Tokens of a prompt that count for pairs, runs and edits: the first ones."""

ENDS = 32
"""Tokens that are kept of a prompt's head, and of its tail."""

PLACES = 256
"""Bits of a prompt's outline."""

Outline = NDArray[np.uint64]


class Said(NamedTuple):
    """What of a prompt does not depend on who sent it.

    ids: [n] the tokens that count; length: all its tokens, at least 1; ends: [2·ENDS] its first
    tokens, then its last ones from the end, zeros beyond its length; corners: its first two
    tokens, its last two, and the first with the last; hashes: n - 1 of pairs and, from there
    on, n - 3 of runs of four; outline: [PLACES/64] a bit for each token, by its id; missing: the
    distinct tokens less the bits of the outline.
    """

    ids: Ids
    length: int
    words: frozenset[int]
    ends: Ids
    corners: tuple[int, int, int]
    hashes: Mixed
    outline: Outline
    missing: int
    digest: int

    @property
    def pairs(self) -> Mixed:
        """The hashes of its pairs."""
        return self.hashes[: len(self.ids) - 1]

    @property
    def runs(self) -> Mixed:
        """The hashes of its runs."""
        return self.hashes[len(self.ids) - 1 :]


def said(ids: Sequence[int], hashes: Mixed, kept: Ids) -> Said:
    """A prompt of at least one token; `kept` are its first KEPT, as hashed."""
    whole = np.array(ids, np.uint16) if len(ids) > len(kept) else kept
    first, last = ids[0], ids[-1]
    second, before = (ids[1], ids[-2]) if len(ids) > 1 else (0, 0)
    ends = np.zeros(2 * ENDS, np.uint16)
    size = min(len(ids), ENDS)
    ends[:size] = whole[:size]
    ends[ENDS : ENDS + size] = whole[: -size - 1 : -1]
    words = frozenset(ids[:KEPT])
    marks = np.zeros(PLACES, np.bool_)
    marks[kept & 0xFF] = True
    outline = np.packbits(marks).view(np.uint64)
    corners = (first << 16 | second, last << 16 | before, first << 16 | last)
    missing = len(words) - int(np.count_nonzero(marks))
    return Said(kept, len(ids), words, ends, corners, hashes, outline, missing, hash(whole.tobytes()))


def by_length(length: int) -> int:
    """The stratum of a prompt: under 12 tokens, under 24, or longer."""
    return 0 if length < 12 else 1 if length < 24 else 2
