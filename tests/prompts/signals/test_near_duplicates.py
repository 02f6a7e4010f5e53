"""Shares and their growth."""

import pytest

from prompts.signals.near_duplicates import CLOSE, growth, share


@pytest.mark.parametrize(
    ("nearest", "expected", "grown"),
    [([], 0, 0), ([CLOSE], 1, 0), ([0.2, 0.9, 0.2, 0.1], 0.25, -0.5), ([0.1] * 10 + [0.99] * 10, 0.5, 1.0)],
)
def test_shares(nearest: list[float], expected: float, grown: float) -> None:
    assert share(nearest) == expected
    assert growth(nearest) == grown
