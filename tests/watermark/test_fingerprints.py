"""What is kept of a text is little, keyed, and found again by every longer excerpt."""

import numpy as np

from watermark.fingerprints import MOST, fingerprints, hashes

KEY = b"k" * 32


def text(words: int, seed: int = 1) -> list[str]:
    return [f"w{word}" for word in np.random.default_rng(seed).integers(0, 5000, words)]


def test_every_excerpt_of_a_window_and_three_words_shares_one() -> None:
    words = text(300)
    kept = set(fingerprints(KEY, " ".join(words)))
    window = 19  # 297 phrases, two in 32
    for start in range(0, 300 - window - 3):
        assert kept & set(hashes(KEY, " ".join(words[start : start + window + 3])))
    assert not kept & set(hashes(KEY, " ".join(text(300, seed=2))))


def test_little_is_kept_of_long_texts_and_something_of_short_ones() -> None:
    for words in (4, 8, 20, 100, 1000, 10_000):
        assert 1 <= len(fingerprints(KEY, " ".join(text(words)))) <= MOST * 1.5
    assert fingerprints(KEY, "three words only") == []


def test_another_key_keeps_other_hashes() -> None:
    words = " ".join(text(50))
    assert not set(fingerprints(KEY, words)) & set(hashes(b"x" * 32, words))


def test_no_more_is_looked_at_than_is_asked() -> None:
    assert len(hashes(KEY, " ".join(text(100)), 10)) == 10
