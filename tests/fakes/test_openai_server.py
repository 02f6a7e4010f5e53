"""The fake upstream seen by the real client and by bare sockets: it must answer well, and misbehave exactly as told."""

import asyncio
import json
from collections.abc import AsyncIterator

import openai
import pytest

from tests.fakes import SECRETS, Answer, FakeOpenAI, Fault

MESSAGES = [{"role": "user", "content": "Say hello to me"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
HARMLESS = (Fault.CRLF_SSE, Fault.MULTILINE_SSE, Fault.COMMENTS_SSE, Fault.SPLIT_UTF8, Fault.GZIP, Fault.NO_DONE)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def client(fake: FakeOpenAI) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=fake.url, api_key="k", max_retries=0, timeout=5) as ours:
        yield ours


def chat(client: openai.AsyncOpenAI, **more: object):
    return client.chat.completions.create(model="m", messages=MESSAGES, **more)


async def streamed(client: openai.AsyncOpenAI, **more: object) -> list:
    return [chunk async for chunk in await chat(client, stream=True, **more)]


def text(chunks: list) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def raw(fake: FakeOpenAI, **body: object) -> bytes:
    """Everything that a bare socket receives until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    payload = json.dumps({"model": "m", "messages": MESSAGES, **body}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(payload)}\r\nconnection: close\r\n\r\n"
    )
    writer.write(head.encode() + payload)
    try:
        return await reader.read(-1)
    finally:
        writer.close()


async def test_a_plain_answer_is_typed_and_its_usage_exact(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    answer = await chat(client, n=2)
    assert [choice.message.content for choice in answer.choices] == [fake.answer.text] * 2
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (4, 12, 16)
    assert fake.requests[-1].body["n"] == 2
    assert fake.requests[-1].headers["authorization"] == "Bearer k"


async def test_a_cap_cuts_the_answer(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    answer = await chat(client, max_completion_tokens=2)
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 2)
    fake.answer = Answer(obey_cap=False)
    assert (await chat(client, max_tokens=2)).usage.completion_tokens == 6


async def test_a_stream_has_a_usage_chunk_only_when_asked(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    without = await streamed(client)
    assert text(without) == fake.answer.text
    assert all(chunk.usage is None for chunk in without)
    assert without[-1].choices[0].finish_reason == "stop"
    last = (await streamed(client, stream_options={"include_usage": True}))[-1]
    assert (last.choices, last.usage.total_tokens) == ([], 10)


async def test_tools_reasoning_and_logprobs(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    called = (await chat(client, tools=TOOLS)).choices[0]
    assert called.finish_reason == "tool_calls"
    assert called.message.tool_calls[0].function.arguments == '{"city": "Zürich"}'
    chunks = await streamed(client, tools=TOOLS)
    parts = [call.function.arguments for c in chunks for call in c.choices[0].delta.tool_calls or []]
    assert "".join(parts) == '{"city": "Zürich"}'
    assert (await chat(client, logprobs=True)).choices[0].logprobs.content[0].token == "Hello"
    fake.answer = Answer(reasoning=("hm",))
    assert (await chat(client)).choices[0].message.reasoning_content == "hm"


async def test_completions_and_models(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="m", prompt=["one two", "three"], n=2)
    assert len(answer.choices) == 4
    assert answer.usage.prompt_tokens == 3
    stream = await client.completions.create(model="m", prompt="x", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == fake.answer.text
    assert [model.id async for model in client.models.list()] == [fake.answer.model]


async def test_everything_secret_is_said(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    seen = (await raw(fake, tools=TOOLS)).decode()
    fake.script(Fault.STATUS(500))
    seen += (await raw(fake)).decode()
    assert [secret for secret in SECRETS if secret not in seen] == []


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_framings_and_keep_alive(fake: FakeOpenAI, client: openai.AsyncOpenAI, framing: str) -> None:
    fake.answer = Answer(framing=framing)
    for _ in range(3):
        assert (await chat(client)).choices[0].message.content == fake.answer.text
    assert fake.accepted == (3 if framing == "close" else 1)


@pytest.mark.parametrize("fault", HARMLESS, ids=str)
async def test_unusual_but_valid_bytes_change_nothing(
    fake: FakeOpenAI, client: openai.AsyncOpenAI, fault: Fault
) -> None:
    fake.fault = fault
    assert text(await streamed(client)) == fake.answer.text
    assert (await chat(client)).choices[0].message.content == fake.answer.text


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.RESET_BEFORE, openai.APIConnectionError),
        (Fault.RESET_MID_STREAM, openai.APIConnectionError),
        (Fault.TRUNCATED_BODY, openai.APIConnectionError),
        (Fault.BAD_JSON, json.JSONDecodeError),
        (Fault.STATUS(503), openai.InternalServerError),
        (Fault.STATUS(429, html=True), openai.RateLimitError),
    ],
    ids=str,
)
async def test_plain_answers_fail_as_told(
    fake: FakeOpenAI, client: openai.AsyncOpenAI, fault: Fault, error: type[Exception]
) -> None:
    fake.script(fault, None)
    with pytest.raises(error):
        await chat(client)
    assert (await chat(client)).choices[0].message.content == fake.answer.text


async def test_a_refused_connection_until_it_listens_again(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    await chat(client)
    fake.script(Fault.REFUSE)
    with pytest.raises(openai.APIConnectionError):
        await chat(client)
    await fake.listen()
    await chat(client)
    assert len(fake.requests) == 2


async def test_a_reset_comes_after_exactly_the_events_told(fake: FakeOpenAI) -> None:
    fake.fault = Fault.RESET_MID_STREAM.after(3)
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    body = json.dumps({"messages": MESSAGES, "stream": True}).encode()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    lines = [await reader.readuntil(b"data: ") for _ in range(3)]
    await reader.readuntil(b"\n\n")
    assert len(lines) == 3
    with pytest.raises(ConnectionResetError):
        await reader.read(-1)
    writer.close()


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_MID_STREAM, Fault.SLOW_DRIP], ids=str)
async def test_a_silent_upstream_notices_the_client_leave(fake: FakeOpenAI, fault: Fault) -> None:
    fake.fault = fault
    asking = asyncio.ensure_future(raw(fake, stream=True))
    await fake.until(lambda: fake.answering == 1)
    assert not fake.disconnected.is_set()
    asking.cancel()
    await fake.wait_disconnect()
    await fake.until(lambda: fake.connections == 0)
    assert (fake.answering, fake.disconnects, fake.answered) == (0, 1, 0)


async def test_a_paused_stream_goes_on_when_told(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake.answer = Answer(pause_after=2)
    asking = asyncio.ensure_future(streamed(client))
    await fake.wait_sent(2)
    assert not asking.done()
    fake.go.set()
    assert text(await asking) == fake.answer.text


async def test_streams_end_and_break_as_told(fake: FakeOpenAI) -> None:
    async def body(fault: Fault, **more: object) -> bytes:
        fake.script(fault)
        return (await raw(fake, stream=True, **more)).partition(b"\r\n\r\n")[2]

    assert b"[DONE]" not in await body(Fault.NO_DONE)
    cut = await body(Fault.CUT.after(2))
    assert (cut.count(b"data: "), b'"finish_reason": "stop"' in cut, cut[-5:]) == (2, False, b"0\r\n\r\n")
    assert (await body(Fault.TRUNCATED_BODY))[-5:] != b"0\r\n\r\n"
    assert b'"error": {"message"' in await body(Fault.ERROR_FRAME)
    assert b"garbage" in await body(Fault.BAD_SSE)
    assert b'{"choices": 5}' in await body(Fault.WRONG_TYPES)
    assert len(await body(Fault.HUGE_EVENT)) > 1 << 23
    assert await body(Fault.EMPTY_200) == b""
    assert b"<html>" in await body(Fault.HTML_200)
    options = {"stream_options": {"include_usage": True}}
    assert b'"usage"' not in await body(Fault.NO_USAGE, **options)
    last = (await body(Fault.USAGE_IN_LAST_CHOICE_CHUNK, **options)).split(b"data: ")[-2]
    assert b'"usage"' in last
    assert b'"finish_reason": "stop"' in last


async def test_redirects_and_headers(fake: FakeOpenAI) -> None:
    fake.script(Fault.REDIRECT, Fault.TOO_MANY_HEADERS)
    assert b"location: /v1/redirected" in await raw(fake)
    assert (await raw(fake)).count(b"x-upstream-secret-") == 2000
