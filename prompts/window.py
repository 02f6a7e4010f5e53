"""The recent prompts of one principal, kept so that a new one is compared with all of them at once."""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from prompts.compiled import READ_16, READ_64, READ_BITS, WRITE_16, compiled, several
from prompts.grams import Grams, Hashes, Ids
from prompts.prompt import ENDS, IDS, KEPT, MOST, PLACES, Outline, Said

LOOK_BACK = 8
"""Prompts back that a chain of edits is followed; kin are looked for in the whole window."""

ALIKE, KIN = 0.7, 0.5
"""Jaccard similarity of token sets from which a prompt is an edit of another, and from which two may have one seed."""

SLACK = 8
"""An eighth more tokens than are kept have room: to move them up costs little then."""

MOST_KIN = 12
"""The latest that may be kin are compared token by token, at most so many."""

Bits = NDArray[np.float32]
Places = NDArray[np.int64]
Sizes = NDArray[np.int16]

_OUTLINES, _CORNERS = (types.Array(kind, 2, "C") for kind in (types.uint64, types.uint32))
_NO_CHAINS = np.zeros(0, np.int32)
_SIZES, _STARTS = (types.Array(kind, 1, "C") for kind in (types.int16, types.int32))
_PAIRS, _FOURS, _BYTES, _SUM = (
    np.uint64(x) for x in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F, 0x0101010101010101)
)
_ONE, _TWO, _FOUR, _TOP = (np.uint64(x) for x in (1, 2, 4, 56))


