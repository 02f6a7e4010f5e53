"""Probes of single tokens: short, and new each time."""

import numpy as np

from prompts.signals.brevity import new, scored, stratum


def test_a_token_that_was_used_is_not_new() -> None:
    assert new(np.zeros(3, np.uint8))
    assert not new(np.array([0, 1, 0], np.uint8))


def test_a_beginner_is_not_judged() -> None:
    assert [scored(seen) for seen in (0, 4, 5)] == [False, False, True]
    assert [stratum(seen) for seen in (5, 99, 100)] == [0, 0, 1]
