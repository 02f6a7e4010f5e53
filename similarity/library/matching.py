"""What a search reads of the library: the chunks that a filter or words select, and what to show of them."""

import re
from collections.abc import Sequence

import msgspec

from similarity.library.database import Database
from similarity.library.filters import Filter, compiled
from similarity.library.records import Chunk
from similarity.vectors import Ids, ids_of

WORD = re.compile(r"\w+")
MOST_WORDS = 64


class Matching:
    """Reads only; `store` is a store's number."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def allowed(self, store: int, filter: Filter) -> Ids:
        """The chunks of the files that a filter lets through."""
        condition, parameters = compiled(filter)
        query = (
            "SELECT chunks.id FROM entries JOIN chunks ON chunks.entry = entries.seq"
            f" WHERE entries.store = ? AND ({condition})"
        )
        with self._database.reading() as connection:
            return ids_of([row[0] for row in connection.execute(query, (store, *parameters))])

    def worded(self, store: int, question: str, count: int, allowed: Ids | None) -> Ids:
        """The chunks that share words with a question, best first by Okapi BM25 over this store alone.

        Nothing for a store that hides its texts: which words find an item tells what it says.
        """
        words = WORD.findall(question)[:MOST_WORDS]
        with self._database.reading() as connection:
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (f"words_{store}",)).fetchone()
            if not words or known is None:
                return ids_of([])
            match = " OR ".join(f'"{word}"' for word in words)
            query = f"SELECT rowid FROM words_{store} WHERE words_{store} MATCH ? ORDER BY rank"
            if allowed is None:
                rows = connection.execute(f"{query} LIMIT ?", (match, count)).fetchall()
                return ids_of([row[0] for row in rows])
            chosen = frozenset(allowed.tolist())
            hits = (row[0] for row in connection.execute(query, (match,)) if row[0] in chosen)
            return ids_of([id for _, id in zip(range(count), hits, strict=False)])

    def chunks(self, store: int, ids: Sequence[int]) -> dict[int, Chunk]:
        """The chunks that a store still has."""
        query = (
            "SELECT chunks.id, files.id, filename, text, attributes FROM chunks JOIN entries ON entries.seq = entry"
            " JOIN files ON files.seq = entries.file WHERE chunks.id = ? AND chunks.store = ?"
        )
        with self._database.reading() as connection:
            rows = [row for id in ids if (row := connection.execute(query, (id, store)).fetchone())]
        return {
            id: Chunk(id, file, name, text, msgspec.json.decode(attributes, type=dict[str, str | int | float | bool]))
            for id, file, name, text, attributes in rows
        }
