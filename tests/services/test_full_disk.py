"""A disk that fills up, by the kernel's own limit on the size of files: nothing is lost and nothing stays stuck."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.words import WordsUpstream
from tests.services.site import Site, opened, settings, texts

pytestmark = pytest.mark.anyio

LARGE = b"green bird " * 80_000


@contextmanager
def full(directory: Path) -> Iterator[None]:
    """No file of this process can grow much beyond the largest one in the directory."""
    largest = max(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 50_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


async def refused(site: Site) -> None:
    """An upload that no longer fits is refused in the API's shape."""
    reply = await site.upload("ann", LARGE)
    assert reply.error == (503, "store_unavailable", None)
    assert reply.headers["retry-after"] == "1"


async def test_a_full_disk_refuses_and_forgets_nothing(tmp_path: Path) -> None:
    """What was acknowledged is found while the disk is full, and what was in progress is completed afterwards."""
    tree = settings(similarity={"directory": str(tmp_path)})
    async with opened(WordsUpstream(), tree) as site:
        store = await site.store("ann", "red dog")
        site.upstream.gate.clear()
        long = await site.file("ann", b"blue cat " * 20_000)
        await site.good("ann", "POST", f"/vector_stores/{store}/files", {"file_id": long})
        with full(tmp_path):
            await refused(site)
            site.upstream.gate.set()
            assert texts(await site.search("ann", store, "red dog")) == ["red dog"]
            listed = await site.good("ann", "GET", f"/vector_stores/{store}/files")
            assert {one["status"] for one in listed["data"]} <= {"completed", "in_progress"}
            await refused(site)
        await site.settled("ann", store, long)
        shown = await site.good("ann", "GET", f"/vector_stores/{store}")
        assert (shown["file_counts"]["completed"], shown["file_counts"]["total"]) == (2, 2)
        assert (await site.upload("ann", LARGE)).status == 200
    async with opened(WordsUpstream(), tree) as site:
        assert "red dog" in texts(await site.search("ann", store, "red dog"))
