"""The OpenAI upstream by itself, against a server that answers well or misbehaves."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from llmguard.errors import UpstreamFailure
from llmguard.mark import Mark
from llmguard.settings import OpenAIUpstream
from llmguard.upstreams.openai import OpenAI
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import ChatChunk, ChatCompletion, Usage
from llmguard.wire.completions import Completion, CompletionRequest
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import Classifications, ClassifyRequest, EmbeddingRequest, Embeddings
from tests.fakes import SECRETS, Answer, FakeOpenAI, Fault

pytestmark = pytest.mark.anyio

SHORT_S = 0.3
KEY = "the-operators-key"


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def upstream(fake: FakeOpenAI) -> AsyncIterator[OpenAI]:
    async with upstream_to(fake.url) as ours:
        yield ours


@asynccontextmanager
async def upstream_to(url: str, **settings: Any) -> AsyncIterator[OpenAI]:
    """An upstream with short timeouts, closed at the end."""
    limits = {"timeout_s": SHORT_S, "connect_timeout_s": SHORT_S}
    ours = OpenAI(OpenAIUpstream(**{"kind": "openai", "base_url": url, "api_key": KEY, **limits, **settings}))
    try:
        yield ours
    finally:
        await ours.close()


def chat(**fields: Any) -> ChatRequest:
    given = {"model": "m", "messages": [{"role": "user", "content": "say hello"}], **fields}
    return msgspec.convert(given, ChatRequest)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_sglang_gets_the_key_in_its_own_field(fake: FakeOpenAI, *, stream: bool) -> None:
    mark = Mark("wm_x", "gumbel-sglang", 4, 0xAB)
    async with upstream_to(fake.url, engine="sglang") as upstream:
        for given in (mark, None):
            if stream:
                assert [events async for events in upstream.stream(chat(), given)]
            else:
                await upstream.ask(chat(), given)
    marked, plain = (request.body for request in fake.requests)
    assert marked.pop("watermark") == {"key": "00000000000000ab"}
    assert marked == plain


async def test_vllm_gets_key_and_width_for_our_processor(fake: FakeOpenAI) -> None:
    async with upstream_to(fake.url, engine="vllm", timeout_s=10) as upstream:
        await upstream.ask(chat(), Mark("wm_x", "gumbel-vllm", 3, 0xAB))
        await upstream.ask(chat())
    marked, plain = (request.body for request in fake.requests)
    assert marked.pop("vllm_xargs") == {"llmguard_watermark": "00000000000000ab:3"}
    assert marked == plain


async def test_an_answer_that_is_continued_begins_no_new_message(fake: FakeOpenAI) -> None:
    async with upstream_to(fake.url, engine="vllm", timeout_s=10) as upstream:
        await upstream.ask(chat(continue_final_message=True))
    (body,) = (request.body for request in fake.requests)
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def text(**fields: Any) -> CompletionRequest:
    return msgspec.convert({"model": "m", "prompt": "say hello", **fields}, CompletionRequest)


async def chunks(upstream: OpenAI, request: ModelRequest) -> list[Event]:
    return [event async for events in upstream.stream(request) for event in events]


async def failure(upstream: OpenAI, *, stream: bool) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as raised:
        await (chunks(upstream, chat()) if stream else upstream.ask(chat()))
    return raised.value


def said(events: list[Event]) -> str:
    return "".join(choice.delta.content or "" for event in events for choice in event.choices)


class TestAnswers:
    async def test_is_an_upstream(self, upstream: OpenAI) -> None:
        checked: Upstream = upstream
        assert (checked.extensions, checked.ready) == (frozenset(), True)

    async def test_whole(self, fake: FakeOpenAI, upstream: OpenAI) -> None:
        answer = await upstream.ask(chat(temperature=0.5, max_tokens=9))
        assert isinstance(answer, ChatCompletion)
        assert answer.choices[0].message.content == fake.answer.text
        assert answer.usage is not None
        assert answer.usage.total_tokens == 8
        [received] = fake.requests
        assert (received.path, received.headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
        assert received.body == {
            "model": "m",
            "messages": [{"role": "user", "content": "say hello"}],
            "temperature": 0.5,
            "max_tokens": 9,
        }

    async def test_stream_asks_for_usage_by_itself(self, fake: FakeOpenAI, upstream: OpenAI) -> None:
        *body, last = await chunks(upstream, chat())
        assert all(isinstance(event, ChatChunk) for event in body)
        assert said(body) == fake.answer.text
        assert (last.choices, last.usage.total_tokens) == ([], 8)
        sent = fake.requests[0].body
        assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})

    async def test_text_completion(self, fake: FakeOpenAI, upstream: OpenAI) -> None:
        answer = await upstream.ask(text())
        assert isinstance(answer, Completion)
        assert answer.choices[0].text == fake.answer.text
        events = await chunks(upstream, text())
        assert "".join(choice.text for event in events for choice in event.choices) == fake.answer.text
        assert {request.path for request in fake.requests} == {"/v1/completions"}

    async def test_nothing_of_its_own_is_told(self, fake: FakeOpenAI, upstream: OpenAI) -> None:
        """Ids, fingerprints and model names are replaced by controls; fields of an engine do not get so far."""
        encoded = msgspec.json.encode([await upstream.ask(chat()), *await chunks(upstream, chat())]).decode()
        for secret in ("prompt_token_ids", "kv_transfer_params", "SecretProvider"):
            assert secret in SECRETS
            assert secret not in encoded

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    async def test_connections_are_used_again(self, fake: FakeOpenAI, upstream: OpenAI, framing: str) -> None:
        fake.answer = Answer(framing=framing)
        for _ in range(3):
            await upstream.ask(chat())
        assert fake.accepted == (3 if framing == "close" else 1)

    async def test_a_stream_leaves_its_connection_usable(self, fake: FakeOpenAI, upstream: OpenAI) -> None:
        for _ in range(3):
            await chunks(upstream, chat())
        assert fake.accepted == 1

    async def test_engines(self) -> None:
        for engine, known, unknown in (("vllm", "min_p", "grammar"), ("llamacpp", "grammar", "guided_json")):
            async with upstream_to("http://127.0.0.1:1/v1", engine=engine) as ours:
                assert known in ours.extensions
                assert unknown not in ours.extensions
        for engine in ("tei", "ollama", "generic"):
            async with upstream_to("http://127.0.0.1:1/v1", engine=engine) as ours:
                assert ours.extensions == set()


class TestMisbehaviour:
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    @pytest.mark.parametrize(
        ("status", "code", "retryable"),
        [
            *((status, "invalid_value", False) for status in (400, 413, 422)),
            *((status, "overloaded", True) for status in (429, 503, 529)),
            *((status, "upstream_timeout", False) for status in (408, 504)),
            *((status, "upstream_error", False) for status in (201, 301, 401, 403, 404)),
            *((status, "upstream_error", True) for status in (500, 502)),
        ],
    )
    async def test_status(
        self, fake: FakeOpenAI, upstream: OpenAI, status: int, code: str, *, retryable: bool, stream: bool
    ) -> None:
        fake.fault = Fault.STATUS(status)
        error = await failure(upstream, stream=stream)
        assert (error.denial.code, error.retryable) == (code, retryable)
        assert not [secret for secret in SECRETS if secret in error.denial.text]

    @pytest.mark.parametrize(
        ("said", "kept"), [("7", 7.0), ("0.5", 0.5), ("86400", 1.0), ("0", 1.0), ("-1", 1.0), ("nan", 1.0), ("x", 1.0)]
    )
    async def test_when_to_come_back(self, said: str, kept: float) -> None:
        head = f"HTTP/1.1 503 Busy\r\nretry-after: {said}\r\ncontent-length: 0\r\n\r\n"
        async with answering(head.encode()) as url, upstream_to(url) as ours:
            assert (await failure(ours, stream=False)).denial.retry_after_s == kept

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    @pytest.mark.parametrize(
        "answer",
        [
            b"not HTTP at all\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nbad header\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe",
            b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"choices":[]}',
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" + b"[" * 9,
            b'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n",
        ],
        ids=[
            "garbage",
            "length",
            "chunk",
            "chunk size",
            "brotli",
            "header",
            "bytes",
            "empty",
            "cut",
            "deep",
            "deep event",
        ],
    )
    async def test_broken_bytes(self, answer: bytes, *, stream: bool) -> None:
        async with answering(answer) as url, upstream_to(url) as ours:
            error = await failure(ours, stream=stream)
        assert (error.denial.code, error.retryable) == ("upstream_error", True)

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    async def test_no_more_is_read_than_an_answer_may_be_long(
        self, fake: FakeOpenAI, upstream: OpenAI, monkeypatch: pytest.MonkeyPatch, *, stream: bool
    ) -> None:
        monkeypatch.setattr("llmguard.upstreams.openai.LARGEST_ANSWER", 1 << 20)
        fake.answer = Answer(framing="chunked")
        fake.fault = Fault.HUGE_EVENT
        error = await failure(upstream, stream=stream)
        assert error.denial.code == "upstream_error"
        await fake.until(lambda: fake.connections == 0)

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    async def test_header_bytes_that_drip(self, *, stream: bool) -> None:
        """Every byte keeps the socket busy; the answer's bound holds all the same."""
        now = asyncio.get_running_loop().time
        async with dripping(b"HTTP/1.1 200 OK\r\n" + b"x" * 4000) as url, upstream_to(url) as ours:
            began = now()
            error = await failure(ours, stream=stream)
            took = now() - began
        assert (error.denial.code, error.retryable) == ("upstream_timeout", False)
        assert SHORT_S <= took < SHORT_S + 1

    @pytest.mark.parametrize("fault", [Fault.SLOW_DRIP, Fault.HANG_MID_STREAM], ids=str)
    async def test_a_stream_that_says_nothing_more(self, fake: FakeOpenAI, upstream: OpenAI, fault: Fault) -> None:
        fake.fault = fault
        stream = upstream.stream(chat())
        heard = len(await anext(stream))
        if heard == 1:
            heard += len(await anext(stream))
        with pytest.raises(UpstreamFailure) as raised:
            await anext(stream)
        assert (heard, raised.value.denial.code) == (2, "upstream_timeout")
        await fake.wait_disconnect(1)

    async def test_bytes_of_one_event_that_drip(self) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        async with dripping(b"data: " + b"x" * 4000, head) as url, upstream_to(url) as ours:
            assert (await failure(ours, stream=True)).denial.code == "upstream_timeout"

    async def test_nobody_listens(self, fake: FakeOpenAI, upstream: OpenAI) -> None:
        fake.refuse()
        error = await failure(upstream, stream=False)
        assert (error.denial.code, error.retryable) == ("upstream_error", True)

    async def test_connecting_takes_too_long(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0), backlog=0) as server,
            socket.socket() as one,
            socket.socket() as two,
        ):
            for filler in (one, two):  # a full backlog: further connections are not answered
                filler.setblocking(False)
                filler.connect_ex(server.getsockname())
            async with upstream_to(f"http://127.0.0.1:{server.getsockname()[1]}/v1", timeout_s=5) as ours:
                error = await failure(ours, stream=False)
        assert error.denial.code == "upstream_timeout"

    async def test_a_name_that_does_not_exist(self) -> None:
        async with upstream_to("http://no-such-host.invalid/v1") as ours:
            assert (await failure(ours, stream=False)).denial.code in {"upstream_error", "upstream_timeout"}


