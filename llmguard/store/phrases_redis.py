"""Hashes of phrases in Redis: a hash a period, so that an answer is one command and a cluster shares the periods."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from redis.exceptions import RedisClusterException, RedisError

from llmguard.clock import Clock
from llmguard.store.phrases import ROOM, Entry, period, periods
from llmguard.store.redis_client import RedisClient
from llmguard.store.store import StoreUnavailable

PREFIX: Final = "llmguard:phrases:"
ASKED: Final = 1000
"""Hashes looked up by one command."""
AT_ONCE: Final = 16
PATIENCE_S: Final = 10.0
"""For a batch of answers or a whole look-up, which nobody's request waits for."""


class RedisPhrases:
    """The index behind `client`, which somebody else closes."""

    def __init__(self, client: RedisClient, *, clock: Clock, room: int = ROOM) -> None:
        self._client = client
        self._clock = clock
        self._room = room
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._script = Path(__file__).with_name("phrases.lua").read_text()

    async def add(self, entries: Sequence[Entry]) -> None:
        """Keep these, some at a time."""
        async with self._operation(), asyncio.TaskGroup() as group:
            for entry in _last(entries):
                group.create_task(self._add(entry))

    async def find(self, phrases: Sequence[bytes], durations_s: Sequence[float]) -> list[bytes]:
        """What the hashes lead to."""
        found: list[bytes] = []
        async with self._operation():
            for name in periods(self._clock.time(), durations_s):
                for start in range(0, len(phrases), ASKED):
                    values = await self._client.execute("HMGET", PREFIX + name, *phrases[start : start + ASKED])
                    found += [value for value in values if value is not None]
        return found

    async def _add(self, entry: Entry) -> None:
        now = self._clock.time()
        name, ends = period(now, entry.lasts_s)
        lifetime_ms = max(1, round((ends - now) * 1000))
        async with self._slots:
            await self._client.execute(
                "EVAL", self._script, 1, PREFIX + name, self._room, lifetime_ms, entry.value, *entry.phrases
            )

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield
        except (RedisError, RedisClusterException, OSError, ExceptionGroup) as error:
            raise StoreUnavailable("Redis failed or did not answer in time") from error


def _last(entries: Sequence[Entry]) -> list[Entry]:
    """Each hash with the last answer alone that has it: they go to Redis side by side, in no order."""
    taken: set[tuple[float, bytes]] = set()
    found: list[Entry] = []
    for entry in reversed(entries):
        phrases = tuple(phrase for phrase in entry.phrases if (entry.lasts_s, phrase) not in taken)
        taken.update((entry.lasts_s, phrase) for phrase in phrases)
        if phrases:
            found.append(entry._replace(phrases=phrases))
    return found
