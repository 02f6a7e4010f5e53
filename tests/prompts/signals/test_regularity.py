"""A loop is told from people, on both sides, at the stated rate."""

import numpy as np
import pytest

from prompts.signals.regularity import GRANTED, bowley, gaps, p_value, steady


def test_a_fixed_interval_is_told_and_jitter_of_a_tenth_too() -> None:
    rng = np.random.default_rng(17)
    assert p_value([2.0] * 60) < 1e-15
    assert p_value((2 + 0.1 * rng.uniform(-1, 1, 60)).tolist()) < 1e-10


def test_memoryless_arrivals_are_not_flagged_more_often_than_stated() -> None:
    rng = np.random.default_rng(18)
    found = [p_value(rng.exponential(size=100).tolist()) for _ in range(1000)]
    assert np.mean(np.array(found) <= 0.05) <= 0.05


def test_the_steady_share_of_exponential_gaps_is_its_closed_form() -> None:
    hits, trials = steady(np.random.default_rng(19).exponential(size=40_000).tolist())
    expected = 2**-0.9 - 2**-1.1
    assert hits / trials == pytest.approx(expected, abs=0.006)
    assert expected < GRANTED


def test_the_p_value_is_valid_at_the_granted_share() -> None:
    rng = np.random.default_rng(20)
    found = []
    for _ in range(1000):
        near = rng.random(100) < GRANTED
        found.append(p_value(np.where(near, 1.0, np.where(rng.random(100) < 0.5, 0.1, 9.0)).tolist()))
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 1000) ** 0.5


def test_too_little_tells_nothing() -> None:
    assert p_value([]) == p_value([1.0]) == 1.0


def test_bowleys_skewness_and_gaps() -> None:
    assert bowley([1, 2, 3, 4, 5]) == 0
    assert bowley([1, 2, 3, 10, 20]) > 0
    assert bowley([1, 1, 1, 1]) == bowley([1]) == 0
    assert gaps([1.0, 3.0, 3.5]) == [2.0, 0.5]
