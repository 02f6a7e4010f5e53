"""A JSON schema in a request: taken as it is, so long as it can be sent on."""

from math import isinf
from typing import Any

JsonSchema = dict[str, Any]


def check_schema(name: str, schema: object) -> None:
    """Raise ValueError for an infinity, which is how `1e999` is read: no JSON can pass it on."""
    pending: list[Any] = [[schema]]
    for whole in pending:  # which grows
        for part in whole.values() if type(whole) is dict else whole:
            kind = type(part)
            if kind is str:
                continue
            if kind is dict or kind is list:
                pending.append(part)
            elif kind is float and isinf(part):
                raise ValueError(f"`{name}` holds a number that is too large")
