"""The text of a file, by format; run in a process of its own, which may be slow, greedy or killed."""

import io
from collections.abc import Callable, Mapping

import msgspec
from markdown_it import MarkdownIt
from pypdf import PdfReader
from pypdf.errors import PyPdfError
from selectolax.lexbor import LexborHTMLParser

UNSEEN = ("script", "style", "template", "noscript", "head")
BLOCKS = "p, div, li, tr, td, th, h1, h2, h3, h4, h5, h6, pre, blockquote, section, article, br, dt, dd"
BREAK = "\u2029"
"""A paragraph's end, in a character that no parser takes for white space of the source."""

MOST_PAGES = 2000
SUFFIXES = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".jsonl": "jsonl",
    ".pdf": "pdf",
}


class Unreadable(Exception):
    """A file without a text that can be had; the message is a reason for the client."""


def plain(content: bytes) -> str:
    """UTF-8, or UTF-16 with its mark; raises Unreadable for anything else."""
    try:
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable("the file is not text in UTF-8") from error
    if "\0" in text:
        raise Unreadable("the file is not text")
    return text


def html(content: bytes) -> str:
    """What a reader sees: without scripts and styles, a line a block."""
    tree = LexborHTMLParser(plain(content))
    tree.strip_tags(list(UNSEEN))
    for block in tree.css(BLOCKS):
        block.insert_before(BREAK)
        block.insert_after(BREAK)
    lines = (tree.body.text() if tree.body is not None else "").split(BREAK)
    return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)


def markdown(content: bytes) -> str:
    """Its prose and code, without the marks."""
    return html(MarkdownIt("commonmark").render(plain(content)).encode())


def jsonl(content: bytes) -> str:
    """A line for each line: its texts, each after its key. Raises Unreadable, with the line, for what is no JSON."""
    lines = []
    for number, line in enumerate(plain(content).splitlines(), 1):
        if not line.strip():
            continue
        try:
            lines.append("; ".join(_texts(msgspec.json.decode(line))))
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unreadable(f"line {number} is not JSON") from error
    return "\n".join(line for line in lines if line)


def pdf(content: bytes) -> str:
    """The text of its pages, in order; raises Unreadable for a damaged, encrypted or endless one."""
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            raise Unreadable("the PDF is encrypted")
        if len(reader.pages) > MOST_PAGES:
            raise Unreadable(f"the PDF has more than {MOST_PAGES} pages")
        return "\n\n".join(page.extract_text() for page in reader.pages)
    # A damaged PDF fails in as many ways as it has parts, not all of which are wrapped.
    except (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OSError) as error:
        raise Unreadable("the PDF is damaged") from error


FORMATS: Mapping[str, Callable[[bytes], str]] = {
    "text": plain,
    "markdown": markdown,
    "html": html,
    "jsonl": jsonl,
    "pdf": pdf,
}


def _texts(value: object) -> list[str]:
    """The texts in a JSON value, depth first, each after the key that it stands under."""
    found: list[str] = []
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        key, one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend((str(name), inner) for name, inner in reversed(one.items()))
        elif isinstance(one, list):
            waiting.extend((key, inner) for inner in reversed(one))
        elif one is not None and one != "":
            found.append(f"{key}: {one}" if key else str(one))
    return found
