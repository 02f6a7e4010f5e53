"""Vector stores: made, changed, listed, shared, expired."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from similarity.library.database import Database
from similarity.library.pages import page
from similarity.library.records import Counts, Cut, Invalid, NotFound, Page, Store
from similarity.setting import Content

SHARE, CONTENT = "llmguard.share", "llmguard.content"
DAY_S = 86_400
LONGEST_DAYS = 365
PAIRS, KEY_CHARACTERS, VALUE_CHARACTERS = 16, 64, 512
COLUMNS = (
    "seq, id, tenant, name, created_at, active_at, expires_days, expires_at, metadata, share, content, description"
)
OPEN = "(expires_at IS NULL OR expires_at > ?)"


@dataclass(frozen=True, slots=True)
class Opened:
    """A store as search uses it: its number in the file, what it shows, and whether whoever asks owns it."""

    number: int
    content: Content
    owned: bool


class Stores:
    """`now` tells the time in seconds; `new_id` makes an id that nobody can guess from a prefix."""

    def __init__(self, database: Database, now: Callable[[], float], new_id: Callable[[str], str]) -> None:
        self._database = database
        self._now = now
        self._new_id = new_id

    def create(
        self,
        tenant: str,
        name: str = "",
        metadata: Mapping[str, str] | None = None,
        expires_days: int | None = None,
        description: str = "",
    ) -> Store:
        """A new store; its metadata may open it to others (`llmguard.share`) and hide its texts (`llmguard.content`).

        Raises Invalid.
        """
        given = _checked(metadata or {})
        content = _content(given)
        now = int(self._now())
        expiry = _expiry(now, expires_days)
        id = self._new_id("vs_")
        kept = msgspec.json.encode(given)
        row = (id, tenant, name, now, now, expires_days, expiry, kept, given.get(SHARE), content, description)
        with self._database.writing() as connection:
            number = connection.execute(
                "INSERT INTO stores (id, tenant, name, created_at, active_at, expires_days, expires_at, metadata,"
                " share, content, description) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            if content is Content.RETURNED:
                # A table each: word statistics over all of them would let one tenant's texts order another's.
                connection.execute(
                    f"CREATE VIRTUAL TABLE words_{number} USING fts5(text, content='chunks', content_rowid='id')"
                )
        return self.get(tenant, id)

    def get(self, tenant: str, id: str) -> Store:
        """A store of this tenant's; raises NotFound."""
        with self._database.reading() as connection:
            row = self._row(connection, "id = ? AND tenant = ?", id, tenant)
            return self._store(connection, row)

    def open(self, tenant: str, id: str, policy: str) -> Opened:
        """A store to search: the tenant's own, or one shared with everyone or with a policy. Raises NotFound."""
        with self._database.reading() as connection:
            row = self._row(connection, "id = ? AND (tenant = ? OR share IN ('*', ?))", id, tenant, policy)
            return Opened(row[0], Content(row[10]), row[2] == tenant)

    def page(self, tenant: str, cut: Cut) -> Page[Store]:
        """Some of a tenant's stores."""
        with self._database.reading() as connection:

            def place(id: str) -> int | None:
                found = connection.execute(
                    "SELECT seq FROM stores WHERE id = ? AND tenant = ?", (id, tenant)
                ).fetchone()
                return None if found is None else int(found[0])

            query = f"SELECT {COLUMNS} FROM stores WHERE tenant = ? AND {OPEN}"
            parameters: list[object] = [tenant, int(self._now())]
            return page(connection, query, parameters, cut, place, lambda row: self._store(connection, row))

    def update(
        self,
        tenant: str,
        id: str,
        *,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expires_days: int | None = None,
    ) -> Store:
        """Change what is given, but not how a store is shared nor what it hides. Raises NotFound, Invalid."""
        with self._database.writing() as connection:
            row = self._row(connection, "id = ? AND tenant = ?", id, tenant)
            store = self._store(connection, row)
            given = dict(store.metadata) if metadata is None else _checked(metadata)
            if any(given.get(key) != store.metadata.get(key) for key in (SHARE, CONTENT)):
                raise Invalid("metadata", f"{SHARE} and {CONTENT} are set when a store is made")
            days = store.expires_days if expires_days is None else expires_days
            new = (
                store.name if name is None else name,
                msgspec.json.encode(given),
                days,
                _expiry(store.active_at, days),
            )
            connection.execute(
                "UPDATE stores SET name = ?, metadata = ?, expires_days = ?, expires_at = ? WHERE seq = ?",
                (*new, row[0]),
            )
        return self.get(tenant, id)

    def touch(self, number: int) -> None:
        """It was used: its expiry counts from now; written at most once a minute."""
        now = int(self._now())
        with self._database.reading() as connection:
            row = connection.execute("SELECT active_at FROM stores WHERE seq = ?", (number,)).fetchone()
        if row is None or now - row[0] < 60:
            return
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE stores SET active_at = ?, expires_at = ? + expires_days * ? WHERE seq = ?",
                (now, now, DAY_S, number),
            )

    def delete(self, tenant: str, id: str) -> int:
        """Delete a store with its chunks; its number, for whoever keeps an index of it. Raises NotFound."""
        with self._database.writing() as connection:
            number = int(self._row(connection, "id = ? AND tenant = ?", id, tenant)[0])
            _drop(connection, number)
        return number

    def sweep(self) -> list[int]:
        """Delete what has expired; the numbers of the stores."""
        with self._database.writing() as connection:
            now = int(self._now())
            gone = [row[0] for row in connection.execute("SELECT seq FROM stores WHERE expires_at <= ?", (now,))]
            for number in gone:
                _drop(connection, number)
        return gone

    def numbers(self) -> set[int]:
        """The numbers of all stores."""
        with self._database.reading() as connection:
            return {row[0] for row in connection.execute("SELECT seq FROM stores")}

    def _row(self, connection: sqlite3.Connection, condition: str, *parameters: str) -> sqlite3.Row:
        query = f"SELECT {COLUMNS} FROM stores WHERE {condition} AND {OPEN}"
        found: sqlite3.Row | None = connection.execute(query, (*parameters, int(self._now()))).fetchone()
        if found is None:
            raise NotFound("no such vector store")
        return found

    def _store(self, connection: sqlite3.Connection, row: sqlite3.Row) -> Store:
        number, id, tenant, name, created, active, days, expiry, metadata, share, content, description = row
        query = "SELECT status, count(*), sum(usage_bytes) FROM entries WHERE store = ? GROUP BY status"
        counted = {status: (count, size) for status, count, size in connection.execute(query, (number,))}
        counts = Counts(**{status: count for status, (count, _) in counted.items()})
        usage = sum(size for _, size in counted.values())
        known = msgspec.json.decode(metadata, type=dict[str, str])
        kind = Content(content)
        return Store(id, tenant, name, created, active, days, expiry, known, share, kind, counts, usage, description)


def _drop(connection: sqlite3.Connection, number: int) -> None:
    connection.execute(f"DROP TABLE IF EXISTS words_{int(number)}")
    connection.execute("DELETE FROM stores WHERE seq = ?", (number,))


def _expiry(start: int, days: int | None) -> int | None:
    if days is None:
        return None
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid("expires_after", f"1 to {LONGEST_DAYS} days")
    return start + days * DAY_S


def _content(metadata: Mapping[str, str]) -> Content:
    try:
        return Content(metadata.get(CONTENT, Content.RETURNED))
    except ValueError as error:
        raise Invalid("metadata", f"{CONTENT} is {' or '.join(Content)}") from error


def _checked(metadata: Mapping[str, str]) -> dict[str, str]:
    if len(metadata) > PAIRS:
        raise Invalid("metadata", f"at most {PAIRS} pairs")
    if any(len(key) > KEY_CHARACTERS or len(value) > VALUE_CHARACTERS for key, value in metadata.items()):
        raise Invalid("metadata", f"keys have at most {KEY_CHARACTERS} characters, values {VALUE_CHARACTERS}")
    return dict(metadata)
