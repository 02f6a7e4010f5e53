"""The worker process as the guard sees it: started, spoken to, and started again when it dies."""

import asyncio
import itertools
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from llmguard.errors import Denial, UpstreamFailure
from llmguard.upstreams.embedded.frames import (
    LENGTH_BYTES,
    Cancel,
    Frame,
    FromWorker,
    Missing,
    Pieces,
    Ready,
    Reply,
    Request,
    packed,
)

START_S = 120.0
"""The longest that a start may take: a conversion of the model on a slow disk is in it."""

BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0

ENVIRONMENT = {
    # A thread that waits sleeps: spinning takes the core from those it waits for, and on a
    # busy machine a token then takes a second instead of a fiftieth.
    "OMP_WAIT_POLICY": "PASSIVE",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class CannotStart(Exception):
    """The worker did not start; the text says what to do about it."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the worker is at. None among the replies means that the worker died."""

    replies: asyncio.Queue[Reply | None]
    done: Callable[[], None]


class Worker:
    """One worker process at a time, for as long as it is supervised."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._ids = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._ready = asyncio.Event()
        self._process: Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """The process id, while there is a process."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process and wait until it is ready; raises CannotStart."""
        if self._supervisor is not None:
            return
        began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Kept here and awaited by close().
        self._supervisor = asyncio.create_task(self._supervise(began))  # noqa: TID251  it outlives this call
        try:
            async with asyncio.timeout(START_S):
                await began
        except (CannotStart, TimeoutError, asyncio.CancelledError) as error:
            await self.close()
            if isinstance(error, TimeoutError):
                raise CannotStart(f"the embedded models were not loaded within {START_S:.0f} s") from error
            raise

    async def wait_ready(self) -> None:
        """Wait for the process that is being started, if need be."""
        await self._ready.wait()

    async def close(self) -> None:
        """End the process."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
            self._supervisor = None

    async def converse(
        self, request: Callable[[int], Request], done: Callable[[], None]
    ) -> AsyncGenerator[Reply, None]:
        """Send a request and give its replies, the last of which is no Pieces.

        `done` is called when the last has come, whether or not it has been taken: a slow
        reader does not keep the worker from the next request.

        Closing the generator before that cancels the request. Raises
        UpstreamFailure(upstream_error) when the process dies meanwhile.
        """
        id_ = next(self._ids)
        replies: asyncio.Queue[Reply | None] = asyncio.Queue()
        self._calls[id_] = Call(replies, done)
        try:
            self._send(request(id_))
            while True:
                reply = await replies.get()
                if reply is None:
                    raise UpstreamFailure(Denial("upstream_error"), retryable=False)
                yield reply
                if not isinstance(reply, Pieces):
                    return
        finally:
            if self._calls.pop(id_, None) is not None:
                self._send(Cancel(id_))

    def _send(self, frame: Frame) -> None:
        # Not drained: what waits in the buffer is bounded by the lines before the worker, and
        # the worker reads at all times. A dead process is noticed where its output ends.
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(packed(frame))

    def _pass_on(self, reply: Reply) -> None:
        """Hand a reply to whoever waits for it; the last one ends the call."""
        call = self._calls[reply.id]
        call.replies.put_nowait(reply)
        if not isinstance(reply, Pieces):
            del self._calls[reply.id]
            call.done()

    async def _supervise(self, began: asyncio.Future[None]) -> None:
        """Run one process after the other; the time between failed starts doubles."""
        delay = BACKOFF_S
        while True:
            try:
                if await self._run(began):
                    delay = BACKOFF_S
                    continue
            except CannotStart as error:
                if not began.done():
                    began.set_exception(error)
                    return
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_BACKOFF_S)

    async def _run(self, began: asyncio.Future[None]) -> bool:
        """One process from start to end; whether it was ever ready. Raises CannotStart."""
        process = await _spawned(self._cache)
        self._process = process
        try:
            while (frame := await _read(process)) is not None:
                if isinstance(frame, Ready):
                    self._ready.set()
                    if not began.done():
                        began.set_result(None)
                elif isinstance(frame, Missing):
                    raise CannotStart(frame.message)
                elif frame.id in self._calls:
                    self._pass_on(frame)
            if not began.done():
                raise CannotStart("the process of the embedded models ended while it started; its log says why")
            return self.ready
        finally:
            self._process = None
            self._ready.clear()
            for call in self._calls.values():
                call.replies.put_nowait(None)
            self._calls.clear()
            await _end(process)


async def _spawned(cache: Path) -> Process:
    """A new worker process; raises CannotStart where the system does not give one."""
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "llmguard.upstreams.embedded.worker", str(cache),
            stdin=PIPE, stdout=PIPE, env=os.environ | ENVIRONMENT, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise CannotStart(f"the process of the embedded models could not be started: {error.strerror}") from error


async def _read(process: Process) -> FromWorker | None:
    """The worker's next frame; None where its output ends."""
    if process.stdout is None:
        return None
    try:
        head = await process.stdout.readexactly(LENGTH_BYTES)
        body = await process.stdout.readexactly(int.from_bytes(head, "big"))
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return None
    frame: FromWorker = msgspec.msgpack.decode(body, type=FromWorker)
    return frame


async def _end(process: Process) -> None:
    """Make sure that a process is gone, and reaped."""
    if process.returncode is None:
        with suppress(ProcessLookupError):  # It may end between the two lines.
            process.kill()
    # Shielded, so that a cancelled supervisor leaves no zombie behind.
    await asyncio.shield(process.wait())
