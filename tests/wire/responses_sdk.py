"""The official SDK against the translation alone: no server, no guard, a model that is a function."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pydantic
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent

from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import ChatChunk, ChatCompletion, Usage
from llmguard.wire.responses import ResponsesRequest, to_chat
from llmguard.wire.responses_renderer import ResponsesRenderer

IDENT = "0123456789abcdef" * 2
CREATED = 1_700_000_000
USAGE = Usage(prompt_tokens=7, completion_tokens=5, total_tokens=12)
# What OpenAI sends and its SDK's types do not have, or what makes an event do for two SDKs.
UNTYPED = {
    "Response": {"store"},
    "ResponseTextDeltaEvent": {"obfuscation"},
    "ResponseRefusalDeltaEvent": {"obfuscation"},
    "ResponseFunctionCallArgumentsDeltaEvent": {"obfuscation"},
    "ResponseErrorEvent": {"error"},
    "Logprob": {"bytes"},
    "LogprobTopLogprob": {"bytes"},
}
_EVENT = pydantic.TypeAdapter[Any](ResponseStreamEvent)

Model = Callable[[ChatRequest], ChatCompletion | list[ChatChunk]]


def request(**fields: Any) -> ResponsesRequest:
    """A request from JSON values."""
    return msgspec.convert({"model": "m", "input": "hi", **fields}, ResponsesRequest)


def renderer(**fields: Any) -> ResponsesRenderer:
    """The writer of the answer to such a request."""
    return ResponsesRenderer(request(**fields), IDENT, CREATED)


def chunk(finish_reason: str | None = None, obfuscation: Any = msgspec.UNSET, **delta: Any) -> ChatChunk:
    """A chunk with this delta."""
    choice = {"delta": delta, "finish_reason": finish_reason}
    if "logprobs" in delta:
        choice["logprobs"] = delta.pop("logprobs")
    made = msgspec.convert({"choices": [choice]}, ChatChunk)
    made.obfuscation = obfuscation
    return made


def call_chunk(index: int, **piece: Any) -> ChatChunk:
    """A chunk with a piece of a tool call: `id`, `name`, `arguments`."""
    call = {"index": index, "function": {k: v for k, v in piece.items() if k != "id"}}
    return chunk(tool_calls=[call | ({"id": piece["id"]} if "id" in piece else {})])


def completion(finish_reason: str = "stop", logprobs: Any = None, **message: Any) -> ChatCompletion:
    """A whole chat answer with this message."""
    choice = {"message": message, "finish_reason": finish_reason, "logprobs": logprobs}
    made = msgspec.convert({"choices": [choice]}, ChatCompletion)
    made.usage = USAGE
    return made


def strict(body: bytes) -> Response:
    """The SDK's Response: every type exact, nothing that it does not know."""
    return _known(Response.model_validate_json(body, strict=True))


def events(stream: bytes) -> list[Any]:
    """The SDK's events, each in the frame that its type names, numbered from 0 without a gap."""
    assert stream.endswith(b"\n\n")
    read = []
    for frame in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        event = _known(_EVENT.validate_json(data.removeprefix("data: "), strict=True))
        assert name == f"event: {event.type}"
        assert event.sequence_number == len(read)
        read.append(event)
    return read


def stream_of(writer: ResponsesRenderer, chunks: Iterable[ChatChunk], at_once: int = 1) -> bytes:
    """The whole stream, some chunks at a time."""
    rest = list(chunks)
    written = b""
    while rest:
        written += writer.chunks(rest[:at_once])
        rest = rest[at_once:]
    return written + writer.end(USAGE)


@contextmanager
def client(model: Model) -> Iterator[OpenAI]:
    """The official client, whose requests are translated, answered by `model` and rendered."""

    def answer(asked: httpx.Request) -> httpx.Response:
        typed = msgspec.json.decode(asked.content, type=ResponsesRequest)
        writer = ResponsesRenderer(typed, IDENT, CREATED)
        given = model(to_chat(typed))
        if isinstance(given, ChatCompletion):
            body = writer.whole(given)
            return httpx.Response(200, content=body, headers={"content-type": "application/json"})
        return httpx.Response(200, content=stream_of(writer, given), headers={"content-type": "text/event-stream"})

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as http,
        OpenAI(api_key="k", base_url="http://guard/v1", http_client=http, max_retries=0) as made,
    ):
        yield made


def _known(value: Any) -> Any:
    if isinstance(value, pydantic.BaseModel):
        unknown = set(value.model_extra or ()) - UNTYPED.get(type(value).__name__, set())
        assert not unknown, f"{type(value).__name__} has no {unknown}"
        for name in type(value).model_fields:
            _known(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            _known(each)
    return value
