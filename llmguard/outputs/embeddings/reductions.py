"""The vectors of every model under every setting."""

from collections.abc import Sequence

import msgspec
import numpy as np

from llmguard.decoding.coarse import prompt_of
from llmguard.outputs.embeddings.reduction import Reduction
from llmguard.settings_embeddings import Reduced
from similarity.vectors import unit

NOTHING_SAID = prompt_of("").plain
"""The digest of a text without a letter or a digit."""

_encode = msgspec.json.Encoder().encode


class Reductions:
    """Makes what is told of vectors; `key` is the guard's for embeddings."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[tuple[str, int, Reduced], Reduction] = {}

    def __call__(
        self,
        granted: Reduced,
        model: str,
        tenant: str,
        texts: Sequence[str],
        vectors: Sequence[Sequence[float]],
        dimensions: int | None = None,
    ) -> list[list[float]]:
        """A vector of length 1 for each text and its vector; raises ValueError for what is no vector.

        `dimensions` takes the first so many numbers of the granted vector: another length is no second look.
        """
        rows = np.asarray(vectors, np.float32)
        told = self.reduction(granted, model, rows.shape[-1])(tenant, [digest(text) for text in texts], rows)
        found: list[list[float]] = (told if dimensions is None else unit(told[:, :dimensions])).tolist()
        return found

    def reduction(self, granted: Reduced, model: str, size: int) -> Reduction:
        """Of a model's vectors of this size."""
        place = (model, size, granted)
        found = self._known.get(place)
        if found is None:
            found = self._known[place] = Reduction(self._key, model, size, granted)
        return found


def digest(text: str) -> bytes:
    """What the noise hangs on: letters and digits, so that other spaces or case make no other text."""
    prompt = prompt_of(_encode(text).decode())
    return prompt.exact if prompt.plain == NOTHING_SAID else prompt.plain
