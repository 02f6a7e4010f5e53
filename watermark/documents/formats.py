"""The text of a file's bytes, by format. Pure."""

import io
from collections.abc import Callable, Mapping

import msgspec
from markdown_it import MarkdownIt
from pypdf import PdfReader
from pypdf.errors import DeprecationError, PyPdfError
from selectolax.lexbor import LexborHTMLParser

from watermark.documents.document import Unreadable

MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
UNSEEN = ["script", "style", "template", "noscript", "head"]
BLOCKS = "p, div, li, tr, h1, h2, h3, h4, h5, h6, pre, blockquote, section, article, br, dt, dd"
BREAK = "\u2029"
"""A block's end, in a character that no parser takes for white space of the source."""
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
    encoding = next((encoding for mark, encoding in MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise Unreadable("it is a binary file") from error
        raise Unreadable(f"it is not text in one encoding: byte {error.start} is no {encoding.upper()}") from error
    if "\0" in text:
        raise Unreadable("it is a binary file")
    return text


def html(content: bytes) -> str:
    """What a reader sees: without scripts and styles, a paragraph a block."""
    tree = LexborHTMLParser(plain(content))
    tree.strip_tags(UNSEEN)
    for block in tree.css(BLOCKS):
        block.insert_before(BREAK)
        block.insert_after(BREAK)
    blocks = (tree.body.text() if tree.body is not None else "").split(BREAK)
    return "\n\n".join(block for block in (" ".join(block.split()) for block in blocks) if block)


def markdown(content: bytes) -> str:
    """Its prose and code, without the marks."""
    return html(MarkdownIt("commonmark").render(plain(content)).encode())


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
