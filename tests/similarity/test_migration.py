"""Stores in Milvus are as the library has them; a copy that is broken off goes on where it was."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from similarity import milvus
from similarity.migration import Migrated, migrated
from similarity.milvus import Milvus
from similarity.vectors import Ids
from tests.similarity.whole import DIMENSIONS, Whole, embedded


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    """Two stores, of five files and of one."""
    whole = Whole(tmp_path / "library")
    for tenant, count in (("acme", 5), ("other", 1)):
        store = whole.stores.create(tenant).id
        for at in range(count):
            whole.put(tenant, store, f"red cat w{at}")
    yield whole
    whole.close()


@pytest.fixture
def target(tmp_path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch) -> Iterator[Milvus]:
    """Milvus, written to two chunks at a time."""
    monkeypatch.setattr(milvus, "BATCH", 2)
    client = MilvusClient(str(tmp_path / "lite.db"))
    yield Milvus(client, whole.entries, DIMENSIONS)
    client.close()


def every(ids: Ids) -> Ids:
    return ids


def run(whole: Whole, target: Milvus) -> list[Migrated]:
    """The stores, done."""
    steps = migrated(whole.entries, sorted(whole.stores.numbers()), target, every)
    return [one for one in steps if one.done]


def test_every_store_is_copied_counted_and_compared(whole: Whole, target: Milvus) -> None:
    found = run(whole, target)
    assert [(one.chunks, one.copied, one.counted, one.sampled, one.wrong) for one in found] == [
        (5, 5, 5, 5, 0),
        (1, 1, 1, 1, 0),
    ]
    assert all(one.whole for one in found)


def test_broken_off_it_goes_on_and_copies_nothing_twice(whole: Whole, target: Milvus) -> None:
    steps = migrated(whole.entries, sorted(whole.stores.numbers()), target, every)
    assert [one.copied for one in islice(steps, 2)] == [2, 4]
    steps.close()
    assert [one.copied for one in run(whole, target)] == [1, 1]
    assert [one.copied for one in run(whole, target)] == [0, 0]


def test_what_differs_is_told(whole: Whole, target: Milvus) -> None:
    run(whole, target)
    first, second = sorted(whole.stores.numbers())
    changed = whole.entries.chunk_ids(first)[:1]
    target.add(first, changed, embedded(["something else"]))
    assert [(one.wrong, one.whole) for one in run(whole, target)] == [(1, False), (0, True)]
    assert not Migrated(second, 2, 0, True, counted=1).whole
    assert not Migrated(second, 2, 2).whole
