"""SynthID-Text (Dathathri et al. 2024) without distortion, in the form of transformers.

Not for tenants' keys: only 16 bits of each layer's key and of the n-gram count, so there are but
65,536 different n-grams, and one text of a few thousand tokens shows them all for the taking.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from watermark.ngrams import States, Tokens
from watermark.prf import randperm
from watermark.scheme import Floats, Keys, drawn
from watermark.statistics.tails import log_normal_tail

Half: TypeAlias = NDArray[np.uint16]

MULTIPLIER = np.uint16(6364136223846793005 % 2**16)
ONE = np.uint16(1)
TABLE = 1 << 16
TABLE_SEED = 0


@dataclass(frozen=True, slots=True)
class SynthId:
    """A tournament of `depth` layers over n-grams of `width` + 1 tokens; keys [k, depth].

    The score is the weighted mean of the layers' bits, its null normal by the central limit theorem
    (mean depth / 2, variance Σα² / 4n, a hair above the table's own): not exact in the far tail.
    """

    depth: int = 30
    width: int = 4
    name: str = "synthid"
    access: str = "the distribution, which is changed before a token is drawn"
    distortion: str = "none over random keys for the first use of a context"
    null: str = "Normal(n depth / 2, n Σα² / 4), approximately"
    prompted: bool = False
    padded: bool = False
    context_once: bool = True

    def states(self, grams: Tokens) -> States:
        """The 16 bits that all layers start from: n-grams that share them are one, under every key."""
        return _folded(grams).astype(np.uint64)

    def bits(self, keys: Keys, grams: Tokens) -> NDArray[np.uint8]:
        """The layers' bits [k, n, depth]."""
        table = _table()
        words = keys.astype(np.uint16)
        found = np.empty((len(keys), len(grams), self.depth), np.uint8)
        state: Half = _folded(grams)[np.newaxis]
        for layer in range(self.depth):
            # transformers folds each layer's key into the n-gram's own state, not into the layer before.
            found[:, :, layer] = table[_fold(state, words[:, layer, np.newaxis])]
        return found

    def terms(self, keys: Keys, grams: Tokens) -> Floats:
        """The weighted sum of the bits [k, n]."""
        weights = self._weights()
        found: Floats = self.bits(keys, grams) @ weights
        return found

    def log_tail(self, counts: Floats, scores: Floats) -> Floats:
        """The normal tail of the standardised sum."""
        variance = np.maximum(counts, 1) * np.square(self._weights()).sum() / 4
        return np.where(counts > 0, log_normal_tail((scores - counts * self.depth / 2) / np.sqrt(variance)), 0.0)

    def mark(self, key: Keys, weights: Floats, context: Tokens, generator: np.random.Generator) -> int:
        """A draw from the distribution after all layers, each of which moves it towards its bits."""
        return drawn(self.updated(key, weights, context), generator)

    def updated(self, key: Keys, weights: Floats, context: Tokens) -> Floats:
        """The distribution [vocabulary] after all layers: p_v <- p_v (1 + g_v - Σ g p), in their order."""
        possible = np.flatnonzero(weights)
        grams = np.column_stack([np.tile(context, (possible.size, 1)), possible])
        bits = self.bits(key[np.newaxis], grams)[0].astype(np.float64)
        some = weights[possible] / weights.sum()
        for layer in range(self.depth):
            some = some * (1 + bits[:, layer] - (some * bits[:, layer]).sum())
        found = np.zeros_like(weights)
        found[possible] = some
        return found

    def _weights(self) -> Floats:
        slope = np.linspace(10.0, 1.0, self.depth, dtype=np.float64)
        found: Floats = slope * (self.depth / slope.sum())
        return found


def _fold(state: Half, data: Half) -> Half:
    """One step of the linear congruential hash, modulo 2^16: no higher bit ever reaches the table."""
    return (state + data) * MULTIPLIER + ONE


def _folded(grams: Tokens) -> Half:
    state = np.ones(len(grams), np.uint16)
    for column in grams.T:
        state = _fold(state, column.astype(np.uint16))
    return state


def _table() -> NDArray[np.uint8]:
    return (randperm.words(TABLE_SEED, TABLE) & np.uint32(1)).astype(np.uint8)
