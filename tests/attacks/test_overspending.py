"""Spending more than a quota: many at once, streams that are cut, upstreams that lie, retries, several guards.

Each attack goes through the running guard over HTTP. What was really generated is counted at the upstream, which is the
truth that the ledger is compared with: the fake's answers have one token a chunk.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from llmguard.app import App
from llmguard.clock import SystemClock
from llmguard.control import Control
from llmguard.settings import StoreSettings
from llmguard.store import open_store
from tests.asking import PATHS, body
from tests.fakes import Answer, FakeOpenAI, Fault
from tests.fakes.plan import Plan
from tests.redis_server import RedisServer
from tests.serving import ADMIN_TOKEN, Running, http, running, tree

pytestmark = pytest.mark.anyio

CLIENTS = 64
LIMIT = 3000
LIMITS = [
    {"per": "user", "of": "tokens", "limit": LIMIT, "every": "1h"},
    {"per": "key", "of": "requests", "limit": 1000, "every": "1m"},
    {"per": "tenant", "of": "concurrent", "limit": 40},
]
PATIENT_MS = 5000


def settings(fake: FakeOpenAI, url: str) -> dict[str, Any]:
    """One policy with these limits, and a key of two users' each."""
    store = {"url": url, "timeout_ms": PATIENT_MS}
    return tree(fake.url, policies={"public": {"limits": LIMITS}, "narrow": {}}, store=store)


async def spend(guard: Running) -> dict[str, dict[str, Any]]:
    """Alice's limits, by what they count."""
    found = {}
    async with http(guard, ADMIN_TOKEN) as operator:
        for scope, id in (("user", "alice"), ("key", "alice"), ("tenant", "acme")):
            async with operator.get(f"/admin/v1/spend/{scope}/{id}") as response:
                found |= {limit["of"]: limit for limit in (await response.json())["limits"]}
    return found


class Attacker:
    """A client that asks in every way, and drops some of its answers in the middle."""

    def __init__(self, guard: Running, seed: int) -> None:
        self.guard = guard
        self.chance = Random(seed)
        self.passed = 0

    async def run(self, requests: int) -> None:
        """Ask so often."""
        async with http(self.guard) as session:
            for _ in range(requests):
                await self._one(session)

    async def _one(self, session: aiohttp.ClientSession) -> None:
        endpoint = self.chance.choice(["chat", "completions", "responses"])
        stream = self.chance.random() < 0.6
        cap = "max_output_tokens" if endpoint == "responses" else "max_tokens"
        asked = body(endpoint, stream=stream, **{cap: self.chance.choice([5, 20, 60])})
        drop = stream and self.chance.random() < 0.4
        with suppress(aiohttp.ClientError):
            async with session.post(PATHS[endpoint], json=asked) as response:
                self.passed += response.status == 200
                if drop:
                    await response.content.readany()
                    response.close()
                else:
                    await response.read()


async def attack(guards: list[Running], requests: int) -> int:
    """How many requests of the 64 clients were served."""
    attackers = [Attacker(guards[number % len(guards)], number) for number in range(CLIENTS)]
    await asyncio.gather(*(attacker.run(requests) for attacker in attackers))
    return sum(attacker.passed for attacker in attackers)


async def settled(guard: Running) -> dict[str, dict[str, Any]]:
    """The limits, once nothing is reserved any more."""
    found = await spend(guard)
    async with asyncio.timeout(10):
        while any(limit["reserved"] for limit in found.values()):
            await asyncio.sleep(0.02)
            found = await spend(guard)
    return found


class Meter:
    """A socket that counts the tokens written to it."""

    def __init__(self, writer: asyncio.StreamWriter, fake: "CountingFake") -> None:
        self._writer = writer
        self._fake = fake

    def write(self, data: bytes) -> None:
        """Count and write."""
        self._fake.generated += data.count(b"word")
        self._writer.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


class CountingFake(FakeOpenAI):
    """The upstream, with the number of tokens that it really gave out."""

    generated = 0

    async def _send(self, answer: Plan, writer: Any) -> bool:
        return await super()._send(answer, Meter(writer, self))


@pytest.fixture
async def fake(anyio_backend: str) -> AsyncIterator[CountingFake]:
    """An upstream that answers in 60 chunks of a token each."""
    async with CountingFake(Answer(chunks=tuple(f"word{number:02d} " for number in range(60)))) as fake:
        fake.go.set()
        yield fake


