"""Forms, whole and broken."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmguard.errors import Refused
from llmguard.wire.files import FileUpload
from llmguard.wire.form import FIELD_BYTES, MOST_PARTS, parse_form

KIND = b"multipart/form-data; boundary=edge"


def form(*parts: tuple[str, bytes]) -> bytes:
    """The body with these parts, each a disposition and a content."""
    lines = [
        b"--edge\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (disposition.encode(), content)
        for disposition, content in parts
    ]
    return b"".join([*lines, b"--edge--\r\n"])


FILE = ('name="file"; filename="a.txt"', b"content")
PURPOSE = ('name="purpose"', b"assistants")


def refused(body: bytes, kind: bytes = KIND) -> str:
    """What is said of it."""
    with pytest.raises(Refused) as error:
        parse_form(kind, body, FileUpload)
    assert error.value.denial.final
    return error.value.denial.text


def test_a_form_is_read() -> None:
    nested = ('name="expires_after[anchor]"', b"created_at"), ('name="expires_after[seconds]"', b"3600")
    found = parse_form(KIND, form(FILE, PURPOSE, *nested), FileUpload)
    assert (found.file.filename, found.file.content, found.purpose) == ("a.txt", b"content", "assistants")
    assert (found.anchor, found.seconds) == ("created_at", 3600)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300))
def test_a_files_bytes_are_kept_whatever_they_are(content: bytes) -> None:
    assert parse_form(KIND, form((FILE[0], content), PURPOSE), FileUpload).file.content == content


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--edge--\r\n",
        form(FILE),
        form(FILE, PURPOSE)[:-6],
        form(FILE, PURPOSE, PURPOSE),
        form(('name="file"', b"no file"), PURPOSE),
        form(FILE, ('name="purpose"', b"x" * (FIELD_BYTES + 1))),
        form(FILE, PURPOSE, *((f'name="f{at}"', b"") for at in range(MOST_PARTS))),
        form(FILE, ('name="purpose"', b"\xff")),
        form(('name="file"; filename="\xff.txt"', b""), PURPOSE).replace("ÿ".encode(), b"\xff"),
    ],
)
def test_what_is_no_such_form_is_refused(body: bytes) -> None:
    assert refused(body).endswith(".")


def test_a_form_without_a_boundary_is_refused() -> None:
    assert refused(form(FILE, PURPOSE), b"multipart/form-data") == "The form has no boundary."


def test_no_message_repeats_a_value() -> None:
    assert "marker" not in refused(form(FILE, ('name="purpose"', b"marker")))
    assert "marker" not in refused(form(('name="file"; filename="marker"', b"marker"), PURPOSE, PURPOSE))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_broken_form_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    body = bytearray(form(FILE, PURPOSE))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(Refused):
        assert isinstance(parse_form(KIND, bytes(body), FileUpload), msgspec.Struct)
