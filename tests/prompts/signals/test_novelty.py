"""Novelty is judged where there are pairs to tell by, and a past."""

import pytest

from prompts.signals.novelty import scored, stratum


@pytest.mark.parametrize(("length", "seen", "expected"), [(4, 50, False), (5, 9, False), (5, 10, True)])
def test_too_little_is_not_scored(length: int, seen: int, expected: bool) -> None:
    assert scored(length, seen) is expected


def test_strata_follow_the_history() -> None:
    assert [stratum(seen) for seen in (0, 19, 20, 99, 100, 299, 300, 9999)] == [0, 0, 1, 1, 2, 2, 3, 3]
