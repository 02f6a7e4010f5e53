"""Unigram (Zhao et al. 2023): one green list for a key, whatever the context."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from watermark.ngrams import States, Tokens
from watermark.scheme import Floats, Keys, drawn
from watermark.statistics.hypergeometric import log_hypergeometric_tail


@dataclass(frozen=True, slots=True)
class Unigram:
    """Green tokens are a fixed set of the vocabulary; each distinct token of a text counts once; keys [k, 1].

    The set can be counted out from much text, so it suits what has no other access than a logit bias.
    """

    vocabulary: int
    share: float = 0.5
    bias: float = 2.0
    width: int = 0
    name: str = "unigram"
    access: str = "a bias on logits, as `logit_bias` gives it"
    distortion: str = "the odds of green tokens grow by exp(bias), the same ones everywhere"
    null: str = "Hypergeometric(vocabulary, green, n)"
    prompted: bool = False
    padded: bool = True
    context_once: bool = False

    def green(self, key: int) -> NDArray[np.int64]:
        """Which tokens are green: 1 or 0 [vocabulary]."""
        digest = sha256((key % 2**64).to_bytes(8, "little")).digest()
        count = int(self.vocabulary * self.share)
        found = np.array([1] * count + [0] * (self.vocabulary - count))
        np.random.default_rng(int.from_bytes(digest[:4], "little")).shuffle(found)
        return found

    def states(self, grams: Tokens) -> States:
        """The token."""
        return grams[:, 0].astype(np.uint64)

    def terms(self, keys: Keys, grams: Tokens) -> Floats:
        """1 for green [k, n]; a token beyond the vocabulary is not."""
        inside = grams[:, 0] < self.vocabulary
        tokens = np.where(inside, grams[:, 0], 0)
        return np.array([self.green(key)[tokens] * inside for key in keys[:, 0].tolist()], np.float64)

    def log_tail(self, counts: Floats, scores: Floats) -> Floats:
        """The hypergeometric tail."""
        return log_hypergeometric_tail(self.vocabulary, int(self.vocabulary * self.share), counts, scores)

    def mark(self, key: Keys, weights: Floats, context: Tokens, generator: np.random.Generator) -> int:
        """A draw from the biased distribution."""
        green = self.green(int(key[0]))[: weights.size]
        return drawn(weights * np.exp(self.bias * green), generator)
