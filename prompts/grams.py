"""How often a principal's recent prompts held a token, a pair and a run of four: one table for all principals.

A counting filter of one byte a cell (Fan, Cao, Almeida, Broder, "Summary cache", 2000), so that
the memory is bounded and shared. A count is never too low until it reaches FULL, where it stays;
two keys in one cell make it too high, which happens to a share of at most load = keys/cells.
"""

import numpy as np
from numpy.typing import NDArray

FULL = 255
RUN = 4
"""Tokens of a run: long enough that chance rarely repeats one, short enough to survive an edit."""

_GOLDEN, _FIRST, _SECOND = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_HALF = np.uint64(31)

Ids = NDArray[np.uint16]
Cells = NDArray[np.int64]
Mixed = NDArray[np.uint64]
Counts = NDArray[np.uint8]


class Grams:
    """The table; `cells` is a power of two, `vocabulary` the number of token ids.

    A prompt of n tokens has n - 1 pairs and n - 3 runs, or none; their cells stand in one array,
    pairs first. `salt` tells the prompts of one principal from those of the others.
    """

    def __init__(self, cells: int, vocabulary: int) -> None:
        if cells < 2 or cells & (cells - 1):
            raise ValueError("the number of cells must be a power of two")
        self._counts: Counts = np.zeros(cells, np.uint8)
        self._shift = np.uint64(64 - (cells.bit_length() - 1))
        # SplitMix64 of each id: neighbouring ids are far apart.
        mixed = np.arange(1, vocabulary + 1, dtype=np.uint64) * _GOLDEN
        mixed = (mixed ^ (mixed >> _HALF)) * _FIRST
        self._words: Mixed = (mixed ^ (mixed >> _HALF)) * _SECOND

    @property
    def size(self) -> int:
        """Bytes of the table."""
        return self._counts.nbytes + self._words.nbytes

    def mixed(self, ids: Ids) -> Mixed:
        """[n - 1 pairs, then n - 3 runs] of a prompt of n tokens, hashed, of nobody in particular."""
        words = self._words[ids]
        n = len(words)
        found = np.empty(max(n - 1, 0) + max(n - 3, 0), np.uint64)
        if n > 1:
            pairs = found[: n - 1]
            np.multiply(words[:-1], _FIRST, out=pairs)
            pairs += words[1:]
            if n > 3:
                runs = found[n - 1 :]
                np.multiply(pairs[:-2], _SECOND, out=runs)
                runs += pairs[2:]
                runs ^= runs >> _HALF
        return found

    def cells(self, mixed: Mixed, salt: int) -> Cells:
        """The cells of what is hashed, for one principal."""
        return self._placed(mixed ^ np.uint64(salt & 0xFFFFFFFFFFFFFFFF))

    def words(self, ids: Ids, salt: int) -> Cells:
        """[n]: the cells of a prompt's single tokens."""
        return self.cells(self._words[ids] * _SECOND, salt)

    def counts(self, cells: Cells) -> Counts:
        """How many prompts were added with each of these."""
        return self._counts[cells]

    def add(self, cells: Cells, counts: Counts) -> None:
        """Count one prompt in each of these cells, once however often it holds one; `counts` are those of now."""
        # The same cell twice is written twice with one value: a prompt counts once.
        self._counts[cells] = counts + (counts < FULL)

    def remove(self, cells: Cells) -> None:
        """Take one prompt out again; full and empty cells stay."""
        found = self._counts[cells]
        self._counts[cells] = found - ((found < FULL) & (found > 0))

    def _placed(self, mixed: Mixed) -> Cells:
        mixed *= _GOLDEN
        mixed >>= self._shift
        return mixed.view(np.int64)
