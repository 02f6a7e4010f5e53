"""The HTTP client, against servers that speak byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from llmguard.errors import UpstreamFailure
from llmguard.upstreams import http
from llmguard.upstreams.http import HttpClient
from tests.collector import alive, uncollected

pytestmark = pytest.mark.anyio

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
WITHIN_S = 5.0


class Server:
    """A server on loopback that answers every request by the next script."""

    def __init__(self, *scripts: bytes | Callable[[Writer], Awaitable[None]]) -> None:
        self.scripts = list(scripts)
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.accepted = 0
        self.closed = asyncio.Event()
        self.port = 0
        self.tasks: set[asyncio.Task[None] | None] = set()

    async def handle(self, reader: Reader, writer: Writer) -> None:
        """Serve one connection."""
        self.accepted += 1
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                script = self.scripts.pop(0)
                if callable(script):
                    await script(writer)
                else:
                    writer.write(script)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()
            self.tasks.discard(asyncio.current_task())


@asynccontextmanager
async def serving(
    *scripts: bytes | Callable[[Writer], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """The server, running."""
    server = Server(*scripts)
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        tasks = [task for task in server.tasks if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def client(server: Server, scheme: str = "http", host: str = "127.0.0.1") -> HttpClient:
    """A client of that server."""
    return HttpClient(f"{scheme}://{host}:{server.port}/v1", {"x-key": "k"}, connect_timeout_s=WITHIN_S)


async def post(client: HttpClient, body: bytes = b"{}", timeout_s: float = WITHIN_S) -> bytes:
    """One request, its answer whole."""
    answer = await client.post("/chat", body, timeout_s=timeout_s)
    try:
        return await answer.whole(1 << 20)
    finally:
        answer.close()


async def test_it_says_what_a_request_needs_and_no_more() -> None:
    async with serving(OK) as server:
        assert await post(client(server), b'{"a": 1}') == b"ok"
    assert server.heads == [
        b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-key: k\r\ncontent-length: 8\r\n\r\n" % server.port
    ]
    assert server.bodies == [b'{"a": 1}']


async def test_a_connection_is_used_again() -> None:
    async with serving(OK, OK, OK) as server:
        ours = client(server)
        for _ in range(3):
            await post(ours)
        assert server.accepted == 1
        ours.close()
        await asyncio.wait_for(server.closed.wait(), WITHIN_S)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    ],
    ids=["told to close", "HTTP/1.0", "an answer nobody asked for"],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(answer: bytes) -> None:
    async with serving(answer, OK) as server:
        ours = client(server)
        assert [await post(ours), await post(ours)] == [b"ok", b"ok"]
        assert server.accepted == 2


async def test_a_connection_that_was_closed_leaves_nothing_to_the_collector() -> None:
    closing = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    async with serving(closing) as server:
        with uncollected():
            before = alive(http._Wire)
            assert await post(client(server)) == b"ok"
            async with asyncio.timeout(WITHIN_S):
                while alive(http._Wire) > before:
                    await asyncio.sleep(0.01)


async def test_bytes_on_an_idle_connection_close_it() -> None:
    async def then_more(writer: Writer) -> None:
        writer.write(OK)
        await writer.drain()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await writer.drain()

    async with serving(then_more, OK) as server:
        ours = client(server)
        assert await post(ours) == b"ok"
        await asyncio.wait_for(server.closed.wait(), WITHIN_S)
        assert await post(ours) == b"ok"


async def test_an_idle_connection_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "KEEP_ALIVE_S", 0.01)
    async with serving(OK) as server:
        await post(client(server))
        await asyncio.wait_for(server.closed.wait(), WITHIN_S)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n", b"ok!"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-late: 1\r\n\r\n", b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    ],
    ids=["chunked", "trailers", "early hints", "empty"],
)
async def test_bodies(answer: bytes, body: bytes) -> None:
    async with serving(answer) as server:
        assert await post(client(server)) == body


@pytest.mark.parametrize("size", [1, 7])
async def test_a_body_in_pieces(size: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"

    async def piecemeal(writer: Writer) -> None:
        for start in range(0, len(whole), size):
            writer.write(whole[start : start + size])
            await writer.drain()

    async with serving(piecemeal) as server:
        assert await post(client(server)) == b"abcdef"


async def test_a_body_to_the_end_of_the_connection() -> None:
    async def to_its_end(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    async with serving(to_its_end) as server:
        assert await post(client(server)) == b"all of it"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200",
        b"",
    ],
    ids=["length", "chunked", "head", "nothing"],
)
async def test_a_cut_is_a_failure(answer: bytes) -> None:
    async def cut(writer: Writer) -> None:
        writer.write(answer)
        writer.close()

    async with serving(cut) as server:
        with pytest.raises(UpstreamFailure) as failure:
            await post(client(server))
        assert failure.value.denial.code == "upstream_error"
        assert failure.value.retryable


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
    ids=["not HTTP", "negative length", "two lengths", "endless head", "upgrade"],
)
async def test_bad_http_is_a_failure(answer: bytes) -> None:
    async with serving(answer) as server:
        with pytest.raises(UpstreamFailure) as failure:
            await post(client(server))
        assert failure.value.denial.code == "upstream_error"


async def test_silence_ends_in_time_and_closes() -> None:
    async def silence(writer: Writer) -> None:
        await server.closed.wait()

    async with serving(silence) as server:
        with pytest.raises(UpstreamFailure) as failure:
            await post(client(server), timeout_s=0.05)
        assert failure.value.denial.code == "upstream_timeout"
        assert not failure.value.retryable


async def test_a_reader_takes_its_time_without_a_timeout() -> None:
    go = asyncio.Event()

    async def in_two(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        await go.wait()
        writer.write(b"cd")

    async with serving(in_two) as server:
        answer = await client(server).post("/chat", b"", timeout_s=0.05)
        assert await answer.some() == b"ab"
        answer.rest()
        loop = asyncio.get_running_loop()
        later = loop.create_future()
        loop.call_later(0.1, later.set_result, None)
        await later
        answer.extend(WITHIN_S)
        go.set()
        assert await answer.some() == b"cd"
        answer.close()


@pytest.mark.parametrize(("at_first_s", "then_s"), [(0.1, 0.2), (WITHIN_S, 0.02)], ids=["later", "sooner"])
async def test_time_counts_from_where_it_was_last_extended(at_first_s: float, then_s: float) -> None:
    async def in_part(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        await server.closed.wait()

    async with serving(in_part) as server:
        loop = asyncio.get_running_loop()
        answer = await client(server).post("/chat", b"", timeout_s=at_first_s)
        assert await answer.some() == b"ab"
        answer.extend(then_s)
        began = loop.time()
        with pytest.raises(UpstreamFailure) as failure:
            await answer.some()
        assert failure.value.denial.code == "upstream_timeout"
        assert then_s * 0.9 < loop.time() - began < WITHIN_S / 2


async def test_a_slow_reader_pauses_the_upstream() -> None:
    sent = 0
    block = b"x" * 65536

    async def endless(writer: Writer) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(block)
            await writer.drain()
            sent += len(block)

    async with serving(endless) as server:
        answer = await client(server).post("/chat", b"", timeout_s=WITHIN_S)
        last = -1
        while sent != last:  # until the upstream stands still
            last = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert answer._size <= http.HIGH_WATER + (1 << 18)
        for _ in range(20):
            assert await answer.some()
        assert sent > last
        answer.close()
        await asyncio.wait_for(server.closed.wait(), WITHIN_S)


@pytest.mark.parametrize("stage", ["head", "body"])
async def test_cancelling_closes_the_connection(stage: str) -> None:
    asked = asyncio.Event()

    async def half(writer: Writer) -> None:
        if stage == "body":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        asked.set()
        await asyncio.Event().wait()

    async with serving(half) as server:
        task = asyncio.ensure_future(post(client(server)))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_too_large_is_a_failure() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n" + b"x" * 2_000_000) as server:
        with pytest.raises(UpstreamFailure) as failure:
            await post(client(server))
        assert failure.value.denial.code == "upstream_error"


async def test_nobody_listens() -> None:
    async with serving() as server:
        pass
    with pytest.raises(UpstreamFailure) as failure:
        await post(client(server))
    assert failure.value.denial.code == "upstream_error"
    assert failure.value.retryable


@pytest.mark.parametrize("host", ["localhost", "wrong.example"])
async def test_tls_checks_the_name(host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    async with serving(OK, tls=context) as server:
        ours = client(server, "https", "localhost")
        if host == "localhost":
            assert await post(ours) == b"ok"
            ours.close()
        else:
            with pytest.raises(UpstreamFailure) as failure:
                await post(ours)
            assert failure.value.denial.code == "upstream_error"
