"""How far a window of fingerprints is from a reference: a principal's own past, or the population.

The maximum mean discrepancy with a sum of Gaussian kernels (Gretton et al., "A kernel
two-sample test", 2012), the unbiased estimate: its mean is 0 where both have one distribution.
"""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0)
"""Multiples of the median squared distance."""


def mmd(window: Vectors, reference: Vectors) -> float:
    """The squared discrepancy of [n, d] from [m, d], in [-2, 2] and about 0 for one source; n and m at least 2.

    Raises ValueError for less.
    """
    n, m = len(window), len(reference)
    if min(n, m) < 2:
        raise ValueError("a discrepancy needs two vectors on each side")
    both = np.concatenate([window, reference]).astype(np.float64)
    squares = (both * both).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * both @ both.T, 0.0)
    scale = float(np.median(distances[np.triu_indices(n + m, 1)])) or 1.0
    kernel = sum((np.exp(-distances / (factor * scale)) for factor in BANDWIDTHS), np.zeros_like(distances))
    kernel /= len(BANDWIDTHS)
    np.fill_diagonal(kernel, 0.0)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return float(within - 2 * kernel[:n, n:].mean())
