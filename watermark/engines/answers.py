"""The answers that an engine generates side by side: which of their next tokens are marked, and the draw of them all.

The rules are those of `watermark.marker`, for batches that stay on their device.
"""

from collections.abc import Sequence

import numpy as np
import torch

from watermark.engines.gumbel import Warping, distribution, drawn, uniforms
from watermark.ngrams import NONE
from watermark.prf import philox

UNMARKED_SHARE = 0.02
"""Of the tokens, left to chance by a true coin."""
LEAD_NATS = 8.0
"""Chance that an answer takes before it is marked: one in 3,000 answers to its prompt begins alike."""


class Answer:
    """One answer under `key`, with a context of `width` of its own tokens, and what is remembered of it."""

    __slots__ = ("_generator", "_used", "key", "lead", "surprise", "warping", "width")

    def __init__(
        self, key: int, width: int, warping: Warping, generator: np.random.Generator, lead: float = LEAD_NATS
    ) -> None:
        self.key = key
        self.width = width
        self.warping = warping
        self.lead = lead
        self.surprise = 0.0
        self._generator = generator
        self._used: set[tuple[int, ...]] = set()

    def state(self, context: Sequence[int]) -> philox.State | None:
        """What the next token is marked with after its `context`, its last tokens; None leaves it to chance.

        A context that is short, that was used before, or that holds a token which the engine does not know yet
        (a negative one, where it schedules ahead) marks nothing.
        """
        seen = tuple(context[-self.width :])
        if len(seen) < self.width or min(seen) <= NONE or self.surprise < self.lead or seen in self._used:
            return None
        if self._generator.random() < UNMARKED_SHARE:
            return None
        self._used.add(seen)
        return philox.one_context_state(self.key, seen)


def leave_one(logits: torch.Tensor, rows: Sequence[int], answers: Sequence[Answer], contexts: Sequence[Sequence[int]]
              ) -> torch.Tensor:  # fmt: skip
    """Draw the next token of these rows and leave only it: 0 there and minus infinity elsewhere, in place.

    Whatever temperature, top-k or top-p come behind keep it. Logits are [rows, vocabulary], unscaled.
    """
    if not rows:
        return logits
    places = torch.tensor(rows, device=logits.device)
    weights = distribution(logits[places], [answer.warping for answer in answers])
    # The open interval: a uniform of 0 would be drawn whatever its weight.
    uniform = torch.rand(weights.shape, device=logits.device).clamp_(min=torch.finfo(torch.float32).tiny)
    states = [answer.state(context) for answer, context in zip(answers, contexts, strict=True)]
    marked = [
        (row, answer.key, state) for row, (answer, state) in enumerate(zip(answers, states, strict=True)) if state
    ]
    if marked:
        where, keys, found = zip(*marked, strict=True)
        uniform[list(where)] = uniforms(keys, found, weights.shape[-1], logits.device)
    tokens = drawn(weights, uniform)
    chances = weights[torch.arange(len(rows), device=logits.device), tokens].tolist()
    for answer, chance in zip(answers, chances, strict=True):
        if answer.surprise < answer.lead:
            answer.surprise -= float(np.log(chance))
    logits[places] = -torch.inf
    logits[places, tokens] = 0.0
    return logits
