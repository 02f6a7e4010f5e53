"""The shelf of the windows that outlive the process: rows of the store's file, written behind.

Its time goes on where the last process's stopped: between two processes by the wall clock, which counts as standing
still where it went back; within one by the monotonic clock alone.
"""

import asyncio
import logging
import sqlite3
import struct
from collections.abc import Iterable
from concurrent.futures import Executor
from typing import Final

from llmguard.clock import Clock
from llmguard.store.ledger import Counter
from llmguard.store.shelf import Kept, row
from llmguard.store.store import StoreUnavailable
from llmguard.store.window import Window

log = logging.getLogger(__name__)

DELAY_S: Final = 0.5
"""From a change to the write that holds it, which leaves as much for the write."""
PATIENCE_S: Final = 1.0
"""For how long writes may fail before nothing further is held, as it would be lost."""
ROWS: Final = 1000
"""Windows packed at a time, in 3 ms."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS counters (id INTEGER PRIMARY KEY, ends INTEGER, runs BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS counters_ends ON counters (ends) WHERE ends IS NOT NULL;
CREATE TABLE IF NOT EXISTS ledger_clock (id INTEGER PRIMARY KEY, ledger REAL NOT NULL, wall REAL NOT NULL);
"""
CLOCK = "SELECT ledger, wall FROM ledger_clock"
SET_CLOCK = "INSERT OR REPLACE INTO ledger_clock VALUES (0, ?, ?)"
GET = "SELECT runs FROM counters WHERE id = ?"
PUT = "INSERT OR REPLACE INTO counters VALUES (?, ?, ?)"
DROP = "DELETE FROM counters WHERE id = ?"
SWEEP = f"DELETE FROM counters WHERE id IN (SELECT id FROM counters WHERE ends <= ? LIMIT {2 * ROWS})"  # noqa: S608  a constant
FAILURES = (sqlite3.Error, struct.error, ValueError)

Row = tuple[int, int | None, bytes]


class FileShelf:
    """A shelf in a file. `reader` is used in the event loop, `writer` in `thread` alone.

    `offset` is what is added to monotonic time to make the ledger's. `failed`: since when writes have failed, and why.
    Raises `sqlite3.Error`.
    """

    def __init__(
        self, reader: sqlite3.Connection, writer: sqlite3.Connection, thread: Executor, *, clock: Clock
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._thread = thread
        self._clock = clock
        self._changed: list[Kept] = []
        self._next: dict[int, Row] = {}
        self._saving: dict[int, Row] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._write: asyncio.Future[None] | None = None
        self.failed: tuple[float, BaseException] | None = None
        ledger, wall = reader.execute(CLOCK).fetchone() or (0.0, clock.time())
        self.offset: float = ledger + max(0.0, clock.time() - wall) - clock.monotonic()

    def take(self, counter: Counter) -> Kept:
        """The counter's window: as it waits to be written, or as it is in the file."""
        window = Kept(counter)
        id = window.id
        try:
            found = self._next.get(id) or self._saving.get(id) or self._reader.execute(GET, (id,)).fetchone()
            if found and found[-1]:
                window.unpack(found[-1])
        except FAILURES as error:
            raise StoreUnavailable("the store's file cannot be read") from error
        window.saved = True
        return window

    def put(self, windows: Iterable[Kept], now: float) -> None:
        """Pack what changed and waits for the next write; the others are in the file."""
        for window in windows:
            if not window.saved:
                self._pack(window, now)

    def mark(self, window: Kept) -> None:
        """Write the window, as it then is, `DELAY_S` from now."""
        window.saved = False
        self._changed.append(window)
        if self._timer is None and self._write is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self._flush)

    def check(self) -> None:
        """Raise `StoreUnavailable` where writes have failed for too long."""
        if self.failed and self._clock.monotonic() - self.failed[0] >= PATIENCE_S:
            raise StoreUnavailable("what is spent cannot be written") from self.failed[1]

    async def close(self) -> None:
        """Write everything. Raises `StoreUnavailable` where that fails."""
        while self._changed or self._next or self._write:
            if self._write is None:
                self._flush()
            if self._write is not None:
                await asyncio.wait([self._write])
            if self.failed and self._write is None:
                break
        if self._timer:
            self._timer.cancel()
        if self.failed:
            raise StoreUnavailable("what is spent cannot be written") from self.failed[1]

    def _flush(self) -> None:
        """Begin to write what has changed, the longest waiting first."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        now = self._clock.monotonic() + self.offset
        for window in self._changed[:ROWS]:
            if not (window.saved or window.shelved):
                self._pack(window, now)
                window.saved = True
        self._changed = self._changed[ROWS:]
        self._saving, self._next = self._next, {}
        loop = asyncio.get_running_loop()
        self._write = loop.run_in_executor(self._thread, self._save, list(self._saving.values()), now)
        self._write.add_done_callback(self._saved)

    def _saved(self, write: asyncio.Future[None]) -> None:
        self._write = None
        error = write.exception()
        if error is None:
            self.failed = None
        else:
            log.error("what is spent cannot be written: %s", error)
            self.failed = self.failed or (self._clock.monotonic(), error)
            self._next = {**self._saving, **self._next}
        self._saving = {}
        if self._changed or self._next:
            delay_s = 0.0 if len(self._changed) >= ROWS else DELAY_S
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._flush)

    def _pack(self, window: Kept, now: float) -> None:
        """Make a window's row, in which what is reserved is spent: should the process be killed, it is."""
        packed: Window = window
        if window.reserved and not window.counter.level:
            packed = Window(window.every_s).unpack(window.pack())
            packed.spend(window.reserved, now)
        self._next[window.id] = row(window.id, packed)

    def _save(self, rows: list[Row], now: float) -> None:
        with self._writer as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            transaction.executemany(PUT, [row for row in rows if row[2]])
            transaction.executemany(DROP, [row[:1] for row in rows if not row[2]])
            transaction.execute(SWEEP, (int(now),))
            transaction.execute(SET_CLOCK, (now, self._clock.time()))
