"""Templates inside a prompt: a long run of tokens made of fours that many other chains hold.

Random clauses before and after a template hide its ends, not its middle. A prompt's span is the
longest run of tokens that such fours cover without a gap, in bits.
"""

import numpy as np
from numba import types
from numpy.typing import NDArray

from prompts.compiled import READ_16, READ_BITS, WRITE_8, compiled
from prompts.grams import RUN, Counts, Ids

TESTS = ((40, 6), (60, 12), (100, 12))
"""Bits of the longest span, and the number of other chains that hold each of its fours."""

FEWEST = min(chains for _, chains in TESTS)
ENOUGH = max(bits for bits, _ in TESTS)
NOTHING = (False,) * len(TESTS)


def hits(counts: Counts, bits: NDArray[np.float32], ids: Ids) -> tuple[bool, ...]:
    """A hit for each of TESTS; counts: [n - 3] chains that hold each four; bits: of each token of the vocabulary."""
    most = _most(counts)
    if most < FEWEST:
        return NOTHING
    spans = {chains: longest(counts, bits, ids, chains) for chains in {chains for _, chains in TESTS} if chains <= most}
    return tuple(spans.get(chains, 0.0) > least for least, chains in TESTS)


@compiled(types.int64(WRITE_8))
def _most(counts: Counts) -> int:
    """The largest, 0 for none."""
    most = np.uint8(0)
    for count in counts:
        most = max(most, count)
    return int(most)


@compiled(types.float64(WRITE_8, READ_BITS, READ_16, types.int64))
def longest(counts: Counts, bits: NDArray[np.float32], ids: Ids, chains: int) -> float:
    """The bits of the longest run of tokens covered by fours that at least so many chains hold.

    What exceeds every test is not followed to its end.
    """
    best = total = 0.0
    end = -1
    for start in range(len(counts)):
        if counts[start] < chains:
            continue
        if start > end:
            total, end = 0.0, start
        for place in range(end, start + RUN):
            total += bits[ids[place]]
        end = start + RUN
        best = max(best, total)
        if best > ENOUGH:
            break
    return best
