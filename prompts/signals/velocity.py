"""Spend velocity: a principal that spends faster than its own past, within bounds that it cannot train away."""

from dataclasses import dataclass

RISE = 1.1
"""The most that one period can raise what counts as normal: 10 % a day doubles it in a week, not in an hour."""

CEILING = 20.0
"""The most that it can ever be raised above the first, so that patience does not buy everything."""


@dataclass(frozen=True, slots=True)
class Normal:
    """What counts as a normal spend in one period: `first` as the policy grants it, `now` as it was raised."""

    first: float
    now: float


def after(normal: Normal, spent: float) -> Normal:
    """What counts as normal after a period: it follows the spend up slowly and within the ceiling, and never down."""
    raised = min(max(spent, normal.now), normal.now * RISE, normal.first * CEILING)
    return Normal(normal.first, max(raised, normal.now))


def ratio(normal: Normal, spent: float) -> float:
    """How many times the normal a period's spend is."""
    return spent / normal.now if normal.now > 0 else 0.0


def p_value(normal: Normal, spent: float) -> float:
    """P of such a spend or more where what is normal is no less than its mean: min(1, 1/ratio), by Markov."""
    return min(1.0, 1.0 / max(ratio(normal, spent), 1e-300))
