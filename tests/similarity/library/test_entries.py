"""Files in stores: whole or not at all."""

import sqlite3

import numpy as np
import pytest

from similarity.library.database import FILE, LibraryError
from similarity.library.entries import Entries, Piece
from similarity.library.filters import parsed
from similarity.library.records import Cut, Invalid, NotFound, Status, Strategy
from similarity.library.seal import Seal
from tests.similarity.library.conftest import DIMENSIONS, Library
from tests.similarity.made import directions


def begun(library: Library) -> tuple[str, str]:
    """A store with a file that waits."""
    store, file = library.stores.create("acme").id, library.files.create("acme", "a.txt", b"text").id
    library.entries.attach("acme", store, file, {}, Strategy())
    return store, file


def test_a_file_is_completed_with_all_its_chunks(library: Library) -> None:
    store = library.stores.create("acme").id
    entry = library.put("acme", store, ["one", "two", "three"], {"year": 2024})
    number = library.stores.open("acme", store, "p").number
    ids = library.entries.chunk_ids(number)
    assert entry.status is Status.COMPLETED
    assert [library.matching.chunks(number, ids.tolist())[id].text for id in ids.tolist()] == ["one", "two", "three"]
    known, vectors = library.entries.vectors(number, ids)
    assert known.tolist() == ids.tolist()
    assert np.array_equal(vectors, directions(3, DIMENSIONS, 3))
    assert library.entries.pending() == []


def test_where_a_chunk_cannot_be_kept_none_is(library: Library) -> None:
    store, file = begun(library)
    pending = library.entries.work(library.entries.pending()[0])
    assert pending is not None
    vectors = directions(2, DIMENSIONS, 1)
    broken = [Piece("one", vectors[0]), Piece("two\ud800", vectors[1])]
    with pytest.raises((UnicodeEncodeError, LibraryError)):
        library.entries.complete(pending, broken)
    assert library.entries.chunk_ids(pending.store).tolist() == []
    assert library.entries.get("acme", store, file).status is Status.IN_PROGRESS


def test_a_failed_file_says_why_and_is_not_worked_on_again(library: Library) -> None:
    store, file = begun(library)
    pending = library.entries.work(library.entries.pending()[0])
    assert pending is not None
    library.entries.fail(pending, "no text in it")
    found = library.entries.get("acme", store, file)
    assert (found.status, found.error) == (Status.FAILED, "no text in it")
    assert library.entries.pending() == []
    assert library.entries.work(pending.entry) is None


def test_a_file_taken_away_while_it_is_worked_on_leaves_nothing(library: Library) -> None:
    store, file = begun(library)
    pending = library.entries.work(library.entries.pending()[0])
    assert pending is not None
    library.entries.detach("acme", store, file)
    assert library.entries.complete(pending, [Piece("one", directions(1, DIMENSIONS, 1)[0])]).size == 0
    assert library.entries.chunk_ids(pending.store).size == 0
    with pytest.raises(NotFound):
        library.entries.get("acme", store, file)


def test_detaching_takes_chunks_words_and_attributes(library: Library) -> None:
    store = library.stores.create("acme").id
    gone, kept = library.put("acme", store, ["red cat"], {"a": 1}), library.put("acme", store, ["blue cat"], {"a": 1})
    number = library.stores.open("acme", store, "p").number
    removed = library.entries.detach("acme", store, gone.file)
    left = library.entries.chunk_ids(number)
    assert not set(removed.tolist()) & set(left.tolist())
    assert library.matching.worded(number, "cat red", 9, None).tolist() == left.tolist()
    assert library.matching.allowed(number, parsed({"type": "eq", "key": "a", "value": 1})).tolist() == left.tolist()
    assert [entry.file for entry in library.entries.page("acme", store, Cut()).items] == [kept.file]
    with library.database.reading() as connection:
        for table in ("attributes", "chunks", "entries"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)


def test_attaching_again_begins_anew(library: Library) -> None:
    store = library.stores.create("acme").id
    entry = library.put("acme", store, ["one", "two"])
    again = library.entries.attach("acme", store, entry.file, {"b": True}, Strategy(100, 10, automatic=False))
    assert again.status is Status.IN_PROGRESS
    assert again.strategy == Strategy(100, 10, automatic=False)
    assert library.entries.chunk_ids(library.stores.open("acme", store, "p").number).size == 0


def test_another_tenants_file_or_store_cannot_be_attached(library: Library) -> None:
    store, file = library.stores.create("acme").id, library.files.create("other", "a.txt", b"text").id
    for tenant in ("acme", "other"):
        with pytest.raises(NotFound):
            library.entries.attach(tenant, store, file, {}, Strategy())


@pytest.mark.parametrize(
    "wrong",
    [
        {str(at): at for at in range(100_000)},
        {"": 1},
        {"n" * 65: 1},
        {"a": "v" * 513},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": 10**400},
        {"a": None},
        {"a": [1]},
    ],
)
def test_attributes_out_of_bounds_are_refused(library: Library, wrong: dict[str, object]) -> None:
    store, file = begun(library)
    with pytest.raises(Invalid):
        library.entries.describe("acme", store, file, wrong)  # type: ignore[arg-type]


def test_attributes_are_replaced(library: Library) -> None:
    store, file = begun(library)
    library.entries.describe("acme", store, file, {"a": 1, "b": "x"})
    assert library.entries.describe("acme", store, file, {"c": False}).attributes == {"c": False}


def test_no_vector_lies_open_in_the_file_and_none_opens_with_another_key_or_store(library: Library) -> None:
    store = library.stores.create("acme").id
    library.put("acme", store, ["one", "two"])
    library.database.close()
    held = b"".join(path.read_bytes() for path in library.directory.iterdir())
    assert b"one" in held
    assert all(vector.tobytes()[:12] not in held for vector in directions(2, DIMENSIONS, 2))
    blob = sqlite3.connect(library.directory / FILE).execute("SELECT vector FROM chunks").fetchone()[0]
    assert Seal(b"k" * 32).opened([blob], 1, DIMENSIONS).shape == (1, DIMENSIONS)
    for key, number in ((b"x" * 32, 1), (b"k" * 32, 2)):
        with pytest.raises(LibraryError):
            Seal(key).opened([blob], number, DIMENSIONS)


def test_a_full_disk_leaves_what_was_there(library: Library) -> None:
    store = library.stores.create("acme").id
    library.put("acme", store, ["one"])
    with library.database.writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    library.database._writer.execute(f"PRAGMA max_page_count={pages}")
    _, file = store, library.files.create("acme", "b.txt", b"x").id
    library.entries.attach("acme", store, file, {}, Strategy())
    pending = library.entries.work(library.entries.pending()[0])
    assert pending is not None
    with pytest.raises(LibraryError):
        library.entries.complete(pending, [Piece("long " * 5000, directions(1, DIMENSIONS, 1)[0])] * 20)
    assert library.entries.chunk_ids(pending.store).size == 1
    assert library.entries.pending() == [pending.entry]


def test_entries_know_their_dimensions(library: Library) -> None:
    store = library.stores.create("acme").id
    library.put("acme", store, ["one"])
    number = library.stores.open("acme", store, "p").number
    with pytest.raises(LibraryError):
        Entries(library.database, lambda: 0, Seal(b"k" * 32), 7).vectors(number, library.entries.chunk_ids(number))
