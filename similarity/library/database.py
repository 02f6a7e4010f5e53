"""One SQLite file in WAL mode: one writer at a time, and a reader for each thread, which never waits for it.

A transaction that has ended is on the disk (synchronous=FULL): a process that is killed, or a machine
that loses power, loses nothing that was acknowledged.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "similarity.sqlite3"
BUSY_S = 10.0
PAGES = -4_096
"""Cache of a connection, in KiB; each of some forty threads has one."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS stores (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, name TEXT NOT NULL,
    created_at INTEGER NOT NULL, active_at INTEGER NOT NULL, expires_days INTEGER, expires_at INTEGER,
    metadata BLOB NOT NULL, share TEXT, content TEXT NOT NULL, description TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS stores_tenant ON stores (tenant, seq);
CREATE INDEX IF NOT EXISTS stores_expiry ON stores (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, filename TEXT NOT NULL,
    purpose TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER, bytes INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS files_tenant ON files (tenant, seq);
CREATE INDEX IF NOT EXISTS files_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS contents (
    file INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE, content BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    store INTEGER NOT NULL REFERENCES stores ON DELETE CASCADE,
    file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    status TEXT NOT NULL, error TEXT, created_at INTEGER NOT NULL, usage_bytes INTEGER NOT NULL DEFAULT 0,
    chunk_tokens INTEGER NOT NULL, overlap_tokens INTEGER NOT NULL, automatic INTEGER NOT NULL,
    attributes BLOB NOT NULL, UNIQUE (store, file)
);
CREATE INDEX IF NOT EXISTS entries_file ON entries (file);
CREATE INDEX IF NOT EXISTS entries_open ON entries (status) WHERE status = 'in_progress';
CREATE TABLE IF NOT EXISTS attributes (
    entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE, name TEXT NOT NULL, value NOT NULL,
    PRIMARY KEY (entry, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, store INTEGER NOT NULL REFERENCES stores ON DELETE CASCADE,
    entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE, vector BLOB NOT NULL, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS chunks_store ON chunks (store, id);
CREATE INDEX IF NOT EXISTS chunks_entry ON chunks (entry);
CREATE TABLE IF NOT EXISTS batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    store INTEGER NOT NULL REFERENCES stores ON DELETE CASCADE, created_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_store ON batches (store);
CREATE TABLE IF NOT EXISTS members (
    batch INTEGER NOT NULL REFERENCES batches ON DELETE CASCADE,
    entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE, PRIMARY KEY (batch, entry)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS members_entry ON members (entry);
CREATE TABLE IF NOT EXISTS questions (
    cluster BLOB NOT NULL, store INTEGER NOT NULL REFERENCES stores ON DELETE CASCADE, digest BLOB NOT NULL,
    seq INTEGER NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (cluster, store, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS charges (
    chunk INTEGER NOT NULL REFERENCES chunks ON DELETE CASCADE, cluster BLOB NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (chunk, cluster, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS questions_store ON questions (store);
"""


class LibraryError(Exception):
    """The file cannot be read or written: it is damaged, locked for long, or the disk is full."""


class Database:
    """The file in `directory`, which is made where it is missing, for this user alone. Any thread may use it."""

    def __init__(self, directory: Path) -> None:
        """Raises LibraryError where the file cannot be opened."""
        self._readers: list[sqlite3.Connection] = []
        self._mine = threading.local()
        self._turn = threading.Lock()
        self._listing = threading.Lock()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path = directory / FILE
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._writer = self._open()
            self._writer.executescript(SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise LibraryError("the library's file cannot be opened") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: whole once the block has ended, nothing of it where the block raises."""
        with self._turn, _translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One view of the file, however many queries the block makes."""
        with _translated():
            connection = self._reader()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close every connection; no thread may use it any more."""
        with self._turn, self._listing:
            for connection in (*self._readers, self._writer):
                connection.close()

    def _reader(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if found is None:
            found = self._open()
            found.execute("PRAGMA query_only=ON")
            self._mine.connection = found
            with self._listing:
                self._readers.append(found)
        return found

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"cache_size={PAGES}"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LibraryError("the library's file cannot be read or written") from error
