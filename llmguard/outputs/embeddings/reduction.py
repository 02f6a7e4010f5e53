"""From a model's vectors to what a tenant is told of them.

1. Cut     to the first `dimensions`, and turned to secret axes, so that what is cut off next falls on all alike.
2. Cloud   with noise that hangs on the secret cell the vector lies in, not on the text: paraphrases average little.
3. Round   to `bits` a number. Up to here all tenants are alike: together they are told no more than this.
4. Mark    with noise of the tenant's own, half by cell and half by text: it can be proven later (`evidence`).
5. Turn    to axes of the tenant's own: vectors of two tenants cannot be compared.

The order is the point. Noise of a tenant's own ahead of the rounding would dither it, and tenants who average would
undo both; axes of a tenant's own ahead of it would show each tenant other bits of the same vector. Every layer hangs
on nothing but keys, the setting, the vector's cell and the text, so that asking again tells nothing new; and on the
whole setting, since one noise at two strengths, or of two lengths, would cancel.
"""

from collections import OrderedDict
from collections.abc import Sequence
from math import sqrt
from typing import Final

import numpy as np

from llmguard.outputs.embeddings.buckets import Buckets
from llmguard.outputs.embeddings.keystream import Floats, normals, subkey
from llmguard.outputs.embeddings.quantise import quantised
from llmguard.outputs.embeddings.rotation import Rotation
from llmguard.settings_embeddings import Reduced
from similarity.vectors import unit

SHARED: Final = sqrt(1 / 2)
OWN: Final = sqrt(1 / 4)
"""The share of the noise that every tenant is told alike, and of either layer of its own; squares add up to 1."""
MOST_TENANTS: Final = 1024


class Own:
    """What is a tenant's own: axes, and the keys of the noise by cell and by text."""

    __slots__ = ("by_cell", "by_text", "rotation")

    def __init__(self, key: bytes, size: int) -> None:
        self.rotation = Rotation(subkey(key, b"axes"), size)
        self.by_cell = subkey(key, b"cell")
        self.by_text = subkey(key, b"text")


class Reduction:
    """The vectors of one model [n, size] under one setting; `key` is the guard's for embeddings."""

    def __init__(self, key: bytes, model: str, size: int, granted: Reduced) -> None:
        self.dimensions = min(granted.dimensions, size)
        self._bits = granted.bits
        # In units of a number's own standard deviation, which is 1 / sqrt(dimensions) in a vector of length 1.
        self._strength = granted.noise * sqrt(self.dimensions)
        said = f"{size} {self.dimensions} {granted.bits} {granted.noise!r}"
        self._key = subkey(key, model.encode(), said.encode())
        self._buckets = Buckets(subkey(self._key, b"cells"), size)
        self._axes = Rotation(subkey(self._key, b"axes"), self.dimensions)
        self._shared = subkey(self._key, b"shared")
        self._tenants: OrderedDict[str, Own] = OrderedDict()

    def __call__(self, tenant: str, texts: Sequence[bytes], vectors: Floats) -> Floats:
        """[n, dimensions] of length 1, for a digest of each text and its vector; raises ValueError where it is none."""
        vectors = unit(vectors)
        cells = list(self._buckets(vectors))
        own = self.own(tenant)
        shared, by_cell, by_text = self._noise((self._shared, cells), (own.by_cell, cells), (own.by_text, texts))
        return unit(own.rotation(self._rounded(vectors, shared) + self._strength * OWN * (by_cell + by_text)))

    def common(self, vectors: Floats) -> tuple[list[bytes], Floats]:
        """The cells of [n, size] unit vectors, and steps 1 to 3 [n, dimensions]: numbers of variance 1 or so."""
        cells = list(self._buckets(vectors))
        (shared,) = self._noise((self._shared, cells))
        return cells, self._rounded(vectors, shared)

    def _rounded(self, vectors: Floats, noise: Floats) -> Floats:
        cut = self._scaled(self._axes(vectors[:, : self.dimensions]))
        return quantised(self._scaled(cut + self._strength * SHARED * noise), self._bits)

    def own(self, tenant: str) -> Own:
        """A tenant's own; kept for those that asked last."""
        own = self._tenants.pop(tenant, None)
        if own is None:
            own = Own(subkey(self._key, b"tenant", tenant.encode()), self.dimensions)
            if len(self._tenants) >= MOST_TENANTS:
                self._tenants.popitem(last=False)
        self._tenants[tenant] = own
        return own

    def _noise(self, *layers: tuple[bytes, Sequence[bytes]]) -> list[Floats]:
        """[n, dimensions] of normal numbers for each layer's key and labels, equal for equal labels."""
        places = list(dict.fromkeys((key, label) for key, labels in layers for label in labels))
        rows = {place: number for number, place in enumerate(places)}
        drawn = normals(places, self.dimensions)
        return [drawn[[rows[key, label] for label in labels]] for key, labels in layers]

    def _scaled(self, rows: Floats) -> Floats:
        return unit(rows) * np.float32(sqrt(self.dimensions))
