"""Which tokens of an answer are marked, and that drawing by true chance is a fair draw."""

import numpy as np
import torch
from scipy import stats

from watermark.engines.answers import LEAD_NATS, Answer, leave_one
from watermark.engines.gumbel import Warping


def answer(lead: float = 0.0, key: int = 5) -> Answer:
    return Answer(key, 4, Warping(), np.random.default_rng(1), lead)


def test_a_context_marks_once_and_short_or_unknown_ones_never():
    one = answer()
    assert one.state([1, 2, 3]) is None
    assert one.state([1, 2, -1, 3]) is None
    assert one.state([1, 2, 3, 4]) is not None
    assert one.state([1, 2, 3, 4]) is None
    assert one.state([9, 1, 2, 3, 5]) is not None


def test_nothing_is_marked_before_the_lead_is_taken():
    one = answer(LEAD_NATS)
    assert one.state([1, 2, 3, 4]) is None
    logits = torch.zeros(1, 1000)
    leave_one(logits, [0], [one], [[1, 2, 3, 4]])
    assert one.surprise == np.float64(np.log(1000)).round(6) or abs(one.surprise - np.log(1000)) < 1e-6
    leave_one(torch.zeros(1, 1000), [0], [one], [[1, 2, 3, 4]])
    assert one.state([1, 2, 3, 4]) is not None


def test_unmarked_draws_are_fair():
    torch.manual_seed(4)
    weights = torch.tensor([0.5, 0.25, 0.125, 0.125])
    rows = 4000
    logits = torch.log(weights).repeat(rows, 1)
    left = leave_one(logits, range(rows), [answer() for _ in range(rows)], [[]] * rows)
    counts = torch.bincount(left.argmax(dim=-1), minlength=4).numpy()
    assert stats.chisquare(counts, weights.numpy() * rows).pvalue > 1e-4


def test_rows_that_are_not_named_stay_as_they_are():
    logits = torch.randn(3, 50)
    found = leave_one(logits.clone(), [1], [answer()], [[1, 2, 3, 4]])
    assert torch.equal(found[[0, 2]], logits[[0, 2]])
    assert torch.isfinite(found[1]).sum() == 1
    assert leave_one(logits, [], [], []) is logits
