"""A graph that is walked towards the question."""

import faiss
import numpy as np

from similarity.index.index import Found, Kind, Parts
from similarity.index.scan import filled, nearest
from similarity.index.threads import one_thread
from similarity.vectors import Ids, Vectors

DEGREE, BUILD_WIDTH, SEARCH_WIDTH = 32, 80, 64
DEAD_SHARE = 0.25
"""The share of removed rows past which a graph should be built anew."""
EXACT_SHARE = 0.1
"""A filter that leaves less than this share of a graph is answered by scoring just those rows."""


class Graph:
    """An HNSW graph; it cannot forget, so removed rows are passed over until it is built anew."""

    kind = Kind.HNSW

    def __init__(self, dimensions: int) -> None:
        self._index = faiss.IndexHNSWFlat(dimensions, DEGREE, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = BUILD_WIDTH
        self._ids: Ids = np.empty(0, np.int64)
        self._rows: dict[int, int] = {}

    @classmethod
    def of(cls, parts: Parts) -> "Graph":
        """From its parts."""
        index = cls(1)
        index._index = faiss.deserialize_index(parts["index"])
        index._ids = parts["ids"].astype(np.int64)
        rows = np.flatnonzero(index._ids >= 0)
        index._rows = dict(zip(index._ids[rows].tolist(), rows.tolist(), strict=True))
        return index

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """50 to 90 µs a vector."""
        latest = dict(zip(ids.tolist(), range(len(ids)), strict=True))
        self.remove(ids)
        kept = np.fromiter(latest.values(), np.int64, len(latest))
        start = len(self._ids)
        self._index.add(np.ascontiguousarray(vectors[kept]))
        self._ids = np.concatenate([self._ids, ids[kept]])
        self._rows.update(zip(latest, range(start, start + len(kept)), strict=True))

    def remove(self, ids: Ids) -> int:
        """Hidden at once; the memory comes back with the next building."""
        rows = [row for id in ids.tolist() if (row := self._rows.pop(id, None)) is not None]
        self._ids[rows] = -1
        return len(rows)

    def search(self, questions: Vectors, k: int, allowed: Ids | None = None) -> Found:
        """Of a wide beam; exact where the filter is narrow."""
        if len(questions) == 0 or not self._rows:
            return filled(self._ids, *nearest(questions, np.empty((0, self._index.d), np.float32), k), k)
        if allowed is not None:
            rows = np.asarray(sorted({self._rows[id] for id in allowed.tolist() if id in self._rows}), np.int64)
            if len(rows) <= EXACT_SHARE * len(self._ids):
                return filled(self._ids[rows], *nearest(questions, self._stored()[rows], k), k)
        elif len(self._rows) < len(self._ids):
            rows = np.flatnonzero(self._ids >= 0)
        else:
            rows = None
        width = max(SEARCH_WIDTH, 2 * k)
        one_thread()
        if rows is None:
            scores, found = self._index.search(questions, k, params=faiss.SearchParametersHNSW(efSearch=width))
        else:
            bitmap = np.zeros(len(self._ids), bool)
            bitmap[rows] = True
            chosen = faiss.IDSelectorBitmap(np.packbits(bitmap, bitorder="little"))
            width = min(len(self._ids), width * len(self._ids) // max(1, len(rows)))
            parameters = faiss.SearchParametersHNSW(efSearch=width, sel=chosen)
            scores, found = self._index.search(questions, k, params=parameters)
        return filled(self._ids, found, scores, k)

    def worn(self) -> bool:
        """Whether a quarter of it is removed rows."""
        return len(self._ids) - len(self._rows) > DEAD_SHARE * len(self._ids)

    def parts(self) -> Parts:
        """Copies."""
        return {"ids": self._ids, "index": faiss.serialize_index(self._index)}

    def _stored(self) -> Vectors:
        """[rows, d], a view."""
        flat = faiss.downcast_index(self._index.storage)
        stored: Vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
        return stored
