"""The length of a chunk tells nothing of its text."""

from typing import Any

import pytest

from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import ChatChunk, ChunkChoice, Delta, DeltaFunction, DeltaToolCall
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, COMPLETION, Guarded

pytestmark = pytest.mark.anyio

SECRETS = ["a", "yes", "no way", "ja, gewiß", "日本語", 'say "\\\n"', "🌍🌍", "x" * 20]
PAD_STREAM = {"public": {"outputs": {"pad_stream": True}}, "narrow": {}}
PADDED = {"stream": True, "stream_options": {"include_obfuscation": True}}


async def lengths(
    path: str, body: dict[str, Any], texts: list[str | Event], *, without: tuple[str, ...] = ()
) -> list[int]:
    """The lengths that somebody on the wire sees of the chunk with each text."""
    seen = []
    for text in texts:
        client = await Guarded(FakeUpstream([text]), without=without).ask(path, {**body, **PADDED})
        seen.append(len(client.sent[1]["body"]))
    return seen


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/completions", COMPLETION)])
async def test_without_the_control_lengths_tell_texts_apart_and_with_it_do_not(path: str, body: dict[str, Any]) -> None:
    assert len(set(await lengths(path, body, [*SECRETS], without=("obfuscation",)))) > len(SECRETS) / 2
    seen = await lengths(path, body, [*SECRETS])
    assert len({length % 32 for length in seen}) == 1
    assert len(set(seen)) <= 3


async def test_pieces_of_calls_and_refusals_are_padded_too() -> None:
    def deltas(text: str) -> list[Delta]:
        call = DeltaToolCall(0, None, None, DeltaFunction(arguments=text))
        return [Delta(tool_calls=[call]), Delta(refusal=text), Delta(content=text)]

    events: list[str | Event] = [
        ChatChunk(choices=[ChunkChoice(delta=delta)]) for text in ("a", "b" * 9) for delta in deltas(text)
    ]
    seen = await lengths("/v1/chat/completions", CHAT, events)
    assert len({length % 32 for length in seen}) == 1


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/completions", COMPLETION)])
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_obfuscation": False}}])
async def test_a_policy_pads_every_chunk_to_one_size_whatever_the_client_asks(
    path: str, body: dict[str, Any], options: dict[str, Any]
) -> None:
    guard = Guarded(FakeUpstream([*SECRETS]), policies=PAD_STREAM)
    client = await guard.ask(path, {**body, "stream": True, **options})
    chunks = [message["body"] for message in client.sent[1:-1]]
    assert len(chunks) == len(SECRETS) + 1
    assert len({len(chunk) for chunk in chunks}) == 1
    assert all(frame["obfuscation"] for frame in client.frames[:-1])


async def test_a_policy_pads_the_deltas_of_responses_to_one_size() -> None:
    texts = ["a", "yes", "ja, gewiß", "x" * 40]
    guard = Guarded(FakeUpstream(texts), policies=PAD_STREAM)
    client = await guard.ask("/v1/responses", {"model": "chat", "input": "hello", "stream": True})
    deltas = [frame for frame in client.body.split(b"\n\n") if frame.startswith(b"event: response.output_text.delta")]
    assert len(deltas) == len(texts)
    assert len({len(delta) for delta in deltas}) == 1


async def test_a_policy_that_pads_streams_leaves_whole_answers_alone() -> None:
    guard = Guarded(policies=PAD_STREAM)
    assert b"obfuscation" not in (await guard.chat()).body
    assert b"obfuscation" not in (await guard.ask("/v1/completions", COMPLETION)).body


async def test_who_does_not_ask_is_not_padded() -> None:
    guard = Guarded()
    for options in (
        {},
        {"stream_options": {"include_obfuscation": False}},
        {"stream_options": {"include_usage": True}},
    ):
        assert b"obfuscation" not in (await guard.chat({**CHAT, "stream": True, **options})).body
    assert b"obfuscation" not in (await guard.chat()).body


async def test_the_padding_is_never_the_same() -> None:
    guard = Guarded(FakeUpstream(["hello"]))
    first, second = [(await guard.chat({**CHAT, **PADDED})).frames[0]["obfuscation"] for _ in range(2)]
    assert first != second
