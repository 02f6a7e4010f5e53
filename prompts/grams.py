"""What one principal's recent prompts were made of: the pairs that they held, and how many held each run of four.

Pairs are kept in a blocked Bloom filter (Putze, Sanders, Singler, "Cache-, hash- and
space-efficient Bloom filters", 2009), runs in a counting filter of four bits a cell (Fan, Cao,
Almeida, Broder, "Summary cache", 2000). Nothing is taken out: they stand in segments, and the
oldest segment goes whole. A pair that was seen is always known; one that was not is known by
chance, one time in some thousand. A count is never too low below FULL.
"""

from dataclasses import dataclass, field

import numpy as np
from numba import types
from numpy.typing import NDArray

from prompts.compiled import READ_16, READ_64, WRITE_8, WRITE_64, compiled

FULL = 15
"""What a cell counts to; no test asks for more."""

RUN = 4
"""Tokens of a run: long enough that chance rarely repeats one, short enough to survive an edit."""

SEGMENT = 1 << 15
"""Pairs that the largest segment is made for; it takes up six bytes for each."""

SEGMENTS = 3
"""Segments at most: what chance adds to a count grows with their number."""

FIRST = 1 << 8
STEP = 4
"""Pairs that the first segment is made for, and how many times larger each next one is."""

USUAL = 64
"""Tokens of a prompt that a segment's room is reckoned by."""

BITS = 5
"""Bits of a word that stand for one pair; a word has two pairs on average when its segment is full."""

_GOLDEN, _FIRST, _SECOND = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_HALF = np.uint64(31)
_PATTERNS = np.uint64(0xFFF)

Ids = NDArray[np.uint16]
Mixed = NDArray[np.uint64]
Counts = NDArray[np.uint8]


class Hashes:
    """Hashes of tokens, pairs and runs under a vocabulary of so many ids."""

    def __init__(self, vocabulary: int) -> None:
        # SplitMix64 of each id: neighbouring ids are far apart.
        mixed = np.arange(1, vocabulary + 1, dtype=np.uint64) * _GOLDEN
        mixed = (mixed ^ (mixed >> _HALF)) * _FIRST
        self._words: Mixed = (mixed ^ (mixed >> _HALF)) * _SECOND
        rng = np.random.default_rng(5)
        places = rng.random((int(_PATTERNS) + 1, 64)).argpartition(BITS, axis=1)[:, :BITS].astype(np.uint64)
        self.patterns: Mixed = np.bitwise_or.reduce(np.uint64(1) << places, axis=1)

    def of(self, ids: Ids) -> Mixed:
        """[n - 1 pairs, then n - 3 runs] of a prompt of n tokens, or none of either."""
        n = len(ids)
        found = np.empty(max(n - 1, 0) + max(n - 3, 0), np.uint64)
        _hashed(self._words, ids, found)
        return found

    def words(self, ids: Ids) -> Mixed:
        """[n] of a prompt's single tokens."""
        return self._words[ids] * _GOLDEN


@dataclass(slots=True)
class Segment:
    """The filters of some prompts; `room` is the pairs that may still be put in."""

    room: int
    prompts: int = 0
    size: int = 0
    words: Mixed = field(init=False)
    counts: Counts = field(init=False)
    words_shift: np.uint64 = field(init=False)
    counts_shift: np.uint64 = field(init=False)

    def __post_init__(self) -> None:
        power = self.room.bit_length() - 1
        self.words = np.zeros(1 << (power - 1), np.uint64)
        self.counts = np.zeros(1 << (power + 1), np.uint8)
        self.words_shift, self.counts_shift = np.uint64(65 - power), np.uint64(62 - power)
        self.size = self.room


