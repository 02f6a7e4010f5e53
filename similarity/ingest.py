"""A file on its way into a store: read, cut, embedded, kept."""

from dataclasses import dataclass

import numpy as np

from similarity.catalogue import Catalogue
from similarity.chunking import Tokenise, chunks
from similarity.embedding import Batches
from similarity.extraction.extract import Bounds, extracted
from similarity.extraction.formats import Unreadable
from similarity.library.entries import Entries, Piece

MOST_CHUNKS = 20_000
AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Ingest:
    """Works on one entry at a time; blocks, so call it in a thread. Any number of threads may."""

    entries: Entries
    catalogue: Catalogue
    batches: Batches
    tokenise: Tokenise
    bounds: Bounds

    def work(self, entry: int) -> None:
        """Bring an entry to its end: completed with all its chunks, or failed with a reason; nothing where it has gone.

        An embedding that fails or is overloaded raises, and leaves the entry to be worked on again.
        """
        pending = self.entries.work(entry)
        if pending is None:
            return
        try:
            text = extracted(pending.file.filename, pending.content, self.bounds)
            texts = chunks(text, pending.strategy, self.tokenise)
            if len(texts) > MOST_CHUNKS:
                raise Unreadable(f"the file makes more than {MOST_CHUNKS} chunks")
        except Unreadable as error:
            self.entries.fail(pending, str(error))
            return
        # A few at a time, so that a large file does not hold up the questions that are asked meanwhile.
        parts = [texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE)]
        vectors = np.concatenate([self.batches.submit(part).result() for part in parts])
        pieces = [Piece(text, vector) for text, vector in zip(texts, vectors, strict=True)]
        ids = self.entries.complete(pending, pieces)
        self.catalogue.add(pending.store, ids, vectors[: len(ids)])
