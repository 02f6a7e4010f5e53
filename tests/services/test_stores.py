"""Vector stores over HTTP."""

import pytest

from tests.services.site import Site

pytestmark = pytest.mark.anyio


async def test_a_store_is_made_shown_changed_listed_and_deleted(site: Site) -> None:
    made = await site.good(
        "ann",
        "POST",
        "/vector_stores",
        {
            "name": "docs",
            "description": "what we know",
            "metadata": {"team": "red"},
            "expires_after": {"anchor": "last_active_at", "days": 7},
        },
    )
    assert made["object"] == "vector_store"
    assert (made["name"], made["description"], made["metadata"]) == ("docs", "what we know", {"team": "red"})
    assert made["expires_at"] == made["last_active_at"] + 7 * 86_400
    assert made["file_counts"] == {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}
    path = f"/vector_stores/{made['id']}"
    changed = await site.good("ann", "POST", path, {"name": "papers", "metadata": {"team": "blue"}})
    assert (changed["name"], changed["metadata"], changed["expires_after"]) == (
        "papers",
        {"team": "blue"},
        {"anchor": "last_active_at", "days": 7},
    )
    assert await site.good("ann", "GET", path) == changed
    assert changed in (await site.good("ann", "GET", "/vector_stores"))["data"]
    deleted = await site.good("ann", "DELETE", path)
    assert deleted == {"id": made["id"], "object": "vector_store.deleted", "deleted": True}
    for method in ("GET", "DELETE"):
        assert (await site.ask("ann", method, path)).error == (404, "not_found", None)


async def test_a_list_goes_page_by_page(site: Site) -> None:
    ids = [await site.store("dot") for _ in range(4)]
    first = await site.good("dot", "GET", "/vector_stores?limit=3")
    assert [one["id"] for one in first["data"]] == ids[:0:-1]
    assert (first["has_more"], first["last_id"]) == (True, ids[1])
    rest = await site.good("dot", "GET", f"/vector_stores?after={ids[1]}")
    assert [one["id"] for one in rest["data"]] == [ids[0]]
    before = await site.good("dot", "GET", f"/vector_stores?order=asc&before={ids[2]}&limit=1")
    assert [one["id"] for one in before["data"]] == [ids[1]]


async def test_a_store_is_made_with_its_files_or_not_at_all(site: Site) -> None:
    file = await site.file("cis", b"red dog")
    made = await site.good("cis", "POST", "/vector_stores", {"file_ids": [file]})
    assert made["file_counts"]["total"] == 1
    count = len((await site.good("cis", "GET", "/vector_stores"))["data"])
    reply = await site.ask("cis", "POST", "/vector_stores", {"file_ids": [file, "file-none"]})
    assert reply.error == (404, "not_found", None)
    assert len((await site.good("cis", "GET", "/vector_stores"))["data"]) == count


async def test_how_a_store_is_shared_is_set_when_it_is_made(site: Site) -> None:
    store = await site.store("ann", share="tight")
    for metadata in ({"llmguard.share": "*"}, {}, {"llmguard.share": "tight", "llmguard.content": "hidden"}):
        reply = await site.ask("ann", "POST", f"/vector_stores/{store}", {"metadata": metadata})
        assert reply.error == (400, "invalid_value", "metadata")
    for metadata in ({"llmguard.share": "no-policy"}, {"llmguard.content": "sometimes"}):
        reply = await site.ask("ann", "POST", "/vector_stores", {"metadata": metadata})
        assert reply.error == (400, "invalid_value", "metadata")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": 5}, "name"),
        ({"vectors": [[0.1]]}, "vectors"),
        ({"metadata": {f"k{at}": "v" for at in range(17)}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ({"expires_after": {"anchor": "now", "days": 1}}, "expires_after.anchor"),
        ({"file_ids": ["f"] * 2001}, "file_ids"),
        ({"chunking_strategy": {"type": "static", "static": {
            "max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}}},
         "chunking_strategy.static.chunk_overlap_tokens"),
        ({"chunking_strategy": {"type": "best"}}, "chunking_strategy.type"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(site: Site, body: object, param: str) -> None:
    status, _, said = (await site.ask("ann", "POST", "/vector_stores", body)).error
    assert (status, said) == (400, param)
