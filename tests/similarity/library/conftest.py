"""A library in a directory, with a clock and ids of the tests' own."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from similarity.library.database import Database
from similarity.library.entries import Entries, Piece
from similarity.library.file_batches import FileBatches
from similarity.library.files import Files
from similarity.library.matching import Matching
from similarity.library.records import Attributes, Entry, Strategy
from similarity.library.seal import Seal
from similarity.library.stores import Stores
from tests.similarity.made import directions

KEY, DIMENSIONS = b"k" * 32, 8


@dataclass
class Library:
    """Its parts over one database; `at` is the time."""

    directory: Path
    at: float = 1000.0
    database: Database = field(init=False)

    def __post_init__(self) -> None:
        ids = count()
        self.database = Database(self.directory)
        self.stores = Stores(self.database, lambda: self.at, lambda prefix: f"{prefix}{next(ids)}")
        self.files = Files(self.database, lambda: self.at, lambda prefix: f"{prefix}{next(ids)}", largest=1000)
        self.entries = Entries(self.database, lambda: self.at, Seal(KEY), DIMENSIONS)
        self.batches = FileBatches(self.database, lambda: self.at, lambda prefix: f"{prefix}{next(ids)}")
        self.matching = Matching(self.database)

    def put(self, tenant: str, store: str, texts: list[str], attributes: Attributes | None = None) -> Entry:
        """A file of these chunks, all the way in."""
        file = self.files.create(tenant, "a.txt", b"content")
        entry = self.entries.attach(tenant, store, file.id, attributes or {}, Strategy())
        pending = self.entries.work(self.entries.pending()[-1])
        assert pending is not None
        vectors = directions(len(texts), DIMENSIONS, len(texts))
        self.entries.complete(pending, [Piece(text, vector) for text, vector in zip(texts, vectors, strict=True)])
        return self.entries.get(tenant, store, entry.file)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path / "library")
    yield made
    made.database.close()
