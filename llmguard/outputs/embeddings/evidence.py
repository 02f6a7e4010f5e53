"""Whose vectors a suspect's are: the noise that a key put in, found again.

A suspect's vectors are regressed on what everybody was told (`Reduction.common`), which is known. What is left holds,
if the vectors were ours, the noise of the tenant that was told, under the same linear map as the rest: whatever the
suspect put behind ours, the regression of the known part on its vectors undoes it. So undone, what is left is compared
with a tenant's noise. Under any key but that tenant's, noise is independent standard normal numbers, and the figure,
in units of its own deviation, one such number: exactly, whatever the suspect did, and however the texts were chosen.

The two layers answer two suspects: noise by text is in vectors that were passed on or learnt by heart, noise by cell
also in those of a model that was trained on them, for texts that nobody asked about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from llmguard.outputs.embeddings.keystream import Floats, normals
from llmguard.outputs.embeddings.reduction import Reduction
from similarity.vectors import unit
from watermark.statistics.multiplicity import decoy_rank, holm
from watermark.statistics.tails import log_normal_tail

Doubles = NDArray[np.float64]

RIDGE: Final = 1e-3
"""The weight of the penalty, in units of the mean power of a number."""
LOG_10: Final = float(np.log(10))


class TooFew(Exception):
    """There are not enough different texts to tell anything."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What speaks for a tenant: log10 of p by text, by cell, and of both for all tenants that were tested (Holm), and
    the p of the tenant's rank among decoys, random tenants that nobody is."""

    tenant: str
    by_text: float
    by_cell: float
    log10_p: float
    decoy_rank_p: float


@dataclass(frozen=True, slots=True)
class Suspect:
    """What is left of a suspect's vectors, in our axes, summed by text and by cell: [k] each."""

    by_text: Mapping[bytes, Doubles]
    by_cell: Mapping[bytes, Doubles]


def suspect(reduction: Reduction, texts: Sequence[bytes], originals: Floats, found: Floats) -> Suspect:
    """What a suspect answered [n, m] for texts whose true vectors are `originals` [n, d].

    Of equal texts the first counts. Raises TooFew where there are no more of them than numbers are told: regressed on
    so many, nothing is left.
    """
    first = {text: place for place, text in reversed(list(enumerate(texts)))}
    kept = sorted(first.values())
    if len(kept) <= reduction.dimensions:
        raise TooFew(f"{len(kept)} different texts are too few for vectors of {reduction.dimensions} numbers")
    cells, told = reduction.common(unit(originals[kept]))
    known, said = _centred(told), _centred(unit(found[kept]))
    left = (said - known @ _fitted(known, said)) @ _fitted(said, known)
    return Suspect(_sums([texts[at] for at in kept], left), _sums(cells, left))


def findings(reduction: Reduction, answers: Suspect, tenants: Sequence[str], decoys: Sequence[str]) -> list[Finding]:
    """What speaks for each tenant, the strongest first."""
    others = np.array([min(_both(reduction, answers, decoy)) for decoy in decoys])
    both = [_both(reduction, answers, tenant) for tenant in tenants]
    # Two looks at each.
    adjusted = holm(np.array([min(0.0, min(pair) + np.log(2)) for pair in both]))
    rows = [
        Finding(tenant, text / LOG_10, cell / LOG_10, float(log_p) / LOG_10, decoy_rank(-min(text, cell), -others))
        for tenant, (text, cell), log_p in zip(tenants, both, adjusted, strict=True)
    ]
    return sorted(rows, key=lambda row: (row.log10_p, row.tenant))


def _both(reduction: Reduction, answers: Suspect, tenant: str) -> tuple[float, float]:
    """Log p by text and by cell."""
    own, size = reduction.own(tenant), reduction.dimensions
    return (
        _log_p(answers.by_text, own.by_text, size),
        _log_p(answers.by_cell, own.by_cell, size),
    )


def _log_p(sums: Mapping[bytes, Doubles], key: bytes, size: int) -> float:
    """Of the inner product of sums and noise, which is normal, and of their own norm's deviation, for any other key."""
    rows = np.stack(list(sums.values()))
    norm = float(np.linalg.norm(rows))
    if not norm:
        return 0.0
    drawn = normals([(key, label) for label in sums], size).astype(np.float64)
    return float(log_normal_tail((rows * drawn).sum() / norm))


def _sums(labels: Sequence[bytes], rows: Doubles) -> dict[bytes, Doubles]:
    places: dict[bytes, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    return {label: rows[at].sum(axis=0) for label, at in places.items()}


def _centred(rows: Floats) -> Doubles:
    doubles = rows.astype(np.float64)
    centred: Doubles = doubles - doubles.mean(axis=0)
    return centred


def _fitted(given: Doubles, wanted: Doubles) -> Doubles:
    """The linear map [k, m] from rows [n, k] to rows [n, m] by ridge regression."""
    gram = given.T @ given
    penalty = RIDGE * max(float(np.trace(gram)) / len(gram), RIDGE)
    return np.asarray(np.linalg.solve(gram + penalty * np.eye(len(gram)), given.T @ wanted), np.float64)
