"""Entries of a stream reach a Redis that was away, in order, or are counted as lost."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from llmguard.store.redis_client import open_client
from llmguard.store.stream_redis import StreamWriter
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.risk.site import until

pytestmark = pytest.mark.anyio


async def test_prompts_that_redis_missed_are_sent_again_in_order(tmp_path: Path) -> None:
    lost: list[int] = []
    with RedisServer(tmp_path) as server:
        client = open_client(server.url)
        writer = StreamWriter(client, timeout_s=1.0, length=100, lost=lost.append)
        writer.append("llmguard:s", b"1")
        await until(partial(holds, server, 1))
        server.kill()
        for entry in (b"2", b"3"):
            writer.append("llmguard:s", entry)
            await asyncio.sleep(0.05)
        server.start()
        writer.append("llmguard:s", b"4")
        await until(partial(holds, server, 3))
        with Redis(port=server.port) as redis:
            assert [fields[b"e"] for _, fields in redis.xrange("llmguard:s")] == [b"2", b"3", b"4"]
        await writer.close()
        await client.close()
    assert lost == []


async def test_too_many_that_wait_are_given_up_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmguard.store.stream_redis.MOST_KEPT", 3)
    lost: list[int] = []
    client = open_client(f"redis://127.0.0.1:{free_port()}")
    writer = StreamWriter(client, timeout_s=0.5, length=100, lost=lost.append)
    for number in range(10):
        writer.append("llmguard:s", b"%d" % number)
    await asyncio.sleep(0.1)
    assert sum(lost) == 7
    await writer.close()
    await client.close()


async def holds(server: RedisServer, count: int) -> bool:
    """Whether the stream holds so many entries."""
    with Redis(port=server.port) as redis:
        return bool(redis.xlen("llmguard:s") >= count)
