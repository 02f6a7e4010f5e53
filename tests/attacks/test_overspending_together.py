"""Several guards, each a process of its own, and a store between them that fails: one limit all the same."""

import asyncio
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from llmguard.clock import SystemClock
from llmguard.settings import StoreSettings
from llmguard.store import open_store
from llmguard.store.file import FILE
from llmguard.store.ledger import Counter
from tests.asking import body, until
from tests.fakes import Answer, FakeOpenAI
from tests.redis_server import ALL_SLOTS, RedisServer
from tests.serving import ADMIN_TOKEN, KEY, Process, process, tree

pytestmark = pytest.mark.anyio

CLIENTS = 64
LIMIT = 2000
LIMITS = [
    {"per": "user", "of": "tokens", "limit": LIMIT, "every": "1h"},
    {"per": "key", "of": "requests", "limit": 150, "every": "1h"},
    {"per": "tenant", "of": "concurrent", "limit": 24},
    {"per": "global", "of": "output_tokens", "limit": 50_000, "every": "1d"},
]
PATIENT_MS = 10_000
TIMEOUT_MS = 50
SOON_S = 10.0
"""What an answer may take on a busy machine that is given up after TIMEOUT_MS: far less than a hang."""


@asynccontextmanager
async def guards(
    fake: FakeOpenAI, redis: RedisServer, folder: Path, count: int, **store: Any
) -> AsyncIterator[list[Process]]:
    """So many processes on one store."""
    settings = tree(
        fake.url,
        policies={"public": {"limits": LIMITS}, "narrow": {}},
        store={"url": redis.url, "timeout_ms": PATIENT_MS, **store},
    )
    async with AsyncExitStack() as stack:
        started = []
        for number in range(count):
            home = folder / f"guard-{number}"
            home.mkdir()
            started.append(stack.enter_context(process(settings, home)))
        for guard in started:
            await guard.ready(60)
        yield started


@asynccontextmanager
async def client(guard: Process, key: str = KEY) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain client of one guard."""
    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(guard.url, headers=headers, timeout=aiohttp.ClientTimeout(30)) as session:
        yield session


async def spent(guard: Process) -> dict[str, tuple[int, int]]:
    """What alice, her key and her tenant have spent and reserved, by measure, once nothing is reserved."""
    async with client(guard, ADMIN_TOKEN) as operator, asyncio.timeout(20):
        while True:
            found = {}
            for path in ("user/alice", "key/alice", "tenant/acme"):
                async with operator.get(f"/admin/v1/spend/{path}") as response:
                    found |= {one["of"]: (one["spent"], one["reserved"]) for one in (await response.json())["limits"]}
            if not any(reserved for _, reserved in found.values()):
                return found
            await asyncio.sleep(0.05)


async def ask(session: aiohttp.ClientSession, **more: Any) -> int:
    """The status of one request, its answer read to the end."""
    async with session.post("/v1/chat/completions", json=body(max_tokens=20, **more)) as response:
        await response.read()
        return response.status


async def hammer(served: list[Process], requests: int) -> int:
    """How many requests of 64 clients at once were served."""

    async def one(number: int) -> int:
        async with client(served[number % len(served)]) as session:
            return [await ask(session, stream=bool(turn % 2)) for turn in range(requests)].count(200)

    return sum(await asyncio.gather(*(one(number) for number in range(CLIENTS))))


@pytest.fixture
async def fake(anyio_backend: str) -> AsyncIterator[FakeOpenAI]:
    """An upstream that answers in 20 tokens."""
    async with FakeOpenAI(Answer(chunks=tuple(f"word{number:02d} " for number in range(20)))) as fake:
        fake.go.set()
        yield fake


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One server."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisServer]:
    """One node of a cluster of three."""
    third = len(ALL_SLOTS) // 3
    bounds = [0, third, 2 * third, len(ALL_SLOTS)]
    servers = []
    for number in range(3):
        home = tmp_path / f"node-{number}"
        home.mkdir()
        servers.append(RedisServer(home, cluster=True, slots=range(bounds[number], bounds[number + 1])))
    with servers[0], servers[1], servers[2]:
        servers[0].meet(*servers[1:])
        yield servers[0]


def exact(found: dict[str, tuple[int, int]], passed: int, fake: FakeOpenAI) -> None:
    """What was spent is what was served, and no more than the limit; nothing is left reserved."""
    prompt = len(body()["messages"][0]["content"].split())
    assert found["tokens"] == (passed * (20 + prompt), 0)
    assert found["tokens"][0] <= LIMIT
    assert found["requests"] == (passed, 0)
    assert found["concurrent"] == (0, 0)
    assert len(fake.requests) == passed


async def test_two_processes_on_one_redis(fake: FakeOpenAI, redis: RedisServer, tmp_path: Path) -> None:
    async with guards(fake, redis, tmp_path, 2) as served:
        passed = await hammer(served, 4)
        found = await spent(served[0])
        assert found == await spent(served[1])
    assert passed > 20
    exact(found, passed, fake)


async def test_four_processes_on_a_cluster_of_three(fake: FakeOpenAI, cluster: RedisServer, tmp_path: Path) -> None:
    async with guards(fake, cluster, tmp_path, 4) as served:
        passed = await hammer(served, 4)
        totals = [await spent(guard) for guard in served]
    assert passed > 20
    assert all(found == totals[0] for found in totals)
    exact(totals[0], passed, fake)


def rows(file: Path) -> int:
    """How many counters the file holds."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as reader:
        (count,) = reader.execute("SELECT count(*) FROM counters").fetchone()
        return int(count)


