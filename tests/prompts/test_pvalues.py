"""P-values are those of their distributions; e-values have a mean of at most one."""

import numpy as np
import pytest
from scipy import stats

from prompts.pvalues import at_least, at_most, conformal, mean, to_e, two_sided


@pytest.mark.parametrize(
    ("hits", "trials", "rate"), [(0, 10, 0.3), (3, 10, 0.3), (10, 10, 0.3), (40, 200, 0.1), (5, 5, 1.0), (1, 5, 0.0)]
)
def test_tails_are_those_of_the_binomial(hits: int, trials: int, rate: float) -> None:
    assert at_least(hits, trials, rate) == pytest.approx(stats.binom.sf(hits - 1, trials, rate), abs=1e-12)
    assert at_most(hits, trials, rate) == pytest.approx(stats.binom.cdf(hits, trials, rate), abs=1e-12)


def test_conformal_p_values_are_valid_on_both_sides() -> None:
    rng = np.random.default_rng(12)
    found = np.array([conformal(float(rng.normal()), sorted(rng.normal(size=99))) for _ in range(4000)])
    for level in (0.02, 0.1, 0.3):
        share = float((found <= level + 1e-12).mean())
        assert share == pytest.approx(level, abs=4 * (level * (1 - level) / 4000) ** 0.5)
    assert conformal(99.0, sorted(rng.normal(size=99))) == conformal(-99.0, sorted(rng.normal(size=99))) == 0.02


def test_ties_are_no_evidence() -> None:
    assert conformal(0.0, [0.0] * 50) == 1.0


def test_the_calibrators_mean_is_one() -> None:
    grid = (np.arange(200_000) + 0.5) / 200_000
    assert np.mean([to_e(float(p)) for p in grid]) == pytest.approx(1, abs=2e-3)


def test_combining() -> None:
    assert mean([]) == 1.0
    assert mean([1.0, 3.0]) == 2.0
    assert two_sided(0.01, 0.99) == 0.02
    assert two_sided(0.7, 0.6) == 1.0
