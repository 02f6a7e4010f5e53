"""A prompt of random words has no pair that was seen; one of pieces of words cannot tell."""

import numpy as np
import pytest

from prompts.signals.novelty import hit, scored, stratum


def test_one_pair_that_was_seen_is_enough() -> None:
    begins = np.array([True, True, False])
    assert hit(np.array([0, 0, 0], np.uint8), begins)
    assert not hit(np.array([0, 3, 0], np.uint8), begins)
    assert hit(np.array([0, 0, 9], np.uint8), begins)


def test_a_prompt_of_one_word_in_pieces_is_no_hit() -> None:
    assert not hit(np.zeros(5, np.uint8), np.zeros(5, bool))


@pytest.mark.parametrize(("length", "seen", "expected"), [(4, 50, False), (5, 9, False), (5, 10, True)])
def test_too_little_is_not_scored(length: int, seen: int, expected: bool) -> None:
    assert scored(length, seen) is expected


def test_strata_follow_the_history() -> None:
    assert [stratum(seen) for seen in (0, 19, 20, 99, 100, 299, 300, 9999)] == [0, 0, 1, 1, 2, 2, 3, 3]
