import numpy as np
import pytest

from watermark.statistics.calibration import false_positives, screened, uniformity

UNIFORM = np.random.default_rng(0).random(2000)


def test_uniform_p_values_pass_and_others_do_not():
    assert screened(UNIFORM)
    assert not screened(UNIFORM**1.2)
    assert not screened(np.repeat(UNIFORM[:40] ** 2, 20))


def test_uniformity_is_the_largest_gap_of_the_distribution():
    """Kolmogorov's limit law: P(√n D > 1.628) = 1 % for many texts."""
    places = (np.arange(10_000) + 0.5) / 10_000
    shifted = np.minimum(places + 1.628 / 100, 1.0)
    assert uniformity(shifted) == pytest.approx(0.01, rel=0.1)


def test_a_rate_comes_with_its_exact_interval():
    (rate,) = false_positives(np.concatenate([np.zeros(5), np.ones(95)]), [0.01])
    assert (rate.found, rate.texts) == (5, 100)
    # Clopper and Pearson's interval for 5 of 100 at 99 %.
    assert (rate.low, rate.high) == (pytest.approx(0.0110, abs=5e-4), pytest.approx(0.1350, abs=2e-3))
    assert not rate.honest
    assert false_positives(UNIFORM, [0.1])[0].honest
