"""Prompts of almost nothing: streams that probe a model token by token."""

LENGTH = 3
LEAST_SEEN = 5


def stratum(seen: int) -> int:
    """By how much the principal has said before: under 100 prompts, or more."""
    return 0 if seen < 100 else 1


def scored(seen: int) -> bool:
    """Whether the principal has said enough to be judged."""
    return seen >= LEAST_SEEN
