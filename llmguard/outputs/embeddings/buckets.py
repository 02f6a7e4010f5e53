"""Which texts mean nearly the same, in secret cells."""

from collections.abc import Iterator

import numpy as np

from llmguard.outputs.embeddings.keystream import Floats, normal, stream

HASHES = 8
WIDTH = 2.5
"""Of a cell: two unit vectors of cosine 0.85 share one in 82 of 100 hashes, unrelated ones (0.1) in 58."""


class Buckets:
    """Cells of space between parallel planes (Datar et al. 2004, p-stable hashing), HASHES families of them.

    Distances decide, not directions: planes through the origin would hold most models' vectors on one side.
    """

    __slots__ = ("_directions", "_offsets")

    def __init__(self, key: bytes, size: int) -> None:
        self._directions = normal(key, b"directions", HASHES * size).reshape(size, HASHES)
        self._offsets = np.frombuffer(stream(key, b"offsets", 4 * HASHES), "<u4") * (WIDTH / 2**32)

    def __call__(self, vectors: Floats) -> Iterator[bytes]:
        """The cell of each of [n, size] unit vectors."""
        cells = np.floor((vectors @ self._directions + self._offsets) / WIDTH).astype("<i2")
        return (row.tobytes() for row in cells)
