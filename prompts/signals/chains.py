"""Perturbation chains: edits of one seed, each made from the seed and not from the edit before it.

A person who works on a text goes on from the last version; an attacker who looks for a decision
boundary goes back to the seed.
"""

from prompts.window import Joined

LEAST = 3
"""The place in its chain from which a prompt can tell: the second's previous one is the head itself."""

KIN = 2
"""Kin among the last prompts from which their order can tell."""


def hits(joined: Joined) -> tuple[bool, bool]:
    """Whether an edit is at least as close to its chain's head, or to some kin, as to the prompt before it.

    The first is for a seed that was itself sent, the second for one that was not, and for short
    seeds, whose edits are less alike: of m edits of one seed the last is the closest by chance
    alone, one time in m.
    """
    return joined.place >= LEAST and joined.to_head >= joined.to_previous, joined.star >= KIN
