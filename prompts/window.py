"""The recent prompts of one principal, kept so that a new one is compared with all of them at once."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ENDS = 32
"""Tokens that are kept of a prompt's head, and of its tail."""

KEPT = 192
"""Tokens of a prompt that count for pairs and runs: the first ones."""

LOOK_BACK = 8
ALIKE, KIN = 0.7, 0.5
"""Jaccard similarity of token sets from which a prompt is an edit of another, and from which two may have one seed."""

_BLANK = 0xFFFF
Ids = NDArray[np.uint16]
Bits = NDArray[np.float32]
Places = NDArray[np.int32]
Gone = tuple[bytes, bool]
"""The tokens of a prompt that left a window, and whether it began a chain."""


@dataclass(slots=True)
class Chain:
    """Prompts that are edits of one another: how many, and the token sets of the first and the last."""

    index: int
    members: int
    head: frozenset[int]
    last: frozenset[int]


@dataclass(frozen=True, slots=True)
class Joined:
    """A prompt's place in its chain, and how alike it is to the chain's head and to the member before it.

    star: how many of the last LOOK_BACK prompts are kin, where the last of them is not the closest; else 0.
    """

    chain: Chain
    place: int
    to_head: float
    to_previous: float
    star: int


@dataclass(frozen=True, slots=True)
class Ends:
    """A prompt's first and last ENDS tokens, the tail from its end; blank beyond its length."""

    head: Ids
    tail: Ids
    length: int


class Window:
    """At most `capacity` distinct prompts of one principal, the oldest forgotten first.

    `seen` counts every distinct prompt ever added. Memory: 152 bytes a prompt in arrays, two
    bytes a token up to KEPT, and about 130 for the Python objects and the digest's place.
    """

    __slots__ = (
        "_born",
        "_capacity",
        "_chains",
        "_corners",
        "_digests",
        "_heads",
        "_kept",
        "_lengths",
        "_next_chain",
        "_recent",
        "_tails",
        "salt",
        "seen",
    )

    def __init__(self, capacity: int, salt: int) -> None:
        self._capacity = capacity
        self.salt = salt
        self.seen = 0
        self._next_chain = 0
        self._digests: dict[int, int] = {}
        self._kept: deque[tuple[int, bytes, bool]] = deque()
        self._recent: deque[tuple[frozenset[int], Chain]] = deque(maxlen=LOOK_BACK)
        size = min(16, capacity)
        self._heads: Ids = np.full((size, ENDS), _BLANK, np.uint16)
        self._tails: Ids = np.full((size, ENDS), _BLANK, np.uint16)
        self._lengths: NDArray[np.int16] = np.zeros(size, np.int16)
        self._chains: Places = np.zeros(size, np.int32)
        self._born: Places = np.zeros(size, np.int32)
        # The first two tokens, the last two, and the first with the last: what any long affix shares one of.
        self._corners: NDArray[np.uint32] = np.zeros((3, size), np.uint32)

    def __len__(self) -> int:
        return len(self._kept)

    def holds(self, digest: int) -> bool:
        """Whether a prompt of this digest is in the window."""
        return digest in self._digests

    def join(self, words: frozenset[int]) -> Joined:
        """The chain that a prompt of these tokens belongs to, as yet without it: `add` puts it there.

        That is the chain of the most similar of the last LOOK_BACK, or a new one.
        """
        found, best, kin, before, last = None, 0.0, 0, 0.0, 0.0
        size = len(words)
        for back, (other, chain) in enumerate(reversed(self._recent)):
            count = len(other)
            if 2 * min(size, count) < max(size, count):
                continue
            shared = len(words & other)
            similarity = shared / (size + count - shared)
            if similarity < KIN:
                continue
            kin += 1
            if back:
                before = max(before, similarity)
            else:
                last = similarity
            if similarity >= ALIKE and similarity > best:
                found, best = chain, similarity
        star = kin if before > last else 0
        if found is None:
            return Joined(Chain(self._next_chain, 0, words, words), 1, 1.0, 1.0, star)
        return Joined(found, found.members + 1, jaccard(words, found.head), jaccard(words, found.last), star)

    def affixes(self, ends: Ends, bits: NDArray[np.float32], most: int) -> tuple[Bits, Places, Places]:
        """What the kept prompts share with a new one, in bits of common head and tail, their chains and ages.

        Only those that share two tokens at their ends, and the `most` that share the most.
        """
        count = len(self._kept)
        corner = _corners(ends)
        close = self._corners[:, :count] == corner[:, None]
        rows = np.flatnonzero(close[0] | close[1] | close[2])
        if not len(rows):
            return np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32)
        shorter = np.minimum(self._lengths[rows], ends.length)
        # Blanks equal blanks, so a prompt's length is the limit.
        head = np.minimum(_common(self._heads[rows], ends.head), shorter)
        tail = _common(self._tails[rows], ends.tail)
        # A head and a tail that meet are not counted twice.
        tail = np.minimum(tail, shorter - head)
        shared = _running(bits, ends.head, ends.length)[head] + _running(bits, ends.tail, ends.length)[tail]
        if len(rows) > most:
            kept = np.argpartition(shared, len(rows) - most)[-most:]
            shared, rows = shared[kept], rows[kept]
        return shared, self._chains[rows], np.int32(self.seen) - self._born[rows]

    def add(self, ends: Ends, ids: bytes, digest: int, words: frozenset[int], joined: Joined) -> Gone | None:
        """Keep a prompt; the one that it displaces."""
        chain = joined.chain
        if joined.place == 1:
            self._next_chain += 1
        chain.members, chain.last = joined.place, words
        self._recent.append((words, chain))
        gone = None
        if len(self._kept) == self._capacity:
            old, tokens, began = self._kept.popleft()
            place = self._digests.pop(old)
            gone = tokens, began
        else:
            place = len(self._kept)
            if place == len(self._chains):
                self._grow()
        self._digests[digest] = place
        self._kept.append((digest, ids, joined.place == 1))
        self._heads[place], self._tails[place] = ends.head, ends.tail
        self._lengths[place], self._chains[place], self._born[place] = ends.length, chain.index, self.seen
        self._corners[:, place] = _corners(ends)
        self.seen += 1
        return gone

    def drain(self) -> list[Gone]:
        """The tokens of all prompts that are kept, for a principal that is forgotten."""
        return [(tokens, began) for _, tokens, began in self._kept]

    def _grow(self) -> None:
        size = min(2 * len(self._chains), self._capacity) - len(self._chains)
        self._heads = np.concatenate([self._heads, np.full((size, ENDS), _BLANK, np.uint16)])
        self._tails = np.concatenate([self._tails, np.full((size, ENDS), _BLANK, np.uint16)])
        self._lengths = np.concatenate([self._lengths, np.zeros(size, np.int16)])
        self._chains = np.concatenate([self._chains, np.zeros(size, np.int32)])
        self._born = np.concatenate([self._born, np.zeros(size, np.int32)])
        self._corners = np.concatenate([self._corners, np.zeros((3, size), np.uint32)], axis=1)


