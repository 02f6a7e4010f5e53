"""A client that leaves, or does not read: its upstream is closed within a second, and every control settles once."""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from llmguard import http_protocol
from llmguard.app import App
from llmguard.control import Control, Step
from llmguard.exchange import Exchange, Outcome
from tests.asking import PATHS, body, until
from tests.fakes import Answer, FakeOpenAI, Fault
from tests.serving import KEY, Running, running, tree

pytestmark = pytest.mark.anyio

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
ENDLESS = 6_000
PIECE = "x" * 16_384
MUCH = 32 << 20


class Recording(Step):
    """Keeps the outcomes that it settles."""

    def __init__(self, settled: list[tuple[str, str, Outcome]], place: str) -> None:
        self._settled = settled
        self._place = place

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        self._settled.append((self._place, exchange.id, outcome))


class Recorded(App):
    """The guard with a recording control at either end."""

    def _controls(self, *given: Any) -> list[Control]:
        self.__dict__.setdefault("settled", [])
        settled = self.__dict__["settled"]
        return [Recording(settled, "first"), *super()._controls(*given), Recording(settled, "last")]


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def guard(fake: FakeOpenAI) -> AsyncIterator[Running]:
    async with running(tree(fake.url), kind=Recorded) as guard:
        yield guard


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def request(endpoint: str = "chat", **more: Any) -> bytes:
    """A request's bytes."""
    payload = json.dumps(body(endpoint, **more)).encode()
    head = f"POST {PATHS[endpoint]} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n".encode() + payload


@asynccontextmanager
async def connected(guard: Running, *, receive_buffer: int | None = None) -> AsyncIterator[Streams]:
    """A bare socket to the guard; `leave` or the end closes it."""
    ours = socket.socket()
    if receive_buffer is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    ours.setblocking(False)
    await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", int(guard.url.rpartition(":")[2])))
    reader, writer = await asyncio.open_connection(sock=ours, limit=4096)
    try:
        yield reader, writer
    finally:
        writer.close()


def leave(writer: asyncio.StreamWriter, *, reset: bool = False) -> None:
    """Close the connection, with a farewell or without."""
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()


async def settled_as_gone(guard: Running, endpoint: str = "chat") -> dict[str, Any]:
    """The audit line, once every control has settled exactly once with 499."""
    [line] = await guard.audit.until(1)
    assert (line["status"], line["code"], line["decision"]) == (499, "client_closed_request", "error")
    assert line["endpoint"] == endpoint
    settled = guard.app.__dict__["settled"]
    assert Counter(place for place, _, _ in settled) == {"first": 1, "last": 1}
    assert {(outcome.status, outcome.code) for _, _, outcome in settled} == {(499, "client_closed_request")}
    await until(lambda: not guard.app.running)
    return line


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("endpoint", ["chat", "completions", "responses"])
async def test_before_the_answers_head(
    guard: Running, fake: FakeOpenAI, endpoint: str, *, stream: bool, reset: bool
) -> None:
    fake.fault = Fault.HANG
    async with connected(guard) as (_, writer):
        writer.write(request(endpoint, stream=stream))
        await fake.until(lambda: fake.answering == 1)
        leave(writer, reset=reset)
        await fake.wait_disconnect(1)
        line = await settled_as_gone(guard, endpoint)
    assert "first_byte_ms" not in line
    await fake.until(lambda: fake.connections == 0)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("fault", [None, Fault.HANG_MID_STREAM, Fault.SLOW_DRIP], ids=["paused", "hang", "comments"])
@pytest.mark.parametrize("endpoint", ["chat", "completions", "responses"])
async def test_in_a_stream(
    guard: Running, fake: FakeOpenAI, endpoint: str, fault: Fault | None, *, reset: bool
) -> None:
    fake.answer, fake.fault = Answer(pause_after=2), fault
    async with connected(guard) as (reader, writer):
        writer.write(request(endpoint, stream=True))
        await reader.readuntil(b"data: ")
        leave(writer, reset=reset)
        await fake.wait_disconnect(1)
        line = await settled_as_gone(guard, endpoint)
    assert line["first_byte_ms"] > 0
    assert line["response_bytes"] > 0


@pytest.mark.parametrize("fault", [Fault.HANG_MID_STREAM, Fault.SLOW_DRIP], ids=str)
async def test_in_a_body(guard: Running, fake: FakeOpenAI, fault: Fault) -> None:
    fake.fault = fault
    async with connected(guard) as (_, writer):
        writer.write(request())
        await fake.wait_sent(1)
        leave(writer)
        await fake.wait_disconnect(1)
        await settled_as_gone(guard)


