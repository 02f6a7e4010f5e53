"""Against scipy's own distribution, and by what it says of true sums."""

import numpy as np
import pytest
from scipy import stats

from watermark.selection.irwin_hall import EXACT, lower, scores


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12, 20])
def test_the_exact_sum_is_scipys(count: int):
    sums = np.linspace(0.01, count / 2, 40)
    np.testing.assert_allclose(lower(sums, count), stats.irwinhall(count).cdf(sums), rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("count", [EXACT + 1, EXACT + 6])
def test_the_expansion_that_takes_over_is_right_to_a_millionth(count: int):
    sums = np.linspace(0, count / 2, 40)
    np.testing.assert_allclose(lower(sums, count), stats.irwinhall(count).cdf(sums), rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [25, 60, 400])
def test_scores_of_true_sums_are_standard_normal(count: int):
    sums = np.random.default_rng(count).random((8_000, count)).sum(axis=1)
    assert stats.kstest(scores(sums, count), "norm").pvalue > 1e-3


def test_a_score_and_its_mirror_image_cancel_exactly():
    sums = np.array([0.3, 1.1, 4.9])
    assert scores(sums, 10) == pytest.approx(-scores(10 - sums, 10), abs=1e-12)
    assert np.isfinite(scores(np.array([0.0, 10.0]), 10)).all()
