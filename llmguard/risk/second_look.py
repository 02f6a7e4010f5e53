"""The second look at prompts, for paraphrase: a sentence encoder's, batched, off the path of the first.

What one key says again in other words has few tokens in common and one meaning. The first look never waits for this
one: where more prompts come than can be encoded, the oldest that wait are shed, and counted. What it finds points out,
and convicts nobody.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from llmguard.metrics import Metrics
from llmguard.risk.report import Signal
from prompts.pvalues import at_least, to_e
from prompts.signals import near_duplicates

log = logging.getLogger(__name__)

BATCH: Final = 32
MOST_WAITING: Final = 512
"""Some seconds of what an encoder can do."""
KEPT: Final = 50
MOST_KEYS: Final = 2000
"""Of KEPT vectors of 384 half floats each: 77 MB."""
FEWEST: Final = 20
GRANTED: Final = 0.5
"""The share of prompts that may mean what an earlier one meant: people who ask about one topic come to a third."""

Encode = Callable[[Sequence[Sequence[int]]], NDArray[np.float32]]
"""Token ids of texts to unit vectors [texts, width]."""


class Meanings:
    """The last vectors of one key, and how close each came to an earlier one."""

    __slots__ = ("_nearest", "_vectors")

    def __init__(self) -> None:
        self._vectors: deque[NDArray[np.float16]] = deque(maxlen=KEPT)
        self._nearest: deque[float] = deque(maxlen=KEPT)

    def see(self, vector: NDArray[np.float32]) -> None:
        """Take one prompt."""
        if self._vectors:
            self._nearest.append(float((np.stack(self._vectors).astype(np.float32) @ vector).max()))
        self._vectors.append(vector.astype(np.float16))

    def signals(self) -> Iterator[tuple[str, Signal]]:
        """Each by its name."""
        if len(self._nearest) >= FEWEST:
            hits = round(near_duplicates.share(self._nearest) * len(self._nearest))
            p = at_least(hits, len(self._nearest), GRANTED)
            yield "paraphrases", Signal(p, to_e(p), len(self._nearest))


class SecondLook:
    """A bounded queue before `encode`, which runs in a thread."""

    def __init__(self, encode: Encode, metrics: Metrics) -> None:
        self._encode = encode
        self._metrics = metrics
        self._waiting: deque[tuple[str, Sequence[int]]] = deque()
        self._came = asyncio.Event()
        self._broken = False
        self._keys: OrderedDict[str, Meanings] = OrderedDict()

    def offer(self, key: str, ids: Sequence[int]) -> None:
        """Let a prompt be looked at again; returns at once."""
        if not len(ids):
            return
        if self._broken:
            self._metrics.second_look("shed")
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._metrics.second_look("shed")
        self._waiting.append((key, ids))
        self._came.set()

    def signals(self, key: str) -> dict[str, Signal]:
        """What was found of a key."""
        known = self._keys.get(key)
        return dict(known.signals()) if known is not None else {}

    async def run(self) -> None:
        """Look, until cancelled or the encoder fails: then all that comes is shed, and the first look goes on."""
        while not self._broken:
            await self._came.wait()
            self._came.clear()
            while self._waiting and not self._broken:
                await self.look()

    async def look(self) -> None:
        """Look at one batch."""
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            vectors = await asyncio.to_thread(self._encode, [ids for _, ids in batch])
        except (OSError, ImportError, RuntimeError) as error:
            log.error("prompts get no second look: %s", type(error).__name__)
            self._broken = True
            self._metrics.second_look("shed", len(batch) + len(self._waiting))
            self._waiting.clear()
            return
        for (key, _), vector in zip(batch, vectors, strict=True):
            self._of(key).see(vector)
        self._metrics.second_look("done", len(batch))

    def _of(self, key: str) -> Meanings:
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = Meanings()
            if len(self._keys) > MOST_KEYS:
                self._keys.popitem(last=False)
        self._keys.move_to_end(key)
        return known
