"""What an answer may say of what a search found; the leak of each setting stands in `setting.py`.

Nothing is kept here: the caller passes what has been spent, and gets what to charge.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from similarity.keyed import number, uniform
from similarity.setting import Content, Disclosure, told
from similarity.vectors import Vectors


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that a search found: its id, and its cosine to the question."""

    id: int
    score: float


@dataclass(frozen=True, slots=True)
class Question:
    """A question as disclosure sees it.

    `digest` stands for the question, or for the earlier one that it repeats; `cluster` for everyone who
    is linked to whoever asks. `limit` and `threshold` are what the client asked for.
    """

    digest: bytes
    cluster: bytes
    limit: int
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What the cluster knows: `others`, for each item the distinct other questions that scored it;
    `paid`, the items that this very question scored before."""

    others: Mapping[int, int]
    paid: Set[int]


@dataclass(frozen=True, slots=True)
class Shown:
    """A result: its id, and its bucket's score, or None where the budget is spent."""

    id: int
    score: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Results, best first; `charged` are the items that this question scored for the first time; `blanks`
    the rows that an answer of constant length adds."""

    rows: tuple[Shown, ...]
    charged: tuple[int, ...]
    blanks: int = 0

    @property
    def scored(self) -> int:
        """Scores told, each of which is a credit."""
        return sum(row.score is not None for row in self.rows)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A candidate in its bucket; `rank` is its place in the order served."""

    id: int
    bucket: int
    rank: int


def disclosed(
    candidates: Sequence[Candidate], setting: Disclosure, question: Question, spent: Spent, key: bytes
) -> Answer:
    """The answer to a question, from candidates in the order served (more than `limit`, for items past their budget).

    Items within their budget keep the order given, exactly, and are told their bucket's score. An item past
    it stands after those of its bucket, in an order that the key alone tells: neither its place nor whether it
    is cut off depends on more than its bucket, where the order served is that of the scores. The same question
    with the same candidates has the same answer, whatever was asked between.
    """
    buckets = [bucket_of(candidate.score, setting, key, question) for candidate in candidates]
    placed = _falling(candidates, buckets, 1 if setting.content is Content.HIDDEN else 0)
    lowest = _lowest(setting, question.threshold)
    limit = max(0, min(question.limit, setting.top_k))
    entries = [_entry(one, setting, question, spent, key) for one in placed if one.bucket >= lowest]
    ordered = sorted(entries, key=lambda entry: entry[0])
    rows = tuple(shown for _, shown in ordered[:limit])
    counted = setting.content is Content.HIDDEN
    charged = tuple(row.id for row in rows if counted and row.score is not None and row.id not in spent.paid)
    return Answer(rows, charged, limit - len(rows) if setting.one_length else 0)


def bucket_of(score: float, setting: Disclosure, key: bytes, question: Question) -> int:
    """A score's bucket, 0 to len(borders), after the question's keyed dither; it never falls as the score rises."""
    shift = setting.dither * uniform(key, b"dither", question.cluster, question.digest)
    return bisect_right(setting.borders, score + shift)


def pair_score(score: float, setting: Disclosure, key: bytes, cluster: bytes, digests: tuple[bytes, bytes]) -> float:
    """What is told of two texts' cosine; the same both ways round."""
    shift = setting.dither * uniform(key, b"pair", cluster, *sorted(digests))
    return told(bisect_right(setting.borders, score + shift), setting.borders)


def same_question(vector: Vectors, earlier: Vectors, setting: Disclosure) -> int | None:
    """The row of the earlier question [n, d] that a question [d] paraphrases; None where it is a new one."""
    if not len(earlier):
        return None
    likeness = earlier @ vector
    best = int(np.argmax(likeness))
    return best if float(likeness[best]) >= setting.same_question else None


def filler(length: int, block: int) -> int:
    """The bytes that bring an answer of `length` bytes to a multiple of `block`."""
    return -length % block


def _lowest(setting: Disclosure, threshold: float | None) -> int:
    """The lowest bucket that passes a threshold, which is compared with what is told: it sorts no finer."""
    values = [told(bucket, setting.borders) for bucket in range(len(setting.borders) + 1)]
    return 0 if threshold is None else sum(value < threshold for value in values)


def _falling(candidates: Sequence[Candidate], buckets: Sequence[int], floor: int) -> list[_Placed]:
    """Buckets that never rise along the order served: a hybrid order is not that of the cosines."""
    placed, lowest = [], max(buckets, default=0)
    for rank, (candidate, bucket) in enumerate(zip(candidates, buckets, strict=True)):
        if bucket >= floor:
            lowest = min(lowest, bucket)
            placed.append(_Placed(candidate.id, lowest, rank))
    return placed


def _within(item: int, setting: Disclosure, spent: Spent) -> bool:
    """Whether an item's score may be told."""
    return setting.content is Content.RETURNED or item in spent.paid or spent.others.get(item, 0) < setting.lifetime


def _entry(
    one: _Placed, setting: Disclosure, question: Question, spent: Spent, key: bytes
) -> tuple[tuple[int, bool, float], Shown]:
    """A row and where it stands: by bucket; inside one, by rank where the score is told, else by the key."""
    if _within(one.id, setting, spent):
        return (-one.bucket, False, one.rank), Shown(one.id, told(one.bucket, setting.borders))
    return (-one.bucket, True, uniform(key, b"order", question.cluster, number(one.id))), Shown(one.id, None)
