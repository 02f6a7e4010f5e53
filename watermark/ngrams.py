"""Text as n-grams: each token with the context that its keyed value depends on, each counted once. Pure."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Tokens: TypeAlias = NDArray[np.int64]
States: TypeAlias = NDArray[np.uint64]

NONE = -1
"""Stands for a token before the first."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)


def ngrams(tokens: Sequence[int] | Tokens, width: int, *, before: Sequence[int] | Tokens = ()) -> Tokens:
    """The n-grams [tokens, width + 1] that end in each token: its context, the oldest first, then the token.

    The context reaches back into `before` (a prompt's end), and where there is none holds `NONE`.
    """
    tail = np.asarray(before, np.int64)[-width:] if width else np.empty(0, np.int64)
    padding = np.full(width - tail.size, NONE, np.int64)
    if not len(tokens):
        return np.empty((0, width + 1), np.int64)
    whole = np.concatenate([padding, tail, np.asarray(tokens, np.int64)])
    return np.lib.stride_tricks.sliding_window_view(whole, width + 1)


def whole(grams: Tokens) -> NDArray[np.bool_]:
    """Which n-grams [n, width + 1] have their whole context."""
    # Only the oldest token need be there: the others are later.
    found: NDArray[np.bool_] = grams[:, 0] != NONE
    return found


def identities(grams: Tokens) -> States:
    """64 bits [n] for each n-gram [n, columns]: equal for equal ones, and hardly ever (n² / 2^65) else. No key."""
    found = np.full(len(grams), grams.shape[1], np.uint64)
    for column in grams.T:
        found ^= column.astype(np.uint64)
        found *= MULTIPLIER
        found ^= found >> SHIFT
    return found * MULTIPLIER


def first_places(states: States) -> NDArray[np.intp]:
    """Where each state [n] stands first, in order of place: the deduplication that every score goes through."""
    return np.sort(np.unique(states, return_index=True)[1])


class Seen:
    """The states counted so far, in a bit table of fixed size: no state is ever new twice.

    A new state is taken for an old one with the chance that its bit is set already, which is the
    table's fill. That costs evidence, never validity: it depends on no key.
    """

    def __init__(self, bits: int) -> None:
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << (bits - 3), np.uint8)
        self._set = 0

    @property
    def fill(self) -> float:
        """The share of bits that are set."""
        return self._set / (8 * self._table.size)

    def new(self, states: States) -> NDArray[np.intp]:
        """The places of the states [n] not seen before, which from now on are."""
        slots = (states * MULTIPLIER) >> self._shift
        unique, places = np.unique(slots, return_index=True)
        rows, bits = unique >> np.uint64(3), np.left_shift(1, unique & np.uint64(7), dtype=np.uint8, casting="unsafe")
        fresh = (self._table[rows] & bits) == 0
        # Several bits of one byte may be new together, so they are joined one by one.
        np.bitwise_or.at(self._table, rows[fresh], bits[fresh])
        self._set += int(fresh.sum())
        return np.sort(places[fresh])
