"""One body, or data frames up to `[DONE]`."""

import json
from typing import Any

import pytest

from llmguard.errors import Denial
from llmguard.wire.chat import ChatRequest, StreamOptions, UserMessage
from llmguard.wire.chat_endpoint import ChatRenderer
from llmguard.wire.chunks import ChunkRenderer
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.completions_endpoint import CompletionRenderer
from tests.fakes.upstream import USAGE, chunk

IDENT, CREATED = "0" * 32, 1_800_000_000
REQUESTS: dict[type[ChunkRenderer], Any] = {
    ChatRenderer: lambda **more: ChatRequest(model="chat", messages=[UserMessage("hello")], stream=True, **more),
    CompletionRenderer: lambda **more: CompletionRequest(model="chat", prompt="hello", stream=True, **more),
}
KINDS = pytest.mark.parametrize(
    ("kind", "prefix", "shape"),
    [(ChatRenderer, "chatcmpl-", "chat.completion.chunk"), (CompletionRenderer, "cmpl-", "text_completion")],
)


def frames(written: bytes) -> list[Any]:
    """What was written, frame by frame."""
    assert written.endswith(b"\n\n") or not written
    data = [frame.removeprefix(b"data: ") for frame in written.split(b"\n\n")[:-1]]
    return [json.loads(frame) if frame != b"[DONE]" else "[DONE]" for frame in data]


@KINDS
@pytest.mark.parametrize("options", [None, StreamOptions(), StreamOptions(include_usage=False)])
def test_usage_that_was_not_asked_for_is_not_mentioned(
    kind: type[ChunkRenderer], prefix: str, shape: str, options: StreamOptions | None
) -> None:
    asked = REQUESTS[kind](stream_options=options)
    renderer = kind(asked, IDENT, CREATED)
    event = chunk(asked, "hello")
    event.usage = USAGE
    (frame,) = frames(renderer.chunks([event]))
    assert "usage" not in frame
    assert frame["object"] == shape
    assert frames(renderer.end(USAGE)) == ["[DONE]"]


@KINDS
def test_usage_that_was_asked_for_comes_once_and_last(kind: type[ChunkRenderer], prefix: str, shape: str) -> None:
    asked = REQUESTS[kind](stream_options=StreamOptions(include_usage=True))
    renderer = kind(asked, IDENT, CREATED)
    told = frames(renderer.chunks([chunk(asked, "one"), chunk(asked, "two")]))
    assert [frame["usage"] for frame in told] == [None, None]
    last, done = frames(renderer.end(USAGE))
    assert done == "[DONE]"
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], USAGE.total_tokens)
    assert (last["id"], last["object"], last["model"], last["created"]) == (prefix + IDENT, shape, "chat", CREATED)


@KINDS
def test_usage_that_the_upstream_never_told_is_null(kind: type[ChunkRenderer], prefix: str, shape: str) -> None:
    renderer = kind(REQUESTS[kind](stream_options=StreamOptions(include_usage=True)), IDENT, CREATED)
    assert frames(renderer.end(None))[0]["usage"] is None


@KINDS
def test_a_broken_stream_ends_in_an_error_and_never_in_done(kind: type[ChunkRenderer], prefix: str, shape: str) -> None:
    renderer = kind(REQUESTS[kind](), IDENT, CREATED)
    (frame,) = frames(renderer.error(Denial("upstream_timeout")))
    assert frame["error"]["code"] == "upstream_timeout"
    assert frame["error"].keys() == {"message", "type", "param", "code"}


@KINDS
@pytest.mark.parametrize("text", ["a\n\ndata: [DONE]\n\n", "\r\n\r\n", "\u2028", "🌍", '"', ""])
def test_no_text_can_end_its_frame(kind: type[ChunkRenderer], prefix: str, shape: str, text: str) -> None:
    asked = REQUESTS[kind]()
    (frame,) = frames(kind(asked, IDENT, CREATED).chunks([chunk(asked, text)]))
    choice = frame["choices"][0]
    assert (choice["delta"]["content"] if kind is ChatRenderer else choice["text"]) == text


def test_no_chunks_are_no_frames() -> None:
    assert ChatRenderer(REQUESTS[ChatRenderer](), IDENT, CREATED).chunks([]) == b""
