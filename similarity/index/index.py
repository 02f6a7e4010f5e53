"""Nearest vectors by inner product, on FAISS; nothing else imports FAISS.

Four kinds behind one protocol, chosen by size (`kind_for`). Figures of one core and 384 dimensions:

| kind | search | recall@10 | bytes a vector | removal |
| --- | --- | --- | --- | --- |
| flat | 0.04 ms at 2k, 0.2 ms at 10k, 2 ms at 50k | 1 | 1,550 | at once |
| hnsw | 0.05 ms at 10k, 0.14 ms at 50k, 0.32 ms at 100k | 0.98 at 50k, 0.95 at 100k | 1,850 | with the next building |
| sq8 | 0.08 ms at 50k, 0.2 ms at 100k, 0.4 ms at 1M | 0.97 | 400 | at once |
| pq | 0.09 ms at 50k, 0.13 ms at 100k | 0.88, 1 once scored again | 104 | at once |

No index is safe to change while it is searched: the caller holds a lock.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from similarity.vectors import Ids, Vectors

FLAT_TO, HNSW_TO, SQ8_TO = 10_000, 50_000, 5_000_000
"""Sizes up to which each kind is chosen. At 10k a graph is 3.5 times as fast as a flat scan, which is exact and
needs no rebuilding; at 50k sq8 is faster than a graph at the same recall and takes a fifth of its memory; at 5M
sq8 holds 2 GB and pq 0.5 GB."""

Parts: TypeAlias = dict[str, NDArray[Any]]


class Kind(StrEnum):
    """How an index is laid out."""

    FLAT = "flat"
    HNSW = "hnsw"
    SQ8 = "sq8"
    PQ = "pq"


@dataclass(frozen=True, slots=True)
class Found:
    """For every question the ids [n, k] and inner products [n, k], best first; id -1 where there was nothing more."""

    ids: Ids
    scores: NDArray[np.float32]


class Index(Protocol):
    """What every kind does. Vectors are [n, d] rows of norm 1."""

    kind: Kind

    def __len__(self) -> int:
        """Vectors that a search can find."""
        ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Put vectors in; one whose id is there already takes its place."""
        ...

    def remove(self, ids: Ids) -> int:
        """Take vectors out; how many there were."""
        ...

    def search(self, questions: Vectors, k: int, allowed: Ids | None = None) -> Found:
        """The k nearest, among `allowed` where it is given."""
        ...

    def worn(self) -> bool:
        """Whether building it anew would make it smaller and faster."""
        ...

    def parts(self) -> Parts:
        """Everything that `restored` needs, as arrays."""
        ...


def kind_for(count: int) -> Kind:
    """The kind for so many vectors, by the crossovers above."""
    if count <= FLAT_TO:
        return Kind.FLAT
    if count <= HNSW_TO:
        return Kind.HNSW
    return Kind.SQ8 if count <= SQ8_TO else Kind.PQ
