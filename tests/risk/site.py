"""Guards and workers on one real Redis, in this process, over a fake upstream."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

from llmguard.app import App
from llmguard.clock import SystemClock
from llmguard.metrics import Metrics
from llmguard.risk.build import build_worker
from llmguard.risk.post import PARTS
from llmguard.risk.worker import Worker
from llmguard.settings import Settings
from llmguard.store import open_store
from llmguard.store.redis_client import open_client
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, UPSTREAM_URL, FakeAudit
from tests.prompts.corpora import Corpus, made_up
from tests.prompts.sessions import ATTACKS
from tests.serving import ADMIN_TOKEN, tree

KEYS = [
    {
        "id": f"k{place}",
        "secret": f"lg-test-key-{place:02}",
        "user": f"u{place}",
        "tenant": f"t{place % 3}",
        "policy": "public",
    }
    for place in range(6)
]
PATIENT_S = 20.0


@cache
def corpus() -> Corpus:
    """The texts."""
    return made_up(40)


def attack(count: int, seed: int = 1) -> list[str]:
    """A scripted stream."""
    return ATTACKS["1 template"](corpus(), random.Random(seed), count)


def settings_at(url: str, **prompts: Any) -> Settings:
    """Settings of all guards and workers."""
    policies = {"public": {"prompts": prompts, "limits": [{"per": "key", "of": "requests", "limit": 9999}]}}
    made = tree(UPSTREAM_URL, store={"url": url, "timeout_ms": 5000}, policies={**policies, "narrow": {}}, keys=KEYS)
    return Settings.model_validate(made)


class Guard:
    """One guard."""

    def __init__(self, settings: Settings) -> None:
        clock = SystemClock()
        self.upstream = FakeUpstream()
        self.metrics = Metrics()
        self.app = App(
            settings,
            clock=clock,
            store=open_store(settings.store, clock=clock),
            upstreams=lambda _: self.upstream,
            audit=FakeAudit(),  # type: ignore[arg-type]  # of the same shape
            metrics=self.metrics,
        )

    async def send(self, text: str, key: int = 0) -> FakeClient:
        """Ask."""
        body = {**CHAT, "messages": [{"role": "user", "content": text}]}
        return await self.ask(FakeClient(json=body, key=str(KEYS[key]["secret"])))

    async def operator(self, path: str, body: object = None, **options: Any) -> Any:
        """What an operator is answered."""
        return (await self.ask(FakeClient(f"/admin/v1/{path}", body, key=ADMIN_TOKEN, **options))).json

    async def ask(self, client: FakeClient) -> FakeClient:
        """Serve a client."""
        await self.app(client.scope, client.receive, client.send)
        return client


@asynccontextmanager
async def guarding(settings: Settings) -> AsyncIterator[Guard]:
    """A guard, closed on leaving."""
    guard = Guard(settings)
    try:
        yield guard
    finally:
        await guard.app.close()


@asynccontextmanager
async def working(settings: Settings, patient_s: float = PATIENT_S) -> AsyncIterator[Worker]:
    """A worker that has its parts; killed on leaving, without a farewell."""
    clock = SystemClock()
    client, store = open_client(settings.store.url), open_store(settings.store, clock=clock)
    worker = build_worker(settings, range(PARTS), client, store.ledger, Metrics(), clock)
    task = asyncio.get_running_loop().create_task(worker.run())
    try:
        async with asyncio.timeout(patient_s):
            await worker.ready.wait()
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()
        await store.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(PATIENT_S):
        while not await condition():
            await asyncio.sleep(0.02)


async def seen(guard: Guard, key: str, prompts: int) -> dict[str, Any]:
    """The report of a key, once so many prompts of it were judged."""
    found: dict[str, Any] = {}

    async def enough() -> bool:
        found.update(await guard.operator(f"risk/key/{key}"))
        return bool(found["prompts"] >= prompts)

    await until(partial(enough))
    return found
