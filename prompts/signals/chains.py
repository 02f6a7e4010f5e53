"""Perturbation chains: edits of one seed, each made from the seed and not from the edit before it.

A person who works on a text goes on from the last version; an attacker who looks for a decision
boundary goes back to the seed.
"""

from prompts.window import Joined

LEAST = 3
"""The place in its chain from which a prompt can tell: the second's previous one is the head itself."""


def hits(joined: Joined) -> tuple[bool, bool]:
    """Whether an edit is at least as close to its chain's head, or to any of its last few members, as to the one before.

    The first is for a seed that was itself sent, the second for one that was not: then the edit
    before is the closest of m by chance alone, one time in m.
    """
    told = joined.place >= LEAST
    return told and joined.to_head >= joined.to_previous, told and joined.closest_before >= joined.to_previous
