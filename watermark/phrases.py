"""A text's phrases: its runs of a few words, whatever their case and punctuation. Pure, of the standard library."""

import re
import unicodedata
from collections.abc import Iterator
from hashlib import blake2b, sha256

WORD = re.compile(r"\w+")
WIDTH = 4
NAME = b"words of NFKC, casefolded, in runs of 4, BLAKE2b-64"
DIGEST = sha256(NAME).hexdigest()
"""Stands where other keys pin their tokenizer's file."""


def phrases(text: str, width: int = WIDTH) -> Iterator[bytes]:
    """Every run of `width` words, in order, repeated ones as often as they stand there."""
    words = [
        word.encode("utf-8", "surrogatepass") for word in WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    ]
    for start in range(len(words) - width + 1):
        yield b" ".join(words[start : start + width])


def identity(phrase: bytes) -> int:
    """64 bits of a phrase: among 10^7 phrases two are one with a probability of 3e-6. No key."""
    return int.from_bytes(blake2b(phrase, digest_size=8).digest(), "big")


def identities(text: str, width: int = WIDTH) -> list[int]:
    """The distinct phrases of a text, in the order of their first place."""
    return list(dict.fromkeys(identity(phrase) for phrase in phrases(text, width)))
