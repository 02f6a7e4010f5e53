"""A pick is a fair draw over random keys, and leans to what its key likes under one."""

import numpy as np
import pytest
from scipy import stats

from watermark.phrases import identities
from watermark.selection.keyed import uniforms
from watermark.selection.pick import pick


def texts(generator: np.random.Generator, count: int, words: int = 30) -> list[str]:
    return [" ".join(f"w{word}" for word in generator.integers(0, 50_000, words)) for _ in range(count)]


def test_over_random_keys_each_candidate_is_given_as_often():
    generator = np.random.default_rng(1)
    candidates = texts(generator, 4)
    counts = np.bincount(
        [pick(int(key), candidates, generator) for key in generator.integers(0, 2**63, 600)], minlength=4
    )
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_text_that_was_made_twice_is_given_twice_as_often_and_shared_phrases_do_not_matter():
    generator = np.random.default_rng(2)
    once, twice = (f"the same beginning of all answers {text}" for text in texts(generator, 2, 8))
    candidates = [twice, once, twice]
    counts = np.bincount(
        [pick(int(key), candidates, generator) for key in generator.integers(0, 2**63, 600)], minlength=3
    )
    assert counts[2] == 0
    assert stats.binomtest(int(counts[0]), 600, 2 / 3).pvalue > 1e-3


def test_one_key_picks_the_same_again_and_texts_without_phrases_by_chance():
    generator = np.random.default_rng(3)
    candidates = texts(generator, 4)
    assert len({pick(7, candidates, generator) for _ in range(20)}) == 1
    assert {pick(7, ["yes", "no"], generator) for _ in range(60)} == {0, 1}


@pytest.mark.parametrize("key", [0, 2**64 - 1])
def test_the_keyed_values_are_uniform(key: int):
    phrases = np.array(identities(texts(np.random.default_rng(4), 1, 5000)[0]), np.uint64)
    assert stats.kstest(uniforms(np.array([key], np.uint64), phrases)[0], "uniform").pvalue > 1e-3
