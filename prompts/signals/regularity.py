"""Regularity of prompt lengths and of the gaps between prompts: people vary, loops do not.

A value is *steady* where it lies within a tenth of the median of the values before it. The
median is that of the earlier half and the count that of the later, so that they are independent
and the count is binomial where values are.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from prompts.pvalues import at_least, at_most, two_sided

NEAR = 0.1
GRANTED = 0.25
"""The steady share that is granted: exponential gaps have 0.07, lengths of one person's prompts 0.05 to 0.2."""

FEWEST = 0.005
"""The steady share below which values are more scattered than people's."""


def steady(values: Sequence[float]) -> tuple[int, int]:
    """How many of the later half are steady, and how many there are."""
    half = len(values) // 2
    if not half:
        return 0, 0
    middle = median(values[:half])
    later = values[half:]
    return sum(abs(value - middle) <= NEAR * middle for value in later), len(later)


def p_value(values: Sequence[float]) -> float:
    """Two-sided p of a steady share within [FEWEST, GRANTED], for values that are independent."""
    hits, trials = steady(values)
    if not trials:
        return 1.0
    return two_sided(at_most(hits, trials, FEWEST), at_least(hits, trials, GRANTED))


def gaps(times: Sequence[float]) -> list[float]:
    """Seconds between arrivals, in order."""
    return [later - earlier for earlier, later in pairwise(times)]


def bowley(values: Sequence[float]) -> float:
    """Bowley's skewness (Q3 + Q1 - 2·Q2)/(Q3 - Q1), in [-1, 1]; 0 for fewer than four values or no spread."""
    if len(values) < 4:
        return 0.0
    ordered = sorted(values)
    first, middle, third = (_quantile(ordered, share) for share in (0.25, 0.5, 0.75))
    return (third + first - 2 * middle) / (third - first) if third > first else 0.0


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
