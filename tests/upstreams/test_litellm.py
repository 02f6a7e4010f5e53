"""Answers of the litellm upstream, against a real HTTP server that speaks Anthropic's Messages API."""

import asyncio
import socket

import msgspec
import pytest

from llmguard.errors import UpstreamFailure
from llmguard.upstreams.litellm import LiteLLM
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.chat_answer import ChatChunk, ChatCompletion
from llmguard.wire.completions import Completion
from tests.fakes.anthropic import FakeAnthropic, Fault, Reply
from tests.upstreams.litellm_calls import (
    CALLS_TOOL,
    KEY,
    MODEL,
    PROMPT,
    PROVIDER_TEXT,
    READ_ONLY,
    SHORT_S,
    TOOL,
    TOOL_USE,
    chat,
    chunks,
    failure,
    text,
    upstream_to,
)

pytestmark = [pytest.mark.anyio, READ_ONLY]


class TestAnswers:
    async def test_is_an_upstream(self, upstream: LiteLLM) -> None:
        checked: Upstream = upstream
        assert checked.extensions == {"top_k"}

    async def test_whole(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        fake.reply = Reply(cached_tokens=3)
        answer = await upstream.ask(chat(temperature=0.5, top_k=40, max_tokens=9, stop=["END"], user="u-1"))
        assert isinstance(answer, ChatCompletion)
        assert answer.choices[0].message.content == "Hello there"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (14, 7, 21)
        assert b"cache" not in msgspec.json.encode(answer)
        [sent] = fake.requests
        assert sent["model"] == "claude-sonnet-4-5"
        assert sent["messages"] == [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}]
        assert (sent["temperature"], sent["top_k"], sent["max_tokens"]) == (0.5, 40, 9)
        assert (sent["stop_sequences"], sent["metadata"]) == (["END"], {"user_id": "u-1"})
        assert fake.headers[0]["x-api-key"] == KEY

    async def test_unknown_fields_are_dropped(self, upstream: LiteLLM) -> None:
        answer = msgspec.json.decode(msgspec.json.encode(await upstream.ask(chat())))
        assert set(answer["choices"][0]["message"]) == {"role", "content", "refusal"}
        assert set(answer["usage"]) <= {
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "completion_tokens_details",
        }

    async def test_stream(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        events = await chunks(upstream, chat(stream=True))
        assert all(isinstance(event, ChatChunk) for event in events)
        *body, last = events
        assert "".join(choice.delta.content or "" for event in body for choice in event.choices) == "Hello there"
        assert [choice.finish_reason for event in body for choice in event.choices][-1] == "stop"
        assert last.choices == []
        assert last.usage.total_tokens == 18
        assert all(event.usage is msgspec.UNSET for event in body)
        assert fake.requests[0]["stream"] is True

    async def test_text_completion(self, upstream: LiteLLM) -> None:
        answer = await upstream.ask(text(prompt=[PROMPT], echo=False))
        assert isinstance(answer, Completion)
        assert (answer.object, answer.choices[0].text, answer.choices[0].finish_reason) == (
            "text_completion",
            "Hello there",
            "stop",
        )
        assert answer.usage.total_tokens == 18

    async def test_text_completion_stream(self, upstream: LiteLLM) -> None:
        events = await chunks(upstream, text(stream=True))
        assert all(isinstance(event, Completion) for event in events)
        assert "".join(choice.text for event in events for choice in event.choices) == "Hello there"
        assert events[-1].choices == []
        assert events[-1].usage.completion_tokens == 7


class TestTools:
    async def test_call(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        fake.reply = CALLS_TOOL
        answer = await upstream.ask(chat(tools=[TOOL], tool_choice="auto"))
        choice = answer.choices[0]
        assert (choice.message.content, choice.finish_reason) == ("I look.", "tool_calls")
        [call] = choice.message.tool_calls
        assert (call.id, call.type, call.function.name) == ("toolu_1", "function", "weather")
        assert msgspec.json.decode(call.function.arguments) == {"city": "Oslo"}
        assert fake.requests[0]["tools"][0]["name"] == "weather"

    async def test_call_streamed(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        fake.reply = CALLS_TOOL
        events = await chunks(upstream, chat(tools=[TOOL], stream=True))
        deltas = [call for event in events for choice in event.choices for call in choice.delta.tool_calls or ()]
        assert {delta.index for delta in deltas} == {0}
        assert (deltas[0].id, deltas[0].function.name) == ("toolu_1", "weather")
        assert msgspec.json.decode("".join(delta.function.arguments for delta in deltas)) == {"city": "Oslo"}
        assert [choice.finish_reason for event in events for choice in event.choices][-1] == "tool_calls"

    async def test_result(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        call = {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
        messages = [
            {"role": "user", "content": PROMPT},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
        ]
        await upstream.ask(chat(messages=messages, tools=[TOOL]))
        _, asked, told = fake.requests[0]["messages"]
        assert [block for block in asked["content"] if block["type"] == "tool_use"] == [TOOL_USE]
        assert told["content"][0]["tool_use_id"] == "toolu_1"


class TestMisbehaviour:
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    async def test_hang(self, fake: FakeAnthropic, *, stream: bool) -> None:
        fake.reply = Reply(fault=Fault.HANG)
        error = await failure(upstream_to(fake, timeout_s=SHORT_S), chat(), stream=stream)
        assert (error.denial.code, error.retryable) == ("upstream_timeout", False)
        await fake.wait_disconnect()

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (Fault.STALL, "upstream_timeout"),
            (Fault.DRIP, "upstream_timeout"),
            (Fault.CUT, "upstream_error"),
            (Fault.END, "upstream_error"),
            (Fault.BAD_JSON, "upstream_error"),
            (Fault.ERROR, "upstream_error"),
        ],
    )
    async def test_stream_fails_after_a_chunk(self, fake: FakeAnthropic, fault: Fault, code: str) -> None:
        fake.reply = Reply(fault=fault, kind="api_error", message=PROVIDER_TEXT)
        stream = upstream_to(fake, timeout_s=SHORT_S).stream(chat())
        [first] = await anext(stream)
        assert first.choices[0].delta.content == "Hello"
        with pytest.raises(UpstreamFailure) as raised:
            await anext(stream)
        assert raised.value.denial.code == code
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    @pytest.mark.parametrize("fault", [Fault.CUT, Fault.BAD_JSON])
    async def test_whole_answer_fails(self, fake: FakeAnthropic, upstream: LiteLLM, fault: Fault) -> None:
        fake.reply = Reply(fault=fault)
        error = await failure(upstream, chat())
        assert (error.denial.code, error.retryable) == ("upstream_error", True)

    async def test_nobody_listens(self, fake: FakeAnthropic) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        error = await failure(upstream_to(fake, api_base=f"http://127.0.0.1:{port}"), chat())
        assert (error.denial.code, error.retryable) == ("upstream_error", True)

    @pytest.mark.parametrize(
        ("model", "retryable", "limits"),
        [
            ("openai/any", True, {"connect_timeout_s": 0.2}),
            # For this provider litellm knows one timeout only, so that the deadline is what ends it.
            (MODEL, False, {"timeout_s": SHORT_S}),
        ],
        ids=["connect timeout", "deadline"],
    )
    async def test_connecting_takes_too_long(
        self, fake: FakeAnthropic, model: str, limits: dict[str, float], *, retryable: bool
    ) -> None:
        with (
            socket.create_server(("127.0.0.1", 0), backlog=0) as server,
            socket.socket() as one,
            socket.socket() as two,
        ):
            for filler in (one, two):  # a full backlog: further connections are not answered
                filler.setblocking(False)
                filler.connect_ex(server.getsockname())
            base = f"http://127.0.0.1:{server.getsockname()[1]}"
            error = await failure(upstream_to(fake, api_base=base, **limits), chat(model=model))
        assert (error.denial.code, error.retryable) == ("upstream_timeout", retryable)


class TestLeaving:
    async def test_cancelled_ask(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        fake.reply = Reply(fault=Fault.HANG)
        asking = asyncio.ensure_future(upstream.ask(chat()))
        await fake.wait_received()
        asking.cancel()
        await fake.wait_disconnect(within_s=1)
        with pytest.raises(asyncio.CancelledError):
            await asking

    async def test_closed_stream(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        fake.reply = Reply(fault=Fault.STALL)
        stream = upstream.stream(chat())
        await anext(stream)
        await stream.aclose()
        await fake.wait_disconnect(within_s=1)

    async def test_cancelled_while_waiting_for_a_chunk(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        fake.reply = Reply(fault=Fault.STALL)
        first = asyncio.Event()

        async def read() -> None:
            async for _ in upstream.stream(chat()):
                first.set()

        reading = asyncio.ensure_future(read())
        async with asyncio.timeout(5):
            await first.wait()
        reading.cancel()
        await fake.wait_disconnect(within_s=1)
        with pytest.raises(asyncio.CancelledError):
            await reading

    async def test_serves_again_after_close(self, upstream: LiteLLM) -> None:
        await upstream.ask(chat())
        await upstream.close()
        assert (await upstream.ask(chat())).choices[0].finish_reason == "stop"

    async def test_close_unused(self, upstream: LiteLLM) -> None:
        await upstream.close()
