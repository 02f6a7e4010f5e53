"""Documents one after another out of what a command line names, never more than a part of one in memory."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from watermark.documents.document import Document, Unreadable
from watermark.documents.formats import FORMATS, Decoder, line_text, pieces

MOST_BYTES = 1 << 24
"""Of a line of JSONL, and of a file that is not read as plain text."""
PART = 1 << 19
"""Characters of a text that are looked at together; a longer one is looked at in parts, as documents of their own."""
STDIN = "-"
LINES = (".jsonl", ".ndjson")


def documents(paths: Sequence[str], *, stdin: BinaryIO, field: str) -> Iterator[Document]:
    """The documents of files, of folders (all files below, in order of name, hidden ones left out) and of `stdin`.

    A line of JSONL is a document, called FILE:LINE, whose text is under `field`. A text of more than
    2^19 characters is as many documents as it has parts, each called NAME (part N). What cannot be
    read is a document with a reason, also where nothing is found.
    """
    for path in paths:
        if path == STDIN:
            yield from _stdin(stdin, field)
        elif Path(path).is_dir():
            files = list(_below(Path(path)))
            if not files:
                yield Document(path, "", "the folder holds no file")
            for file in files:
                yield from _file(file, field)
        else:
            yield from _file(Path(path), field)


def _below(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(at) / name for name in sorted(files) if not name.startswith("."))


def _file(path: Path, field: str) -> Iterator[Document]:
    # A pipe or a device might never end.
    if not path.is_file():
        yield Document(str(path), "", "it is no file" if path.exists() else "there is no such file")
        return
    try:
        with path.open("rb") as file:
            suffix = path.suffix.lower()
            if suffix in LINES:
                yield from _lines(str(path), file, field)
            elif suffix in FORMATS:
                yield from _whole(str(path), file.read(MOST_BYTES + 1), FORMATS[suffix])
            else:
                yield from _plain(str(path), file)
    except OSError as error:
        yield Document(str(path), "", f"it cannot be read: {error.strerror}")


def _stdin(stdin: BinaryIO, field: str) -> Iterator[Document]:
    first = stdin.readline(MOST_BYTES + 1)
    if _is_object(first):
        yield from _lines(STDIN, stdin, field, first)
    else:
        yield from _plain(STDIN, stdin, first)


def _lines(name: str, file: BinaryIO, field: str, first: bytes = b"") -> Iterator[Document]:
    number = 0
    while line := first or file.readline(MOST_BYTES + 1):
        first = b""
        number += 1
        called = f"{name}:{number}"
        if len(line) > MOST_BYTES:
            yield Document(called, "", f"the line is longer than {MOST_BYTES >> 20} MiB")
            return
        if line.strip():
            yield from _document(called, line, field)
    if not number:
        yield Document(name, "", "it is empty")


def _document(name: str, line: bytes, field: str) -> Iterator[Document]:
    try:
        text = line_text(line.removeprefix(b"\xef\xbb\xbf"), field)
    except Unreadable as error:
        yield Document(name, "", str(error))
    else:
        yield from _parts(name, pieces(text, PART))


def _whole(name: str, content: bytes, read: Callable[[bytes], str]) -> Iterator[Document]:
    if len(content) > MOST_BYTES:
        yield Document(name, "", f"it is larger than {MOST_BYTES >> 20} MiB")
        return
    try:
        text = read(content)
    except Unreadable as error:
        yield Document(name, "", str(error))
    else:
        yield from _parts(name, pieces(text, PART))


def _plain(name: str, file: BinaryIO, first: bytes = b"") -> Iterator[Document]:
    try:
        yield from _parts(name, _decoded(file, first))
    except Unreadable as error:
        yield Document(name, "", str(error))


def _decoded(file: BinaryIO, content: bytes) -> Iterator[str]:
    """The text of a file in pieces of at most `PART` characters; `content` has been read of it already."""
    decoder, held = Decoder(), ""
    content += file.read(PART)
    while content:
        following = file.read(PART)
        held += decoder.text(content, last=not following)
        *done, held = list(pieces(held, PART)) or [""]
        yield from done
        content = following
    yield held


def _parts(name: str, texts: Iterable[str]) -> Iterator[Document]:
    """A document under its name, or where there are several parts of it, each under its number."""
    waiting, number = "", 0
    for text in filter(str.strip, texts):
        if waiting:
            number += 1
            yield Document(f"{name} (part {number})", waiting)
        waiting = text
    if not waiting:
        yield Document(name, "", "it holds no text")
    else:
        yield Document(f"{name} (part {number + 1})" if number else name, waiting)


def _is_object(line: bytes) -> bool:
    """Whether standard input begins as JSONL does."""
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
