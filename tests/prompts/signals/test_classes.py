"""Too even and too odd a spread of labels are both told; p-values are those of the chi-squared."""

import numpy as np
import pytest
from scipy import stats

from prompts.signals.classes import balance, boundary

SHARES = {f"c{i}": float(i + 1) for i in range(8)}


@pytest.mark.parametrize(
    "counts", [(5, 9, 14, 20, 25, 33, 34, 41), (9, 9, 9, 30, 30, 30, 30, 30), (1, 2, 3, 40, 50, 6, 7, 80)]
)
def test_it_is_the_chi_squared_of_an_independent_library(counts: tuple[int, ...]) -> None:
    labels = [label for label, count in zip(SHARES, counts, strict=True) for _ in range(count)]
    expected = np.array(list(SHARES.values())) * sum(counts) / 36
    p = stats.chisquare(counts, expected).pvalue
    assert balance(labels, SHARES) == pytest.approx(min(1, 2 * min(p, 1 - p)), abs=0.004)


def test_a_perfect_fit_is_odd_too() -> None:
    labels = [label for label in SHARES for _ in range(int(SHARES[label]) * 20)]
    assert balance(labels, SHARES) < 1e-3


def test_random_labels_are_not_flagged_more_often_than_stated() -> None:
    rng = np.random.default_rng(22)
    shares = np.array(list(SHARES.values())) / 36
    found = [balance(rng.choice(list(SHARES), 200, p=shares).tolist(), SHARES) for _ in range(600)]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 600) ** 0.5)


def test_a_hunt_for_the_boundary_is_told() -> None:
    assert boundary([0.05] * 30 + [0.9] * 20, 0.1) < 1e-10
    assert boundary([0.5] * 50, 0.1) == 1.0
    assert balance([], SHARES) == balance(["other"], SHARES) == 1.0
