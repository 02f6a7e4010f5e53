"""Rates follow the worst honest session and its margin, and never fall below their floors."""

import numpy as np
import pytest

from prompts.calibration import FLOORS, HIGHEST, MARGIN, SHRUNK, calibrated, channels
from prompts.evidence import Channels

OF = Channels(channels())
NOVELTY = next(place for place, channel in enumerate(OF.channels) if channel.name == "novelty")


def session(hits: int, misses: int, place: int) -> list[int]:
    """The events of a session that only one stratum scored."""
    return [place + OF.size] * hits + [place] * misses


def test_the_weights_are_the_whole_stake() -> None:
    assert sum(channel.weight for channel in OF.channels) == pytest.approx(1)


def test_without_sessions_there_are_the_floors() -> None:
    found = {channel.name: channel.rates for channel in calibrated(OF, []).channels}
    assert found["novelty"] == FLOORS["novelty"]
    assert found["affix_80_3_20"] == FLOORS["affix"]
    assert found["affix_60_3_0"] == FLOORS["affix_60_3_0"]


def test_no_shipped_rate_is_below_its_floor() -> None:
    for shipped, least in zip(OF.channels, calibrated(OF, []).channels, strict=True):
        assert np.all(np.array(shipped.rates) >= np.array(least.rates)), shipped.name


def test_the_worst_session_counts_and_not_the_mean() -> None:
    place = OF.offsets[NOVELTY] + 3
    sessions = [session(90, 210, place), *(session(0, 500, place) for _ in range(50))]
    found = calibrated(OF, sessions).channels[NOVELTY].rates
    assert found[3] == pytest.approx(MARGIN * 90 / (300 + SHRUNK))
    assert found[:3] == FLOORS["novelty"][:3]


def test_few_prompts_say_little_and_no_rate_is_a_certainty() -> None:
    place = OF.offsets[NOVELTY] + 3
    assert calibrated(OF, [session(2, 0, place)]).channels[NOVELTY].rates[3] == pytest.approx(MARGIN * 2 / 42)
    assert calibrated(OF, [session(5000, 0, place)]).channels[NOVELTY].rates[3] == HIGHEST


def test_shared_words_of_short_prompts_are_no_evidence() -> None:
    """A command in a hundred wordings shares its words in nearly every prompt, and is honest."""
    shared = [
        (channel, rates)
        for channel, rates in zip(OF.channels, calibrated(OF, []).channels, strict=True)
        if channel.name.startswith(("affix", "span"))
    ]
    assert len(shared) == 11
    for shipped, least in shared:
        assert shipped.rates[0] == least.rates[0] == HIGHEST
        assert shipped.name.split("_")[1] not in {"25", "30", "40"} or least.rates[1] >= 0.5
