"""Files over HTTP."""

from typing import Any

import pytest

from tests.fakes.words import WordsUpstream
from tests.services.site import Site, opened, settings

pytestmark = pytest.mark.anyio


async def test_a_file_is_kept_shown_listed_read_and_deleted(site: Site) -> None:
    made = (await site.upload("ann", b"some text", "notes.txt")).json
    assert {name: made[name] for name in ("object", "bytes", "filename", "purpose", "status", "expires_at")} == {
        "object": "file",
        "bytes": 9,
        "filename": "notes.txt",
        "purpose": "assistants",
        "status": "processed",
        "expires_at": None,
    }
    path = f"/files/{made['id']}"
    assert await site.good("ann", "GET", path) == made
    assert made in (await site.good("ann", "GET", "/files"))["data"]
    content = await site.ask("ann", "GET", f"{path}/content")
    assert (content.body, content.headers["content-type"]) == (b"some text", "application/octet-stream")
    assert await site.good("ann", "DELETE", path) == {"id": made["id"], "object": "file", "deleted": True}
    assert (await site.ask("ann", "GET", path)).error == (404, "not_found", None)


async def test_a_list_goes_page_by_page(site: Site) -> None:
    ids = [await site.file("dot", b"x") for _ in range(5)]
    first = await site.good("dot", "GET", "/files?limit=2")
    assert [one["id"] for one in first["data"]] == [ids[4], ids[3]]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, ids[4], ids[3])
    rest = await site.good("dot", "GET", f"/files?limit=10&after={ids[3]}")
    assert [one["id"] for one in rest["data"]] == [ids[2], ids[1], ids[0]]
    assert not rest["has_more"]
    rising = await site.good("dot", "GET", f"/files?order=asc&limit=1&after={ids[0]}")
    assert [one["id"] for one in rising["data"]] == [ids[1]]
    assert (await site.good("dot", "GET", "/files?purpose=user_data"))["data"] == []


async def test_a_file_expires(site: Site) -> None:
    given = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = (await site.upload("ann", b"text", **given)).json
    assert made["expires_at"] == made["created_at"] + 3600


@pytest.mark.parametrize(
    ("name", "content", "fields", "param"),
    [
        ("a.txt", b"", {}, "file"),
        ("a.exe", b"MZ", {}, "file"),
        ("noname", b"x", {}, "file"),
        ("a" * 256 + ".txt", b"x", {}, "file.filename"),
        ("a.txt", b"x", {"purpose": "fine-tune"}, "purpose"),
        ("a.txt", b"x", {"colour": "red"}, "colour"),
        ("a.txt", b"x", {"expires_after[anchor]": "created_at"}, "expires_after"),
        ("a.txt", b"x", {"expires_after[anchor]": "created_at", "expires_after[seconds]": "1"},
         "expires_after[seconds]"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_form_is_named(
    site: Site, name: str, content: bytes, fields: dict[str, str], param: str
) -> None:
    status, code, said = (await site.upload("ann", content, name, **fields)).error
    assert (status, said) == (400, param)
    assert code in ("invalid_value", "unknown_parameter")


async def test_what_is_no_form_is_refused(site: Site) -> None:
    kind = {"content-type": "multipart/form-data; boundary=x"}
    for body in (b"", b"nothing", b"--x\r\n", b"--x\r\ncontent-disposition: form-data; name=purpose\r\n\r\nassistants"):
        assert (await site.ask("ann", "POST", "/files", data=body, headers=kind)).error[:2] == (400, "invalid_value")
    assert (await site.ask("ann", "POST", "/files", {"file": "text"})).error[:2] == (415, "unsupported_media_type")
    bare = {"content-type": "multipart/form-data"}
    assert (await site.ask("ann", "POST", "/files", data=b"x", headers=bare)).error[:2] == (400, "invalid_value")


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("order=up", "order"), ("page=2", "page"),
     ("limit=1&limit=2", "limit"), ("after=file-none", "after"), ("after=a&before=b", "before"), ("limit", None)],
)  # fmt: skip
async def test_a_bad_query_is_named(site: Site, query: str, param: str | None) -> None:
    status, _, said = (await site.ask("ann", "GET", f"/files?{query}")).error
    assert (status, said) == (400, param)


async def test_a_large_file_is_refused_before_it_is_read_and_a_fitting_one_is_taken() -> None:
    async with opened(WordsUpstream(), settings(similarity={"max_file_bytes": 100_000})) as site:
        assert (await site.upload("ann", b"x" * 100_000)).status == 200
        assert (await site.upload("ann", b"x" * 100_001)).error == (400, "invalid_value", "file")
        assert (await site.upload("ann", b"x" * 200_000)).error[:2] == (413, "request_too_large")
        chunked: Any = (b"x" * 50_000 for _ in range(10))
        kind = {"content-type": "multipart/form-data; boundary=x"}
        assert (await site.ask("ann", "POST", "/files", data=_stream(chunked), headers=kind)).status == 413


async def _stream(blocks: Any) -> Any:
    for block in blocks:
        yield block
