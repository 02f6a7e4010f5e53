"""Near-duplicates across all principals: the fingerprints of a bounded recent window, in one FAISS index.

A neighbour is nothing to convict by: honest prompts about one topic have close ones too. How
close each prompt of a principal came to an earlier one of its own is for an operator to see;
long prompts that are close to another principal's link the two, whose evidence is then pooled.
Prompts are looked up BATCH at a time, so that one costs little.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompts.fingerprint import DIMENSIONS, StaticEmbedding, Vector
from prompts.grams import Ids
from prompts.prompt import Said
from prompts.signals import near_duplicates
from similarity.index.codes import Codes

NEIGHBOURS = 8
BATCH = 32
KEPT = 50
"""Prompts of a principal whose closeness is remembered."""


@dataclass(frozen=True, slots=True)
class Near:
    """How close a prompt came to an earlier one of the same principal and of others, and whose that was; 0 for none.

    met: what was said of it when it was seen.
    """

    principal: str
    met: bool
    length: int
    own: float
    others: float
    other: str | None


class Lookout:
    """At most `capacity` fingerprints of all principals, the oldest forgotten first.

    Prompts of one batch are not compared with each other. Up to EXACT_TO of them a batch takes
    less than a millisecond. Beyond, the cells of the index are laid anew when there are three
    times as many: three times in all on the way to 100,000, for 0.4 s at 40,000.
    """

    def __init__(self, embedding: StaticEmbedding, capacity: int = 100_000) -> None:
        self._embedding = embedding
        self._index = Codes(DIMENSIONS, capacity)
        self._owners: list[str] = [""] * capacity
        self._pending: list[tuple[str, bool, int, Vector]] = []
        self._own: OrderedDict[str, deque[float]] = OrderedDict()
        self._most = capacity

    def __len__(self) -> int:
        return len(self._index) + len(self._pending)

    def see(self, principal: str, said: Said, met: bool = False) -> list[Near]:
        """Take one prompt, and whether it met another key's; what was found for a whole BATCH, if any."""
        self._pending.append((principal, met, said.length, self._embedding.vector(said.ids)))
        return self.look() if len(self._pending) >= BATCH else []

    def fingerprints(self, prompts: Sequence[Ids]) -> NDArray[np.float32]:
        """[n, DIMENSIONS] of prompts by their tokens, which are not kept."""
        return np.array([self._embedding.vector(ids) for ids in prompts], np.float32).reshape(-1, DIMENSIONS)

    def look(self) -> list[Near]:
        """What is near the prompts that were taken since, which are then kept."""
        pending, self._pending = self._pending, []
        if not pending:
            return []
        vectors = np.stack([vector for *_, vector in pending])
        found = self._index.search(vectors, NEIGHBOURS)
        nears = [
            self._near(principal, met, length, ids, cosines)
            for (principal, met, length, _), ids, cosines in zip(pending, found.ids, found.scores, strict=True)
        ]
        for place, (principal, *_) in zip(self._index.add(vectors).tolist(), pending, strict=True):
            self._owners[place % self._most] = principal
        if self._index.worn():
            self._index.lay()
        return nears

    def share(self, principal: str) -> float:
        """The share of a principal's last prompts that have a near-duplicate of its own."""
        return near_duplicates.share(self._own.get(principal, ()))

    def growth(self, principal: str) -> float:
        """How much that share grew over them."""
        return near_duplicates.growth(tuple(self._own.get(principal, ())))

    def _near(self, principal: str, met: bool, length: int, ids: NDArray[np.int64], cosines: Vector) -> Near:
        own, others, other = 0.0, 0.0, None
        for place, cosine in zip(ids.tolist(), cosines.tolist(), strict=True):
            if place < 0:
                break
            owner = self._owners[place % self._most]
            if owner == principal:
                own = max(own, cosine)
            elif cosine > others:
                others, other = cosine, owner
        kept = self._own.setdefault(principal, deque(maxlen=KEPT))
        kept.append(own)
        self._own.move_to_end(principal)
        if len(self._own) > self._most:
            self._own.popitem(last=False)
        return Near(principal, met, length, own, others, other)
