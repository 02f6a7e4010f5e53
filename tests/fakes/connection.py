"""A client at the other end of an ASGI channel, without a socket."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from llmguard.connection import Connection, Message, Scope
from tests.serving import KEY


class FakeClient:
    """Sends one request and keeps what it is answered; `received_first` pieces of the body were read before that.

    `blocks` are the pieces that the body comes in, `json` a body in one piece. The body ends with its last
    piece unless `unfinished`. `leave()` closes the connection. `on_send` is called with every message of the
    answer; what it raises, the guard's send raises; what it gives back is awaited.
    """

    def __init__(
        self,
        path: str = "/v1/chat/completions",
        json: object = None,
        *,
        method: str | None = None,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
        blocks: tuple[bytes, ...] | None = None,
        unfinished: bool = False,
        peer: str = "192.0.2.1",
    ) -> None:
        if blocks is None:
            blocks = () if json is None else (encoded(json),)
        self.path, _, self.query = path.partition("?")
        self.method = method or ("POST" if blocks or unfinished else "GET")
        self.peer = peer
        self.sent: list[Message] = []
        self.received = self.received_first = 0
        self.gone = asyncio.Event()
        self.on_send: Callable[[Message], Any] = lambda message: None
        given = {"content-type": "application/json"} if self.method == "POST" else {}
        given |= {"authorization": f"Bearer {key}"} if key is not None else {}
        self.request_headers = given | dict(headers or {})
        self._blocks = list(blocks) or ([] if unfinished else [b""])
        self._unfinished = unfinished

    @property
    def scope(self) -> Scope:
        """The request's head, as the server tells it."""
        return {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in self.request_headers.items()],
            "client": (self.peer, 1234),
            "server": ("guard", 80),
            "scheme": "http",
            "http_version": "1.1",
        }

    def connection(self) -> Connection:
        """The guard's end."""
        return Connection(self.scope, self.receive, self.send)

    def leave(self) -> None:
        """Close the connection."""
        self.gone.set()

    async def receive(self) -> Message:
        """The next piece of the body; after the last one, the word that the client has gone."""
        if self._blocks:
            self.received += 1
            block = self._blocks.pop(0)
            return {"type": "http.request", "body": block, "more_body": bool(self._blocks) or self._unfinished}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep a piece of the answer, and insist on ASGI's order."""
        waiting = self.on_send(message)
        if waiting is not None:
            await waiting
        expected = "http.response.body" if self.sent else "http.response.start"
        if message["type"] != expected or self.complete:
            raise RuntimeError(f"{message['type']} out of order")
        if not self.sent:
            self.received_first = self.received
        self.sent.append(message)

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""
        return len(self.sent) > 1 and not self.sent[-1].get("more_body")

    @property
    def status(self) -> int:
        """The answer's status."""
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        """The answer's body so far."""
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def json(self) -> Any:
        """The answer's body."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The answer's error."""
        error: dict[str, Any] = self.json["error"]
        return error

    @property
    def frames(self) -> list[Any]:
        """The data of a stream: JSON, or `[DONE]`."""
        data = [frame.removeprefix("data: ") for frame in self.body.decode().split("\n\n") if frame]
        return [text if text == "[DONE]" else json.loads(text) for text in data]


def encoded(value: object) -> bytes:
    """As JSON."""
    return json.dumps(value).encode()
