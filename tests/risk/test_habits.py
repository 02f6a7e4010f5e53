"""What a key's prompts have in common besides their words: shown, and no part of the decision."""

import random

import pytest
from msgspec.structs import replace

from llmguard.risk.habits import DAY_S, FEWEST, GRANTED, KEPT, OTHERS, Habits, Usual
from llmguard.risk.meanwhile import Answer
from llmguard.risk.report import Signal
from llmguard.risk.sight import Sight

ONE = Sight(0.0, "k", "u", "t", "p", "", b"\x00\x01" * 30)


def signals(*sights: Sight) -> dict[str, Signal]:
    """Those of a key."""
    habits = Habits()
    for sight in sights:
        habits.note(sight)
    return dict(habits.signals({}))


def test_a_clockwork_is_seen() -> None:
    found = signals(*(replace(ONE, at=2.0 * place) for place in range(60)))
    assert found["arrival_regularity"].p < 1e-6
    assert found["length_regularity"].p < 1e-6
    assert found["parameter_sweep"].p == 1.0
    assert found["arrival_regularity"].window == KEPT


def test_a_sweep_of_parameters_is_seen() -> None:
    found = signals(*(replace(ONE, at=float(place), parameters=place) for place in range(60)))
    assert found["parameter_sweep"].p < 1e-6


def test_probes_are_named() -> None:
    found = signals(*(replace(ONE, at=float(place), most=1, logprobs=True, biased=True) for place in range(30)))
    assert {"probe_bias_and_logprobs", "probe_single_tokens"} <= set(found)


def test_a_few_prompts_tell_nothing() -> None:
    assert signals(*(replace(ONE, at=float(place)) for place in range(FEWEST - 1))) == {}


def daily(*tokens: int) -> float:
    """The p of the last of some days, each of that many tokens asked for in 30 prompts."""
    habits = Habits()
    for day, spent in enumerate(tokens, 20_000):
        for place in range(30):
            habits.note(replace(ONE, at=DAY_S * day + place, ids=b"", most=spent // 30))
    return dict(habits.signals({}))["spend_velocity"].p


def test_a_jump_in_spending_is_seen_and_cannot_be_trained_away() -> None:
    granted = int(GRANTED)
    assert daily(granted) == pytest.approx(1, abs=1e-3)
    assert daily(granted, 20 * granted) == pytest.approx(0.05, rel=1e-3)
    assert daily(*[2 * granted] * 7, 40 * granted) == pytest.approx(1.1**7 / 40, rel=1e-3)
    assert daily(0, 0, granted // 2) == 1.0


def test_who_comes_back_at_once_is_seen_and_who_waits_longer_is_not() -> None:
    assert signals(replace(ONE, waits=((10.0, 0.1),) * 12))["retries"].p < 1e-3
    assert signals(replace(ONE, waits=((10.0, 10.05),) * 12))["retries"].p < 1e-3
    source = random.Random(1)
    assert signals(replace(ONE, waits=tuple((10.0, 10.3 + 20 * source.random()) for _ in range(12))))["retries"].p > 0.5
    assert "retries" not in signals(replace(ONE, waits=((10.0, 0.1),) * 4))


def classified(own: list[Answer], others: list[Answer]) -> dict[str, Signal]:
    """The signals of a key that was answered so, beside others."""
    habits, usual = Habits(), {"c": Usual()}
    habits.note(replace(ONE, answers=tuple(own)))
    for _, label, margin in [*own, *others]:
        usual["c"].note(label, margin)
    return dict(habits.signals(usual))


def test_a_sweep_of_classes_and_a_hunt_for_boundaries_are_seen_beside_what_is_usual() -> None:
    source, weights = random.Random(2), [8, 4, 2, 1, 1]

    def honest(count: int) -> list[Answer]:
        labels = source.choices(range(5), weights, k=count)
        return [("c", label, 0.05 if source.random() < 0.2 else 0.6) for label in labels]

    swept: list[Answer] = [("c", place % 5, 0.6) for place in range(100)]
    hunting: list[Answer] = [("c", label, 0.05) for _, label, _ in honest(100)]
    others = honest(2000)
    assert classified(swept, others)["class_balance"].p < 1e-6
    assert classified(hunting, others)["class_boundary"].p < 1e-6
    found = [classified(honest(100), others) for _ in range(20)]
    assert min(one["class_boundary"].p for one in found) > 0.01
    assert sum(one["class_balance"].p < 0.05 for one in found) <= 5
    # A key that asks more than all others together is not measured by itself.
    assert classified(swept, others[: OTHERS * 100 - 1]) == {}
