"""A whole library with everything over it, and an embedding that is made of words."""

import hashlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np

from similarity.catalogue import Catalogue
from similarity.chunking import words
from similarity.embedding import Batches
from similarity.extraction.extract import Bounds
from similarity.index import Kind, kind_for
from similarity.ingest import Ingest
from similarity.ledger import Ledger
from similarity.library.database import Database
from similarity.library.entries import Entries
from similarity.library.files import Files
from similarity.library.matching import Matching
from similarity.library.records import Attributes, Entry, Strategy
from similarity.library.seal import Seal
from similarity.library.stores import Stores
from similarity.search import Ask, Results, Search
from similarity.setting import Disclosure
from similarity.vectors import Vectors, unit

KEY, DIMENSIONS = b"k" * 32, 64


def embedded(texts: Sequence[str]) -> Vectors:
    """A text is the sum of its words, each a direction of its own."""
    return unit(np.stack([sum(map(_word, text.lower().split()), np.zeros(DIMENSIONS)) for text in texts]))


def _word(word: str) -> Vectors:
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
    return np.random.default_rng(seed).standard_normal(DIMENSIONS)


class Whole:
    """Every part over one directory; opening it twice is a restart."""

    def __init__(self, directory: Path, *, largest_flat: int | None = None, name: str = "") -> None:
        ids = count()
        self.at = 1000.0
        self.database = Database(directory)
        seal = Seal(KEY)

        def new_id(prefix: str) -> str:
            return f"{prefix}{name}{next(ids)}"

        def kind_of(size: int) -> Kind:
            return kind_for(size) if largest_flat is None else (Kind.FLAT if size <= largest_flat else Kind.HNSW)

        self.stores = Stores(self.database, lambda: self.at, new_id)
        self.files = Files(self.database, lambda: self.at, new_id)
        self.entries = Entries(self.database, lambda: self.at, seal, DIMENSIONS)
        self.matching = Matching(self.database)
        self.catalogue = Catalogue(self.entries, directory / "indexes", KEY, DIMENSIONS, kind_of)
        self.ledger = Ledger(self.database, seal, DIMENSIONS)
        self.batches = Batches(embedded)
        self.ingest = Ingest(self.entries, self.catalogue, self.batches, words, Bounds())
        self._searches = Search(self.stores, self.entries, self.matching, self.catalogue, self.ledger, KEY)

    def put(
        self, tenant: str, store: str, text: str, attributes: Attributes | None = None, name: str = "a.txt"
    ) -> Entry:
        """A file, all the way in."""
        file = self.files.create(tenant, name, text.encode())
        self.entries.attach(tenant, store, file.id, attributes or {}, Strategy(100, 0))
        for entry in self.entries.pending():
            self.ingest.work(entry)
        return self.entries.get(tenant, store, file.id)

    def ask(self, tenant: str, store: str, question: str, setting: Disclosure | None = None, **more: object) -> Results:
        """A search."""
        given = {"policy": "p", "cluster": tenant.encode(), **more}
        ask = Ask(tenant=tenant, store=store, question=question, vector=embedded([question])[0], **given)  # type: ignore[arg-type]
        return self.search(ask, setting or Disclosure())

    def search(self, ask: Ask, setting: Disclosure) -> Results:
        """A search by a vector of the test's own."""
        return self._searches.search(ask, setting)

    def close(self) -> None:
        """What an orderly end does."""
        self.batches.close()
        self.database.close()
