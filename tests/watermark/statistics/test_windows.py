import numpy as np
import pytest

from watermark.statistics.tails import log_gamma_tail
from watermark.statistics.windows import BEST, SEVERAL, WHOLE, search


def test_a_short_text_is_looked_at_once():
    """And pays nothing, up to twice the shortest window; a longer one that is marked throughout pays a tenth."""
    for size in (50, 100):
        found = search(np.ones(size), log_gamma_tail, np.log(1e-6))
        assert found.log_p == pytest.approx(float(log_gamma_tail(size, size)))
        assert found.windows == ()
    longer = search(np.full(101, 1.6), log_gamma_tail, np.log(1e-6))
    assert longer.log_p == pytest.approx(float(log_gamma_tail(101, 101 * 1.6)) - np.log(0.9))


def test_the_best_window_pays_for_all():
    terms = np.random.default_rng(0).exponential(size=400)
    terms[100:200] += 2
    found = search(terms, log_gamma_tail, np.log(1e-6))
    windows = 15 + 7 + 3  # of 50, 100 and 200
    best = float(log_gamma_tail(100, terms[100:200].sum()))
    assert found.log_p == pytest.approx(np.log(20) + np.log(windows) + best)
    assert [(window.start, window.end) for window in found.windows] == [(100, 200)]


def test_several_weak_spans_add_up():
    terms = np.random.default_rng(1).exponential(size=3000)
    for start in (500, 1500, 2500):
        terms[start : start + 100] += 0.8
    together = search(terms, log_gamma_tail, np.log(1e-3)).log_p
    terms[1500:1600] -= 0.8
    terms[2500:2600] -= 0.8
    assert together < search(terms, log_gamma_tail, np.log(1e-3)).log_p - 5


def test_over_unmarked_terms_the_p_value_holds_its_level():
    """Each look may spend its share and no more, and the three together the whole of it."""
    assert sum((WHOLE, BEST, SEVERAL)) == pytest.approx(1)
    generator = np.random.default_rng(2)
    found = np.exp([search(generator.exponential(size=500), log_gamma_tail, -7.0).log_p for _ in range(1000)])
    assert np.count_nonzero(found <= 0.05) <= 70
    assert np.count_nonzero(found <= 0.001) <= 5
