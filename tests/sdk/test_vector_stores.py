"""Vector stores through the official client, and as a retriever of LangChain's."""

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from tests.fakes.words import WordsUpstream
from tests.services.site import key_of, settings
from tests.serving import Running, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def guard() -> AsyncIterator[Running]:
    """A guard with vector stores."""
    async with running(settings(), upstreams=lambda _: WordsUpstream()) as served:
        yield served
    served.audit.ended()


def client_of(guard: Running, tenant: str) -> openai.AsyncOpenAI:
    """A tenant's client, which sees every error at once."""
    return openai.AsyncOpenAI(base_url=guard.v1, api_key=key_of(tenant), max_retries=0, timeout=20)


async def test_a_store_from_its_making_to_its_end(guard: Running) -> None:
    async with client_of(guard, "ann") as client:
        store = await client.vector_stores.create(
            name="docs", expires_after={"anchor": "last_active_at", "days": 3}, metadata={"team": "red"}
        )
        assert (store.status, store.file_counts.total, store.metadata) == ("completed", 0, {"team": "red"})
        entry = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id,
            file=("red.txt", b"red dog barks"),
            attributes={"colour": "red"},
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 20},
            },
            poll_interval_ms=10,
        )
        assert (entry.status, entry.last_error, entry.attributes) == ("completed", None, {"colour": "red"})
        batch = await client.vector_stores.file_batches.upload_and_poll(
            store.id, files=[("blue.md", b"# blue\n\nbird sings"), ("bad.pdf", b"%PDF")], poll_interval_ms=10
        )
        assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 1)
        ended = await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
        assert ended == batch  # it was done
        found = await client.vector_stores.search(
            store.id,
            query="blue bird",
            max_num_results=1,
            filters={"type": "ne", "key": "colour", "value": "red"},
            ranking_options={"ranker": "auto", "score_threshold": 0.1},
            rewrite_query=True,
        )
        assert [(row.filename, row.content[0].text) for row in found.data] == [("blue.md", "blue\nbird sings")]
        assert [one.id async for one in client.vector_stores.files.list(store.id, filter="failed", limit=1)]
        content = await client.vector_stores.files.content(entry.id, vector_store_id=store.id)
        assert [part.text for part in content.data] == ["red dog barks"]
        changed = await client.vector_stores.files.update(
            entry.id, vector_store_id=store.id, attributes={"colour": "x"}
        )
        assert changed.attributes == {"colour": "x"}
        assert (await client.vector_stores.update(store.id, name="papers")).name == "papers"
        assert [one.name async for one in client.vector_stores.list()] == ["papers"]
        assert (await client.vector_stores.files.delete(entry.id, vector_store_id=store.id)).deleted
        assert (await client.vector_stores.delete(store.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.vector_stores.retrieve(store.id)


async def test_files_are_listed_to_their_end_read_and_deleted(guard: Running) -> None:
    async with client_of(guard, "ann") as client:
        made = [await client.files.create(file=(f"{at}.txt", b"text"), purpose="assistants") for at in range(3)]
        assert [one.id async for one in client.files.list(limit=1)] == [one.id for one in reversed(made)]
        assert (await client.files.content(made[0].id)).text == "text"
        assert (await client.files.delete(made[0].id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(made[0].id)
        with pytest.raises(openai.BadRequestError, match="file"):
            await client.files.create(file=("a.exe", b"MZ"), purpose="assistants")


async def test_another_tenants_store_is_not_found(guard: Running) -> None:
    async with client_of(guard, "ann") as ann, client_of(guard, "bea") as bea:
        store = await ann.vector_stores.create(name="docs")
        for call in (
            bea.vector_stores.retrieve(store.id),
            bea.vector_stores.search(store.id, query="dog"),
            bea.vector_stores.files.list(store.id),
            bea.vector_stores.delete(store.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await call


class Retriever(BaseRetriever):
    """A vector store as LangChain sees it: the README's recipe."""

    client: openai.OpenAI
    store: str

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        found = self.client.vector_stores.search(self.store, query=query)
        return [
            Document(part.text, metadata={"file": row.filename, "score": row.score})
            for row in found.data
            for part in row.content
        ]


async def test_a_retriever_is_a_few_lines(guard: Running) -> None:
    async with client_of(guard, "ann") as client:
        store = await client.vector_stores.create(name="docs")
        await client.vector_stores.file_batches.upload_and_poll(
            store.id, files=[("red.txt", b"red dog barks"), ("blue.txt", b"blue bird sings")], poll_interval_ms=10
        )
    with openai.OpenAI(base_url=guard.v1, api_key=key_of("ann"), max_retries=0, timeout=20) as plain:
        documents = await asyncio.to_thread(Retriever(client=plain, store=store.id).invoke, "a red dog")
    assert documents[0] == Document(
        "red dog barks", metadata={"file": "red.txt", "score": documents[0].metadata["score"]}
    )
