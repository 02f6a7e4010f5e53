"""Many keys at once: Holm's correction, and a key's rank among decoys."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def holm(log_p: Floats) -> Floats:
    """Holm's adjusted log p-values [n] (1979): calling those <= log a errs with chance <= a, however dependent."""
    order = np.argsort(log_p, kind="stable")
    stepped = log_p[order] + np.log(np.arange(log_p.size, 0, -1))
    adjusted = np.empty_like(log_p)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 0.0)
    return adjusted


def decoy_rank(score: float, decoys: Floats) -> float:
    """(1 + #{decoys >= score}) / (decoys + 1): a p-value that is exact over random keys, whatever repeats in the text.

    Scores are in the same units and larger for stronger evidence. Not a verdict by itself: it is
    exact over keys, and the one key in question stays what it is.
    """
    return (1 + int(np.count_nonzero(decoys >= score))) / (decoys.size + 1)
