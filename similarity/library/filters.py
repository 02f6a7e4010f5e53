"""OpenAI's attribute filters, parsed within bounds and compiled to SQL with parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from similarity.library.records import Attribute, Invalid, plain, stored

DEEPEST, MOST, VALUES = 8, 64, 256
ORDERED = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
NEGATED = {"ne": "eq", "nin": "in"}
COMPARISONS = frozenset({*ORDERED, *NEGATED, "in"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """An attribute against a value, or against several of them."""

    type: str
    key: str
    values: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Compound:
    """All (`and`) or any (`or`) of several filters."""

    type: str
    filters: tuple["Filter", ...]


Filter: TypeAlias = Comparison | Compound


def parsed(given: object) -> Filter:
    """A filter from JSON's objects; raises Invalid for one that is wrong, or nested or listed past the bounds."""
    found = _parsed(given, DEEPEST)
    if _count(found) > MOST:
        raise Invalid("filters", f"at most {MOST} comparisons")
    return found


def compiled(filter: Filter) -> tuple[str, list[str | float | bytes]]:
    """A condition on `entries`, and its parameters. An attribute that a file lacks equals nothing, so that only
    `ne` and `nin` hold for it; values of different types never compare."""
    if isinstance(filter, Compound):
        parts = [compiled(one) for one in filter.filters]
        joined = f" {filter.type.upper()} ".join(f"({sql})" for sql, _ in parts)
        return joined, [parameter for _, parameters in parts for parameter in parameters]
    positive = NEGATED.get(filter.type, filter.type)
    operator = ORDERED.get(positive, "IN")
    places = f"({', '.join('?' * len(filter.values))})" if positive == "in" else "?"
    values = [stored(value) for value in filter.values]
    # SQLite orders any number before any text: an ordered comparison must not cross types.
    types = {"str": "text", "float": "real", "bytes": "blob"}
    kind = "" if positive in ("in", "eq") else f" AND typeof(value) = '{types[type(values[0]).__name__]}'"
    exists = (
        f"EXISTS (SELECT 1 FROM attributes WHERE entry = entries.seq AND name = ? AND value {operator} {places}{kind})"
    )
    return (f"NOT {exists}" if filter.type in NEGATED else exists), [filter.key, *values]


def _parsed(given: object, depth: int) -> Filter:
    if not isinstance(given, Mapping) or not isinstance(given.get("type"), str):
        raise Invalid("filters", "a filter is an object with a type")
    kind = given["type"]
    if kind in ("and", "or"):
        members = given.get("filters")
        if depth == 1:
            raise Invalid("filters", f"nested at most {DEEPEST} deep")
        if not isinstance(members, list) or not 1 <= len(members) <= MOST or given.keys() != {"type", "filters"}:
            raise Invalid("filters", f"{kind} takes 1 to {MOST} filters")
        return Compound(kind, tuple(_parsed(member, depth - 1) for member in members))
    if kind not in COMPARISONS or given.keys() != {"type", "key", "value"} or not isinstance(given["key"], str):
        raise Invalid("filters", "a comparison has a type, a key and a value")
    return Comparison(kind, given["key"], _values(kind, given["value"]))


def _values(kind: str, value: object) -> tuple[Attribute, ...]:
    values = value if kind in ("in", "nin") else [value]
    if not isinstance(values, list) or not 1 <= len(values) <= VALUES:
        raise Invalid("filters", f"{kind} takes 1 to {VALUES} values in a list")
    if not all(plain(one) for one in values):
        raise Invalid("filters", "values are texts, numbers or booleans")
    if kind in ("gt", "gte", "lt", "lte") and not all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in values
    ):
        raise Invalid("filters", f"{kind} takes a number")
    return tuple(values)


def _count(filter: Filter) -> int:
    return 1 if isinstance(filter, Comparison) else sum(_count(one) for one in filter.filters)
