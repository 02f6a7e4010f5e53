"""How many requests a version of the settings serves, and when it is done."""

import asyncio

import pytest

from llmguard.connection import Connection
from llmguard.generation import Generation
from llmguard.wire.chat_endpoint import CHAT
from llmguard.wire.endpoint import Endpoint
from tests.fakes.connection import FakeClient
from tests.guarded import settings

pytestmark = pytest.mark.anyio


class Slow:
    """A guard that serves each request until it is told to stop, or fails."""

    def __init__(self) -> None:
        self.go = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def __call__(self, endpoint: Endpoint, connection: Connection) -> None:
        await self.go.acquire()
        if self.error:
            raise self.error


async def turn() -> None:
    """Let everything that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_is_finished_when_the_last_request_is() -> None:
    guard = Slow()
    generation = Generation(settings(), guard, None, {}, None)
    requests = [asyncio.ensure_future(generation.serve(CHAT, FakeClient().connection())) for _ in range(3)]
    await turn()
    assert generation.running == 3
    finished = asyncio.ensure_future(generation.finished())
    for left in (2, 1):
        guard.go.release()
        await turn()
        assert (generation.running, finished.done()) == (left, False)
    guard.go.release()
    async with asyncio.timeout(5):
        await finished
    await asyncio.gather(*requests)


async def test_one_that_serves_nothing_is_finished() -> None:
    async with asyncio.timeout(5):
        await Generation(settings(), Slow(), None, {}, None).finished()


async def test_requests_that_fail_or_are_cancelled_are_not_counted_for_ever() -> None:
    guard = Slow()
    generation = Generation(settings(), guard, None, {}, None)
    requests = [asyncio.ensure_future(generation.serve(CHAT, FakeClient().connection())) for _ in range(2)]
    await turn()
    guard.error = KeyError()
    guard.go.release()
    await turn()
    requests[1].cancel()
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(result) for result in results] == [KeyError, asyncio.CancelledError]
    assert generation.running == 0
    async with asyncio.timeout(5):
        await generation.finished()


async def test_one_that_was_idle_before_still_waits_for_its_last_request() -> None:
    guard = Slow()
    generation = Generation(settings(), guard, None, {}, None)
    guard.go.release()
    await generation.serve(CHAT, FakeClient().connection())
    last = asyncio.ensure_future(generation.serve(CHAT, FakeClient().connection()))
    await turn()
    finished = asyncio.ensure_future(generation.finished())
    await turn()
    assert not finished.done()
    guard.go.release()
    async with asyncio.timeout(5):
        await asyncio.gather(last, finished)
