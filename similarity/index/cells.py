"""Short codes in cells, of which a search reads those nearest to the question."""

from typing import Any

import faiss
import numpy as np

from similarity.index.index import Found, Kind, Parts
from similarity.index.scan import filled, nearest
from similarity.index.threads import one_thread
from similarity.vectors import Ids, Vectors

LARGEST_CELLS, VECTORS_A_CELL = 4096, 64
"""Cells, at most, and of the sample's vectors in each."""
TRAINING = 32
"""Vectors a cell that are looked at to place the cells; fewer than 39 make FAISS warn."""
TRAINED = 256
"""The fewest, of which a code of eight bits is learnt."""
ASKED, NEAREST, FOUND = 256, 10, 0.98
"""By so many of the sample's vectors it is seen how many cells hold this share of their nearest."""
SPARE, SEARCHED_LEAST = 2, 8
"""Questions lie farther from texts than texts do from one another: so many times as many cells are read."""
CODE_BYTES = 96
WIDER_RANGE = 0.25
"""By how much sq8 codes reach past the values they were learnt from: later texts are about other things."""


class Cells:
    """sq8: a byte a dimension; pq: 96 bytes, whose scores are good for choosing candidates only."""

    def __init__(self, kind: Kind, index: Any, read: int, newest: int = -1) -> None:
        self.kind = kind
        self._index = index
        self._places = faiss.IndexScalarQuantizer(index.d, faiss.ScalarQuantizer.QT_bf16, faiss.METRIC_INNER_PRODUCT)
        self._places.add(faiss.downcast_index(index.quantizer).reconstruct_n(0, index.nlist))
        self._searched = read
        # Ids come from a counter: one past all before is new, and nothing has to be looked for.
        self._newest = newest

    @classmethod
    def trained(cls, kind: Kind, vectors: Vectors) -> "Cells":
        """An empty index whose cells lie as these vectors do; raises ValueError below 256 vectors."""
        if len(vectors) < TRAINED:
            raise ValueError(f"cells are learnt from {TRAINED} vectors or more")
        dimensions = vectors.shape[1]
        cells = max(4, min(LARGEST_CELLS, len(vectors) // VECTORS_A_CELL))
        coarse = faiss.IndexFlatIP(dimensions)
        index: Any
        if kind is Kind.SQ8:
            code = faiss.ScalarQuantizer.QT_8bit
            index = faiss.IndexIVFScalarQuantizer(coarse, dimensions, cells, code, faiss.METRIC_INNER_PRODUCT)
            index.sq.rangestat_arg = WIDER_RANGE
        else:
            parts = max(part for part in range(1, CODE_BYTES + 1) if dimensions % part == 0)
            index = faiss.IndexIVFPQ(coarse, dimensions, cells, parts, 8, faiss.METRIC_INNER_PRODUCT)
            index.pq.cp.min_points_per_centroid = 1
        index.cp.min_points_per_centroid = 1
        index.train(np.ascontiguousarray(vectors[:: max(1, len(vectors) // max(TRAINED, cells * TRAINING))]))
        return cls(kind, index, _needed(coarse, vectors))

    @classmethod
    def of(cls, kind: Kind, parts: Parts) -> "Cells":
        """From its parts."""
        return cls(kind, faiss.deserialize_index(parts["index"]), int(parts["read"][0]), int(parts["newest"][0]))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """10 µs a vector; for an id that may be there already, as long as `remove`."""
        latest = dict(zip(ids.tolist(), range(len(ids)), strict=True))
        if not latest:
            return
        if min(latest) <= self._newest:
            self.remove(ids)
        kept = np.fromiter(latest.values(), np.int64, len(latest))
        self._index.add_with_ids(np.ascontiguousarray(vectors[kept]), np.ascontiguousarray(ids[kept]))
        self._newest = max(self._newest, max(latest))

    def remove(self, ids: Ids) -> int:
        """Reads every id once, about 10 ms at a million, so give many at a time."""
        return int(self._index.remove_ids(faiss.IDSelectorBatch(ids)))

    def search(self, questions: Vectors, k: int, allowed: Ids | None = None) -> Found:
        """Of the nearest cells; of the more cells, the fewer are allowed."""
        nothing = allowed is not None and len(allowed) == 0
        if len(questions) == 0 or len(self) == 0 or nothing:
            empty = np.empty((0, self._index.d), np.float32)
            return filled(np.empty(0, np.int64), *nearest(questions, empty, k), k)
        cells, share = int(self._index.nlist), 1 if allowed is None else max(1, len(self) // len(allowed))
        read = min(cells, share * self._searched)
        found = self._read(questions, k, read, allowed)
        short = bool((found.ids[:, min(k, len(self)) - 1] < 0).any())
        return self._read(questions, k, cells, allowed) if short and read < cells else found

    def _read(self, questions: Vectors, k: int, cells: int, allowed: Ids | None) -> Found:
        """The best of so many cells.

        A lone question waits for the memory that all cells' places take, half of its time at 4096 of them: they are
        read in bfloat16, which moves a score by 1e-4, a tenth of what the codes do.
        """
        one_thread()
        near, homes = self._places.search(questions, cells)
        chosen = {} if allowed is None else {"sel": faiss.IDSelectorBatch(allowed)}
        parameters = faiss.SearchParametersIVF(nprobe=cells, **chosen)
        scores, found = np.empty((len(questions), k), np.float32), np.empty((len(questions), k), np.int64)
        asked, read, best = map(faiss.swig_ptr, (questions, homes, scores))
        self._index.search_preassigned_c(
            len(questions), asked, k, read, faiss.swig_ptr(near), best, faiss.swig_ptr(found), False, parameters
        )
        return Found(found, np.where(found >= 0, scores, -np.inf).astype(np.float32))

    def worn(self) -> bool:
        """Never: what is removed is gone."""
        return False

    def parts(self) -> Parts:
        """Copies."""
        numbers = {"read": self._searched, "newest": self._newest}
        return {"index": faiss.serialize_index(self._index)} | {
            name: np.asarray([number], np.int64) for name, number in numbers.items()
        }


def _needed(coarse: Any, sample: Vectors) -> int:
    """How many cells a search reads, by where the nearest of some of the sample's vectors lie.

    In a sample neighbours are farther apart than among all, so it is no underestimate for vectors of its kind.
    """
    asked = np.ascontiguousarray(sample[:: max(1, len(sample) // ASKED)][:ASKED])
    _, near = faiss.knn(asked, sample, NEAREST + 1, metric=faiss.METRIC_INNER_PRODUCT)
    _, order = coarse.search(asked, coarse.ntotal)
    _, homes = coarse.search(np.ascontiguousarray(sample[near[:, 1:].ravel()]), 1)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(coarse.ntotal)[None], axis=1)
    ranks = np.take_along_axis(places, homes.reshape(len(asked), NEAREST), axis=1)
    needed = SPARE * (1 + int(np.quantile(ranks, FOUND)))
    return min(int(coarse.ntotal), max(SEARCHED_LEAST, needed))
