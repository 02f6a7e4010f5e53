"""Green lists (Kirchenbauer et al. 2023) in the form of transformers' `WatermarkingConfig` on a CPU.

It distorts: every token's odds change by the bias. Only a key's low bits reach the permutation, and
transformers multiplies it with a token alone, so it is an interchange format and no tenant's secret.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watermark.ngrams import States, Tokens, identities
from watermark.prf import randperm
from watermark.scheme import Floats, Keys, drawn
from watermark.statistics.tails import log_binomial_tail

ACCESS = "the distribution, which is changed before a token is drawn"
DISTORTION = "the odds of green tokens grow by exp(bias)"
TABLE = 1_000_003
CANDIDATES = 40
"""How many of the likeliest tokens selfhash looks at."""


@dataclass(frozen=True, slots=True)
class Lefthash:
    """The list depends on the last token alone: a wider context changes nothing there; keys [k, 1]."""

    vocabulary: int
    share: float = 0.25
    bias: float = 2.0
    width: int = 1
    name: str = "kgw-lefthash"
    access: str = ACCESS
    distortion: str = DISTORTION
    null: str = "Binomial(n, share)"
    prompted: bool = True
    padded: bool = False
    context_once: bool = False

    def states(self, grams: Tokens) -> States:
        """The last token and the one before."""
        return identities(grams)

    def terms(self, keys: Keys, grams: Tokens) -> Floats:
        """1 for green [k, n]."""
        count = int(self.vocabulary * self.share)
        found = np.zeros((len(keys), len(grams)))
        contexts, groups = np.unique(grams[:, 0], return_inverse=True)
        for row, key in enumerate(keys[:, 0].tolist()):
            for group, context in enumerate(contexts.tolist()):
                swapped = randperm.swaps(_seed(key * context), self.vocabulary, count)
                for place in np.flatnonzero(groups == group):
                    found[row, place] = randperm.is_among(int(grams[place, 1]), swapped)
        return found

    def log_tail(self, counts: Floats, scores: Floats) -> Floats:
        """The binomial tail."""
        return log_binomial_tail(counts, scores, self.share)

    def mark(self, key: Keys, weights: Floats, context: Tokens, generator: np.random.Generator) -> int:
        """A draw from the biased distribution."""
        seed = _seed(int(key[0]) * int(context[-1]))
        green = randperm.first(seed, self.vocabulary, int(self.vocabulary * self.share))
        return drawn(_biased(weights, green, self.bias), generator)


@dataclass(frozen=True, slots=True)
class Selfhash:
    """The list depends on `width` tokens of context and the token itself; keys [k, 1].

    transformers counts the token, so its `context_width` is `width` + 1, and its width 1 would be
    free of context: refused. Its table is not that of lm-watermarking. Raises ValueError.
    """

    vocabulary: int
    share: float = 0.25
    bias: float = 2.0
    width: int = 3
    name: str = "kgw-selfhash"
    access: str = ACCESS
    distortion: str = DISTORTION
    null: str = "Binomial(n, share)"
    prompted: bool = True
    padded: bool = False
    context_once: bool = False

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("selfhash without context marks tokens by themselves: use unigram")

    def states(self, grams: Tokens) -> States:
        """The n-gram."""
        return identities(grams)

    def terms(self, keys: Keys, grams: Tokens) -> Floats:
        """1 for green [k, n]."""
        found = np.zeros((len(keys), len(grams)))
        for row, key in enumerate(keys[:, 0].tolist()):
            for place, seed in enumerate(self._seeds(key, grams)):
                found[row, place] = self._green(seed, int(grams[place, -1]))
        return found

    def log_tail(self, counts: Floats, scores: Floats) -> Floats:
        """The binomial tail."""
        return log_binomial_tail(counts, scores, self.share)

    def mark(self, key: Keys, weights: Floats, context: Tokens, generator: np.random.Generator) -> int:
        """A draw from the distribution with the green ones of the 40 likeliest tokens biased."""
        likely = np.argsort(-weights, kind="stable")[:CANDIDATES]
        likely = likely[weights[likely] > 0]
        grams = np.column_stack([np.tile(context, (likely.size, 1)), likely])
        seeds = self._seeds(int(key[0]), grams)
        green = [token for token, seed in zip(likely.tolist(), seeds, strict=True) if self._green(seed, token)]
        return drawn(_biased(weights, np.array(green, np.int64), self.bias), generator)

    def _green(self, seed: int, token: int) -> bool:
        return randperm.is_among(token, randperm.swaps(seed, self.vocabulary, int(self.vocabulary * self.share)))

    def _seeds(self, key: int, grams: Tokens) -> list[int]:
        table = randperm.first(key, TABLE, min(TABLE, self.vocabulary))
        values = table[grams % TABLE] + 1
        with np.errstate(over="ignore"):  # 64-bit arithmetic wraps there as well
            products = np.int64(_signed(key)) * values * values[:, -1:]
        return [_seed(seed) for seed in products.min(axis=1).tolist()]


def _seed(value: int) -> int:
    return value % (2**64 - 1)


def _signed(value: int) -> int:
    return value - (value >> 63 << 64)


def _biased(weights: Floats, green: NDArray[np.int64], bias: float) -> Floats:
    found = weights.copy()
    found[green] *= np.exp(bias)
    return found
