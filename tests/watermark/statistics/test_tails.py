import mpmath
import numpy as np
import pytest
from scipy import stats

from watermark.statistics.tails import (
    log_binomial_tail,
    log_gamma_tail,
    log_normal_tail,
    log_weighted_gamma_tail,
)


@pytest.mark.parametrize(("count", "total"), [(1, 0.5), (10, 12), (100, 400), (30, 3000), (1000, 5000)])
def test_gamma_tail_where_doubles_underflow_and_where_not(count: int, total: float):
    exact = mpmath.log(mpmath.gammainc(count, total, regularized=True))
    assert float(log_gamma_tail(count, total)) == pytest.approx(float(exact), rel=1e-11)


@pytest.mark.parametrize(("count", "hits"), [(68, 21), (200, 190), (1000, 700), (5000, 5000), (3000, 0)])
def test_binomial_tail_is_the_sum_of_its_terms(count: int, hits: int):
    with mpmath.workdps(50):
        share = mpmath.mpf(1) / 4
        exact = mpmath.fsum(
            mpmath.binomial(count, hit) * share**hit * (1 - share) ** (count - hit) for hit in range(hits, count + 1)
        )
        assert float(log_binomial_tail(count, hits, 0.25)) == pytest.approx(float(mpmath.log(exact)), rel=1e-10)


def test_normal_tail_far_out():
    assert log_normal_tail([0.0, 1.96]) == pytest.approx(stats.norm.logsf([0.0, 1.96]))
    assert float(log_normal_tail(60.0)) == pytest.approx(
        float(mpmath.log(mpmath.erfc(60 / mpmath.sqrt(2)) / 2)), rel=1e-9
    )


@pytest.mark.parametrize(("count", "mean"), [(2, 1.5), (5, 6.0), (30, 1.0), (100, 1.5), (100, 2.5)])
def test_weighted_gamma_tail_is_the_integral(count: int, mean: float):
    def integrand(b):
        rest = (count * mean - 0.1 * b) / 0.9
        density = mpmath.exp((count - 1) * mpmath.log(b) - b - mpmath.loggamma(count))
        return density * mpmath.gammainc(count, max(0, rest), regularized=True)

    exact = mpmath.log(mpmath.quad(integrand, [count * step / 8 for step in range(17)] + [4 * count, mpmath.inf]))
    assert float(log_weighted_gamma_tail(count, count * mean, 0.1)) == pytest.approx(float(exact), rel=1e-7)


def test_the_usual_stand_in_for_the_weighted_sum_promises_too_much():
    """A gamma of the same mean and variance: at 100 tokens it is 1.26 times too small at 1e-6, 17 times at 1e-31."""
    spread = 0.1**2 + 0.9**2
    for total, factor in ((150.0, 1.2), (250.0, 15.0)):
        stand_in = log_gamma_tail(100 / spread, total / spread)
        assert log_weighted_gamma_tail(100, total, 0.1) - stand_in > np.log(factor)


def test_nothing_scored_proves_nothing():
    assert log_gamma_tail(0, 0) == log_binomial_tail(0, 0, 0.25) == log_weighted_gamma_tail(0, 0, 0.1) == 0
