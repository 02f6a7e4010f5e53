"""The report in HTML."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.watermark.made import WORDS, sampled, tokenizer_file, unmarked
from watermark.cli.html import HtmlReport, ReportError
from watermark.documents.document import Document
from watermark.examination import Examination, Examiner
from watermark.normalise import Normaliser
from watermark.schemes.gumbel import Vllm
from watermark.tokenizer import load
from watermark.verdict import Panel

KEY = np.array([[77]], np.uint64)
ATTACK = "<script>alert('x')</script>&amp;\"</pre>"
VOID = {"meta", "line", "polyline"}


class Parts(HTMLParser):
    """The tags in their nesting, and the text inside of each."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.inside: dict[str, str] = {}
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """One more open tag."""
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attributes if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """A tag without content."""
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """The innermost open tag's end."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text in all open tags."""
        for tag in set(self.open):
            self.inside[tag] = self.inside.get(tag, "") + data


@pytest.fixture
def examiner(tmp_path: Path) -> Examiner:
    tokenizer = load(str(tokenizer_file(tmp_path / "tokenizer.json")))
    return Examiner(tokenizer, Normaliser(), (Panel(Vllm(), KEY, ("key-1",)),), 1e-6)


def examined(examiner: Examiner, text: str, name: str = "x", reason: str | None = None) -> Examination:
    return examiner.examine(Document(name, text, reason), np.random.default_rng(0))


def written(path: Path, *examinations: Examination) -> Parts:
    with HtmlReport(path, 1e-6) as report:
        for examination in examinations:
            report.add(examination)
    parts = Parts()
    parts.feed(path.read_text())
    parts.close()
    assert parts.open == []
    return parts


def test_spans_are_coloured_and_the_course_is_plotted(examiner: Examiner, tmp_path: Path):
    mark = sampled(KEY[0], 200)
    text = f"{unmarked(200)} {mark} {unmarked(200, seed=1)}"
    parts = written(tmp_path / "r.html", examined(examiner, text))
    assert parts.inside["pre"] == text
    coloured = parts.inside["mark"].split()
    assert len(set(coloured) & set(mark.split())) > 100
    assert 150 <= len(coloured) <= 250
    assert parts.tags.count("polyline") == 1
    assert "marked" in parts.inside["span"]


def test_the_course_ends_where_the_whole_text_stands(examiner: Examiner):
    examination = examined(examiner, sampled(KEY[0], 45))
    places, course = examination.course()
    assert examination.verdict.log10_p == pytest.approx(course[-1])
    assert (course[0] > -5, places[-1]) == (True, 44)


def test_nothing_of_a_text_is_markup(examiner: Examiner, tmp_path: Path):
    marked = f"{ATTACK} {sampled(KEY[0], 200)} {ATTACK}"
    parts = written(
        tmp_path / "r.html",
        examined(examiner, marked, name=ATTACK),
        examined(examiner, "", reason=ATTACK, name="$reason"),
    )
    assert "script" not in parts.tags
    assert parts.inside["pre"] == marked
    assert ATTACK in parts.inside["h2"]
    assert ATTACK in parts.inside["p"]
    assert parts.tags.count("article") == 2


def test_nothing_is_fetched(examiner: Examiner, tmp_path: Path):
    parts = written(tmp_path / "r.html", examined(examiner, sampled(KEY[0], 60)))
    assert parts.sources == []
    assert not re.search(r"https?://|@import|url\(", (tmp_path / "r.html").read_text())


def test_there_is_never_half_a_report(examiner: Examiner, tmp_path: Path):
    path = tmp_path / "reports" / "r.html"
    path.parent.mkdir()
    path.write_text("the last one")
    with pytest.raises(KeyboardInterrupt), HtmlReport(path, 1e-6) as report:
        report.add(examined(examiner, WORDS[0]))
        raise KeyboardInterrupt
    assert path.read_text() == "the last one"
    assert [*path.parent.iterdir()] == [path]
    with pytest.raises(ReportError, match="cannot be written"), HtmlReport(path.parent, 1e-6):
        pass
    assert not [*tmp_path.glob(".report*")]
