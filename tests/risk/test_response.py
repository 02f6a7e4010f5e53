"""The ladder: climbed by evidence, left by time, held by operators."""

from hypothesis import given
from hypothesis import strategies as st

from llmguard.risk.response import (
    CALM,
    COLD,
    COOL_S,
    HARDEST,
    MOST_DOUBLINGS,
    PINNED_S,
    Weighed,
    after,
    cooled_at,
    cooling_s,
    heat_at,
    reply,
    threshold,
)
from llmguard.risk.standing import NORMAL, Standing
from llmguard.settings_policies import Prompts, Response

LADDER: tuple[Response, ...] = ("throttle", "challenge", "degrade", "block")
NOW = 1_800_000_000.0

# A block is the last: the settings see to that.
ladders = st.lists(st.sampled_from(LADDER), unique=True, max_size=4).map(
    lambda some: (*sorted(some, key="block".__eq__),)
)
weighed = st.builds(Weighed, st.booleans(), st.floats(0, 400), st.floats(-5, 5))


def flagged(beyond: float, change: float = 0.0) -> Weighed:
    """Evidence so many decades beyond the alarm."""
    return Weighed(True, beyond, change)


def at(heat: float, strikes: int = 1) -> Standing:
    """A standing of now."""
    return Standing(heat=heat, at=NOW, strikes=strikes)


def test_who_is_not_flagged_meets_nothing() -> None:
    assert after(NORMAL, Weighed(False, -1.0, 0.5), LADDER, NOW) is NORMAL
    assert reply(NORMAL, LADDER, NOW) is CALM


def test_each_response_is_a_decade_further() -> None:
    states = [reply(at(heat), LADDER, NOW).state for heat in (0.0, 0.99, 1.0, 1.99, 2.0, 2.99, 3.0, 9.0)]
    assert states == ["throttled", "throttled", "challenged", "challenged", "degraded", "degraded", *["blocked"] * 2]


def test_responses_add_up() -> None:
    met = reply(at(3.5), LADDER, NOW)
    assert (met.weight, met.difficulty, met.degrade) == (2**8, HARDEST, True)
    assert met.left_s == 0.5 * COOL_S
    throttled = reply(at(0.6), LADDER, NOW)
    assert (throttled.weight, throttled.difficulty, throttled.degrade, throttled.left_s) == (4, None, False, None)
    alone = reply(at(9.0), ("throttle",), NOW)
    assert (alone.state, alone.weight) == ("throttled", 2**MOST_DOUBLINGS)
    assert reply(at(9.0), (), NOW) is CALM


def test_an_alarm_begins_at_its_evidence_and_follows_it() -> None:
    first = after(NORMAL, flagged(0.3), LADDER, NOW)
    assert (first.heat, first.strikes, first.at) == (0.3, 1, NOW)
    more = after(first, flagged(1.1, 0.8), LADDER, NOW)
    assert abs(more.heat - 1.1) < 1e-9
    assert more.strikes == 1
    less = after(more, flagged(0.9, -0.2), LADDER, NOW)
    assert abs(less.heat - 0.9) < 1e-9
    assert after(less, flagged(0.9, 0.0), LADDER, NOW) is less


def test_evidence_of_long_ago_is_not_added_again() -> None:
    """What counts is the rise since: an old attack's evidence blocks nobody for asking once more."""
    cool = Standing(heat=0.2, at=NOW, strikes=1)
    assert reply(after(cool, flagged(40.0, 0.1), LADDER, NOW), LADDER, NOW).state == "throttled"


def test_heat_is_bounded_and_goes_by_itself() -> None:
    hot = after(NORMAL, flagged(300.0), LADDER, NOW)
    assert hot.heat == len(LADDER) + 1
    states = [reply(hot, LADDER, NOW + decades * COOL_S).state for decades in (0.0, 1.9, 2.1, 3.1, 4.1, 5.1)]
    assert states == ["blocked", "blocked", "degraded", "challenged", "throttled", "normal"]
    assert cooled_at(hot) == NOW + 5 * COOL_S
    assert heat_at(hot, NOW + 5 * COOL_S + 1) == COLD
    assert heat_at(hot, NOW - 100) == hot.heat


def test_a_block_lasts_for_a_decade_at_least() -> None:
    near = at(2.9)
    blocked = after(near, flagged(3.1, 0.15), LADDER, NOW)
    left = reply(blocked, LADDER, NOW).left_s
    assert left is not None
    assert left >= COOL_S
    at_once = after(NORMAL, flagged(0.0), ("block",), NOW)
    assert reply(at_once, ("block",), NOW).left_s == COOL_S


def test_each_time_takes_twice_as_long() -> None:
    assert [cooling_s(strikes) / COOL_S for strikes in (0, 1, 2, 3, 6, 7, 99)] == [1, 1, 2, 4, 32, 32, 32]
    again = after(Standing(strikes=1), flagged(0.5), LADDER, NOW)
    assert again.strikes == 2
    assert reply(again, LADDER, NOW + 0.9 * COOL_S).state == "throttled"


def test_an_operator_holds_whom_it_will() -> None:
    held = Standing(heat=4.0, at=NOW, strikes=1, pinned="normal")
    assert reply(held, LADDER, NOW) is CALM
    for state, weight, difficulty, left in (
        ("throttled", 2, None, None),
        ("challenged", 8, 0, None),
        ("degraded", 32, 2, None),
        ("blocked", 128, HARDEST, PINNED_S),
    ):
        met = reply(Standing(pinned=state), LADDER, NOW)  # type: ignore[arg-type]  # of the states, each
        assert (met.state, met.weight, met.difficulty, met.left_s) == (state, weight, difficulty, left)
    assert reply(Standing(pinned="blocked"), ("throttle",), NOW).state == "blocked"
    soon = Standing(pinned="blocked", pinned_until=NOW + 10)
    assert reply(soon, LADDER, NOW).left_s == 10
    assert reply(soon, LADDER, NOW + 10) is CALM


@given(ladders, st.lists(st.tuples(weighed, st.floats(0, 7200)), max_size=30))
def test_whatever_happens_heat_is_bounded_time_helps_and_answers_are_sound(
    ladder: tuple[Response, ...], history: list[tuple[Weighed, float]]
) -> None:
    standing, now = NORMAL, NOW
    for seen, pause in history:
        now += pause
        standing = after(standing, seen, ladder, now)
        assert standing.heat <= len(ladder) + 1
        met = reply(standing, ladder, now)
        assert 1 <= met.weight <= 2**MOST_DOUBLINGS
        assert met.difficulty is None or 0 <= met.difficulty <= HARDEST
        assert (met.left_s is None) == ("block" not in ladder or met.state != "blocked")
        assert reply(standing, ladder, cooled_at(standing) + 1) is CALM
        earlier, later = heat_at(standing, now), heat_at(standing, now + 60)
        assert later <= earlier


def test_the_threshold_is_alphas() -> None:
    assert abs(threshold(Prompts()) - 3.0) < 1e-12
