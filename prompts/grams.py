"""How often a principal's recent prompts held a token, a pair and a run of four: one table for all principals.

A counting filter of one byte a cell (Fan, Cao, Almeida, Broder, "Summary cache", 2000), so that
the memory is bounded and shared. A count is never too low until it reaches FULL, where it stays;
two keys in one cell make it too high, which happens to a share of at most load = keys/cells.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FULL = 255
RUN = 4
"""Tokens of a run: long enough that chance rarely repeats one, short enough to survive an edit."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_STEPS = tuple(np.uint64(step) for step in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93))

Cells = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Keys:
    """The cells of a prompt's n tokens, its n - 1 pairs and its n - 3 runs of four."""

    tokens: Cells
    pairs: Cells
    runs: Cells


class Grams:
    """The table; `cells` is a power of two."""

    def __init__(self, cells: int) -> None:
        if cells < 2 or cells & (cells - 1):
            raise ValueError("the number of cells must be a power of two")
        self._counts: NDArray[np.uint8] = np.zeros(cells, np.uint8)
        self._shift = np.uint64(64 - (cells.bit_length() - 1))

    @property
    def bytes(self) -> int:
        """The memory of the table."""
        return self._counts.nbytes

    def keys(self, ids: NDArray[np.uint64], salt: int) -> Keys:
        """The cells of a prompt of one principal, told apart from those of others by `salt`."""
        words: Cells = (ids + np.uint64(salt & 0xFFFFFFFFFFFF)) * _MIX
        words = words ^ (words >> np.uint64(31))
        pairs = words[:-1] * _STEPS[0] + words[1:] * _STEPS[1]
        runs = pairs[:-2] * _STEPS[2] + pairs[2:] * _MIX
        return Keys(self._cells(words * _STEPS[2]), self._cells(pairs * _MIX), self._cells(runs * _STEPS[0]))

    def counts(self, cells: Cells) -> NDArray[np.uint8]:
        """How many prompts were added with each of these."""
        return self._counts[cells]

    def add(self, cells: Cells) -> None:
        """Count one prompt in each of these cells, once however often it holds one."""
        found = self._counts[cells]
        # The same cell twice is written twice with one value: a prompt counts once.
        self._counts[cells] = found + (found < FULL)

    def remove(self, cells: Cells) -> None:
        """Take one prompt out again; full and empty cells stay."""
        found = self._counts[cells]
        self._counts[cells] = found - ((found < FULL) & (found > 0))

    def _cells(self, mixed: Cells) -> Cells:
        return mixed >> self._shift
