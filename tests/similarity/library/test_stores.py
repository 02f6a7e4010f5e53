"""Stores: ownership, sharing, expiry, pages."""

import pytest

from similarity.library.records import Counts, Cut, Invalid, NotFound
from similarity.setting import Content
from tests.similarity.library.conftest import Library

DAY = 86_400


def test_a_store_is_its_tenants_alone(library: Library) -> None:
    id = library.stores.create("acme", "docs", {"a": "b"}).id
    assert library.stores.get("acme", id).metadata == {"a": "b"}
    for operation in (
        lambda: library.stores.get("other", id),
        lambda: library.stores.update("other", id, name="x"),
        lambda: library.stores.delete("other", id),
        lambda: library.stores.open("other", id, "public"),
        lambda: library.entries.page("other", id, Cut()),
    ):
        with pytest.raises(NotFound):
            operation()
    assert library.stores.page("other", Cut()).items == []
    with pytest.raises(Invalid):
        library.stores.page("other", Cut(after=id))


@pytest.mark.parametrize(("share", "policy", "opens"), [("*", "any", True), ("p", "p", True), ("p", "q", False)])
def test_a_shared_store_opens_for_search_and_nothing_else(
    library: Library, share: str, policy: str, opens: bool
) -> None:
    id = library.stores.create("acme", metadata={"llmguard.share": share, "llmguard.content": "hidden"}).id
    if opens:
        found = library.stores.open("other", id, policy)
        assert not found.owned
        assert found.content is Content.HIDDEN
    else:
        with pytest.raises(NotFound):
            library.stores.open("other", id, policy)
    with pytest.raises(NotFound):
        library.stores.get("other", id)
    assert library.stores.open("acme", id, policy).owned


def test_how_it_is_shared_cannot_be_changed(library: Library) -> None:
    store = library.stores.create("acme", metadata={"llmguard.content": "hidden"})
    with pytest.raises(Invalid):
        library.stores.update("acme", store.id, metadata={"llmguard.content": "returned"})
    with pytest.raises(Invalid):
        library.stores.update("acme", store.id, metadata={"llmguard.content": "hidden", "llmguard.share": "*"})
    assert library.stores.update("acme", store.id, name="new").name == "new"


@pytest.mark.parametrize(
    "wrong",
    [
        {"metadata": {"llmguard.content": "secret"}},
        {"metadata": {str(at): "" for at in range(17)}},
        {"metadata": {"k" * 65: ""}},
        {"metadata": {"k": "v" * 513}},
        {"expires_days": 0},
        {"expires_days": 366},
    ],
)
def test_values_out_of_bounds_are_refused(library: Library, wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        library.stores.create("acme", **wrong)  # type: ignore[arg-type]
    assert library.stores.page("acme", Cut()).items == []


def test_it_expires_so_long_after_its_last_use(library: Library) -> None:
    id = library.stores.create("acme", expires_days=2).id
    number = library.stores.open("acme", id, "p").number
    library.at += DAY
    library.stores.touch(number)
    library.at += 2 * DAY - 1
    assert library.stores.get("acme", id).active_at == 1000 + DAY
    library.at += 2
    with pytest.raises(NotFound):
        library.stores.get("acme", id)
    assert library.stores.page("acme", Cut()).items == []
    assert library.stores.sweep() == [number]
    assert library.stores.numbers() == set()


def test_pages_go_through_everything_once_either_way(library: Library) -> None:
    made = [library.stores.create("acme", str(at)).id for at in range(7)]
    library.stores.create("other")
    for ascending, order in ((True, made), (False, made[::-1])):
        seen: list[str] = []
        more = True
        while more:
            page = library.stores.page("acme", Cut(3, after=seen[-1] if seen else None, ascending=ascending))
            seen, more = seen + [store.id for store in page.items], page.more
        assert seen == order
        before = library.stores.page("acme", Cut(2, before=order[4], ascending=ascending))
        assert [store.id for store in before.items] == order[2:4]
        assert before.more


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_page_has_a_sensible_length(limit: int) -> None:
    with pytest.raises(Invalid):
        Cut(limit)


def test_deleting_a_store_deletes_its_chunks_and_words_but_no_file(library: Library) -> None:
    store, kept = library.stores.create("acme"), library.stores.create("acme")
    entry = library.put("acme", store.id, ["red cat", "blue cat"])
    library.put("acme", kept.id, ["green cat"])
    assert library.stores.get("acme", store.id).counts == Counts(completed=1)
    number = library.stores.delete("acme", store.id)
    assert library.entries.chunk_ids(number).tolist() == []
    assert library.matching.worded(number, "cat", 5, None).tolist() == []
    assert library.files.get("acme", entry.file).filename == "a.txt"
    other = library.stores.open("acme", kept.id, "p").number
    assert library.matching.worded(other, "cat", 5, None).size == 1
