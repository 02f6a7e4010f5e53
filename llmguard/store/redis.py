"""A store in Redis: any number of guards share it.

Every key of ours that belongs to API keys carries the hash tag {keys}, so that on a cluster
they lie in one slot and change in one script. A record lies under its id and again
under the lookup of each of its secrets: to find a presented key is one GET.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_bytes

import msgspec
from redis.exceptions import RedisClusterException, RedisError

from llmguard.clock import Clock
from llmguard.store.ledger_redis import RedisLedger
from llmguard.store.phrases_redis import RedisPhrases
from llmguard.store.redis_client import RedisClient
from llmguard.store.store import KeyConflict, KeyRecord, StoreUnavailable, by_age, present

PREFIX = "llmguard:{keys}:"
IDS = PREFIX + "ids"
CONCURRENT = 64
"""Commands, and so connections, at a time; a further one waits, within its timeout."""
PAGE = 500
"""Records read at a time by a list."""
MARK = 8
"""Random bytes before each record: two writers who write the same can tell their writes apart."""
FAILURES = (RedisError, RedisClusterException, msgspec.MsgspecError, OSError)


class RedisStore:
    """A store behind `client`, which it closes. `timeout_s` bounds each operation as a whole."""

    def __init__(self, client: RedisClient, *, clock: Clock, timeout_s: float) -> None:
        self._client = client
        self._clock = clock
        self._timeout_s = timeout_s
        self._ledger = RedisLedger(client, timeout_s=timeout_s)
        self._phrases = RedisPhrases(client, clock=clock)
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._decoder = msgspec.json.Decoder(KeyRecord)
        self._script = Path(__file__).with_name("swap_key.lua").read_text()

    @property
    def ledger(self) -> RedisLedger:
        """The quotas, in the same Redis."""
        return self._ledger

    @property
    def phrases(self) -> RedisPhrases:
        """What is remembered of answers, in the same Redis."""
        return self._phrases

    async def put_key(self, record: KeyRecord) -> None:
        """Add a key; Redis drops it when it is gone."""
        async with self._operation():
            if not await self._swap(b"", None, record):
                raise KeyConflict(record.id)

    async def find_key(self, lookup: str) -> KeyRecord | None:
        """The key that has a secret with this lookup: one GET."""
        async with self._operation():
            return self._read(await self._client.execute("GET", _lookup_key(lookup)))

    async def get_key(self, id: str) -> KeyRecord | None:
        """The key with this id."""
        async with self._operation():
            return self._read(await self._client.execute("GET", _record_key(id)))

    async def list_keys(self) -> list[KeyRecord]:
        """All keys, the oldest first; the timeout is for each page of them."""
        async with self._operation():
            ids = await self._client.execute("ZRANGEBYSCORE", IDS, f"({self._clock.time()}", "+inf")
        records: list[KeyRecord | None] = []
        for start in range(0, len(ids), PAGE):
            names = [_record_key(id.decode()) for id in ids[start : start + PAGE]]
            async with self._operation():
                records += [self._read(payload) for payload in await self._client.execute("MGET", *names)]
        return sorted((record for record in records if record), key=by_age)

    async def update_key(self, id: str, change: Callable[[KeyRecord], KeyRecord]) -> KeyRecord | None:
        """Replace a key by `change` of it, again and again until nothing came between reading and writing."""
        async with self._operation():
            while True:
                payload = await self._client.execute("GET", _record_key(id))
                old = self._read(payload)
                if old is None:
                    return None
                new = change(old)
                if await self._swap(payload, old, new):
                    return new

    async def ping(self) -> None:
        """Ask Redis for a key, as every request does: on a cluster, PING may answer while the slot does not."""
        await self.get_key("")

    async def close(self) -> None:
        """Close the connections."""
        await self._ledger.close()
        await self._client.close()

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                yield
        except FAILURES as error:
            raise StoreUnavailable("Redis failed or did not answer in time") from error

    def _read(self, payload: bytes | None) -> KeyRecord | None:
        return None if payload is None else present(self._decoder.decode(payload[MARK:]), self._clock.time())

    async def _swap(self, payload: bytes, old: KeyRecord | None, new: KeyRecord) -> bool:
        """Replace `payload` (b"" for no record), which is `old`; whether it was still there."""
        now, gone_at = self._clock.time(), new.gone_at
        before = {secret.lookup for secret in old.secrets} if old else set()
        after = {secret.lookup for secret in new.secrets}
        added, kept, removed = after - before, after & before, before - after
        keys = [_record_key(new.id), IDS, *map(_lookup_key, (*added, *kept, *removed))]
        # Milliseconds from now, not a date: the server's clock need not agree with ours.
        ttl_ms = "" if gone_at is None else max(1, round((gone_at - now) * 1000))
        score = "+inf" if gone_at is None else gone_at
        marked = token_bytes(MARK) + msgspec.json.encode(new)
        arguments = [payload, marked, new.id, score, ttl_ms, now, len(added), len(kept)]
        result = await self._client.execute("EVAL", self._script, len(keys), *keys, *arguments)
        if result < 0:
            raise KeyConflict(new.id)
        return bool(result)


def _record_key(id: str) -> str:
    return f"{PREFIX}id:{id}"


def _lookup_key(lookup: str) -> str:
    return f"{PREFIX}lookup:{lookup}"
