"""What a corpus of answers, some of them picked by a key, amounts to: one verdict on all of it."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from watermark.detector import LN10
from watermark.examination import Examination
from watermark.selection.corpus import Keys, Picks, picked
from watermark.statistics.multiplicity import decoy_rank, holm
from watermark.verdict import UNLUCKY, Answer, Verdict

SCHEME = "selection"
DECOYS = 999
FEWEST = 30
"""Fewer picks than that could hardly show at the usual rates, all of them being picked of two."""


def together(texts: Iterable[str], keys: Keys, ids: tuple[str, ...], fpr: float) -> Examination:
    """The verdict on all texts under keys [k], at least one: marked where the corrected p is at most `fpr`.

    999 random keys are scored in the same pass: none of them may come near. Holm's correction pays for the keys.
    """
    decoys = np.random.default_rng(0).integers(0, 2**64, DECOYS, np.uint64)
    found = picked(texts, np.concatenate([keys, decoys]))
    verdict = _judged(found, len(keys), ids, fpr)
    nothing = np.empty(0, np.int64)
    return Examination(f"{found.documents} texts together", "", nothing, np.empty((0, 2), np.int64), verdict, ())


def _judged(found: Picks, count: int, ids: tuple[str, ...], fpr: float) -> Verdict:
    log10_p = holm(found.log_p[:count]) / LN10
    order = np.argsort(found.log_p[:count], kind="stable")
    best = int(order[0])
    rank = decoy_rank(float(found.z[best]), found.z[count:])
    said = Verdict(
        "not_marked",
        f"no mark of the tested keys was found in {found.scored} texts",
        scheme=SCHEME,
        key_id=ids[best],
        tokens=found.phrases,
        scored=found.scored,
        score=float(found.z[best]),
        log10_p=float(log10_p[best]),
        keys=count,
        runner_up_log10_p=float(log10_p[order[1]]) if count > 1 else None,
        decoys=DECOYS,
        decoy_rank_p=rank,
    )
    return said if found.scored >= FEWEST and log10_p[best] > np.log10(fpr) else _other(said, found, fpr, rank)


def _other(said: Verdict, found: Picks, fpr: float, rank: float) -> Verdict:
    answer: Answer = "marked"
    reason = f"the picks of {said.key_id} are in it"
    if found.scored < FEWEST:
        answer, reason = "cannot_tell", f"too few: {found.scored} texts can be scored, {FEWEST} at least are needed"
    elif rank > max(UNLUCKY, 1 / (DECOYS + 1)):
        answer = "cannot_tell"
        reason = f"p is small, and yet of {DECOYS} random keys {round(rank * (DECOYS + 1)) - 1} score as high"
    return replace(said, answer=answer, reason=reason)
