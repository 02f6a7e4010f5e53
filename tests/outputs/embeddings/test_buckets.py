"""Cells, against the closed form of how often two vectors share one (Datar et al. 2004, section 3.2)."""

import numpy as np
import pytest
from scipy.stats import norm

from llmguard.outputs.embeddings.buckets import HASHES, WIDTH, Buckets

SIZE, KEYS = 64, 400


def shared(distance: float) -> float:
    """The chance that one hash puts two points of this distance into one cell."""
    ratio = WIDTH / distance
    return float(1 - 2 * norm.cdf(-ratio) - 2 / (np.sqrt(2 * np.pi) * ratio) * (1 - np.exp(-(ratio**2) / 2)))


@pytest.mark.parametrize("cosine", [0.95, 0.85, 0.1])
def test_hashes_agree_as_often_as_they_should(cosine: float) -> None:
    first, second = np.zeros(SIZE, np.float32), np.zeros(SIZE, np.float32)
    first[0], second[0], second[1] = 1, cosine, np.sqrt(1 - cosine**2)
    pair = np.stack([first, second])
    agreed = []
    for number in range(KEYS):
        one, other = (np.frombuffer(cell, "<i2") for cell in Buckets(number.to_bytes(32, "big"), SIZE)(pair))
        agreed.append(one == other)
    expected = shared(float(np.sqrt(2 - 2 * cosine)))
    error = np.sqrt(expected * (1 - expected) / (KEYS * HASHES))
    assert float(np.mean(agreed)) == pytest.approx(expected, abs=4 * error)


def test_a_mean_that_all_vectors_share_leaves_them_in_many_cells() -> None:
    """As with models whose vectors lie in a narrow cone, where planes through the origin part nothing."""
    random = np.random.default_rng(2)
    rows = random.standard_normal((500, SIZE)) / np.sqrt(SIZE) + 1.5 * np.eye(SIZE)[0]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert len(set(Buckets(b"k" * 32, SIZE)(rows.astype(np.float32)))) > 8
