"""What was paid for once is free, and all or nothing is charged."""

import asyncio

import pytest

from llmguard.quota.once import spent_once
from llmguard.store.ledger import Counter
from llmguard.store.memory import MemoryStore
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio

BUDGET = Counter("user:alice", "things", 60.0)


class Kept:
    """A ledger with one budget of five."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ledger = MemoryStore(clock=self.clock).ledger

    async def spend(self, *things: str, budget: Counter = BUDGET, forced: bool = False) -> bool:
        """Whether they are paid for now."""
        found = await spent_once(self.ledger, f"r{things}", budget, 5, things, forced=forced)
        assert found is None or found.exceeded
        return found is None

    async def spent(self) -> int:
        """What is spent of the budget, with nothing held."""
        (level,) = await self.ledger.levels([BUDGET])
        assert level.reserved == 0
        return level.spent


@pytest.fixture
def kept() -> Kept:
    return Kept()


async def test_each_thing_is_charged_once(kept: Kept) -> None:
    assert await kept.spend("a", "b", "a")
    assert await kept.spend("a")
    assert await kept.spend("b", "c")
    assert await kept.spent() == 3


async def test_what_does_not_fit_is_not_charged_at_all(kept: Kept) -> None:
    assert await kept.spend("a", "b", "c", "d")
    assert not await kept.spend("e", "f")
    assert not await kept.spend("a", "e", "f")
    assert await kept.spent() == 4
    assert await kept.spend("a", "e")
    assert await kept.spend("a", "b", "c", "d", "e")
    assert not await kept.spend("f")


async def test_a_window_ends_for_the_budget_and_its_things(kept: Kept) -> None:
    assert await kept.spend("a", "b", "c", "d", "e")
    kept.clock.advance(70.0)
    assert await kept.spent() == 0
    assert await kept.spend("f", "a")
    assert await kept.spent() == 2


async def test_subjects_pay_each_for_themselves(kept: Kept) -> None:
    assert await kept.spend("a")
    assert await kept.spend("a", budget=Counter("user:bob", "things", 60.0))
    assert await kept.spent() == 1


async def test_forced_it_goes_beyond(kept: Kept) -> None:
    assert await kept.spend(*"abcdefg", forced=True)
    assert await kept.spend(*"abcdefg", forced=True)
    assert await kept.spent() == 7


async def test_many_at_once_pay_once_and_never_too_much(kept: Kept) -> None:
    together = await asyncio.gather(*(kept.spend("a", f"own{number % 6}") for number in range(60)))
    assert await kept.spent() == 5
    # The shared one and four of the six others.
    assert sum(together) == 40


async def test_nothing_costs_nothing(kept: Kept) -> None:
    assert await kept.spend()
