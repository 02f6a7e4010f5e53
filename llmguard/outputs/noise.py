"""Noise of a classifier's answer that asking again, in other words or under another key, does not average away."""

import unicodedata
from hashlib import blake2b
from typing import Final

import msgspec

from llmguard.decoding.coarse import UNSAID

WORD: Final = 8
"""The bytes of a number."""
HALF: Final = float(1 << 63)
SIGNS: Final = bytes(code for code in range(128) if not chr(code).isalnum())


class Noise(msgspec.Struct, frozen=True):
    """The numbers that belong to a text under a key of at most 64 bytes.

    They are the same for every principal: together they learn no more than one.
    """

    key: bytes
    text: str

    def layered(self, what: bytes, place: bytes) -> float:
        """A number in [-1, 1) for each `what`, which holds no null byte: the mean of three uniform ones.

        The first hangs on the text as it is, the second on its letters and digits, the third on `place`, which stands
        for the answer coarsely: paraphrases have nearly the same answer, and so that layer in common.
        """
        near = blake2b(key=self.key, digest_size=WORD)
        exact, same = near.copy(), near.copy()  # the key is taken in once
        exact.update(b"e%b\0%b" % (what, _bytes(self.text)))
        same.update(b"p%b\0%b" % (what, plain(self.text)))
        near.update(b"a" + place)
        number = int.from_bytes
        total = number(exact.digest(), "big") + number(same.digest(), "big") + number(near.digest(), "big")
        return total / (3 * HALF) - 1.0

    def unit(self, purpose: bytes) -> float:
        """A number in [0, 1) for each `purpose`, which holds no null byte, of the text as it is, alone."""
        keyed = blake2b(b"u%b\0%b" % (purpose, _bytes(self.text)), key=self.key, digest_size=WORD)
        return (int.from_bytes(keyed.digest(), "big") >> 11) / float(1 << 53)


def plain(text: str) -> bytes:
    """The letters and digits of a text, in one case."""
    if text.isascii():
        return text.encode().lower().translate(None, SIGNS)
    return _bytes(UNSAID.sub("", unicodedata.normalize("NFKC", text).casefold()))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
