"""The registry of watermark keys in Redis, so that all guards and the command line share it.

It is the library's protocol, which waits: whoever calls it from an event loop does so in a thread. Each operation has
a connection of its own, for it is asked once for a tenant and model in a process's life.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from redis.exceptions import RedisClusterException, RedisError

from llmguard.store.redis_client import RedisClient, open_client
from watermark.keys.registry import Change, Contents, Records, RegistryError

KEY: Final = "llmguard:watermark-keys"
T = TypeVar("T")


class RedisRegistry:
    """The records, as one JSON text. `timeout_s` bounds each operation as a whole."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._script = Path(__file__).with_name("swap_text.lua").read_text()

    def records(self) -> Records:
        """All records."""
        return self._run(self._records)

    def change(self, change: Change) -> Records:
        """Replace all records, again and again until nothing came between reading and writing."""
        return self._run(lambda client: self._change(client, change))

    async def _records(self, client: RedisClient) -> Records:
        return _decoded(await client.execute("GET", KEY))

    async def _change(self, client: RedisClient, change: Change) -> Records:
        while True:
            payload: bytes | None = await client.execute("GET", KEY)
            records = change(_decoded(payload))
            new = msgspec.json.encode(Contents(records))
            if await client.execute("EVAL", self._script, 1, KEY, payload or b"", new):
                return records

    def _run(self, work: Callable[[RedisClient], Awaitable[T]]) -> T:
        async def bounded() -> T:
            client = open_client(self._url)
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await work(client)
            finally:
                await client.close()

        try:
            return asyncio.run(bounded())
        except (RedisError, RedisClusterException, OSError) as error:
            raise RegistryError("the key registry's Redis failed or did not answer in time") from error


def _decoded(payload: bytes | None) -> Records:
    if payload is None:
        return ()
    try:
        return msgspec.json.decode(payload, type=Contents).keys
    except msgspec.MsgspecError as error:
        raise RegistryError("what lies in Redis is no key registry") from error
