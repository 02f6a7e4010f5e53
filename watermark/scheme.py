"""What a watermark scheme is: how it marks one token, what it scores, and how scores are distributed without it."""

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from watermark.ngrams import States, Tokens

Floats: TypeAlias = NDArray[np.float64]
Keys: TypeAlias = NDArray[np.uint64]


class Scheme(Protocol):
    """A scheme under fixed parameters, without a key: one object serves every key.

    `access`, `distortion` and `null` say in words what marking needs, what it does to the model's
    distribution, and how an unmarked text's score is distributed. Keys are rows [columns] of 64-bit
    words; many keys are [k, columns].
    """

    @property
    def name(self) -> str:
        """As the command line says it."""

    @property
    def access(self) -> str:
        """What marking needs of the model."""

    @property
    def distortion(self) -> str:
        """What marking does to the distribution of one token."""

    @property
    def null(self) -> str:
        """How the score of an unmarked text is distributed."""

    @property
    def width(self) -> int:
        """How many tokens of context the keyed value depends on."""

    @property
    def prompted(self) -> bool:
        """Whether the context reaches back into the prompt; else it starts with the answer."""

    @property
    def padded(self) -> bool:
        """Whether tokens with less context than `width` are scored; in a known prompt's light they always are."""

    @property
    def context_once(self) -> bool:
        """Whether a context counts once in a document, whatever follows, because it is marked once."""

    def states(self, grams: Tokens) -> States:
        """64 bits [n] that are equal where n-grams [n, width + 1] have the same keyed value under every key."""

    def terms(self, keys: Keys, grams: Tokens) -> Floats:
        """Each n-gram's part [k, n] of the score under keys [k, columns]; the score is their sum."""

    def log_tail(self, counts: Floats, scores: Floats) -> Floats:
        """log P(score of `count` distinct n-grams >= score) for unmarked text; shapes broadcast."""

    def mark(self, key: Keys, weights: Floats, context: Tokens, generator: np.random.Generator) -> int:
        """A token drawn from weights [vocabulary], marked under a key [columns] and a context [width].

        `generator` is true randomness, for what the key does not decide.
        """


def drawn(weights: Floats, generator: np.random.Generator) -> int:
    """A token drawn from weights [vocabulary], unmarked."""
    possible = np.flatnonzero(weights)
    sums = np.cumsum(weights[possible])
    place = int(np.searchsorted(sums, generator.random() * sums[-1], side="right"))
    return int(possible[min(place, possible.size - 1)])
