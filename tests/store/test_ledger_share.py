"""Without the store, each guard gives its share and no more."""

import asyncio

import pytest

from llmguard.store.ledger import Counter
from llmguard.store.ledger_share import ShareLedger
from llmguard.store.memory import MemoryStore
from llmguard.store.store import StoreUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FailingLedger
from tests.store.takes import Take, reserve

pytestmark = pytest.mark.anyio

TOKENS = Counter("user:alice", "tokens:60", 60.0)
REPLICAS = 3


def charge(amount: int, limit: int = 100) -> tuple[Take]:
    """A charge against a limit."""
    return (Take(TOKENS, limit, amount),)


class Site:
    """REPLICAS guards on one store."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.shared = FailingLedger(MemoryStore(clock=self.clock).ledger)
        self.guards = [
            ShareLedger(self.shared, MemoryStore(clock=self.clock).ledger, REPLICAS) for _ in range(REPLICAS)
        ]

    async def spend(self, times: int, amount: int = 1) -> int:
        """How many of these requests pass, asked of the guards in turn, each spending what it holds."""
        passed = 0
        for turn in range(times):
            guard = self.guards[turn % REPLICAS]
            receipt = await reserve(guard, f"{self.clock.monotonic()}-{turn}", charge(amount))
            if not receipt.exceeded:
                passed += 1
                await guard.settle(f"{self.clock.monotonic()}-{turn}", (amount,))
        return passed


async def test_with_the_store_the_limit_is_one() -> None:
    assert await Site().spend(300) == 100


async def test_without_it_all_shares_together_are_no_more_than_the_limit() -> None:
    site = Site()
    site.shared.failing = True
    assert await site.spend(600) == REPLICAS * (100 // REPLICAS)


async def test_an_interval_that_holds_the_failure_holds_at_most_twice_the_limit() -> None:
    site = Site()
    before = await site.spend(300)
    site.clock.advance(1)
    site.shared.failing = True
    during = await site.spend(600)
    site.clock.advance(1)
    site.shared.failing = False
    assert await site.spend(300) == 0
    assert before + during <= 200
    site.clock.advance(60)
    assert await site.spend(300) == 100


async def test_a_reservation_is_settled_where_it_was_made() -> None:
    site = Site()
    guard = site.guards[0]
    await reserve(guard, "there", charge(50))
    site.shared.failing = True
    await reserve(guard, "here", charge(20))
    failed = site.shared.calls
    await guard.settle("there", (10,))
    assert site.shared.calls == failed + 1
    site.shared.failing = False
    await guard.settle("there", (10,))
    await guard.settle("here", (20,))
    assert (await guard.levels([TOKENS]))[0].spent == 10


async def test_one_guard_alone_has_the_whole_limit() -> None:
    clock = FakeClock()
    shared = FailingLedger(MemoryStore(clock=clock).ledger)
    shared.failing = True
    guard = ShareLedger(shared, MemoryStore(clock=clock).ledger, 1)
    receipts = await asyncio.gather(*(reserve(guard, str(turn), charge(1)) for turn in range(150)))
    assert sum(not receipt.exceeded for receipt in receipts) == 100


async def test_an_operator_is_told_that_nothing_was_changed() -> None:
    site = Site()
    site.shared.failing = True
    with pytest.raises(StoreUnavailable):
        await site.guards[0].reset([TOKENS])
    with pytest.raises(StoreUnavailable):
        await site.guards[0].grant(TOKENS, 5)


async def test_what_was_noted_holds_without_the_store() -> None:
    site = Site()
    guard, other = site.guards[0], site.guards[1]
    await guard.note("key:a", "blocked", 3600.0)
    assert (await reserve(guard, "1", charge(1), "key:a")).note == "blocked"
    site.shared.failing = True
    assert (await reserve(guard, "2", charge(1), "key:a")).note == "blocked"
    assert (await reserve(other, "3", charge(1), "key:a")).note is None
    with pytest.raises(StoreUnavailable):
        await guard.note("key:a", None, 0.0)
    site.shared.failing = False
    await guard.note("key:a", None, 0.0)
    assert (await reserve(guard, "4", charge(1), "key:a")).note is None
    site.shared.failing = True
    assert (await reserve(guard, "5", charge(1), "key:a")).note is None
