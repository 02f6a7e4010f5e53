"""Unit vectors in float32, the one form in which vectors travel between the parts of this package."""

import hashlib
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vectors: TypeAlias = NDArray[np.float32]
"""[n, d], C-contiguous, every row of L2 norm 1 (or 0 where the text had no direction)."""

Ids: TypeAlias = NDArray[np.int64]
"""[n], none negative: a negative id means 'nothing found'."""

SHORTEST = 1e-12
"""A row shorter than this has no direction and stays zero."""


def unit(rows: ArrayLike) -> Vectors:
    """[n, d] rows scaled to L2 norm 1; a row of zeros stays zeros.

    Raises ValueError for another shape, and for numbers that are not finite.
    """
    found = np.ascontiguousarray(rows, dtype=np.float32)
    if found.ndim != 2:
        raise ValueError("vectors come as [n, d]")
    if not np.isfinite(found).all():
        raise ValueError("a vector holds a number that is not finite")
    norms = np.linalg.norm(found.astype(np.float64), axis=1, keepdims=True)
    return np.ascontiguousarray(np.where(norms > SHORTEST, found / np.maximum(norms, SHORTEST), 0.0), dtype=np.float32)


def ids_of(numbers: ArrayLike) -> Ids:
    """[n] ids as int64; raises ValueError where one is negative or the shape is another."""
    found = np.ascontiguousarray(numbers, dtype=np.int64)
    if found.ndim != 1 or (found < 0).any():
        raise ValueError("ids come as [n], none negative")
    return found


def digest(vector: Vectors) -> bytes:
    """16 bytes that stand for one vector [d], equal for equal vectors: those of one text may differ in their last bits,
    with the batch that it was embedded in."""
    return hashlib.blake2b(np.ascontiguousarray(vector, dtype="<f4").tobytes(), digest_size=16).digest()
