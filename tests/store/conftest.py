"""Every kind of store, each on something real."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from llmguard.settings import StoreSettings
from llmguard.store import open_store
from llmguard.store.store import Store
from tests.fakes.clock import FakeClock
from tests.redis_server import RedisServer
from tests.store.redis_ledgers import empty_redis

PATIENT_MS = 5_000
"""Long enough for a busy machine: only tests of failures are about the timeout."""


@pytest.fixture
def clock() -> FakeClock:
    """The time that the store under test reads."""
    return FakeClock()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A cluster of one node, which has all slots."""
    with RedisServer(tmp_path_factory.mktemp("cluster"), cluster=True) as server:
        yield server


@pytest.fixture(scope="session")
def redis_sentinel(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[RedisServer]:
    """A sentinel that watches the one server."""
    with RedisServer(tmp_path_factory.mktemp("sentinel"), sentinel_of=redis_server) as sentinel:
        yield sentinel


@pytest.fixture(params=["memory", "file", "redis", "redis+sentinel", "redis+cluster"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store of each kind."""
    if request.param == "memory":
        yield "memory:"
        return
    if request.param == "file":
        yield f"file:{tmp_path / 'data'}"
        return
    yield empty_redis(request, request.param)


@pytest.fixture
async def store(url: str, clock: FakeClock, anyio_backend: str) -> AsyncIterator[Store]:
    """An empty store of each kind."""
    store = open_store(StoreSettings(url=url, timeout_ms=PATIENT_MS), clock=clock)
    yield store
    await store.close()