class Grams:
    """The pairs and runs of a principal's last prompts: at least half of `capacity` of them, at most all.

    Where prompts are longer than USUAL tokens the least is fewer: a segment has room for SEGMENT pairs.
    """

    __slots__ = ("_half", "_hashes", "_largest", "_segments")

    def __init__(self, hashes: Hashes, capacity: int) -> None:
        self._hashes = hashes
        self._half = max(capacity // 2, 1)
        self._largest = min(SEGMENT, max(FIRST, 1 << (USUAL * self._half - 1).bit_length()))
        self._segments = [Segment(FIRST)]

    @property
    def size(self) -> int:
        """Bytes of the filters."""
        return sum(one.words.nbytes + one.counts.nbytes for one in self._segments)

    def any_known(self, mixed: Mixed) -> bool:
        """Whether any of these pairs or tokens was put in."""
        patterns = self._hashes.patterns
        # The newest segment is the largest, and knows most.
        for segment in reversed(self._segments):  # noqa: SIM110 - a generator takes longer than the look
            if _knows(segment.words, segment.words_shift, patterns, mixed):
                return True
        return False

    def counts(self, runs: Mixed) -> Counts:
        """How many prompts were put in with each of these runs, FULL for more."""
        found = np.zeros(len(runs), np.uint8)
        for segment in self._segments:
            _counted(segment.counts, segment.counts_shift, runs, found)
        return found

    def mark(self, pairs: Mixed) -> None:
        """Put in pairs or tokens of the last prompt."""
        segment = self._segments[-1]
        _mark(segment.words, segment.words_shift, self._hashes.patterns, pairs)

    def put(self, pairs: Mixed, runs: Mixed | None) -> None:
        """Put in a prompt's pairs, and one count for each of its runs, however often it holds one."""
        segment = self._segments[-1]
        if segment.room < len(pairs) or segment.prompts >= self._half:
            segment = self._next(segment)
        segment.prompts += 1
        segment.room -= len(pairs)
        self.mark(pairs)
        if runs is not None and len(runs):
            _count(segment.counts, segment.counts_shift, runs)

    def _next(self, last: Segment) -> Segment:
        held = sum(one.prompts for one in self._segments)
        while len(self._segments) == SEGMENTS or held - self._segments[0].prompts >= self._half:
            held -= self._segments.pop(0).prompts
        segment = Segment(min(STEP * last.size, self._largest))
        self._segments.append(segment)
        return segment


@compiled(types.void(READ_64, READ_16, WRITE_64))
def _hashed(words: Mixed, ids: Ids, found: Mixed) -> None:
    """Fill in the hashes of pairs, then of runs."""
    n = len(ids)
    for place in range(n - 1):
        found[place] = words[ids[place]] * _FIRST + words[ids[place + 1]]
    for place in range(n - 3):
        found[n - 1 + place] = found[place] * _SECOND + found[place + 2]
    for place in range(len(found)):
        found[place] = (found[place] ^ (found[place] >> _HALF)) * _GOLDEN


@compiled(types.boolean(READ_64, types.uint64, READ_64, READ_64))
def _knows(words: Mixed, shift: np.uint64, patterns: Mixed, mixed: Mixed) -> bool:
    """Whether all bits of any of these are in a filter."""
    for one in mixed:
        pattern = patterns[one & _PATTERNS]
        if words[one >> shift] & pattern == pattern:
            return True
    return False


@compiled(types.void(WRITE_64, types.uint64, READ_64, READ_64))
def _mark(words: Mixed, shift: np.uint64, patterns: Mixed, mixed: Mixed) -> None:
    """Put the bits of these in a filter."""
    for one in mixed:
        words[one >> shift] |= patterns[one & _PATTERNS]


@compiled(types.void(WRITE_8, types.uint64, READ_64, WRITE_8))
def _counted(counts: Counts, shift: np.uint64, runs: Mixed, found: Counts) -> None:
    """Add what a filter counted of each, up to FULL."""
    for place in range(len(runs)):
        cell = np.int64(runs[place] >> shift)
        total = np.int64(found[place]) + (counts[cell >> 1] >> 4 * (cell & 1) & FULL)
        found[place] = total if total < FULL else FULL


@compiled(types.void(WRITE_8, types.uint64, READ_64))
def _count(counts: Counts, shift: np.uint64, runs: Mixed) -> None:
    """One more of each; the same cell twice is written twice with one value: a prompt counts once."""
    more = np.empty(len(runs), np.uint8)
    for place in range(len(runs)):
        cell = np.int64(runs[place] >> shift)
        count = counts[cell >> 1] >> 4 * (cell & 1) & FULL
        more[place] = count + 1 if count < FULL else FULL
    for place in range(len(runs)):
        cell = np.int64(runs[place] >> shift)
        low = 4 * (cell & 1)
        counts[cell >> 1] = counts[cell >> 1] & ~(FULL << low) | more[place] << low
