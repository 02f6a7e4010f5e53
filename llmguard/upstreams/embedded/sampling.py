"""From logits to a token: pure, with the randomness passed in.

The last step is a `Draw`, so that a watermark can take its place: it sees the distribution
that the request's parameters leave and the tokens so far, and returns one token of it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from llmguard.upstreams.embedded.order import Sampling

Floats: TypeAlias = NDArray[np.float64]
ROUNDING = 1 - 1e-9
Draw: TypeAlias = Callable[[Floats, Sequence[int]], int]
"""(probabilities [vocabulary] that sum to 1, the tokens so far, the prompt's included) -> a token."""


def adjusted(logits: NDArray[np.float32], counts: Counter[int], sampling: Sampling) -> Floats:
    """The logits [vocabulary] with bias and penalties, as OpenAI defines them.

    logit + bias - count * frequency_penalty - (count > 0) * presence_penalty, where `counts`
    counts the tokens generated so far, the prompt's not included.
    """
    found: Floats = logits.astype(np.float64)
    for token, bias in sampling.logit_bias.items():
        found[token] += bias
    if counts and (sampling.frequency_penalty or sampling.presence_penalty):
        tokens = np.fromiter(counts.keys(), dtype=np.int64)
        times = np.fromiter(counts.values(), dtype=np.float64)
        found[tokens] -= times * sampling.frequency_penalty + sampling.presence_penalty
    return found


def probabilities(logits: Floats, sampling: Sampling) -> Floats:
    """softmax(logits / temperature), cut to the `top_k` likeliest, then to the nucleus, and renormalised.

    The nucleus is the smallest set of the likeliest tokens whose probability reaches `top_p`;
    it is never empty. Temperature 0 is the limit: all on the likeliest token.
    """
    found: Floats = np.zeros_like(logits)
    if sampling.temperature == 0:
        found[int(logits.argmax())] = 1.0
        return found
    scaled = logits - logits.max()
    # A temperature near 0 sends the rest to minus infinity, which is what is meant.
    with np.errstate(over="ignore"):
        found = np.exp(scaled / sampling.temperature)
    found /= found.sum()
    if 0 < sampling.top_k < found.size:
        found[np.argpartition(found, -sampling.top_k)[: -sampling.top_k]] = 0.0
        found /= found.sum()
    if sampling.top_p < 1:
        # What is rarer than this adds up to less than the nucleus leaves out: the rest alone is sorted.
        likely = np.flatnonzero(found >= (1 - sampling.top_p) / found.size * ROUNDING)
        order = likely[np.argsort(-found[likely], kind="stable")]
        before = np.cumsum(found[order]) - found[order]
        kept = max(1, int(np.searchsorted(before, sampling.top_p, side="left")))
        nucleus = found[order[:kept]]
        found = np.zeros_like(found)
        found[order[:kept]] = nucleus / nucleus.sum()
    return found


def inverse_draw(generator: np.random.Generator) -> Draw:
    """A draw from the distribution itself, by inverting its cumulative sum: one uniform a token."""

    def draw(weights: Floats, context: Sequence[int]) -> int:
        possible = np.flatnonzero(weights)
        sums = np.cumsum(weights[possible])
        place = int(np.searchsorted(sums, generator.random() * sums[-1], side="right"))
        return int(possible[min(place, possible.size - 1)])

    return draw


def generator_of(seed: int | None, choice: int) -> np.random.Generator:
    """Randomness for a choice: the same for the same seed and choice, independent between choices."""
    return np.random.default_rng(None if seed is None else [seed % 2**64, choice])


class Sampler:
    """Draws one choice's tokens."""

    def __init__(self, sampling: Sampling, draw: Draw) -> None:
        self._sampling = sampling
        self._draw = draw
        self._counts: Counter[int] = Counter()

    def next(self, logits: NDArray[np.float32], context: Sequence[int]) -> int:
        """The next token, given the logits [vocabulary] behind `context`."""
        found = adjusted(logits, self._counts, self._sampling)
        # Greedy decoding is not a draw: no watermark and no randomness may move it.
        if self._sampling.temperature == 0:
            token = int(found.argmax())
        else:
            token = self._draw(probabilities(found, self._sampling), context)
        self._counts[token] += 1
        return token
