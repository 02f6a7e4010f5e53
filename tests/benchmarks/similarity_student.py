"""What scores of texts that are known teach: a student of the encoder, and the whole geometry by pairs."""

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from similarity.disclosure import Candidate, Question, Spent, disclosed, pair_score
from similarity.setting import Disclosure
from similarity.vectors import Vectors, digest
from tests.benchmarks.report import Report, Row
from tests.benchmarks.texts import Absent, Model, banking

KEY = b"k" * 32
ITEMS, QUESTIONS, HELD = 1000, 1500, 100
CREDITS = (1_000, 5_000, 15_000)
WIDTH, EPOCHS, BATCH = 256, 4, 500
PAIRED, RANKS = 300, (5, 10, 20, 40)
DEFAULT = Disclosure()


def students() -> Report:
    """Rank correlation with the real encoder, on questions not asked, against credits spent."""
    title = "similarity: a student trained on what a store that returns its texts tells (rank correlation)"
    try:
        texts, model = banking().texts, Model()
        vectors = model(texts[: ITEMS + QUESTIONS + HELD])
    except Absent as absent:
        return Report(title, missing={"similarity": str(absent)})
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=20_000, sublinear_tf=True)
    sparse = letters.fit_transform(texts[: ITEMS + QUESTIONS + HELD])
    features = torch.from_numpy(TruncatedSVD(WIDTH, random_state=1).fit_transform(sparse).astype(np.float32))
    known = agreement(features, torch.eye(WIDTH), vectors)
    rows: list[Row] = [{"credits": 0, "exact": known, "buckets": known}]
    for credits in CREDITS:
        by_kind = {}
        for kind in ("exact", "buckets"):
            left, right, scores = told(vectors, credits, exact=kind == "exact")
            by_kind[kind] = agreement(features, trained(features, left, right, scores), vectors)
        rows.append({"credits": credits, **by_kind})
    return Report(title, rows)


def told(vectors: Vectors, credits: int, *, exact: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Question rows, item rows and scores of as many answers as the credits pay for, in the order served."""
    items = vectors[:ITEMS]
    found: list[tuple[int, int, float]] = []
    for at in range(ITEMS, ITEMS + credits // 10):
        scores = items @ vectors[at]
        best = np.argsort(-scores)[:40]
        candidates = [Candidate(int(item), float(scores[item])) for item in best]
        asked = Question(digest(vectors[at]), b"c", 10)
        for row in disclosed(candidates, DEFAULT, asked, Spent({}, frozenset()), KEY).rows:
            found.append((at, row.id, float(scores[row.id]) if exact else float(row.score or 0)))
    left, right, values = zip(*found, strict=True)
    return np.array(left), np.array(right), np.array(values, np.float32)


def trained(features: torch.Tensor, left: np.ndarray, right: np.ndarray, scores: np.ndarray) -> torch.Tensor:
    """[width, width]: a projection under which texts score as they were told, in the order told, and what was not
    found scores below what was."""
    torch.manual_seed(1)
    weights = torch.eye(WIDTH).requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=0.003)
    target, random = torch.from_numpy(scores), np.random.default_rng(1)
    for _ in range(max(3, EPOCHS * CREDITS[-1] // len(left))):
        for start in random.permutation(np.arange(0, len(left), BATCH)):
            some = slice(start, start + BATCH)
            asked = projected(features[left[some]], weights)
            likeness = (asked * projected(features[right[some]], weights)).sum(1)
            others = (asked * projected(features[random.integers(0, ITEMS, len(likeness))], weights)).sum(1)
            loss = ((likeness - target[some]) ** 2).mean() + (torch.relu(others - target[some]) ** 2).mean()
            # Rows of one answer follow each other: the order is exact whatever the scores say.
            same = torch.from_numpy(left[some][1:] == left[some][:-1])
            loss = loss + 0.01 * torch.nn.functional.softplus(20 * (likeness[1:] - likeness[:-1]))[same].mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return weights.detach()


def projected(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """[n, width] of norm 1."""
    return torch.nn.functional.normalize(features @ weights, dim=1)


def agreement(features: torch.Tensor, weights: torch.Tensor, vectors: Vectors) -> float:
    """Rank correlation of the student's likeness of held-out questions to items with the encoder's."""
    held = slice(ITEMS + QUESTIONS, ITEMS + QUESTIONS + HELD)
    real = vectors[held] @ vectors[:ITEMS].T
    mine = (projected(features[held], weights) @ projected(features[:ITEMS], weights).T).numpy()
    return float(spearmanr(mine.ravel(), real.ravel()).statistic)


def gram() -> Report:
    """Cosines of pairs that were not asked, filled in by a matrix of low rank, against the pairs that credits buy."""
    title = f"similarity: the geometry of {PAIRED} texts by pairs (rank correlation of the pairs not asked)"
    try:
        vectors = Model()(banking().texts[:PAIRED])
    except Absent as absent:
        return Report(title, missing={"similarity": str(absent)})
    real = (vectors @ vectors.T).astype(np.float64)
    upper = np.argwhere(np.triu(np.ones_like(real), 1) > 0)
    order = np.random.default_rng(1).permutation(len(upper))
    rows: list[Row] = []
    for credits in (1_000, 5_000, 10_000, 20_000):
        asked, rest = upper[order[:credits]], upper[order[credits:]]
        row: dict[str, object] = {"credits": credits, "share_of_pairs": credits / len(upper)}
        for kind in ("exact", "buckets"):
            scores = [
                real[a, b]
                if kind == "exact"
                else pair_score(float(real[a, b]), DEFAULT, KEY, b"c", (digest(vectors[a]), digest(vectors[b])))
                for a, b in asked
            ]
            row[kind] = max(filled(real.shape[0], asked, np.array(scores), rest, real, rank) for rank in RANKS)
        rows.append(row)
    return Report(title, rows)


def filled(size: int, asked: np.ndarray, scores: np.ndarray, rest: np.ndarray, real: np.ndarray, rank: int) -> float:
    """Spearman's rank correlation after forty rounds of cutting to a rank and putting back what is known."""
    known = np.eye(size, dtype=bool)
    known[asked[:, 0], asked[:, 1]] = known[asked[:, 1], asked[:, 0]] = True
    matrix = np.full((size, size), float(scores.mean()))
    np.fill_diagonal(matrix, 1.0)
    matrix[asked[:, 0], asked[:, 1]] = matrix[asked[:, 1], asked[:, 0]] = scores
    given = matrix.copy()
    for _ in range(40):
        values, directions = np.linalg.eigh(matrix)
        low = (directions[:, -rank:] * values[-rank:]) @ directions[:, -rank:].T
        matrix = np.where(known, given, low)
    return float(spearmanr(low[rest[:, 0], rest[:, 1]], real[rest[:, 0], rest[:, 1]]).statistic)
