"""P-values, and e-values made of them.

A p-value is valid where P(p <= x) <= x for every x under the null hypothesis; an e-value where
its mean is at most 1. Sums are taken exactly, in logs.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import exp, lgamma, log, log1p, sqrt


def at_least(hits: int, trials: int, rate: float) -> float:
    """P(Binomial(trials, rate) >= hits)."""
    if hits <= 0:
        return 1.0
    if hits > trials or rate <= 0:
        return 0.0
    if rate >= 1:
        return 1.0
    return min(1.0, sum(exp(_log_mass(k, trials, rate)) for k in range(hits, trials + 1)))


def at_most(hits: int, trials: int, rate: float) -> float:
    """P(Binomial(trials, rate) <= hits)."""
    return at_least(trials - hits, trials, 1.0 - rate)


def conformal(statistic: float, null: Sequence[float]) -> float:
    """Two-sided p of a statistic against those of honest sessions, sorted; one value a session.

    Valid where the statistic is exchangeable with them (Vovk, Gammerman, Shafer, 2005). At
    least 2/(n + 1): n sessions cannot show less.
    """
    size = len(null) + 1
    above = size - bisect_left(null, statistic)
    below = 1 + bisect_right(null, statistic)
    return min(1.0, 2 * min(above, below) / size)


def two_sided(low: float, high: float) -> float:
    """The p of either tail: twice the smaller."""
    return min(1.0, 2 * min(low, high))


def to_e(p: float) -> float:
    """0.5·p^-0.5, whose mean is 1 for a uniform p (Vovk, Wang, "E-values", 2021)."""
    return 0.5 / sqrt(max(p, 1e-300))


def mean(values: Iterable[float]) -> float:
    """The mean of e-values, itself an e-value whatever their dependence; 1 for none."""
    found = list(values)
    return sum(found) / len(found) if found else 1.0


def _log_mass(k: int, n: int, rate: float) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(rate) + (n - k) * log1p(-rate)
