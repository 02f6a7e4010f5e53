"""The machine's clock."""

import asyncio
from statistics import median

import pytest

from llmguard.clock import SystemClock

pytestmark = pytest.mark.anyio


async def test_a_sleep_ends_at_its_time_and_does_not_tell_when_it_began() -> None:
    clock, late = SystemClock(), []
    for began in (0.0, 0.0002, 0.0004, 0.0006, 0.0008) * 4:
        start = clock.monotonic()
        while clock.monotonic() < start + began:
            await asyncio.sleep(0)
        await clock.sleep_until(start + 0.005)
        late.append(clock.monotonic() - start - 0.005)
    assert min(late) >= 0
    # A plain sleep ends up to 1 ms late, the later the later it began.
    assert median(late) < 0.0005
    assert median(late[4::5]) - median(late[0::5]) < 0.0005


async def test_a_time_that_has_passed_is_not_waited_for() -> None:
    clock = SystemClock()
    start = clock.monotonic()
    await clock.sleep_until(start - 1.0)
    assert clock.monotonic() - start < 0.5
