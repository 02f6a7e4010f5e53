from hashlib import sha256

import numpy as np
from scipy import stats

from watermark.detector import Detector
from watermark.schemes.unigram import Unigram

KEYS = np.random.default_rng(0).integers(0, 2**63, (800, 1), np.uint64)


def test_green_tokens_are_those_of_the_published_recipe():
    seed = int(np.frombuffer(sha256(np.int64(7).tobytes()).digest()[:4], "<u4")[0])
    expected = np.array([1] * 30 + [0] * 70)
    np.random.default_rng(seed).shuffle(expected)
    assert np.array_equal(Unigram(100, share=0.3).green(7), expected)


def test_each_distinct_token_counts_once_by_the_hypergeometric_law():
    scheme = Unigram(100, share=0.3)
    text = [5, 5, 5, 9, 11, 9]
    green = scheme.green(7)[[5, 9, 11]].sum()
    found = Detector(scheme, np.array([[7]], np.uint64)).log_p(text)[0]
    assert np.isclose(np.exp(found), stats.hypergeom.sf(green - 1, 100, 30, 3))


def test_over_random_keys_the_p_value_holds_its_levels():
    text = np.random.default_rng(1).integers(0, 1000, 400)
    found = np.exp(Detector(Unigram(1000), KEYS).log_p(text))
    for level in (0.01, 0.1, 0.5):
        assert stats.binomtest(int((found <= level).sum()), 800, level, "greater").pvalue > 1e-3
    assert found.mean() < 0.6


def test_marked_text_is_found_and_tokens_beyond_the_vocabulary_are_not_green():
    scheme, generator = Unigram(500), np.random.default_rng(2)
    weights = generator.dirichlet(np.ones(500))
    text = [scheme.mark(KEYS[0], weights, np.empty(0, np.int64), generator) for _ in range(300)]
    log_p = Detector(scheme, KEYS[:2]).log_p(text)
    assert log_p[0] < np.log(1e-4)
    assert log_p[1] > np.log(1e-3)
    assert Detector(scheme, KEYS[:1]).document([600], alpha=1e-3)[0].score == 0
