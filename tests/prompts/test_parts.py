"""A member's part is what its formula says, a supermartingale whatever others do, and quick where it is one of them."""

from collections.abc import Iterable
from itertools import product
from math import log10, prod

import numpy as np
import pytest

from prompts.calibration import channels
from prompts.evidence import GAINS, Channel, Channels
from prompts.parts import FADE, Part, Parts
from prompts.scorer import SHARED, Taken
from prompts.window import Chain, Joined

CHANNELS = Channels([Channel("a", 0.6, (0.1, 0.4)), Channel("b", 0.3, (0.05,))])
IDS = np.zeros(1, np.uint16)

Event = tuple[int, int, bool]
"""Channel, stratum, hit."""


def prompt(events: Iterable[Event]) -> Taken:
    """A prompt of these events, as a window tells of it."""
    codes = [CHANNELS.offsets[channel] + stratum + CHANNELS.size * hit for channel, stratum, hit in events]
    return Taken(codes, Joined(Chain(0, 0, IDS, IDS), 1, 1.0, 1.0, (), 0))


def take(parts: Parts, part: Part, taken: Taken) -> None:
    """Bet on a member's prompt."""
    part.take(taken, taken, parts.bet(taken.events))


def ratio(events: Iterable[Event], place: int, gain: float) -> float:
    """F of one prompt at one channel and gain."""
    found = 1.0
    for channel, stratum, hit in events:
        if channel == place:
            honest = CHANNELS.channels[channel].rates[stratum]
            raised = honest + (1 - honest) * gain
            found *= raised / honest if hit else (1 - raised) / (1 - honest)
    return found


def by_hand(said: list[tuple[str, list[Event]]], name: str) -> float:
    """E of a member after a cluster's prompts, by the module's formula, from the whole past for every prompt."""
    factors = []
    for n, (_, events) in enumerate(said):
        stakes = {
            (place, gain): channel.weight
            / len(GAINS)
            * np.prod([ratio(said[k][1], place, gain) ** (FADE ** (n - 1 - k)) for k in range(n)])
            for place, channel in enumerate(CHANNELS.channels)
            for gain in GAINS
        }
        won = sum(stake * ratio(events, *at) for at, stake in stakes.items())
        factors.append(won / sum(stakes.values()))
    own = [factor for factor, (who, _) in zip(factors, said, strict=True) if who == name]
    starts = range(1, len(own) + 1)
    return float(sum(np.prod(own[m - 1 :]) / (m * (m + 1)) for m in starts) + 1 / (len(own) + 1))


def test_it_is_the_formula() -> None:
    rng = np.random.default_rng(3)
    parts, said = Parts(CHANNELS), []
    for name in rng.choice(["x", "y", "z"], 40):
        events = [(0, int(rng.integers(2)), bool(rng.random() < 0.3))]
        events += [(1, 0, bool(rng.random() < 0.2))] * bool(rng.random() < 0.7)
        said.append((str(name), events))
        part = parts.of.setdefault(str(name), Part())
        take(parts, part, prompt(events))
        assert part.log10 == pytest.approx(log10(by_hand(said, str(name))), abs=1e-9)


OUTCOMES = {  # of a prompt of an honest member at the edge of the condition, channels wholly dependent
    (True, True): 0.05,
    (True, False): 0.35,
    (False, False): 0.60,
}
ALWAYS = prompt([(0, 1, True), (1, 0, True)])


def amid(others: int, outcomes: Iterable[tuple[bool, bool]]) -> list[float]:
    """E of a member after each of its prompts, between which others hit every time."""
    parts, mine, theirs = Parts(CHANNELS), Part(), Part()
    path = []
    for first, second in outcomes:
        for _ in range(others):
            take(parts, theirs, ALWAYS)
        taken = prompt([(0, 1, first), (1, 0, second)])
        take(parts, mine, taken)
        path.append(10**mine.log10)
    return path


@pytest.mark.parametrize("others", [0, 1, 9])
def test_its_mean_is_one_at_the_edge_of_the_condition_whatever_the_others_do(others: int) -> None:
    """Exactly: over every course of five prompts."""
    courses = product(OUTCOMES, repeat=5)
    mean = sum(prod(OUTCOMES[one] for one in course) * amid(others, course)[-1] for course in courses)
    assert mean == pytest.approx(1)


@pytest.mark.parametrize("others", [1, 3])
def test_the_chance_that_an_honest_member_is_ever_convicted_is_bounded_at_the_edge(others: int) -> None:
    """At 1/10 over 50 prompts: of 300, 30 are allowed, and three standard deviations above are 46."""
    draws = np.random.default_rng(5).random((300, 50))
    assert sum(max(amid(others, [(one < 0.4, one < 0.05) for one in path])) >= 10 for path in draws.tolist()) <= 46


def test_where_others_hit_tells_a_member_sooner() -> None:
    """Six hits in a channel that has a twentieth of the stakes."""
    few = Channels([Channel("a", 0.95, (0.3,)), Channel("b", 0.05, (0.3,))])
    hit = Taken([few.offsets[1] + few.size], prompt([]).joined)
    alone, together, mine, one_of_many = Parts(few), Parts(few), Part(), Part()
    for _ in range(6):
        take(alone, mine, hit)
        for _ in range(5):
            take(together, Part(), hit)
        take(together, one_of_many, hit)
    assert one_of_many.log10 > mine.log10 + 1


def test_a_long_honest_history_does_not_bury_a_later_attack() -> None:
    miss, hit = prompt([(0, 0, False), (1, 0, False)]), prompt([(0, 0, True), (1, 0, True)])
    parts, two = Parts(CHANNELS), [Part(), Part()]
    for _ in range(1000):
        for part in two:
            take(parts, part, miss)
    for _ in range(15):
        for part in two:
            take(parts, part, hit)
    assert all(part.log10 > 3 for part in two)


def test_a_text_that_others_go_on_with_is_an_event_and_until_the_window_is_emptied() -> None:
    of = Channels(channels())
    parts, members, taken = Parts(of), [Part() for _ in range(4)], prompt([])
    assert of.channels[SHARED].name == "shared"

    def hits(part: Part, length: int) -> bool:
        told = parts.take(part, taken, taken, length)
        stratum = 0 if length < 12 else 1 if length < 24 else 2
        assert told.events[:-1] == taken.events
        assert told.events[-1] % of.size == of.offsets[SHARED] + stratum
        return told.events[-1] >= of.size

    lengths = (5, 15, 30, 60)
    found = [hits(part, length) for part, length in zip(members, lengths, strict=True)]
    assert found == [False, False, True, True]
    assert hits(members[0], 30)
    parts.leave()
    assert not hits(members[0], 30)


def test_it_does_not_overflow() -> None:
    parts, part, hit = Parts(CHANNELS), Part(), prompt([(0, 0, True), (1, 0, True)])
    for _ in range(3000):
        take(parts, part, hit)
    assert part.log10 == pytest.approx(250)
