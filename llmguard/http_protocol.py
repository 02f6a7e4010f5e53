"""HTTP on a socket: uvicorn's protocol, with a bounded head and refusals in the one shape of error."""

import asyncio
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from llmguard.errors import Denial
from llmguard.wire.errors import error_body, error_headers

MAX_HEAD_BYTES = 65_536
HEAD_TIMEOUT_S = 10.0
STALLED_S = 60.0
"""How long a client may leave what it was sent unread."""
CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])
"""What no field of a head may hold; a line of it ends with two of them."""


class Cycle(RequestResponseCycle):
    """Answers one request as uvicorn does, but checks the head as a whole and writes it at once.

    uvicorn passes every field through two regular expressions: 3 µs for the six of the quotas alone.
    """

    async def send(self, message: Any) -> None:  # what ASGI says
        """Send the head or a part of the body; a head with a control character in it raises RuntimeError."""
        if self.response_started or self.disconnected or self.flow.write_paused:
            await super().send(message)
            return
        fields: list[tuple[bytes, bytes]] = [*self.default_headers, *message["headers"]]
        told = dict(fields)
        length = told.get(b"content-length")
        # Whole answers of connections that go on: the others are rare, and uvicorn knows what they need.
        if length is None or not self.keep_alive or b"connection" in told or b"transfer-encoding" in told:
            await super().send(message)
            return
        head = STATUS_LINE[message["status"]] + b"\r\n".join([*map(b": ".join, fields), b"", b""])
        if len(head) - len(head.translate(None, CONTROLS)) != 2 * (len(fields) + 2):
            raise RuntimeError("a field of the answer's head holds a control character")
        self.response_started = True
        self.waiting_for_100_continue = False
        self.chunked_encoding = False
        self.expected_content_length = int(length)
        self.transport.write(head)


class HttpProtocol(HttpToolsProtocol):
    """Ends a connection whose next request line and headers do not end within HEAD_TIMEOUT_S or MAX_HEAD_BYTES,
    or whose client reads nothing for STALLED_S: it would keep its upstream, paused, for as long as it likes.

    uvicorn bounds neither, and httptools keeps an unfinished head in memory. The bytes that came
    together with the head's first are not counted: one read of the socket bounds them.
    """

    _in_head = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A head is awaited from the start."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """No head is awaited any more."""
        self._head_came()
        self._unstall()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is sent to."""
        self._stall_timer = self.loop.call_later(STALLED_S, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has read."""
        self._unstall()
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Cycle  # uvicorn makes it, and takes no class of ours; Cycle adds no state
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Read, and bound what is left unfinished."""
        in_head = self._in_head
        super().data_received(data)
        if in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(Denial("headers_too_large"))
        # uvicorn's own timer ends with the first byte, whatever that byte belongs to.
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head ends."""
        self._in_head = False
        self._head_came()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(Denial("invalid_value", "The request is not valid HTTP."))

    def _refuse(self, denial: Denial) -> None:
        if self.transport.is_closing():
            return
        body = error_body(denial)
        headers = (
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", b"req_" + token_hex(16).encode()),
            (b"connection", b"close"),
            *error_headers(denial),
        )
        status = HTTPStatus(denial.row.status)
        head = b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode())
        # What HEAD is answered with ends there.
        body = b"" if self.parser.get_method() == b"HEAD" else body
        self.transport.write(head + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n" + body)
        self.transport.close()

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _unstall(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _head_came(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
