"""Files in stores, and the chunks that they became."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

import msgspec

from similarity.library.database import Database, LibraryError
from similarity.library.pages import page
from similarity.library.records import (
    Addition,
    Attributes,
    Cut,
    Entry,
    File,
    NotFound,
    Page,
    Status,
    Strategy,
    checked,
    stored,
)
from similarity.library.seal import Seal
from similarity.vectors import Ids, Vectors, ids_of

SELECT = (
    "SELECT seq, store_id, file_id, status, error, created_at, usage_bytes, chunk_tokens, overlap_tokens, automatic,"
    " attributes FROM (SELECT entries.*, stores.id AS store_id, stores.tenant AS tenant, files.id AS file_id"
    " FROM entries JOIN stores ON stores.seq = entries.store JOIN files ON files.seq = entries.file)"
)


@dataclass(frozen=True, slots=True)
class Pending:
    """A file that waits to be cut and embedded: by its entry's and its store's number."""

    entry: int
    store: int
    file: File
    content: bytes
    strategy: Strategy


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk to be kept."""

    text: str
    vector: Vectors
    """[d]"""


class Entries:
    """`dimensions` is that of every vector; `seal` encrypts them."""

    def __init__(self, database: Database, now: Callable[[], float], seal: Seal, dimensions: int) -> None:
        self._database = database
        self._now = now
        self._seal = seal
        self._dimensions = dimensions

    def attach(self, tenant: str, store: str, file: str, attributes: Attributes, strategy: Strategy) -> Entry:
        """Put a file into a store, to be worked on; a file that is there already begins anew.

        Raises NotFound, and Invalid for attributes out of bounds.
        """
        with self._database.writing() as connection:
            attached(connection, int(self._now()), tenant, store, Addition(file, attributes, strategy))
        return self.get(tenant, store, file)

    def pending(self) -> list[int]:
        """The entries that are not finished, the oldest first: what a start after a crash goes on with."""
        with self._database.reading() as connection:
            query = "SELECT seq FROM entries WHERE status = ? ORDER BY seq"
            return [row[0] for row in connection.execute(query, (Status.IN_PROGRESS,))]

    def turns(self) -> list[int]:
        """The same, so that every tenant has its turn: the first of each, then the second of each, and so on."""
        with self._database.reading() as connection:
            query = (
                "SELECT entries.seq FROM entries JOIN stores ON stores.seq = store WHERE status = ?"
                " ORDER BY row_number() OVER (PARTITION BY tenant ORDER BY entries.seq), entries.seq"
            )
            return [row[0] for row in connection.execute(query, (Status.IN_PROGRESS,))]

    def work(self, entry: int) -> Pending | None:
        """An unfinished entry with its file; None where it is gone or finished."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT entries.seq, store, chunk_tokens, overlap_tokens, automatic, content, id, tenant, filename,"
                " purpose, files.created_at, expires_at, bytes FROM entries JOIN files ON files.seq = entries.file"
                " JOIN contents ON contents.file = entries.file WHERE entries.seq = ? AND status = ?",
                (entry, Status.IN_PROGRESS),
            ).fetchone()
        if row is None:
            return None
        return Pending(row[0], row[1], File(*row[6:]), row[5], Strategy(row[2], row[3], bool(row[4])))

    def complete(self, pending: Pending, pieces: Sequence[Piece]) -> Ids:
        """Keep all of a file's chunks and say that it is done, in one step; their ids, none where it has gone."""
        rows = [(pending.store, pending.entry, self._seal.sealed(p.vector, pending.store), p.text) for p in pieces]
        usage = sum(len(vector) + len(text.encode()) for _, _, vector, text in rows)
        with self._database.writing() as connection:
            found = connection.execute(
                "UPDATE entries SET status = ?, usage_bytes = ? WHERE seq = ? AND status = ?",
                (Status.COMPLETED, usage, pending.entry, Status.IN_PROGRESS),
            )
            if found.rowcount == 0:
                return ids_of([])
            insert = "INSERT INTO chunks (store, entry, vector, text) VALUES (?, ?, ?, ?)"
            ids = [connection.execute(insert, row).lastrowid or 0 for row in rows]
            if _worded(connection, pending.store):
                words = f"INSERT INTO words_{pending.store} (rowid, text) VALUES (?, ?)"
                connection.executemany(words, [(id, row[3]) for id, row in zip(ids, rows, strict=True)])
        return ids_of(ids)

    def fail(self, pending: Pending, reason: str) -> None:
        """Say why a file cannot be used."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE entries SET status = ?, error = ? WHERE seq = ? AND status = ?",
                (Status.FAILED, reason, pending.entry, Status.IN_PROGRESS),
            )

    def get(self, tenant: str, store: str, file: str) -> Entry:
        """A file of a store; raises NotFound."""
        with self._database.reading() as connection:
            return entry_of(_row(connection, tenant, store, file))

    def page(self, tenant: str, store: str, cut: Cut, status: Status | None = None) -> Page[Entry]:
        """Some of a store's files; raises NotFound for a store that is none of the tenant's."""
        with self._database.reading() as connection:
            known = connection.execute("SELECT 1 FROM stores WHERE id = ? AND tenant = ?", (store, tenant)).fetchone()
            if known is None:
                raise NotFound("no such vector store")

            def place(file: str) -> int | None:
                found = connection.execute(
                    f"{SELECT} WHERE file_id = ? AND store_id = ? AND tenant = ?", (file, store, tenant)
                ).fetchone()
                return None if found is None else int(found[0])

            query, parameters = f"{SELECT} WHERE store_id = ? AND tenant = ?", list[object]([store, tenant])
            if status is not None:
                query, parameters = f"{query} AND status = ?", [*parameters, status]
            return page(connection, query, parameters, cut, place, entry_of)

    def describe(self, tenant: str, store: str, file: str, attributes: Attributes) -> Entry:
        """Replace a file's attributes; raises NotFound, Invalid."""
        given = checked(attributes)
        with self._database.writing() as connection:
            number = _row(connection, tenant, store, file)[0]
            connection.execute("UPDATE entries SET attributes = ? WHERE seq = ?", (msgspec.json.encode(given), number))
            connection.execute("DELETE FROM attributes WHERE entry = ?", (number,))
            _describe(connection, number, given)
        return self.get(tenant, store, file)

    def detach(self, tenant: str, store: str, file: str) -> Ids:
        """Take a file out of a store; the ids of the chunks that are gone. Raises NotFound."""
        with self._database.writing() as connection:
            number = _row(connection, tenant, store, file)[0]
            gone = [row[0] for row in connection.execute("SELECT id FROM chunks WHERE entry = ?", (number,))]
            _forget(connection, "seq = ?", number)
        return ids_of(gone)

    def texts(self, tenant: str, store: str, file: str) -> list[str]:
        """The texts of a file's chunks, in order; raises NotFound."""
        with self._database.reading() as connection:
            number = _row(connection, tenant, store, file)[0]
            return [
                row[0] for row in connection.execute("SELECT text FROM chunks WHERE entry = ? ORDER BY id", (number,))
            ]

    def held(self, tenant: str, store: str, file: str) -> Ids:
        """The ids of a file's chunks in a store; none where there is no such file."""
        with self._database.reading() as connection:
            mine = f"SELECT seq FROM ({SELECT} WHERE store_id = ? AND tenant = ? AND file_id = ?)"
            query = f"SELECT id FROM chunks WHERE entry IN ({mine})"
            return ids_of([row[0] for row in connection.execute(query, (store, tenant, file))])

    def chunk_ids(self, store: int) -> Ids:
        """The ids of a store's chunks, rising."""
        with self._database.reading() as connection:
            found = connection.execute("SELECT id FROM chunks WHERE store = ? ORDER BY id", (store,))
            return ids_of([row[0] for row in found])

    def vectors(self, store: int, ids: Ids) -> tuple[Ids, Vectors]:
        """The vectors of those ids that a store still has: ids [n] and vectors [n, d] in one order."""
        query = "SELECT id, vector FROM chunks WHERE id = ? AND store = ?"
        with self._database.reading() as connection:
            rows = [row for id in ids.tolist() if (row := connection.execute(query, (id, store)).fetchone())]
        return ids_of([id for id, _ in rows]), self._seal.opened([blob for _, blob in rows], store, self._dimensions)


