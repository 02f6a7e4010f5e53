"""Noise of a classifier's answer that asking again, in other words or under another key, does not average away."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from llmguard.decoding.coarse import prompt_of

WORD: Final = 8
"""The bytes of a number."""
HALF: Final = float(1 << 63)


@dataclass(frozen=True, slots=True)
class Noise:
    """The numbers that belong to a text under a key of at most 64 bytes.

    They are the same for every principal: together they learn no more than one.
    """

    key: bytes
    text: str

    def layered(self, what: bytes, place: bytes) -> float:
        """A number in [-1, 1) for each `what`: the mean of three uniform ones.

        The first hangs on the text as it is, the second on its letters and digits, the third on `place`, which stands
        for the answer coarsely: paraphrases have nearly the same answer, and so that layer in common.
        """
        prompt, key = prompt_of(self.text), self.key
        words = (
            blake2b(b"e" + prompt.exact + what, key=key, digest_size=WORD).digest(),
            blake2b(b"p" + prompt.plain + what, key=key, digest_size=WORD).digest(),
            blake2b(b"a" + place, key=key, digest_size=WORD).digest(),
        )
        return sum([int.from_bytes(word, "big") for word in words]) / (3 * HALF) - 1.0

    def unit(self, purpose: bytes) -> float:
        """A number in [0, 1) for each `purpose`, of the text as it is, alone."""
        text = self.text.encode("utf-8", "surrogatepass")
        keyed = blake2b(b"u" + purpose + b"\0" + text, key=self.key, digest_size=WORD)
        return (int.from_bytes(keyed.digest(), "big") >> 11) / float(1 << 53)
