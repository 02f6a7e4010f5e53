"""One connection to a Redis server that everybody shares, and that is left alone for a while after it failed.

Commands that are given within one turn of the event loop leave in one write, and answers that came together are read
together: that, and not a connection for each, is what makes a command cheap.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, RedisClusterException, RedisError, ResponseError

BREAK_S: Final = 0.25
"""For so long after a failure nothing is sent; then one command is, and the others wait for its answer no more."""

CONNECT_S: Final = 2.0
"""For so long a connection may take to stand: longer than a command may take, or a distant server never had one."""


class LaneBroken(ConnectionError):
    """Nothing was sent: the server failed a moment ago."""


class Lane:
    """Commands to the server that `connect` gives connections to; connects when there is something to say.

    Each command is answered within `timeout_s` or fails, and with it all others under way: answers come in order,
    so none of theirs could be known before. What was sent may have been done all the same.
    """

    def __init__(self, connect: Callable[[], Awaitable[AbstractConnection]], *, timeout_s: float) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._unsent: list[bytes] = []
        self._pending: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connected = False
        self._failed = False
        self._closed_until = 0.0

    def execute(self, command: bytes) -> asyncio.Future[Any]:
        """The answer to a packed command, strings as bytes, or its failure: redis' errors and OSError."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        future: asyncio.Future[Any] = loop.create_future()
        if self._failed and (self._pending or now < self._closed_until):
            _fail(future, LaneBroken("the server failed a moment ago"))
            return future
        self._pending.append((future, now + self._timeout_s))
        self._unsent.append(command)
        self._woken.set()
        if self._task is None:
            self._connected = False
            self._task = loop.create_task(self._run())
        if self._timer is None:
            self._timer = loop.call_at(now + self._timeout_s, self._expire)
        return future

    async def close(self) -> None:
        """Close the connection; what is under way fails."""
        task = self._task
        self._fail(ConnectionError("closed"))
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await self._connect()
            self._connected = True
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._write(connection))
                    tasks.create_task(self._read(connection))
            finally:
                await connection.disconnect(nowait=True)
        except* (RedisError, RedisClusterException, OSError) as group:
            if self._task is asyncio.current_task():  # else it was given up already
                self._fail(group.exceptions[0])

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            commands, self._unsent = self._unsent, []
            await connection.send_packed_command(commands, check_health=False)

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            try:
                answer = await connection.read_response(disable_decoding=True)
            except ResponseError as error:
                if "READONLY" in str(error):
                    raise ConnectionError("the server is no master any more") from error
                answer = error
            if not self._pending:
                raise ConnectionError("the server answered what nobody asked")
            self._failed = False
            future, _ = self._pending.popleft()
            if future.done():
                continue
            if isinstance(answer, ResponseError):
                _fail(future, answer)
            else:
                future.set_result(answer)

    def _expire(self) -> None:
        self._timer = None
        if not self._pending:
            return
        loop, oldest = asyncio.get_running_loop(), self._pending[0][1]
        if loop.time() < oldest:
            self._timer = loop.call_at(oldest, self._expire)
            return
        task = self._task
        self._fail(TimeoutError("the server did not answer in time"))
        if task is not None and self._connected:
            task.cancel()
        else:
            self._task = task  # what was asked has failed, unsent, but the connection may still come

    def _fail(self, error: BaseException) -> None:
        self._task = None
        self._unsent = []
        self._woken.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pending:  # nobody was waiting: an idle connection ended
            return
        pending, self._pending = self._pending, deque()
        self._failed = True
        self._closed_until = asyncio.get_running_loop().time() + BREAK_S
        for future, _ in pending:
            if not future.done():
                _fail(future, error)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    future.set_exception(error)
    future.exception()  # whoever asked may have left: then nobody need hear of it