def attached(connection: sqlite3.Connection, now: int, tenant: str, store: str, new: Addition) -> int:
    """The number of a new entry for a file of a store; raises NotFound, Invalid."""
    given, cut = checked(new.attributes), new.strategy
    numbers = connection.execute(
        "SELECT stores.seq, files.seq FROM stores, files"
        " WHERE stores.id = ? AND stores.tenant = ? AND files.id = ? AND files.tenant = ?",
        (store, tenant, new.file, tenant),
    ).fetchone()
    if numbers is None:
        raise NotFound("no such vector store or file")
    _forget(connection, "store = ? AND file = ?", *numbers)
    entry = connection.execute(
        "INSERT INTO entries (store, file, status, created_at, chunk_tokens, overlap_tokens, automatic, attributes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*numbers, Status.IN_PROGRESS, now, *astuple(cut), msgspec.json.encode(given)),
    ).lastrowid
    if entry is None:
        raise LibraryError("an entry has no number")
    _describe(connection, entry, given)
    return entry


def _row(connection: sqlite3.Connection, tenant: str, store: str, file: str) -> sqlite3.Row:
    query = f"{SELECT} WHERE store_id = ? AND tenant = ? AND file_id = ?"
    found: sqlite3.Row | None = connection.execute(query, (store, tenant, file)).fetchone()
    if found is None:
        raise NotFound("no such file in this vector store")
    return found


def entry_of(row: sqlite3.Row) -> Entry:
    """A row of SELECT as a value."""
    _, store, file, status, error, created, usage, tokens, overlap, automatic, attributes = row
    strategy = Strategy(tokens, overlap, bool(automatic))
    known = msgspec.json.decode(attributes, type=dict[str, str | int | float | bool])
    return Entry(store, file, Status(status), error, created, usage, strategy, known)


def _describe(connection: sqlite3.Connection, entry: int, attributes: Attributes) -> None:
    rows = [(entry, name, stored(value)) for name, value in attributes.items()]
    connection.executemany("INSERT INTO attributes VALUES (?, ?, ?)", rows)


def _worded(connection: sqlite3.Connection, store: int) -> bool:
    """Whether a store has a table of words: one that hides its texts has none."""
    query = "SELECT 1 FROM sqlite_master WHERE name = ?"
    return connection.execute(query, (f"words_{store}",)).fetchone() is not None


def _forget(connection: sqlite3.Connection, condition: str, *parameters: int) -> None:
    """Delete entries with all that hangs on them; the words first, which are told the texts they lose."""
    entries = f"SELECT seq, store FROM entries WHERE {condition}"
    for entry, store in connection.execute(entries, parameters).fetchall():
        if _worded(connection, store):
            connection.execute(
                f"INSERT INTO words_{store} (words_{store}, rowid, text)"
                " SELECT 'delete', id, text FROM chunks WHERE entry = ?",
                (entry,),
            )
        connection.execute("DELETE FROM entries WHERE seq = ?", (entry,))
