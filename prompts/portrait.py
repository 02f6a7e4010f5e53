"""How a principal's last prompts look beside its earlier ones and beside others': for an operator to see.

Each p is two-sided and by chance alone: of DRAWS windows drawn from the others' prompts, or of as many ways to part
two windows. Prompts of one person depend on one another, and people differ: such a p says where to look, and no more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prompts.grams import Ids
from prompts.pvalues import conformal
from prompts.signals import divergence, diversity

Vectors = NDArray[np.float32]

OWN, OTHERS = 32, 256
"""Prompts of the principal, and of others, that are looked at."""
FEWEST = 16
DRAWS = 99


@dataclass(frozen=True, slots=True)
class Beside:
    """The tokens of a principal's last prompts and of others', which nothing changes: a thread may work on it."""

    own: Sequence[Ids] = ()
    others: Sequence[Ids] = ()
    fingerprints: Callable[[Sequence[Ids]], Vectors] | None = None
    generator: np.random.Generator = field(default_factory=np.random.default_rng)

    def portrait(self) -> dict[str, float]:
        """P-values by name."""
        if self.fingerprints is None:
            return {}
        return portrait(self.fingerprints(self.own), self.fingerprints(self.others), self.generator)


def portrait(own: Vectors, others: Vectors, generator: np.random.Generator) -> dict[str, float]:
    """P-values by name, of fingerprints [n, d], the newest last, and [m, d]; of what is too few, none."""
    found: dict[str, float] = {}
    if len(own) < FEWEST:
        return found
    half = len(own) // 2
    found["topic_shift"] = divergence.p_value(own[half:], own[:half], DRAWS, generator)
    if len(others) < 4 * len(own):
        return found
    rows = np.stack([generator.choice(len(others), len(own), replace=False) for _ in range(DRAWS)])
    drawn = others[rows]
    found["unlike_others"] = divergence.p_value(own, drawn[0], DRAWS, generator)
    found["diversity"] = conformal(diversity.effective(own), sorted(map(diversity.effective, drawn)))
    found["coverage"] = conformal(diversity.coverage(own), sorted(map(diversity.coverage, drawn)))
    return found