def stored(kind: str, directory: Path) -> str:
    """The URL of a local store."""
    return "memory:" if kind == "memory" else f"file:{directory / 'data'}"


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_sixty_four_clients_never_spend_more_than_the_limit(
    fake: CountingFake, kind: str, tmp_path: Path
) -> None:
    url = stored(kind, tmp_path)
    store = open_store(StoreSettings(url=url), clock=SystemClock())
    async with running(settings(fake, url), store=store) as guard:
        passed = await attack([guard], 6)
        found = await settled(guard)
    assert passed > 20
    assert fake.generated <= found["tokens"]["spent"] <= LIMIT
    assert found["concurrent"]["remaining"] == 40


async def test_without_the_control_they_spend_many_times_as_much(fake: CountingFake) -> None:
    class Unlimited(App):
        """The application without quotas."""

        def _controls(self, *parts: Any) -> list[Control]:
            return [control for control in super()._controls(*parts) if control.name != "quotas"]

    async with running(settings(fake, "memory:"), kind=Unlimited) as guard:
        assert await attack([guard], 6) == CLIENTS * 6
    assert fake.generated > 2 * LIMIT


@pytest.mark.parametrize(
    "fault", [Fault.RESET_MID_STREAM, Fault.STATUS(503), Fault.BAD_JSON, Fault.CUT, Fault.NO_USAGE]
)
async def test_an_upstream_that_misbehaves_makes_nobody_richer(fake: CountingFake, fault: Fault) -> None:
    fake.fault = fault
    async with running(settings(fake, "memory:")) as guard:
        await attack([guard], 4)
        found = await settled(guard)
    assert fake.generated <= LIMIT
    assert found["tokens"]["spent"] <= LIMIT
    assert found["concurrent"]["remaining"] == 40


async def test_retries_are_one_request_and_cost_what_was_generated_once(fake: CountingFake) -> None:
    tried = settings(fake, "memory:")
    tried["upstreams"]["fake"]["max_retries"] = 2
    async with running(tried) as guard, http(guard) as session:
        for stream in (False, True):
            fake.script(Fault.STATUS(503), Fault.RESET_BEFORE, None)
            async with session.post("/v1/chat/completions", json=body(stream=stream, max_tokens=60)) as response:
                assert response.status == 200
                await response.read()
        found = await settled(guard)
    prompt = len(body()["messages"][0]["content"].split())
    assert len(fake.requests) == 6
    assert found["requests"]["spent"] == 2
    assert found["tokens"]["spent"] == 2 * (60 + prompt)


async def test_an_upstream_that_reports_too_little_is_not_believed(fake: CountingFake) -> None:
    fake.answer = replace(fake.answer, chunks=("word " * 100,))  # one token, by its own count
    async with running(settings(fake, "memory:")) as guard, http(guard) as session:
        for stream in (False, True):
            async with session.post("/v1/chat/completions", json=body(stream=stream, max_tokens=200)) as response:
                await response.read()
        found = await settled(guard)
    assert found["tokens"]["spent"] >= 2 * 200


async def test_dropping_a_stream_before_its_usage_is_not_free(fake: CountingFake) -> None:
    """Peers stop counting there: whoever hangs up pays nothing, and asks again."""
    fake.answer = replace(fake.answer, pause_after=30)
    fake.go.clear()
    async with running(settings(fake, "memory:")) as guard, http(guard) as session:
        for _ in range(3):
            async with session.post("/v1/chat/completions", json=body(stream=True, max_tokens=60)) as response:
                read = b""
                while b"word28" not in read:
                    read += await response.content.readany()
                response.close()
        found = await settled(guard)
    assert found["tokens"]["spent"] >= 3 * 29


async def test_two_guards_on_one_redis_spend_one_limit(fake: CountingFake, redis: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        guards = []
        for _ in range(2):
            store = open_store(StoreSettings(url=redis.url, timeout_ms=PATIENT_MS), clock=SystemClock())
            guards.append(await stack.enter_async_context(running(settings(fake, redis.url), store=store)))
        passed = await attack(guards, 4)
        found = await settled(guards[0])
        assert found["tokens"]["spent"] == (await settled(guards[1]))["tokens"]["spent"]
    assert passed > 20
    assert fake.generated <= found["tokens"]["spent"] <= LIMIT


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
