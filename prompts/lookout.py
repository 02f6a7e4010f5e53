"""Near-duplicates across all principals: the fingerprints of a bounded recent window, in one index.

A neighbour is nothing to convict by: honest prompts about one topic have close ones too. What
is kept of them is how close each prompt of a principal came to an earlier one of its own and to
one of somebody else's, for the signals that point out and for an operator.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from prompts.fingerprint import StaticEmbedding, Vector
from prompts.neighbours import Neighbours
from prompts.signals import near_duplicates

NEIGHBOURS = 8
KEPT = 50
"""Prompts of a principal whose closeness is remembered."""


@dataclass(frozen=True, slots=True)
class Near:
    """The largest cosine with an earlier prompt of the same principal and of others, and whose that was; 0 for none."""

    own: float
    others: float
    other: str | None


class Lookout:
    """At most `capacity` fingerprints of all principals, the oldest forgotten first."""

    def __init__(self, embedding: StaticEmbedding, index: Neighbours, capacity: int = 100_000) -> None:
        self._embedding = embedding
        self._index = index
        self._capacity = capacity
        self._next = 0
        self._owners: OrderedDict[int, str] = OrderedDict()
        self._own: dict[str, deque[float]] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def see(self, principal: str, ids: Sequence[int]) -> Near:
        """Find what is near a prompt of at least one token, then keep it."""
        vector = self._embedding.vector(ids)
        near = self._nearest(principal, vector)
        if len(self._owners) == self._capacity:
            self._expire()
        self._index.add(self._next, vector)
        self._owners[self._next] = principal
        self._next += 1
        self._counts[principal] = self._counts.get(principal, 0) + 1
        self._own.setdefault(principal, deque(maxlen=KEPT)).append(near.own)
        return near

    def share(self, principal: str) -> float:
        """The share of a principal's last prompts that have a near-duplicate of its own."""
        return near_duplicates.share(self._own.get(principal, ()))

    def growth(self, principal: str) -> float:
        """How much that share grew over them."""
        return near_duplicates.growth(tuple(self._own.get(principal, ())))

    def _nearest(self, principal: str, vector: Vector) -> Near:
        own, others, other = 0.0, 0.0, None
        places, cosines = self._index.search(vector, NEIGHBOURS)
        for place, cosine in zip(places.tolist(), cosines.tolist(), strict=True):
            owner = self._owners.get(place)
            if owner == principal:
                own = max(own, cosine)
            elif owner is not None and cosine > others:
                others, other = cosine, owner
        return Near(own, others, other)

    def _expire(self) -> None:
        place, owner = self._owners.popitem(last=False)
        self._index.remove(place)
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner], self._own[owner]
