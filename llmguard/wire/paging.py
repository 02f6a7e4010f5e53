"""Lists, a page at a time, as OpenAI cuts and shows them."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

Cursor = Annotated[str, Meta(min_length=1, max_length=64)]
Limit = Annotated[int, Meta(ge=1, le=100)]


class PageQuery(Struct, forbid_unknown_fields=True, frozen=True):
    """Which part of a list: `limit` items after or before the one with an id, newest first unless `order` is `asc`."""

    limit: Limit = 20
    order: Literal["asc", "desc"] = "desc"
    after: Cursor | None = None
    before: Cursor | None = None


class Listed(Struct, frozen=True, kw_only=True):
    """The base of a page; `data` of every kind of page has items with an id."""

    object: str = "list"
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


def ends(ids: Sequence[str]) -> tuple[str | None, str | None]:
    """The first and the last id of a page."""
    return (ids[0], ids[-1]) if ids else (None, None)
