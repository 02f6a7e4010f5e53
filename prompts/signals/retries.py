"""What follows a refusal for rate: people wait or leave, probers come back at once or to the dot."""

from collections.abc import Sequence

from prompts.pvalues import at_least

DOT = 0.02
"""Share of the wait within which a return is to the dot."""

GRANTED = 0.5
"""The share of returns at once or to the dot that is granted: a well-kept SDK adds jitter, a shell loop does not."""


def eager(waits: Sequence[tuple[float, float]]) -> int:
    """How many returned at once or to the dot; (seconds told to wait, seconds waited) for each refusal."""
    return sum(waited < 0.5 * told or abs(waited - told) <= DOT * told for told, waited in waits)


def p_value(waits: Sequence[tuple[float, float]]) -> float:
    """P of as many eager returns or more where each is one with a chance of at most GRANTED."""
    return at_least(eager(waits), len(waits), GRANTED)
