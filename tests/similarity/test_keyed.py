"""Keyed numbers: uniform, repeatable, and nothing without the key."""

import numpy as np
from scipy import stats

from similarity.keyed import number, said, uniform


def test_they_are_uniform() -> None:
    values = [uniform(b"key", number(at)) for at in range(4000)]
    assert stats.kstest(values, stats.uniform(-1, 2).cdf).pvalue > 0.001
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.05


def test_each_list_of_parts_has_its_own_and_each_key_another() -> None:
    assert uniform(b"key", b"ab", b"c") == uniform(b"key", b"ab", b"c")
    assert len({uniform(b"key", b"ab", b"c"), uniform(b"key", b"a", b"bc"), uniform(b"yek", b"ab", b"c")}) == 3


def test_a_text_is_known_by_its_letters_and_digits() -> None:
    assert said("Héllo, World 2!") == said("hello world 2") == said("he\u0301llo\nworld2")
    assert (
        len({said("hello world"), said("hello worlds"), said("hello world 2"), said("🌍"), said("🌎"), said("")}) == 6
    )
