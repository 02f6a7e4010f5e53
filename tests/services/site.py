"""A running guard with vector stores, asked as its clients do."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from llmguard.clock import Clock
from llmguard.store.store import Store
from tests.fakes.words import WordsUpstream
from tests.serving import TIMEOUT_S, Running, running, tree

ENDED_S = 60.0
"""A hostile file has 20 seconds of processor time."""
TENANTS = ("ann", "bea", "cis", "dot", "eve")


def settings(**changes: Any) -> dict[str, Any]:
    """A tree with an embedding model, and a key for each tenant; `eve` is under the policy `tight`."""
    made = tree("http://unused/v1")
    made["models"]["words"] = {"task": "embedding", "upstream": "fake", "model": "of-words"}
    made["policies"] = {"public": {}, "tight": {}}
    made["keys"] = [
        {
            "id": tenant,
            "secret": key_of(tenant),
            "user": tenant,
            "tenant": f"tenant-{tenant}",
            "policy": "tight" if tenant == "eve" else "public",
        }
        for tenant in TENANTS
    ]
    return made | changes


def key_of(tenant: str) -> str:
    """A tenant's API key."""
    return f"lg-key-of-{tenant}"


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """As JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str | None]:
        """Status, code and parameter of an error, which has OpenAI's shape and the request's id."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert self.headers["x-request-id"].startswith("req_")
        return self.status, error["code"], error["param"]


@dataclass
class Site:
    """The guard, its upstream, and a connection for each tenant."""

    guard: Running
    upstream: WordsUpstream
    clients: dict[str, aiohttp.ClientSession] = field(default_factory=dict)

    async def ask(self, tenant: str, method: str, path: str, body: object = None, **more: Any) -> Reply:
        """A request, and its answer."""
        given = {"json": body} if body is not None else {}
        async with self.clients[tenant].request(method, f"/v1{path}", **given, **more) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def good(self, tenant: str, method: str, path: str, body: object = None, **more: Any) -> Any:
        """The same where it is served; as JSON."""
        reply = await self.ask(tenant, method, path, body, **more)
        assert reply.status == 200, reply.body
        return reply.json

    async def upload(self, tenant: str, content: bytes, name: str = "a.txt", **fields: str) -> Reply:
        """A file."""
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name)
        for field_name, value in ({"purpose": "assistants"} | fields).items():
            form.add_field(field_name, value)
        return await self.ask(tenant, "POST", "/files", data=form)

    async def file(self, tenant: str, content: bytes, name: str = "a.txt", **fields: str) -> str:
        """An uploaded file's id."""
        reply = await self.upload(tenant, content, name, **fields)
        assert reply.status == 200, reply.body
        return str(reply.json["id"])

    async def store(self, tenant: str, *texts: str, **metadata: str) -> str:
        """A store with a file for each text, numbered by the attribute `at`."""
        made = await self.good(
            tenant, "POST", "/vector_stores", {"metadata": {f"llmguard.{k}": v for k, v in metadata.items()}}
        )
        files = [
            {"file_id": await self.file(tenant, text.encode()), "attributes": {"at": at}}
            for at, text in enumerate(texts)
        ]
        if files:
            batch = await self.good(tenant, "POST", f"/vector_stores/{made['id']}/file_batches", {"files": files})
            await self.done(tenant, made["id"], batch["id"])
        return str(made["id"])

    async def done(self, tenant: str, store: str, batch: str) -> Any:
        """A batch, once nothing of it is in progress."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                found = await self.good(tenant, "GET", f"/vector_stores/{store}/file_batches/{batch}")
                if not found["file_counts"]["in_progress"]:
                    return found
                await asyncio.sleep(0.01)

    async def put(self, tenant: str, store: str, content: bytes, name: str = "a.txt", **more: Any) -> Any:
        """A file in a store, once it is no longer in progress."""
        file = await self.file(tenant, content, name)
        await self.good(tenant, "POST", f"/vector_stores/{store}/files", {"file_id": file, **more})
        return await self.settled(tenant, store, file)

    async def settled(self, tenant: str, store: str, file: str) -> Any:
        """A file of a store, once it is no longer in progress."""
        async with asyncio.timeout(ENDED_S):
            while True:
                found = await self.good(tenant, "GET", f"/vector_stores/{store}/files/{file}")
                if found["status"] != "in_progress":
                    return found
                await asyncio.sleep(0.01)

    async def search(self, tenant: str, store: str, query: object, **more: Any) -> list[Any]:
        """The results of a search."""
        found = await self.good(tenant, "POST", f"/vector_stores/{store}/search", {"query": query, **more})
        rows: list[Any] = found["data"]
        return rows


@asynccontextmanager
async def opened(
    upstream: WordsUpstream,
    tree: Mapping[str, Any] | None = None,
    *,
    clock: Clock | None = None,
    store: Store | None = None,
) -> AsyncIterator[Site]:
    """Served on a free port."""
    async with running(tree or settings(), upstreams=lambda _: upstream, clock=clock, store=store) as guard:
        site = Site(guard, upstream)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        for tenant in TENANTS:
            headers = {"authorization": f"Bearer {key_of(tenant)}"}
            site.clients[tenant] = aiohttp.ClientSession(guard.url, headers=headers, timeout=timeout)
        try:
            yield site
        finally:
            for client in site.clients.values():
                await client.close()
    guard.audit.ended()


def texts(rows: list[Any]) -> list[str]:
    """What results say."""
    return [row["content"][0]["text"] for row in rows]
