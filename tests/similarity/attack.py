"""Recovering hidden vectors from a search's answers: what an attacker who knows the encoder can do."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from similarity.disclosure import Answer, Candidate, Question, Spent, disclosed
from similarity.recent import Recent
from similarity.setting import Disclosure, told
from similarity.vectors import Vectors, digest, ids_of

RIDGES = (1e-6, 1e-4, 1e-2, 0.1, 1.0, 10.0)
RESTARTS, STEPS = 8, 40
DEEP = 40
"""Candidates that disclosure chooses from, as a search hands them over."""

Floats = NDArray[np.float64]


Ask: TypeAlias = Callable[[int], Answer]
"""Asks one of the attacker's own texts, by its number, of whatever answers: a `Store`, or the guard over HTTP."""


@dataclass
class Store:
    """A hidden store, and what each cluster has asked and spent, as a search keeps it."""

    items: Vectors
    setting: Disclosure
    key: bytes = b"k" * 32
    spent: dict[tuple[bytes, int], set[bytes]] = field(default_factory=lambda: defaultdict(set))
    asked: dict[bytes, Recent] = field(default_factory=dict)
    earlier: list[Vectors] = field(default_factory=list)

    def ask(self, vector: Vectors, threshold: float | None = None, cluster: bytes = b"cluster") -> Answer:
        """One question's answer, charged; a paraphrase is the earlier question."""
        vector = self._recognised(vector, cluster)
        scores = self.items @ vector
        best = np.argsort(-scores)[:DEEP]
        candidates = [Candidate(int(item), float(scores[item])) for item in best]
        question = Question(digest(vector), cluster, self.setting.top_k, threshold)
        known = {item: self.spent[cluster, item] for item in map(int, best)}
        others = {item: len(digests - {question.digest}) for item, digests in known.items()}
        paid = frozenset(item for item, digests in known.items() if question.digest in digests)
        answer = disclosed(candidates, self.setting, question, Spent(others, paid), self.key)
        for item in answer.charged:
            self.spent[cluster, item].add(question.digest)
        return answer

    def _recognised(self, vector: Vectors, cluster: bytes) -> Vectors:
        """The earlier question that this one repeats or paraphrases, else itself."""
        window = self.asked.setdefault(cluster, Recent(8192, len(vector)))
        found = window.search(vector[None], 1)
        if found.ids[0, 0] >= 0 and found.scores[0, 0] >= self.setting.same_question:
            return self.earlier[int(found.ids[0, 0])]
        window.add(ids_of([len(self.earlier)]), vector[None])
        self.earlier.append(vector)
        return vector


@dataclass(frozen=True)
class Seen:
    """What the answers said of one item: the questions that found it, where it stood, and the scores told."""

    rows: NDArray[np.int64]
    places: Floats
    scores: Floats


def seen(answers: Sequence[Answer]) -> Mapping[int, Seen]:
    """The answers to questions 0, 1, … by item; a score that was not told is NaN."""
    found: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for at, answer in enumerate(answers):
        for place, row in enumerate(answer.rows):
            found[row.id].append((at, place, float("nan") if row.score is None else row.score))
    return {
        item: Seen(
            np.array([at for at, _, _ in rows]),
            np.array([float(place) for _, place, _ in rows]),
            np.array([score for _, _, score in rows]),
        )
        for item, rows in found.items()
    }


def regressed(anchors: Vectors, targets: Floats, truth: Vectors) -> float:
    """The cosine that ridge regression reaches, with the ridge that an oracle picks."""
    gram, moment = anchors.T @ anchors, anchors.T @ targets
    identity = np.eye(anchors.shape[1])
    return max(cosine(np.linalg.solve(gram + ridge * identity, moment), truth) for ridge in RIDGES)


def cosine(found: NDArray[np.floating], truth: Vectors) -> float:
    """The cosine of an estimate, 0 for none."""
    norm = float(np.linalg.norm(found))
    return float(found @ truth) / norm if norm > 0 else 0.0


def least_squares(anchors: Vectors, item: Seen, truth: Vectors) -> float:
    """From the scores told."""
    told = ~np.isnan(item.scores)
    return regressed(anchors[item.rows[told]], item.scores[told], truth) if told.any() else 0.0


def ranking(anchors: Vectors, item: Seen, truth: Vectors) -> float:
    """From the places in the answers."""
    return regressed(anchors[item.rows], 10.0 - item.places, truth)


def membership(anchors: Vectors, item: Seen, truth: Vectors) -> float:
    """From which questions found it and which did not (top-k recovery)."""
    found = np.zeros(len(anchors))
    found[item.rows] = 1.0
    centre = anchors.mean(0)
    mean = anchors[item.rows].mean(0)
    regression = regressed(anchors - centre, found - found.mean(), truth)
    return max(regression, cosine(mean, truth), cosine(mean - centre, truth))


