"""What a text's scores under some keys amount to: marked, not marked, or that nobody can tell. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from watermark.detector import LN10, Detection, Detector, Span
from watermark.ngrams import Tokens
from watermark.scheme import Keys, Scheme
from watermark.schemes.named import WORDS
from watermark.schemes.synthid import SynthId
from watermark.statistics.multiplicity import decoy_rank, holm

Answer: TypeAlias = Literal["marked", "not_marked", "cannot_tell"]

DECOYS = 999
FEWEST_DECOYS = 19
WORK, KGW_WORK = 100_000_000, 20_000
"""Decoys times n-grams, at most. KGW shuffles a vocabulary for each, which takes some 0.2 ms."""
SMALLEST = 5e-324
ORDINARY = {
    "gumbel-sglang": 1.64,
    "gumbel-sglang-dual": 1.64,
    "gumbel-vllm": 1.64,
    "gumbel-vllm-dual": 1.52,
    "kgw-lefthash": 0.46,
    "kgw-selfhash": 0.46,
    "unigram": 0.74,
}
"""A marked token's mean score at one nat of entropy.

For Gumbel-max the bound 1 + (π²/6 - 1), which two keys share; for the others what a sampler with geometric
weights gave (6 keys, 300 tokens each, ± 0.01).
"""
SYNTHID_GAIN = 1.13
"""For SynthID, over the mean of unmarked tokens, which is half its depth; from the same sampler."""
MOST_NEEDED = 1 << 20
UNLUCKY = 1e-3


@dataclass(frozen=True, slots=True)
class Panel:
    """Keys [k, columns] of one scheme, and what each is called: no two have one name."""

    scheme: Scheme
    keys: Keys
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one text.

    `log10_p` is of the key `key_id`, the likeliest of `keys`; it pays for the windows that were
    tried and, by Holm's correction, for the keys. `decoy_rank_p` is None where no decoys were
    needed. `runner_up_log10_p` is the next key's, where there is one.
    """

    answer: Answer
    reason: str
    scheme: str | None = None
    key_id: str | None = None
    tokens: int = 0
    scored: int = 0
    score: float | None = None
    log10_p: float | None = None
    spans: tuple[Span, ...] = ()
    keys: int = 0
    runner_up_log10_p: float | None = None
    decoys: int = 0
    decoy_rank_p: float | None = None

    @property
    def p_value(self) -> float | None:
        """The p-value, or where it is less than the smallest number that bound on it."""
        return None if self.log10_p is None else max(float(10.0**self.log10_p), SMALLEST)


def judge(
    tokens: Tokens,
    panels: Sequence[Panel],
    *,
    fpr: float,
    generator: np.random.Generator,
    unlucky: frozenset[str] = frozenset(),
) -> Verdict:
    """The verdict on a text [n]: marked where the corrected p is at most `fpr` and no decoy key scores as high.

    A text that would have been too short for an ordinary mark to show is not called unmarked.
    `generator` draws the decoys. `unlucky` keys are those that also find themselves in text known
    to be unmarked: see `finds_itself`. At least one panel with one key must be given.
    """
    looks = [
        (panel, place, detection)
        for panel in panels
        for place, detection in enumerate(
            Detector(panel.scheme, panel.keys).document(tokens, alpha=fpr / _count(panels))
        )
    ]
    found = holm(np.array([detection.log10_p for _, _, detection in looks]) * LN10) / LN10
    order = np.argsort([detection.log10_p for _, _, detection in looks], kind="stable")
    panel, place, best = looks[order[0]]
    said = Verdict(
        "not_marked",
        "no mark of the tested keys was found",
        scheme=panel.scheme.name,
        key_id=panel.ids[place],
        tokens=best.tokens,
        scored=best.scored,
        score=best.score,
        log10_p=float(found[order[0]]),
        keys=len(looks),
        runner_up_log10_p=float(found[order[1]]) if len(looks) > 1 else None,
    )
    if said.log10_p is not None and said.log10_p <= np.log10(fpr):
        if said.key_id in unlucky:
            return replace(said, answer="cannot_tell", reason=f"{said.key_id} finds itself in unmarked text as well")
        return _against_decoys(said, panel.scheme, best, tokens, fpr, generator)
    needed = tokens_needed(panel.scheme, fpr / len(looks))
    if best.scored < needed:
        reason = f"too short: {best.scored} tokens can be scored, about {needed} are needed"
        return replace(said, answer="cannot_tell", reason=reason)
    return said


def finds_itself(tokens: Tokens, panels: Sequence[Panel]) -> frozenset[str]:
    """The keys under which a text [n] known to be unmarked has a p below 1e-3, which is what bad luck of a key is."""
    return frozenset(
        id
        for panel in panels
        for id, log_p in zip(panel.ids, Detector(panel.scheme, panel.keys).log_p(tokens), strict=True)
        if log_p < np.log(UNLUCKY)
    )


def tokens_needed(scheme: Scheme, alpha: float) -> int:
    """How many tokens of one nat of entropy each must be marked before p falls to `alpha`."""
    mean, limit = ordinary_mean(scheme), np.log(alpha)

    def enough(count: int) -> bool:
        return bool(scheme.log_tail(np.array([float(count)]), np.array([np.floor(count * mean)]))[0] <= limit)

    high = 1
    while high < MOST_NEEDED and not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _against_decoys(
    said: Verdict, scheme: Scheme, best: Detection, tokens: Tokens, fpr: float, generator: np.random.Generator
) -> Verdict:
    work = KGW_WORK if scheme.name.startswith("kgw") else WORK
    count = int(np.clip(work // max(1, best.scored), FEWEST_DECOYS, DECOYS))
    keys = generator.integers(0, 2**64, (count, _columns(scheme)), np.uint64)
    others = Detector(scheme, keys).document(tokens, alpha=fpr)
    rank = decoy_rank(-best.log10_p, np.array([-other.log10_p for other in others]))
    spans = best.spans or (Span(0, best.tokens, best.log10_p),)
    answer: Answer = "marked"
    reason = f"the mark of {said.key_id} is in it"
    if rank > max(fpr, 1 / (count + 1)):
        answer = "cannot_tell"
        reason = f"p is small, and yet of {count} random keys {round(rank * (count + 1)) - 1} score as high"
    return replace(said, answer=answer, reason=reason, spans=spans, decoys=count, decoy_rank_p=rank)


def ordinary_mean(scheme: Scheme) -> float:
    """A marked token's mean score at one nat of entropy."""
    if isinstance(scheme, SynthId):
        return SYNTHID_GAIN * scheme.depth / 2
    return ORDINARY[scheme.name]


def _columns(scheme: Scheme) -> int:
    return scheme.depth if isinstance(scheme, SynthId) else WORDS.get(scheme.name, 1)


def _count(panels: Sequence[Panel]) -> int:
    return sum(len(panel.ids) for panel in panels)