@dataclass(slots=True)
class Chain:
    """Prompts that are edits of one another: how many, and the tokens of the first and the last."""

    index: int
    members: int
    head: Ids
    last: Ids


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

    `seen` counts every distinct prompt ever added. Memory: 64 bytes a prompt, two and a quarter
    a token up to MOST of them, and what `grams` takes.

    The tokens of all prompts lie one after the other, in the order in which they came; where there
    is no room behind the last, those that are still kept move to the front.
    """

    __slots__ = (
        "_capacity",
        "_chains",
        "_corners",
        "_count",
        "_digests",
        "_end",
        "_lengths",
        "_next_chain",
        "_outlines",
        "_recent",
        "_sizes",
        "_starts",
        "_tokens",
        "grams",
        "seen",
    )

    def __init__(self, capacity: int, hashes: Hashes) -> None:
        self._capacity = capacity
        self.grams = Grams(hashes, capacity)
        self.seen = 0
        self._next_chain = 0
        self._count = self._end = 0
        self._tokens: Ids = np.zeros(256, np.uint16)
        self._recent: deque[tuple[Ids, Chain]] = deque(maxlen=LOOK_BACK)
        size = min(16, capacity)
        self._digests: Places = np.zeros(size, np.int64)
        self._starts: NDArray[np.int32] = np.zeros(size, np.int32)
        self._lengths: NDArray[np.int16] = np.zeros(size, np.int16)
        self._sizes: NDArray[np.int16] = np.zeros(size, np.int16)
        self._chains: NDArray[np.int32] = np.zeros(size, np.int32)
        self._corners: NDArray[np.uint32] = np.zeros((size, 3), np.uint32)
        self._outlines: Outline = np.zeros((size, PLACES // 64), np.uint64)

    def __len__(self) -> int:
        return self._count

    def holds(self, digest: int) -> bool:
        """Whether a prompt of this digest is in the window."""
        return _holds(self._digests, self._count, digest)

    def join(self, said: Said) -> Joined:
        """The chain that a prompt belongs to, as yet without it, and its kin: `add` puts it there.

        That is the chain of the most similar of the last LOOK_BACK, or a new one.
        """
        ids, found, best, last = said.ids, None, 0.0, 0.0
        kin: list[float] = []
        recent = 0
        for back in self._outlined(said):
            if back < LOOK_BACK:
                other, chain = self._recent[-1 - back]
                similarity = jaccard(ids, other)
                if similarity >= ALIKE and similarity > best:
                    found, best = chain, similarity
            else:
                place = (self.seen - 1 - back) % self._capacity
                similarity = jaccard(ids, self._kept(place))
            if similarity >= KIN:
                kin.append(similarity)
                recent += back < LOOK_BACK
                last = similarity if back == 0 else last
        star = recent if max(kin[:recent], default=0.0) > last else 0
        if found is None:
            return Joined(Chain(self._next_chain, 0, ids, ids), 1, 1.0, 1.0, tuple(kin), star)
        to_head, to_previous = jaccard(ids, found.head), jaccard(ids, found.last)
        return Joined(found, found.members + 1, to_head, to_previous, tuple(kin), star)

    def follow(self, said: Said, chain: Chain) -> Joined:
        """A prompt's place in this chain of the window, however far back that is; its kin are not looked for."""
        to_head, to_previous = jaccard(said.ids, chain.head), jaccard(said.ids, chain.last)
        return Joined(chain, chain.members + 1, to_head, to_previous, (), 0)

    def affixes(self, said: Said, bits: Bits, least: float, most: int) -> tuple[Bits, NDArray[np.int32], Places]:
        """What the kept prompts share with a new one, in bits of common head and tail, their chains and ages.

        Only those that share two tokens at their ends and more than `least`, and the `most` that share the most.
        """
        mine = self._corners, self._tokens, self._starts, self._lengths, self._count
        rows, shared = _sharing(*mine, said.corners, said.tokens, said.length, bits, least)
        if not len(rows):
            return shared, _NO_CHAINS, rows
        if len(rows) > most:
            kept = np.argpartition(shared, len(rows) - most)[-most:]
            shared, rows = shared[kept], rows[kept]
        return shared, self._chains[rows], (self.seen - 1 - rows) % self._capacity + 1

    def add(self, said: Said, joined: Joined) -> None:
        """Keep a prompt; the oldest makes room for it."""
        chain = joined.chain
        if joined.place == 1:
            self._next_chain += 1
        chain.members, chain.last = joined.place, said.ids
        self._recent.append((said.ids, chain))
        place = self.seen % self._capacity
        if place == self._count:
            if place == len(self._chains):
                self._grow()
            self._count += 1
        self._digests[place] = said.digest
        self._lengths[place], self._sizes[place] = said.length, said.size
        self._chains[place] = chain.index
        self._starts[place] = start = self._room(place, len(said.tokens))
        _keep(self._tokens, self._corners, self._outlines, place, start, said.tokens, said.corners, said.outline)
        self._end = start + len(said.tokens)
        self.seen += 1

    def latest(self, count: int) -> list[Ids]:
        """The tokens that count of the last prompts, at most so many, the oldest first."""
        places = [(self.seen - back) % self._capacity for back in range(min(count, self._count), 0, -1)]
        return [self._kept(place).copy() for place in places]

    def _kept(self, place: int) -> Ids:
        """The tokens that count of a prompt; they may move when the next one is added."""
        start = int(self._starts[place])
        return self._tokens[start : start + min(int(self._lengths[place]), KEPT)]

    def _room(self, place: int, size: int) -> int:
        """Where so many tokens begin that come to this place, the last one."""
        if self._end + size > len(self._tokens):
            before = (place - 1 - np.arange(self._count - 1)[::-1]) % self._capacity
            live = int(np.minimum(self._lengths[before], MOST).sum())
            needed = live + size
            tokens = self._tokens
            if needed + needed // (2 * SLACK) > len(tokens):
                tokens = np.zeros(needed + needed // SLACK, np.uint16)
            self._end = _move_up(self._tokens, tokens, self._starts, self._lengths, before)
            self._tokens = tokens
        return self._end

    def _outlined(self, said: Said) -> list[int]:
        """How many prompts ago those were that may be kin, the latest first; all that are, up to MOST_KIN.

        Tokens in common are at most the common bits and those of one's own tokens that have no bit of
        their own, and J = c/(a + b - c) >= 1/2 where 3·c >= a + b.
        """
        least = said.size - 3 * said.missing
        newest = (self.seen - 1) % self._capacity
        found: list[int] = _alike(self._outlines, self._sizes, self._count, newest, said.outline, least).tolist()
        return found

    def _grow(self) -> None:
        size = min(2 * len(self._chains), self._capacity) - len(self._chains)
        self._digests = np.pad(self._digests, (0, size))
        self._starts = np.pad(self._starts, (0, size))
        self._lengths = np.pad(self._lengths, (0, size))
        self._sizes = np.pad(self._sizes, (0, size))
        self._chains = np.pad(self._chains, (0, size))
        self._corners = np.pad(self._corners, ((0, size), (0, 0)))
        self._outlines = np.pad(self._outlines, ((0, size), (0, 0)))


@compiled(types.float64(READ_16, READ_16))
def jaccard(first: Ids, second: Ids) -> float:
    """|A and B| / |A or B| of two prompts' sets of tokens; 1 for two empty ones."""
    left, right = np.zeros(IDS // 64, np.uint64), np.zeros(IDS // 64, np.uint64)
    shared = union = 0
    for token in first:
        bit = _ONE << np.uint64(token & 63)
        union += not left[token >> 6] & bit
        left[token >> 6] |= bit
    for token in second:
        bit = _ONE << np.uint64(token & 63)
        if not right[token >> 6] & bit:
            right[token >> 6] |= bit
            both = bool(left[token >> 6] & bit)
            shared += both
            union += not both
    return shared / union if union else 1.0


@compiled(types.boolean(types.int64[::1], types.int64, types.int64))
def _holds(digests: Places, count: int, digest: int) -> bool:
    """Whether one of the first `count` is this."""
    found = False
    for place in range(count):
        found |= digests[place] == digest
    return found


@compiled(types.int64(WRITE_16, WRITE_16, _STARTS, _SIZES, types.int64[::1]))
def _move_up(tokens: Ids, to: Ids, starts: NDArray[np.int32], lengths: Sizes, places: Places) -> int:
    """Put the tokens of these prompts, in their order, one after the other from the front; where they end.

    What they are moved to may be where they are: each lies at or behind its new place.
    """
    end = 0
    for place in places:
        start, length = np.int64(starts[place]), np.int64(lengths[place])
        starts[place] = end
        for token in range(start, start + (length if length < MOST else MOST)):
            to[end] = tokens[token]
            end += 1
    return end


@compiled(
    types.void(
        WRITE_16, _CORNERS, _OUTLINES, types.int64, types.int64, READ_16, types.Array(types.uint32, 1, "C"), READ_64
    )
)
def _keep(
    tokens: Ids,
    corners: NDArray[np.uint32],
    outlines: Outline,
    place: int,
    start: int,
    mine: Ids,
    my_corners: NDArray[np.uint32],
    outline: Outline,
) -> None:
    """Put what a prompt is found by in its place."""
    for token in range(len(mine)):
        tokens[start + token] = mine[token]
    corners[place] = my_corners
    outlines[place] = outline


@compiled(types.int64[::1](_OUTLINES, _SIZES, types.int64, types.int64, READ_64, types.int64))
def _alike(outlines: Outline, sizes: Sizes, count: int, newest: int, outline: Outline, least: int) -> Places:
    """How many prompts ago those were whose tokens can be enough in common, the latest first, up to MOST_KIN."""
    found, hits = np.empty(MOST_KIN, np.int64), 0
    for back in range(count):
        place = newest - back if back <= newest else newest - back + count
        common = np.int64(0)
        for part in range(PLACES // 64):
            # Bits are added up in pairs, in fours, in bytes, and the bytes by multiplication.
            word = outlines[place, part] & outline[part]
            word -= word >> _ONE & _PAIRS
            word = (word & _FOURS) + (word >> _TWO & _FOURS)
            word = word + (word >> _FOUR) & _BYTES
            common += np.int64(word * _SUM >> _TOP)
        if 3 * common - sizes[place] >= least:
            found[hits] = back
            hits += 1
            if hits == MOST_KIN:
                break
    return found[:hits]


@compiled(
    several(types.int64[::1], types.float32[::1])(
        _CORNERS,
        WRITE_16,
        _STARTS,
        _SIZES,
        types.int64,
        types.Array(types.uint32, 1, "C"),
        READ_16,
        types.int64,
        READ_BITS,
        types.float64,
    )
)
def _sharing(
    corners: NDArray[np.uint32],
    tokens: Ids,
    starts: NDArray[np.int32],
    lengths: Sizes,
    count: int,
    my_corners: NDArray[np.uint32],
    mine: Ids,
    length: int,
    bits: Bits,
    least: float,
) -> tuple[Places, Bits]:
    """The rows of prompts that share two tokens at their ends with one, and the bits of common head and tail."""
    rows, shared, hits = np.empty(count, np.int64), np.empty(count, np.float32), 0
    my_last = len(mine) - 1
    for row in range(count):
        close = corners[row, 0] == my_corners[0] or corners[row, 1] == my_corners[1] or corners[row, 2] == my_corners[2]
        if not close:
            continue
        # A head and a tail that meet are not counted twice.
        its = np.int64(lengths[row])
        shorter = length if length < its else its
        first = np.int64(starts[row])
        last = first + (its if its < MOST else MOST) - 1
        head = tail = 0
        told, ended = np.float32(0), np.float32(0)
        while head < min(shorter, ENDS) and tokens[first + head] == mine[head]:
            told += bits[mine[head]]
            head += 1
        while tail < min(shorter - head, ENDS) and tokens[last - tail] == mine[my_last - tail]:
            ended += bits[mine[my_last - tail]]
            tail += 1
        if told + ended > least:
            rows[hits], shared[hits] = row, told + ended
            hits += 1
    return rows[:hits], shared[:hits]
