"""By what of it an answer can be traced to its request: taken down behind the requests, and looked up by operators."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import msgspec

from llmguard.clock import Clock
from llmguard.store.phrases import Entry, PhraseIndex
from llmguard.store.store import StoreUnavailable
from watermark.fingerprints import fingerprints, hashes

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
MOST_WAITING: Final = 2000
"""Answers that may wait to be taken down; beyond it the oldest are not."""
MOST_TEXT: Final = 65_536
"""Characters of an answer that are looked at."""
MOST_SOURCES: Final = 20


class Source(msgspec.Struct, frozen=True):
    """What a trace leads to. `kept` hashes were kept of the answer; `at` is in epoch seconds."""

    request_id: str
    at: int
    key: str
    tenant: str
    model: str
    watermark_key: str
    kept: int


class Trace(msgspec.Struct, frozen=True):
    """An answer that shares `matched` of its kept hashes with a text."""

    source: Source
    matched: int


class Recollection:
    """Remembers answers by hashes under `key`. Texts wait in memory, for a second or so, and go nowhere else."""

    def __init__(self, key: bytes, index: PhraseIndex, clock: Clock) -> None:
        self._key = key
        self._index = index
        self._clock = clock
        self._waiting: deque[tuple[str, Source, float]] = deque(maxlen=MOST_WAITING)

    def note(self, text: str, source: Source, lasts_s: float) -> None:
        """Take down an answer, before long."""
        self._waiting.append((text[:MOST_TEXT], source, lasts_s))

    async def find(self, text: str, durations_s: Sequence[float]) -> list[Trace]:
        """The answers that a text shares most with, the likeliest first. Raises StoreUnavailable."""
        await self.flush()
        asked = await asyncio.to_thread(lambda: list(dict.fromkeys(hashes(self._key, text))))
        if not asked:
            return []
        counted = Counter(await self._index.find(asked, durations_s))
        traces = [Trace(msgspec.msgpack.decode(value, type=Source), matched) for value, matched in counted.items()]
        traces.sort(key=lambda trace: (-trace.matched, -trace.source.at))
        return traces[:MOST_SOURCES]

    async def keep(self) -> None:
        """Take down what waits, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.flush()
            except StoreUnavailable:
                log.warning("answers could not be remembered: the store failed")

    async def flush(self) -> None:
        """Take down all that waits now. Raises StoreUnavailable, and then it is lost."""
        if not self._waiting:
            return
        batch = list(self._waiting)
        self._waiting.clear()
        await self._index.add(await asyncio.to_thread(self._entries, batch))

    def _entries(self, batch: Sequence[tuple[str, Source, float]]) -> list[Entry]:
        found = []
        for text, source, lasts_s in batch:
            kept = tuple(fingerprints(self._key, text))
            if kept:
                value = msgspec.msgpack.encode(msgspec.structs.replace(source, kept=len(kept)))
                found.append(Entry(kept, value, lasts_s))
        return found
