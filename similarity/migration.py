"""Stores on their way into Milvus: copied, begun again where that was broken off, and compared."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from similarity.library.entries import Entries
from similarity.milvus import Milvus
from similarity.vectors import Ids

CLOSE = 1e-5
"""The most by which a number of a vector may differ: Milvus keeps float32, as the library does."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """A store so far: its chunks in the library, those copied now, and, once `done`, those that Milvus counts, and of
    the `sampled` ones those that are another vector there or are not found by their own vector."""

    store: int
    chunks: int
    copied: int
    done: bool = False
    counted: int = 0
    sampled: int = 0
    wrong: int = 0

    @property
    def whole(self) -> bool:
        """Whether Milvus has it as the library does."""
        return self.done and self.counted == self.chunks and self.wrong == 0


def migrated(
    entries: Entries, stores: Iterable[int], target: Milvus, sample: Callable[[Ids], Ids]
) -> Iterator[Migrated]:
    """Copy what Milvus lacks, store by store, a step at a time; `sample` chooses the ids to compare.

    Broken off anywhere, it goes on from what Milvus has. The library is only read.
    """
    for store in stores:
        copied, chunks = 0, len(entries.chunk_ids(store))
        for step in target.catch_up(store):
            copied += step
            yield Migrated(store, chunks, copied)
        chosen = sample(entries.chunk_ids(store))
        wrong = _wrong(entries, store, target, chosen)
        yield Migrated(store, chunks, copied, True, target.count(store), len(chosen), wrong)


def _wrong(entries: Entries, store: int, target: Milvus, chosen: Ids) -> int:
    if not len(chosen):
        return 0
    known, true = entries.vectors(store, chosen)
    there, vectors = target.vectors(store, known)
    by_id = dict(zip(there.tolist(), vectors, strict=True))
    same = [
        id in by_id and np.allclose(by_id[id], one, atol=CLOSE) for id, one in zip(known.tolist(), true, strict=True)
    ]
    # A chunk that is there twice over finds its twin: what must agree is how near the nearest is.
    nearest = target.search(store, true, 1).scores[:, 0]
    found = nearest >= (true * true).sum(axis=1) - CLOSE
    return int(len(chosen) - (np.asarray(same, bool) & found).sum())
