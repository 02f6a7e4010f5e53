"""The most recent vectors, and only so many."""

from collections import deque

import numpy as np

from similarity.index import Found, Index, Kind, built
from similarity.vectors import Ids, Vectors, ids_of


class Recent:
    """Exact search over the last `capacity` vectors added; the oldest leave first.

    O(d) a vector to add, 4·d + 16 bytes a vector. An id added again is as new as its last time.
    """

    def __init__(self, capacity: int, dimensions: int) -> None:
        if capacity < 1:
            raise ValueError("a window holds at least one vector")
        self._capacity = capacity
        self._order: deque[tuple[int, int]] = deque()
        self._turns: dict[int, int] = {}
        self._turn = 0
        self._index: Index = built(Kind.FLAT, np.empty(0, np.int64), np.empty((0, dimensions), np.float32))

    def __len__(self) -> int:
        return len(self._index)

    def add(self, ids: Ids, vectors: Vectors) -> Ids:
        """Put vectors in; the ids that had to leave."""
        self._index.add(ids, vectors)
        for id in ids.tolist():
            self._turn += 1
            self._turns[id] = self._turn
            self._order.append((id, self._turn))
        gone = []
        while len(self._turns) > self._capacity:
            id, turn = self._order.popleft()
            if self._turns.get(id) == turn:
                del self._turns[id]
                gone.append(id)
        if len(self._order) > 2 * self._capacity:
            self._order = deque(entry for entry in self._order if self._turns.get(entry[0]) == entry[1])
        removed = ids_of(np.asarray(gone, np.int64))
        self._index.remove(removed)
        return removed

    def search(self, questions: Vectors, k: int, allowed: Ids | None = None) -> Found:
        """The k nearest of what is still in the window."""
        return self._index.search(questions, k, allowed)
