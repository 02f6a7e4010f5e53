"""The longest span is found, gaps and all."""

import numpy as np
import pytest

from prompts.grams import RUN
from prompts.signals.spans import ENOUGH, NOTHING, TESTS, hits, longest


def plain(counts: list[int], bits: list[float], chains: int) -> float:
    """Mark every covered token, then add up each stretch of them."""
    covered = [False] * len(bits)
    for start, count in enumerate(counts):
        if count >= chains:
            covered[start : start + RUN] = [True] * RUN
    best = total = 0.0
    for mark, told in zip(covered, bits, strict=True):
        total = total + told if mark else 0.0
        best = max(best, total)
    return best


def test_the_longest_span_is_that_of_a_plain_search() -> None:
    rng = np.random.default_rng(11)
    for _ in range(300):
        n = int(rng.integers(RUN, 40))
        counts = (rng.random(n - RUN + 1) < 0.3) * 20
        bits = rng.uniform(0.5, 3, n).astype(np.float32)
        found = longest(counts.astype(np.uint8), bits, np.arange(n, dtype=np.uint16), 12)
        assert found == pytest.approx(plain(counts.tolist(), bits.tolist(), 12))


def test_what_exceeds_every_test_is_not_followed() -> None:
    assert (
        ENOUGH
        < longest(np.full(500, 99, np.uint8), np.full(1, 10.0, np.float32), np.zeros(503, np.uint16), 12)
        < ENOUGH + 40
    )


def test_hits_need_bits_and_chains() -> None:
    bits, ids = np.full(10, 9.0, np.float32), np.zeros(20, np.uint16)
    counts = np.zeros(17, np.uint8)
    assert hits(counts, bits, ids) == NOTHING
    counts[3:6] = 6
    assert dict(zip(TESTS, hits(counts, bits, ids), strict=True)) == {(40, 6): True, (60, 12): False, (100, 12): False}
    counts[3:8] = 12
    assert hits(counts, bits, ids) == (True, True, False)
    counts[:] = 12
    assert hits(counts, bits, ids) == (True, True, True)


def test_a_prompt_shorter_than_a_run_hits_nothing() -> None:
    assert hits(np.zeros(0, np.uint8), np.ones(4, np.float32), np.zeros(2, np.uint16)) == NOTHING
