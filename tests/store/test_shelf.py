"""The shelf in memory, and how a ledger uses it."""

from math import inf

import pytest

from llmguard.store.ledger import Counter
from llmguard.store.ledger_local import BATCH, LocalLedger
from llmguard.store.shelf import Kept, MemoryShelf, row_id
from tests.fakes.clock import FakeClock
from tests.store.takes import Take, reserve

pytestmark = pytest.mark.anyio


def kept(number: int, spent_at: float, every_s: float | None = 60.0) -> Kept:
    """A counter's window that holds one spend."""
    window = Kept(Counter(f"user:{number}", "tokens", every_s))
    window.spend(7, spent_at)
    return window


def test_what_is_put_is_taken_once() -> None:
    shelf = MemoryShelf()
    windows = [kept(n, 0.0) for n in range(500)]
    shelf.put(windows, 1.0)
    assert len(shelf) == 500
    assert [shelf.take(window.counter).spent for window in windows] == [7] * 500
    assert len(shelf) == 0
    assert shelf.take(windows[0].counter).spent == 0
    shelf.close()


def test_what_has_ended_is_not_kept_and_what_ends_is_dropped_by_and_by() -> None:
    shelf = MemoryShelf()
    shelf.put([kept(n, 0.0) for n in range(100)], 60.0)
    assert len(shelf) == 0
    shelf.put([kept(n, 0.0) for n in range(3000)], 1.0)
    assert len(shelf) == 3000
    for round_ in range(30):
        shelf.put([kept(n, 61.0) for n in range(100 * round_ + 5000, 100 * round_ + 5100)], 62.0)
    assert len(shelf) < 3000 + 200
    assert [shelf.take(Counter(f"user:{n}", "tokens", 60.0)).spent for n in range(5000, 8000)] == [7] * 3000
    shelf.close()


def test_what_never_ends_is_never_dropped() -> None:
    shelf = MemoryShelf()
    shelf.put([kept(n, 0.0, None) for n in range(10)], 1.0)
    for _ in range(100):
        shelf.put([], 1e12)
    assert len(shelf) == 10
    assert shelf.take(Counter("user:1", "tokens", None)).gone == inf
    shelf.close()


def test_ids_are_spread_stable_and_of_every_field() -> None:
    ids = {row_id(Counter(s, m, e)) for s in ("a", "b") for m in ("x", "y") for e in (60.0, 61.0, None)}
    assert len(ids) == 12
    assert row_id(Counter("user:alice", "tokens", 60.0)) == row_id(Counter("user:alice", "tokens", 60.0))
    below = sum(row_id(Counter(f"user:{n}", "tokens", 60.0)) < 0 for n in range(10_000))
    assert 4700 < below < 5300


async def test_a_ledger_keeps_few_counters_at_hand_and_loses_none() -> None:
    clock = FakeClock()
    ledger = LocalLedger(clock=clock, generation=200)
    users = [Counter(f"user:{n}", "tokens", 60.0) for n in range(5000)]
    held = [Take(Counter("tenant:acme", "concurrent", None), 100, 1)]
    await reserve(ledger, "held", held)
    for number, user in enumerate(users):
        charges = [Take(user, 100, 10), Take(Counter("global:", "tokens", 60.0), 1 << 40, 10)]
        await reserve(ledger, "one", charges)
        await ledger.settle("one", [number % 10, 1])
        assert len(ledger._young) + len(ledger._old) <= 2 * 200 + 3 * BATCH
    assert [level.spent for level in await ledger.levels(users)] == [number % 10 for number in range(5000)]
    assert (await ledger.levels([held[0].counter]))[0].reserved == 1
    assert (await ledger.levels([Counter("global:", "tokens", 60.0)]))[0].spent == 5000
    await ledger.close()


async def test_a_ledger_forgets_what_has_ended() -> None:
    clock = FakeClock()
    ledger = LocalLedger(clock=clock, generation=100)
    for number in range(10_000):
        charges = [Take(Counter(f"user:{number}", "tokens", 60.0), 100, 10)]
        await reserve(ledger, "one", charges)
        await ledger.settle("one", [10])
        clock.advance(0.125)
    assert len(ledger._memory) < 1.6 * 60.0 / 0.125
    await ledger.close()