def ends(ids: Sequence[int]) -> Ends:
    """The ends of a prompt of at least one token."""
    head = ids[:ENDS]
    tail = ids[: -ENDS - 1 : -1]
    blank = [_BLANK] * (ENDS - len(head))
    return Ends(np.array([*head, *blank], np.uint16), np.array([*tail, *blank], np.uint16), len(ids))


def jaccard(first: frozenset[int], second: frozenset[int]) -> float:
    """|A and B| / |A or B|; 1 for two empty sets."""
    shared = len(first & second)
    union = len(first) + len(second) - shared
    return shared / union if union else 1.0


def _corners(ends: Ends) -> NDArray[np.uint32]:
    head, tail = ends.head, ends.tail
    first, last = int(head[0]), int(tail[0])
    return np.array([first << 16 | int(head[1]), last << 16 | int(tail[1]), first << 16 | last], np.uint32)


def _common(rows: Ids, row: Ids) -> NDArray[np.int16]:
    """[rows]: tokens from the start that each row has in common with one row."""
    equal = np.packbits(rows == row, bitorder="little").view(np.uint32).astype(np.uint64)
    # The ones from the lowest bit on, and the zero that ends them.
    return (np.bitwise_count(equal ^ (equal + np.uint64(1))) - np.uint8(1)).astype(np.int16)


def _running(bits: NDArray[np.float32], tokens: Ids, length: int) -> NDArray[np.float32]:
    """[ENDS + 1]: bits of the first 0, 1, … tokens."""
    found = np.zeros(ENDS + 1, np.float32)
    count = min(length, ENDS)
    np.cumsum(bits[tokens[:count]], out=found[1 : count + 1])
    return found
