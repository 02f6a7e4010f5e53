"""Hashes of phrases in this process's memory."""

from collections.abc import Sequence

from llmguard.clock import Clock
from llmguard.store.phrases import ROOM, Entry, period, periods


class MemoryPhrases:
    """A dictionary a period. No method awaits anything."""

    def __init__(self, *, clock: Clock, room: int = ROOM) -> None:
        self._clock = clock
        self._room = room
        self._periods: dict[str, tuple[float, dict[bytes, bytes]]] = {}

    async def add(self, entries: Sequence[Entry]) -> None:
        """Keep these, and forget what has ended."""
        now = self._clock.time()
        for name in [name for name, (ends, _) in self._periods.items() if ends <= now]:
            del self._periods[name]
        for entry in entries:
            name, ends = period(now, entry.lasts_s)
            held = self._periods.setdefault(name, (ends, {}))[1]
            if len(held) + len(entry.phrases) <= self._room:
                held.update(dict.fromkeys(entry.phrases, entry.value))

    async def find(self, phrases: Sequence[bytes], durations_s: Sequence[float]) -> list[bytes]:
        """What the hashes lead to."""
        now = self._clock.time()
        held = [self._periods[name] for name in periods(now, durations_s) if name in self._periods]
        return [found[phrase] for ends, found in held if ends > now for phrase in phrases if phrase in found]
