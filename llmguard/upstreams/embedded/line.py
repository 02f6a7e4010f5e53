"""A waiting line before a worker that serves one at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

from llmguard.clock import Clock
from llmguard.errors import Denial, UpstreamFailure

FIRST_GUESS_S = 5.0
"""How long a turn is taken to last before one has been seen."""

WEIGHT = 0.3
"""Of the last turn in the moving average."""


class Line:
    """First come, first served, one at a time, at most `most` waiting besides.

    Whoever comes to a full line is refused with the time in which a place is expected to
    become free: what the running turn still needs, if it takes as long as turns have taken.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._lock = asyncio.Lock()
        self._inside = 0
        self._turn_s = FIRST_GUESS_S
        self._began = 0.0

    @property
    def waiting(self) -> int:
        """How many wait, without the one whose turn it is."""
        return self._inside - self._lock.locked() if self._inside else 0

    @property
    def expected_s(self) -> float:
        """Seconds until the running turn is expected to end; at least a tenth."""
        return max(0.1, self._turn_s - (self._clock.monotonic() - self._began))

    def overloaded(self) -> UpstreamFailure:
        """What is raised where nobody can be served now."""
        return UpstreamFailure(Denial("overloaded", retry_after_s=self.expected_s), retryable=False)

    @asynccontextmanager
    async def turn(self, deadline: float) -> AsyncIterator[Callable[[], None]]:
        """Wait for a turn and hold it; raises overloaded() where the line is full, or still long at `deadline`.

        `deadline` is in the loop's time. Whoever is cancelled while waiting leaves the line.
        Gives what ends the turn before the block does, for work that is over before its
        answer has been read; it may be called again.
        """
        if self._inside > self._most:
            raise self.overloaded()
        with ExitStack() as stack:
            self._inside += 1
            stack.callback(self._leave)
            try:
                async with asyncio.timeout_at(deadline):
                    await self._lock.acquire()
            except TimeoutError as error:
                raise self.overloaded() from error
            self._began = self._clock.monotonic()
            stack.callback(self._end)
            yield stack.close

    def _leave(self) -> None:
        self._inside -= 1

    def _end(self) -> None:
        self._lock.release()
        self._turn_s += WEIGHT * (self._clock.monotonic() - self._began - self._turn_s)
