"""A secret turn: nothing is lost, everything is spread, and another key turns otherwise."""

import numpy as np
import pytest
from scipy import stats

from llmguard.outputs.embeddings.rotation import Rotation

KEY = b"k" * 32
SIZES = [2, 16, 97, 256, 384]


@pytest.mark.parametrize("size", SIZES)
def test_it_is_linear_orthogonal_and_can_be_turned_back(size: int) -> None:
    turn = Rotation(KEY, size)
    matrix = turn(np.eye(size, dtype=np.float32))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-5)
    rows = np.random.default_rng(1).standard_normal((5, size)).astype(np.float32)
    assert turn(rows).dtype == np.float32
    np.testing.assert_allclose(turn(rows), rows @ matrix, atol=1e-5)
    np.testing.assert_allclose(turn.back(turn(rows)), rows, atol=1e-5)


def test_no_axis_shows_in_what_is_told() -> None:
    """Each axis lands as a random direction would."""
    size = 384
    matrix = Rotation(KEY, size)(np.eye(size, dtype=np.float32)) * np.sqrt(size)
    assert stats.kstest(matrix.reshape(-1)[::37], "norm").pvalue > 0.001
    assert np.abs(matrix).max() < 6


def test_keys_turn_each_their_own_way() -> None:
    size = 384
    one, other = (Rotation(key, size)(np.eye(size, dtype=np.float32)) for key in (KEY, b"o" * 32))
    between = one.T @ other * np.sqrt(size)
    assert float(np.abs(between).max()) < 6
