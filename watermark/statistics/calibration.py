"""Whether p-values are p-values: unmarked text under a key, its uniformity and its false positives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats: TypeAlias = NDArray[np.float64]

SCREEN = 0.01
"""A key whose p-values on unmarked text are this unlikely to be uniform is discarded at issue."""


@dataclass(frozen=True, slots=True)
class Rate:
    """False positives at a nominal level, with the exact (Clopper-Pearson) 99 % interval of their rate."""

    level: float
    found: int
    texts: int
    low: float
    high: float

    @property
    def honest(self) -> bool:
        """Whether the nominal level may be the true one."""
        return self.low <= self.level


def uniformity(p_values: Floats) -> float:
    """The p-value of Kolmogorov and Smirnov's test that p-values [texts] of unmarked text are uniform on (0, 1)."""
    return float(stats.kstest(p_values, "uniform").pvalue)


def screened(p_values: Floats) -> bool:
    """Whether a key with these p-values [texts] on unmarked text may be issued."""
    return uniformity(p_values) >= SCREEN


def false_positives(p_values: Floats, levels: Sequence[float]) -> tuple[Rate, ...]:
    """The false-positive rates of p-values [texts] of unmarked text, at each level."""
    rates = []
    for level in levels:
        found = int(np.count_nonzero(p_values <= level))
        interval = stats.binomtest(found, p_values.size).proportion_ci(0.99, method="exact")
        rates.append(Rate(level, found, p_values.size, float(interval.low), float(interval.high)))
    return tuple(rates)
