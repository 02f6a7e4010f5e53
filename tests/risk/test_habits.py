"""What a key's prompts have in common besides their words: shown, and no part of the decision."""

from msgspec.structs import replace

from llmguard.risk.habits import FEWEST, KEPT, Habits
from llmguard.risk.report import Signal
from llmguard.risk.sight import Sight

ONE = Sight(0.0, "k", "u", "t", "p", "", b"\x00\x01" * 30)


def signals(*sights: Sight) -> dict[str, Signal]:
    """Those of a key."""
    habits = Habits()
    for sight in sights:
        habits.note(sight)
    return dict(habits.signals())


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
