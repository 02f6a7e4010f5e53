"""A pooled HTTP/1.1 client for one origin: llhttp parses, the event loop carries, TLS is the standard library's.

Ours, because it is the hottest part of the relay: a POST through it costs 24,000 instructions, through
aiohttp's session 360,000 (callgrind, keep-alive, an answer of 400 bytes). It does what a relay needs and no
more: POST with a body, an answer read whole or as it comes, no redirects, cookies, compression or proxies.
"""

import asyncio
import contextlib
import math
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httptools

from llmguard.errors import Denial, UpstreamFailure
from llmguard.upstreams.failures import bad_answer, timed_out, unreachable

KEEP_ALIVE_S: Final = 30.0
LARGEST_HEAD: Final = 64 * 1024
HIGH_WATER: Final = 256 * 1024
"""Bytes that may wait for a slow client before the upstream is told to pause."""
NEVER: Final = math.inf


class HttpClient:
    """Sends requests to one origin and keeps idle connections for KEEP_ALIVE_S.

    Raises UpstreamFailure and nothing else. A connection carries one request at a time and is used again only
    after its answer was read to the end.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], *, connect_timeout_s: float) -> None:
        parts = urlsplit(base_url)
        self._host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in {"host": parts.netloc, **headers}.items())
        self._connect_timeout_s = connect_timeout_s
        self._tls: ssl.SSLContext | None = None
        self._idle: list[_Wire] = []
        self._heads: dict[str, bytes] = {}

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> "Answer":
        """Send a request and wait for the head of its answer; `timeout_s` bounds that, and goes on running."""
        wire = self._waiting() or await self._connect()
        answer = wire.begin(timeout_s)
        try:
            wire.send(self._head(path) % len(body), body)
            await answer.head()
        except BaseException:  # a cancelled request must not leave its connection behind
            answer.close()
            raise
        return answer

    def close(self) -> None:
        """Close idle connections; those in use close with their answers."""
        while self._idle:
            self._idle.pop().abort()

    def _waiting(self) -> "_Wire | None":
        while self._idle:
            wire = self._idle.pop()
            if wire.usable:
                return wire
        return None

    def _head(self, path: str) -> bytes:
        head = self._heads.get(path)
        if head is None:
            text = f"POST {self._path}{path} HTTP/1.1\r\n{self._fixed}content-length: %d\r\n\r\n"
            head = self._heads[path] = text.encode("latin-1")
        return head

    async def _connect(self) -> "_Wire":
        if self._secure and self._tls is None:
            self._tls = ssl.create_default_context()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, wire = await loop.create_connection(
                    lambda: _Wire(self._idle, loop), self._host, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            # Nothing was sent, so unlike an answer that is late it may be asked for again.
            raise UpstreamFailure(Denial("upstream_timeout"), retryable=True) from error
        except (OSError, UnicodeError) as error:  # a name that IDNA cannot encode is a UnicodeError
            raise unreachable() from error
        return wire


class Answer:
    """One answer: its status and headers, then its body as it comes."""

    __slots__ = ("_complete", "_failure", "_parts", "_size", "_waiter", "_wire", "headers", "started", "status")

    def __init__(self, wire: "_Wire") -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.started = False
        self._wire: _Wire | None = wire
        self._parts: list[bytes] = []
        self._size = 0
        self._complete = False
        self._failure: UpstreamFailure | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def head(self) -> None:
        """Wait for status and headers."""
        while not self.started:
            await self._wait()

    async def some(self) -> bytes:
        """What has arrived since, or b"" at the end."""
        while not self._parts:
            if self._complete:
                return b""
            await self._wait()
        block = b"".join(self._parts) if len(self._parts) > 1 else self._parts[0]
        self._parts.clear()
        self._size = 0
        if self._wire is not None:
            self._wire.resume()
        return block

    async def whole(self, limit: int) -> bytes:
        """All of it; more than `limit` bytes is a failure."""
        blocks, size = [], 0
        while block := await self.some():
            size += len(block)
            if size > limit:
                raise bad_answer()
            blocks.append(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def rest(self) -> None:
        """No time counts until `extend`: it is the reader who takes it."""
        if self._wire is not None:
            self._wire.disarm()

    def extend(self, timeout_s: float) -> None:
        """From now on, the answer may take so long again."""
        if self._wire is not None:
            self._wire.arm(timeout_s)

    def close(self) -> None:
        """Let go; an answer that is not at its end takes its connection with it."""
        if self._wire is not None:
            self._wire.abort()

    # What the wire tells ---------------------------------------------------------------------

    def receive(self, part: bytes) -> int:
        """A part of the body; gives the bytes that wait to be read."""
        self._parts.append(part)
        self._size += len(part)
        self.wake()
        return self._size

    def end(self) -> None:
        """The body is complete, and the wire is somebody else's."""
        self._complete = True
        self._wire = None
        self.wake()

    def fail(self, failure: UpstreamFailure) -> None:
        """It will never be complete. What has arrived can still be read."""
        self._failure = failure
        self._wire = None
        self.wake()

    def wake(self) -> None:
        """Whoever waits looks again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


class _Wire(asyncio.Protocol):
    """One connection. Between answers it lies in the pool's `idle` list."""

    def __init__(self, idle: "list[_Wire]", loop: asyncio.AbstractEventLoop) -> None:
        self._idle = idle
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0
        self._deadline = NEVER
        self._paused = False

    @property
    def usable(self) -> bool:
        """Whether it is still open."""
        return self._transport is not None and not self._transport.is_closing()

    def begin(self, timeout_s: float) -> Answer:
        """Make ready for one answer."""
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        self._to_its_end = False
        self._answer = Answer(self)
        self.arm(timeout_s)
        return self._answer

    def send(self, head: bytes, body: bytes) -> None:
        """Write a request."""
        if self._transport is None or self._transport.is_closing():
            raise unreachable()
        self._transport.write(head + body)

    def arm(self, timeout_s: float) -> None:
        """Give up after so long, counted from now.

        Every chunk of a stream moves the deadline. A timer that is due sooner is left as it is, and set again
        only when it goes off: moving it each time took as long as decoding the chunk.
        """
        self._deadline = self._loop.time() + timeout_s
        if self._timer is None or self._deadline < self._fires_at:
            self._set_timer()

    def disarm(self) -> None:
        """Take all the time there is."""
        self._deadline = NEVER

    def resume(self) -> None:
        """Read on, if reading was paused."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once."""
        self._finish(unreachable())
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport reads and writes

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer; on an idle connection there is nothing to answer to."""
        answer = self._answer
        if answer is None:
            self.abort()
            return
        if not answer.started:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break(bad_answer())
            return
        if not answer.started and self._head_bytes > LARGEST_HEAD:
            self._break(bad_answer())

    def eof_received(self) -> None:
        """The upstream will send no more; the transport closes."""

    def connection_lost(self, error: Exception | None) -> None:
        """Closed: the end of a body without a length, else a failure."""
        answer = self._answer
        if self in self._idle:
            self._idle.remove(self)
        if answer is not None and answer.started and self._to_its_end and error is None:
            self._answer = None
            answer.end()
        self._finish(unreachable())
        self._transport = None
        # It holds this connection, which would wait for the garbage collector with it.
        with contextlib.suppress(AttributeError):
            del self._parser

    # httptools --------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A second answer to one request is a fault."""
        if self._answer is None:
            raise httptools.HttpParserError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is passed over."""
        if self._answer is not None and not self._answer.started:
            self._answer.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is there; 1xx announces another one."""
        answer, status = self._answer, self._parser.get_status_code()
        if answer is None:
            return
        if status < 200:
            answer.headers.clear()
            return
        answer.status = status
        answer.started = True
        self._to_its_end = not (b"content-length" in answer.headers or b"transfer-encoding" in answer.headers)
        answer.wake()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._answer is not None and self._answer.receive(body) > HIGH_WATER and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The answer is whole, and the connection free, if the upstream keeps it."""
        answer = self._answer
        if answer is None or not answer.started:
            return
        self._answer = None
        answer.end()
        if self._parser.should_keep_alive() and self.usable:
            self.resume()
            self.arm(KEEP_ALIVE_S)
            self._idle.append(self)
        else:
            self.abort()

    # ------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        self._unset_timer()
        self._fires_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._expire)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if self._loop.time() >= self._deadline:
            self._break(timed_out())
        elif self._deadline != NEVER:
            self._set_timer()

    def _break(self, failure: UpstreamFailure) -> None:
        self._finish(failure)
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, failure: UpstreamFailure) -> None:
        """The answer, if one is under way, has failed; nothing of this connection goes on."""
        self._unset_timer()
        if self in self._idle:
            self._idle.remove(self)
        if self._answer is not None:
            answer, self._answer = self._answer, None
            answer.fail(failure)