@pytest.mark.parametrize("sent", [-1, -20, None], ids=["all but a byte", "most", "head"])
async def test_while_sending(guard: Running, fake: FakeOpenAI, sent: int | None) -> None:
    whole = request()
    part = whole[:sent] if sent is not None else whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    async with connected(guard) as (_, writer):
        writer.write(part)
        await writer.drain()
        await until(lambda: guard.app.running == 1)
        leave(writer)
        [line] = await guard.audit.until(1)
    assert (line["status"], line["code"]) == (499, "client_closed_request")
    assert fake.requests == []
    # The last control was not reached, so it has nothing to settle.
    assert [place for place, _, _ in guard.app.__dict__["settled"]] == ["first"]


@pytest.mark.parametrize("sent", ["", "{"], ids=["head", "part"])
async def test_a_body_that_never_comes(
    guard: Running, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    """Neither is waited for without a bound."""
    monkeypatch.setattr("llmguard.connection.BODY_TIMEOUT_S", 0.1)
    async with connected(guard) as (reader, writer):
        writer.write(request().partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + sent.encode())
        async with asyncio.timeout(5):
            answer = await reader.read(-1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"request_timeout"' in answer
    assert fake.requests == []


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
async def test_a_client_that_does_not_read(guard: Running, fake: FakeOpenAI, endpoint: str) -> None:
    """The upstream waits for it, the guard holds a bounded part, and its leaving ends both."""
    fake.answer = Answer(chunks=(PIECE,) * ENDLESS)
    async with connected(guard, receive_buffer=4096) as (reader, writer):
        writer.write(request(endpoint, stream=True))
        await reader.readuntil(b"data: ")
        await stands_still(fake)
        # What has left the fake is in the guard or in the kernel's buffers, and not all of it has left.
        assert fake.sent * len(PIECE) < MUCH
        assert guard.app.running == 1
        leave(writer)
        await fake.wait_disconnect(1)
        await settled_as_gone(guard, endpoint)


async def test_a_client_that_never_reads_is_given_up(
    guard: Running, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays connected; its upstream is let go all the same."""
    monkeypatch.setattr(http_protocol, "STALLED_S", 0.2)
    fake.answer = Answer(chunks=(PIECE,) * ENDLESS)
    async with connected(guard, receive_buffer=4096) as (reader, writer):
        writer.write(request(stream=True))
        await reader.readuntil(b"data: ")
        await fake.wait_disconnect(5)
        await settled_as_gone(guard, "chat")


async def test_a_slow_client_gets_everything(guard: Running, fake: FakeOpenAI) -> None:
    fake.answer = Answer(chunks=(PIECE,) * 600)
    async with connected(guard, receive_buffer=4096) as (reader, writer):
        writer.write(request(stream=True))
        await reader.readuntil(b"data: ")
        await stands_still(fake)
        assert fake.sent < 600
        received = 0
        async with asyncio.timeout(20):
            tail = b""
            while not tail.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
                block = await reader.read(1 << 16)
                assert block
                received += len(block)
                tail = (tail + block)[-64:]
    assert received > 600 * len(PIECE)
    [line] = await guard.audit.until(1)
    assert (line["status"], line["decision"]) == (200, "allow")


async def test_one_that_leaves_does_not_disturb_the_others(guard: Running, fake: FakeOpenAI) -> None:
    fake.answer = Answer(pause_after=2)
    async with connected(guard) as (stays, first), connected(guard) as (goes, second):
        for reader, writer in ((stays, first), (goes, second)):
            writer.write(request(stream=True))
            await reader.readuntil(b"data: ")
        leave(second)
        await fake.wait_disconnect(1)
        fake.go.set()
        async with asyncio.timeout(5):
            await stays.readuntil(b"data: [DONE]\n\n")
    lines = await guard.audit.until(2)
    assert sorted(line["status"] for line in lines) == [200, 499]


async def stands_still(fake: FakeOpenAI) -> None:
    """Wait until the upstream has stopped sending, since nobody takes more."""
    sent = -1
    while sent != fake.sent:
        sent = fake.sent
        try:
            await fake.until(lambda seen=sent: fake.sent != seen, 0.3)
        except TimeoutError:
            return
