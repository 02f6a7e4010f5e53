"""The library of vector stores over one directory, with everything that works on it, for an event loop."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from llmguard.errors import Denial, Refused
from llmguard.services.embedder import Embedder
from llmguard.services.engines import engine
from llmguard.settings_similarity import MilvusSettings
from similarity.chunking import words
from similarity.embedding import Batches, Overloaded
from similarity.extraction.extract import Bounds
from similarity.ingest import Ingest
from similarity.ledger import Ledger
from similarity.library.database import Database, LibraryError
from similarity.library.entries import Entries
from similarity.library.file_batches import FileBatches
from similarity.library.files import Files
from similarity.library.matching import Matching
from similarity.library.records import Invalid, NotFound
from similarity.library.seal import Seal
from similarity.library.stores import Stores
from similarity.search import Search
from similarity.vectors import Vectors, unit

THREADS = 2
"""What they do besides FAISS and SQLite holds the interpreter: more of them would only take turns."""
WORKERS = 32
"""Files on their way in: so many small ones share a batch of the model, as many as one takes."""
INDEXES = "indexes"
FAILURES = (NotFound, Invalid, LibraryError, Overloaded)

P = ParamSpec("P")
T = TypeVar("T")


class Embeddings:
    """Vectors of texts, batched over all who ask; `embedder` works in the loop, the batches in a thread."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._loop = asyncio.get_running_loop()
        self._running: Future[list[list[float]]] | None = None
        self.batches = Batches(self._embedded)

    async def __call__(self, texts: Sequence[str]) -> Vectors:
        """[n, d] unit vectors; raises GuardError."""
        try:
            return await asyncio.wrap_future(self.batches.submit(texts))
        except Overloaded as error:
            raise failure(error) from error

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        self._running = asyncio.run_coroutine_threadsafe(self._embedder(texts), self._loop)
        return unit(self._running.result())

    async def close(self) -> None:
        """Cancel what waits and what runs."""
        if self._running is not None:
            self._running.cancel()
        await asyncio.to_thread(self.batches.close)


class Library:
    """Stores, files and searches of all tenants, of vectors of so many dimensions.

    Raises LibraryError where the directory's file cannot be opened.
    """

    def __init__(
        self,
        directory: Path,
        *,
        dimensions: int,
        largest: int,
        milvus: MilvusSettings | None,
        now: Callable[[], float],
        key: Callable[[str], bytes],
        batches: Batches,
    ) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="llmguard-similarity")
        self._slow = ThreadPoolExecutor(WORKERS, thread_name_prefix="llmguard-ingest")
        self._database = Database(directory)
        sealed, orders = key("similarity-vectors"), key("similarity-orders")
        seal = Seal(sealed)
        self.stores = Stores(self._database, now, new_id)
        self.files = Files(self._database, now, new_id, largest)
        self.entries = Entries(self._database, now, seal, dimensions)
        self.file_batches = FileBatches(self._database, now, new_id)
        self.catalogue = engine(milvus, self.entries, directory / INDEXES, sealed, dimensions)
        self.ingest = Ingest(self.entries, self.catalogue, batches, words, Bounds())
        self.search = Search(
            self.stores,
            self.entries,
            Matching(self._database),
            self.catalogue,
            Ledger(self._database, seal, dimensions),
            orders,
        )

    async def do(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Work on the library in a thread of its own; its failures are raised as the client may hear them."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *given, **named))
        except FAILURES as error:
            raise failure(error) from error

    def begin(self, entry: int) -> "asyncio.Future[int | None]":
        """Work on an entry, in one of the threads for what takes long; the store that has changed."""
        return asyncio.get_running_loop().run_in_executor(self._slow, self.ingest.work, entry)

    def sweep(self, changed: Collection[int]) -> None:
        """Delete what has expired; mend and keep the indexes of stores that have changed. Blocks."""
        for number in self.stores.sweep():
            self.catalogue.forget(number)
        self.files.sweep()
        there = self.stores.numbers()
        self.catalogue.sweep(there)
        for number in changed:
            if number in there:
                self.catalogue.maintain(number)

    async def close(self) -> None:
        """Once what runs has ended, close the file."""
        for pool in (self._slow, self._pool):
            await asyncio.to_thread(pool.shutdown)
        await asyncio.to_thread(self.catalogue.close)
        self._database.close()


def failure(error: NotFound | Invalid | LibraryError | Overloaded) -> Refused:
    """A failure of the library as an answer."""
    if isinstance(error, NotFound):
        return Refused(Denial("not_found", f"There is {error}."))
    if isinstance(error, Invalid):
        return Refused(Denial("invalid_value", f"'{error.param}' is not valid: {error}.", param=error.param))
    if isinstance(error, Overloaded):
        return Refused(Denial("overloaded", retry_after_s=1.0))
    return Refused(Denial("store_unavailable", retry_after_s=1.0))


def new_id(prefix: str) -> str:
    """An id that nobody guesses."""
    return prefix + secrets.token_hex(16)
