"""Whether the answers in a corpus were picked by a key: one pick proves little, many do."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from watermark.ngrams import Seen
from watermark.phrases import identities
from watermark.selection.irwin_hall import scores
from watermark.selection.keyed import uniforms
from watermark.statistics.tails import log_normal_tail

Floats: TypeAlias = NDArray[np.float64]
Keys: TypeAlias = NDArray[np.uint64]

TABLE_BITS = 27
CELLS = 1 << 18


@dataclass(frozen=True, slots=True)
class Picks:
    """Over `scored` of `documents` texts with `phrases` that count: z [k] of each key and log p [k] of the whole."""

    documents: int
    scored: int
    phrases: int
    z: Floats
    log_p: Floats


def picked(texts: Iterable[str], keys: Keys) -> Picks:
    """Score texts under keys [k]: z = Σ z_i / √C, standard normal for texts that the keys had no part in.

    z_i = Φ⁻¹(F(sum of the uniforms of a text's phrases)). A phrase counts once, in the first text that has it: what
    everybody says again and again is evidence of nothing. With every text picked out of m, z has the mean √C e_m,
    e_m the mean of the largest of m standard normals: 0.56, 1.03, 1.42, 1.77 for 2, 4, 8, 16.
    """
    seen = Seen(TABLE_BITS)
    documents = scored = count = 0
    total = np.zeros(len(keys))
    for text in texts:
        documents += 1
        found = np.array(identities(text), np.uint64)
        fresh = found[seen.new(found)] if found.size else found
        if not fresh.size:
            continue
        scored += 1
        count += fresh.size
        total += scores(_sums(keys, fresh), fresh.size)
    z = total / np.sqrt(max(scored, 1))
    return Picks(documents, scored, count, z, log_normal_tail(z) if scored else np.zeros(len(keys)))


def _sums(keys: Keys, phrases: NDArray[np.uint64]) -> Floats:
    """The sum [k] of a text's uniforms under each key, some keys at a time."""
    rows = max(1, CELLS // phrases.size)
    parts = [uniforms(keys[start : start + rows], phrases).sum(axis=1) for start in range(0, len(keys), rows)]
    return np.concatenate(parts)
