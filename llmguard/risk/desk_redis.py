"""Detection by workers behind Redis: prompts are sent on, and what the workers found is read."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import MsgspecError
from msgspec.structs import replace

from llmguard.clock import Clock
from llmguard.metrics import Metrics
from llmguard.risk.desk import Holder
from llmguard.risk.post import ALERTS, Entry, Order, Seal, alert_in, owner_of, part_of, report_at, report_in, stream_of
from llmguard.risk.report import Alert, Report
from llmguard.risk.response import reply
from llmguard.risk.sight import Sight
from llmguard.risk.standing import NORMAL, Standing, Standings, State, note_of, standing_of, subject
from llmguard.settings import Settings
from llmguard.store.ledger import Ledger
from llmguard.store.ledger_redis import FAILURES
from llmguard.store.redis_client import RedisClient
from llmguard.store.store import StoreUnavailable
from llmguard.store.stream_redis import StreamWriter

log = logging.getLogger(__name__)

LOOK_S: Final = 10.0
AT_A_TIME: Final = 64
"""Prompts of one request that are sealed before others have their turn: 1 ms."""
KEPT_S: Final = 30 * 86_400.0


class RedisDesk:
    """Sends to the streams of `post`; nothing of a request waits for it."""

    def __init__(
        self,
        read: Callable[[str], bytes],
        client: RedisClient,
        writer: StreamWriter,
        seal: Seal,
        ledger: Ledger,
        standings: Standings,
        settings: Settings,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.read = read
        self._client = client
        self._writer = writer
        self._seal = seal
        self._ledger = ledger
        self._standings = standings
        self._settings = settings
        self._timeout_s = settings.store.timeout_ms / 1000
        self._metrics = metrics
        self._clock = clock
        self._unworked: set[int] = set()
        self._sent: set[int] = set()

    async def take(self, sights: Sequence[Sight]) -> None:
        """Send prompts on."""
        for place, sight in enumerate(sights, 1):
            part = part_of(sight.tenant)
            self._sent.add(part)
            self._writer.append(stream_of(part), self._seal.sealed(Entry(sight=sight)))
            self._metrics.prompt_seen(sight.ids != b"")
            if place % AT_A_TIME == 0:
                await asyncio.sleep(0)

    async def report(self, key: str) -> Report | None:
        """How a key stood after the last prompt that was judged, in the state of now."""
        report = await self._report("key", key)
        return None if report is None else await self._now(report)

    async def cluster(self, name: str) -> Report | None:
        """How a cluster stood."""
        return await self._report("cluster", name)

    async def alerts(self, limit: int) -> list[Alert]:
        """The last changes that any worker found."""
        entries = await self._ask("XREVRANGE", ALERTS, "+", "-", "COUNT", limit)
        return [alert_in(fields[b"a"]) for _, fields in entries]

    async def pardon(self, holder: Holder) -> None:
        """Forget what is held against a key: at once here, and its evidence where it is kept."""
        await self._note(holder.key, NORMAL)
        self._order(holder, Order("pardon", self._clock.time(), holder))

    async def pin(self, holder: Holder, state: State | None, for_s: float | None) -> None:
        """Hold a key in a state, at once."""
        now = self._clock.time()
        until = None if for_s is None or state is None else now + for_s
        standing = await self._standing(holder.key)
        await self._note(holder.key, replace(standing, pinned=state, pinned_until=until))
        self._order(holder, Order("pin", now, holder, state, until))

    async def run(self) -> None:
        """Say it where prompts are sent and nobody judges them."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """See whether every part that prompts were sent to has a worker."""
        try:
            without = {part for part in self._sent if not await self._ask("EXISTS", owner_of(part))}
        except StoreUnavailable:
            return
        if without - self._unworked:
            log.error("no worker judges the prompts of %d parts: run `llmguard detect-worker`", len(without))
        self._unworked = without

    def reload(self, settings: Settings) -> None:
        """Other policies decide what a standing means."""
        self._settings = settings

    async def close(self) -> None:
        """Close the connections."""
        await self._writer.close()
        await self._client.close()

    async def _report(self, scope: str, id: str) -> Report | None:
        found = await self._ask("GET", report_at(scope, id))
        try:
            return None if found is None else report_in(found)
        except MsgspecError:  # of a later version
            return None

    async def _now(self, report: Report) -> Report:
        """The report with what time and operators have changed since."""
        standing = await self._standing(report.id)
        state: State = "normal"
        policy = self._settings.policies.get(report.policy)
        if policy is not None and policy.prompts is not None and not report.excused:
            state = reply(standing, policy.prompts.respond, self._clock.time()).state
        return replace(report, state=state, pinned=standing.pinned is not None, strikes=standing.strikes)

    async def _standing(self, key: str) -> Standing:
        return standing_of((await self._ledger.reserve("", (), (), subject(key))).note)

    async def _note(self, key: str, standing: Standing) -> None:
        note = note_of(standing)
        await self._ledger.note(subject(key), note, KEPT_S)
        self._standings.hear(key, note)

    def _order(self, holder: Holder, order: Order) -> None:
        self._writer.append(stream_of(part_of(holder.tenant)), self._seal.sealed(Entry(order=order)))

    async def _ask(self, *command: str | bytes | float) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._client.execute(*command)
        except FAILURES as error:
            raise StoreUnavailable("Redis failed or did not answer in time") from error
