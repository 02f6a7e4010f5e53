"""The near-duplicates of a bounded recent window: signs of dimensions, in cells, scored again by a byte a dimension.

Two vectors at an angle of t differ in t/π of the signs of random directions (Charikar, 2002), so
that the nearest by signs hold the nearest by cosine. A scan reads 32 bytes a vector; cells keep
the number of vectors that are read the same at any size.
"""

from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from similarity.index.index import Found
from similarity.index.threads import one_thread
from similarity.vectors import Ids, Vectors

EXACT_TO = 4096
"""Up to so many, all signs are read: as fast as cells are there."""

READ, DENSE = 48, 100_000
"""Cells that a search reads, up to so many vectors; beyond, fewer: a near-duplicate lies in a nearer cell."""

CANDIDATES = 32


class Laying(NamedTuple):
    """How cells are laid: vectors in one on average, vectors that its place is learnt from, and rounds of learning."""

    cell: int
    training: int
    rounds: int


FEW, MANY = Laying(125, 24, 3), Laying(200, 60, 12)
"""Up to DENSE, and beyond: there a third of the cells is read that size alone would ask for, and they must be good."""


class Codes:
    """At most `capacity` vectors of norm 1, with ids from 0 upwards; room is made for 1/64 of them at a time.

    `dimensions` is a multiple of 8. About dimensions·9/8 + 34 bytes a vector: the rows are all there from the start,
    but pages of zeros, which the system gives memory to when they are written.
    """

    def __init__(self, dimensions: int, capacity: int) -> None:
        self._dimensions = dimensions
        self._capacity = capacity
        self._first = self.next = 0
        self._bytes: NDArray[np.int8] = np.zeros((capacity, dimensions), np.int8)
        self._scales: NDArray[np.float32] = np.zeros(capacity, np.float32)
        self._laid_for = self._since = 0
        self._index: Any = _flat(dimensions)
        # A flat index has no ids; its rows begin here.
        self._flat_from = 0

    def __len__(self) -> int:
        return self.next - self._first

    def add(self, vectors: Vectors) -> Ids:
        """The ids of these [n, dimensions], n at most a 64th of the capacity."""
        room = self._capacity - len(vectors)
        if len(self) > room:
            self._expire(min(len(self), max(len(vectors), self._capacity // 64)))
        ids = np.arange(self.next, self.next + len(vectors), dtype=np.int64)
        largest = np.maximum(np.abs(vectors).max(axis=1), 1e-9)
        places = ids % self._capacity
        self._bytes[places] = np.rint(vectors * (127 / largest)[:, None])
        self._scales[places] = largest / 127
        codes = np.packbits(vectors > 0, axis=1)
        if self._laid_for:
            self._index.add_with_ids(codes, ids)
        else:
            self._index.add(codes)
        self.next += len(vectors)
        self._since += len(vectors)
        return ids

    def search(self, questions: Vectors, k: int) -> Found:
        """The k nearest of the CANDIDATES nearest by signs."""
        if not len(self):
            return Found(np.full((len(questions), k), -1), np.full((len(questions), k), -np.inf, np.float32))
        one_thread()
        _, found = self._index.search(np.packbits(questions > 0, axis=1), min(CANDIDATES, len(self)))
        ids = np.where(found >= 0, found + self._flat_from, -1)
        places = ids % self._capacity
        rows = self._bytes[places].astype(np.float32)
        scores = np.matmul(rows, questions[:, :, None])[:, :, 0] * self._scales[places]
        scores[ids < 0] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, order, axis=1)
        return Found(np.take_along_axis(ids, order, axis=1), best.astype(np.float32))

    def worn(self) -> bool:
        """Whether as many vectors have come as the cells were laid for: there are twice as many, or others."""
        return len(self) > EXACT_TO and self._since > max(EXACT_TO, self._laid_for)

    def lay(self) -> None:
        """Lay the cells anew: half a second at DENSE, minutes at a million, so not where anybody waits."""
        ids = np.arange(self._first, self.next, dtype=np.int64)
        codes = np.packbits(self._bytes[ids % self._capacity] > 0, axis=1)
        laying = FEW if len(self) <= DENSE else MANY
        cells = max(1, len(self) // laying.cell)
        coarse = _flat(self._dimensions)
        index = faiss.IndexBinaryIVF(coarse, self._dimensions, cells)
        index.cp.niter, index.cp.min_points_per_centroid = laying.rounds, 1
        index.train(np.ascontiguousarray(codes[:: max(1, len(codes) // (cells * laying.training))]))
        index.nprobe = round(READ * min(1.0, (DENSE / len(self)) ** (2 / 3)))
        # FAISS takes its own "no limit" of codes for none at all, where distances are counted (its issue 5555).
        index.use_heap, index.max_codes = False, self._capacity
        index.add_with_ids(codes, ids)
        # The coarse index is held by nothing else.
        index.coarse = coarse
        self._index, self._flat_from, self._laid_for, self._since = index, 0, len(self), 0

    def _expire(self, count: int) -> None:
        begin = self._first - self._flat_from
        self._index.remove_ids(faiss.IDSelectorRange(begin, begin + count))
        self._first += count
        if not self._laid_for:
            # The rows that are left move up.
            self._flat_from = self._first


def _flat(dimensions: int) -> Any:
    """All signs, one after the other; the nearest by counts of distances, a third quicker than by a heap."""
    index = faiss.IndexBinaryFlat(dimensions)
    index.use_heap = False
    return index
