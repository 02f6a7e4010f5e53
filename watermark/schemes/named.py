"""Schemes by the names that the command line and key records use. Pure."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from watermark.keys.derivation import vllm_pair
from watermark.scheme import Keys, Scheme
from watermark.schemes.gumbel import Sglang, SglangDual, Vllm, VllmDual
from watermark.schemes.kgw import Lefthash, Selfhash
from watermark.schemes.synthid import SynthId
from watermark.schemes.unigram import Unigram

MOST = 2**64
MOST_WIDTH = 64
SYNTHID_LEAST = 2
"""Layers: with one there is nothing to weigh."""

Build = Callable[[int | None, int, int], Scheme]
"""(context width or None for the scheme's own, vocabulary, words in a key) -> scheme."""

SCHEMES: Mapping[str, Build] = {
    "gumbel-sglang": lambda width, _, __: Sglang() if width is None else Sglang(width),
    "gumbel-sglang-dual": lambda width, _, __: SglangDual() if width is None else SglangDual(width),
    "gumbel-vllm": lambda width, _, __: Vllm() if width is None else Vllm(width),
    "gumbel-vllm-dual": lambda width, _, __: VllmDual() if width is None else VllmDual(width),
    "kgw": lambda _, vocabulary, __: Lefthash(vocabulary),
    "kgw-lefthash": lambda _, vocabulary, __: Lefthash(vocabulary),
    "kgw-selfhash": lambda width, vocabulary, _: (
        Selfhash(vocabulary) if width is None else Selfhash(vocabulary, width=width)
    ),
    "synthid": lambda width, _, words: SynthId(words) if width is None else SynthId(words, width),
    "unigram": lambda _, vocabulary, __: Unigram(vocabulary),
}
"""`kgw` is lefthash, and like `unigram` it has one context width, whatever is asked for."""

WORDS: Mapping[str, int] = {"gumbel-sglang-dual": 2, "gumbel-vllm-dual": 2}
"""Words in a key where it is not one; SynthID's has as many as there are layers."""


def named(name: str, *, width: int | None, vocabulary: int, words: int = 1) -> Scheme:
    """The scheme of a name, with everything else as its format has it.

    KGW and Unigram have the green shares of transformers (1/4) and of Unigram's authors (1/2).
    Raises ValueError for an unknown name and for a width that the scheme cannot have.
    """
    build = SCHEMES.get(name)
    if build is None:
        raise ValueError(f"{name!r} is no scheme; there are: {', '.join(SCHEMES)}")
    if width is not None and not 1 <= width <= MOST_WIDTH:
        raise ValueError(f"the context width must be from 1 to {MOST_WIDTH}")
    if vocabulary < 1:
        raise ValueError("the vocabulary must have a token")
    return build(width, vocabulary, words)


def key_words(name: str, texts: Sequence[str]) -> Keys:
    """A key [columns] for a scheme from its words in hex, each of 1 to 16 digits.

    vLLM's dual form derives its two words from one, as the engine does. Raises ValueError, which
    repeats nothing of the key.
    """
    if name not in SCHEMES:
        raise ValueError(f"{name!r} is no scheme; there are: {', '.join(SCHEMES)}")
    words = np.array([_word(text) for text in texts], np.uint64)
    if name == "gumbel-vllm-dual" and words.size == 1:
        return vllm_pair(int(words[0]))
    if name == "synthid":
        if words.size < SYNTHID_LEAST:
            raise ValueError("a key of synthid has a word for each layer, joined by colons")
    elif words.size != WORDS.get(name, 1):
        raise ValueError(f"a key of {name} has {WORDS.get(name, 1)} words of 1 to 16 hex digits, joined by colons")
    return words


def _word(text: str) -> int:
    digits = text.strip().removeprefix("0x")
    if not digits.isascii() or not digits.isalnum():
        raise ValueError("a key is written in hex: 1 to 16 digits")
    try:
        found = int(digits, 16)
    except ValueError:
        raise ValueError("a key is written in hex: 1 to 16 digits") from None
    if found >= MOST:
        raise ValueError("a key has at most 16 hex digits")
    return found
