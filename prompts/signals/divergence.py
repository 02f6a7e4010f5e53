"""How far a window of fingerprints is from a reference: a principal's own past, or the population.

The maximum mean discrepancy with a sum of Gaussian kernels (Gretton et al., "A kernel
two-sample test", 2012), the unbiased estimate: its mean is 0 where both have one distribution.
"""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0)
"""Multiples of the median squared distance."""
ROUNDING = 1e-12


def mmd(window: Vectors, reference: Vectors) -> float:
    """The squared discrepancy of [n, d] from [m, d], in [-2, 2] and about 0 for one source; n and m at least 2.

    Raises ValueError for less.
    """
    here = np.arange(len(window) + len(reference)) < len(window)
    return float(_parted(_kernel(window, reference), here[None])[0])


def p_value(window: Vectors, reference: Vectors, draws: int, generator: np.random.Generator) -> float:
    """P of such a discrepancy or more among `draws` ways to part both at random; 1/(draws + 1) at least.

    Valid where the vectors of both are exchangeable. Raises ValueError for less than two on a side.
    """
    here = np.arange(len(window) + len(reference)) < len(window)
    parts = np.stack([here, *(generator.permutation(here) for _ in range(draws))])
    found = _parted(_kernel(window, reference), parts)
    return float((found >= found[0] - ROUNDING).mean())


def _kernel(window: Vectors, reference: Vectors) -> NDArray[np.float64]:
    """[n + m, n + m] with a diagonal of zeros."""
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
    found: NDArray[np.float64] = kernel
    return found


def _parted(kernel: NDArray[np.float64], parts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[k] squared discrepancies, of k ways [k, n + m] to say which vectors are the window."""
    here, there = parts.astype(np.float64), (~parts).astype(np.float64)
    n, m = here[0].sum(), there[0].sum()
    mine, theirs = here @ kernel, there @ kernel
    within = (mine * here).sum(axis=1) / (n * (n - 1)) + (theirs * there).sum(axis=1) / (m * (m - 1))
    found: NDArray[np.float64] = within - 2 * (mine * there).sum(axis=1) / (n * m)
    return found
