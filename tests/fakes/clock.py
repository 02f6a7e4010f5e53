"""A clock that stands still until a test moves it."""

import asyncio


class FakeClock:
    """Both times go on together, by `advance` and `sleep_until` alone; the wall clock alone may be set."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._elapsed = 0.0

    def advance(self, s: float) -> None:
        """Let `s` seconds pass."""
        self._now += s
        self._elapsed += s

    async def sleep_until(self, when: float) -> None:
        """Let the time pass, and others run."""
        self.advance(max(0.0, when - self._elapsed))
        await asyncio.sleep(0)

    def set_wall(self, s: float) -> None:
        """Let somebody set the wall clock by `s` seconds; no time passes."""
        self._now += s

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return self._now
