from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llmguard.upstreams.embedded.text import TextOut, byte_of_symbol


def pushed(data: bytes, cuts: list[int], stop: list[str]) -> tuple[list[str], bool]:
    """What comes out when `data` is cut at `cuts`."""
    out, texts = TextOut(stop), []
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        texts.append(out.push(data[start:end]))
        if out.stopped:
            return texts, True
    return [*texts, out.end()], False


@given(st.text(), st.lists(st.integers(0, 1000), max_size=20))
def test_cutting_anywhere_loses_nothing(text: str, cuts: list[int]):
    texts, stopped = pushed(text.encode(), cuts, [])
    assert "".join(texts) == text
    assert not stopped


@given(
    st.text(alphabet="aé日b", max_size=40),
    st.lists(st.integers(0, 1000), max_size=20),
    st.lists(st.text(alphabet="aé日b", min_size=1, max_size=4), min_size=1, max_size=4),
)
def test_a_stop_sequence_never_comes_out_however_it_is_cut(text: str, cuts: list[int], stop: list[str]):
    texts, stopped = pushed(text.encode(), cuts, stop)
    joined = "".join(texts)
    assert not any(one in joined for one in stop)
    assert stopped == any(one in text for one in stop)
    assert text.startswith(joined)
    if not stopped:
        assert joined == text


def test_a_character_is_given_out_whole_and_dropped_when_it_stays_incomplete():
    out = TextOut([])
    assert [out.push(bytes([byte])) for byte in "é日".encode()] == ["", "é", "", "", "日"]
    assert out.push("😀".encode()[:3]) == ""
    assert out.end() == ""


def test_only_the_possible_beginning_of_a_stop_sequence_is_held_back():
    out = TextOut(["STOP"])
    assert out.push(b"abcST") == "abc"
    assert out.push(b"x") == "STx"
    assert out.push(b"ST") == ""
    assert out.end() == "ST"


def test_the_byte_alphabet_is_a_bijection():
    assert sorted(byte_of_symbol().values()) == list(range(256))
