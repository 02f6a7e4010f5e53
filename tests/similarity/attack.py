"""Recovering hidden vectors from a search's answers: what an attacker who knows the encoder can do."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from similarity.disclosure import Answer, Candidate, Question, Spent, disclosed
from similarity.setting import Disclosure
from similarity.vectors import Vectors, digest

RIDGES = (1e-6, 1e-4, 1e-2, 0.1, 1.0, 10.0)
DEEP = 40
"""Candidates that disclosure chooses from, as a search hands them over."""

Floats = NDArray[np.float64]


@dataclass
class Store:
    """A hidden store, and what one cluster has spent on it."""

    items: Vectors
    setting: Disclosure
    key: bytes = b"k" * 32
    spent: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))

    def ask(self, vector: Vectors, threshold: float | None = None) -> Answer:
        """One question's answer, charged."""
        scores = self.items @ vector
        best = np.argsort(-scores)[:DEEP]
        candidates = [Candidate(int(item), float(scores[item])) for item in best]
        question = Question(digest(vector), b"cluster", self.setting.top_k, threshold)
        asked = {item: self.spent[item] for item in map(int, best)}
        others = {item: len(known - {question.digest}) for item, known in asked.items()}
        paid = frozenset(item for item, known in asked.items() if question.digest in known)
        answer = disclosed(candidates, self.setting, question, Spent(others, paid), self.key)
        for item in answer.charged:
            self.spent[item].add(question.digest)
        return answer


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


ATTACKS: Mapping[str, Callable[[Vectors, Seen, Vectors], float]] = {
    "least squares": least_squares,
    "ranking": ranking,
    "membership": membership,
    "combined": combined,
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
