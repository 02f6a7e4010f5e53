"""The exact nearest of an array of vectors, and rows as ids."""

import faiss
import numpy as np
from numpy.typing import NDArray

from similarity.index.index import Found
from similarity.index.threads import one_thread
from similarity.vectors import Ids, Vectors


def nearest(questions: Vectors, vectors: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The rows [n, k] of the exact nearest vectors and their inner products [n, k]; fewer columns where k is more."""
    k = min(k, len(vectors))
    if k == 0 or len(questions) == 0:
        return np.empty((len(questions), 0), np.int64), np.empty((len(questions), 0), np.float32)
    one_thread()
    scores, rows = faiss.knn(questions, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    return rows, scores


def filled(ids: Ids, rows: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> Found:
    """Rows as ids, filled up to k columns with id -1; a row of -1 is nothing found."""
    missing = k - rows.shape[1]
    known = np.where(rows >= 0, ids[np.maximum(rows, 0)], -1) if len(ids) else np.full(rows.shape, -1, np.int64)
    return Found(
        np.pad(known, ((0, 0), (0, missing)), constant_values=-1),
        np.pad(np.where(rows >= 0, scores, -np.inf), ((0, 0), (0, missing)), constant_values=-np.inf).astype(
            np.float32
        ),
    )
