"""Log-probabilities that a policy grants coarsely leave coarse."""

from typing import Any

import pytest

from llmguard.decoding.coarse import STEPS
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import (
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChunkChoice,
    Delta,
    Logprobs,
    TokenLogprob,
    TopLogprob,
)
from llmguard.wire.completions import Completion, CompletionChoice, CompletionLogprobs
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, COMPLETION, Guarded

pytestmark = pytest.mark.anyio

COARSE = {"public": {"decoding": {"logprobs": "coarse"}}, "narrow": {}}
ALLOWED = {"public": {"decoding": {"logprobs": "allow"}}, "narrow": {}}
ASKED = {**CHAT, "logprobs": True, "top_logprobs": 5}
VALUES = [-0.123456, -0.9876, -2.3456, -3.14159, -7.654321, -9.0, -9.5]


def logprobs() -> Logprobs:
    """One token with seven alternatives."""
    others = [TopLogprob(f"t{number}", value) for number, value in enumerate(VALUES)]
    return Logprobs([TokenLogprob("t0", VALUES[0], top_logprobs=others)])


def whole() -> Event:
    return ChatCompletion(choices=[Choice(message=AnswerMessage(content="t0"), logprobs=logprobs())])


def chunk() -> Event:
    return ChatChunk(choices=[ChunkChoice(delta=Delta(content="t0"), logprobs=logprobs())])


def told(choice: dict[str, Any]) -> list[float]:
    """Every log-probability of a choice."""
    (token,) = choice["logprobs"]["content"]
    return [token["logprob"], *(other["logprob"] for other in token["top_logprobs"])]


async def asked(policies: dict[str, Any], **options: Any) -> list[float]:
    client = await Guarded(FakeUpstream([whole()]), policies=policies, **options).chat(ASKED)
    return told(client.json["choices"][0])


async def test_without_the_control_the_values_are_the_models_and_with_it_they_are_not() -> None:
    assert await asked(COARSE, without=["logits"]) == [VALUES[0], *VALUES]
    assert await asked(ALLOWED) == [VALUES[0], *VALUES]
    found = await asked(COARSE)
    assert set(found) <= set(STEPS)
    assert len(found) == 1 + 5
    assert found[1:] == sorted(found[1:], reverse=True)


async def test_asking_again_tells_the_same() -> None:
    assert await asked(COARSE) == await asked(COARSE)


async def test_a_stream_tells_the_same_as_a_whole_answer_in_padded_chunks() -> None:
    guard = Guarded(FakeUpstream([chunk()]), policies=COARSE)
    client = await guard.chat({**ASKED, "stream": True, "stream_options": {"include_obfuscation": True}})
    assert told(client.frames[0]["choices"][0]) == await asked(COARSE)
    frames = [frame for frame in client.body.split(b"\n\n") if b"t0" in frame]
    assert len(frames) == 1
    other = await Guarded(FakeUpstream([chunk()]), policies=ALLOWED).chat(
        {**ASKED, "stream": True, "stream_options": {"include_obfuscation": True}}
    )
    (bare,) = [frame for frame in other.body.split(b"\n\n") if b"t0" in frame]
    assert len(frames[0]) % 32 == len(bare) % 32


async def test_the_older_shape_is_coarse_too() -> None:
    def answer() -> Event:
        alternatives = {f"t{number}": value for number, value in enumerate(VALUES)}
        older = CompletionLogprobs(["t0", "t1"], [None, VALUES[1]], [None, alternatives], [0, 2])
        return Completion(choices=[CompletionChoice("t0t1", logprobs=older)])

    body = {**COMPLETION, "logprobs": 5}
    client = await Guarded(FakeUpstream([answer()]), policies=COARSE).ask("/v1/completions", body)
    found = client.json["choices"][0]["logprobs"]
    assert found["token_logprobs"][0] is None
    assert found["top_logprobs"][0] is None
    assert {found["token_logprobs"][1], *found["top_logprobs"][1].values()} <= set(STEPS)
    assert len(found["top_logprobs"][1]) == 6
    assert found["tokens"] == ["t0", "t1"]
