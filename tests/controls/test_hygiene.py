"""Nothing of the upstream shows."""

import re
from typing import Any

import pytest

from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import (
    AnswerCall,
    AnswerMessage,
    AnswerToolCall,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChunkChoice,
    Delta,
    DeltaFunction,
    DeltaToolCall,
)
from llmguard.wire.completions import Completion, CompletionChoice
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, COMPLETION, Guarded

pytestmark = pytest.mark.anyio

OWN = "upstream-own"
ASKED: dict[type, tuple[str, dict[str, Any]]] = {
    ChatCompletion: ("/v1/chat/completions", CHAT),
    ChatChunk: ("/v1/chat/completions", {**CHAT, "stream": True}),
    Completion: ("/v1/completions", COMPLETION),
}
STREAMED_TEXT = ("/v1/completions", {**COMPLETION, "stream": True})


def whole(call: str = f"{OWN}-call") -> ChatCompletion:
    """A chat answer in which every field that can be is the upstream's own."""
    calls = [AnswerToolCall(call, AnswerCall("weather", "{}"), OWN)]
    choice = Choice(message=AnswerMessage(content="hello", tool_calls=calls), finish_reason=OWN)
    return ChatCompletion(id=OWN, object=OWN, created=7, model=OWN, choices=[choice], system_fingerprint=OWN)


def chunk(call: str = f"{OWN}-call") -> ChatChunk:
    """A chunk of that kind."""
    calls = [DeltaToolCall(0, call, OWN, DeltaFunction("weather", "{}"))]
    choice = ChunkChoice(delta=Delta(content="hello", tool_calls=calls), finish_reason=OWN)
    return ChatChunk(
        id=OWN, object=OWN, created=7, model=OWN, choices=[choice], system_fingerprint=OWN, obfuscation=OWN
    )


def text() -> Completion:
    """A text completion of that kind, whole or in pieces."""
    choice = CompletionChoice("hello", finish_reason=OWN)
    return Completion(
        id=OWN, object=OWN, created=7, model=OWN, choices=[choice], system_fingerprint=OWN, obfuscation=OWN
    )


async def answered(event: Event, asked: tuple[str, dict[str, Any]], *, without: tuple[str, ...] = ()) -> FakeClient:
    """The client's answer to this event of the upstream."""
    client = await Guarded(FakeUpstream([event]), without=without).ask(*asked)
    assert client.status == 200
    return client


@pytest.mark.parametrize(
    ("event", "asked"),
    [*((make, ASKED[kind]) for make, kind in ((whole, ChatCompletion), (chunk, ChatChunk), (text, Completion))),
     (text, STREAMED_TEXT)],
)  # fmt: skip
async def test_without_the_control_the_upstream_shows_and_with_it_does_not(event: Any, asked: Any) -> None:
    assert OWN in (await answered(event(), asked, without=("hygiene",))).body.decode()
    client = await answered(event(), asked)
    assert OWN not in client.body.decode()
    assert b"hello" in client.body


@pytest.mark.parametrize(("event", "asked"), [(whole, ASKED[ChatCompletion]), (chunk, ASKED[ChatChunk])])
async def test_the_guards_own_stands_in_its_place(event: Any, asked: Any) -> None:
    client = await answered(event(), asked)
    shown = client.frames[0] if asked[1].get("stream") else client.json
    ident = client.headers["x-request-id"].removeprefix("req_")
    assert shown["id"] == f"chatcmpl-{ident}"
    assert (shown["model"], shown["created"]) == ("chat", 1_800_000_000)
    assert shown["choices"][0]["finish_reason"] == "stop"
    said = shown["choices"][0].get("message") or shown["choices"][0]["delta"]
    assert said["tool_calls"][0]["type"] == "function"
    assert re.fullmatch(r"call_[0-9a-f]{24}", said["tool_calls"][0]["id"])


async def test_ids_of_calls_are_alike_within_an_answer_only() -> None:
    guard = Guarded(FakeUpstream([chunk("a"), chunk("a"), chunk("b"), chunk("")]))
    seen = []
    for _ in range(2):
        client = await guard.ask(*ASKED[ChatChunk])
        seen.append([frame["choices"][0]["delta"]["tool_calls"][0].get("id") for frame in client.frames[:4]])
    (first, again, other, empty), (elsewhere, *_) = seen
    assert first == again
    assert not empty
    assert len({first, other, elsewhere}) == 3


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call"])
async def test_a_finish_reason_that_openai_knows_stays(reason: str) -> None:
    event = whole()
    event.choices[0].finish_reason = reason
    assert (await answered(event, ASKED[ChatCompletion])).json["choices"][0]["finish_reason"] == reason
