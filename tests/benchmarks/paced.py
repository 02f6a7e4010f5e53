"""An upstream that streams at a steady pace, each chunk carrying the time at which it left.

Run as a module it takes a port.
The last message says `chunks=K every_ms=M`. Times are nanoseconds of the monotonic clock, which all processes share.
"""

import asyncio
import json
import re
import sys
import time

from tests.ports import HOST

WISH = re.compile(rb"chunks=(\d+) every_ms=(\d+)")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
READY = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nready"
BASE = {"id": "chatcmpl-paced", "object": "chat.completion.chunk", "created": 1700000000, "model": "mock"}


def event(choices: list[object], usage: object = None) -> bytes:
    """One event in a frame of its own."""
    shape = {**BASE, "choices": choices, **({"usage": usage} if usage else {})}
    return frame(f"data: {json.dumps(shape)}\n\n".encode())


def frame(data: bytes) -> bytes:
    """One frame of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


async def stream(writer: asyncio.StreamWriter, chunks: int, every_s: float, *, usage: bool) -> None:
    """A whole answer; the schedule does not drift with the sending."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    writer.write(HEAD)
    for number in range(chunks):
        await asyncio.sleep(start + number * every_s - loop.time())
        delta = {"content": f"t={time.monotonic_ns()} "}
        writer.write(event([{"index": 0, "delta": delta, "finish_reason": None}]))
        await writer.drain()
    writer.write(event([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    if usage:
        writer.write(event([], {"prompt_tokens": 5, "completion_tokens": chunks, "total_tokens": 5 + chunks}))
    writer.write(frame(b"data: [DONE]\n\n") + frame(b""))
    await writer.drain()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers one connection's requests until it closes."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            wish = WISH.search(body)
            if wish is None:
                writer.write(READY)
                continue
            await stream(writer, int(wish[1]), int(wish[2]) / 1000, usage=b"include_usage" in body)
    except (ConnectionError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


async def main(port: int) -> None:
    """Serves until the process is ended."""
    server = await asyncio.start_server(serve, HOST, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
