"""Documents one after another out of what a command line names, never more than one in memory."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from watermark.documents.document import Document, Unreadable
from watermark.documents.formats import FORMATS, line_text, plain

MOST_BYTES = 1 << 26
STDIN = "-"
LINES = (".jsonl", ".ndjson")


def documents(paths: Sequence[str], *, stdin: BinaryIO, field: str) -> Iterator[Document]:
    """The documents of files, of folders (all files below, in order of name, hidden ones left out) and of `stdin`.

    A line of JSONL is a document, called FILE:LINE, whose text is under `field`. What cannot be read
    is a document with a reason, also where nothing is found.
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
            if path.suffix.lower() in LINES:
                yield from _lines(str(path), file, field)
            else:
                yield _whole(str(path), file.read(MOST_BYTES + 1), path.suffix.lower())
    except OSError as error:
        yield Document(str(path), "", f"it cannot be read: {error.strerror}")


def _stdin(stdin: BinaryIO, field: str) -> Iterator[Document]:
    first = stdin.readline(MOST_BYTES + 1)
    if _is_object(first):
        yield from _lines(STDIN, stdin, field, first)
    else:
        yield _whole(STDIN, first + stdin.read(max(0, MOST_BYTES + 1 - len(first))), "")


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
            yield _document(called, line, field)
    if not number:
        yield Document(name, "", "it is empty")


def _document(name: str, line: bytes, field: str) -> Document:
    try:
        return _filled(name, line_text(line.removeprefix(b"\xef\xbb\xbf"), field))
    except Unreadable as error:
        return Document(name, "", str(error))


def _whole(name: str, content: bytes, suffix: str) -> Document:
    if len(content) > MOST_BYTES:
        return Document(name, "", f"it is larger than {MOST_BYTES >> 20} MiB: cut it into lines of JSONL")
    try:
        return _filled(name, FORMATS.get(suffix, plain)(content))
    except Unreadable as error:
        return Document(name, "", str(error))


def _filled(name: str, text: str) -> Document:
    return Document(name, text) if text.strip() else Document(name, "", "it holds no text")


def _is_object(line: bytes) -> bool:
    """Whether standard input begins as JSONL does."""
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
