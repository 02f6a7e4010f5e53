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

from prompts.grams import Ids
from prompts.words import Words

LONGEST = 512
"""Tokens of a text that are kept: the first 448 and the last 64 of a longer one."""

COMMON = 1996
"""The first id of a whole word in BERT's uncased vocabulary, whose words stand by falling frequency."""

IDS = 0xFFFF
"""Ids are below this: they fit two bytes, and the last is left for a blank."""

WORD = 7.0
"""Bits of a word that is not in the vocabulary: a low guess, about that of the hundredth of a language's words."""

_WORDS = re.compile(r"[぀-ヿ㐀-鿿豈-﫿]|[^\W_぀-ヿ㐀-鿿豈-﫿]+|[^\w\s]|_")
# From one letter or sign that is not ASCII to the end of a word after which none comes for a while.
_OTHERS = re.compile(r"[^\x00-\x7f](?:[\x00-\x7f]{0,40}[^\x00-\x7f]+)*[^\W_]*")
_LONGEST_WORD = 100
_TAIL = 64
_CACHED = 1 << 16


class Pieces(dict[str, tuple[int, ...]]):
    """Words and their ids, found when they are first asked for; forgotten when there are too many."""

    __slots__ = ("_longest", "_size", "_vocabulary")

    def __init__(self, vocabulary: dict[str, int]) -> None:
        super().__init__()
        self._vocabulary = vocabulary
        self._size = 1 + max(vocabulary.values())
        # A word of a hundred random letters would be looked up five thousand times.
        self._longest = max(map(len, vocabulary))

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(self) >= _CACHED:
            self.clear()
        found = self[word] = self._spelt(word)
        return found

    def _spelt(self, word: str) -> tuple[int, ...]:
        """A word that is known whole; the longest piece that fits, again and again; or an id by hash.

        The vocabulary spells other alphabets letter by letter, which makes all their texts alike:
        what is not ASCII is taken whole.
        """
        whole = self._vocabulary.get(word)
        if whole is not None:
            return (whole,)
        pieces = self._pieces(word) if word.isascii() and len(word) <= _LONGEST_WORD else ()
        return pieces or (self._size + crc32(word.encode("utf-8", "surrogatepass")) % (IDS - self._size),)

    def _pieces(self, word: str) -> tuple[int, ...]:
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                piece = self._vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    pieces.append(piece)
                    start = end
                    break
            else:
                return ()
        return tuple(pieces)


class Tokens:
    """The ids of texts under one vocabulary of BERT's form.

    For printable ASCII the ids are those of BERT's uncased WordPiece. Any other word that the
    vocabulary does not hold whole, and one that it cannot spell, has one id above the
    vocabulary's by its hash. `bits[i]` is what token i tells: -log2 of its frequency under
    Zipf's law by its rank, 6 for what is no word, WORD for an id by hash and for what is not
    ASCII, whose place in the vocabulary says nothing. `begins[i]` says whether token i begins a
    word. Ids are below `size`, as is every number of two bytes: machine code looks them up
    unchecked. Raises ValueError for a vocabulary that leaves no ids.
    """

    size = IDS + 1

    def __init__(self, vocabulary: dict[str, int]) -> None:
        known = 1 + max(vocabulary.values())
        if known > IDS // 2:
            raise ValueError("the vocabulary leaves too few ids for words that it does not hold")
        self.bits: NDArray[np.float32] = np.full(self.size, WORD, np.float32)
        self.bits[:known] = bits(known)
        others = [index for word, index in vocabulary.items() if not word.isascii()]
        self.bits[others] = np.minimum(self.bits[others], WORD)
        self.begins: NDArray[np.bool_] = np.ones(self.size, bool)
        self.begins[[index for word, index in vocabulary.items() if word.startswith("##")]] = False
        self._pieces: Callable[[str], tuple[int, ...]] = Pieces(vocabulary).__getitem__
        self._words = Words(self._pieces)

    def ids(self, folded: str) -> Ids:
        """The ids of a folded text, at most LONGEST."""
        found = self._words.ids(folded) if folded.isascii() else np.concatenate(self._stretches(folded))
        return found if len(found) <= LONGEST else np.concatenate([found[: LONGEST - _TAIL], found[-_TAIL:]])

    def _stretches(self, folded: str) -> list[Ids]:
        """The ids of a text that is not all ASCII: of long stretches of ASCII at once, of other words one by one."""
        found, end = [], 0
        for others in _OTHERS.finditer(folded):
            begin = others.start()
            while begin > end and folded[begin - 1].isalnum():
                begin -= 1
            if begin > end:
                found.append(self._words.ids(folded[end:begin]))
            end = others.end()
            words = _WORDS.findall(folded, begin, end)
            found.append(np.array(list(chain.from_iterable(map(self._pieces, words))), np.uint16))
        found.append(self._words.ids(folded[end:]))
        return found


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
