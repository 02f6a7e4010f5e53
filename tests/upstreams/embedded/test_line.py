import asyncio

import pytest

from llmguard.errors import UpstreamFailure
from llmguard.upstreams.embedded.line import FIRST_GUESS_S, WEIGHT, Line
from tests.upstreams.embedded.requests import until

pytestmark = pytest.mark.anyio


class HeldClock:
    """A clock that a test moves."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


async def test_first_come_first_served_and_no_more_than_may_wait():
    line, served, gate = Line(1, HeldClock()), [], asyncio.Event()
    far = asyncio.get_running_loop().time() + 30

    async def visit(name: str) -> None:
        async with line.turn(far):
            served.append(name)
            await gate.wait()

    async with asyncio.TaskGroup() as group:
        first, second = group.create_task(visit("first")), group.create_task(visit("second"))
        await until(lambda: line.waiting == 1)
        with pytest.raises(UpstreamFailure) as caught:
            await visit("third")
        assert caught.value.denial.code == "overloaded"
        assert caught.value.denial.retry_after_s == FIRST_GUESS_S
        gate.set()
    assert first.done()
    assert second.done()
    assert served == ["first", "second"]
    assert line.waiting == 0


async def test_who_is_cancelled_while_waiting_leaves_the_line():
    line, far = Line(1, HeldClock()), asyncio.get_running_loop().time() + 30

    async def visit() -> None:
        async with line.turn(far):
            pass

    async with line.turn(far):
        waiting = asyncio.ensure_future(visit())
        await until(lambda: line.waiting == 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert line.waiting == 0
    async with asyncio.timeout(5):
        await visit()


async def test_who_waits_too_long_is_refused():
    line, now = Line(1, HeldClock()), asyncio.get_running_loop().time()
    async with line.turn(now + 30):
        with pytest.raises(UpstreamFailure) as caught:
            async with line.turn(now):
                pass
    assert caught.value.denial.code == "overloaded"
    assert line.waiting == 0


async def test_the_estimate_is_what_the_running_turn_still_needs():
    clock = HeldClock()
    line, far = Line(0, clock), asyncio.get_running_loop().time() + 30
    async with line.turn(far):
        clock.now += 15
        assert line.expected_s == 0.1
    learnt = FIRST_GUESS_S + WEIGHT * (15 - FIRST_GUESS_S)
    async with line.turn(far):
        clock.now += 2
        assert line.expected_s == pytest.approx(learnt - 2)
