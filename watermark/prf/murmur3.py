"""SGLang's keyed uniform: MurmurHash3 (x86, 32 bits, seed 0) over little-endian 32-bit words.

The final mixing starts from the 32 bits that key and context leave, so a key is worth no more than
32 bits: `state` tells which keys are one and the same.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint32]
Keys: TypeAlias = NDArray[np.uint64]
Floats: TypeAlias = NDArray[np.float64]

C1, C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)
N = np.uint32(0xE6546B64)
FIVE = np.uint32(5)
F1, F2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
R13, R15, R16, R17, R19 = (np.uint32(bits) for bits in (13, 15, 16, 17, 19))
LOW = np.uint64(0xFFFFFFFF)
HIGH = np.uint64(32)


def murmur3(*words: Words) -> Words:
    """The hash of a sequence of words, each of any shape; the result has the shape they broadcast to.

    Equal, for every element, to MurmurHash3_x86_32 with seed 0 over the words' little-endian bytes.
    """
    with np.errstate(over="ignore"):  # 32-bit arithmetic is meant to wrap, and numpy warns of scalars
        return _finished(_absorbed(np.zeros(1, np.uint32), words), 4 * len(words))


def context_hash(contexts: NDArray[np.integer]) -> Words:
    """The hash of contexts [..., width] of tokens, the oldest first: [...]. It holds no key."""
    # Through int64, so that a padding of -1 becomes the word that C makes of it.
    words = np.asarray(contexts, np.int64).astype(np.uint32)
    found = murmur3(*(words[..., place] for place in range(words.shape[-1])))
    return np.broadcast_to(found, words.shape[:-1] or (1,)).reshape(words.shape[:-1]).copy()


def state(keys: Keys) -> Words:
    """What is left of keys [...] before the context comes in: keys of equal state mark alike."""
    with np.errstate(over="ignore"):
        return _absorbed(np.zeros(1, np.uint32), halves(keys)).reshape(np.shape(keys))


def halves(keys: Keys) -> tuple[Words, Words]:
    """The low and the high 32 bits of keys [...]."""
    whole = np.asarray(keys, np.uint64)
    return (whole & LOW).astype(np.uint32), (whole >> HIGH).astype(np.uint32)


def uniforms(keys: Keys, contexts: Words, tokens: NDArray[np.integer]) -> Floats:
    """u = (murmur3(key, context, token) + 1/2) / 2^32 in (0, 1), where `contexts` are context hashes.

    The three broadcast: keys [], contexts [], tokens [vocabulary] mark; keys [k, 1], contexts [n],
    tokens [n] detect.
    """
    hashed = murmur3(*halves(keys), contexts, np.asarray(tokens).astype(np.uint32))
    found = hashed.astype(np.float64)
    found += 0.5
    found *= 2.0**-32
    return found


def chooses_first(first: Keys, second: Keys, contexts: Words, mixing: float) -> NDArray[np.bool_]:
    """The keyed coin between two keys [...] at context hashes [...]: True takes `first`, with frequency `mixing`."""
    hashed = murmur3(*halves(first), *halves(second), contexts)
    return hashed.astype(np.float64) < mixing * 2.0**32


def _absorbed(state: Words, words: tuple[Words, ...]) -> Words:
    """The state after a sequence of words."""
    for word in words:
        mixed = np.atleast_1d(np.asarray(word, np.uint32)) * C1
        high = mixed >> R17
        mixed <<= R15
        mixed |= high
        mixed *= C2
        # A small shape meets a large one here, once; from then on nothing is copied.
        state = state ^ mixed
        high = state >> R19
        state <<= R13
        state |= high
        state *= FIVE
        state += N
    return state


def _finished(state: Words, length: int) -> Words:
    """The final mixing, in place, of a state over `length` bytes."""
    state ^= np.uint32(length)
    state ^= state >> R16
    state *= F1
    state ^= state >> R13
    state *= F2
    state ^= state >> R16
    return state
