"""Marking in llama-cpp-python: a callable for `logits_processor` of its `Llama`; nothing of that package is needed."""

import numpy as np
from numpy.typing import NDArray

from watermark.marker import Marker
from watermark.scheme import Floats

ROUNDING = 1e-12


class MarkingProcessor:
    """Draws an answer's next token by a marker and leaves only that token to be sampled.

    llama.cpp calls it ahead of penalties, top-k, top-p, min-p and temperature, so it applies these itself, and the
    ones that come behind find one token. Give it what `Llama` is called with; penalties are not seen, so leave them
    neutral (`repeat_penalty=1.0`). One object serves one answer. Greedy decoding, of temperature 0, is not marked:
    ValueError.
    """

    def __init__(
        self, marker: Marker, *, temperature: float = 0.8, top_k: int = 40, top_p: float = 0.95, min_p: float = 0.05
    ) -> None:
        if temperature <= 0:
            raise ValueError("greedy decoding has no choice to mark")
        self._marker = marker
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p
        self._min_p = min_p

    def __call__(self, input_ids: NDArray[np.intc], scores: NDArray[np.single]) -> NDArray[np.single]:
        """Scores [vocabulary] that are 0 at the drawn token and minus infinity elsewhere."""
        token = self._marker(self._distribution(scores), np.asarray(input_ids).tolist())
        found = np.full_like(scores, -np.inf)
        found[token] = 0.0
        return found

    def _distribution(self, scores: NDArray[np.single]) -> Floats:
        """Top-k, then the nucleus, then min-p of the untempered distribution, as llama.cpp chains them; then warmed."""
        found = _softmax(scores.astype(np.float64))
        if 0 < self._top_k < found.size:
            found[np.argpartition(found, -self._top_k)[: -self._top_k]] = 0.0
            found /= found.sum()
        if self._top_p < 1:
            order = np.argsort(-found, kind="stable")
            before = np.cumsum(found[order]) - found[order]
            found[order[before >= self._top_p - ROUNDING]] = 0.0
        found[found < self._min_p * found.max()] = 0.0
        kept = np.flatnonzero(found)
        found[kept] = _softmax(np.log(found[kept]) / self._temperature)
        return found


def _softmax(logits: Floats) -> Floats:
    found: Floats = np.exp(logits - logits.max())
    found /= found.sum()
    return found
