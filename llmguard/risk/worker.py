"""A worker: it judges the prompts of some tenants, for all guards that share a Redis.

1. Own       a part's streams, for as long as it says so every few seconds; another worker waits meanwhile.
2. Rebuild   windows and evidence from what the stream still holds, up to the last entry that was acknowledged.
3. Judge     what was delivered and not acknowledged, then whatever comes.
4. Write     standings, reports and alerts, and only then acknowledge: what is lost with a worker is judged again.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from redis.exceptions import ResponseError

from llmguard.clock import Clock
from llmguard.risk.desk import ALERTS_KEPT
from llmguard.risk.desk_local import nothing_from
from llmguard.risk.outlet import Outlet
from llmguard.risk.post import (
    ALERTS,
    CONSUMER,
    GROUP,
    REPORT_S,
    Entry,
    Order,
    Seal,
    encoded,
    owner_of,
    report_at,
    stream_of,
)
from llmguard.risk.report import Report, Signal
from llmguard.risk.second_look import SecondLook
from llmguard.risk.standing import standing_of, subject
from llmguard.risk.watch import Change, Watch
from llmguard.store.ledger import Ledger
from llmguard.store.ledger_redis import FAILURES
from llmguard.store.redis_client import RedisClient
from llmguard.store.store import StoreUnavailable

log = logging.getLogger(__name__)

PORTRAITS: Final = 10_000
"""Keys of which is kept how their prompts looked beside others' at their last change of state."""
BATCH: Final = 200
BLOCK_MS: Final = 500
LEASE_S: Final = 10.0
PAUSE_S: Final = 1.0
"""Between two attempts at what failed."""

Entries = Sequence[tuple[bytes, Mapping[bytes, bytes]]]


