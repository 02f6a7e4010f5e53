import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watermark.prf.philox import (
    State,
    context_state,
    few_uniforms,
    one_context_state,
    philox,
    uniforms,
    vocabulary,
)

ENGINE = [
    (42, [-1, -1, -1, -1], 0, 0.9772860407829285),
    (42, [-1, -1, -1, 7], 11, 0.18059395253658295),
    (42, [5, 6, 7, 8], 9, 0.35752537846565247),
    (9223372036854788153, [100, 200, 300, 400], 31999, 0.8593215346336365),
    (42, [5, 6, 7, 8], 12, 0.09116964787244797),
    (42, [1, 2, 3, 4, 5, 6], 3, 0.7527466416358948),
]
# The generator's known answers, as published with Random123.
KNOWN = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([2**32 - 1] * 4, [2**32 - 1] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def words(values: list[int]) -> list[np.ndarray]:
    return [np.full(1, value, np.uint32) for value in values]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_the_generators_known_answers(counter: list[int], key: list[int], expected: list[int]):
    assert [int(word[0]) for word in philox(State(*words(counter)), *words(key))] == expected


@pytest.mark.parametrize(("key", "context", "token", "expected"), ENGINE)
def test_serving_engines_uniforms_come_out_bit_for_bit(key: int, context: list[int], token: int, expected: float):
    state = context_state(np.uint64(key), np.array(context))
    assert uniforms(np.uint64(key), state, np.array([token]))[0] == expected
    assert vocabulary(np.uint64(key), state, token + 1)[token] == expected


def test_keys_contexts_and_tokens_broadcast_to_what_each_alone_gives():
    random = np.random.default_rng(1)
    keys = random.integers(0, 2**64, 3, np.uint64)
    contexts, tokens = random.integers(-1, 50_000, (5, 6)), random.integers(0, 50_000, 5)
    found = uniforms(keys[:, None], context_state(keys[:, None], contexts), tokens)
    assert found.shape == (3, 5)
    alone = [
        [uniforms(key, context_state(key, context), token)[0] for context, token in zip(contexts, tokens, strict=True)]
        for key in keys
    ]
    assert np.array_equal(found, alone)


def test_a_uniform_is_the_quotient_rounded_once_and_never_0_or_1():
    key, size = np.uint64(5), 1 << 20
    found = vocabulary(key, context_state(key, np.array([1, 2])), size)
    grid = np.round(found.astype(np.float64) * (2**24 + 1))
    assert np.array_equal((grid / (2**24 + 1)).astype(np.float32), found)
    assert 0 < found.min() < found.max() < 1


@given(
    key=st.integers(0, 2**64 - 1),
    context=st.lists(st.integers(-1, 2**31), min_size=1, max_size=9),
)
def test_one_context_in_integers_is_the_vectorised_state(key: int, context: list[int]):
    expected = context_state(np.array([key], np.uint64), np.array([context]))
    found = one_context_state(key, context)
    assert [int(word[0]) for word in found] == [int(word.reshape(-1)[0]) for word in expected]


@given(
    key=st.integers(0, 2**64 - 1),
    context=st.lists(st.integers(-1, 2**31), min_size=1, max_size=5),
    tokens=st.lists(st.integers(0, 2**18), min_size=1, max_size=6),
)
def test_few_tokens_in_integers_have_the_vectorised_uniforms(key: int, context: list[int], tokens: list[int]):
    state = one_context_state(key, context)
    assert few_uniforms(key, state, tokens).tolist() == uniforms(np.uint64(key), state, np.array(tokens)).tolist()
