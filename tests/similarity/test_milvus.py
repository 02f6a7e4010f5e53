"""Milvus finds what the library has, of one store at a time, through the client that a cluster has, too."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient

from similarity import milvus
from similarity.chunking import words
from similarity.extraction.extract import Bounds
from similarity.ingest import Ingest
from similarity.library.database import LibraryError
from similarity.library.records import Cut, Strategy
from similarity.milvus import Milvus
from similarity.vectors import ids_of
from tests.similarity.whole import DIMENSIONS, Whole, embedded


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusClient]:
    """milvus-lite, of this process."""
    client = MilvusClient(str(tmp_path_factory.mktemp("milvus") / "lite.db"))
    yield client
    client.close()


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    whole = Whole(tmp_path / "library")
    yield whole
    whole.close()


@pytest.fixture
def engine(client: MilvusClient, whole: Whole, request: pytest.FixtureRequest) -> Milvus:
    """A collection of the test's own."""
    return Milvus(client, whole.entries, DIMENSIONS, f"c{abs(hash(request.node.name))}")


def filled(whole: Whole, *texts: str, tenant: str = "acme") -> tuple[str, int]:
    """A store of these texts: its id and number."""
    store = whole.stores.create(tenant).id
    for text in texts:
        whole.put(tenant, store, text)
    return store, whole.stores.open(tenant, store, "p").number


def found(engine: Milvus, store: int, question: str, allowed: list[int] | None = None) -> list[int]:
    """Ids, best first."""
    answer = engine.search(store, embedded([question]), 5, None if allowed is None else ids_of(allowed))
    return [id for id in answer.ids[0].tolist() if id >= 0]


def test_it_finds_what_a_scan_finds_and_only_of_its_store(engine: Milvus, whole: Whole) -> None:
    _, mine = filled(whole, *(f"red cat w{at}" for at in range(20)))
    _, other = filled(whole, "red cat", tenant="other")
    questions = embedded(["red cat", "w3 w7", "cat w11"])
    exact, here = whole.catalogue.search(mine, questions, 5), engine.search(mine, questions, 5)
    assert np.allclose(here.scores, exact.scores, atol=1e-5)
    assert set(here.ids.ravel().tolist()) <= set(whole.entries.chunk_ids(mine).tolist())
    assert found(engine, other, "w3") == whole.entries.chunk_ids(other).tolist()
    assert engine.search(mine, questions[:0], 5).ids.shape == (0, 5)


@pytest.mark.parametrize("listed", [10_000, 3])
def test_a_filter_is_kept_however_long_it_is(
    engine: Milvus, whole: Whole, listed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "LISTED", listed)
    _, store = filled(whole, *(f"red cat w{at}" for at in range(12)))
    allowed = whole.entries.chunk_ids(store).tolist()[::2]
    exact = whole.catalogue.search(store, embedded(["cat w2 w3"]), 5, ids_of(allowed))
    assert found(engine, store, "cat w2 w3", allowed) == exact.ids[0].tolist()
    assert found(engine, store, "cat", []) == []


def test_files_come_and_go_with_the_next_search(engine: Milvus, whole: Whole) -> None:
    store, number = filled(whole)
    ingest = Ingest(whole.entries, engine, whole.batches, words, Bounds())
    assert found(engine, number, "red") == []
    file = whole.files.create("acme", "a.txt", b"red cat").id
    whole.entries.attach("acme", store, file, {}, Strategy(100, 0))
    for entry in whole.entries.pending():
        ingest.work(entry)
    assert found(engine, number, "red") == whole.entries.chunk_ids(number).tolist()
    engine.remove(number, whole.entries.detach("acme", store, file))
    assert found(engine, number, "red") == []


def test_what_it_missed_is_made_good_at_first_use(engine: Milvus, client: MilvusClient, whole: Whole) -> None:
    store, number = filled(whole, "red cat", "blue cat")
    gone = whole.entries.page("acme", store, Cut()).items[0].file
    assert len(found(engine, number, "cat")) == 2
    whole.entries.detach("acme", store, gone)
    whole.put("acme", store, "green cat")
    behind = found(engine, number, "cat")
    again = Milvus(client, whole.entries, DIMENSIONS, engine._collection)
    assert sorted(found(again, number, "cat")) == whole.entries.chunk_ids(number).tolist() != sorted(behind)
    assert again.ids(number).tolist() == whole.entries.chunk_ids(number).tolist()


def test_deleted_stores_leave_nothing(engine: Milvus, whole: Whole) -> None:
    numbers = [filled(whole, "red cat")[1] for _ in range(3)]
    for number in numbers:
        engine.maintain(number)
    engine.forget(numbers[0])
    engine.sweep({numbers[1]})
    assert [engine.count(number) for number in numbers] == [0, 1, 0]


def test_a_lost_connection_is_the_librarys_error(tmp_path: Path, whole: Whole) -> None:
    _, number = filled(whole, "red cat")
    client = MilvusClient(str(tmp_path / "lite.db"))
    engine = Milvus(client, whole.entries, DIMENSIONS)
    client.close()
    with pytest.raises(LibraryError):
        found(engine, number, "cat")
