"""Where a ledger puts the counters that nobody has used for a while: SQLite's rows take a tenth of Python's objects."""

import sqlite3
from collections.abc import Iterable
from hashlib import blake2b
from math import ceil, inf
from typing import Final, Protocol

from llmguard.store.ledger import Counter
from llmguard.store.window import Window

SWEPT: Final = 2
"""Rows looked at for each that is put on the shelf: what has ended is there at most as often as what has not."""
SPACE: Final = 2**64

SCHEMA = "CREATE TABLE counters (id INTEGER PRIMARY KEY, ends INTEGER, runs BLOB NOT NULL)"
PUT = "INSERT OR REPLACE INTO counters VALUES (?, ?, ?)"
TAKE = "DELETE FROM counters WHERE id = ? RETURNING runs"
SWEEP = "DELETE FROM counters WHERE id BETWEEN ? AND ? AND ends <= ?"


class Kept(Window):
    """The window of `counter` as a ledger keeps it.

    `saved`: what the shelf has is how it stands, and the ledger marks the next change. `shelved`: the ledger has
    dropped this object.
    """

    __slots__ = ("counter", "id", "saved", "shelved")

    def __init__(self, counter: Counter) -> None:
        super().__init__(inf if counter.every_s is None else counter.every_s)
        self.counter = counter
        self.id = row_id(counter)
        self.saved = False
        self.shelved = False


class Shelf(Protocol):
    """Windows by their counters. Both methods may hold up the event loop, for microseconds a window."""

    def take(self, counter: Counter) -> Kept:
        """The counter's window, an empty one where none is here. Raises `StoreUnavailable`."""
        ...

    def put(self, windows: Iterable[Kept], now: float) -> None:
        """Keep windows without reservations that the ledger drops."""
        ...


class MemoryShelf:
    """A shelf in memory, of about 60 bytes a window with one run."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for statement in ("PRAGMA journal_mode = OFF", "PRAGMA temp_store = MEMORY", SCHEMA):
            self._rows.execute(statement)
        self._count = 0
        self._place = 0

    def __len__(self) -> int:
        return self._count

    def take(self, counter: Counter) -> Kept:
        """The counter's window, which is no longer here then."""
        window = Kept(counter)
        found = self._rows.execute(TAKE, (window.id,)).fetchall()
        if found:
            self._count -= 1
            window.unpack(found[0][0])
        return window

    def put(self, windows: Iterable[Kept], now: float) -> None:
        """Keep what still counts, and drop some of what no longer does."""
        rows = [row(window.id, window) for window in windows if window.ends > now]
        self._rows.executemany(PUT, rows)
        self._count += len(rows)
        self._sweep(SWEPT * len(rows) + SWEPT, now)

    def close(self) -> None:
        """Forget everything."""
        self._rows.close()

    def _sweep(self, rows: int, now: float) -> None:
        """Drop what has ended among the next `rows` rows or so: ids are hashes, evenly spread."""
        width = min(SPACE, SPACE * rows // max(1, self._count))
        first = self._place
        last = min(first + width, SPACE) - 1
        self._place = (last + 1) % SPACE
        half = SPACE // 2
        self._count -= self._rows.execute(SWEEP, (first - half, last - half, int(now))).rowcount


def row_id(counter: Counter) -> int:
    """A counter's 64 bits: among 10^7 counters two are one with a probability of 3e-6."""
    name = f"{counter.subject}{{{counter.measure}}}{counter.every_s}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


def row(id: int, window: Window) -> tuple[int, int | None, bytes]:
    """A window as a row; `ends` is the second by which it has left, None for never; no bytes for an empty one."""
    ends = window.ends
    if ends == -inf:
        return id, 0, b""
    return id, None if ends == inf else ceil(ends), window.pack()
