"""What only Redis can do: hang, die, come back, forget by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from llmguard.settings import StoreSettings
from llmguard.store import open_store
from llmguard.store.redis import CONCURRENT
from llmguard.store.store import RETENTION_S, Store, StoreUnavailable
from tests.fakes.clock import FakeClock
from tests.redis_server import RedisServer
from tests.store.records import NOW, key, secret

pytestmark = pytest.mark.anyio

TIMEOUT_MS = 250
SLACK_S = 1.0
"""What a machine under load may add to a timeout."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A cluster of one node: it takes two seconds to start, so these tests share it."""
    with RedisServer(tmp_path_factory.mktemp("cluster"), cluster=True) as server:
        yield server


@pytest.fixture(params=["server", "cluster"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A server to be ill-treated."""
    if request.param == "server":
        with RedisServer(tmp_path) as server:
            yield server
        return
    cluster: RedisServer = request.getfixturevalue("cluster")
    yield cluster
    cluster.thaw()
    cluster.clear()


@pytest.fixture
async def store(server: RedisServer, anyio_backend: str) -> AsyncIterator[Store]:
    """A store with a short timeout that already holds one key."""
    store = open_store(StoreSettings(url=server.url, timeout_ms=TIMEOUT_MS), clock=FakeClock())
    await settled(store)
    await store.put_key(key("key_1"))
    yield store
    await store.close()


async def settled(store: Store) -> None:
    """Ask until the server answers."""
    for _ in range(40):
        try:
            return await store.ping()
        except StoreUnavailable:
            continue
    raise TimeoutError("the store did not recover")


async def test_every_operation_fails_in_time_while_redis_hangs(store: Store, server: RedisServer) -> None:
    operations: list[Callable[[], Awaitable[object]]] = [
        lambda: store.ping(),
        lambda: store.find_key(secret("key_1").lookup),
        lambda: store.get_key("key_1"),
        lambda: store.list_keys(),
        lambda: store.put_key(key("key_2")),
        lambda: store.update_key("key_1", lambda record: record),
    ]
    server.freeze()
    for operation in operations:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as raised:
            await operation()
        assert raised.value.__cause__ is not None
        assert time.monotonic() - began < TIMEOUT_MS / 1000 + SLACK_S
    server.thaw()
    await settled(store)
    assert await store.get_key("key_1") == key("key_1")


async def test_more_callers_than_connections_fail_in_time_while_redis_hangs(server: RedisServer) -> None:
    """In one timeout, and not in one for each round of connections: there are three."""
    store = open_store(StoreSettings(url=server.url, timeout_ms=8 * TIMEOUT_MS), clock=FakeClock())
    await settled(store)
    server.freeze()
    began = time.monotonic()
    outcomes = await asyncio.gather(*(store.get_key("key_1") for _ in range(3 * CONCURRENT)), return_exceptions=True)
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert time.monotonic() - began < 2 * (8 * TIMEOUT_MS / 1000)
    server.thaw()
    await store.close()


async def test_an_answer_that_comes_too_late_is_never_taken_for_another_keys(store: Store, server: RedisServer) -> None:
    for n in range(2, 10):
        await store.put_key(key(f"key_{n}"))
    server.freeze()
    late = [store.find_key(secret(f"key_{n}").lookup) for n in range(1, 10)]
    assert all(isinstance(o, StoreUnavailable) for o in await asyncio.gather(*late, return_exceptions=True))
    server.thaw()
    await settled(store)
    for _ in range(5):
        found = await asyncio.gather(*(store.find_key(secret(f"key_{n}").lookup) for n in range(9, 0, -1)))
        assert found == [key(f"key_{n}") for n in range(9, 0, -1)]


async def test_a_dead_redis_is_unavailable_and_used_again_once_it_is_back(store: Store, server: RedisServer) -> None:
    server.kill()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.get_key("key_1")
    server.start()
    await settled(store)
    assert await store.get_key("key_1") is None
    await store.put_key(key("key_1"))
    assert await store.get_key("key_1") == key("key_1")


async def test_redis_forgets_ended_keys_by_itself(store: Store, server: RedisServer) -> None:
    await store.put_key(key("key_2", expires_at=NOW + 60))
    await store.update_key("key_1", lambda record: key("key_1", "other", "further", expires_at=NOW + 10))
    with Redis(port=server.port) as redis:
        names = list(redis.scan_iter("llmguard:*"))
        ttls = {name.rpartition(b":")[2].decode(): redis.ttl(name) for name in names}
    assert ttls.pop("ids") == -1
    of_key_2 = {"key_2", secret("key_2").lookup}
    assert ttls.keys() == {"key_1", secret("other").lookup, secret("further").lookup} | of_key_2
    for name, ttl in ttls.items():
        assert RETENTION_S - 60 < ttl <= RETENTION_S + (60 if name in of_key_2 else 10)


async def test_nothing_that_is_stored_shows_a_secret(store: Store, server: RedisServer) -> None:
    with Redis(port=server.port) as redis:
        names = list(redis.scan_iter("*"))
        assert all(name.startswith(b"llmguard:{keys}:") for name in names)
        assert len(names) == 3


async def test_a_record_that_cannot_be_read_is_a_failure_of_the_store(store: Store, server: RedisServer) -> None:
    with Redis(port=server.port) as redis:
        redis.set("llmguard:{keys}:id:key_1", b"12345678{]")
    with pytest.raises(StoreUnavailable):
        await store.get_key("key_1")


async def test_a_full_redis_is_unavailable_for_writes_alone(store: Store, server: RedisServer) -> None:
    with Redis(port=server.port) as redis:
        redis.execute_command("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(StoreUnavailable):
            await store.put_key(key("key_2"))
        assert await store.get_key("key_1") == key("key_1")
        redis.execute_command("CONFIG", "SET", "maxmemory", 0)
    await store.put_key(key("key_2"))


async def test_a_password_in_the_url_is_given_to_redis(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        with Redis(port=server.port) as redis:
            redis.execute_command("CONFIG", "SET", "requirepass", "p@ss")
        good = open_store(
            StoreSettings(url=f"redis://:p%40ss@127.0.0.1:{server.port}", timeout_ms=5_000), clock=FakeClock()
        )
        bad = open_store(StoreSettings(url=server.url, timeout_ms=5_000), clock=FakeClock())
        await good.ping()
        with pytest.raises(StoreUnavailable) as raised:
            await bad.ping()
        assert "p@ss" not in str(raised.value) + str(raised.value.__cause__)
        await good.close()
        await bad.close()
