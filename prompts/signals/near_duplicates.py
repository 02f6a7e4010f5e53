"""Near-duplicates: how many prompts have a close one in the recent window, and whether that share grows.

Honest users of one topic have many close neighbours too, so the share is to be compared with
that of honest sessions; it points out, and does not convict.
"""

from collections.abc import Collection, Sequence

CLOSE = 0.85
"""Cosine of fingerprints from which two prompts are near-duplicates."""


def share(nearest: Collection[float]) -> float:
    """The share of prompts whose nearest earlier prompt is close; 0 for none."""
    return sum(cosine >= CLOSE for cosine in nearest) / len(nearest) if nearest else 0.0


def growth(nearest: Sequence[float]) -> float:
    """The share in the later half less that in the earlier: in [-1, 1], above 0 for a cluster that grows."""
    half = len(nearest) // 2
    return share(nearest[half:]) - share(nearest[:half]) if half else 0.0
