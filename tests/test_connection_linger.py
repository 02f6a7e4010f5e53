"""The end of an answer to a body that was not read: what the client still sends is read on, within bounds."""

import asyncio

import pytest

from llmguard import connection
from llmguard.connection import Connection, Message

pytestmark = pytest.mark.anyio

SCOPE = {
    "method": "POST",
    "path": "/",
    "headers": [(b"content-length", b"9999999")],
    "client": None,
    "query_string": b"",
}


class Client:
    """What it sends, block by block, and what it is sent."""

    def __init__(self, *blocks: bytes, endless: bool = False) -> None:
        self.blocks = list(blocks)
        self.endless = endless
        self.read = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        """The next block; with the last one it has sent everything, unless it is endless. Without any it is silent."""
        if not self.blocks:
            await asyncio.Event().wait()
        block = self.blocks[0] if self.endless else self.blocks.pop(0)
        self.read += len(block)
        return {"type": "http.request", "body": block, "more_body": self.endless or bool(self.blocks)}

    async def send(self, message: Message) -> None:
        """Note what is sent."""
        self.sent.append(message)

    async def refused(self) -> None:
        """Answer without reading."""
        served = Connection(SCOPE, self.receive, self.send)
        await served.start(413, [])
        await served.write(b"no", more=False)
        assert self.read == 0
        await served.finish()
        assert (b"connection", b"close") in self.sent[0]["headers"]
        assert [message.get("more_body") for message in self.sent] == [None, True, False]


async def test_the_answer_goes_out_first_and_the_rest_is_read_on() -> None:
    client = Client(b"a" * 10, b"b" * 10)
    await client.refused()
    assert (client.read, client.blocks) == (20, [])


async def test_an_endless_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_BYTES", 100)
    client = Client(b"a" * 30, endless=True)
    await client.refused()
    assert client.read == 120


async def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.0)
    client = Client()
    await client.refused()


async def test_a_body_that_was_read_is_not_waited_for() -> None:
    client = Client(b"{}")
    served = Connection(SCOPE, client.receive, client.send)
    assert await served.read(10_000_000) == b"{}"
    await served.start(200, [])
    await served.write(b"yes", more=False)
    await served.finish()
    assert [message.get("more_body") for message in client.sent] == [None, False]


async def test_an_answer_that_never_went_out_has_no_end() -> None:
    client = Client(b"a")

    async def closed(message: Message) -> None:
        raise RuntimeError("closed")

    served = Connection(SCOPE, client.receive, closed)
    with pytest.raises(RuntimeError):
        await served.start(413, [])
    await served.finish()
    assert client.read == 0
