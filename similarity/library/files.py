"""Uploaded files."""

import sqlite3
from collections.abc import Callable

from similarity.library.database import Database
from similarity.library.pages import page
from similarity.library.records import Cut, File, Invalid, NotFound, Page

COLUMNS = "seq, id, tenant, filename, purpose, created_at, expires_at, bytes"
OPEN = "(expires_at IS NULL OR expires_at > ?)"
NAME_CHARACTERS = 255
LARGEST = 32 << 20


class Files:
    """Files of up to `largest` bytes; `now` and `new_id` as for stores."""

    def __init__(
        self, database: Database, now: Callable[[], float], new_id: Callable[[str], str], largest: int = LARGEST
    ) -> None:
        self._database = database
        self._now = now
        self._new_id = new_id
        self._largest = largest

    def create(
        self, tenant: str, filename: str, content: bytes, purpose: str = "assistants", expires_in_s: int | None = None
    ) -> File:
        """Keep a file; raises Invalid for an empty, a nameless or a too large one."""
        if not 1 <= len(filename) <= NAME_CHARACTERS:
            raise Invalid("file", f"a file's name has 1 to {NAME_CHARACTERS} characters")
        if not 1 <= len(content) <= self._largest:
            raise Invalid("file", f"a file has 1 to {self._largest} bytes")
        now, id = int(self._now()), self._new_id("file-")
        expiry = None if expires_in_s is None else now + expires_in_s
        with self._database.writing() as connection:
            number = connection.execute(
                "INSERT INTO files (id, tenant, filename, purpose, created_at, expires_at, bytes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (id, tenant, filename, purpose, now, expiry, len(content)),
            ).lastrowid
            connection.execute("INSERT INTO contents VALUES (?, ?)", (number, content))
        return File(id, tenant, filename, purpose, now, expiry, len(content))

    def get(self, tenant: str, id: str) -> File:
        """A file of this tenant's; raises NotFound."""
        with self._database.reading() as connection:
            return _file(self._row(connection, tenant, id))

    def content(self, tenant: str, id: str) -> bytes:
        """A file's bytes; raises NotFound."""
        with self._database.reading() as connection:
            number = self._row(connection, tenant, id)[0]
            found: bytes = connection.execute("SELECT content FROM contents WHERE file = ?", (number,)).fetchone()[0]
            return found

    def page(self, tenant: str, cut: Cut, purpose: str | None = None) -> Page[File]:
        """Some of a tenant's files."""
        with self._database.reading() as connection:

            def place(id: str) -> int | None:
                found = connection.execute("SELECT seq FROM files WHERE id = ? AND tenant = ?", (id, tenant)).fetchone()
                return None if found is None else int(found[0])

            query = f"SELECT {COLUMNS} FROM files WHERE tenant = ? AND {OPEN}"
            parameters: list[object] = [tenant, int(self._now())]
            if purpose is not None:
                query, parameters = f"{query} AND purpose = ?", [*parameters, purpose]
            return page(connection, query, parameters, cut, place, _file)

    def in_use(self, tenant: str, id: str) -> list[tuple[str, int]]:
        """The stores that a file is in, as ids and numbers; raises NotFound."""
        with self._database.reading() as connection:
            number = self._row(connection, tenant, id)[0]
            query = "SELECT stores.id, stores.seq FROM entries JOIN stores ON stores.seq = store WHERE file = ?"
            return [(row[0], row[1]) for row in connection.execute(query, (number,))]

    def delete(self, tenant: str, id: str) -> None:
        """Delete a file that is in no store any more; raises NotFound, and Invalid for one that is."""
        with self._database.writing() as connection:
            number = self._row(connection, tenant, id)[0]
            if connection.execute("SELECT 1 FROM entries WHERE file = ?", (number,)).fetchone():
                raise Invalid("file_id", "the file is in a vector store")
            connection.execute("DELETE FROM files WHERE seq = ?", (number,))

    def sweep(self) -> int:
        """Delete the expired files that are in no store; how many."""
        query = "DELETE FROM files WHERE expires_at <= ? AND NOT EXISTS (SELECT 1 FROM entries WHERE file = files.seq)"
        with self._database.writing() as connection:
            return connection.execute(query, (int(self._now()),)).rowcount

    def _row(self, connection: sqlite3.Connection, tenant: str, id: str) -> sqlite3.Row:
        query = f"SELECT {COLUMNS} FROM files WHERE id = ? AND tenant = ? AND {OPEN}"
        found: sqlite3.Row | None = connection.execute(query, (id, tenant, int(self._now()))).fetchone()
        if found is None:
            raise NotFound("no such file")
        return found


def _file(row: sqlite3.Row) -> File:
    return File(*row[1:])
