"""The discrepancy is unbiased, is what its double sums say, and sees a shift."""

import numpy as np
import pytest

from prompts.signals.divergence import BANDWIDTHS, mmd


def units(
    rng: np.random.Generator, count: int, shift: float = 0.0
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Unit vectors of 8 dimensions, moved along the first."""
    found = rng.normal(size=(count, 8)) + shift * np.eye(1, 8)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_it_is_what_the_double_sums_say() -> None:
    rng = np.random.default_rng(15)
    x, y = units(rng, 5), units(rng, 7, 1.0)
    both = np.concatenate([x, y])
    pairs = [float(((a - b) ** 2).sum()) for i, a in enumerate(both) for b in both[i + 1 :]]
    scale = float(np.median(pairs))

    def kernel(a: np.ndarray, b: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(np.mean([np.exp(-((a - b) ** 2).sum() / (w * scale)) for w in BANDWIDTHS]))

    expected = sum(kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / 20
    expected += sum(kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / 42
    expected -= 2 * sum(kernel(a, b) for a in x for b in y) / 35
    assert mmd(x, y) == pytest.approx(expected, abs=1e-6)


def test_its_mean_is_zero_for_one_source_and_a_shift_stands_out() -> None:
    rng = np.random.default_rng(16)
    null = [mmd(units(rng, 20), units(rng, 30)) for _ in range(200)]
    assert abs(np.mean(null)) < 4 * np.std(null) / 200**0.5
    assert min(mmd(units(rng, 20, 4.0), units(rng, 30)) for _ in range(20)) > np.quantile(null, 0.99)


def test_one_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="two vectors"):
        mmd(np.ones((1, 4), np.float32), np.ones((5, 4), np.float32))
