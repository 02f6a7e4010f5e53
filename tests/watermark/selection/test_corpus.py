"""z over a corpus: its closed form for picked text, its null for any other."""

import numpy as np
import pytest
from scipy import integrate, stats

from watermark.selection.corpus import picked
from watermark.selection.pick import pick

KEYS = np.array([3, 4, 5], np.uint64)


def text(generator: np.random.Generator, words: int = 40) -> str:
    # Short texts and long ones, over a vocabulary in which phrases hardly come back.
    return " ".join(f"w{word}" for word in generator.integers(0, 3_000, words))


def moments(m: int) -> tuple[float, float]:
    """The mean and the variance of the largest of m standard normals, by quadrature."""
    first, second = (
        integrate.quad(lambda x, power=power: x**power * m * stats.norm.pdf(x) * stats.norm.cdf(x) ** (m - 1), -9, 9)[0]
        for power in (1, 2)
    )
    return first, second - first**2


@pytest.mark.parametrize(("m", "known"), [(2, 0.564), (4, 1.029), (8, 1.424)])
def test_picked_text_scores_what_the_closed_form_says(m: int, known: float):
    generator, count = np.random.default_rng(m), 250
    corpus = []
    for _ in range(count):
        candidates = [text(generator, int(generator.integers(8, 60))) for _ in range(m)]
        corpus.append(candidates[pick(3, candidates, generator)])
    mean, variance = moments(m)
    assert mean == pytest.approx(known, abs=1e-3)
    found = picked(corpus, KEYS)
    assert abs(found.z[0] - np.sqrt(count) * mean) < 4 * np.sqrt(variance)
    assert np.abs(found.z[1:]).max() < 4
    assert found.log_p[0] == pytest.approx(stats.norm.logsf(found.z[0]))


def test_a_tenth_of_the_answers_is_seen_in_a_large_corpus_and_none_is_in_an_innocent_one():
    generator = np.random.default_rng(9)
    corpus = []
    for place in range(3000):
        candidates = [text(generator, 25), text(generator, 25)]
        corpus.append(candidates[pick(3, candidates, generator) if place % 10 == 0 else 0])
    expected = 0.1 * np.sqrt(3000) * moments(2)[0]
    assert abs(picked(corpus, KEYS).z[0] - expected) < 4
    innocent = picked((text(generator) for _ in range(300)), np.arange(400, dtype=np.uint64))
    assert stats.kstest(innocent.z, "norm").pvalue > 1e-3


def test_what_is_said_again_and_again_counts_once():
    generator = np.random.default_rng(10)
    again = text(generator)
    keys = np.arange(300, dtype=np.uint64)
    found = picked([again] * 200, keys)
    assert (found.documents, found.scored) == (200, 1)
    assert stats.kstest(found.z, "norm").pvalue > 1e-3
    # Were each document scored by itself, the same score would add up.
    assert np.abs(found.z * np.sqrt(200)).max() > 10


def test_nothing_to_score_proves_nothing():
    found = picked(["too short", ""], KEYS)
    assert (found.documents, found.scored, found.log_p.tolist()) == (2, 0, [0, 0, 0])
