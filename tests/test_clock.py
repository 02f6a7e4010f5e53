"""The machine's clock."""

import asyncio
from statistics import median

import pytest

from llmguard.clock import SystemClock

pytestmark = pytest.mark.anyio


async def lateness(clock: SystemClock) -> list[float]:
    """How late each of 20 sleeps ends that began at another part of a millisecond than the one before."""
    late = []
    for began in (0.0, 0.0002, 0.0004, 0.0006, 0.0008) * 4:
        start = clock.monotonic()
        while clock.monotonic() < start + began:
            await asyncio.sleep(0)
        await clock.sleep_until(start + 0.005)
        late.append(clock.monotonic() - start - 0.005)
    return late


async def test_a_sleep_ends_at_its_time_and_does_not_tell_when_it_began() -> None:
    clock = SystemClock()
    # Somebody else on the machine makes one round late, not all of them.
    rounds = [await lateness(clock) for _ in range(8)]
    assert min(map(min, rounds)) >= 0
    # A plain sleep ends up to 1 ms late, the later the later it began, in every round.
    assert min(median(late) for late in rounds) < 0.0005
    assert min(median(late[4::5]) - median(late[0::5]) for late in rounds) < 0.0005


async def test_a_time_that_has_passed_is_not_waited_for() -> None:
    clock = SystemClock()
    start = clock.monotonic()
    await clock.sleep_until(start - 1.0)
    assert clock.monotonic() - start < 0.5
