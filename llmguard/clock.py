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

    async def sleep(self, s: float) -> None:
        """Come back when `s` seconds have passed."""
        ...


class SystemClock:
    """The machine's clock."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)  # noqa: TID251  the one place that reads the wall clock
    sleep = staticmethod(asyncio.sleep)
