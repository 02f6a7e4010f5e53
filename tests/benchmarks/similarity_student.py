"""What scores of texts that are known teach: a student of the encoder, and the whole geometry by pairs."""

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer

from similarity.disclosure import Candidate, Question, Spent, disclosed, pair_score
from similarity.setting import Disclosure
from similarity.vectors import Vectors, digest
from tests.benchmarks.report import Report, Row
from tests.benchmarks.texts import Absent, Model, banking

KEY = b"k" * 32
ITEMS, QUESTIONS, HELD = 1000, 1500, 100
CREDITS = (1_000, 5_000, 15_000)
WIDTH, EPOCHS, BATCH = 64, 12, 500
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
    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), max_features=6000, sublinear_tf=True)
    sparse = features.fit_transform(texts[: ITEMS + QUESTIONS + HELD])
    rows: list[Row] = [{"credits": 0, "exact": agreement(sparse, None, vectors), "buckets": None}]
    rows[0] = {**rows[0], "buckets": rows[0]["exact"]}
    for credits in CREDITS:
        by_kind = {}
        for kind in ("exact", "buckets"):
            left, right, scores = told(vectors, credits, exact=kind == "exact")
            by_kind[kind] = agreement(sparse, trained(sparse, left, right, scores), vectors)
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


def trained(sparse: csr_matrix, left: np.ndarray, right: np.ndarray, scores: np.ndarray) -> torch.Tensor:
    """[features, width]: a projection under which texts score as they were told, and in the order told."""
    torch.manual_seed(1)
    weights = (torch.randn(sparse.shape[1], WIDTH) / WIDTH**0.5).requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=0.003)
    target, random = torch.from_numpy(scores), np.random.default_rng(1)
    for _ in range(EPOCHS):
        for start in random.permutation(np.arange(0, len(left), BATCH)):
            some = slice(start, start + BATCH)
            likeness = (projected(sparse[left[some]], weights) * projected(sparse[right[some]], weights)).sum(1)
            loss = ((likeness - target[some]) ** 2).mean()
            # Rows of one answer follow each other: the order is exact whatever the scores say.
            same = torch.from_numpy(left[some][1:] == left[some][:-1])
            loss = loss + 0.1 * torch.nn.functional.softplus(20 * (likeness[1:] - likeness[:-1]))[same].mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return weights.detach()


def projected(sparse: csr_matrix, weights: torch.Tensor) -> torch.Tensor:
    """[n, width] of norm 1."""
    coo = sparse.tocoo()
    indices = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    values = torch.from_numpy(coo.data.astype(np.float32))
    matrix = torch.sparse_coo_tensor(indices, values, coo.shape, check_invariants=False)
    return torch.nn.functional.normalize(torch.sparse.mm(matrix, weights), dim=1)


def agreement(sparse: csr_matrix, weights: torch.Tensor | None, vectors: Vectors) -> float:
    """Rank correlation of the student's likeness of held-out questions to items with the encoder's; None: it knows
    only which letters two texts share."""
    held = slice(ITEMS + QUESTIONS, ITEMS + QUESTIONS + HELD)
    real = vectors[held] @ vectors[:ITEMS].T
    if weights is None:
        mine = (sparse[held] @ sparse[:ITEMS].T).toarray()
    else:
        mine = (projected(sparse[held], weights) @ projected(sparse[:ITEMS], weights).T).numpy()
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
