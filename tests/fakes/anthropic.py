"""A provider that speaks Anthropic's Messages API and misbehaves on request: a real HTTP server on loopback.

async with FakeAnthropic() as fake:
    fake.reply = Reply(fault=Fault.HANG)     # how every later request is answered
    ...                                      # a client talks to fake.url
    await fake.wait_disconnect()
"""

import asyncio
import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiohttp import web

HOST = "127.0.0.1"
WITHIN_S = 5.0
DRIP_S = 0.02
JSON = dict[str, Any]


class Fault(enum.Enum):
    """What goes wrong. All but HANG and CUT of a whole answer happen after the first delta of a stream."""

    HANG = "nothing is ever sent"
    STALL = "the stream stays open and silent"
    DRIP = "the stream goes on with pings and nothing else"
    CUT = "the connection is reset"
    END = "the stream ends as if it were whole, without a stop reason"
    BAD_JSON = "what comes is not JSON"
    ERROR = "an error event ends the stream"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: content blocks in Anthropic's shape, or an error (`status` ≥ 400, `kind`), or a fault."""

    blocks: tuple[JSON, ...] = ({"type": "text", "text": "Hello there"},)
    stop_reason: str = "end_turn"
    input_tokens: int = 11
    cached_tokens: int = 0
    output_tokens: int = 7
    status: int = 200
    kind: str = ""
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    fault: Fault | None = None


class FakeAnthropic:
    """The server. `requests` are the bodies received, `headers` theirs; `disconnected` is set when a client leaves."""

    def __init__(self) -> None:
        self.reply = Reply()
        self.requests: list[JSON] = []
        self.headers: list[dict[str, str]] = []
        self.received = asyncio.Event()
        self.disconnected = asyncio.Event()
        self.port = 0
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base URL, as litellm's `api_base` takes it."""
        return f"http://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/messages", self._messages)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def wait_received(self) -> None:
        """Waits until a request has come; raises TimeoutError."""
        async with asyncio.timeout(WITHIN_S):
            await self.received.wait()

    async def wait_disconnect(self, within_s: float = WITHIN_S) -> None:
        """Waits until a client has left during an answer; raises TimeoutError."""
        async with asyncio.timeout(within_s):
            await self.disconnected.wait()

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.received.set()
        try:
            return await self._answer(request, body)
        except (asyncio.CancelledError, ConnectionError):
            self.disconnected.set()
            raise

    async def _answer(self, request: web.Request, body: JSON) -> web.StreamResponse:
        reply = self.reply
        if reply.fault is Fault.HANG:
            await self._stopping.wait()
        if reply.status >= 400:
            return web.json_response(failure(reply), status=reply.status, headers=dict(reply.headers))
        if body.get("stream"):
            return await self._stream(request, reply, body["model"])
        if reply.fault is Fault.CUT:
            return cut(request, web.Response())
        if reply.fault is Fault.BAD_JSON:
            return web.Response(body=b'{"id": "msg_', content_type="application/json")
        return web.json_response(message(reply, body["model"]))

    async def _stream(self, request: web.Request, reply: Reply, model: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events(reply, model):
            await response.write(frame(event))
            if reply.fault is not None and event["type"] == "content_block_delta":
                return await self._go_wrong(request, response, reply)
        return response

    async def _go_wrong(self, request: web.Request, response: web.StreamResponse, reply: Reply) -> web.StreamResponse:
        match reply.fault:
            case Fault.CUT:
                return cut(request, response)
            case Fault.STALL:
                await self._stopping.wait()
            case Fault.DRIP:
                while not self._stopping.is_set():
                    await response.write(frame({"type": "ping"}))
                    await asyncio.wait([asyncio.ensure_future(self._stopping.wait())], timeout=DRIP_S)
            case Fault.BAD_JSON:
                await response.write(b"event: content_block_delta\ndata: {not json\n\n")
            case Fault.ERROR:
                await response.write(frame(failure(reply)))
        return response


def cut(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Resets the connection."""
    assert request.transport is not None
    request.transport.abort()
    return response


def frame(event: JSON) -> bytes:
    """A server-sent event."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def failure(reply: Reply) -> JSON:
    """An error in Anthropic's shape."""
    return {"type": "error", "error": {"type": reply.kind, "message": reply.message}, "request_id": "req_1"}


def usage(reply: Reply, output_tokens: int) -> JSON:
    """Anthropic's usage: `input_tokens` leaves out what came from the cache."""
    return {
        "input_tokens": reply.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": reply.cached_tokens,
        "output_tokens": output_tokens,
    }


def message(reply: Reply, model: str) -> JSON:
    """A whole answer."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(reply.blocks),
        "stop_reason": reply.stop_reason,
        "stop_sequence": None,
        "usage": usage(reply, reply.output_tokens),
    }


def events(reply: Reply, model: str) -> Iterator[JSON]:
    """A streamed answer: every block in two deltas."""
    start = message(reply, model) | {"content": [], "stop_reason": None, "usage": usage(reply, 1)}
    yield {"type": "message_start", "message": start}
    yield {"type": "ping"}
    for index, block in enumerate(reply.blocks):
        if block["type"] == "tool_use":
            opened, whole, kind, key = (
                block | {"input": {}},
                json.dumps(block["input"]),
                "input_json_delta",
                "partial_json",
            )
        else:
            opened, whole, kind, key = block | {"text": ""}, block["text"], "text_delta", "text"
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        middle = len(whole) // 2
        for piece in (whole[:middle], whole[middle:]):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: piece}}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reply.stop_reason, "stop_sequence": None},
        "usage": {"output_tokens": reply.output_tokens},
    }
    yield {"type": "message_stop"}
