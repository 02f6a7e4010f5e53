"""Bytes of a request body into a typed value, or the 400 that names the parameter at fault."""

import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import jiter
import msgspec

from llmguard.errors import Denial, Refused
from llmguard.wire.allowed import allowed
from llmguard.wire.wording import not_json, not_valid, one_of

T = TypeVar("T", bound=msgspec.Struct)

# A path holds declared names and indexes only, so that no client's own name is taken for one.
_PLACE = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[\w.\[\]]{0,256})`)?", re.DOTALL | re.ASCII)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_DUPLICATE = re.compile(r'Detected duplicate key "(?P<field>.*)" at line \d+ column \d+', re.DOTALL)
_RULE = re.compile(r"`(?P<field>\w+)` ")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_NAME = 64
_FIELDS = 32


def parse(body: bytes, shape: type[T]) -> T:
    """The body as a value of this type; raises Refused.

    Parsed once. Refuses what JSON leaves open and parsers disagree on: duplicate keys, NaN and
    infinities, lone surrogates, bad UTF-8, nesting beyond 200. The message never repeats
    a value of the body, and a name of it only as `param`.
    """
    try:
        value = jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError as error:
        raise Refused(_malformed(body, str(error))) from error
    return _shaped(value, shape)


def parse_fields(fields: Mapping[str, object], shape: type[T]) -> T:
    """The fields of a query or a form, whose numbers and truths are spelled as text; raises Refused."""
    return _shaped(fields, shape, strict=False)


def parse_query(query: bytes, shape: type[T]) -> T:
    """The query of a URL; raises Refused, also where a name is given twice."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_FIELDS,
            strict_parsing=bool(query),
        )
    except ValueError as error:
        raise Refused(_denial("", "is not valid", subject="The URL's query")) from error
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise Refused(_denial(_name(name), "is given twice"))
    return parse_fields(dict(pairs), shape)


def _shaped(value: object, shape: type[T], *, strict: bool = True) -> T:
    try:
        return msgspec.convert(value, shape, strict=strict, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise Refused(_invalid(str(error), shape, value)) from error


def _malformed(body: bytes, reason: str) -> Denial:
    if match := _DUPLICATE.fullmatch(reason):
        return _denial(_name(match["field"]), "is given twice")
    if not body:
        return _denial("", "is empty")
    if body.startswith(_BYTE_ORDER_MARK):
        return _denial("", "is not valid JSON: it begins with a byte order mark")
    return _denial("", f"is not valid JSON: {not_json(reason)}")


def _invalid(reason: str, shape: type[msgspec.Struct], value: object) -> Denial:
    match = _PLACE.fullmatch(reason)
    what, key, path = (match["what"], match["key"], match["path"] or "") if match else (reason, None, "")
    path = path.lstrip(".")
    if unknown := _UNKNOWN.fullmatch(what):
        return _denial(_join(path, _name(unknown["field"])), "is not a known parameter", code="unknown_parameter")
    if missing := _MISSING.fullmatch(what):
        return _denial(_join(path, missing["field"]), "is missing")
    if what.startswith("Invalid"):  # msgspec repeats the value here, and we must not
        return _denial(path, one_of(allowed(shape, path, value)))
    if what.startswith("Expected"):
        if key:
            return _denial(path, not_valid(what), subject=f"A key of '{path}'")
        if path.endswith("[...]"):
            path = path.removesuffix("[...]")
            return _denial(path, not_valid(what), subject=f"A value of '{path}'")
        return _denial(path, not_valid(what))
    # A rule of ours: the field that it begins with is the one at fault.
    if rule := _RULE.match(what):
        return _denial(_join(path, rule["field"]), what[rule.end() :].replace("`", "'"))
    return _denial(path, f"is not valid: {what}".replace("`", "'"))


def _denial(param: str, what: str, *, code: str = "invalid_value", subject: str = "") -> Denial:
    subject = subject or (f"'{param}'" if param else "The request body")
    return Denial(code, f"{subject} {what}.", param=param or None, final=True)


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _name(field: str) -> str:
    """A client's own name for a field, short and printable enough to be sent back."""
    shown = field[:_LONGEST_NAME]
    return shown if shown.isprintable() else ascii(shown)[1:-1]
