"""The load on streams, in a process of its own so that its cost is nobody else's: bare sockets, a JSON line in and out.

Run as a module it reads a Plan from stdin and writes a Seen.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

SENT_AT = re.compile(rb"t=(\d+) ")
DATA = b"data: "


@dataclass(frozen=True, slots=True)
class Plan:
    """`streams` at once, their starts spread over `spread_s`; each repeats until `seconds` have passed, 0: once.

    An answer with fewer events than `events`, or without its end, is an error. `prompt` is the last message.
    """

    url: str
    headers: dict[str, str]
    model: str
    prompt: str
    streams: int
    events: int
    seconds: float = 0.0
    spread_s: float = 0.0


@dataclass(slots=True)
class Seen:
    """`answers` whole ones, `chunks` in them; `delays_us` from a chunk's leaving the upstream to its arrival.

    `peak` is the most streams at one time that had a first chunk and no end; `elapsed_s` runs from the first start to
    the last end.
    """

    answers: int = 0
    chunks: int = 0
    errors: list[str] = field(default_factory=list)
    peak: int = 0
    elapsed_s: float = 0.0
    delays_us: list[int] = field(default_factory=list)


class AnswerError(Exception):
    """An answer that is not the one expected."""


async def body(reader: asyncio.StreamReader, head: bytes) -> AsyncIterator[bytes]:
    """The body's bytes as they arrive, without framing."""
    if b"transfer-encoding: chunked" in head.lower():
        while size := int(await reader.readline(), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
        return
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    left = int(length[1]) if length else 1 << 62
    while left and (piece := await reader.read(min(left, 1 << 16))):
        left -= len(piece)
        yield piece


class Client:
    """One process's streams, and what they saw."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen = Seen()
        self._open = 0
        address = urlsplit(plan.url)
        self._host, self._port = address.hostname, address.port
        shape = {"model": plan.model, "messages": [{"role": "user", "content": plan.prompt}], "stream": True}
        payload = json.dumps(shape).encode()
        headers = {**plan.headers, "host": address.netloc, "content-length": str(len(payload))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._request = f"POST {address.path} HTTP/1.1\r\n{lines}\r\n".encode() + payload

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads one streamed answer to its end."""
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise AnswerError(head[:60].decode(errors="replace"))
        rest, events, ended, opened = b"", 0, False, False
        async for piece in body(reader, head):
            now = time.monotonic_ns()
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                events += line.startswith(DATA)
                ended = ended or line.startswith(b"data: [DONE]")
                sent = SENT_AT.search(line)
                if sent:
                    self.seen.delays_us.append((now - int(sent[1])) // 1000)
            if events and not opened:
                opened = True
                self._open += 1
                self.seen.peak = max(self.seen.peak, self._open)
        self._open -= opened
        if events < self.plan.events or not ended:
            raise AnswerError(f"{events} events, {'with' if ended else 'without'} an end")
        self.seen.answers += 1
        self.seen.chunks += events

    async def stream(self, number: int, start: float) -> None:
        """One connection's answers, one after the other."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(start + self.plan.spread_s * number / self.plan.streams - loop.time())
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=1 << 20)
            await self.answer(reader, writer)
            while loop.time() < start + self.plan.seconds:
                await self.answer(reader, writer)
            writer.close()
        except (OSError, EOFError, ValueError, AnswerError) as error:
            self.seen.errors.append(repr(error))

    async def run(self) -> Seen:
        """All streams at once."""
        start = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for number in range(self.plan.streams):
                group.create_task(self.stream(number, start))
        self.seen.elapsed_s = asyncio.get_running_loop().time() - start
        return self.seen


def main() -> None:
    """Plan in, Seen out."""
    client = Client(Plan(**json.loads(sys.stdin.readline())))
    seen = asyncio.run(client.run())
    sys.stdout.write(json.dumps(asdict(seen)) + "\n")


if __name__ == "__main__":
    main()
