import numpy as np
import pytest

from watermark.statistics.multiplicity import decoy_rank, holm


def test_holm_on_the_textbook_example():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert np.exp(holm(np.log(p))) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_keeps_what_underflows_apart():
    assert holm(np.array([-5000.0, 0.0])) == pytest.approx([-5000 + np.log(2), 0.0])


def test_rank_among_decoys_counts_ties_against_the_key():
    assert decoy_rank(5.0, np.array([1.0, 5.0, 7.0])) == 3 / 4
    assert decoy_rank(9.0, np.zeros(999)) == 1 / 1000
