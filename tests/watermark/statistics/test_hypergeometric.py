import mpmath
import pytest

from watermark.statistics.hypergeometric import log_hypergeometric_tail


def test_hypergeometric_tail_is_the_sum_of_its_terms():
    population, good, draws, hits = 5000, 1250, 800, 500
    with mpmath.workdps(60):
        exact = mpmath.fsum(
            mpmath.binomial(good, hit) * mpmath.binomial(population - good, draws - hit)
            for hit in range(hits, draws + 1)
        ) / mpmath.binomial(population, draws)
        found = float(log_hypergeometric_tail(population, good, draws, hits))
        assert found == pytest.approx(float(mpmath.log(exact)), rel=1e-9)
