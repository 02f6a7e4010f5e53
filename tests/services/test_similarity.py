"""When similarity is opened, over what, and what it answers where it cannot be."""

import sys
from pathlib import Path
from typing import Any

import pytest

from llmguard.services.similarity import directory_of
from llmguard.settings import Settings
from llmguard.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.fakes.words import WordsUpstream
from tests.services.site import opened, settings, texts

pytestmark = pytest.mark.anyio


def placed(directory: Path, **model: str) -> dict[str, Any]:
    """Settings that keep vector stores in a directory, with another name for the model perhaps."""
    made = settings(similarity={"directory": str(directory)})
    made["models"]["words"] |= model
    return made


async def test_stores_and_what_they_know_outlive_the_process(tmp_path: Path) -> None:
    async with opened(WordsUpstream(), placed(tmp_path)) as site:
        store = await site.store("ann", "red dog", "old tree")
    async with opened(WordsUpstream(), placed(tmp_path)) as site:
        assert texts(await site.search("ann", store, "old tree"))[0] == "old tree"
        assert "a text" not in site.upstream.asked, "its dimensions are known"


async def test_a_file_that_was_half_way_in_is_finished_by_the_next_process(tmp_path: Path) -> None:
    upstream = WordsUpstream()
    async with opened(upstream, placed(tmp_path)) as site:
        store = await site.store("ann", "red dog")
        upstream.gate.clear()
        file = await site.file("ann", b"old tree")
        await site.good("ann", "POST", f"/vector_stores/{store}/files", {"file_id": file})
    async with opened(WordsUpstream(), placed(tmp_path)) as site:
        found = await site.put("ann", store, b"blue bird")
        assert found["status"] == "completed"
        assert (await site.good("ann", "GET", f"/vector_stores/{store}/files/{file}"))["status"] == "completed"


async def test_a_directory_stays_with_its_model(tmp_path: Path) -> None:
    async with opened(WordsUpstream(), placed(tmp_path)) as site:
        store = await site.store("ann", "red dog")
    async with opened(WordsUpstream(), placed(tmp_path, model="another")) as site:
        reply = await site.ask("ann", "POST", f"/vector_stores/{store}/search", {"query": "dog"})
        assert reply.error == (503, "store_unavailable", None)
        assert (await site.ask("ann", "GET", "/models")).status == 200


async def test_without_an_embedding_model_there_is_none_of_it() -> None:
    made = settings()
    del made["models"]["words"]
    async with opened(WordsUpstream(), made) as site:
        for method, path, body in (
            ("GET", "/vector_stores", None),
            ("POST", "/rerank", {"query": "a", "texts": ["b"]}),
        ):
            assert (await site.ask("ann", method, path, body)).error == (404, "model_not_found", None)


async def test_without_a_directory_of_its_own_a_shared_store_keeps_no_vector_stores() -> None:
    made = settings(store={"url": "redis://127.0.0.1:1/0"})
    async with opened(WordsUpstream(), made, store=MemoryStore(clock=FakeClock())) as site:
        assert (await site.ask("ann", "GET", "/vector_stores")).error == (404, "unknown_url", None)
        body = {"inputs": {"source_sentence": "red dog", "sentences": ["red dog"]}}
        assert len(await site.good("ann", "POST", "/similarity", body)) == 1


async def test_who_has_no_key_owns_nothing_even_where_nothing_is_refused() -> None:
    async with opened(WordsUpstream(), settings(mode="observe")) as site:
        reply = await site.ask("ann", "GET", "/vector_stores", headers={"authorization": "Bearer none"})
        assert reply.error == (401, "invalid_api_key", None)


@pytest.mark.parametrize(
    ("store", "own", "expected"),
    [
        ("file:./data", None, Path("data/similarity")),
        ("file:/data", "/vectors", Path("/vectors")),
        ("memory:", None, None),
        ("redis://r", None, None),
        ("redis://r", "vectors", Path("vectors")),
    ],
)
def test_where_vector_stores_live(store: str, own: str | None, expected: Path | None) -> None:
    made = Settings.model_validate(settings(store={"url": store}, similarity={"directory": own}))
    assert directory_of(made) == expected


async def test_nothing_of_a_vector_leaves_in_errors_metrics_or_lines(capfd: pytest.CaptureFixture[str]) -> None:
    async with opened(WordsUpstream()) as site:
        store = await site.store("ann", "red dog", content="hidden")
        await site.search("ann", store, "red dog")
        await site.ask("ann", "POST", f"/vector_stores/{store}/search", {"query": "secret words", "vector": [0.12345]})
        async with site.clients["ann"].get("/metrics") as answer:
            metrics = await answer.text()
        lines = str(await site.guard.audit.until(1))
    printed = metrics + lines + "".join(capfd.readouterr())
    for told in ("red dog", "secret words", "0.12345", store):
        assert told not in printed
    assert 'endpoint="vector_stores"' in metrics
    assert "similarity.search" in sys.modules
