"""A prompt as it is compared: by itself, and against one window."""

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from prompts.compiled import READ_16, WRITE_32, WRITE_64, compiled, several
from prompts.grams import Hashes, Ids, Mixed

KEPT = 192
"""Tokens of a prompt that count for pairs, runs and edits: the first ones."""

ENDS = 32
"""Tokens of a prompt's head that are compared, and of its tail."""

MOST = KEPT + ENDS
"""Tokens that are kept of one prompt at most."""

PLACES = 256
"""Bits of a prompt's outline."""

IDS = 1 << 16

Outline = NDArray[np.uint64]


class Said(NamedTuple):
    """What of a prompt does not depend on who sent it.

    ids: [n] the tokens that count; length: all its tokens, at least 1; size: the distinct ones of
    those that count; tokens: the same and, of what comes after them, the last ENDS, so that a tail
    of that many ends it; corners: [3] its first two tokens, its last two, and the first with the
    last; hashes: n - 1 of pairs and, from there on, n - 3 of runs of four; outline: [PLACES/64] a
    bit for each token, by its id; missing: the distinct tokens less the bits of the outline.
    """

    ids: Ids
    length: int
    size: int
    tokens: Ids
    corners: NDArray[np.uint32]
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


def said(whole: Ids, hashes: Hashes) -> Said:
    """A prompt of at least one token."""
    tokens = whole if len(whole) <= MOST else np.concatenate([whole[:KEPT], whole[-ENDS:]])
    kept, corners, outline = tokens[:KEPT], np.empty(3, np.uint32), np.zeros(PLACES // 64, np.uint64)
    size, marks = _outlined(whole, len(kept), corners, outline)
    digest = hash(whole.tobytes())
    return Said(kept, len(whole), size, tokens, corners, hashes.of(kept), outline, size - marks, digest)


@compiled(several(types.int64, types.int64)(READ_16, types.int64, WRITE_32, WRITE_64))
def _outlined(whole: Ids, kept: int, corners: NDArray[np.uint32], outline: Outline) -> tuple[int, int]:
    """Fill in what a prompt is found by; the distinct ones of its first `kept` tokens, and the outline's bits."""
    n = len(whole)
    second, before = (whole[1], whole[n - 2]) if n > 1 else (np.uint16(0), np.uint16(0))
    first, last = np.uint32(whole[0]), np.uint32(whole[n - 1])
    corners[0], corners[1], corners[2] = first << 16 | second, last << 16 | before, first << 16 | last
    met = np.zeros(IDS // 64, np.uint64)
    size = marks = 0
    for token in whole[:kept]:
        bit = np.uint64(1) << np.uint64(token & 63)
        if not met[token >> 6] & bit:
            met[token >> 6] |= bit
            size += 1
            if not outline[(token & 255) >> 6] & bit:
                outline[(token & 255) >> 6] |= bit
                marks += 1
    return size, marks


STRATA = 3


def by_length(length: int) -> int:
    """The stratum of a prompt: under 12 tokens, under 24, or longer."""
    return 0 if length < 12 else 1 if length < 24 else 2
