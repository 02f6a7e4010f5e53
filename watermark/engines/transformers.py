"""Marking in transformers' `generate(logits_processor=[…], do_sample=True)`."""

from collections.abc import Callable

import numpy as np
import torch
from transformers import LogitsProcessor

from watermark.marker import Marker


class MarkingProcessor(LogitsProcessor):
    """Draws each sequence's next token by a marker and leaves only that token to be sampled.

    It must be the last of the processors: it needs the distribution after temperature, top-k and
    top-p, which `generate` puts after its own list, so give them as processors before this one and
    leave `generate`'s neutral (temperature=1, top_k=0, top_p=1). One object serves one call of
    `generate`: row by row a marker of `new_marker`, made at the first token. Beams are refused by
    ValueError, for they reorder rows.
    """

    def __init__(self, new_marker: Callable[[], Marker]) -> None:
        self._new_marker = new_marker
        self._markers: list[Marker] = []
        self._seen: torch.Tensor | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [batch, vocabulary] that are 0 at the drawn tokens and minus infinity elsewhere."""
        if self._seen is not None and not torch.equal(input_ids[:, :-1], self._seen):
            raise ValueError("rows were reordered or another generation began: one processor serves one, without beams")
        if not self._markers:
            self._markers = [self._new_marker() for _ in range(len(input_ids))]
        self._seen = input_ids.clone()
        weights = torch.softmax(scores.double(), dim=-1).cpu().numpy()
        rows = input_ids.tolist()
        tokens = [
            marker(np.asarray(row), context) for marker, row, context in zip(self._markers, weights, rows, strict=True)
        ]
        found = torch.full_like(scores, -torch.inf)
        found[torch.arange(len(tokens)), torch.tensor(tokens)] = 0.0
        return found  # type: ignore[return-value]  # full_like keeps the type, and its stub forgets it
