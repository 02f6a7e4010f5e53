"""The text of an HTML page, as it is read: no tree is built, so that memory is bounded by the text. Pure."""

from collections.abc import Sequence
from html.parser import HTMLParser

UNSEEN = frozenset({"script", "style", "template", "noscript", "title"})
BLOCKS = frozenset(
    {
        *("p", "div", "li", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "section"),
        *("article", "br", "dt", "dd"),
    }
)
PIECE = 1 << 16
LONGEST = 1 << 22
"""Characters of a tag, a comment or a script that are waited for to end: pictures stand in tags."""
LAST = 1 << 12
"""Characters of an end without an end that are read as text, as browsers read them."""


class EndlessTag(Exception):
    """Something begins in the page that does not end."""


class Page(HTMLParser):
    """What a reader sees of a page: without scripts and styles, a paragraph a block.

    Fed with pieces of any size; `text` gives the whole at the end.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks: list[str] = []
        self._open: list[str] = []
        self._hidden: list[str] = []

    def read(self, page: str) -> str:
        """The text of a whole page. Raises `EndlessTag`."""
        for start in range(0, len(page), PIECE):
            self.feed(page[start : start + PIECE])
            if len(self.rawdata) > LONGEST:
                raise EndlessTag
        if len(self.rawdata) <= LAST:
            self.close()
        self._end()
        return "\n\n".join(self._blocks)

    def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        """A block ends before and begins after; what is not seen begins."""
        if tag in BLOCKS:
            self._end()
        elif tag in UNSEEN:
            self._hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """The same at its end. What is open inside of it ends as well."""
        if tag in BLOCKS:
            self._end()
        elif tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]

    def handle_data(self, data: str) -> None:
        """Text, seen or not."""
        if not self._hidden:
            self._open.append(data)

    def _end(self) -> None:
        block = " ".join("".join(self._open).split())
        if block:
            self._blocks.append(block)
        self._open.clear()