class Worker:
    """One process's worker over some parts. `name` tells it from others."""

    def __init__(
        self,
        parts: Sequence[int],
        client: RedisClient,
        ledger: Ledger,
        watch: Watch,
        seal: Seal,
        outlet: Outlet,
        second: SecondLook,
        clock: Clock,
        name: str,
    ) -> None:
        self._parts = parts
        self._client = client
        self._ledger = ledger
        self._watch = watch
        self._seal = seal
        self._outlet = outlet
        self._second = second
        self._clock = clock
        self._name = name
        self.webhook = outlet.webhook
        self.ready = asyncio.Event()
        self._rebuilt: set[int] = set()
        # What was judged and could not be written yet, and what is acknowledged once it is.
        self._changes: list[Change] = []
        self._keys: dict[str, None] = {}
        self._looks: dict[str, Callable[[], dict[str, Signal]]] = {}
        self._portraits: OrderedDict[str, dict[str, Signal]] = OrderedDict()
        self._unacknowledged: dict[str, list[bytes]] = {}
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Work, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for part in self._parts:
                tasks.create_task(self._serve(part))
            tasks.create_task(self._cool())
            tasks.create_task(self._second.run())

    async def release(self) -> None:
        """Let others have the parts, at once."""
        for part in self._parts:
            if await self._client.execute("GET", owner_of(part)) == self._name.encode():
                await self._client.execute("DEL", owner_of(part))

    async def _serve(self, part: int) -> None:
        while True:
            try:
                if not await self._own(part):
                    self._rebuilt.discard(part)
                    await asyncio.sleep(PAUSE_S)
                    continue
                if part not in self._rebuilt:
                    await self._rebuild(part)
                    await self._judge_new(part, "0")
                    self._rebuilt.add(part)
                    if len(self._rebuilt) == len(self._parts):
                        self.ready.set()
                await self._judge_new(part, ">")
            except (*FAILURES, StoreUnavailable) as error:
                log.warning("part %d waits for the store: %s", part, type(error).__name__)
                await asyncio.sleep(PAUSE_S)
                # A server that lost everything has lost the group too; what is judged again is a repeat.
                if "NOGROUP" in str(error):
                    self._rebuilt.discard(part)

    # 1 -------------------------------------------------------------------------------------

    async def _own(self, part: int) -> bool:
        """Whether this worker has the part, which is so for LEASE_S from now."""
        key, ms = owner_of(part), round(LEASE_S * 1000)
        if await self._client.execute("SET", key, self._name, "NX", "PX", ms):
            return True
        if await self._client.execute("GET", key) != self._name.encode():
            return False
        return bool(await self._client.execute("PEXPIRE", key, ms))

    # 2 -------------------------------------------------------------------------------------

    async def _rebuild(self, part: int) -> None:
        """Read what was acknowledged before, and tell nobody of it again."""
        stream = stream_of(part)
        try:
            await self._client.execute("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM")
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        end = await self._acknowledged(stream)
        start, keys = "-", dict[str, None]()
        while True:
            entries = await self._client.execute("XRANGE", stream, start, end, "COUNT", BATCH)
            for entry in self._opened(entries):
                self._replay(entry)
                keys[_key(entry)] = None
            if len(entries) < BATCH:
                break
            start = f"({entries[-1][0].decode()}"
            await asyncio.sleep(0)
        for key in keys:
            noted = await self._ledger.reserve("", (), (), subject(key))
            self._watch.adopt(key, standing_of(noted.note), self._clock.time())
        if keys:
            log.info("part %d was rebuilt for %d keys", part, len(keys))

    async def _acknowledged(self, stream: str) -> str:
        """The end of what was acknowledged, as XRANGE takes it: before the first that is pending, if any."""
        groups = [_pairs(row) for row in await self._client.execute("XINFO", "GROUPS", stream)]
        last = next(group[b"last-delivered-id"].decode() for group in groups if group[b"name"] == GROUP.encode())
        pending = await self._client.execute("XPENDING", stream, GROUP)
        return f"({pending['min'].decode()}" if pending["pending"] else str(last)

    def _replay(self, entry: Entry) -> None:
        if entry.sight is not None:
            self._watch.see(entry.sight)
        elif entry.order is not None:
            self._obey(entry.order)

    # 3 -------------------------------------------------------------------------------------

    async def _judge_new(self, part: int, since: str) -> None:
        """Judge a batch, or with "0" all that an earlier worker left."""
        stream = stream_of(part)
        while True:
            asked = ("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", BATCH, "BLOCK", BLOCK_MS, "STREAMS", stream)
            answer = await self._client.execute(*asked, since)
            entries: Entries = answer[0][1] if answer else []
            if entries:
                unacknowledged = self._unacknowledged.setdefault(stream, [])
                unacknowledged += [id for id, _ in entries]
                await self._judge(entries)
                await self._client.execute("XACK", stream, GROUP, *unacknowledged)
                unacknowledged.clear()
            if since == ">" or not entries:
                return

    async def _judge(self, entries: Entries) -> None:
        for place, entry in enumerate(self._opened(entries), 1):
            change = await self._take(entry)
            self._keys[_key(entry)] = None
            if entry.sight is not None:
                self._second.offer(entry.sight.key, entry.sight.tokens)
            if change is not None:
                self._changes.append(change)
                if change.alerts:
                    self._looks[change.key] = self._watch.portraying(change.key)
            if place % 16 == 0:
                await asyncio.sleep(0)
        await self._write()

    async def _take(self, entry: Entry) -> Change | None:
        told = entry.sight
        if told is None and entry.order is not None:
            told = nothing_from(entry.order.holder, entry.order.at)
        if told is not None and not self._watch.knows(told.key):
            noted = await self._ledger.reserve("", (), (), subject(told.key))
            self._watch.meet(told, standing_of(noted.note))
        if entry.order is not None:
            return self._obey(entry.order)
        return self._watch.see(entry.sight) if entry.sight is not None else None

    def _obey(self, order: Order) -> Change | None:
        if not self._watch.knows(order.key):
            self._watch.meet(nothing_from(order.holder, order.at), standing_of(None))
        if order.what == "pardon":
            return self._watch.pardon(order.key, order.at)
        return self._watch.pin(order.key, order.state, order.until, order.at)

    def _opened(self, entries: Entries) -> Sequence[Entry]:
        found = []
        for fields in [fields for _, fields in entries if fields]:  # one that was cut off has none
            try:
                found.append(self._seal.opened(fields[b"e"]))
            except ValueError as error:
                log.error("%s", error)
        return found

    # 4 -------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Write what waits to be; where that fails it waits on."""
        async with self._writing:  # nobody acknowledges what another is about to fail to write
            changes, keys = self._changes, self._keys
            self._changes, self._keys = [], {}
            try:
                await self._written(changes, list(keys))
            except BaseException:
                self._changes, self._keys = [*changes, *self._changes], {**keys, **self._keys}
                raise

    async def _written(self, changes: Sequence[Change], keys: Sequence[str]) -> None:
        for change in {change.key: change for change in changes}.values():
            await self._ledger.note(subject(change.key), change.note, change.lasts_s)
        now = self._clock.time()
        clusters = {cluster: None for key in keys if (cluster := self._watch.cluster_of(key)) is not None}
        looks, self._looks = self._looks, {}
        for key, look in looks.items():
            self._portraits[key] = await asyncio.to_thread(look)
            if len(self._portraits) > PORTRAITS:
                self._portraits.popitem(last=False)
        reports = [self._report(key, now) for key in keys]
        reports += [self._watch.cluster(name, now) for name in clusters]
        await asyncio.gather(
            *(
                self._client.execute("SET", report_at(report.scope, report.id), encoded(report), "EX", REPORT_S)
                for report in reports
                if report is not None
            )
        )
        for alert in [alert for change in changes for alert in change.alerts]:
            await self._client.execute("XADD", ALERTS, "MAXLEN", "~", ALERTS_KEPT, "*", "a", encoded(alert))
            self._outlet.tell([alert])

    def _report(self, key: str, now: float) -> Report | None:
        report = self._watch.report(key, now)
        if report is None:
            return None
        portrait = self._portraits.get(key, {})
        return replace(report, signals={**report.signals, **self._second.signals(key), **portrait})

    async def _cool(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            for change in self._watch.cool(self._clock.time()):
                self._changes.append(change)
                self._keys[change.key] = None
            try:
                await self._write()
            except (*FAILURES, StoreUnavailable) as error:
                log.warning("what has cooled waits for the store: %s", type(error).__name__)


def _pairs(row: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(row[::2], row[1::2], strict=True))


def _key(entry: Entry) -> str:
    told = entry.sight or entry.order
    return told.key if told is not None else ""
