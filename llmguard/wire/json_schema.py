"""A JSON schema in a request: taken as it is, so long as it can be sent on."""

from math import isinf
from typing import Any

JsonSchema = dict[str, Any]


def check_schema(name: str, schema: object) -> None:
    """Raise ValueError for an infinity, which is how `1e999` is read: no JSON can pass it on."""
    pending: list[Any] = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, float) and isinf(value):
            raise ValueError(f"`{name}` holds a number that is too large")
