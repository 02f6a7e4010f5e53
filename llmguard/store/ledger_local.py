"""The ledger of one process: every counter that is in use is an object, the others lie on a shelf.

No method waits for anything, so each is atomic in its event loop. Time is monotonic.

Counters are in two generations. One that is asked for moves into the younger; when that is full it becomes the older
one, and what is still in the older then goes to the shelf, a batch at a time. What has a reservation stays.
"""

from collections.abc import Sequence
from math import inf
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from llmguard.clock import Clock
from llmguard.store.ledger import RELEASE_S, Charges, Counter, Level, Receipt
from llmguard.store.shelf import Kept, MemoryShelf, Shelf
from llmguard.store.shelf_file import FileShelf

GENERATION: Final = 16_384
"""Counters in the younger generation: at 400 bytes each, both take 13 MB."""
BATCH: Final = 64
"""Counters moved at a time, in 0.5 ms: two for each that came, so the older generation empties before it is needed."""
LONG_S: Final = 3600.0
"""From this length on, a window outlives the process where the store has a file."""

Windows: TypeAlias = list[Kept]


class Account(msgspec.Struct, frozen=True, gc=False):
    """What some charges come down to: their windows and limits, and the places of these.

    The loops that every request passes go by place: to walk along three lists at once takes twice as long.
    """

    windows: Windows
    limits: list[int]
    places: range


class LocalLedger:
    """The ledger in this process's memory; with `durable`, its long windows are also there.

    A reservation that is open when the process is killed is spent in full in a durable window; a level's is free.
    """

    def __init__(self, *, clock: Clock, durable: FileShelf | None = None, generation: int = GENERATION) -> None:
        self._monotonic = clock.monotonic
        self._offset = durable.offset if durable else 0.0
        self._memory = MemoryShelf()
        self._durable = durable
        self._generation = generation
        self._batch = min(BATCH, generation)
        self._young: dict[Counter, Kept] = {}
        self._old: dict[Counter, Kept] = {}
        self._came = 0
        self._accounts: dict[Charges, Account] = {}
        self._held: dict[str, tuple[Account, Sequence[int]]] = {}
        self._notes: dict[str, tuple[str, float]] = {}
        self._notes_before_sweep = GENERATION

    async def reserve(self, id: str, charges: Charges, amounts: Sequence[int], about: str | None = None) -> Receipt:
        """Hold all amounts or none; one reservation that is asked for twice is held once."""
        now = self._monotonic() + self._offset
        if self._durable and self._durable.failed:
            self._durable.check()
        note = None if about is None else self._noted(about)
        account = self._accounts.get(charges) or self._account(charges, now)
        windows, limits = account.windows, account.limits
        if not charges or id in self._held:
            return _receipt(windows, charges, now, note)
        left, over = [*limits], False
        for place in account.places:
            window = windows[place]
            if now >= window.leaves:
                window.purge(now)
            if window.saved:
                self._mark(window)
            reserved = window.reserved = window.reserved + amounts[place]
            rest = left[place] = limits[place] - window.spent - reserved
            if rest < 0:
                over = True
        if over and (exceeded := _exceeded(charges, amounts, left)):
            return self._refuse(windows, charges, amounts, exceeded, now, note)
        self._held[id] = account, amounts
        return Receipt(left, (), None, note) if 0 not in amounts else _receipt(windows, charges, now, note)

    async def settle(self, id: str, actual: Sequence[int]) -> None:
        """Spend what was really used, now, and let go of the rest."""
        held = self._held.pop(id, None)
        if held is None:
            return
        now = self._monotonic() + self._offset
        account, amounts = held
        windows = account.windows
        for place in account.places:
            window, used = windows[place], actual[place]
            window.reserved -= amounts[place]
            if window.saved:
                self._mark(window)
            if used:
                if now < window.open_until:
                    window.spent += used
                    window.gone = now + window.every_s
                else:
                    self._spend(window, used, now)

    async def keep(self) -> None:
        """Nothing to do: what is held here ends with its process."""

    async def levels(self, counters: Sequence[Counter]) -> list[Level]:
        """How they stand now."""
        now = self._monotonic() + self._offset
        found = [_level(self._window(counter), now) for counter in counters]
        self._move(now)
        return found

    async def reset(self, counters: Sequence[Counter]) -> None:
        """Empty the windows."""
        for window in [self._window(counter) for counter in counters]:
            window.clear()
            if window.saved:
                self._mark(window)

    async def grant(self, counter: Counter, amount: int) -> None:
        """Spend a negative amount."""
        now = self._monotonic() + self._offset
        window = self._window(counter)
        window.grant(amount, now)
        if window.saved:
            self._mark(window)

    async def note(self, subject: str, text: str | None, lasts_s: float) -> None:
        """Keep a note in memory."""
        now = self._monotonic()
        if text is None:
            self._notes.pop(subject, None)
            return
        if len(self._notes) >= self._notes_before_sweep:
            self._notes = {name: kept for name, kept in self._notes.items() if kept[1] > now}
            self._notes_before_sweep = max(GENERATION, 2 * len(self._notes))
        self._notes[subject] = text, now + lasts_s

    async def close(self) -> None:
        """Forget everything that no file keeps; what one keeps is written. Raises `StoreUnavailable`."""
        self._memory.close()
        if self._durable:
            await self._durable.close()

    def _noted(self, subject: str) -> str | None:
        kept = self._notes.get(subject)
        return kept[0] if kept is not None and kept[1] > self._monotonic() else None

    def _refuse(
        self,
        windows: Windows,
        charges: Charges,
        amounts: Sequence[int],
        exceeded: tuple[int, ...],
        now: float,
        note: str | None,
    ) -> Receipt:
        """Give back what was just held; say what did not fit, and when it will."""
        for window, amount in zip(windows, amounts, strict=True):
            window.reserved -= amount
        waits = [_wait(windows[place], amounts[place] - charges[place].limit, now) for place in exceeded]
        retry_after_s = max((wait for wait in waits if wait is not None), default=None)
        if None in waits:
            retry_after_s = None
        return replace(_receipt(windows, charges, now, note), exceeded=exceeded, retry_after_s=retry_after_s)

    def _spend(self, window: Kept, amount: int, now: float) -> None:
        # A charge of nothing does not keep its counter from the shelf.
        current = self._window(window.counter) if window.shelved else window
        current.spend(amount, now)
        if current.saved:
            self._mark(current)

    def _account(self, charges: Charges, now: float) -> Account:
        """The windows of some charges, kept until the younger generation is the older."""
        if self._came >= self._batch:
            self._move(now)
        if len(self._accounts) >= self._generation:
            self._accounts.clear()
        windows = [self._window(charge.counter) for charge in charges]
        found = Account(windows, [charge.limit for charge in charges], range(len(charges)))
        self._accounts[charges] = found
        return found

    def _window(self, counter: Counter) -> Kept:
        return self._young.get(counter) or self._find(counter)

    def _find(self, counter: Counter) -> Kept:
        """A counter that is not in the younger generation."""
        window = self._old.pop(counter, None)
        if window is None:
            window = self._shelf(counter).take(counter)
        self._young[counter] = window
        self._came += 1
        return window

    def _shelf(self, counter: Counter) -> Shelf:
        long = not counter.level and (counter.every_s is None or counter.every_s >= LONG_S)
        return self._durable if self._durable and long else self._memory

    def _mark(self, window: Kept) -> None:
        if self._durable:
            self._durable.mark(window)

    def _move(self, now: float) -> None:
        """Take a batch of the older generation to the shelves, or begin a new one."""
        if not self._old:
            if len(self._young) >= self._generation:
                self._young, self._old = {}, self._young
                self._accounts.clear()
            self._came = 0
            return
        self._came = max(0, self._came - self._batch)
        batch = [self._old.popitem()[1] for _ in range(min(2 * self._batch, len(self._old)))]
        self._young.update((window.counter, window) for window in batch if window.reserved)
        idle = [window for window in batch if not window.reserved]
        if self._durable:
            self._durable.put([window for window in idle if self._shelf(window.counter) is self._durable], now)
        self._memory.put([window for window in idle if self._shelf(window.counter) is self._memory], now)
        for window in idle:
            window.shelved = True
            window.saved = False
            window.open_until = -inf


