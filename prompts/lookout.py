"""Near-duplicates across all principals: the fingerprints of a bounded recent window, in one FAISS index.

A neighbour is nothing to convict by: honest prompts about one topic have close ones too. How
close each prompt of a principal came to an earlier one of its own is for an operator to see;
long prompts that are close to another principal's link the two, whose evidence is then pooled.
Prompts are looked up BATCH at a time, so that one costs little.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prompts.fingerprint import StaticEmbedding
from prompts.grams import Ids
from prompts.prompt import Said
from prompts.signals import near_duplicates
from similarity.index.codes import Codes

NEIGHBOURS = 8
BATCH = 32
KEPT = 50
"""Prompts of a principal whose closeness is remembered."""


class Near(NamedTuple):
    """How close a prompt came to an earlier one of the same principal and of others, and whose that was; 0 for none.

    met: what was said of it when it was seen.
    """

    principal: str
    met: bool
    length: int
    own: float
    others: float = 0.0
    other: str | None = None


class Lookout:
    """At most `capacity` fingerprints of all principals, the oldest forgotten first.

    Prompts of one batch are not compared with each other. Up to EXACT_TO of them a batch takes
    less than a millisecond. Beyond, the cells of the index are laid anew when as many have come as
    they were laid for: five times on the way to 131,000, and at every 100,000 from there on, for 0.4 s.
    """

    def __init__(self, embedding: StaticEmbedding, capacity: int = 100_000) -> None:
        self._embedding = embedding
        self._index = Codes(embedding.dimensions, capacity)
        self._owners = np.full(capacity, "", object)
        self._pending: list[tuple[str, bool, Said]] = []
        self._own: dict[str, deque[float]] = {}
        self._most = capacity

    def __len__(self) -> int:
        return len(self._index) + len(self._pending)

    def see(self, principal: str, said: Said, met: bool = False) -> list[Near]:
        """Take one prompt, and whether it met another key's; what was found for a whole BATCH, if any."""
        self._pending.append((principal, met, said))
        return self.look() if len(self._pending) >= BATCH else []

    def fingerprints(self, prompts: Sequence[Ids]) -> NDArray[np.float32]:
        """[n, dimensions] of prompts by their tokens, which are not kept."""
        return self._embedding.vectors(prompts)

    def look(self) -> list[Near]:
        """What is near the prompts that were taken since, which are then kept."""
        pending, self._pending = self._pending, []
        if not pending:
            return []
        vectors = self._embedding.vectors([said.ids for *_, said in pending])
        principals = np.array([principal for principal, *_ in pending], object)
        found = self._index.search(vectors, NEIGHBOURS)
        owners = self._owners[found.ids % self._most]
        own = owners == principals[:, None]
        near = np.where(own, found.scores, 0).max(axis=1, initial=0).tolist()
        others = np.where(own, 0, found.scores)
        closest = others.argmax(axis=1)
        rows = np.arange(len(pending))
        told = zip(pending, near, others[rows, closest].tolist(), owners[rows, closest], strict=True)
        nears = [self._near(principal, met, said.length, *beside) for (principal, met, said), *beside in told]
        self._owners[self._index.add(vectors) % self._most] = principals
        if self._index.worn():
            self._index.lay()
        return nears

    def share(self, principal: str) -> float:
        """The share of a principal's last prompts that have a near-duplicate of its own."""
        return near_duplicates.share(self._own.get(principal, ()))

    def growth(self, principal: str) -> float:
        """How much that share grew over them."""
        return near_duplicates.growth(tuple(self._own.get(principal, ())))

    def _near(self, principal: str, met: bool, length: int, own: float, others: float, other: str) -> Near:
        kept = self._own.pop(principal, None)
        if kept is None:
            kept = deque(maxlen=KEPT)
        kept.append(own)
        # The longest silent first.
        self._own[principal] = kept
        if len(self._own) > self._most:
            del self._own[next(iter(self._own))]
        return Near(principal, met, length, own, others, other) if others > 0 else Near(principal, met, length, own)
