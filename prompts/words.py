"""ASCII words and their ids, looked up in a text's bytes without a string for each."""

import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numba import types
from numpy.typing import NDArray

from prompts.compiled import WRITE_8, WRITE_16, compiled, several
from prompts.grams import Ids

WORDS: Final = 1 << 16
"""Words that are remembered; when there are more, all are forgotten."""

SLOTS: Final = 1 << 17
PROBES: Final = 32
"""Slots that are looked at for a word: nobody can make one's search long by choosing what is beside it."""

LONGEST, MOST_IDS = 24, 8
"""Bytes of a word that is remembered, and its ids."""

_SPACE, _LETTER, _SIGN = 0, 1, 2
_PRIME, _HALF, _FEW = np.uint64(0x100000001B3), np.uint64(32), np.uint64(SLOTS - 1)

Bytes = NDArray[np.uint8]
Slots = NDArray[np.int32]


class Words:
    """The ids of a folded ASCII text: runs of a-z and 0-9, and other printable signs one by one.

    `spell` gives the ids of a word that is not remembered, at most one a letter. Memory: 3 MiB when
    it is full. Threads may ask at once: what is found is whole, as it was before or after another's word came.
    """

    def __init__(self, spell: Callable[[str], Sequence[int]]) -> None:
        self._spell = spell
        self._kinds: Bytes = np.full(128, _SPACE, np.uint8)
        self._kinds[33:127] = _SIGN
        for letter in b"abcdefghijklmnopqrstuvwxyz0123456789":
            self._kinds[letter] = _LETTER
        # Unknown to who chooses the words.
        self._seed = np.uint64(secrets.randbits(64))
        self._writing = threading.Lock()
        self._forget()

    def __len__(self) -> int:
        return self._count

    def ids(self, text: str) -> Ids:
        """[n] of all its words; a sign that is neither printable nor ASCII's white space parts words as that does."""
        letters = np.frombuffer(text.encode("ascii"), np.uint8)
        found, filled, begin, end = np.empty(len(letters), np.uint16), 0, 0, 0
        while True:
            # The table is read at once: its parts belong together.
            begin, end, filled = _look_up(letters, end, self._kinds, self._seed, *self._table, found, filled)
            if begin == end:
                return found[:filled]
            word = text[begin:end]
            ids = self._spell(word)
            found[filled : filled + len(ids)] = ids
            filled += len(ids)
            self._remember(word.encode("ascii"), ids)

    def _remember(self, word: bytes, ids: Sequence[int]) -> None:
        if len(word) > LONGEST or len(ids) > MOST_IDS:
            return
        letters = np.frombuffer(word, np.uint8)
        with self._writing:
            if self._count == WORDS:
                self._forget()
            row, (slots, spelt, numbers) = self._count, self._table
            slot = _free(letters, self._seed, slots)
            if slot < 0:
                return
            spelt[row, 0], spelt[row, 1 : 1 + len(word)] = len(word), letters
            numbers[row, 0], numbers[row, 1 : 1 + len(ids)] = len(ids), ids
            # A reader finds the row from here on.
            slots[slot] = row
            self._count += 1

    def _forget(self) -> None:
        self._count = 0
        self._table: tuple[Slots, Bytes, Ids] = (
            np.full(SLOTS, -1, np.int32),
            np.zeros((WORDS, 1 + LONGEST), np.uint8),
            np.zeros((WORDS, 1 + MOST_IDS), np.uint16),
        )


_READ_8, _SLOTS = types.Array(types.uint8, 1, "C", readonly=True), types.Array(types.int32, 1, "C")


@compiled(types.uint64(_READ_8, types.uint64))
def _hash(word: Bytes, seed: np.uint64) -> np.uint64:
    """Fowler, Noll and Vo's hash of a word from a secret start, its high bits mixed into the low ones."""
    mixed = seed
    for letter in word:
        mixed = (mixed ^ np.uint64(letter)) * _PRIME
    return (mixed ^ (mixed >> _HALF)) * _PRIME >> np.uint64(8)


@compiled(types.int64(_READ_8, types.uint64, _SLOTS))
def _free(word: Bytes, seed: np.uint64, slots: Slots) -> int:
    """The slot that a new word goes to, -1 for none."""
    first = _hash(word, seed)
    for probe in range(PROBES):
        slot = np.int64((first + np.uint64(probe)) & _FEW)
        if slots[slot] < 0:
            return int(slot)
    return -1


_SPELT = types.Array(types.uint8, 2, "C")


@compiled(types.int64(_READ_8, types.uint64, _SLOTS, _SPELT))
def _row(word: Bytes, seed: np.uint64, slots: Slots, spelt: Bytes) -> int:
    """The row of a word, -1 for one that is not remembered."""
    first, size = _hash(word, seed), len(word)
    for probe in range(PROBES):
        row = slots[np.int64((first + np.uint64(probe)) & _FEW)]
        if row < 0:
            break
        place = size if spelt[row, 0] == size else -1
        while place > 0 and spelt[row, place] == word[place - 1]:
            place -= 1
        if place == 0:
            return int(row)
    return -1


@compiled(
    several(types.int64, types.int64, types.int64)(
        _READ_8,
        types.int64,
        WRITE_8,
        types.uint64,
        _SLOTS,
        _SPELT,
        types.Array(types.uint16, 2, "C"),
        WRITE_16,
        types.int64,
    )
)
def _look_up(
    text: Bytes,
    start: int,
    kinds: Bytes,
    seed: np.uint64,
    slots: Slots,
    spelt: Bytes,
    numbers: Ids,
    found: Ids,
    filled: int,
) -> tuple[int, int, int]:
    """Fill in the ids of words from `start` on: up to where a word that is not remembered begins and ends."""
    place, n = start, len(text)
    while place < n:
        begin, kind = place, kinds[text[place]]
        place += 1
        if kind == _SPACE:
            continue
        while kind == _LETTER and place < n and kinds[text[place]] == _LETTER:
            place += 1
        row = _row(text[begin:place], seed, slots, spelt)
        if row < 0 or numbers[row, 0] > n - filled:
            return begin, place, filled
        for number in range(numbers[row, 0]):
            found[filled] = numbers[row, 1 + number]
            filled += 1
    return n, n, filled
