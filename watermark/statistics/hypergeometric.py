"""The exact upper tail of draws without replacement: apart, since scipy.stats takes a second to load."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from watermark.statistics.tails import Floats


def log_hypergeometric_tail(population: int, good: int, draws: ArrayLike, hits: ArrayLike) -> Floats:
    """log P(G >= hits) where G counts the good among `draws` without replacement. Shapes broadcast."""
    drawn, found = np.broadcast_arrays(np.asarray(draws, np.float64), np.asarray(hits, np.float64))
    # scipy sums the terms in log space. A tail that is certain comes out as rounding's ±1e-16.
    tail = stats.hypergeom.logsf(found - 1, population, good, drawn)
    return np.minimum(np.where(found > 0, tail, 0.0), 0.0)
