"""A token that is forced, against the probability that the model leaves the others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmguard.decoding.bias import FORCING, FORCING_CUT, biased, forces
from tests.decoding.requests import chat


@pytest.mark.parametrize(
    ("bias", "temperature", "forced"),
    [
        ({"5": 100.0}, 1.0, True),
        ({"5": 20.0}, 1.0, True),
        ({"5": 19.0}, 1.0, False),
        ({"5": 6.0}, 0.3, True),
        ({"5": 100.0, "6": 79.0}, 1.0, True),
        ({"5": 100.0, "6": 100.0}, 1.0, False),
        ({"5": 100.0, "6": 90.0}, 1.0, False),
        ({"5": -100.0}, 1.0, False),
        ({}, 1.0, False),
    ],
)
def test_a_token_is_forced_that_leads_by_twenty_temperatures(
    bias: dict[str, float], temperature: float, forced: bool
) -> None:
    assert forces(bias, temperature, cut=False) is forced


@given(
    values=st.lists(st.floats(-100, 100), min_size=1, max_size=6),
    temperature=st.floats(0.3, 2),
    cut=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_where_none_is_forced_a_model_without_preferences_keeps_a_chance(
    values: list[float], temperature: float, cut: bool
) -> None:
    logits = np.array([*values, 0.0, 0.0]) / temperature
    likeliest = np.exp(logits - logits.max())
    odds = 1 / (likeliest.sum() - 1 + 1e-300)
    bound = np.exp(FORCING_CUT if cut else FORCING)
    if forces({str(i): value for i, value in enumerate(values)}, temperature, cut=cut):
        assert odds >= bound / (len(values) + 1) * 0.999
    else:
        assert odds <= bound * 1.001


def test_all_that_sets_tokens_apart_counts() -> None:
    request = chat(logit_bias={"1": 2.0, "2": -1.0}, allowed_token_ids=[2, 3], bad_words=["a"])
    assert biased(request) == {"1", "2", "3", "word:a"}
    assert biased(chat()) == frozenset()
