"""The indexes of all stores, derived from the library: opened from snapshots, caught up, rebuilt."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from similarity.index import Found, Index, Kind, begun, kind_for, restored
from similarity.library.entries import Entries
from similarity.snapshot import SnapshotError, read, write
from similarity.vectors import Ids, Vectors, ids_of

SUFFIX = ".snapshot"
BATCH, SAMPLE = 8192, 262_144
OPEN = 64
"""Indexes held in memory; the least recently used leaves."""
EXACT_SCORES = frozenset({Kind.FLAT, Kind.HNSW, Kind.SQ8})
DEEPER = 10
"""How many more candidates are taken where scores are coarse (pq), to be scored again with the library's vectors."""


@dataclass(slots=True)
class _Held:
    """An index, under its lock, and the ids that it holds, rising."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    index: Index | None = None
    ids: Ids = field(default_factory=lambda: ids_of([]))


class Catalogue:
    """Any thread may call it; what it does to one store, it does one after the other.

    The library is the truth: an index that is lost, damaged or behind costs time, never an answer. Snapshots in
    `directory` are encrypted with `key`.
    """

    def __init__(
        self,
        entries: Entries,
        directory: Path,
        key: bytes,
        dimensions: int,
        kind_of: Callable[[int], Kind] = kind_for,
    ) -> None:
        self._entries = entries
        self._directory = directory
        self._key = key
        self._dimensions = dimensions
        self._kind_of = kind_of
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._lock = threading.Lock()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def search(self, store: int, questions: Vectors, k: int, allowed: Ids | None = None) -> Found:
        """The nearest chunks of a store, with their cosines."""
        held = self._of(store)
        with held.lock:
            index = self._opened(held, store)
            if index.kind in EXACT_SCORES:
                return index.search(questions, k, allowed)
            coarse = index.search(questions, k * DEEPER, allowed)
        return self._scored(store, questions, coarse, k)

    def add(self, store: int, ids: Ids, vectors: Vectors) -> None:
        """Chunks that the library has acknowledged."""
        held = self._of(store)
        with held.lock:
            if held.index is not None and len(ids):
                held.index.add(ids, vectors)
                held.ids = np.union1d(held.ids, ids)

    def remove(self, store: int, ids: Ids) -> None:
        """Chunks that the library has deleted."""
        held = self._of(store)
        with held.lock:
            if held.index is not None and len(ids):
                held.index.remove(ids)
                held.ids = np.setdiff1d(held.ids, ids)

    def maintain(self, store: int) -> None:
        """Rebuild an index that is worn or has outgrown its kind, searches going on meanwhile; then keep a snapshot."""
        held = self._of(store)
        with held.lock:
            index = self._opened(held, store)
            outgrown = list(Kind).index(self._kind_of(len(index))) > list(Kind).index(index.kind)
            due = index.worn() or outgrown
        if due:
            ids = self._entries.chunk_ids(store)
            fresh = self._built(store, ids)
            with held.lock:
                held.index, held.ids = fresh, ids
                self._catch_up(held, store)
        self.save(store)

    def save(self, store: int) -> None:
        """Keep a snapshot of a store's index."""
        held = self._of(store)
        with held.lock:
            index = self._opened(held, store)
            about: dict[str, str | int] = {"kind": str(index.kind), "store": store, "dimensions": self._dimensions}
            write(self._path(store), self._key, about, {**index.parts(), "held": held.ids})

    def forget(self, store: int) -> None:
        """A store that is deleted."""
        with self._lock:
            self._held.pop(store, None)
        self._path(store).unlink(missing_ok=True)

    def sweep(self, stores: set[int]) -> None:
        """Delete the snapshots of stores that are no more, and what an interrupted write left."""
        for path in self._directory.iterdir():
            known = path.suffix == SUFFIX and path.stem.isdigit() and int(path.stem) in stores
            if not known and SUFFIX in path.name:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Forget every index; what is worth a snapshot has been kept by `maintain`."""
        with self._lock:
            self._held.clear()

    def _of(self, store: int) -> _Held:
        with self._lock:
            held = self._held.setdefault(store, _Held())
            self._held.move_to_end(store)
            if len(self._held) > OPEN:
                self._held.popitem(last=False)
            return held

    def _opened(self, held: _Held, store: int) -> Index:
        """The index of a store, as the library has it; the caller holds its lock."""
        if held.index is None:
            try:
                held.index, held.ids = self._loaded(store)
            except SnapshotError:
                held.ids = self._entries.chunk_ids(store)
                held.index = self._built(store, held.ids)
            self._catch_up(held, store)
        return held.index

    def _loaded(self, store: int) -> tuple[Index, Ids]:
        about, arrays = read(self._path(store), self._key)
        try:
            if (about["store"], about["dimensions"]) != (store, self._dimensions):
                raise SnapshotError("the snapshot is another store's")
            ids = ids_of(arrays["held"])
            index = restored(Kind(str(about["kind"])), arrays)
        except (KeyError, ValueError) as error:
            raise SnapshotError("the snapshot is no index") from error
        if len(index) != len(ids):
            raise SnapshotError("the snapshot's index holds other ids than it says")
        return index, ids

    def _built(self, store: int, ids: Ids) -> Index:
        """An index from the library's vectors alone."""
        kind = self._kind_of(len(ids))
        sample = ids[:: max(1, len(ids) // SAMPLE)] if kind in (Kind.SQ8, Kind.PQ) else ids[:0]
        index = begun(kind, self._entries.vectors(store, sample)[1])
        for some in _batches(ids):
            index.add(*self._entries.vectors(store, some))
        return index

    def _catch_up(self, held: _Held, store: int) -> None:
        """Take out what the library has no more, put in what it has besides."""
        if held.index is None:
            return
        true = self._entries.chunk_ids(store)
        held.index.remove(np.setdiff1d(held.ids, true, assume_unique=True))
        for some in _batches(np.setdiff1d(true, held.ids, assume_unique=True)):
            held.index.add(*self._entries.vectors(store, some))
        held.ids = true

    def _scored(self, store: int, questions: Vectors, coarse: Found, k: int) -> Found:
        """The candidates of each question, scored again, exactly."""
        ids = np.full((len(questions), k), -1, np.int64)
        scores = np.full((len(questions), k), -np.inf, np.float32)
        for row, question in enumerate(questions):
            known, vectors = self._entries.vectors(store, coarse.ids[row][coarse.ids[row] >= 0])
            exact = vectors @ question
            best = np.argsort(-exact)[:k]
            ids[row, : len(best)], scores[row, : len(best)] = known[best], exact[best]
        return Found(ids, scores)

    def _path(self, store: int) -> Path:
        return self._directory / f"{store}{SUFFIX}"


def _batches(ids: Ids) -> Iterator[Ids]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
