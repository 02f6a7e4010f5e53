"""One request's ASGI channel: reading it once and bounded, answering it, knowing when the client has gone."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from llmguard.errors import BodyTooLarge, ClientGone, Denial, Refused
from llmguard.exchange import Head

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_TIMEOUT_S = 30.0
WATCH_AFTER_S = 0.2
MAX_DROPPED_BYTES = 1024 * 1024
"""A body up to here, not read by the guard, is dropped by the server as it comes, and the connection kept."""
ENDLESS = 2**63
LINGER_S = 2.0
LINGER_BYTES = 64 * 1024 * 1024


class Connection:
    """What the guard knows of the socket."""

    __slots__ = ("_late", "_lingers", "_receive", "_send", "_unread", "ended", "head", "sent_bytes", "started")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        peer = client[0] if client else ""
        self.head = Head(scope["method"], scope["path"], dict(scope["headers"]), peer, scope["query_string"])
        self.sent_bytes = 0
        self.started = False
        self.ended = False
        self._receive = receive
        self._send = send
        self._unread = True
        self._late = False
        self._lingers = False

    async def read(self, limit: int) -> bytes:
        """The body; raises BodyTooLarge before more than `limit` bytes are held, ClientGone, Refused."""
        if self._declared() > limit:
            raise BodyTooLarge
        try:
            # From the first byte on: a client that sends a head and nothing else waits here too.
            with Within(BODY_TIMEOUT_S):
                return await self._body(limit)
        except TimeoutError as error:
            self._late = True
            raise Refused(Denial("request_timeout", final=True)) from error

    def _declared(self) -> int:
        """What the body's length is said to be; -1 where it comes in chunks, endless where it makes no sense."""
        if b"transfer-encoding" in self.head.headers:
            return -1
        length = self.head.headers.get(b"content-length", b"0")
        return int(length) if length.isdigit() and len(length) < len(str(ENDLESS)) else ENDLESS

    async def _body(self, limit: int) -> bytes:
        blocks: list[bytes] = []
        size = 0
        while self._unread:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise ClientGone
            blocks.append(message.get("body", b""))
            size += len(blocks[-1])
            if size > limit:
                raise BodyTooLarge
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    async def _next(self) -> Message:
        message = await self._receive()
        self._unread = bool(message.get("more_body"))
        return message

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head. Where much of the body was not read, or it is late, the connection closes after the answer."""
        if self._unread and (self._late or not 0 <= self._declared() <= MAX_DROPPED_BYTES):
            self._lingers = not self._late
            headers = [*headers, (b"connection", b"close")]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        # Not before: a wait for a slow client can be cancelled, and then nothing was sent.
        self.started = True

    async def write(self, body: bytes, *, more: bool) -> None:
        """Send bytes of the body; waits while the client is slow."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more or self._lingers})
        self.sent_bytes += len(body)
        self.ended = not more

    async def finish(self) -> None:
        """End an answer given before a long body was read: read on and forget it, within bounds.

        Closing on a client that still sends resets the connection, and the answer can be lost with it:
        the client would see a broken connection in place of its error, and send everything again.
        """
        if not (self._lingers and self.ended):
            return
        left = LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while self._unread and left > 0:
                    left -= len((await self._next()).get("body", b""))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    @property
    def watchable(self) -> bool:
        """Whether a watch takes nothing from the connection: of a long body not yet read, `finish` needs the end."""
        return not self._unread or 0 <= self._declared() <= MAX_DROPPED_BYTES

    def watched(self) -> AbstractAsyncContextManager[None]:
        """The same where the connection is `watchable`."""
        return self.while_client_stays() if self.watchable else contextlib.nullcontext()

    def while_client_stays(self) -> "WhileClientStays":
        """A context that is left with ClientGone as soon as the client closes the connection."""
        return WhileClientStays(self._receive)


class Within:
    """Raises TimeoutError in what runs inside it after so long: asyncio.timeout, at a fifth of its cost.

    Every request passes it, and asyncio.timeout took 5 of the guard's 50 µs. It cannot be moved, and a
    cancellation from elsewhere that comes in the same turn of the loop wins.
    """

    __slots__ = ("_expired", "_handle", "_seconds", "_task")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._handle = asyncio.get_running_loop().call_later(self._seconds, self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.cancel()
        if not self._expired or self._task is None or self._task.uncancel():
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        if self._task is not None:
            self._task.cancel()


class WhileClientStays:
    """Cancels what runs inside it when the client goes; where the connection is `watchable`.

    It begins to watch after WATCH_AFTER_S: most errors and all fast answers are out by then, and
    a task of its own for each of them would cost a tenth of the whole relay.
    """

    __slots__ = ("_gone", "_receive", "_start", "_task", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("must run in a task")
        self._task = task
        self._start = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._begin)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._start.cancel()
        watcher, self._watcher = self._watcher, None
        if watcher is None:
            return
        # It keeps its cancellation, whose traceback holds this watch: they go with the last reference to it.
        watcher.cancel()
        if not self._gone:
            return
        if kind is None:
            # The cancellation is on its way: let it arrive here and not in what follows.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        self._task.uncancel()
        if kind is None or issubclass(kind, asyncio.CancelledError):
            raise ClientGone from error

    def _begin(self) -> None:
        # Held here, and ended on leaving.
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
