"""A durable store in one directory on a local disk: SQLite, which several processes may use at once.

Two connections. The reader serves the request path inline: one row by its key costs
10 µs, less than a thread switch does, and in WAL mode a reader never waits for a
writer. The writer belongs to a thread of its own, because a commit waits for the
disk and for other processes: one thread, not `asyncio.to_thread`, so that a write
whose caller gave up is finished before the next begins.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from llmguard.clock import Clock
from llmguard.store import phrases_file, shelf_file
from llmguard.store.ledger_local import LocalLedger
from llmguard.store.phrases_file import FilePhrases
from llmguard.store.shelf_file import FileShelf
from llmguard.store.store import KeyConflict, KeyRecord, StoreUnavailable, by_age, present

FILE = "llmguard.sqlite3"
OPEN_S = 5.0
"""How long opening may wait for another process that is creating the same file."""
DISK_S = 2.0
"""The least that a write may take: a sync to a busy disk takes longer than a network store may.

Only administration writes; for the lock it waits no longer than the store's timeout."""
RECOVERY_S = 0.005
"""How long a read, which holds up the event loop, may wait: for another process that mends the log
after a crash, the one lock that shuts out readers."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, gone_at REAL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_gone_at ON keys (gone_at) WHERE gone_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS lookups (
    lookup TEXT PRIMARY KEY, id TEXT NOT NULL REFERENCES keys ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lookups_id ON lookups (id);
"""
FIND = "SELECT record FROM lookups JOIN keys USING (id) WHERE lookup = ?"
GET = "SELECT record FROM keys WHERE id = ?"
LIST = "SELECT record FROM keys"
FAILURES = (sqlite3.Error, msgspec.MsgspecError, OSError)

T = TypeVar("T")


class FileStore:
    """A store in `directory`, which is made where it is missing, for this user alone.

    `timeout_s` bounds the wait for another process's lock. Raises `StoreUnavailable`
    where the file cannot be opened or is none of ours.
    """

    def __init__(self, directory: Path, *, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._write_s = max(timeout_s, DISK_S)
        self._decoder = msgspec.json.Decoder(KeyRecord)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmguard-store")
        try:
            path = _prepare(directory)
            self._writer = _open(path, busy_s=timeout_s)
            self._reader = _open(path, busy_s=RECOVERY_S)
            shelf = FileShelf(self._reader, self._writer, self._thread, clock=clock)
        except FAILURES as error:
            raise StoreUnavailable("the store's file cannot be opened") from error
        self._ledger = LocalLedger(clock=clock, durable=shelf)
        self._phrases = FilePhrases(self._writer, self._thread, clock=clock)

    @property
    def ledger(self) -> LocalLedger:
        """The quotas' counters."""
        return self._ledger

    @property
    def phrases(self) -> FilePhrases:
        """What is remembered of answers."""
        return self._phrases

    async def put_key(self, record: KeyRecord) -> None:
        """Add a key, and delete those that are gone."""
        await self._write(lambda: self._put(record))

    async def find_key(self, lookup: str) -> KeyRecord | None:
        """The key that has a secret with this lookup."""
        return next(iter(await self._read(FIND, lookup)), None)

    async def get_key(self, id: str) -> KeyRecord | None:
        """The key with this id."""
        return next(iter(await self._read(GET, id)), None)

    async def list_keys(self) -> list[KeyRecord]:
        """All keys, the oldest first."""
        return sorted(await self._write(lambda: self._select(self._writer, LIST)), key=by_age)

    async def update_key(self, id: str, change: Callable[[KeyRecord], KeyRecord]) -> KeyRecord | None:
        """Replace a key by `change` of it, in one transaction."""
        return await self._write(lambda: self._update(id, change))

    async def ping(self) -> None:
        """Read the file."""
        await self._read(GET, "")

    async def close(self) -> None:
        """Close the file, after the write that may still run and that of what was spent."""
        try:
            await self._ledger.close()
        finally:
            await self._write(self._writer.close)
            self._thread.shutdown(wait=False)
            self._reader.close()

    async def _read(self, query: str, value: str) -> list[KeyRecord]:
        try:
            return self._select(self._reader, query, value)
        except FAILURES as error:
            raise StoreUnavailable("the store's file cannot be read") from error

    async def _write(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._write_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.IntegrityError as error:
            raise KeyConflict("another key has this id or this secret") from error
        except FAILURES as error:
            raise StoreUnavailable("the store's file cannot be written") from error

    def _select(self, connection: sqlite3.Connection, query: str, *values: str) -> list[KeyRecord]:
        now = self._clock.time()
        records = (self._decoder.decode(row[0]) for row in connection.execute(query, values).fetchall())
        return [record for record in records if present(record, now)]

    def _put(self, record: KeyRecord) -> None:
        with self._writer as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            transaction.execute("DELETE FROM keys WHERE gone_at <= ?", (self._clock.time(),))
            row = (record.id, record.gone_at, msgspec.json.encode(record))
            transaction.execute("INSERT INTO keys VALUES (?, ?, ?)", row)
            self._insert_lookups(record)

    def _update(self, id: str, change: Callable[[KeyRecord], KeyRecord]) -> KeyRecord | None:
        with self._writer as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            found = self._select(transaction, GET, id)
            if not found:
                return None
            record = change(found[0])
            row = (record.gone_at, msgspec.json.encode(record), id)
            transaction.execute("UPDATE keys SET gone_at = ?, record = ? WHERE id = ?", row)
            transaction.execute("DELETE FROM lookups WHERE id = ?", (id,))
            self._insert_lookups(record)
            return record

    def _insert_lookups(self, record: KeyRecord) -> None:
        rows = [(secret.lookup, record.id) for secret in record.secrets]
        self._writer.executemany("INSERT INTO lookups VALUES (?, ?)", rows)


def _prepare(directory: Path) -> Path:
    """Make the directory (0700) and the file (0600; what SQLite puts beside it inherits that)."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / FILE
    # Only a file that is not there is opened here: closing one that this process
    # has open elsewhere would drop the locks that SQLite holds on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return path


def _open(path: Path, *, busy_s: float) -> sqlite3.Connection:
    """A connection in autocommit mode that then waits `busy_s` for locks, and syncs every commit.

    The driver's own check of threads is off because one thread opens what another uses;
    never do two use one connection at a time.
    """
    connection = sqlite3.connect(path, timeout=OPEN_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a revocation must outlive a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript(SCHEMA + shelf_file.SCHEMA + phrases_file.SCHEMA)
    connection.execute(f"PRAGMA busy_timeout = {round(busy_s * 1000)}")
    return connection
