"""Perturbation chains: edits of one seed, each made from the seed and not from the edit before it.

A person who works on a text goes on from the last version; an attacker who looks for a decision
boundary goes back to the seed.
"""

from prompts.window import Joined

LEAST = 3
"""The place in its chain from which a prompt can tell: the second's previous one is the head itself."""

KIN = 2
"""Kin from which their order can tell."""


def back_to_head(joined: Joined) -> bool:
    """Whether an edit of a seed that was itself sent is at least as close to the seed as to the edit before it."""
    return joined.place >= LEAST and joined.to_head >= joined.to_previous


def star(joined: Joined) -> bool:
    """Whether some of the last prompts is closer kin than the very last.

    For seeds that were not sent: of m edits of one seed the latest is the closest by chance alone,
    one time in m.
    """
    return joined.star >= KIN


def has_kin(joined: Joined) -> bool:
    """Whether a prompt has kin enough for their order to tell."""
    return len(joined.kin) >= KIN


def scattered(joined: Joined) -> bool:
    """Whether some kin in the window is closer than the latest: for many seeds in turn, and among other prompts."""
    latest, *others = joined.kin
    return max(others) > latest
