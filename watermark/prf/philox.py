"""vLLM's keyed uniform: Philox4x32-10, chained over the context, then counted over the vocabulary.

Philox is Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). All 64 bits of a
key count, in every step.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint32]
Keys: TypeAlias = NDArray[np.uint64]
Floats: TypeAlias = NDArray[np.float32]

MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
M0, M1 = np.uint64(MULTIPLIER_0), np.uint64(MULTIPLIER_1)
W0, W1 = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)
HIGH = np.uint64(32)
CONTEXT_TAG = 0x574D4358
TOKEN_TAG = 0x574D544B
BLOCK = 4
LAST_WORD = 2**32 - 1
DROPPED = np.uint32(8)
STEP = np.float32(1 / (2**24 + 1))


class State(NamedTuple):
    """Four words, each of any shape, that broadcast."""

    x0: Words
    x1: Words
    x2: Words
    x3: Words


def philox(counter: State, low: Words, high: Words) -> State:
    """Philox4x32-10 of counters and keys (low, high) that broadcast."""
    x0, x1, x2, x3 = counter
    for turn in range(ROUNDS):
        wide0, wide1 = x0 * M0, x2 * M1
        low_key, high_key = low + np.uint32(turn * W0 & LAST_WORD), high + np.uint32(turn * W1 & LAST_WORD)
        x0, x2 = (wide1 >> HIGH).astype(np.uint32) ^ x1 ^ low_key, (wide0 >> HIGH).astype(np.uint32) ^ x3 ^ high_key
        x1, x3 = wide1.astype(np.uint32), wide0.astype(np.uint32)
    return State(x0, x1, x2, x3)


def context_state(keys: Keys, contexts: NDArray[np.integer]) -> State:
    """The state that keys [...] and contexts [..., width], the oldest token first and -1 for none, lead to.

    Keys and the leading shape of the contexts broadcast: keys [k, 1] and contexts [n, width] give [k, n].
    """
    low, high = halves(keys)
    # Through int64, so that a padding of -1 becomes the word that C makes of it.
    words = np.asarray(contexts, np.int64).astype(np.uint32)
    width = words.shape[-1]
    zero = np.zeros(1, np.uint32)
    state = State(np.full(1, CONTEXT_TAG, np.uint32), np.full(1, width, np.uint32), zero, zero)
    for offset in range(0, width, BLOCK):
        block = [
            np.atleast_1d(words[..., offset + place])
            if offset + place < width
            else np.full(1, LAST_WORD - place, np.uint32)
            for place in range(BLOCK)
        ]
        state = philox(
            State(*(old ^ new for old, new in zip(state, block, strict=True))), low ^ np.uint32(offset), high
        )
    return state


def one_context_state(key: int, context: Sequence[int]) -> State:
    """`context_state` of one key and one context [width]: for so little Python's integers are quicker."""
    low, high = key & LAST_WORD, key >> 32
    state = (CONTEXT_TAG, len(context), 0, 0)
    for offset in range(0, len(context), BLOCK):
        block = [
            context[offset + place] & LAST_WORD if offset + place < len(context) else LAST_WORD - place
            for place in range(BLOCK)
        ]
        x0, x1, x2, x3 = (old ^ new for old, new in zip(state, block, strict=True))
        state = _in_integers(x0, x1, x2, x3, low ^ offset, high)
    return State(*(np.full(1, word, np.uint32) for word in state))


def uniforms(keys: Keys, states: State, tokens: NDArray[np.integer]) -> Floats:
    """u = ((out >> 8) + 1) / (2^24 + 1) in (0, 1), rounded to float32 as vLLM does, where
    out = philox((token >> 2, s0, s1, s2); k_lo ^ s3, k_hi ^ tag)[token & 3].

    Keys, states and tokens broadcast: keys [k, 1], states [k, n] and tokens [n] give [k, n].
    """
    places = np.asarray(tokens).astype(np.uint32)
    words = _outputs(keys, states, places >> np.uint32(2))
    which = np.broadcast_to(places & np.uint32(3), words.x0.shape)
    return _fractions(np.choose(which, words))


def few_uniforms(key: int, state: State, tokens: Sequence[int]) -> Floats:
    """`uniforms` [n] of few tokens for one key and one context, which Python's integers have sooner."""
    s0, s1, s2, s3 = (int(word[0]) for word in state)
    low, high = key & LAST_WORD ^ s3, key >> 32 ^ TOKEN_TAG
    outputs = [_in_integers(token >> 2, s0, s1, s2, low, high)[token & 3] for token in tokens]
    return _fractions(np.array(outputs, np.uint32))


def vocabulary(key: Keys, state: State, size: int) -> Floats:
    """The uniforms [size] of the tokens 0 … size - 1 for one key and one context: a quarter of the work."""
    words = _outputs(key, state, np.arange(-(-size // BLOCK), dtype=np.uint32))
    found = np.empty((words.x0.size, BLOCK), np.float32)
    for place, word in enumerate(words):
        found[:, place] = _fractions(word)
    return found.reshape(-1)[:size]


def halves(keys: Keys) -> tuple[Words, Words]:
    """The low and the high 32 bits of keys, with at least one axis: scalars would warn where arrays wrap."""
    whole = np.atleast_1d(np.asarray(keys, np.uint64))
    return (whole & LOW).astype(np.uint32), (whole >> HIGH).astype(np.uint32)


def _in_integers(x0: int, x1: int, x2: int, x3: int, low: int, high: int) -> tuple[int, int, int, int]:
    for _ in range(ROUNDS):
        wide0, wide1 = x0 * MULTIPLIER_0, x2 * MULTIPLIER_1
        x0, x1, x2, x3 = wide1 >> 32 ^ x1 ^ low, wide1 & LAST_WORD, wide0 >> 32 ^ x3 ^ high, wide0 & LAST_WORD
        low, high = low + W0 & LAST_WORD, high + W1 & LAST_WORD
    return x0, x1, x2, x3


def _outputs(keys: Keys, states: State, counters: Words) -> State:
    low, high = halves(keys)
    return philox(State(counters, states.x0, states.x1, states.x2), low ^ states.x3, high ^ np.uint32(TOKEN_TAG))


def _fractions(words: Words) -> Floats:
    """Words to (0, 1): a product with the rounded reciprocal rounds as the quotient does, for every 24-bit word."""
    found = (words >> DROPPED).astype(np.float32)
    found += np.float32(1)
    found *= STEP
    return found
