"""Files in stores over HTTP, one by one and in batches."""

import asyncio
import io
import json
from typing import Any

import pytest

from tests.services.site import Site, texts
from tests.similarity.extraction.made import pdf, zipped

pytestmark = pytest.mark.anyio
CUT = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}


async def test_a_file_goes_in_is_described_found_and_taken_out(site: Site) -> None:
    store = await site.store("ann")
    entry = await site.put("ann", store, b"red dog", attributes={"year": 2024, "public": True, "by": "x", "share": 0.5})
    assert entry["object"] == "vector_store.file"
    assert (entry["status"], entry["last_error"], entry["vector_store_id"]) == ("completed", None, store)
    assert entry["attributes"] == {"year": 2024, "public": True, "by": "x", "share": 0.5}
    assert entry["usage_bytes"] > 0
    path = f"/vector_stores/{store}/files/{entry['id']}"
    assert (await site.good("ann", "POST", path, {"attributes": {"year": 2025}}))["attributes"] == {"year": 2025}
    assert [row["attributes"] for row in await site.search("ann", store, "red dog")] == [{"year": 2025}]
    assert (await site.good("ann", "GET", f"{path}/content"))["data"] == [{"type": "text", "text": "red dog"}]
    deleted = await site.good("ann", "DELETE", path)
    assert deleted == {"id": entry["id"], "object": "vector_store.file.deleted", "deleted": True}
    assert await site.search("ann", store, "red dog") == []
    assert (await site.ask("ann", "GET", path)).error == (404, "not_found", None)
    assert (await site.good("ann", "GET", f"/files/{entry['id']}"))["id"] == entry["id"]


async def test_a_file_is_cut_as_the_client_says(site: Site) -> None:
    store = await site.store("ann")
    entry = await site.put("ann", store, " ".join(f"w{at}" for at in range(200)).encode(), chunking_strategy=CUT)
    assert entry["chunking_strategy"] == CUT
    pieces = (await site.good("ann", "GET", f"/vector_stores/{store}/files/{entry['id']}/content"))["data"]
    assert [piece["text"].split()[0] for piece in pieces] == ["w0", "w50", "w100"]


async def test_a_file_that_is_put_in_again_is_found_once_and_cut_anew(site: Site) -> None:
    store = await site.store("ann")
    entry = await site.put("ann", store, " ".join(f"v{at}" for at in range(200)).encode(), chunking_strategy=CUT)
    assert len(await site.search("ann", store, "v1")) == 3
    batch = await site.good("ann", "POST", f"/vector_stores/{store}/file_batches", {"file_ids": [entry["id"]]})
    await site.done("ann", store, batch["id"])
    assert len(await site.search("ann", store, "v1")) == 1


async def test_deleting_a_file_takes_it_out_of_every_store(site: Site) -> None:
    store = await site.store("ann")
    entry = await site.put("ann", store, b"red dog")
    await site.good("ann", "DELETE", f"/files/{entry['id']}")
    assert await site.search("ann", store, "red dog") == []
    assert (await site.good("ann", "GET", f"/vector_stores/{store}"))["file_counts"]["total"] == 0


@pytest.mark.parametrize(
    ("name", "content", "code", "reason"),
    [
        ("a.txt", b"\xff\xfe\x00", "invalid_file", "not text"),
        ("a.txt", b" \n ", "invalid_file", "no text"),
        ("a.txt", b"a\0b", "invalid_file", "not text"),
        ("a.jsonl", b'{"a": 1}\n{', "invalid_file", "line 2"),
        ("a.pdf", b"%PDF-1.7 nothing", "invalid_file", "damaged"),
        ("a.html", b"<script>only()</script>", "invalid_file", "no text"),
    ],
)
async def test_a_bad_file_fails_with_a_reason(site: Site, name: str, content: bytes, code: str, reason: str) -> None:
    store = await site.store("ann", "yellow sun")
    entry = await site.put("ann", store, content, name)
    assert (entry["status"], entry["last_error"]["code"]) == ("failed", code)
    assert reason in entry["last_error"]["message"]
    shown = await site.good("ann", "GET", f"/vector_stores/{store}")
    assert (shown["status"], shown["file_counts"]["failed"], shown["file_counts"]["in_progress"]) == ("completed", 1, 0)
    assert texts(await site.search("ann", store, "yellow sun")) == ["yellow sun"]
    failed = await site.good("ann", "GET", f"/vector_stores/{store}/files?filter=failed")
    assert [one["id"] for one in failed["data"]] == [entry["id"]]
    assert (await site.good("ann", "GET", f"/vector_stores/{store}/files?filter=cancelled"))["data"] == []


async def test_a_batch_is_watched_as_one(site: Site) -> None:
    store = await site.store("bea")
    files = [await site.file("bea", text) for text in (b"red dog", b"\xff", b"blue dog")]
    body: dict[str, Any] = {"file_ids": files, "attributes": {"of": "batch"}, "chunking_strategy": {"type": "auto"}}
    batch = await site.good("bea", "POST", f"/vector_stores/{store}/file_batches", body)
    assert (batch["object"], batch["status"], batch["vector_store_id"]) == (
        "vector_store.files_batch",
        "in_progress",
        store,
    )
    done = await site.done("bea", store, batch["id"])
    assert done["status"] == "completed"
    assert done["file_counts"] == {"in_progress": 0, "completed": 2, "failed": 1, "cancelled": 0, "total": 3}
    path = f"/vector_stores/{store}/file_batches/{batch['id']}/files"
    assert [one["id"] for one in (await site.good("bea", "GET", f"{path}?order=asc"))["data"]] == files
    assert [one["id"] for one in (await site.good("bea", "GET", f"{path}?filter=failed"))["data"]] == files[1:2]
    assert {row["attributes"]["of"] for row in await site.search("bea", store, "dog")} == {"batch"}
    for wrong in ({}, {"file_ids": files, "files": [{"file_id": files[0]}]}, {"file_ids": []}):
        assert (await site.ask("bea", "POST", f"/vector_stores/{store}/file_batches", wrong)).status == 400
    missing = {"file_ids": [files[0], "file-none"]}
    assert (await site.ask("bea", "POST", f"/vector_stores/{store}/file_batches", missing)).error[0] == 404