def combined(anchors: Vectors, item: Seen, truth: Vectors) -> float:
    """From scores where told, the lowest bucket where it was not found, and the place as a tie-break."""
    targets = np.full(len(anchors), 0.0)
    told = np.where(np.isnan(item.scores), np.nanmean(np.append(item.scores, 0.3)), item.scores)
    targets[item.rows] = told - 0.005 * item.places
    return regressed(anchors, targets, truth)


def centroid(anchors: Vectors, item: Seen, truth: Vectors) -> float:
    """The mean of the questions that found it, by a power of the scores told that an oracle picks."""
    told = np.where(np.isnan(item.scores), 0.4, item.scores)
    return max(cosine((told**power) @ anchors[item.rows], truth) for power in (0, 1, 2, 4))


ATTACKS: Mapping[str, Callable[[Vectors, Seen, Vectors], float]] = {
    "least squares": least_squares,
    "ranking": ranking,
    "membership": membership,
    "combined": combined,
    "centroid": centroid,
}


def recovered(anchors: Vectors, answers: Sequence[Answer], items: Vectors, chosen: Sequence[int]) -> dict[str, float]:
    """The mean cosine over the chosen items that each attack reaches; an item never found counts as 0."""
    known = seen(answers)
    return {
        name: float(np.mean([attack(anchors, known[item], items[item]) if item in known else 0.0 for item in chosen]))
        for name, attack in ATTACKS.items()
    }


def nearest_question(anchors: Vectors, answers: Sequence[Answer], items: Vectors, chosen: Sequence[int]) -> float:
    """The mean cosine of the nearest question that found an item: what any search reveals."""
    known = seen(answers)
    return float(
        np.mean([(anchors[known[item].rows] @ items[item]).max() if item in known else 0.0 for item in chosen])
    )


def restarted(anchors: Vectors, answers: Sequence[Answer], item: int, truth: Vectors, setting: Disclosure) -> float:
    """From the interval that each answer puts the score in: the mean of what many random starts end in, each inside
    of as many intervals as it can reach (a Bayes point of what is possible)."""
    low, high = intervals(answers, item, setting)
    points = np.random.default_rng(7).standard_normal((anchors.shape[1], RESTARTS))
    points /= np.linalg.norm(points, axis=0)
    step = np.linalg.inv(anchors.T @ anchors + 0.1 * np.eye(anchors.shape[1]))
    for _ in range(STEPS):
        scores = anchors @ points
        outside = np.maximum(low[:, None] - scores, 0) - np.maximum(scores - high[:, None], 0)
        points += step @ (anchors.T @ outside)
        points /= np.linalg.norm(points, axis=0)
    return cosine(points.mean(axis=1), truth)


def intervals(answers: Sequence[Answer], item: int, setting: Disclosure) -> tuple[Floats, Floats]:
    """What each answer says of an item's score, dither and all: lowest and highest [n]."""
    edges = (-1.0, *setting.borders, 1.0)
    values = [told(bucket, setting.borders) for bucket in range(len(setting.borders) + 1)]
    spans = {value: (edges[at], edges[at + 1]) for at, value in enumerate(values)}
    low, high = np.full(len(answers), -1.0), np.full(len(answers), 1.0)
    for at, answer in enumerate(answers):
        row = next((row for row in answer.rows if row.id == item), None)
        if row is not None:
            low[at], high[at] = (setting.borders[0], 1.0) if row.score is None else spans[row.score]
        elif len(answer.rows) < setting.top_k:
            high[at] = setting.borders[0]
        elif answer.rows and answer.rows[-1].score is not None:
            high[at] = spans[answer.rows[-1].score][1]
    return low - setting.dither, high + setting.dither


def adaptive(anchors: Vectors, ask: Ask, item: int, truth: Vectors, first: int, questions: int) -> tuple[float, float]:
    """After each answer the text nearest to the estimate is asked next, from one that found the item on.

    The cosine that the best attack reaches, and that of the nearest question that found the item.
    """
    order, answers = [first], [ask(first)]
    left = np.ones(len(anchors), bool)
    left[first] = False
    while len(order) < questions:
        known = seen(answers).get(item)
        rows = order if known is None else [order[at] for at in known.rows]
        weights = np.ones(len(rows)) if known is None else np.where(np.isnan(known.scores), 0.4, known.scores)
        likely = np.where(left, anchors @ (weights @ anchors[rows]), -np.inf)
        order.append(int(np.argmax(likely)))
        left[order[-1]] = False
        answers.append(ask(order[-1]))
    known = seen(answers).get(item)
    if known is None:
        return 0.0, 0.0
    chosen = anchors[order]
    best = max(attack(chosen, known, truth) for attack in (least_squares, ranking, centroid))
    return best, float((chosen[known.rows] @ truth).max())
