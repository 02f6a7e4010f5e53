"""Brevity is judged where there is a past."""

from prompts.signals.brevity import scored, stratum


def test_a_beginner_is_not_judged() -> None:
    assert [scored(seen) for seen in (0, 4, 5)] == [False, False, True]
    assert [stratum(seen) for seen in (5, 99, 100)] == [0, 0, 1]
