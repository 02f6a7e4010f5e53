"""Queries to a classifier: labels spread too evenly, and inputs too close to a boundary."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import erfc, sqrt

from prompts.pvalues import at_least, two_sided

MARGIN = 0.1
"""Difference of the two largest probabilities below which an input is at a boundary."""


def boundary(margins: Sequence[float], granted: float) -> float:
    """P of as many inputs at a boundary or more, where each is one with a chance of at most `granted`."""
    return at_least(sum(margin < MARGIN for margin in margins), len(margins), granted)


def balance(labels: Sequence[str], shares: Mapping[str, float]) -> float:
    """Two-sided p of how far labels are from the usual shares: too even a fit is as odd as too bad a one.

    Pearson's chi-squared; its distribution by Wilson and Hilferty's cube root (1931), good to
    about 0.001. `shares` are above 0; labels outside of them are not counted.
    """
    counted = Counter(label for label in labels if label in shares)
    total, whole = sum(counted.values()), sum(shares.values())
    if len(shares) < 2 or not total:
        return 1.0
    expected = {label: total * share / whole for label, share in shares.items()}
    squares = sum((counted[label] - mean) ** 2 / mean for label, mean in expected.items())
    freedom = len(shares) - 1
    z = ((squares / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / sqrt(2 / (9 * freedom))
    return two_sided(0.5 * erfc(-z / sqrt(2)), 0.5 * erfc(z / sqrt(2)))
