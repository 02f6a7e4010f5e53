"""Diversity of a window of fingerprints, which templates lower and random words raise."""

import numpy as np
from numpy.typing import NDArray


def effective(vectors: NDArray[np.float32]) -> float:
    """How many unlike prompts a window is worth: the Vendi score of order 2; vectors: [n, d] units.

    n²/sum of squared cosines: 1 where all are alike, n where all are orthogonal (Pasarkar,
    Dieng, "Cousins of the Vendi score", 2024). 0 for none.
    """
    n = len(vectors)
    if not n:
        return 0.0
    # The sum of squared cosines is the squared norm of the smaller of the two Gram matrices.
    gram = vectors @ vectors.T if n <= vectors.shape[1] else vectors.T @ vectors
    return n * n / float((gram * gram).sum())


def coverage(vectors: NDArray[np.float32], bits: int = 8) -> float:
    """The share of buckets of sign patterns that a window reaches, of those that as many random ones would.

    Buckets are the signs of the first dimensions, which are the widest; 2^bits·(1 - (1 - 2^-bits)^n)
    is the number that n uniform draws reach on average.
    """
    n = len(vectors)
    if not n:
        return 0.0
    places = (vectors[:, :bits] > 0) @ (1 << np.arange(bits))
    buckets = 1 << bits
    return float(len(np.unique(places)) / (buckets * (1 - (1 - 1 / buckets) ** n)))
