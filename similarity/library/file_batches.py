"""Files that go into a store together, to be watched as one."""

import sqlite3
from collections.abc import Callable, Sequence

from similarity.library.database import Database
from similarity.library.entries import SELECT, attached, entry_of
from similarity.library.pages import page
from similarity.library.records import Addition, Counts, Cut, Entry, FileBatch, Invalid, NotFound, Page, Status

MOST = 2000


class FileBatches:
    """`now` and `new_id` as for stores."""

    def __init__(self, database: Database, now: Callable[[], float], new_id: Callable[[str], str]) -> None:
        self._database = database
        self._now = now
        self._new_id = new_id

    def create(self, tenant: str, store: str, additions: Sequence[Addition]) -> FileBatch:
        """Put files into a store, all or none; raises NotFound, and Invalid for no, too many or repeated files."""
        if not 1 <= len(additions) <= MOST:
            raise Invalid("file_ids", f"1 to {MOST} files")
        if len({new.file for new in additions}) != len(additions):
            raise Invalid("file_ids", "each file once")
        id, now = self._new_id("vsfb_"), int(self._now())
        with self._database.writing() as connection:
            entries = [attached(connection, now, tenant, store, new) for new in additions]
            batch = connection.execute(
                "INSERT INTO batches (id, store, created_at) SELECT ?, seq, ? FROM stores WHERE id = ?",
                (id, now, store),
            ).lastrowid
            connection.executemany("INSERT INTO members VALUES (?, ?)", [(batch, entry) for entry in entries])
        return FileBatch(id, store, now, Counts(in_progress=len(entries)))

    def get(self, tenant: str, store: str, id: str) -> FileBatch:
        """A batch of a store; raises NotFound."""
        with self._database.reading() as connection:
            number, created = self._row(connection, tenant, store, id)
            members = "SELECT status, count(*) FROM members JOIN entries ON entries.seq = entry WHERE batch = ?"
            query = f"{members} GROUP BY status"
            counts = Counts(**dict(connection.execute(query, (number,)).fetchall()))
        return FileBatch(id, store, created, counts)

    def cancel(self, tenant: str, store: str, id: str) -> FileBatch:
        """Leave out the files that are not done yet, also where one is being worked on; raises NotFound."""
        with self._database.writing() as connection:
            number, _ = self._row(connection, tenant, store, id)
            connection.execute(
                "UPDATE entries SET status = ? WHERE status = ? AND seq IN (SELECT entry FROM members WHERE batch = ?)",
                (Status.CANCELLED, Status.IN_PROGRESS, number),
            )
        return self.get(tenant, store, id)

    def page(self, tenant: str, store: str, id: str, cut: Cut, status: Status | None = None) -> Page[Entry]:
        """Some of a batch's files; raises NotFound."""
        with self._database.reading() as connection:
            number, _ = self._row(connection, tenant, store, id)
            within = f"{SELECT} WHERE seq IN (SELECT entry FROM members WHERE batch = ?)"

            def place(file: str) -> int | None:
                found = connection.execute(f"{within} AND file_id = ?", (number, file)).fetchone()
                return None if found is None else int(found[0])

            query, parameters = within, list[object]([number])
            if status is not None:
                query, parameters = f"{query} AND status = ?", [*parameters, status]
            return page(connection, query, parameters, cut, place, entry_of)

    def _row(self, connection: sqlite3.Connection, tenant: str, store: str, id: str) -> tuple[int, int]:
        query = (
            "SELECT batches.seq, batches.created_at FROM batches JOIN stores ON stores.seq = store"
            " WHERE batches.id = ? AND stores.id = ? AND tenant = ?"
        )
        found: tuple[int, int] | None = connection.execute(query, (id, store, tenant)).fetchone()
        if found is None:
            raise NotFound("no such file batch in this vector store")
        return found
