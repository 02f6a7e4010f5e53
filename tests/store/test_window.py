"""A window against a log of every spend, grant and time."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmguard.store.ledger import RESOLUTION
from llmguard.store.window import GRANT, HEAD, SPEND, Window

EVERY_S = 64.0
LATE_S = EVERY_S / RESOLUTION
Happening = tuple[float, int]
"""Seconds since the one before, and what is spent, or granted if negative."""

GAPS = st.sampled_from([0.0, 0.125, 1.0, 3.875, 4.0, 4.125, 20.0, 63.875, 64.0, 70.0])
SPENDS = st.lists(st.tuples(GAPS, st.integers(1, 50)), max_size=60)
MIXED = st.lists(st.tuples(GAPS, st.integers(-50, 50).filter(bool)), max_size=60)


def replay(happenings: list[Happening], every_s: float = EVERY_S) -> tuple[Window, list[Happening], float]:
    """A window to which all that happened, the log of (time, amount), and the last time."""
    window, log, now = Window(every_s), [], 0.0
    for gap, amount in happenings:
        now += gap
        happen(window, amount, now)
        log.append((now, amount))
    return window, log, now


def happen(window: Window, amount: int, now: float) -> None:
    """A spend, in place where that is right, or a grant."""
    if amount < 0:
        window.grant(-amount, now)
    elif now < window.open_until:
        window.spent += amount
        window.gone = now + window.every_s
    else:
        window.spend(amount, now)


def spent(window: Window, now: float) -> int:
    """What counts at a time."""
    if now >= window.leaves:
        window.purge(now)
    return window.spent


def younger(log: list[Happening], now: float, s: float) -> int:
    """The sum of what happened less than `s` ago."""
    return sum(amount for time, amount in log if now < time + s)


@given(SPENDS, st.lists(GAPS, max_size=20))
def test_a_spend_never_leaves_early_and_at_most_a_sixteenth_late(spends: list[Happening], looks: list[float]) -> None:
    window, log, now = replay(spends)
    for gap in looks:
        now += gap
        assert younger(log, now, EVERY_S) <= spent(window, now) <= younger(log, now, EVERY_S + LATE_S)


@given(MIXED, st.lists(GAPS, max_size=20))
def test_neither_a_spend_nor_a_grant_prolongs_the_other(mixed: list[Happening], looks: list[float]) -> None:
    window, log, now = replay(mixed)
    spends = [entry for entry in log if entry[1] > 0]
    grants = [entry for entry in log if entry[1] < 0]
    for gap in looks:
        now += gap
        least = younger(spends, now, EVERY_S) + younger(grants, now, EVERY_S + LATE_S)
        assert least <= spent(window, now) <= younger(spends, now, EVERY_S + LATE_S) + younger(grants, now, EVERY_S)


@given(st.lists(st.tuples(GAPS, st.integers(1, 50)), min_size=1, max_size=80))
def test_in_every_interval_of_its_length_no_more_than_the_limit_is_spent(asked: list[Happening]) -> None:
    limit, window, log, now = 100, Window(EVERY_S), [], 0.0
    for gap, amount in asked:
        now += gap
        if spent(window, now) + amount <= limit:
            happen(window, amount, now)
            log.append((now, amount))
    for start, _ in log:
        assert sum(amount for time, amount in log if start <= time < start + EVERY_S) <= limit


@given(MIXED, st.integers(0, 120), st.integers(1, 60))
def test_the_wait_is_the_first_instant_at_which_it_fits(mixed: list[Happening], limit: int, amount: int) -> None:
    window, _, now = replay(mixed)
    excess = spent(window, now) + amount - limit
    if excess <= 0:
        return
    wait = window.wait(excess, now)
    ends = sorted({end for end, _ in window.older} | {end for _, end, _ in window.grants} | {window.gone} - {-inf})
    packed = window.pack()
    fits = [end - now for end in ends if spent(Window(EVERY_S).unpack(packed), end) + amount <= limit]
    assert wait == (fits[0] if fits else None)


@given(MIXED, MIXED, st.sampled_from([EVERY_S, inf]))
def test_a_packed_window_goes_on_as_if_it_were_whole(
    before: list[Happening], after: list[Happening], every_s: float
) -> None:
    whole, _, now = replay(before, every_s)
    copy = Window(every_s).unpack(whole.pack())
    for gap, amount in after:
        now += gap
        happen(whole, amount, now)
        happen(copy, amount, now)
        assert spent(copy, now) == spent(whole, now)
        assert (copy.gone, copy.ends) == (whole.gone, whole.ends)


@settings(max_examples=30)
@given(st.sampled_from([0.125, 0.5, 3.9, 4.0]), st.booleans())
def test_runs_are_few_however_many_the_spends(gap: float, granted: bool) -> None:
    window, _, _ = replay([(gap, amount) for _ in range(1500) for amount in ((1, -1) if granted else (1,))])
    assert len(window.older) + 1 <= RESOLUTION + 2
    assert len(window.grants) <= RESOLUTION + 2


def test_one_spend_takes_25_bytes() -> None:
    window, _, _ = replay([(1.0, 1)])
    assert len(window.pack()) == HEAD.size + SPEND.size == 25
    window.grant(1, 2.0)
    assert len(window.pack()) == 25 + GRANT.size


def test_a_sum_beyond_all_bounds_is_kept_as_the_largest() -> None:
    window, _, _ = replay([(1.0, 10**30)])
    assert Window(EVERY_S).unpack(window.pack()).spent == 2**63 - 1
    window, _, _ = replay([(1.0, 10**30), (10.0, 1), (1.0, -(10**30))])
    assert Window(EVERY_S).unpack(window.pack()).spent == 1


def test_without_a_window_nothing_leaves() -> None:
    window, _, _ = replay([(1.0, 5), (1e9, 7), (1.0, -3)], inf)
    assert spent(window, 1e12) == 9
    assert window.gone == inf
    assert window.wait(1, 1e12) is None
    assert len(window.older) == 0


def test_cleared_it_is_as_new() -> None:
    window, _, _ = replay([(1.0, 5), (10.0, 7), (1.0, -3)])
    window.clear()
    assert (window.spent, window.ends, window.leaves) == (0, -inf, inf)
    assert window.pack() == Window(EVERY_S).pack()


@pytest.mark.parametrize("packed", [b"", b"short", bytes(HEAD.size) + b"half a run"])
def test_what_is_no_window_is_refused(packed: bytes) -> None:
    with pytest.raises(Exception, match=r"unpack|iterative"):
        Window(EVERY_S).unpack(packed)
