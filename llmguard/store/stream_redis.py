"""Streams in Redis that nobody waits to write to, and what reads them.

An entry leaves with whatever else is sent in the same turn of the event loop. One that fails is kept and sent again, in
order, up to MOST_KEPT of them; a script of its own is not needed, nor a round trip that a request would wait for.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from hiredis import pack_command

from llmguard.store.ledger_redis import FAILURES
from llmguard.store.redis_client import RedisClient
from llmguard.store.redis_lane import BREAK_S, Lane

MOST_KEPT: Final = 10_000
"""Entries that wait for the server: some minutes of a busy guard's."""


class StreamWriter:
    """Appends to streams of at most `length` entries, about. `lost(n)` hears of entries that are given up."""

    def __init__(self, client: RedisClient, *, timeout_s: float, length: int, lost: Callable[[int], None]) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._length = length
        self._lost = lost
        self._lanes: dict[str, Lane] = {}
        self._kept: deque[tuple[str, bytes]] = deque()
        self._retrying: asyncio.Task[None] | None = None

    def append(self, stream: str, entry: bytes) -> None:
        """Send an entry; returns at once."""
        if self._retrying is not None:  # those before it come first
            self._keep(stream, entry)
            return
        future = self._lane(stream).execute(self._command(stream, entry))
        future.add_done_callback(partial(self._sent, stream, entry))

    async def close(self) -> None:
        """Close the connections; what was not sent is lost."""
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.wait([self._retrying])
        for lane in self._lanes.values():
            await lane.close()

    def _sent(self, stream: str, entry: bytes, future: "asyncio.Future[Any]") -> None:
        if future.cancelled() or future.exception() is None:
            return
        self._keep(stream, entry)
        if self._retrying is None:
            self._retrying = asyncio.get_running_loop().create_task(self._retry())

    def _keep(self, stream: str, entry: bytes) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.popleft()
            self._lost(1)
        self._kept.append((stream, entry))

    async def _retry(self) -> None:
        """Send what is kept, by way of the client, which follows slots that moved."""
        try:
            while self._kept:
                stream, entry = self._kept[0]
                try:
                    async with asyncio.timeout(self._timeout_s):
                        await self._client.execute(*self._words(stream, entry))
                except FAILURES:
                    await asyncio.sleep(BREAK_S)
                    continue
                if self._kept and self._kept[0][1] is entry:
                    self._kept.popleft()
        finally:
            self._retrying = None

    def _lane(self, stream: str) -> Lane:
        server = self._client.server(stream)
        lane = self._lanes.get(server)
        if lane is None:
            connect = partial(self._client.connect, stream)
            lane = self._lanes[server] = Lane(connect, timeout_s=self._timeout_s)
        return lane

    def _words(self, stream: str, entry: bytes) -> tuple[str | bytes | int, ...]:
        return "XADD", stream, "MAXLEN", "~", self._length, "*", "e", entry

    def _command(self, stream: str, entry: bytes) -> bytes:
        packed: bytes = pack_command(self._words(stream, entry))  # type: ignore[arg-type]  # a tuple of any length
        return packed
