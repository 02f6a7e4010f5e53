"""Files on their way into stores, worked on beside the requests; and what has expired."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from llmguard.clock import Clock
from llmguard.errors import GuardError
from llmguard.services.library import WORKERS, Library

log = logging.getLogger(__name__)

TRIES = 10
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
SWEEP_S, MAINTAIN_S = 60.0, 300.0
SERVER_ERROR = "the file could not be embedded; put it in again later"


@dataclass(frozen=True, slots=True)
class Failed:
    """How often an entry was tried, and when it may be again, in the clock's monotonic time."""

    tries: int
    again: float


class Ingestion:
    """Works on the files that the library says are unfinished, a tenant's after another's, until each has an end.

    One that fails for a reason of the guard's (the model is down, the disk is full) is tried again, later and later,
    and fails with a reason in the end: nothing stays in progress for ever.
    """

    def __init__(self, library: Library, clock: Clock) -> None:
        self._library = library
        self._clock = clock
        self._poke = asyncio.Event()
        self._looking = asyncio.Lock()
        self._turns: deque[int] = deque()
        self._new = True
        self._busy: set[int] = set()
        self._failed: dict[int, Failed] = {}
        self._changed: set[int] = set()
        self._maintained = clock.monotonic()

    def poke(self) -> None:
        """There is something to do."""
        self._new = True
        self._poke.set()

    async def keep(self) -> None:
        """Work, and tidy up, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())
            group.create_task(self._keep_tidy())

    async def _work(self) -> None:
        while True:
            self._poke.clear()  # and then look: what is poked after this is looked for again
            entry, pause = await self._next()
            if entry is None:
                await self._rest(pause)
                continue
            try:
                await self._one(entry)
            finally:
                self._busy.discard(entry)

    async def _next(self) -> tuple[int | None, float | None]:
        """The next entry, which is busy from now on, or how long until one may be tried again."""
        async with self._looking:
            if self._new or not self._turns:
                try:
                    await self._look()
                except GuardError:
                    return None, FIRST_PAUSE_S
            if self._turns:
                entry = self._turns.popleft()
                self._busy.add(entry)
                return entry, None
        now = self._clock.monotonic()
        return None, min((failed.again - now for failed in self._failed.values()), default=None)

    async def _look(self) -> None:
        """Read what is unfinished, once for all who are free: for every file it would take half of a file's time."""
        self._new = False  # and then read: what comes after this is looked for again
        try:
            unfinished = await self._library.do(self._library.entries.turns)
        except BaseException:
            self._new = True
            raise
        now = self._clock.monotonic()
        self._failed = {entry: failed for entry, failed in self._failed.items() if entry in unfinished}
        early = {entry for entry, failed in self._failed.items() if failed.again > now}
        self._turns = deque(entry for entry in unfinished if entry not in self._busy and entry not in early)
        if len(self._turns) > 1:
            self._poke.set()  # whoever rests may have missed what this one found

    async def _poked(self) -> None:
        await self._poke.wait()

    async def _rest(self, pause: float | None) -> None:
        """Until there is something to do, or a pause is over."""
        async with asyncio.TaskGroup() as group:
            waits: set[asyncio.Task[object]] = {group.create_task(self._poked())}
            if pause is not None:
                waits.add(group.create_task(self._clock.sleep_until(self._clock.monotonic() + pause)))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _one(self, entry: int) -> None:
        work = self._library.begin(entry)
        await asyncio.wait([work])
        error = work.exception()
        if error is None:
            if (store := work.result()) is not None:
                self._changed.add(store)
            return
        tries = self._failed[entry].tries + 1 if entry in self._failed else 1
        log.warning("a file could not be put into its store (attempt %d): %s", tries, type(error).__name__)
        pause = min(FIRST_PAUSE_S * 2**tries, LONGEST_PAUSE_S)
        self._failed[entry] = Failed(tries, self._clock.monotonic() + pause)
        self._new = True
        if tries == TRIES:
            await self._give_up(entry)

    async def _give_up(self, entry: int) -> None:
        entries = self._library.entries
        try:
            pending = await self._library.do(entries.work, entry)
            if pending is not None:
                await self._library.do(entries.fail, pending, SERVER_ERROR)
        except GuardError:  # the disk, still: the next attempt ends here again
            self._failed[entry] = Failed(TRIES - 1, self._clock.monotonic() + LONGEST_PAUSE_S)

    async def _keep_tidy(self) -> None:
        while True:
            await self.tidy()
            await asyncio.sleep(SWEEP_S)

    async def tidy(self) -> None:
        """Delete what has expired; now and then keep the indexes small and their snapshots fresh."""
        now = self._clock.monotonic()
        due = now - self._maintained >= MAINTAIN_S
        changed: set[int] = set()
        if due:
            changed, self._changed, self._maintained = self._changed, changed, now
        try:
            await self._library.do(self._library.sweep, changed)
        except GuardError:
            self._changed |= changed
            log.warning("what has expired could not be deleted yet")
