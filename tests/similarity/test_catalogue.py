"""Indexes follow the library, whatever became of their snapshots."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from similarity.catalogue import Catalogue
from similarity.index import Kind
from similarity.library.entries import Piece
from similarity.library.records import Strategy
from similarity.snapshot import read
from similarity.vectors import Vectors
from tests.similarity.made import topics
from tests.similarity.whole import DIMENSIONS, KEY, Whole


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    made = Whole(tmp_path / "library", largest_flat=60)
    yield made
    made.close()


def put(whole: Whole, store: str, vectors: Vectors) -> str:
    """A file with these vectors, in the library alone."""
    file = whole.files.create("acme", "a.txt", b"x").id
    whole.entries.attach("acme", store, file, {}, Strategy())
    pending = whole.entries.work(whole.entries.pending()[-1])
    assert pending is not None
    whole.entries.complete(pending, [Piece(f"t{at}", vector) for at, vector in enumerate(vectors)])
    return file


def agrees(whole: Whole, store: int) -> bool:
    """Whether the index finds exactly what the library has."""
    ids = whole.entries.chunk_ids(store)
    found = whole.catalogue.search(store, topics(1, DIMENSIONS, 7), max(1, len(ids)) + 5).ids[0]
    return sorted(id for id in found.tolist() if id >= 0) == ids.tolist()


def test_it_is_built_from_the_library_and_opened_from_a_snapshot(whole: Whole, tmp_path: Path) -> None:
    store = whole.stores.create("acme").id
    put(whole, store, topics(50, DIMENSIONS, 1))
    assert agrees(whole, 1)
    whole.catalogue.save(1)
    again = Whole(tmp_path / "library", largest_flat=60)
    assert agrees(again, 1)
    again.close()


@pytest.mark.parametrize("damage", ["none", "missing", "cut", "flipped", "another's", "old"])
def test_whatever_became_of_the_snapshot_it_agrees_with_the_library(whole: Whole, tmp_path: Path, damage: str) -> None:
    store, other = whole.stores.create("acme").id, whole.stores.create("acme").id
    gone = put(whole, store, topics(20, DIMENSIONS, 1))
    put(whole, store, topics(15, DIMENSIONS, 2))
    put(whole, other, topics(5, DIMENSIONS, 3))
    for number in (1, 2):
        whole.catalogue.save(number)
    path = tmp_path / "library" / "indexes" / "1.snapshot"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "flipped":
        path.write_bytes(path.read_bytes()[:-9] + bytes(9))
    elif damage == "another's":
        path.write_bytes(path.with_name("2.snapshot").read_bytes())
    elif damage == "old":
        whole.entries.detach("acme", store, gone)
        put(whole, store, topics(30, DIMENSIONS, 4))
    again = Whole(tmp_path / "library", largest_flat=60)
    assert agrees(again, 1)
    assert agrees(again, 2)
    again.close()


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_survives_a_restart(tmp_path: Path, kind: Kind) -> None:
    whole = Whole(tmp_path / "library")
    store = whole.stores.create("acme").id
    put(whole, store, topics(300, DIMENSIONS, 1))

    def catalogue() -> Catalogue:
        return Catalogue(whole.entries, tmp_path / "indexes", KEY, DIMENSIONS, lambda _: kind)

    first = catalogue()
    first.maintain(1)
    assert read(tmp_path / "indexes" / "1.snapshot", KEY)[0]["kind"] == kind
    question = topics(1, DIMENSIONS, 9)
    put(whole, store, question)
    before, after = first.search(1, question, 5), catalogue().search(1, question, 5)
    assert after.ids[0, 0] == 301
    assert before.ids[0, 0] != 301
    exact = whole.entries.vectors(1, after.ids[0])[1] @ question[0]
    assert np.allclose(np.sort(exact), np.sort(after.scores[0]), atol=0.01)
    whole.close()


def test_an_index_that_has_outgrown_its_kind_is_rebuilt_while_it_is_searched(whole: Whole, tmp_path: Path) -> None:
    store = whole.stores.create("acme").id
    put(whole, store, topics(50, DIMENSIONS, 1))
    assert agrees(whole, 1)
    file = put(whole, store, topics(100, DIMENSIONS, 2))
    whole.catalogue.add(1, *whole.entries.vectors(1, whole.entries.chunk_ids(1)))
    stop, wrong = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            if (whole.catalogue.search(1, topics(1, DIMENSIONS, 3), 5).ids < 0).any():
                wrong.append("fewer than there are")

    searching = threading.Thread(target=search)
    searching.start()
    whole.catalogue.maintain(1)
    stop.set()
    searching.join(10)
    assert wrong == []
    assert read(tmp_path / "library" / "indexes" / "1.snapshot", KEY)[0]["kind"] == "hnsw"
    whole.catalogue.remove(1, whole.entries.detach("acme", store, file))
    whole.catalogue.maintain(1)
    assert agrees(whole, 1)


def test_a_deleted_store_leaves_no_snapshot(whole: Whole, tmp_path: Path) -> None:
    for _ in range(2):
        put(whole, whole.stores.create("acme").id, topics(5, DIMENSIONS, 1))
    for number in (1, 2):
        whole.catalogue.save(number)
    whole.catalogue.forget(1)
    (tmp_path / "library" / "indexes" / ".9.snapshot.abcd").write_bytes(b"half")
    whole.catalogue.sweep({1})
    assert list((tmp_path / "library" / "indexes").iterdir()) == []
