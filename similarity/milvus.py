"""The engine beyond one machine: Milvus, through pymilvus, which nothing else imports.

One collection for all stores, with the store's number as its partition key: Milvus spreads the stores over
partitions by a hash of it and a search reads one of them, however many stores there are. A collection for each
tenant would keep tenants apart in Milvus's own access control, too, but a cluster holds some tens of thousands of
collections, each with segments and indexes of its own, and a guard has small stores by the hundred thousand. What
keeps tenants apart is here and in the library: every request names the store, and what comes back is shown only
where the library says that it is that store's.

Milvus holds the vectors as they are, unlike the library and its snapshots: its disks and its network are the
operator's to encrypt, and nobody but the guard has its credentials.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from similarity.index import Found
from similarity.library.database import LibraryError
from similarity.library.entries import Entries
from similarity.vectors import Ids, Vectors, ids_of

COLLECTION = "llmguard_chunks"
BATCH = 1000
LISTED = 10_000
"""Ids that one filter names; more of them are asked about in parts."""


class Milvus:
    """`client` is connected; the collection is made where it is missing.

    A store is caught up with the library when it is first used, so that what was written while this process was not
    there, or between the library and Milvus when it was killed, is made good.
    """

    def __init__(self, client: MilvusClient, entries: Entries, dimensions: int, collection: str = COLLECTION) -> None:
        """Raises LibraryError where Milvus cannot be reached."""
        self._client = client
        self._entries = entries
        self._collection = collection
        self._caught_up: set[int] = set()
        self._lock = threading.Lock()
        with _translated():
            if not client.has_collection(collection):
                self._make(dimensions)
            client.load_collection(collection)

    @classmethod
    def at(cls, uri: str, token: str, entries: Entries, dimensions: int) -> "Milvus":
        """Connected to a server (http://host:19530), or to a milvus-lite file. Raises LibraryError."""
        with _translated():
            client = MilvusClient(uri, token=token)
        return cls(client, entries, dimensions)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def search(self, store: int, questions: Vectors, k: int, allowed: Ids | None = None) -> Found:
        """The nearest chunks of a store; of more than LISTED allowed ones by merging the best of parts."""
        with self._lock:
            self._open(store)
        if allowed is None:
            return self._nearest(questions, k, f"store == {store}")
        parts = [
            self._nearest(questions, k, f"store == {store} and {_among(some)}") for some in _batches(allowed, LISTED)
        ]
        return _merged(parts, len(questions), k)

    def add(self, store: int, ids: Ids, vectors: Vectors) -> None:
        """Found by the next search."""
        with self._lock:
            if store in self._caught_up:
                self._put(store, ids, vectors)

    def remove(self, store: int, ids: Ids) -> None:
        """Gone from the next search."""
        with self._lock:
            if store in self._caught_up:
                self._delete(store, ids)

    def maintain(self, store: int) -> None:
        """Nothing but catching up: Milvus compacts by itself."""
        with self._lock:
            self._open(store)

    def forget(self, store: int) -> None:
        """A store that is deleted."""
        with self._lock, _translated():
            self._caught_up.discard(store)
            self._client.delete(self._collection, filter=f"store == {store}")

    def sweep(self, stores: set[int]) -> None:
        """Reads the number of every chunk's store once."""
        with self._lock:
            kept = {int(row["store"]) for row in self._rows("id >= 0", "store")}
        for gone in kept - stores:
            self.forget(gone)

    def ids(self, store: int) -> Ids:
        """The chunks that Milvus has of a store, rising."""
        return ids_of(sorted(int(row["id"]) for row in self._rows(f"store == {store}", "id")))

    def count(self, store: int) -> int:
        """How many that are, by Milvus's own count."""
        with _translated():
            found = self._client.query(
                self._collection, filter=f"store == {store}", output_fields=["count(*)"], consistency_level="Strong"
            )
            return int(found[0]["count(*)"])

    def vectors(self, store: int, ids: Ids) -> tuple[Ids, Vectors]:
        """Vectors as Milvus has them: ids [n] and vectors [n, d] in one order."""
        rows = [
            row
            for some in _batches(ids, BATCH)
            for row in self._rows(f"store == {store} and {_among(some)}", "id", "vector")
        ]
        found = np.asarray([row["vector"] for row in rows], np.float32)
        return ids_of([row["id"] for row in rows]), found.reshape(len(rows), -1)

    def catch_up(self, store: int) -> Iterator[int]:
        """Take out what the library has no more, put in what it has besides: how many chunks each step put in.

        May be broken off after any step and begun again.
        """
        true, there = self._entries.chunk_ids(store), self.ids(store)
        self._delete(store, np.setdiff1d(there, true, assume_unique=True))
        for some in _batches(np.setdiff1d(true, there, assume_unique=True), BATCH):
            self._put(store, *self._entries.vectors(store, some))
            yield len(some)

    def _make(self, dimensions: int) -> None:
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("store", DataType.INT64, is_partition_key=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimensions)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="AUTOINDEX", metric_type="IP")
        self._client.create_collection(self._collection, schema=schema, index_params=index, consistency_level="Strong")

    def _open(self, store: int) -> None:
        """Catch up once; the caller holds the lock."""
        if store not in self._caught_up:
            for _ in self.catch_up(store):
                pass
            self._caught_up.add(store)

    def _put(self, store: int, ids: Ids, vectors: Vectors) -> None:
        rows = [{"id": id, "store": store, "vector": vector} for id, vector in zip(ids.tolist(), vectors, strict=True)]
        with _translated():
            for start in range(0, len(rows), BATCH):
                self._client.upsert(self._collection, rows[start : start + BATCH])

    def _delete(self, store: int, ids: Ids) -> None:
        with _translated():
            for some in _batches(ids, BATCH):
                self._client.delete(self._collection, filter=f"store == {store} and {_among(some)}")

    def _nearest(self, questions: Vectors, k: int, condition: str) -> Found:
        ids, scores = np.full((len(questions), k), -1, np.int64), np.full((len(questions), k), -np.inf, np.float32)
        if k == 0 or len(questions) == 0:
            return Found(ids, scores)
        with _translated():
            answers = self._client.search(
                self._collection,
                data=list(questions),
                limit=k,
                filter=condition,
                # Without a field named, milvus-lite answers with the vectors.
                output_fields=["store"],
                consistency_level="Strong",
            )
        for row, hits in enumerate(answers):
            ids[row, : len(hits)] = [hit["id"] for hit in hits]
            scores[row, : len(hits)] = [hit["distance"] for hit in hits]
        return Found(ids, scores)

    def _rows(self, condition: str, *fields: str) -> Iterator[dict[str, Any]]:
        with _translated():
            pages = self._client.query_iterator(
                self._collection,
                batch_size=BATCH,
                filter=condition,
                output_fields=list(fields),
                consistency_level="Strong",
            )
            try:
                while page := pages.next():
                    yield from page
            finally:
                pages.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MilvusException as error:
        raise LibraryError("the vector database cannot be read or written") from error


def _among(ids: Ids) -> str:
    return f"id in {ids.tolist()}"


def _batches(ids: Ids, size: int) -> Iterator[Ids]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _merged(parts: Sequence[Found], questions: int, k: int) -> Found:
    """The best k of several answers to the same questions."""
    blank = Found(np.full((questions, k), -1, np.int64), np.full((questions, k), -np.inf, np.float32))
    ids = np.hstack([part.ids for part in (*parts, blank)])
    scores = np.hstack([part.scores for part in (*parts, blank)])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Found(np.take_along_axis(ids, best, 1), np.take_along_axis(scores, best, 1))
