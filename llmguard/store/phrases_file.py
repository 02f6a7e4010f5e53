"""Hashes of phrases in the store's file."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final, TypeVar

from llmguard.clock import Clock
from llmguard.store.phrases import ROOM, Entry, period, periods
from llmguard.store.store import StoreUnavailable

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS phrases (
    period TEXT NOT NULL, phrase BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (period, phrase)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS phrase_periods (period TEXT PRIMARY KEY, ends REAL NOT NULL) WITHOUT ROWID;
"""
COUNT = "SELECT count(*) FROM phrases WHERE period = ?"
PUT = "INSERT OR REPLACE INTO phrases VALUES (?, ?, ?)"
PUT_PERIOD = "INSERT OR IGNORE INTO phrase_periods VALUES (?, ?)"
FORGET = "DELETE FROM phrases WHERE period IN (SELECT period FROM phrase_periods WHERE ends <= ?)"
FORGET_PERIODS = "DELETE FROM phrase_periods WHERE ends <= ?"
FIND = "SELECT value FROM phrases JOIN phrase_periods USING (period) WHERE period = ? AND phrase = ? AND ends > ?"

T = TypeVar("T")


class FilePhrases:
    """Rows of the store's file. `writer` is used in `thread` alone."""

    def __init__(self, writer: sqlite3.Connection, thread: Executor, *, clock: Clock, room: int = ROOM) -> None:
        self._writer = writer
        self._thread = thread
        self._clock = clock
        self._room = room
        self._counts: dict[str, int] = {}

    async def add(self, entries: Sequence[Entry]) -> None:
        """Keep these in one transaction, and forget what has ended."""
        await self._run(lambda: self._add(entries))

    async def find(self, phrases: Sequence[bytes], durations_s: Sequence[float]) -> list[bytes]:
        """What the hashes lead to."""
        return await self._run(lambda: self._find(phrases, durations_s))

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, RuntimeError) as error:  # RuntimeError: the store is closed
            raise StoreUnavailable("the store's file cannot be used") from error

    def _add(self, entries: Sequence[Entry]) -> None:
        now = self._clock.time()
        with self._writer as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            transaction.execute(FORGET, (now,))
            transaction.execute(FORGET_PERIODS, (now,))
            for entry in entries:
                name, ends = period(now, entry.lasts_s)
                if name not in self._counts:
                    self._counts = {name: transaction.execute(COUNT, (name,)).fetchone()[0]}
                if self._counts[name] + len(entry.phrases) > self._room:
                    continue
                self._counts[name] += len(entry.phrases)
                transaction.execute(PUT_PERIOD, (name, ends))
                transaction.executemany(PUT, [(name, phrase, entry.value) for phrase in entry.phrases])

    def _find(self, phrases: Sequence[bytes], durations_s: Sequence[float]) -> list[bytes]:
        now = self._clock.time()
        known = {name for (name,) in self._writer.execute("SELECT period FROM phrase_periods")}
        return [
            value
            for name in periods(now, durations_s)
            if name in known
            for phrase in phrases
            for (value,) in self._writer.execute(FIND, (name, phrase, now))
        ]