@pytest.mark.parametrize(
    ("ending", "least", "most"), [(signal.SIGTERM, 10, 600), (signal.SIGKILL, 1700, 1900)], ids=["stopped", "killed"]
)
async def test_a_process_that_ends_in_the_middle_of_an_answer(
    fake: FakeOpenAI, tmp_path: Path, ending: signal.Signals, least: int, most: int
) -> None:
    """Asked to stop, it settles for what was relayed; killed, all that was reserved is spent, and no slot is lost."""
    url = f"file:{tmp_path / 'data'}"
    settings = tree(
        fake.url,
        policies={"public": {"limits": LIMITS}, "narrow": {}},
        server={"drain_s": 0.2},
        store={"url": url},
    )
    fake.answer = replace(fake.answer, pause_after=12)
    fake.go.clear()
    with process(settings, tmp_path) as guard:
        await guard.ready()
        async with client(guard) as session:
            async with session.post("/v1/chat/completions", json=body(max_tokens=1500, stream=True)) as response:
                read = b""
                while b"word10" not in read:
                    read += await response.content.readany()
                await until(lambda: rows(tmp_path / "data" / FILE))  # what is reserved is in the file
                guard.child.send_signal(ending)
                await asyncio.to_thread(guard.child.wait, 20)
    store = open_store(StoreSettings(url=url), clock=SystemClock())
    tokens = Counter("user:alice", "tokens:3600", 3600.0)
    slots = Counter("tenant:acme", "concurrent:ever", None, level=True)
    spent_then, free = await store.ledger.levels([tokens, slots])
    await store.close()
    assert least <= spent_then.spent <= most
    assert (spent_then.reserved, free.spent, free.reserved) == (0, 0, 0)


@pytest.mark.parametrize("harm", ["freeze", "kill"])
async def test_a_store_that_fails_refuses_in_time_and_comes_back(
    fake: FakeOpenAI, redis: RedisServer, tmp_path: Path, harm: str
) -> None:
    async with guards(fake, redis, tmp_path, 1, timeout_ms=TIMEOUT_MS) as (guard,), client(guard) as session:
        assert await ask(session) == 200
        getattr(redis, harm)()
        began = time.monotonic()
        refused = await asyncio.gather(*(ask(session) for _ in range(20)))
        assert set(refused) == {503}
        assert time.monotonic() - began < SOON_S
        assert len(fake.requests) == 1
        redis.thaw() if harm == "freeze" else redis.start()
        async with asyncio.timeout(20):
            while await ask(session) != 200:
                await asyncio.sleep(0.05)


async def test_without_the_store_each_gives_its_share(fake: FakeOpenAI, redis: RedisServer, tmp_path: Path) -> None:
    store = {"timeout_ms": TIMEOUT_MS, "on_failure": "share", "replicas": 2}
    async with guards(fake, redis, tmp_path, 1, **store) as (guard,), client(guard) as session:
        assert await ask(session) == 200
        redis.kill()
        statuses = [await ask(session) for _ in range(90)]
        assert set(statuses) == {200, 429}
        assert 0 < statuses.count(200) <= 150 // 2
        redis.start()
        async with asyncio.timeout(20):
            while (await spent(guard))["requests"] != (0, 0):  # the store again, which forgot everything
                await asyncio.sleep(0.05)
        assert await ask(session) == 200
