"""The benchmark of served marks, in miniature."""

import numpy as np
import pytest

from llmguard.upstreams.embedded.chat_model import ChatModel
from tests.benchmarks import watermark_served
from tests.benchmarks.watermark_texts import prompts


def test_prompts_are_distinct():
    assert len(set(prompts(136))) == 136


@pytest.fixture(autouse=True)
def _one_sampling(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watermark_served, "SAMPLINGS", {"T 0.8": watermark_served.NUCLEUS})


def test_marked_texts_are_found_and_as_good_as_others(model: ChatModel):
    found, quality = watermark_served.evidence(model, 3, (40,))
    (row,) = found.rows
    assert row["texts"] >= 2
    assert row["median_log10_p"] < -2
    assert [one["texts"] for one in quality.rows] == ["marked", "unmarked again"]
    assert all(abs(one["nats_a_token"]) < 1 for one in quality.rows)


def test_agreement_is_measured(model: ChatModel):
    report = watermark_served.agreement(model, 3, 2, ["What is the capital of France?"])
    assert [row["answers"] for row in report.rows] == ["unmarked", "unmarked again", "marked"]
    assert all(row["prefix"] >= 0 and row["prefix_half"] >= 0 for row in report.rows)


def test_agreement_is_what_is_counted_by_hand():
    row = watermark_served.agreeing([(1, 2, 3), (1, 2, 4), (1, 2, 3), (9, 9, 9)])
    assert row["exact"] == 1 / 6
    assert row["prefix"] == (2 + 3 + 2) / 6
    assert row["distinct_2"] == 4 / 8
    # Without each answer in turn: 3 kinds of 6, 4 or 3 of 6, 4 kinds of 6, 3 of 6.
    assert row["distinct_2_half"] == pytest.approx(1.96 * np.sqrt(3 * np.var(np.array([4, 3, 4, 3]) / 6)))


def test_the_cost_is_measured(model: ChatModel):
    report = watermark_served.pace(model, 0.0, 3)
    assert len(report.rows) == 1
    assert all(row["low"] <= row["cost_percent"] <= row["high"] for row in report.rows)
