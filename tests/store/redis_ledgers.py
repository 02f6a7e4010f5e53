"""Ledgers on real Redis servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from llmguard.store.ledger_redis import RedisLedger
from llmguard.store.redis_client import open_client
from tests.fakes.clock import FakeClock
from tests.redis_server import RedisServer

PATIENT_S = 10.0
"""Long enough for a busy machine: only tests of failures are about the timeout."""


def empty_redis(request: pytest.FixtureRequest, kind: str) -> str:
    """The URL of a Redis without keys of ours: redis, redis+sentinel or redis+cluster."""
    data: RedisServer = request.getfixturevalue("redis_cluster" if "cluster" in kind else "redis_server")
    data.clear()
    sentinel: RedisServer = request.getfixturevalue("redis_sentinel") if "sentinel" in kind else data
    return sentinel.url


@asynccontextmanager
async def opened(
    url: str, *, timeout_s: float = PATIENT_S, clock: FakeClock | None = None
) -> AsyncIterator[RedisLedger]:
    """A ledger at a URL."""
    client = open_client(url)
    ledger = RedisLedger(client, timeout_s=timeout_s, clock=clock)
    try:
        yield ledger
    finally:
        await ledger.close()
        await client.close()
