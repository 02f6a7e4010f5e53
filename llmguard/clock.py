"""The clock that everything reads, so that a test can hold it."""

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


class SystemClock:
    """The machine's clock."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)  # noqa: TID251  the one place that reads the wall clock
