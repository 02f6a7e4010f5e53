"""All vectors in one array."""

import numpy as np

from similarity.index.index import Found, Kind, Parts
from similarity.index.scan import filled, nearest
from similarity.vectors import Ids, Vectors, ids_of


class Flat:
    """All vectors in one dense array, scanned; a removed row is filled by the last one."""

    kind = Kind.FLAT

    def __init__(self, dimensions: int) -> None:
        self._vectors: Vectors = np.empty((0, dimensions), np.float32)
        self._ids: Ids = np.empty(0, np.int64)
        self._rows: dict[int, int] = {}

    @classmethod
    def of(cls, parts: Parts) -> "Flat":
        """From its parts, which may be read-only."""
        index = cls(parts["vectors"].shape[1])
        index.add(ids_of(parts["ids"]), parts["vectors"])
        return index

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """O(d) a vector, amortised."""
        self._reserve(len(self) + len(ids))
        for id, vector in zip(ids.tolist(), vectors, strict=True):
            row = self._rows.setdefault(id, len(self._rows))
            self._ids[row], self._vectors[row] = id, vector

    def remove(self, ids: Ids) -> int:
        """O(d) a vector."""
        gone = 0
        for id in ids.tolist():
            row = self._rows.pop(id, None)
            if row is None:
                continue
            gone += 1
            last = len(self._rows)
            if row != last:
                self._ids[row], self._vectors[row] = self._ids[last], self._vectors[last]
                self._rows[int(self._ids[row])] = row
        return gone

    def search(self, questions: Vectors, k: int, allowed: Ids | None = None) -> Found:
        """Exact."""
        count = len(self)
        if allowed is None:
            return filled(self._ids[:count], *nearest(questions, self._vectors[:count], k), k)
        rows = np.asarray(sorted({self._rows[id] for id in allowed.tolist() if id in self._rows}), np.int64)
        return filled(self._ids[rows], *nearest(questions, self._vectors[rows], k), k)

    def worn(self) -> bool:
        """Never: it holds no removed rows."""
        return False

    def parts(self) -> Parts:
        """Views of the arrays."""
        return {"ids": self._ids[: len(self)], "vectors": self._vectors[: len(self)]}

    def _reserve(self, count: int) -> None:
        if count > len(self._ids):
            more = max(count, 2 * len(self._ids)) - len(self._ids)
            self._ids = np.pad(self._ids, (0, more))
            self._vectors = np.pad(self._vectors, ((0, more), (0, 0)))
