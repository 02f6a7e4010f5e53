"""A file on its way into a store: read, cut, embedded, kept."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from similarity.chunking import Tokenise, chunks
from similarity.embedding import Batches
from similarity.engine import Engine
from similarity.extraction.extract import Bounds, extracted
from similarity.extraction.formats import Unreadable
from similarity.library.entries import Entries, Pending, Piece
from similarity.vectors import Vectors

MOST_CHUNKS = 20_000
READERS = 2
"""Files that are read at once, each of which may take the memory of its bounds."""
LARGE, LARGE_AT_ONCE = 1 << 16, 4
"""Bytes from which a file may make many chunks, and how many such are worked on at once, with all that they make."""
PART, PART_CHARACTERS = 8, 2000
"""What is embedded at once: so little that a question asked meanwhile hardly waits for it."""
AHEAD = 16
"""Parts that wait for the model together, which takes several in one call while nobody asks."""


@dataclass(frozen=True, slots=True)
class Ingest:
    """Works on one entry at a time; blocks, so call it in a thread. Any number of threads may."""

    entries: Entries
    catalogue: Engine
    batches: Batches
    tokenise: Tokenise
    bounds: Bounds
    readers: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(READERS))
    large: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(LARGE_AT_ONCE))

    def work(self, entry: int) -> int | None:
        """Bring an entry to its end: completed with all its chunks, or failed with a reason; nothing where it has gone.

        The number of the store that has changed, if one has.

        An embedding that fails or is overloaded raises, and leaves the entry to be worked on again.
        """
        pending = self.entries.work(entry)
        if pending is None:
            return None
        # The text of a PDF may be longer than the file; no other's is.
        if len(pending.content) < LARGE and not pending.file.filename.lower().endswith(".pdf"):
            return self._work(pending)
        del pending  # its content, while others have their turn
        with self.large:
            pending = self.entries.work(entry)
            return None if pending is None else self._work(pending)

    def _work(self, pending: Pending) -> int | None:
        try:
            with self.readers:
                text = extracted(pending.file.filename, pending.content, self.bounds)
            texts = chunks(text, pending.strategy, self.tokenise)
            if len(texts) > MOST_CHUNKS:
                raise Unreadable(f"the file makes more than {MOST_CHUNKS} chunks")
        except Unreadable as error:
            self.entries.fail(pending, str(error))
            return None
        vectors = self._embedded(texts)
        pieces = [Piece(text, vector) for text, vector in zip(texts, vectors, strict=True)]
        ids = self.entries.complete(pending, pieces)
        self.catalogue.add(pending.store, ids, vectors[: len(ids)])
        return pending.store

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        waiting: deque[Future[Vectors]] = deque()
        done: list[Vectors] = []
        try:
            for part in _parts(texts):
                if len(waiting) == AHEAD:
                    done.append(waiting.popleft().result())
                waiting.append(self.batches.submit(part, patient=True))
            while waiting:
                done.append(waiting.popleft().result())
        finally:
            for future in waiting:
                future.cancel()
        return np.concatenate(done)


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts, a few or one long one at a time."""
    part: list[str] = []
    size = 0
    for text in texts:
        if part and (len(part) == PART or size + len(text) > PART_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    yield part
