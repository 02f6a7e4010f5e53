"""Files that go in together."""

import pytest

from similarity.library.records import Addition, Counts, Cut, Invalid, NotFound, Status
from tests.similarity.library.conftest import Library


def added(library: Library, tenant: str, count: int) -> tuple[str, list[Addition]]:
    """A store, and files that may go into it."""
    files = [library.files.create(tenant, f"{at}.txt", b"text").id for at in range(count)]
    return library.stores.create(tenant).id, [Addition(file, {"at": at}) for at, file in enumerate(files)]


def test_a_batch_counts_its_files_as_they_are_done(library: Library) -> None:
    store, additions = added(library, "acme", 3)
    batch = library.batches.create("acme", store, additions)
    assert library.batches.get("acme", store, batch.id) == batch
    assert batch.counts == Counts(in_progress=3)
    first, second, _ = (library.entries.work(entry) for entry in library.entries.pending())
    assert first is not None
    assert second is not None
    library.entries.complete(first, [])
    library.entries.fail(second, "no text in it")
    assert library.batches.get("acme", store, batch.id).counts == Counts(1, 1, 1)
    failed = library.batches.page("acme", store, batch.id, Cut(), Status.FAILED)
    assert [entry.file for entry in failed.items] == [additions[1].file]
    rest = library.batches.page("acme", store, batch.id, Cut(after=additions[0].file, ascending=True))
    assert [entry.file for entry in rest.items] == [new.file for new in additions[1:]]
    library.entries.detach("acme", store, additions[2].file)
    assert library.batches.get("acme", store, batch.id).counts == Counts(0, 1, 1)


def test_all_go_in_or_none(library: Library) -> None:
    store, additions = added(library, "acme", 2)
    _, strange = added(library, "other", 1)
    with pytest.raises(NotFound):
        library.batches.create("acme", store, [*additions, *strange])
    for wrong in ([], [additions[0]] * 2):
        with pytest.raises(Invalid):
            library.batches.create("acme", store, wrong)
    assert library.entries.pending() == []


def test_another_tenants_batch_is_none(library: Library) -> None:
    store, additions = added(library, "acme", 1)
    other, _ = added(library, "acme", 0)
    batch = library.batches.create("acme", store, additions)
    for tenant, place in (("other", store), ("acme", other)):
        with pytest.raises(NotFound):
            library.batches.get(tenant, place, batch.id)
        with pytest.raises(NotFound):
            library.batches.page(tenant, place, batch.id, Cut())
    with pytest.raises(NotFound):
        library.batches.create("other", store, additions)
    library.stores.delete("acme", store)
    with pytest.raises(NotFound):
        library.batches.get("acme", store, batch.id)


def test_tenants_take_turns(library: Library) -> None:
    store, additions = added(library, "acme", 3)
    library.batches.create("acme", store, additions)
    other, one = added(library, "other", 1)
    library.batches.create("other", other, one)
    first, second, third, late = library.entries.pending()
    assert library.entries.turns() == [first, late, second, third]


def test_what_a_file_became_is_told_to_its_owner_alone(library: Library) -> None:
    store = library.stores.create("acme", description="what it is for")
    assert library.stores.get("acme", store.id).description == "what it is for"
    entry = library.put("acme", store.id, ["one", "two"])
    assert library.entries.texts("acme", store.id, entry.file) == ["one", "two"]
    assert len(library.entries.held("acme", store.id, entry.file)) == 2
    assert len(library.entries.held("other", store.id, entry.file)) == 0
    with pytest.raises(NotFound):
        library.entries.texts("other", store.id, entry.file)
