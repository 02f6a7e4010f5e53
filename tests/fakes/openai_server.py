"""An OpenAI-wire upstream that misbehaves on request, byte by byte: one asyncio server on a free port of loopback.

async with FakeOpenAI() as fake:
    fake.script(Fault.STATUS(503), None)     # the next request fails, the one after it is answered
    fake.fault = Fault.RESET_MID_STREAM      # every later one, until it is None again
    fake.answer = Answer(chunks=("a", "b"), pause_after=1)
    ...                                      # a client talks to fake.url
    await fake.wait_disconnect()
"""

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.fakes import answers, pooling
from tests.fakes.answers import JSON, Answer
from tests.fakes.faults import Fault
from tests.fakes.plan import COMMENT, Act, Plan, anywhere, plan

HOST = "127.0.0.1"
LIMIT = 1 << 26
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
POSTS = {"/v1/chat/completions": True, "/v1/completions": False}
"""Path → whether it is a chat."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came: header names in lower case, `body` parsed where it is a JSON object."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> JSON:
        """The parsed body; empty where it is not a JSON object."""
        try:
            parsed = json.loads(self.raw or b"{}")
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}


class FakeOpenAI:
    """The server and all that a test may ask of it.

    `requests` holds every request received; `connections` counts the open ones and `accepted` all so far; `answering`
    counts answers under way, `answered` those sent whole; `sent` counts the events of the latest stream; `disconnects`
    counts clients that left during an answer, and `disconnected` is set by the first. Faults apply to POST only.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or Answer()
        self.requests: list[Received] = []
        self.connections = self.accepted = self.answering = self.answered = self.sent = self.disconnects = 0
        self.disconnected = asyncio.Event()
        self.go = asyncio.Event()
        self.port = 0
        self._fault: Fault | None = None
        self._script: deque[Fault | None] = deque()
        self._changed = asyncio.Event()
        self._handlers: set[asyncio.Task[Any]] = set()
        self._idle: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.refuse()
        handlers = tuple(self._handlers)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL, as an OpenAI client takes it."""
        return f"{self.origin}/v1"

    @property
    def idle(self) -> int:
        """How many of the open connections wait for a request."""
        return len(self._idle)

    @property
    def fault(self) -> Fault | None:
        """The fault of every request that the script says nothing about."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._fault = fault
        self._refuse_if_next()

    def script(self, *faults: Fault | None) -> None:
        """Sets the faults of the next requests, one each; None answers well. They go before `fault`."""
        self._script.extend(faults)
        self._refuse_if_next()

    def _refuse_if_next(self) -> None:
        coming = self._script[0] if self._script else self._fault
        if coming == Fault.REFUSE:
            if self._script:
                self._script.popleft()
            self.refuse()

    def refuse(self) -> None:
        """Closes the listener and the idle connections; `listen` opens it again. Running answers go on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._idle:
            writer.close()

    async def listen(self) -> None:
        """Listens, on the same port as before if there was one."""
        if self._server is None:
            self._server = await asyncio.start_server(self._connection, HOST, self.port, limit=LIMIT)
            self.port = self._server.sockets[0].getsockname()[1]

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        """Waits until the condition, which may read any counter, holds; raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not condition():
                await self._changed.wait()

    async def wait_disconnect(self, within_s: float = 5.0) -> None:
        """Waits until a client has left during an answer."""
        async with asyncio.timeout(within_s):
            await self.disconnected.wait()

    async def wait_sent(self, events: int, within_s: float = 5.0) -> None:
        """Waits until the latest stream has sent that many events."""
        await self.until(lambda: self.sent >= events, within_s)

    def _count(self, **by: int) -> None:
        for name, change in by.items():
            setattr(self, name, getattr(self, name) + change)
        self._changed.set()
        self._changed.clear()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self._count(connections=1, accepted=1)
        try:
            pushed: bytes | None = b""
            while pushed is not None and self._server is not None:
                self._idle.add(writer)
                request = await read_request(reader, pushed)
                self._idle.discard(writer)
                pushed = None if request is None else await self._exchange(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # cancelled by the end of the fake: asyncio's streams would log it as an error
        finally:
            self._handlers.discard(task)
            self._idle.discard(writer)
            writer.transport.abort() if task.cancelling() else writer.close()
            self._count(connections=-1)

    async def _exchange(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes | None:
        """Answers one request while watching the client; returns what it sent meanwhile, None when it is over."""
        self.requests.append(request)
        answer = self._plan(request)
        self.sent = 0
        self._count(answering=1)
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(answer, writer))
                watching = group.create_task(next_byte(reader))
                await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
                if watching.done() and watching.result():
                    await asyncio.wait({sending})
                sending.cancel()
                watching.cancel()
        except* ConnectionError:
            pass
        finally:
            self._count(answering=-1)
        if sending.cancelled() or sending.exception() is not None:
            self.disconnected.set()
            self._count(disconnects=1)
            return None
        self._count(answered=1)
        stays = sending.result() and request.headers.get("connection", "").lower() != "close"
        return (b"" if watching.cancelled() else watching.result()) if stays else None

    def _plan(self, request: Received) -> Plan:
        if request.method == "GET" and request.path == "/v1/models":
            return Plan(body=(json.dumps(answers.models(self.answer)).encode(),))
        if request.method == "POST" and request.path in pooling.PATHS:
            good = Plan(body=(json.dumps(pooling.pooled(request.path, request.body, self.answer)).encode(),))
            fault = self._script.popleft() if self._script else self._fault
            return good if fault is None else anywhere(good, fault) or good
        if request.method != "POST" or request.path not in POSTS:
            return Plan(status=404, body=(json.dumps(answers.error(404)).encode(),))
        fault = self._script.popleft() if self._script else self._fault
        self._refuse_if_next()
        return plan(request.body, self.answer, fault, chat=POSTS[request.path])

    async def _send(self, answer: Plan, writer: asyncio.StreamWriter) -> bool:
        """Carries the plan out; returns whether the connection may serve another request."""
        if not answer.silent:
            writer.write(head(answer))
        chunked = answer.framing == "chunked"
        every_s = answer.fault.every_s if answer.fault and answer.fault.name == "SLOW_DRIP" else self.answer.delay_s
        for part in answer.body:
            if isinstance(part, Act):
                if not await self._act(part, every_s, writer):
                    return False
                continue
            if every_s:
                await asyncio.sleep(every_s)
            writer.write(frame(part) if chunked else part)
            await writer.drain()
            self._count(sent=1)
            await asyncio.sleep(0)
        if chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return answer.framing != "close"

    async def _act(self, act: Act, every_s: float, writer: asyncio.StreamWriter) -> bool:
        """Does what is not sending; returns whether the answer goes on."""
        match act:
            case Act.PAUSE:
                await self.go.wait()
            case Act.HANG:
                await asyncio.get_running_loop().create_future()
            case Act.RESET:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                writer.transport.abort()
            case Act.DRIP:
                while True:
                    writer.write(frame(COMMENT))
                    await writer.drain()
                    await asyncio.sleep(every_s)
        return act is Act.PAUSE


def head(answer: Plan) -> bytes:
    """Status line and headers."""
    lines = [f"HTTP/1.1 {answer.status} Upstream", f"content-type: {answer.content_type}", f"server: {answers.VENDOR}"]
    lines += ["x-upstream-secret: gpu-7.internal.secret", "set-cookie: session=upstream; Path=/", "x-request-id: up-1"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    length = sum(len(part) for part in answer.body if isinstance(part, bytes))
    framing = {
        "length": f"content-length: {length if answer.length is None else answer.length}",
        "chunked": "transfer-encoding: chunked",
        "close": "connection: close",
    }
    return "\r\n".join([*lines, framing[answer.framing], "", ""]).encode()


def frame(part: bytes) -> bytes:
    """One chunk of a chunked body; an empty part is none, since that would end the body."""
    return b"%x\r\n%s\r\n" % (len(part), part) if part else b""


async def next_byte(reader: asyncio.StreamReader) -> bytes:
    """The next byte that the client sends; empty once it has gone, however it went."""
    try:
        return await reader.read(1)
    except ConnectionError:
        return b""


async def read_request(reader: asyncio.StreamReader, pushed: bytes) -> Received | None:
    """The next request, of which `pushed` was already read; None where the client has closed."""
    first = pushed + await reader.readline()
    if not first.strip():
        return None
    method, path, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        raw = b""
        while size := int(await reader.readline(), 16):
            raw += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path.partition("?")[0], headers, raw)
