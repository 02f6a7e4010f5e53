"""The text of a file's bytes, by format. Pure."""

import codecs
import io
from collections.abc import Callable, Iterator, Mapping

import msgspec
from markdown_it import MarkdownIt
from pypdf import PdfReader
from pypdf.errors import DeprecationError, PyPdfError

from watermark.documents.document import Unreadable
from watermark.documents.page import EndlessTag, Page

MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
MARKDOWN_PIECE = 1 << 15
"""Characters of Markdown rendered at once: rendering takes hundreds of times their memory."""
MOST_PAGES = 2000
DAMAGE = (
    PyPdfError,
    DeprecationError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What pypdf was seen to raise on 100,000 damaged files."""


def plain(content: bytes) -> str:
    """UTF-8, or UTF-16 and UTF-32 with their mark. Raises `Unreadable` for anything else, with the place."""
    decoder = Decoder()
    return decoder.text(content, last=True)


class Decoder:
    """Text out of bytes as they come, in the encoding that their first ones tell."""

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None
        self._encoding = ""
        self._before = 0

    def text(self, content: bytes, *, last: bool) -> str:
        """The next bytes' text; the first call has at least four, if there are as many. Raises `Unreadable`."""
        if self._decoder is None:
            self._encoding = next((encoding for mark, encoding in MARKS if content.startswith(mark)), "utf-8")
            self._decoder = codecs.getincrementaldecoder(self._encoding)()
        waiting = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(content, final=last)
        except UnicodeDecodeError as error:
            if b"\0" in content:
                raise Unreadable("it is a binary file") from error
            place = self._before - waiting + error.start
            raise Unreadable(f"it is not text in one encoding: byte {place} is no {self._encoding.upper()}") from error
        if "\0" in text:
            raise Unreadable("it is a binary file")
        self._before += len(content)
        return text


def html(content: bytes) -> str:
    """What a reader sees: without scripts and styles, a paragraph a block. Raises `Unreadable`."""
    return _page(plain(content))


def markdown(content: bytes) -> str:
    """Its prose and code, without the marks."""
    text, renderer = plain(content), MarkdownIt("commonmark")
    return "\n\n".join(page for piece in pieces(text, MARKDOWN_PIECE) if (page := _page(renderer.render(piece))))


def pieces(text: str, size: int) -> Iterator[str]:
    """A text in pieces of at most `size` characters, cut behind a paragraph, a line or a word, where there is one."""
    start = 0
    while start < len(text):
        end = start + size
        if end < len(text):
            places = (text.rfind(mark, start, end) + len(mark) for mark in ("\n\n", "\n", " "))
            # A mark that is not found gives a place before its length.
            end = next((place for place in places if place > start + 1), end)
        yield text[start:end]
        start = end


def _page(text: str) -> str:
    try:
        return Page().read(text)
    except EndlessTag as error:
        raise Unreadable("a tag or a comment in it does not end") from error


def pdf(content: bytes) -> str:
    """The text of its pages, in order; lines that a page's width broke are joined."""
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            raise Unreadable("the PDF is encrypted")
        if len(reader.pages) > MOST_PAGES:
            raise Unreadable(f"the PDF has more than {MOST_PAGES} pages")
        pages = [page.extract_text() for page in reader.pages]
    # A damaged PDF fails in as many ways as it has parts, not all of which are wrapped.
    except DAMAGE as error:
        raise Unreadable("the PDF is damaged") from error
    return "\n\n".join(" ".join(page.split()) for page in pages)


FORMATS: Mapping[str, Callable[[bytes], str]] = {
    ".md": markdown,
    ".markdown": markdown,
    ".html": html,
    ".htm": html,
    ".pdf": pdf,
}
"""By the suffix of a file's name; any other is read as text."""


def line_text(line: bytes, field: str) -> str:
    """The text in one line of JSONL: a string, or the string under `field` of an object. Raises `Unreadable`."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("the line is not JSON") from error
    found = value.get(field) if isinstance(value, dict) else value
    if not isinstance(found, str):
        raise Unreadable(f"the line has no text under {field!r}")
    return found
