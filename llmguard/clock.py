"""The clock that everything reads, so that a test can hold it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time, injected."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back. For durations."""
        ...

    def time(self) -> float:
        """Seconds since the Unix epoch. For what people and other machines read."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Come back when `monotonic` has come to `when`, and no sooner."""
        ...


TICKS_S = 0.003
"""By how much a timer of asyncio's or uvloop's loop may come late for its coarseness alone."""


class SystemClock:
    """The machine's clock."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)  # noqa: TID251  the one place that reads the wall clock

    async def sleep_until(self, when: float) -> None:
        """Come back at `when`, to some microseconds if the loop has time.

        A loop's timers tick in milliseconds counted from the call, so that the end of a plain sleep tells when it
        began. The last ticks are waited out turn by turn: up to 3 ms in which the loop serves others and is never idle.
        """
        rest = when - TICKS_S - self.monotonic()
        if rest > 0:
            await asyncio.sleep(rest)
        while self.monotonic() < when:  # noqa: ASYNC110  an event would be set by such a timer
            await asyncio.sleep(0)
