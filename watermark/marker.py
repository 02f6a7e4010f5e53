"""Marks one answer as it is sampled: what is marked, what is left unmarked, and why.

A keyed sampler gives one answer to one prompt. So the first tokens and a share of the others are
drawn by true randomness, and a context that was marked once in an answer is not marked again:
otherwise the same choice would come back wherever the context does, which is distortion. How many
first tokens is told by their surprise, not by their number (Christ, Gunn and Zamir 2024): an answer
begun as likely as exp(-lead) is begun so again by that share of the answers to its prompt only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from watermark.ngrams import NONE
from watermark.scheme import Floats, Keys, Scheme, drawn


@dataclass(frozen=True, slots=True)
class Marking:
    """How answers are marked.

    `unmarked_share` of the tokens is left to chance by a true coin. A token whose likeliest
    candidate has more than `max_probability` is left too: its choice could carry nothing, and stays
    the model's own. The first `width` tokens of an answer are always left, and those that follow
    until the answer's surprise, -log of its probability so far, has reached `lead` nats.
    """

    scheme: Scheme
    unmarked_share: float = 0.1
    max_probability: float = 1.0
    lead: float = 0.0


class Marker:
    """Draws the tokens of one answer under one key [columns]: a new one for every answer.

    Called with (probabilities [vocabulary], the tokens so far, the prompt's included), as samplers
    call whatever draws for them; what the first call sees is the prompt.
    """

    def __init__(self, marking: Marking, key: Keys, generator: np.random.Generator) -> None:
        self._marking = marking
        self._key = key
        self._generator = generator
        self._prompt: int | None = None
        self._surprise = 0.0
        self._used: set[tuple[int, ...]] = set()

    def __call__(self, weights: Floats, context: Sequence[int]) -> int:
        """The next token."""
        leading = self._surprise < self._marking.lead
        token = self._next(weights, context)
        if leading:
            self._surprise += float(np.log(weights.sum() / weights[token]))
        return token

    def _next(self, weights: Floats, context: Sequence[int]) -> int:
        if self._prompt is None:
            self._prompt = len(context)
        answered = len(context) - self._prompt
        if self._left(weights, answered):
            return drawn(weights, self._generator)
        scheme = self._marking.scheme
        reach = min(scheme.width, len(context) if scheme.prompted else answered)
        seen = (NONE,) * (scheme.width - reach) + tuple(context[len(context) - reach :])
        if scheme.context_once:
            if seen in self._used:
                return drawn(weights, self._generator)
            self._used.add(seen)
        return scheme.mark(self._key, weights, np.array(seen, np.int64), self._generator)

    def _left(self, weights: Floats, answered: int) -> bool:
        return (
            answered < self._marking.scheme.width
            or self._surprise < self._marking.lead
            # The coin is thrown for every token, so that what follows does not depend on what is skipped.
            or self._generator.random() < self._marking.unmarked_share
            or self._sure(weights)
        )

    def _sure(self, weights: Floats) -> bool:
        limit = self._marking.max_probability
        # Without a limit the vocabulary need not be read for it.
        return limit < 1 and float(weights.max()) > limit * float(weights.sum())
