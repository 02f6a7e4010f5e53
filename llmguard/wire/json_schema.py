"""A JSON schema in a request: taken as it is, so long as it can be sent on."""

from math import isinf
from typing import Any

from msgspec import json

JsonSchema = dict[str, Any]


def check_schema(name: str, schema: object) -> None:
    """Raise ValueError for an infinity, which is how `1e999` is read: no JSON can pass it on."""
    # An infinity is written as null: only where one stands is there something to look for.
    if schema is not None and b"null" in json.encode(schema) and _infinite(schema):
        raise ValueError(f"`{name}` holds a number that is too large")


def _infinite(schema: object) -> bool:
    pending: list[Any] = [schema]
    for part in pending:  # which grows
        if isinstance(part, dict):
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
        elif isinstance(part, float) and isinf(part):
            return True
    return False
