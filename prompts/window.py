"""The recent prompts of one principal, kept so that a new one is compared with all of them at once."""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prompts.grams import Grams, Hashes, Ids
from prompts.prompt import ENDS, PLACES, Outline, Said

LOOK_BACK = 8
"""Prompts back that a chain of edits is followed; kin are looked for in the whole window."""

ALIKE, KIN = 0.7, 0.5
"""Jaccard similarity of token sets from which a prompt is an edit of another, and from which two may have one seed."""

MOST_KIN = 12
"""The latest that may be kin are compared token by token, at most so many."""

Bits = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(slots=True)
class Chain:
    """Prompts that are edits of one another: how many, and the token sets of the first and the last."""

    index: int
    members: int
    head: frozenset[int]
    last: frozenset[int]


class Joined(NamedTuple):
    """A prompt's place in its chain, and how alike it is to the chain's head and to the member before it.

    kin: the Jaccard similarity of each of the window's prompts that may have its seed, latest first;
    star: how many of those are among the last LOOK_BACK, where the very last is not the closest, else 0.
    """

    chain: Chain
    place: int
    to_head: float
    to_previous: float
    kin: tuple[float, ...]
    star: int


class Window:
    """At most `capacity` distinct prompts of one principal, the oldest forgotten first.

    `seen` counts every distinct prompt ever added. Memory: 188 bytes a prompt in arrays, two
    bytes a token up to KEPT, about 170 for the Python objects, and what `grams` takes.
    """

    __slots__ = (
        "_capacity",
        "_chains",
        "_corners",
        "_digests",
        "_ends",
        "_ids",
        "_known",
        "_lengths",
        "_next_chain",
        "_outlines",
        "_recent",
        "_sizes",
        "grams",
        "seen",
    )

    def __init__(self, capacity: int, hashes: Hashes) -> None:
        self._capacity = capacity
        self.grams = Grams(hashes, capacity)
        self.seen = 0
        self._next_chain = 0
        self._known: set[int] = set()
        self._digests: list[int] = []
        self._ids: list[bytes] = []
        self._recent: deque[tuple[frozenset[int], Chain]] = deque(maxlen=LOOK_BACK)
        size = min(16, capacity)
        self._ends: Ids = np.zeros((size, 2 * ENDS), np.uint16)
        self._lengths: NDArray[np.int16] = np.zeros(size, np.int16)
        self._sizes: NDArray[np.int16] = np.zeros(size, np.int16)
        self._chains: NDArray[np.int32] = np.zeros(size, np.int32)
        self._corners: NDArray[np.uint32] = np.zeros((3, size), np.uint32)
        self._outlines: Outline = np.zeros((PLACES // 64, size), np.uint64)

    def __len__(self) -> int:
        return len(self._ids)

    def holds(self, digest: int) -> bool:
        """Whether a prompt of this digest is in the window."""
        return digest in self._known

    def join(self, said: Said) -> Joined:
        """The chain that a prompt belongs to, as yet without it, and its kin: `add` puts it there.

        That is the chain of the most similar of the last LOOK_BACK, or a new one.
        """
        words, found, best, last = said.words, None, 0.0, 0.0
        kin: list[float] = []
        recent = 0
        for back in self._outlined(said):
            if back < LOOK_BACK:
                other, chain = self._recent[-1 - back]
                similarity = jaccard(words, other)
                if similarity >= ALIKE and similarity > best:
                    found, best = chain, similarity
            else:
                place = (self.seen - 1 - back) % self._capacity
                similarity = jaccard(words, frozenset(memoryview(self._ids[place]).cast("H")))
            if similarity >= KIN:
                kin.append(similarity)
                recent += back < LOOK_BACK
                last = similarity if back == 0 else last
        star = recent if max(kin[:recent], default=0.0) > last else 0
        if found is None:
            return Joined(Chain(self._next_chain, 0, words, words), 1, 1.0, 1.0, tuple(kin), star)
        to_head, to_previous = jaccard(words, found.head), jaccard(words, found.last)
        return Joined(found, found.members + 1, to_head, to_previous, tuple(kin), star)

    def affixes(self, said: Said, bits: Bits, most: int) -> tuple[Bits, NDArray[np.int32], Places]:
        """What the kept prompts share with a new one, in bits of common head and tail, their chains and ages.

        Only those that share two tokens at their ends, and the `most` that share the most.
        """
        count = len(self._ids)
        first, second, third = self._corners[:, :count]
        close = first == said.corners[0]
        close |= second == said.corners[1]
        close |= third == said.corners[2]
        rows: Places = close.nonzero()[0]
        if not len(rows):
            return np.zeros(0, np.float32), np.zeros(0, np.int32), rows
        shorter = np.minimum(self._lengths[rows], said.length)
        same = self._ends[rows] == said.ends
        # Zeros equal zeros, so a prompt's length is the limit.
        head = np.minimum(_leading(same[:, :ENDS]), shorter)
        # A head and a tail that meet are not counted twice.
        tail = np.minimum(_leading(same[:, ENDS:]), shorter - head)
        told = bits[said.ends]
        shared = _running(told[:ENDS])[head] + _running(told[ENDS:])[tail]
        if len(rows) > most:
            kept = np.argpartition(shared, len(rows) - most)[-most:]
            shared, rows = shared[kept], rows[kept]
        return shared, self._chains[rows], self._back(rows) + 1

    def add(self, said: Said, joined: Joined) -> None:
        """Keep a prompt; the oldest makes room for it."""
        chain = joined.chain
        if joined.place == 1:
            self._next_chain += 1
        chain.members, chain.last = joined.place, said.words
        self._recent.append((said.words, chain))
        place = self.seen % self._capacity
        if place == len(self._ids):
            if place == len(self._chains):
                self._grow()
            self._digests.append(said.digest)
            self._ids.append(said.ids.tobytes())
        else:
            self._known.discard(self._digests[place])
            self._digests[place], self._ids[place] = said.digest, said.ids.tobytes()
        self._known.add(said.digest)
        self._ends[place] = said.ends
        self._lengths[place], self._sizes[place] = said.length, len(said.words)
        self._chains[place] = chain.index
        self._corners[:, place] = said.corners
        self._outlines[:, place] = said.outline
        self.seen += 1

    def latest(self, count: int) -> list[Ids]:
        """The tokens that count of the last prompts, at most so many, the oldest first."""
        places = [(self.seen - back) % self._capacity for back in range(min(count, len(self._ids)), 0, -1)]
        return [np.frombuffer(self._ids[place], np.uint16) for place in places]

    def _outlined(self, said: Said) -> list[int]:
        """How many prompts ago those were that may be kin, the latest first; all that are, up to MOST_KIN.

        Tokens in common are at most the common bits and those of one's own tokens that have no bit of
        their own, and J = c/(a + b - c) >= 1/2 where 3·c >= a + b.
        """
        count = len(self._ids)
        common = self._outlines[:, :count] & said.outline[:, None]
        margin = np.add.reduce(np.bitwise_count(common), axis=0, dtype=np.int16)
        margin *= 3
        margin -= self._sizes[:count]
        places: Places = (margin >= len(said.words) - 3 * said.missing).nonzero()[0]
        if not len(places):
            return []
        found: list[int] = self._back(places).tolist()
        found.sort()
        return found[:MOST_KIN]

    def _back(self, places: Places) -> Places:
        """How many prompts ago, 0 for the last."""
        return (self.seen - 1 - places) % self._capacity

    def _grow(self) -> None:
        size = min(2 * len(self._chains), self._capacity) - len(self._chains)
        self._ends = np.pad(self._ends, ((0, size), (0, 0)))
        self._lengths = np.pad(self._lengths, (0, size))
        self._sizes = np.pad(self._sizes, (0, size))
        self._chains = np.pad(self._chains, (0, size))
        self._corners = np.pad(self._corners, ((0, 0), (0, size)))
        self._outlines = np.pad(self._outlines, ((0, 0), (0, size)))


def jaccard(first: frozenset[int], second: frozenset[int]) -> float:
    """|A and B| / |A or B|; 1 for two empty sets."""
    shared = len(first & second)
    union = len(first) + len(second) - shared
    return shared / union if union else 1.0


def _leading(same: NDArray[np.bool_]) -> NDArray[np.int16]:
    """[rows]: how many of ENDS tokens are the same from the start on."""
    equal = np.packbits(same, axis=1, bitorder="little").view(np.uint32)[:, 0].astype(np.uint64)
    # The ones from the lowest bit on, and the zero that ends them.
    return (np.bitwise_count(equal ^ (equal + np.uint64(1))) - np.uint8(1)).astype(np.int16)


def _running(bits: Bits) -> Bits:
    """[n + 1]: bits of the first 0, 1, … tokens."""
    found = np.zeros(len(bits) + 1, np.float32)
    np.cumsum(bits, out=found[1:])
    return found
