"""Diversity is low for templates and high for random words, by its closed forms."""

import numpy as np
import pytest

from prompts.signals.diversity import coverage, effective


def test_the_effective_number_has_its_closed_forms() -> None:
    same, unlike = np.tile(np.eye(1, 16), (10, 1)).astype(np.float32), np.eye(10, 16).astype(np.float32)
    assert effective(same) == pytest.approx(1)
    assert effective(unlike) == pytest.approx(10)
    assert effective(np.repeat(unlike, 40, axis=0)) == pytest.approx(10)
    assert effective(np.zeros((0, 4), np.float32)) == 0


def test_it_is_the_order_two_entropy_of_the_kernels_eigenvalues() -> None:
    vectors = np.random.default_rng(13).normal(size=(12, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    values = np.linalg.eigvalsh((vectors @ vectors.T).astype(np.float64) / 12)
    assert effective(vectors) == pytest.approx(1 / (values**2).sum(), rel=1e-5)


def test_uniform_directions_reach_as_many_buckets_as_chance() -> None:
    rng = np.random.default_rng(14)
    found = [coverage(rng.normal(size=(200, 32)).astype(np.float32)) for _ in range(50)]
    assert np.mean(found) == pytest.approx(1, abs=0.02)
    assert coverage(np.ones((50, 32), np.float32)) < 0.03
