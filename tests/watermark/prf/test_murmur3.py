import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

from watermark.prf.murmur3 import chooses_first, context_hash, murmur3, state, uniforms

KEY = np.uint64(0x0123456789ABCDEF)


def test_serving_engines_numbers_come_out_bit_for_bit():
    context = context_hash(np.array([5, 6, 7, 8]))
    assert int(context) == 1080541597
    assert uniforms(KEY, context, np.array([9]))[0] == (388814433 + 0.5) / 2**32


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9))
def test_it_is_the_hash_that_another_library_computes(words: list[int]):
    expected = murmurhash3_32(np.array(words, "<u4").tobytes(), seed=0, positive=True)
    assert int(murmur3(*(np.uint32(word) for word in words))[0]) == expected


def test_keys_contexts_and_tokens_broadcast_to_what_each_alone_gives():
    random = np.random.default_rng(1)
    keys = random.integers(0, 2**64, 3, np.uint64)
    contexts, tokens = context_hash(random.integers(0, 50_000, (5, 4))), random.integers(0, 50_000, 5)
    found = uniforms(keys[:, None], contexts, tokens)
    assert found.shape == (3, 5)
    alone = [
        [uniforms(key, context, token)[0] for context, token in zip(contexts, tokens, strict=True)] for key in keys
    ]
    assert np.array_equal(found, alone)
    vocabulary = uniforms(keys[0], contexts[0], np.arange(50_000))
    assert vocabulary[tokens[0]] == found[0, 0]


def test_padding_is_the_word_of_ones():
    assert context_hash(np.array([-1])) == murmur3(np.uint32(2**32 - 1))


def test_keys_of_one_state_mark_alike():
    """A key's low half is undone by its high half: found by inverting the second word's mixing."""
    other = collision(int(KEY))
    assert other != int(KEY)
    assert state(np.uint64(other)) == state(KEY)
    tokens = np.arange(100)
    assert np.array_equal(uniforms(KEY, np.uint32(7), tokens), uniforms(np.uint64(other), np.uint32(7), tokens))


def collision(key: int) -> int:
    """Another key with the same state: any low half, and the high half that makes up for it."""
    mask = 2**32 - 1

    def left(word: int, bits: int) -> int:
        return (word << bits | word >> (32 - bits)) & mask

    def mixed(word: int) -> int:
        return left(word * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask

    def after(state: int, word: int) -> int:
        return (left(state ^ mixed(word), 13) * 5 + 0xE6546B64) & mask

    low = (key + 1) & mask
    wanted = after(0, key & mask) ^ mixed(key >> 32) ^ after(0, low)
    word = wanted * pow(0x1B873593, -1, 2**32) & mask
    return low | (left(word, 17) * pow(0xCC9E2D51, -1, 2**32) & mask) << 32


@pytest.mark.parametrize("mixing", [0.0, 0.25, 1.0])
def test_the_coin_falls_with_its_frequency(mixing: float):
    contexts = context_hash(np.arange(40_000).reshape(10_000, 4))
    share = chooses_first(KEY, np.uint64(99), contexts, mixing).mean()
    assert abs(share - mixing) <= 4 * np.sqrt(mixing * (1 - mixing) / 10_000)
