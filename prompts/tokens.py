"""WordPiece ids of a folded text, from a dictionary of words, and what a token tells.

A full tokenizer also reports offsets, masks and the pieces' text, which no statistic here
needs: words are looked up whole, and only a word that was not seen before is taken apart.
"""

import json
import re
from collections.abc import Callable
from itertools import chain
from math import log, log2
from pathlib import Path
from typing import cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

LONGEST = 512
"""Tokens of a text that are kept: the first 448 and the last 64 of a longer one."""

COMMON = 1996
"""The first id of a whole word in BERT's uncased vocabulary, whose words stand by falling frequency."""

UNKNOWN = 99
"""Ids 1 to 99 are unused in the vocabulary: a word that it cannot spell gets one of them by its hash."""

_ASCII = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_WORDS = re.compile(r"[぀-ヿ㐀-鿿豈-﫿]|[^\W_぀-ヿ㐀-鿿豈-﫿]+|[^\w\s]|_")
_LONGEST_WORD = 100
_TAIL = 64
_CACHED = 1 << 16


class Pieces(dict[str, tuple[int, ...]]):
    """Words and their ids, found when they are first asked for; forgotten when there are too many."""

    __slots__ = ("_vocabulary",)

    def __init__(self, vocabulary: dict[str, int]) -> None:
        super().__init__()
        self._vocabulary = vocabulary

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(self) >= _CACHED:
            self.clear()
        found = self[word] = self._spelt(word)
        return found

    def _spelt(self, word: str) -> tuple[int, ...]:
        """The longest piece that fits, again and again; one id by hash where none fits."""
        pieces: list[int] = []
        start = 0 if len(word) <= _LONGEST_WORD else len(word) + 1
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    pieces.append(piece)
                    start = end
                    break
            else:
                start = len(word) + 1
        if start > len(word):
            return (1 + crc32(word.encode("utf-8", "surrogatepass")) % UNKNOWN,)
        return tuple(pieces)


class Tokens:
    """The ids of texts under one vocabulary of BERT's form.

    For printable ASCII the ids are those of BERT's uncased WordPiece, except words that this
    cannot spell, which keep an identity of their own. `bits[i]` is what token i tells: -log2 of
    its frequency under Zipf's law by its rank, or 6 for what is no word.
    `begins[i]` says whether token i begins a word.
    """

    def __init__(self, vocabulary: dict[str, int]) -> None:
        self.size = 1 + max(vocabulary.values())
        self.bits = bits(self.size)
        self.begins: NDArray[np.bool_] = np.ones(self.size, bool)
        self.begins[[index for word, index in vocabulary.items() if word.startswith("##")]] = False
        self._pieces: Callable[[str], tuple[int, ...]] = Pieces(vocabulary).__getitem__

    def ids(self, folded: str) -> list[int]:
        """The ids of a folded text, at most LONGEST."""
        words = (_ASCII if folded.isascii() else _WORDS).findall(folded)
        found = list(chain.from_iterable(map(self._pieces, words)))
        return found if len(found) <= LONGEST else found[: LONGEST - _TAIL] + found[-_TAIL:]


def bits(size: int) -> NDArray[np.float32]:
    """[size]: log2((id - 1994)·ln size) of a word by its place in the vocabulary, 6 below the first word.

    Zipf's law over n words gives the word of rank r the frequency 1/(r·ln n).
    """
    scale = log(max(size, 3))
    found = np.full(size, 6.0, np.float32)
    for index in range(COMMON, size):
        found[index] = log2((index - COMMON + 2) * scale)
    return found


def read_vocabulary(tokenizer_json: Path) -> dict[str, int]:
    """The vocabulary in a WordPiece `tokenizer.json`; raises ValueError where there is none."""
    try:
        model = json.loads(tokenizer_json.read_bytes())["model"]
        vocabulary = model["vocab"] if model["type"] == "WordPiece" else None
    except (KeyError, TypeError) as error:
        raise ValueError(f"{tokenizer_json.name} is no tokenizer") from error
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise ValueError(f"{tokenizer_json.name} has no WordPiece vocabulary")
    return cast("dict[str, int]", vocabulary)
