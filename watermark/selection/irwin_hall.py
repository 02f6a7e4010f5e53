"""The sum of n uniforms (Irwin and Hall 1927): its distribution function. Pure."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats: TypeAlias = NDArray[np.float64]

EXACT = 24
"""Up to so many the alternating sum is taken; it loses a digit for each five of them."""


def lower(sums: Floats, count: int) -> Floats:
    """P(U_1 + … + U_count <= sum) for sums [...] of at most count / 2; the other half is its mirror image.

    Up to 24 the exact sum; beyond, Edgeworth's expansion to the second order, which is exact to 1e-6 there. Both
    halves being one, a score's mean is right in either.
    """
    if count <= EXACT:
        steps = np.arange(count // 2 + 1)
        signs = (-1.0) ** steps * special.binom(count, steps)
        parts = np.maximum(sums[..., np.newaxis] - steps, 0.0) ** count
        found: Floats = np.clip((parts * signs).sum(axis=-1) / special.factorial(count), 0.0, 0.5)
        return found
    z = (sums - count / 2) / np.sqrt(count / 12)
    fourth, sixth = -1.2 / count, 48 / 7 / count**2
    hermite = np.polynomial.hermite_e.hermeval(z, [0, 0, 0, fourth / 24, 0, sixth / 720, 0, fourth**2 / 1152])
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    expanded: Floats = np.clip(special.ndtr(z) - density * hermite, np.finfo(np.float64).tiny, 0.5)
    return expanded


def scores(sums: Floats, count: int) -> Floats:
    """What sums [...] of `count` >= 1 uniforms are worth: standard normal, larger for larger sums."""
    low = np.minimum(sums, count - sums)
    found: Floats = -special.ndtri(np.maximum(lower(low, count), np.finfo(np.float64).tiny))
    return np.where(sums < count / 2, -found, found)
