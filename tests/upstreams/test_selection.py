"""Candidates are asked for and one is given; all are used; a stream is whole, or comes by segments."""

from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from llmguard.errors import Denial, UpstreamFailure
from llmguard.mark import SELECTION, Mark
from llmguard.upstreams import selection
from llmguard.wire.answer import Event
from llmguard.wire.chat import AssistantMessage, ChatRequest, UserMessage
from llmguard.wire.chat_answer import AnswerMessage, ChatCompletion, Choice, Usage
from llmguard.wire.completions import Completion, CompletionChoice, CompletionRequest
from llmguard.wire.model_request import ModelRequest
from watermark.selection.corpus import picked

pytestmark = pytest.mark.anyio

KEY = 77
MARK = Mark("wm_1", SELECTION, 4, KEY, candidates=4)
CHAT = ChatRequest(model="m", messages=[UserMessage(content="hello there")])
TEXT = CompletionRequest(model="m", prompt="Once", max_tokens=40)
WORDS = 6


class Sampler:
    """An upstream that writes six random words an answer, or as many as it may; `whole` answers before it stops."""

    def __init__(self, turns: int = 1, failing: int = -1) -> None:
        self.requests: list[Any] = []
        self._random = np.random.default_rng(5)
        self._turns, self._failing = turns, failing

    def write(self) -> str:
        return " ".join(f"w{word}" for word in self._random.integers(0, 10_000, WORDS)) + " "

    async def ask(self, request: ModelRequest, mark: Mark | None = None) -> Event:
        assert mark is None
        self.requests.append(request)
        if len(self.requests) - 1 == self._failing:
            raise UpstreamFailure(Denial("upstream_error"), retryable=True)
        end = "stop" if len(self.requests) >= self._turns else "length"
        usage = Usage(prompt_tokens=3, completion_tokens=WORDS * (request.n or 1), total_tokens=0)
        if isinstance(request, ChatRequest):
            chats = [Choice(index=i, message=AnswerMessage(content=self.write()), finish_reason=end)
                     for i in range(request.n or 1)]  # fmt: skip
            return ChatCompletion(choices=chats, usage=usage)
        texts = [CompletionChoice(self.write(), index=i, finish_reason=end) for i in range(request.n or 1)]
        return Completion(choices=texts, usage=usage)

    def stream(self, request: ModelRequest, mark: Mark | None = None) -> AsyncGenerator[list[Event], None]:
        raise AssertionError("nothing is streamed that is to be picked")


async def streamed(upstream: Any, request: ModelRequest, mark: Mark) -> list[list[Event]]:
    return [events async for events in selection.stream(upstream, replace(request, stream=True), mark)]


@pytest.mark.parametrize("request_", [CHAT, TEXT], ids=["chat", "text"])
async def test_one_of_four_is_given_four_are_used_and_the_key_finds_it(request_: ModelRequest) -> None:
    upstream, corpus = Sampler(), []
    for _ in range(60):
        answer = await selection.ask(upstream, request_, MARK)  # type: ignore[arg-type]
        (choice,) = answer.choices
        corpus.append(choice.text if isinstance(choice, CompletionChoice) else choice.message.content)
        assert choice.index == 0
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 4 * WORDS
    assert {request.n for request in upstream.requests} == {4}
    z = picked(corpus, np.array([KEY, KEY + 1], np.uint64)).z
    # The closed form: 1.03 √60 = 8.0, with a standard deviation below one.
    assert abs(z[0] - 1.029 * np.sqrt(60)) < 4
    assert abs(z[1]) < 4


async def test_what_the_client_asks_twice_of_is_picked_twice() -> None:
    upstream = Sampler()
    answer = await selection.ask(upstream, replace(CHAT, n=2), MARK)  # type: ignore[arg-type]
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert upstream.requests[0].n == 8


async def test_an_upstream_that_makes_one_at_a_time_is_called_as_often() -> None:
    upstream = Sampler()
    answer = await selection.ask(upstream, CHAT, replace(MARK, together=False))  # type: ignore[arg-type]
    assert len(upstream.requests) == 4
    assert len(answer.choices) == 1
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 24)  # type: ignore[union-attr]


async def test_a_call_that_fails_is_the_answers_failure() -> None:
    with pytest.raises(UpstreamFailure):
        await selection.ask(Sampler(failing=2), CHAT, replace(MARK, together=False))  # type: ignore[arg-type]


@pytest.mark.parametrize("request_", [CHAT, TEXT], ids=["chat", "text"])
async def test_a_whole_answer_streams_as_one_chunk_and_the_usage(request_: ModelRequest) -> None:
    (events,) = await streamed(Sampler(), request_, MARK)
    assert [len(event.choices) for event in events] == [1, 0]
    assert events[0].choices[0].finish_reason == "stop"
    assert events[1].usage is not None


async def test_segments_are_picked_one_after_the_other_each_behind_what_was_given() -> None:
    upstream = Sampler(turns=3)
    chat = replace(CHAT, max_completion_tokens=100)
    blocks = await streamed(upstream, chat, replace(MARK, segment=16, continuing=True))
    said = [block[0].choices[0].delta.content for block in blocks]  # type: ignore[union-attr]
    assert [block[0].choices[0].finish_reason for block in blocks] == [None, None, "stop"]
    first, second, third = upstream.requests
    assert (first.max_tokens, first.n, first.continue_final_message) == (16, 4, None)
    assert second.messages[-1] == AssistantMessage(content=said[0])
    assert third.messages[-1] == AssistantMessage(content=said[0] + said[1])
    assert third.continue_final_message
    assert blocks[-1][-1].usage.completion_tokens == 3 * 4 * WORDS  # type: ignore[union-attr]
    assert [event.usage or None for block in blocks[:-1] for event in block] == [None, None]


async def test_segments_end_at_the_cap_and_text_goes_on_behind_its_prompt() -> None:
    upstream = Sampler(turns=99)
    blocks = await streamed(upstream, TEXT, replace(MARK, segment=16))
    assert [request.max_tokens for request in upstream.requests] == [16, 16, 8]
    assert upstream.requests[1].prompt == "Once" + blocks[0][0].choices[0].text  # type: ignore[union-attr]
    assert blocks[-1][0].choices[0].finish_reason == "length"


async def test_where_nothing_goes_on_from_a_prefix_segments_are_the_whole() -> None:
    upstream = Sampler()
    assert len(await streamed(upstream, CHAT, replace(MARK, segment=16))) == 1
    assert len(await streamed(upstream, replace(TEXT, prompt=["a", "b"]), replace(MARK, segment=16))) == 1
