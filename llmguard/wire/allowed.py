"""Which values a field of a shape may have, where they are few: what an error message lists."""

import re
from collections.abc import Iterator
from functools import cache

import msgspec
from msgspec import inspect

_STEP = re.compile(r"\[[^\]]*\]|[^.\[]+")
_describe = cache(inspect.type_info)  # a shape's description takes a millisecond, and shapes are few


def allowed(shape: type[msgspec.Struct], path: str, value: object) -> list[str]:
    """The literals and tags at a path of `value`, such as `messages[0].role`; none where it is open or not declared."""
    found = list(_members(_describe(shape)))
    for step in _STEP.findall(path):
        found = [member for kind in found for inner in _inside(kind, step, value) for member in _members(inner)]
        value = _at(value, step)
    values = [value for kind in found if isinstance(kind, inspect.LiteralType) for value in kind.values]
    return list(dict.fromkeys(value for value in values if isinstance(value, str)))


def _members(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.UnionType):
        yield from kind.types
    else:
        yield kind


def _inside(kind: inspect.Type, step: str, value: object) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.ListType) and step.startswith("["):
        yield kind.item_type
    if not isinstance(kind, inspect.StructType):
        return
    if kind.tag_field == step:
        yield inspect.LiteralType((kind.tag,))
    elif kind.tag_field is None or _at(value, kind.tag_field) == kind.tag:
        yield from (field.type for field in kind.fields if field.encode_name == step)


def _at(value: object, step: str) -> object:
    if isinstance(value, list) and step[1:-1].isdecimal():
        return value[int(step[1:-1])]
    return value.get(step) if isinstance(value, dict) else None
