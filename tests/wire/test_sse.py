"""Server-sent events: however a stream is cut into blocks, its events are the same."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.wire.sse import EventReader, EventTooLarge

DATA = (b"data: a", b"data:b", b"data:  c", b"data: \xc3\xa9", b"data", b"data:", b"data: ")
OTHER = (b": comment", b":", b"event: message", b"id: 1", b"retry: 5", b"nonsense", b"data : x")
LINES = st.sampled_from([*DATA, *OTHER, b"", b"", b"", b""])
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Bytes of an event stream, with any mixture of line ends."""
    return b"".join(line + draw(ENDS) for line in draw(st.lists(LINES, max_size=30)))


def by_the_standard(stream: bytes) -> list[bytes]:
    """Line by line, as the HTML standard's algorithm goes; an event without data is none.

    A CR at the very end may be half of a CRLF: it ends a line only when more has come.
    """
    lines = stream.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]
    events, data = [], []
    for line in lines:
        if line:
            field, _, value = line.partition(b":")
            data += [value.removeprefix(b" ")] if field == b"data" else []
        else:
            events += [b"\n".join(data)] if b"\n".join(data) else []
            data = []
    return events


def read(blocks: Iterable[bytes]) -> list[bytes]:
    """What a reader gives for these blocks."""
    reader = EventReader()
    return [event for block in blocks for event in reader.feed(block)]


@given(stream=streams(), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_split_gives_the_events_of_the_standard(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert read(stream[start:end] for start, end in pairwise(places)) == by_the_standard(stream)


@given(stream=streams())
def test_byte_by_byte(stream: bytes) -> None:
    assert read(stream[at : at + 1] for at in range(len(stream))) == by_the_standard(stream)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a": 1}\n\ndata: [DONE]\n\n', [b'{"a": 1}', b"[DONE]"]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [b"a", b"b", b"c"]),
        (b": keep-alive\n\n: and: again\r\n\r\n", []),
        (b"data: \n\ndata:\n\ndata\n\n", []),
        (b"event: message\nid: 7\ndata: one\ndata:two\n\n", [b"one\ntwo"]),
        (b"data: cut off\n", []),
        (b"\n\n\n\ndata: after blank lines\n\n", [b"after blank lines"]),
    ],
    ids=["plain", "line ends", "comments", "no data", "fields", "cut off", "blank"],
)
def test_events(stream: bytes, events: list[bytes]) -> None:
    assert read([stream]) == events


@pytest.mark.parametrize("size", [1, 7, 64])
def test_an_event_without_an_end_is_not_held_for_ever(size: int) -> None:
    reader = EventReader(limit=100)
    for _ in range(100 // size):
        assert reader.feed(b"x" * size) == []
    with pytest.raises(EventTooLarge):
        reader.feed(b"x" * size)


def test_the_limit_is_of_one_event_and_not_of_the_stream() -> None:
    reader = EventReader(limit=100)
    assert [event for _ in range(100) for event in reader.feed(b"data: " + b"x" * 90 + b"\n\n")] == [b"x" * 90] * 100