class TestLeaving:
    async def test_cancelled_ask(self, fake: FakeOpenAI, upstream: OpenAI) -> None:
        fake.fault = Fault.HANG
        asking = asyncio.ensure_future(upstream.ask(chat()))
        await fake.until(lambda: fake.answering == 1)
        asking.cancel()
        await fake.wait_disconnect(1)
        with pytest.raises(asyncio.CancelledError):
            await asking

    async def test_closed_stream(self, fake: FakeOpenAI, upstream: OpenAI) -> None:
        fake.fault = Fault.HANG_MID_STREAM
        before = asyncio.all_tasks()
        stream = upstream.stream(chat())
        await anext(stream)
        await stream.aclose()
        await fake.wait_disconnect(1)
        await fake.until(lambda: fake.connections == 0)
        assert asyncio.all_tasks() - before == set()

    async def test_a_reader_that_does_not_read_holds_the_upstream(self, fake: FakeOpenAI, upstream: OpenAI) -> None:
        """Nothing is taken off the socket beyond a bound, so a fast upstream waits."""
        fake.answer = Answer(chunks=("x" * 65536,) * 400)
        stream = upstream.stream(chat())
        await anext(stream)
        sent = -1
        while sent != fake.sent:  # until it stands still
            sent = fake.sent
            for _ in range(50):
                await asyncio.sleep(0)
        assert fake.sent < 300
        await stream.aclose()
        await fake.wait_disconnect(1)

    async def test_close_unused(self) -> None:
        async with upstream_to("http://127.0.0.1:1/v1"):
            pass


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A server that sends these bytes whatever it is asked, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@asynccontextmanager
async def dripping(drops: bytes, head: bytes = b"") -> AsyncIterator[str]:
    """A server that sends a head, and then a byte every few milliseconds until its client leaves."""
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        try:
            for at in range(len(drops)):
                writer.write(drops[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0.005)
        except ConnectionError:
            pass
        finally:
            writer.close()
            left.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with asyncio.timeout(5):
            await left.wait()


@pytest.mark.parametrize(
    ("engine", "path"), [("vllm", "/classify"), ("sglang", "/v1/classify"), ("generic", "/v1/classify")]
)
async def test_texts_are_labelled_where_the_engine_serves_that(fake: FakeOpenAI, engine: str, path: str) -> None:
    fake.answer = Answer(classify=lambda texts: [[len(text) / 10, 1 - len(text) / 10] for text in texts])
    async with upstream_to(fake.url, engine=engine) as upstream:
        answer = await upstream.pool(ClassifyRequest(model="m", input=["a", "abcdefg"]))
    assert [request.path for request in fake.requests] == [path]
    assert fake.requests[0].body == {"model": "m", "input": ["a", "abcdefg"]}
    assert isinstance(answer, Classifications)
    assert [(item.label, item.probs, item.num_classes) for item in answer.data] == [
        ("yes", [0.1, 0.9], 2),
        ("no", [0.7, pytest.approx(0.3)], 2),
    ]
    assert answer.usage == Usage(prompt_tokens=2, total_tokens=2)


async def test_texts_are_embedded(fake: FakeOpenAI, upstream: OpenAI) -> None:
    answer = await upstream.pool(EmbeddingRequest(model="m", input="a", encoding_format="float"))
    assert isinstance(answer, Embeddings)
    assert [item.embedding for item in answer.data] == [[0.6, 0.8]]
    assert fake.requests[0].body == {"model": "m", "input": "a", "encoding_format": "float"}


@pytest.mark.parametrize(
    "fault", [Fault.STATUS(500), Fault.EMPTY_200, Fault.HTML_200, Fault.RESET_BEFORE, Fault.HANG, Fault.GZIP], ids=str
)
async def test_a_pooling_model_that_fails_is_the_tables_error(fake: FakeOpenAI, upstream: OpenAI, fault: Fault) -> None:
    fake.fault = fault
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.pool(EmbeddingRequest(model="m", input="a"))
    assert caught.value.denial.code in {"upstream_error", "upstream_timeout"}


@pytest.mark.parametrize("vectors", [[], [[1.0]], [[1.0], [1.0], [1.0]]], ids=len)
async def test_an_answer_for_other_texts_is_none(
    fake: FakeOpenAI, upstream: OpenAI, vectors: list[list[float]]
) -> None:
    fake.answer = Answer(embed=lambda texts: vectors)
    with pytest.raises(UpstreamFailure):
        await upstream.pool(EmbeddingRequest(model="m", input=["a", "b"]))
