"""A multipart form as a value, or the 400 that names the field at fault."""

from typing import TypeVar

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from llmguard.errors import Denial, Refused
from llmguard.wire.request import parse_fields

T = TypeVar("T", bound=msgspec.Struct)

MOST_PARTS = 16
FIELD_BYTES = 1024
"""The most of a field that is no file."""
OVERHEAD_BYTES = 16_384
"""What a form takes besides its file."""


class _Part:
    """A part under way: its headers, and its bytes."""

    __slots__ = ("content", "headers")

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.content: list[bytes] = []


def parse_form(content_type: bytes, body: bytes, shape: type[T]) -> T:
    """The form as a value of this type, a file in it as `{filename, content}`; raises Refused.

    The message never repeats a value.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _malformed("has no boundary")
    fields: dict[str, object] = {}
    for part in _parts(boundary, body):
        _, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        name = _text(options.get(b"name", b""))
        if name in fields:
            raise Refused(Denial("invalid_value", "A field of the form is given twice.", final=True))
        content = b"".join(part.content)
        if b"filename" in options:
            fields[name] = {"filename": _text(options[b"filename"]), "content": content}
        elif len(content) > FIELD_BYTES:
            raise _malformed(f"has a field of more than {FIELD_BYTES} bytes that is no file")
        else:
            fields[name] = _text(content)
    return parse_fields(fields, shape)


def _parts(boundary: bytes, body: bytes) -> list[_Part]:
    found: list[_Part] = []
    ended = False
    field, value = bytearray(), bytearray()

    def begin() -> None:
        if len(found) == MOST_PARTS:
            raise _malformed(f"has more than {MOST_PARTS} fields")
        found.append(_Part())

    def header_end() -> None:
        found[-1].headers[bytes(field).lower()] = bytes(value)
        field.clear()
        value.clear()

    def end() -> None:
        nonlocal ended
        ended = True

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin,
            "on_part_data": lambda data, start, stop: found[-1].content.append(bytes(data[start:stop])),
            "on_header_field": lambda data, start, stop: field.extend(data[start:stop]),
            "on_header_value": lambda data, start, stop: value.extend(data[start:stop]),
            "on_header_end": header_end,
            "on_end": end,
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _malformed("is not valid") from error
    if not ended:
        raise _malformed("does not end")
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _malformed("is not UTF-8") from error


def _malformed(what: str) -> Refused:
    return Refused(Denial("invalid_value", f"The form {what}.", final=True))
