"""Codes find near-duplicates as a plain comparison does, through additions, expiry and the laying of cells."""

import numpy as np
import pytest

from similarity.index.codes import DENSE, EXACT_TO, Codes
from similarity.vectors import Vectors

DIMENSIONS = 256
CLOSE = 0.85


def unit(rows: Vectors) -> Vectors:
    """Rows of norm 1."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def drawn(rng: np.random.Generator, count: int) -> Vectors:
    """Directions round a number of topics, as texts have."""
    topics = rng.normal(size=(40, DIMENSIONS))
    return unit(topics[rng.integers(0, 40, count)] + 2 * rng.normal(size=(count, DIMENSIONS)))


def near(rng: np.random.Generator, vectors: Vectors, cosine: float) -> Vectors:
    """One at about this cosine from each."""
    aside = unit(rng.normal(size=vectors.shape))
    return unit(cosine * vectors + (1 - cosine**2) ** 0.5 * aside)


@pytest.mark.parametrize(("laid", "dense"), [(False, DENSE), (True, DENSE), (True, EXACT_TO)])
def test_near_duplicates_are_found(laid: bool, dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by fewer cells, as they are laid and read beyond DENSE."""
    monkeypatch.setattr("similarity.index.codes.DENSE", dense)
    rng = np.random.default_rng(20)
    index, vectors = Codes(DIMENSIONS, 20_000), drawn(rng, 3 * EXACT_TO)
    for start in range(0, len(vectors), 256):
        index.add(vectors[start : start + 256])
        if laid and index.worn():
            index.lay()
    chosen = rng.integers(0, len(vectors), 500)
    questions = near(rng, vectors[chosen], 0.88)
    found = index.search(questions, 8)
    exact = questions @ vectors.T
    close = exact.max(axis=1) >= CLOSE
    right = found.ids[:, 0] == exact.argmax(axis=1)
    assert close.sum() > 300
    assert right[close].mean() >= 0.98
    assert found.scores[right, 0] == pytest.approx(exact.max(axis=1)[right], abs=0.01)


def test_the_window_is_bounded_whatever_it_is_laid_as() -> None:
    rng = np.random.default_rng(21)
    index, vectors = Codes(DIMENSIONS, 6400), drawn(rng, 20_000)
    for start in range(0, len(vectors), 50):
        index.add(vectors[start : start + 50])
        if start == 9000:
            assert index.worn()
            index.lay()
            assert not index.worn()
        assert len(index) <= 6400
    old, new = index.search(vectors[:100], 1), index.search(vectors[-100:], 1)
    assert old.scores.max() < CLOSE
    assert new.ids[:, 0].tolist() == list(range(19_900, 20_000))


def test_a_flat_window_forgets_too() -> None:
    rng = np.random.default_rng(22)
    index, vectors = Codes(DIMENSIONS, 640), drawn(rng, 2000)
    for start in range(0, len(vectors), 10):
        index.add(vectors[start : start + 10])
    assert 600 <= len(index) <= 640
    assert index.search(vectors[:50], 1).scores.max() < CLOSE
    assert index.search(vectors[-300:], 1).ids[:, 0].tolist() == list(range(1700, 2000))


def test_an_empty_one_finds_nothing() -> None:
    found = Codes(DIMENSIONS, 100).search(np.ones((2, DIMENSIONS), np.float32), 3)
    assert found.ids.tolist() == [[-1] * 3] * 2
    assert np.isneginf(found.scores).all()
