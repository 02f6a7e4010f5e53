"""Templates inside a prompt: a long run of tokens made of fours that many other chains hold.

Random clauses before and after a template hide its ends, not its middle. A prompt's span is the
longest run of tokens that such fours cover without a gap, in bits.
"""

import numpy as np
from numpy.typing import NDArray

from prompts.grams import RUN

TESTS = ((40, 6), (60, 12), (100, 12))
"""Bits of the longest span, and the number of other chains that hold each of its fours."""


def tested(seen: int) -> tuple[bool, ...]:
    """Which tests have a chance to hit after so many prompts."""
    return tuple(seen >= chains for _, chains in TESTS)


def hits(run_counts: NDArray[np.uint8], bits: NDArray[np.float32]) -> list[bool]:
    """A hit for each of TESTS; run_counts: [n - 3] chains that hold each four; bits: [n] of each token."""
    spans = {chains: longest(run_counts, bits, chains) for chains in {chains for _, chains in TESTS}}
    return [spans[chains] > least for least, chains in TESTS]


def longest(run_counts: NDArray[np.uint8], bits: NDArray[np.float32], chains: int) -> float:
    """The bits of the longest run of tokens covered by fours that at least so many chains hold."""
    best = total = 0.0
    end = -1
    for start in np.flatnonzero(run_counts >= chains).tolist():
        if start > end:
            total, end = 0.0, start
        total += float(bits[end : start + RUN].sum())
        end = start + RUN
        best = max(best, total)
    return best
