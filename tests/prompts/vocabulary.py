"""A small vocabulary of BERT's form, for tests: letters, pieces, and whole words by falling frequency."""

import json
from pathlib import Path

from prompts.tokens import COMMON, Tokens

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
LEADING = "the of and in to was he is as for on with that it his by at from"
FOLLOWING = "her she you had an were but be this are not my"
_TEMPLATES = "classify sentiment following review positive negative neutral translate sentence formal french keep tone"
TEMPLATE_WORDS = (*_TEMPLATES.split(),)
COMMON_WORDS = (
    *LEADING.split(),
    *FOLLOWING.split(),
)


def vocabulary(words: tuple[str, ...] = ()) -> dict[str, int]:
    """Ids as in BERT's uncased vocabulary: unused ones, special ones, signs and letters, then words."""
    entries = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    entries |= {sign: 999 + place for place, sign in enumerate(SIGNS)}
    entries |= {letter: 1100 + place for place, letter in enumerate(LETTERS)}
    entries |= {f"##{letter}": 1200 + place for place, letter in enumerate(LETTERS)}
    whole = [*COMMON_WORDS, *(f"word{place}" for place in range(3000)), *words]
    return entries | {word: COMMON + place for place, word in enumerate(dict.fromkeys(whole))}


def tokenizer_file(folder: Path, words: tuple[str, ...] = ()) -> Path:
    """That vocabulary as the file of a tokenizer."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps({"model": {"type": "WordPiece", "vocab": vocabulary(words)}}))
    return file


def tokens(words: tuple[str, ...] = ()) -> Tokens:
    """Tokens under that vocabulary."""
    return Tokens(vocabulary(words))
