"""Text from good files, reasons from bad ones, and no harm from malicious ones."""

import json
import time
from contextlib import suppress

import pytest

from similarity.extraction.extract import Bounds, extracted
from similarity.extraction.formats import Unreadable
from tests.similarity.extraction.made import pdf, zipped

BOUNDS = Bounds(memory=1 << 29, seconds=3, characters=100_000)
WORDS = b"BT /F1 9 Tf 10 50 Td (hello from a page) Tj ET"
DEEP = 100_000


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.txt", "grüße\nzwei".encode(), "grüße\nzwei"),
        ("a.TXT", "\ufeffwith a mark".encode(), "with a mark"),
        ("a.txt", "wide".encode("utf-16"), "wide"),
        ("a.jsonl", b'{"q": "why", "n": 3, "in": {"a": ["x", "y"]}}\n\n"alone"\n', "q: why; n: 3; a: x; a: y\nalone"),
        ("a.md", b"# Title\n\nSome *bold* `code`\n\n- one\n- two\n", "Title\nSome bold code\none\ntwo"),
        ("a.html", b"<title>t</title><script>no()</script><p>Hi\n<b>you</b><style>x</style>", "Hi you"),
        ("a.pdf", pdf(WORDS), "hello from a page"),
    ],
)
def test_the_text_of_each_format(name: str, content: bytes, text: str) -> None:
    assert extracted(name, content, BOUNDS) == text


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.exe", b"MZ", "types"),
        ("a", b"x", "types"),
        ("a.zip", zipped(10_000_000), "types"),
        ("a.txt", zipped(10_000_000), "UTF-8"),
        ("a.txt", b"caf\xe9", "UTF-8"),
        ("a.txt", b"a\0b", "not text"),
        ("a.txt", b" \n\t", "no text"),
        ("a.txt", b"x" * 100_001, "more text"),
        ("a.html", b"<script>only()</script>", "no text"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2"),
        ("a.jsonl", b"[" * DEEP, "line 1"),
        ("a.jsonl", b"[" * DEEP + b"]" * DEEP, "line 1"),
        ("a.pdf", b"%PDF-1.7 nothing more", "damaged"),
        ("a.pdf", b"", "damaged"),
        ("a.pdf", zipped(10_000_000), "damaged"),
        ("a.pdf", pdf(WORDS)[:300], "damaged|no text"),
        ("a.pdf", pdf(WORDS, kids="[2 0 R 2 0 R]", count=99), "damaged|no text|too much"),
        ("a.pdf", pdf(b" " * 300_000_000), "damaged|too much|no text"),
        ("a.pdf", pdf(b"q " * 20_000_000), "damaged|too long|no text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_without_a_text_gives_a_reason_soon(name: str, content: bytes, reason: str) -> None:
    start = time.monotonic()
    with pytest.raises(Unreadable, match=reason):
        extracted(name, content, BOUNDS)
    assert time.monotonic() - start < 2 * BOUNDS.seconds + 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.html", b"<div>" * DEEP + b"x"),
        ("deep.md", b"> " * 20_000 + b"x"),
        ("links.md", b"[" * 50_000),
        ("stars.md", b"*a " * 50_000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_deep_files_end(name: str, content: bytes) -> None:
    """Whether with a text or a reason."""
    start = time.monotonic()
    with suppress(Unreadable):
        assert extracted(name, content, BOUNDS)
    assert time.monotonic() - start < 2 * BOUNDS.seconds + 4


def test_a_line_of_json_may_hold_anything() -> None:
    lines = [json.dumps(value) for value in (None, True, 1.5, "", [], {}, {"a": None}, [[["x"]]])]
    assert extracted("a.jsonl", "\n".join(lines).encode(), BOUNDS) == "True\n1.5\nx"


def test_the_child_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hijacked parser could read of the parent's environment."""
    seen: dict[str, str] = {}

    def run(*_: object, env: dict[str, str], **__: object) -> None:
        seen.update(env)
        raise OSError

    monkeypatch.setenv("LLMGUARD_SECRET", "x" * 32)
    monkeypatch.setattr("similarity.extraction.extract.subprocess.run", run)
    with pytest.raises(OSError):  # noqa: PT011 - our own, above
        extracted("a.pdf", b"x", BOUNDS)
    assert "PATH" in seen
    assert "LLMGUARD_SECRET" not in seen
