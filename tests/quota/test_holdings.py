"""Reservations stay alive while their requests run, and are settled in the end."""

import pytest

from llmguard.quota.holdings import EXTEND_S, LEASE_S, Holdings
from llmguard.store.ledger import Charge, Counter, Level
from llmguard.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FailingLedger

pytestmark = pytest.mark.anyio

SLOTS = Counter("tenant:acme", "concurrent:ever", None, level=True)
TOKENS = Counter("user:alice", "tokens:86400", 86_400.0)
CHARGES = (Charge(SLOTS, 2), Charge(TOKENS, 1000))
AMOUNTS = (1, 100)


class Site:
    """Holdings over a ledger that can fail, at a time that stands still."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ledger = FailingLedger(MemoryStore(clock=self.clock).ledger)
        self.holdings = Holdings(self.ledger, self.clock)

    async def tokens(self) -> Level:
        """How the tokens stand."""
        return (await self.ledger.levels([TOKENS]))[0]

    async def slots(self) -> int:
        """How many slots are taken."""
        return (await self.ledger.levels([SLOTS]))[0].reserved


async def test_a_long_request_keeps_what_it_holds() -> None:
    site = Site()
    await site.holdings.reserve("a", CHARGES, AMOUNTS)
    for _ in range(10):
        site.clock.advance(EXTEND_S)
        await site.holdings.extend()
    assert (await site.tokens()).reserved == 100
    assert await site.slots() == 1
    await site.holdings.settle("a", (0, 30))
    assert (await site.tokens()).spent == 30
    assert await site.slots() == 0


async def test_without_extending_the_lease_ends_and_all_of_it_is_spent() -> None:
    site = Site()
    await site.holdings.reserve("a", CHARGES, AMOUNTS)
    site.clock.advance(LEASE_S)
    assert (await site.tokens()).spent == 100
    assert await site.slots() == 0


async def test_who_settles_is_not_told_of_a_store_that_fails() -> None:
    site = Site()
    await site.holdings.reserve("a", CHARGES, AMOUNTS)
    site.ledger.failing = True
    await site.holdings.settle("a", (0, 30))
    assert site.ledger.calls == 1
    site.clock.advance(EXTEND_S)
    await site.holdings.extend()
    assert site.ledger.calls == 1


async def test_a_lease_that_could_not_be_extended_is_tried_again() -> None:
    site = Site()
    await site.holdings.reserve("a", CHARGES, AMOUNTS)
    site.clock.advance(EXTEND_S)
    site.ledger.failing = True
    await site.holdings.extend()
    site.ledger.failing = False
    site.clock.advance(EXTEND_S)
    await site.holdings.extend()
    site.clock.advance(LEASE_S - 1)
    assert (await site.tokens()).reserved == 100


async def test_what_did_not_fit_is_not_held() -> None:
    site = Site()
    receipt = await site.holdings.reserve("a", (Charge(SLOTS, 0),), (1,))
    assert receipt.exceeded == (0,)
    site.clock.advance(EXTEND_S)
    site.ledger.failing = True
    await site.holdings.extend()
    assert site.ledger.calls == 0
