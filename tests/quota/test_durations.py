"""OpenAI's spelling of durations."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.quota.durations import spelled


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-1, "0s"),
        (0.0001, "1ms"),
        (0.012, "12ms"),
        (0.9991, "1s"),
        (1, "1s"),
        (3.45, "3.5s"),
        (59.99, "1m0s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (86_400, "24h0m0s"),
    ],
)
def test_examples(seconds: float, text: str) -> None:
    assert spelled(seconds) == text


@given(st.floats(min_value=0, max_value=1e7))
def test_it_is_never_too_short_and_hardly_too_long(seconds: float) -> None:
    """Read back, as a client would: who waits that long does not come too early."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?|(\d+)ms", spelled(seconds))
    assert found is not None
    hours, minutes, left, milliseconds = (float(part or 0) for part in found.groups())
    read = hours * 3600 + minutes * 60 + left + milliseconds / 1000
    assert seconds - 1e-9 <= read <= seconds + (0.1 if seconds >= 1 else 0.001) + 1e-9
