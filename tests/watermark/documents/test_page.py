import tracemalloc

import pytest

from watermark.documents import page
from watermark.documents.page import EndlessTag, Page


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>one <b>two</b>\n three</p>four<br>five", "one two three\n\nfour\n\nfive"),
        ("<table><tr><td>one</td><td>two</td></tr></table>", "one\n\ntwo"),
        ("a &lt; b &amp; c&nbsp;&#233; 1 < 2", "a < b & c é 1 < 2"),
        ("<head><title>x</title><p>one", "one"),
        ("<script>if (a < b) { document.write('<p>x</p>') }</script>one<style>p {}</style>", "one"),
        ("<template><p>x<noscript>y</template>one</noscript>", "one"),
        ("one<!-- <p>x -->two<![CDATA[x]]>", "onetwo"),
        ("</p></div></template>one</b>", "one"),
        ("one <b", "one <b"),
        ("", ""),
    ],
)
def test_what_a_reader_sees_is_read(source: str, text: str):
    assert Page().read(source) == text


def test_pieces_of_any_size_give_the_same(monkeypatch):
    source = "<p title='a > b'>one &amp; two</p><script>x</script><!-- y --><div>three &eacute;<br/>four</div>" * 3
    whole = Page().read(source)
    for size in (1, 2, 7, 50):
        monkeypatch.setattr(page, "PIECE", size)
        assert Page().read(source) == whole


@pytest.mark.parametrize("unit", ["<div>", "<ul><li>", "<b><p>", "<p a b c d>", "<td>", "<template>"])
def test_a_page_of_nothing_but_tags_takes_no_memory_beyond_itself(unit: str):
    source = unit * (200_000 // len(unit))
    tracemalloc.start()
    Page().read(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * len(source)


@pytest.mark.parametrize("unit", ["<!--", "<p a='", "<script>"])
def test_what_does_not_end_is_not_waited_for(unit: str, monkeypatch):
    monkeypatch.setattr(page, "LONGEST", 100_000)
    with pytest.raises(EndlessTag):
        Page().read(f"one{unit}" + "x" * 300_000)
    assert Page().read(f"one{unit}" + "x" * 50_000) == "one"
