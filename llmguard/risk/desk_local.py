"""Detection inside the one process that serves: a prompt is judged when it is handed in."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from llmguard.clock import Clock
from llmguard.metrics import Metrics
from llmguard.risk.desk import Holder
from llmguard.risk.outlet import Outlet
from llmguard.risk.report import Alert, Report
from llmguard.risk.sight import Sight
from llmguard.risk.standing import Standings, State, standing_of, subject
from llmguard.risk.watch import Change, Watch
from llmguard.settings import Settings
from llmguard.store.ledger import Ledger

TICK_S: Final = 1.0
AT_A_TIME: Final = 8
"""Prompts of one request that are judged before others have their turn: 1 to 2 ms."""


class LocalDesk:
    """A watch, and the ledger in which standings are noted."""

    def __init__(
        self,
        read: Callable[[str], bytes],
        watch: Watch,
        ledger: Ledger,
        standings: Standings,
        outlet: Outlet,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.read = read
        self._watch = watch
        self._ledger = ledger
        self._standings = standings
        self._outlet = outlet
        self._metrics = metrics
        self._clock = clock

    async def take(self, sights: Sequence[Sight]) -> None:
        """Judge prompts."""
        for place, sight in enumerate(sights, 1):
            if not self._watch.knows(sight.key):
                noted = await self._ledger.reserve("", (), (), subject(sight.key))
                self._watch.meet(sight, standing_of(noted.note))
            change = self._watch.see(sight)
            self._metrics.prompt_seen(sight.ids != b"")
            if change is not None:
                await self._write(change)
            if place % AT_A_TIME == 0:
                await asyncio.sleep(0)

    async def report(self, key: str) -> Report | None:
        """How a key stands now."""
        portrait = await asyncio.to_thread(self._watch.portraying(key))
        report = self._watch.report(key, self._clock.time())
        return None if report is None else replace(report, signals=report.signals | portrait)

    async def cluster(self, name: str) -> Report | None:
        """How a cluster stands now."""
        return self._watch.cluster(name, self._clock.time())

    async def alerts(self, limit: int) -> list[Alert]:
        """The last changes since the process began."""
        return self._outlet.last(limit)

    async def pardon(self, holder: Holder) -> None:
        """Forget what is held against a key."""
        self._meet(holder)
        await self._write(self._watch.pardon(holder.key, self._clock.time()))

    async def pin(self, holder: Holder, state: State | None, for_s: float | None) -> None:
        """Hold a key in a state."""
        self._meet(holder)
        now = self._clock.time()
        until = None if for_s is None or state is None else now + for_s
        await self._write(self._watch.pin(holder.key, state, until, now))

    async def run(self) -> None:
        """See what has cooled, each second."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.cool()

    async def cool(self) -> None:
        """Write down what time has changed."""
        for change in list(self._watch.cool(self._clock.time())):
            await self._write(change)
        self._metrics.standing(self._watch.states().items())

    def reload(self, settings: Settings) -> None:
        """Other policies."""
        self._watch.policies = settings.policies

    async def close(self) -> None:
        """Nothing is held."""

    def _meet(self, holder: Holder) -> None:
        if not self._watch.knows(holder.key):
            standing = self._standings.of(holder.key)
            self._watch.meet(nothing_from(holder, self._clock.time()), standing)

    async def _write(self, change: Change | None) -> None:
        if change is None:
            return
        self._standings.hear(change.key, change.note)
        await self._ledger.note(subject(change.key), change.note, change.lasts_s)
        self._outlet.tell(change.alerts)


def nothing_from(holder: Holder, now: float) -> Sight:
    """A sight of a key that has said nothing yet."""
    return Sight(now, holder.key, holder.user, holder.tenant, holder.policy, "", b"")
