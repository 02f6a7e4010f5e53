"""Parts of lists, by cursor."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from similarity.library.records import Cut, Invalid, Page

T = TypeVar("T")


def page(
    connection: sqlite3.Connection,
    query: str,
    parameters: list[object],
    cut: Cut,
    place: Callable[[str], int | None],
    record: Callable[[sqlite3.Row], T],
) -> Page[T]:
    """One page of `query`, which ends in a WHERE and names its order `seq`; `place` finds a cursor's.

    Raises Invalid for a cursor that is none of the list's.
    """
    forward = cut.before is None
    rising = cut.ascending == forward
    for name, cursor in (("after", cut.after), ("before", cut.before)):
        if cursor is None:
            continue
        at = place(cursor)
        if at is None:
            raise Invalid(name, "no such item")
        later = cut.ascending == (name == "after")
        query, parameters = f"{query} AND seq {'>' if later else '<'} ?", [*parameters, at]
    query = f"{query} ORDER BY seq {'ASC' if rising else 'DESC'} LIMIT ?"
    rows = connection.execute(query, [*parameters, cut.limit + 1]).fetchall()
    items = [record(row) for row in rows[: cut.limit]]
    return Page(items if forward else items[::-1], len(rows) > cut.limit)
