"""The process is what its formula says, a supermartingale under its condition, and quick when the condition fails."""

from math import exp, log

import numpy as np
import pytest

from prompts.evidence import BLOCK, CLIP, GAINS, Channel, Channels, Evidence

CHANNELS = Channels([Channel("a", 0.6, (0.1, 0.4)), Channel("b", 0.3, (0.05,))])
NEVER = 1e9


def by_hand(blocks: list[list[tuple[int, int, bool]]]) -> float:
    """E after whole blocks of (channel, stratum, hit), by the module's formula, a stake at a time."""
    stakes: dict[tuple[int, float], float] = {}
    for b, block in enumerate(blocks, 1):
        for place, channel in enumerate(CHANNELS.channels):
            for gain in GAINS:
                ratio = 1.0
                for which, stratum, hit in block:
                    if which == place:
                        honest = channel.rates[stratum]
                        raised = honest + (1 - honest) * gain
                        ratio *= raised / honest if hit else (1 - raised) / (1 - honest)
                stake = stakes.get((place, gain), 0.0) + channel.weight / (len(GAINS) * b * (b + 1))
                stakes[place, gain] = stake * min(ratio, exp(CLIP))
    held = 1 - sum(channel.weight for channel in CHANNELS.channels)
    return sum(stakes.values()) + (1 - held) / (len(blocks) + 1) + held


def codes(block: list[tuple[int, int, bool]]) -> list[int]:
    """Events as the process takes them."""
    return [CHANNELS.offsets[channel] + stratum + CHANNELS.size * hit for channel, stratum, hit in block]


def test_it_is_the_formula() -> None:
    rng = np.random.default_rng(3)
    evidence = Evidence(CHANNELS)
    blocks = []
    for _ in range(30):
        block = [(int(c), int(rng.integers(2)) if c == 0 else 0, bool(rng.random() < 0.3)) for c in (0, 1) * BLOCK]
        blocks.append(block)
        for prompt in range(BLOCK):
            evidence.update(codes(block[2 * prompt : 2 * prompt + 2]), NEVER)
        assert evidence.log10 == pytest.approx(np.log10(by_hand(blocks)), abs=1e-9)


def streams(rate: float, count: int, prompts: int, seed: int) -> list[Evidence]:
    """Processes fed with independent hits at one rate, in every channel at once: the worst dependence."""
    rng = np.random.default_rng(seed)
    rates = np.array([rate * 0.4, rate * 0.05])
    found = []
    for _ in range(count):
        evidence = Evidence(CHANNELS)
        for draw in rng.random(prompts):
            hits = draw < rates
            evidence.update(codes([(0, 1, bool(hits[0])), (1, 0, bool(hits[1]))]), 1.0)
        found.append(evidence)
    return found


def test_its_mean_does_not_exceed_one_under_the_condition() -> None:
    final = np.array([10**one.log10 for one in streams(1.0, 400, 50, 4)])
    assert final.mean() < 1 + 3 * final.std() / len(final) ** 0.5
    assert final.mean() > 0.5


def test_the_chance_of_ever_alarming_is_at_most_alpha_at_the_edge_of_the_condition() -> None:
    """At alpha = 0.1 over 300 prompts, hit rates just as granted, channels wholly dependent."""
    alarms = sum(one.flagged_after is not None for one in streams(1.0, 400, 300, 5))
    # 400 · 0.1 = 40 are allowed; three standard deviations above would be 58.
    assert alarms <= 58


def test_rates_above_the_granted_ones_are_flagged() -> None:
    flagged = [one.flagged_after for one in streams(2.2, 40, 300, 6)]
    assert sum(after is not None for after in flagged) >= 38


def test_a_long_honest_history_does_not_bury_a_later_attack() -> None:
    miss, hit = codes([(0, 0, False), (1, 0, False)]), codes([(0, 0, True), (1, 0, True)])
    fresh, late = Evidence(CHANNELS), Evidence(CHANNELS)
    for _ in range(1000):
        late.update(miss, 3.0)
    for _ in range(100):
        fresh.update(hit, 3.0)
        late.update(hit, 3.0)
    assert fresh.flagged_after is not None
    assert late.flagged_after is not None
    # One restart a block costs ln(b·(b + 1)) more: at ln 9 a block, 4 to 5 blocks after 100.
    assert late.flagged_after - 1000 - fresh.flagged_after <= 6 * BLOCK


def test_one_burst_is_worth_the_clip_a_block_and_no_more() -> None:
    evidence = Evidence(CHANNELS)
    for _ in range(3 * BLOCK):
        evidence.update(codes([(0, 0, True), (1, 0, True)]), NEVER)
    assert evidence.log10 <= 3 * CLIP / log(10)


def test_evidence_does_not_overflow() -> None:
    evidence = Evidence(CHANNELS)
    for _ in range(5000):
        evidence.update(codes([(0, 0, True), (1, 0, True)]), 3.0)
    assert np.isfinite(evidence.log10)
    assert evidence.peak == pytest.approx(evidence.log10, abs=3)
    assert all(np.isfinite(list(evidence.by_channel().values())))


def test_each_channels_own_evidence_is_told() -> None:
    evidence = Evidence(CHANNELS)
    for _ in range(60):
        evidence.update(codes([(0, 0, True), (1, 0, False)]), 3.0)
    assert evidence.by_channel()["a"] > 2 > 0 > evidence.by_channel()["b"]


@pytest.mark.parametrize("channel", [("x", 0.5, (0.0,)), ("x", 0.5, (1.0,)), ("x", 0.0, (0.5,)), ("x", 0.5, ())])
def test_rates_and_weights_that_make_no_bet_are_refused(channel: tuple[str, float, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="channel x"):
        Channel(*channel)


def test_more_than_the_whole_is_not_staked() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        Channels([Channel("a", 0.6, (0.1,)), Channel("b", 0.5, (0.1,))])