def _level(window: Kept, now: float) -> Level:
    if now >= window.leaves:
        window.purge(now)
    gone = window.gone
    return Level(window.spent, window.reserved, 0.0 if gone <= now else gone - now if gone < inf else None)


def _receipt(windows: Windows, charges: Charges, now: float, note: str | None) -> Receipt:
    """How the counters stand."""
    levels = tuple([_level(window, now) for window in windows])
    left = [charge.limit - level.spent - level.reserved for charge, level in zip(charges, levels, strict=True)]
    return Receipt(left, (), None, note, levels)


def _exceeded(charges: Charges, amounts: Sequence[int], left: Sequence[int]) -> tuple[int, ...]:
    """The places of what does not fit."""
    asked = enumerate(zip(charges, amounts, left, strict=True))
    return tuple([place for place, (charge, amount, rest) in asked if rest < 0 and amount and not charge.forced])


def _wait(window: Kept, beyond: int, now: float) -> float | None:
    """Seconds until an amount fits that is so much `beyond` the limit, counting on the end of running requests only
    where nothing else helps.
    """
    excess = window.spent + beyond
    wait = 0.0 if excess + window.reserved <= 0 else window.wait(excess + window.reserved, now)
    if wait is not None:
        return wait
    wait = 0.0 if excess <= 0 else window.wait(excess, now)
    return None if wait is None else max(RELEASE_S, wait)
