import numpy as np
import pytest

from tests.watermark.made import pdf as made_pdf
from watermark.documents.document import Unreadable
from watermark.documents.formats import html, line_text, markdown, pdf, plain


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_in_its_encodings(encoding):
    assert plain("Grüße, 東京".encode(encoding)) == "Grüße, 東京"


def test_mixed_encodings_are_refused_with_the_place():
    with pytest.raises(Unreadable, match="byte 9 is no UTF-8"):
        plain("Grüße".encode() + "Grüße".encode("latin-1"))


@pytest.mark.parametrize("content", [b"\x7fELF\x02\x01\x00\x00\xff", b"a\0b", b"\xff\xfe\x00\xd8"])
def test_binary_files_are_refused(content):
    with pytest.raises(Unreadable, match=r"binary|encoding"):
        plain(content)


def test_html_gives_what_a_reader_sees():
    page = "<head><title>x</title></head><body><h1>One &amp;</h1><script>bad()</script><p>two\n  three</p></body>"
    assert html(page.encode()) == "One &\n\ntwo three"
    assert html(b"") == ""


def test_markdown_gives_its_prose():
    assert markdown(b"# One\n\n**two** [three](http://x) `four`\n\n- five\n") == "One\n\ntwo three four\n\nfive"


def test_pdf_gives_its_lines_joined():
    assert pdf(made_pdf(["one two", "three"])) == "one two three"


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4\n", b"no PDF", made_pdf(["one"])[:200]])
def test_damaged_pdfs_are_refused(content):
    with pytest.raises(Unreadable, match="damaged"):
        pdf(content)


def test_a_pdf_that_is_damaged_anywhere_gives_its_text_or_a_reason():
    generator = np.random.default_rng(0)
    whole = np.frombuffer(made_pdf(["one two", "three"]), np.uint8)
    read = 0
    for _ in range(1500):
        damaged = whole.copy()
        places = generator.integers(0, whole.size, 3)
        damaged[places] = generator.integers(0, 256, 3, np.uint8)
        try:
            pdf(damaged.tobytes())
            read += 1
        except Unreadable:
            pass
    assert 0 < read < 1500


def test_pdfs_with_filters_that_nobody_knows_are_damaged():
    with pytest.raises(Unreadable, match="damaged"):
        pdf(made_pdf(["one"]).replace(b"<< /Length", b"<< /Filter /Rot13 /Length"))


def test_a_line_holds_its_text_under_a_field():
    assert line_text(b'{"text": "one", "id": 2}', "text") == "one"
    assert line_text(b'"one"', "text") == "one"
    for line, said in ((b'{"id": 2}', "no text under 'text'"), (b"[1]", "no text"), (b"{", "not JSON")):
        with pytest.raises(Unreadable, match=said):
            line_text(line, "text")