async def test_a_batch_is_cancelled_and_what_was_not_done_stays_out(site: Site) -> None:
    store, done = await site.store("ann"), await site.file("ann", b"green bird")
    site.upstream.gate.clear()
    files = [await site.file("ann", f"slow dog{at}".encode()) for at in range(3)]
    batch = await site.good("ann", "POST", f"/vector_stores/{store}/file_batches", {"file_ids": files})
    async with asyncio.timeout(10):
        while not any("slow dog" in text for text in site.upstream.asked):
            await asyncio.sleep(0.005)
    path = f"/vector_stores/{store}/file_batches/{batch['id']}"
    assert (await site.ask("bea", "POST", f"{path}/cancel")).error == (404, "not_found", None)
    cancelled = await site.good("ann", "POST", f"{path}/cancel")
    site.upstream.gate.set()
    counts = {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 3, "total": 3}
    assert (cancelled["status"], cancelled["file_counts"]) == ("cancelled", counts)
    entry = await site.put("ann", store, b"green bird")
    assert entry["status"] == "completed"
    assert texts(await site.search("ann", store, "slow dog0")) == ["green bird"]
    left_out = await site.good("ann", "GET", f"{path}/files?filter=cancelled&order=asc")
    assert [one["id"] for one in left_out["data"]] == files
    # Put in again, it is worked on; cancelled again, a batch that is done stays as it is.
    again = await site.good("ann", "POST", f"/vector_stores/{store}/file_batches", {"file_ids": [files[0], done]})
    await site.done("ann", store, again["id"])
    ended = await site.good("ann", "POST", f"/vector_stores/{store}/file_batches/{again['id']}/cancel")
    assert (ended["status"], ended["file_counts"]["completed"]) == ("completed", 2)


HOSTILE = {
    "zip bomb": zipped(50_000_000),
    "inflated page": pdf(b" " * 100_000_000),
    "endless pages": pdf(b"", kids="[2 0 R 2 0 R]", count=10**9),
    "endless operators": pdf(b"q " * 20_000_000),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=list(HOSTILE))
async def test_a_hostile_file_fails_alone(site: Site, content: bytes) -> None:
    """Files that come after it are found before its reader has given up, or with it."""
    store = await site.store("ann")
    hostile = await site.file("ann", content, "bomb.pdf")
    await site.good("ann", "POST", f"/vector_stores/{store}/files", {"file_id": hostile})
    assert (await site.put("ann", store, b"red dog"))["status"] == "completed"
    assert texts(await site.search("ann", store, "red dog")) == ["red dog"]
    entry = await site.settled("ann", store, hostile)
    assert (entry["status"], entry["last_error"]["code"]) == ("failed", "invalid_file")


async def test_a_hundred_thousand_attributes_are_refused(site: Site) -> None:
    store, file = await site.store("ann"), await site.file("ann", b"text")
    many = io.BytesIO(json.dumps({"file_id": file, "attributes": {f"k{at}": 1 for at in range(10**5)}}).encode())
    kind = {"content-type": "application/json"}
    reply = await site.ask("ann", "POST", f"/vector_stores/{store}/files", data=many, headers=kind)
    assert reply.error[:2] == (413, "request_too_large")
    some = {"file_id": file, "attributes": {f"k{at}": 1 for at in range(17)}}
    assert (await site.ask("ann", "POST", f"/vector_stores/{store}/files", some)).error[2] == "attributes"
    for value in ([1], {"a": 1}, "v" * 513, 1e300):
        one = {"file_id": file, "attributes": {"k": value}}
        assert (await site.ask("ann", "POST", f"/vector_stores/{store}/files", one)).status == 400


async def test_the_texts_of_a_hidden_store_are_told_to_nobody(site: Site) -> None:
    store = await site.store("ann", "a secret recipe", content="hidden")
    (entry,) = (await site.good("ann", "GET", f"/vector_stores/{store}/files"))["data"]
    for path in (f"/vector_stores/{store}/files/{entry['id']}/content", f"/files/{entry['id']}/content"):
        assert (await site.ask("ann", "GET", path)).error == (403, "content_hidden", None)


async def test_a_store_deleted_while_its_files_are_worked_on_leaves_nothing_stuck(site: Site) -> None:
    store, kept = await site.store("ann"), await site.store("ann")
    site.upstream.gate.clear()
    file = await site.file("ann", b"red dog")
    await site.good("ann", "POST", f"/vector_stores/{store}/files", {"file_id": file})
    async with asyncio.timeout(10):
        while "red dog" not in site.upstream.asked[-2:]:
            await asyncio.sleep(0.005)
    await site.good("ann", "DELETE", f"/vector_stores/{store}")
    site.upstream.gate.set()
    entry = await site.put("ann", kept, b"blue dog")
    assert entry["status"] == "completed"
