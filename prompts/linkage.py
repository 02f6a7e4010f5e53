"""Keys that are one source: linked by the long runs of tokens that their prompts share, sooner where they share more.

A *meeting* is a prompt with a span worth more than MEETING_BITS, without a gap, that stands in
the last prompts of other keys: chance shares a few common words here and there, not a whole
clause. A key with enough meetings of late is linked with the keys that it met. Sharing an
address prefix, a tenant, a payment or a fingerprint of parameters links nobody by itself: it
lowers the meetings that are needed.

Links are made of the past alone, so the evidence that a cluster's later prompts give is valid
under the condition of `evidence`, held by the pooled prompts of honest keys.
"""

from dataclasses import dataclass, field

import numpy as np
from numba import types
from numpy.typing import NDArray

from prompts.compiled import READ_64, WRITE_64, compiled
from prompts.grams import Mixed
from prompts.prompt import Said
from prompts.signals import spans
from prompts.tokens import Tokens

MEETING_BITS = 90.0
MEETINGS, MEETINGS_WITH_TAG = 1.7, 0.9
PIECE = 1.0
"""Bits of a piece that goes on with a word."""

FEWEST = 2
"""Runs that are worth so much, at least: no token tells more than 19 bits."""

KEPT = 0.96
"""What is left of a meeting after one more prompt: in a long history of few meetings they do not add up."""

FORGOTTEN = 0.1
"""The meetings below which it is forgotten who was met."""

MEMBERS = 256
"""Keys of one cluster, at most: a cluster that took in everyone would say nothing."""

_NUMBERS, _NOBODY = np.uint64(0xFFFFFF), np.uint64(0)


@dataclass(slots=True)
class Linked:
    """What is known of one key: how many prompts met others of late, whom, and what tags it carries."""

    number: int
    tags: frozenset[str]
    meetings: float = 0.0
    met_now: bool = False
    met: set[int] = field(default_factory=set)


class Linkage:
    """Clusters of keys, in memory of eight bytes a cell and some hundred a key.

    `cells` is a power of two. `keys`: at most so many are known; beyond that new ones are not
    linked. Nothing is undone: a link stays.
    """

    def __init__(self, tokens: Tokens, *, cells: int = 1 << 20, keys: int = 100_000) -> None:
        if cells < 2 or cells & (cells - 1):
            raise ValueError("the number of cells must be a power of two")
        # A long word in many pieces is one word: two people may well share it.
        self._bits = np.where(tokens.begins, tokens.bits, np.float32(PIECE))
        self._shift = np.uint64(64 - (cells.bit_length() - 1))
        # The high bits of a run, and the number of the key that held it last, from 1 on.
        self._last: NDArray[np.uint64] = np.zeros(cells, np.uint64)
        self._keys: dict[str, Linked] = {}
        self._names: list[str] = []
        self._roots: list[int] = []
        # Whose root a key is, itself first; of no use for one that is no root.
        self._under: list[list[int]] = []
        self._most = keys
        self._dissolved: list[str] = []

    def cluster(self, key: str) -> str | None:
        """The name of a key's cluster, which is that of one of its keys; None for a key that is linked with none."""
        known = self._keys.get(key)
        if known is None:
            return None
        root = self._root(known.number)
        return self._names[root] if len(self._under[root]) > 1 else None

    def members(self, key: str) -> tuple[str, ...]:
        """The keys of a key's cluster, itself among them."""
        known = self._keys.get(key)
        if known is None:
            return ()
        return tuple(self._names[number] for number in sorted(self._under[self._root(known.number)]))

    def dissolved(self) -> list[str]:
        """The clusters that went into others since this was last asked."""
        found, self._dissolved = self._dissolved, []
        return found

    def see(self, key: str, said: Said, tags: frozenset[str] = frozenset()) -> str | None:
        """Take one prompt of a key; its cluster as it was before this prompt."""
        before = self.cluster(key)
        known = self._known(key, tags)
        runs = said.runs
        if known is None:
            return before
        known.met_now = False
        if not len(runs):
            return before
        known.meetings *= KEPT
        if known.meetings < FORGOTTEN:
            known.met.clear()
        holders = np.empty(len(runs), np.uint64)
        if _held(self._last, self._shift, runs, np.uint64(known.number + 1), holders) >= FEWEST:
            self._meet(known, said, holders)
        return before

    def met(self, key: str) -> bool:
        """Whether the last prompt of a key was a meeting."""
        known = self._keys.get(key)
        return known is not None and known.met_now

    def near(self, key: str, other: str) -> None:
        """Take that a long prompt of a key is a near-duplicate of another's: a meeting."""
        first, second = self._keys.get(key), self._keys.get(other)
        if first is not None and second is not None:
            self._met(first, {second.number})

    def _known(self, key: str, tags: frozenset[str]) -> Linked | None:
        known = self._keys.get(key)
        if known is None and len(self._names) < self._most:
            known = self._keys[key] = Linked(len(self._names), tags)
            self._names.append(key)
            self._roots.append(known.number)
            self._under.append([known.number])
        elif known is not None:
            known.tags |= tags
        return known

    def _meet(self, known: Linked, said: Said, holders: NDArray[np.uint64]) -> None:
        others = holders > 0
        if spans.longest(others.view(np.uint8), self._bits, said.ids, 1) <= MEETING_BITS:
            return
        bits: list[float] = self._bits[said.ids].tolist()
        shared: dict[int, float] = {}
        for place in np.flatnonzero(others).tolist():
            number = int(holders[place]) - 1
            shared[number] = shared.get(number, 0.0) + bits[place]
        # One template is held by many keys, the last of each run: together they are one meeting.
        met = {number for number, worth in shared.items() if worth > MEETING_BITS / 3}
        if met:
            known.met_now = True
            self._met(known, met)

    def _met(self, known: Linked, met: set[int]) -> None:
        known.meetings += 1
        root = self._root(known.number)
        known.met = {number for number in known.met | met if self._root(number) != root}
        for number in known.met:
            other = self._keys[self._names[number]]
            least = MEETINGS_WITH_TAG if known.tags & other.tags else MEETINGS
            if known.meetings >= least and other.meetings >= least:
                self._join(known.number, number)

    def _root(self, number: int) -> int:
        while self._roots[number] != number:
            self._roots[number] = self._roots[self._roots[number]]
            number = self._roots[number]
        return number

    def _join(self, first: int, second: int) -> None:
        a, b = sorted((self._root(first), self._root(second)), key=lambda root: -len(self._under[root]))
        if a != b and len(self._under[a]) + len(self._under[b]) <= MEMBERS:
            if len(self._under[b]) > 1:
                self._dissolved.append(self._names[b])
            self._roots[b] = a
            self._under[a] += self._under[b]
            self._under[b] = []


@compiled(types.int64(WRITE_64, types.uint64, READ_64, types.uint64, WRITE_64))
def _held(last: Mixed, shift: np.uint64, runs: Mixed, own: np.uint64, holders: Mixed) -> int:
    """Which other key held each run last, 0 for none, and of how many that is so; they are one's own then."""
    others = 0
    for place in range(len(runs)):
        run, held = runs[place], last[runs[place] >> shift]
        # A cell that another run has taken says nothing of this one.
        number = held & _NUMBERS if (held ^ run) <= _NUMBERS else _NOBODY
        holders[place] = number if number != own else _NOBODY
        others += holders[place] != _NOBODY
    for run in runs:
        last[run >> shift] = run & ~_NUMBERS | own
    return others
