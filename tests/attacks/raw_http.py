"""HTTP by hand: sends any bytes, and reads one answer strictly."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

TIMEOUT_S = 20.0
GONE = (ConnectionError, asyncio.IncompleteReadError)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class RawConnection:
    """One connection to the loopback. `ends` says that the server closes it after the latest answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.open = True
        self.ends = False

    @classmethod
    async def to(cls, port: int) -> Self:
        """A new connection."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def write(self, data: bytes) -> None:
        """Send without waiting."""
        self._writer.write(data)

    async def ask(self, data: bytes, method: str = "POST") -> Answer | None:
        """Send these bytes and read an answer; None where the server closed without one."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()
        return await self.answer(method)

    async def answer(self, method: str = "POST") -> Answer | None:
        """The next answer to a request of this method; None where the connection ends first."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._read(method)
        except GONE:
            answer = None
        self.ends = answer is None or answer.headers.get("connection") == "close"
        return answer

    async def ended(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._reader.read()

    async def close(self) -> None:
        """Hang up."""
        self.open = False
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read(self, method: str) -> Answer:
        line, *lines = (await self._reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        status = int(line.split(" ")[1])
        headers = {name.lower(): value for name, _, value in (header.partition(": ") for header in lines)}
        if status == 100:
            return await self._read(method)
        if method == "HEAD":
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, await self._chunks())
        return Answer(status, headers, await self._reader.readexactly(int(headers["content-length"])))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body
