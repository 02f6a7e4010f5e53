"""What every ledger does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from llmguard.settings import StoreSettings
from llmguard.store import open_store
from llmguard.store.file import FileStore
from llmguard.store.ledger import RELEASE_S, RESOLUTION, Counter, Ledger, Level
from llmguard.store.ledger_local import LocalLedger
from llmguard.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.store import redis_ledgers
from tests.store.ledger_machine import check_histories
from tests.store.ledgers import FileLedger
from tests.store.takes import Take, reserve

pytestmark = pytest.mark.anyio

KINDS = ["memory", "file", "memory, shelving", "file, shelving", "redis", "redis+sentinel", "redis+cluster"]
TOKENS = Counter("user:alice", "tokens", 64.0)
DAY = Counter("user:alice", "tokens day", 86_400.0)
LIFE = Counter("user:alice", "credits", None)
REQUESTS = Counter("key:laptop", "requests", 64.0)


@pytest.fixture(params=KINDS)
async def ledger(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path, anyio_backend: str
) -> AsyncIterator[Ledger]:
    """An empty ledger of each kind."""
    if "redis" in request.param:
        async with redis_ledgers.opened(redis_ledgers.empty_redis(request, request.param), clock=clock) as shared:
            yield shared
        return
    if "shelving" in request.param:
        is_file = "file" in request.param
        local = (
            FileLedger(tmp_path / "ledger", clock=clock, generation=1)
            if is_file
            else LocalLedger(clock=clock, generation=1)
        )
        yield local
        await local.close()
        return
    url = "memory:" if request.param == "memory" else f"file:{tmp_path / 'data'}"
    store = open_store(StoreSettings(url=url, timeout_ms=5_000), clock=clock)
    assert isinstance(store, MemoryStore | FileStore)
    yield store.ledger
    await store.close()


async def spend(ledger: Ledger, counter: Counter, amount: int, id: str = "spender") -> None:
    """Reserve and settle at once."""
    charges = [Take(counter, 1_000_000, amount)]
    assert not (await reserve(ledger, id, charges)).exceeded
    await ledger.settle(id, [amount])


async def level(ledger: Ledger, counter: Counter) -> Level:
    """How one counter stands."""
    return (await ledger.levels([counter]))[0]


async def test_what_was_never_used_is_empty(ledger: Ledger) -> None:
    empty = Level(0, 0, 0.0)
    assert await ledger.levels([TOKENS, DAY, LIFE]) == [empty, empty, empty]


async def test_a_reservation_holds_and_a_settlement_spends_what_was_used(ledger: Ledger) -> None:
    charges = [Take(TOKENS, 100, 60), Take(REQUESTS, 5, 1)]
    receipt = await reserve(ledger, "a", charges)
    assert [*receipt.left] == [40, 4]
    assert await ledger.levels([TOKENS, REQUESTS]) == [Level(0, 60, 0.0), Level(0, 1, 0.0)]
    assert receipt.exceeded == ()
    assert receipt.retry_after_s is None
    await ledger.settle("a", [25, 1])
    assert await ledger.levels([TOKENS, REQUESTS]) == [Level(25, 0, 64.0), Level(1, 0, 64.0)]


async def test_all_are_held_or_none(ledger: Ledger) -> None:
    await spend(ledger, TOKENS, 50)
    charges = [Take(REQUESTS, 5, 1), Take(TOKENS, 100, 51), Take(DAY, 100, 51, forced=True)]
    receipt = await reserve(ledger, "a", charges)
    assert receipt.exceeded == (1,)
    assert [*receipt.left] == [5, 50, 100]
    assert receipt.levels == (Level(0, 0, 0.0), Level(50, 0, 64.0), Level(0, 0, 0.0))
    assert [level.reserved for level in await ledger.levels([REQUESTS, TOKENS, DAY])] == [0, 0, 0]


async def test_a_limit_is_reached_and_not_passed(ledger: Ledger) -> None:
    assert not (await reserve(ledger, "a", [Take(TOKENS, 100, 100)])).exceeded
    assert (await reserve(ledger, "b", [Take(TOKENS, 100, 1)])).exceeded == (0,)


async def test_nothing_always_fits_and_what_is_forced_is_taken(ledger: Ledger) -> None:
    charges = [Take(TOKENS, 100, 150, forced=True)]
    assert [*(await reserve(ledger, "a", charges)).left] == [-50]
    nothing = await reserve(ledger, "b", [Take(TOKENS, 100, 0)])
    assert (nothing.exceeded, [*nothing.left], nothing.levels) == ((), [-50], (Level(0, 150, 0.0),))
    assert (await reserve(ledger, "c", [Take(TOKENS, 100, 1)])).exceeded == (0,)


async def test_a_charge_of_nothing_may_end_as_something(ledger: Ledger) -> None:
    charges = [Take(TOKENS, 100, 0), Take(REQUESTS, 5, 0)]
    await spend(ledger, TOKENS, 5)
    await reserve(ledger, "a", charges)
    for other in (DAY, LIFE, Counter("ip:192.0.2.1", "requests", 64.0)):
        await ledger.levels([other])  # a local ledger may put the counter away meanwhile
    await ledger.settle("a", [7, 1])
    assert [level.spent for level in await ledger.levels([TOKENS, REQUESTS])] == [12, 1]


async def test_a_lowered_limit_keeps_what_is_spent(ledger: Ledger) -> None:
    await spend(ledger, TOKENS, 80)
    assert (await reserve(ledger, "a", [Take(TOKENS, 50, 1)])).exceeded == (0,)
    assert not (await reserve(ledger, "a", [Take(TOKENS, 90, 10)])).exceeded


async def test_a_spend_counts_for_a_window_and_hardly_longer(ledger: Ledger, clock: FakeClock) -> None:
    await spend(ledger, TOKENS, 10)
    clock.advance(64.0 / RESOLUTION / 2)
    await spend(ledger, TOKENS, 5)
    clock.advance(64.0 - 2.0 - 0.125)
    assert (await level(ledger, TOKENS)).spent == 15
    clock.advance(0.125 + 64.0 / RESOLUTION)
    assert await level(ledger, TOKENS) == Level(0, 0, 0.0)


async def test_no_interval_of_a_windows_length_takes_twice_the_limit(ledger: Ledger, clock: FakeClock) -> None:
    spent_at: list[float] = []
    for turn in range(400):
        charges = [Take(TOKENS, 8, 1)]
        if not (await reserve(ledger, f"{turn}", charges)).exceeded:
            await ledger.settle(f"{turn}", [1])
            spent_at.append(clock.monotonic())
        clock.advance(0.5)
    assert max(sum(start <= at < start + 64.0 for at in spent_at) for start in spent_at) == 8
    assert len(spent_at) >= 8 * 200 / 64 * RESOLUTION / (RESOLUTION + 1) - 8


async def test_retry_after_is_when_it_fits(ledger: Ledger, clock: FakeClock) -> None:
    await spend(ledger, TOKENS, 60)
    clock.advance(16.0)
    await spend(ledger, TOKENS, 40)
    charges = [Take(TOKENS, 100, 61)]
    assert (await reserve(ledger, "a", [Take(TOKENS, 100, 60)])).retry_after_s == pytest.approx(48.0)
    wait_s = (await reserve(ledger, "a", charges)).retry_after_s
    assert wait_s == pytest.approx(64.0)
    assert wait_s is not None
    clock.advance(wait_s - 0.125)
    assert (await reserve(ledger, "a", charges)).exceeded == (0,)
    clock.advance(0.125)
    assert not (await reserve(ledger, "a", charges)).exceeded


async def test_waiting_for_others_and_waiting_in_vain(ledger: Ledger) -> None:
    await reserve(ledger, "a", [Take(TOKENS, 100, 60), Take(LIFE, 100, 60)])
    both = [Take(TOKENS, 100, 60), Take(LIFE, 100, 60)]
    assert (await reserve(ledger, "b", both)).retry_after_s == RELEASE_S
    assert (await reserve(ledger, "b", [Take(TOKENS, 100, 101)])).retry_after_s is None
    await spend(ledger, LIFE, 41)
    receipt = await reserve(ledger, "b", both)
    assert receipt.exceeded == (0, 1)
    assert receipt.retry_after_s is None


async def test_without_a_window_nothing_returns_but_by_reset(ledger: Ledger, clock: FakeClock) -> None:
    await spend(ledger, LIFE, 10)
    clock.advance(10 * 365 * 86_400.0)
    assert await level(ledger, LIFE) == Level(10, 0, None)
    await ledger.reset([LIFE])
    assert (await level(ledger, LIFE)).spent == 0


async def test_a_second_settlement_changes_nothing(ledger: Ledger) -> None:
    charges = [Take(TOKENS, 100, 60)]
    await reserve(ledger, "a", charges)
    await ledger.settle("a", [20])
    await ledger.settle("a", [20])
    assert (await level(ledger, TOKENS)).spent == 20


async def test_a_reservation_that_is_asked_for_twice_is_held_once(ledger: Ledger) -> None:
    charges = [Take(TOKENS, 100, 30)]
    await reserve(ledger, "a", charges)
    assert [*(await reserve(ledger, "a", charges)).left] == [70]
    assert await level(ledger, TOKENS) == Level(0, 30, 0.0)
    await ledger.settle("a", [20])
    assert await level(ledger, TOKENS) == Level(20, 0, 64.0)


async def test_a_grant_lasts_for_a_window_or_for_good(ledger: Ledger, clock: FakeClock) -> None:
    await ledger.grant(TOKENS, 50)
    await ledger.grant(LIFE, 50)
    both = [Take(TOKENS, 100, 150), Take(LIFE, 100, 150)]
    assert [*(await reserve(ledger, "a", both)).left] == [0, 0]
    assert [level.spent for level in await ledger.levels([TOKENS, LIFE])] == [-50, -50]
    await ledger.settle("a", [0, 0])
    clock.advance(64.0 + 64.0 / RESOLUTION)
    assert (await reserve(ledger, "b", both)).exceeded == (0,)
    assert [level.spent for level in await ledger.levels([TOKENS, LIFE])] == [0, -50]


async def test_a_reset_leaves_what_is_reserved(ledger: Ledger) -> None:
    charges = [Take(TOKENS, 100, 60)]
    await spend(ledger, TOKENS, 30)
    await ledger.grant(TOKENS, 10)
    await reserve(ledger, "a", charges)
    await ledger.reset([TOKENS])
    assert await level(ledger, TOKENS) == Level(0, 60, 0.0)
    await ledger.settle("a", [5])
    assert (await level(ledger, TOKENS)).spent == 5


async def test_counters_are_told_apart_by_every_field(ledger: Ledger) -> None:
    others = [Counter("user:bob", "tokens", 64.0), Counter("user:alice", "credits", 64.0), DAY]
    await spend(ledger, TOKENS, 1)
    assert [level.spent for level in await ledger.levels([TOKENS, *others])] == [1, 0, 0, 0]


async def test_many_clients_never_pass_the_limit(ledger: Ledger) -> None:
    held = 0
    most = 0

    async def client(number: int) -> int:
        nonlocal held, most
        used = 0
        for turn in range(5):
            amount = 1 + (number + turn) % 9
            charges = [Take(REQUESTS, 10_000, 1), Take(TOKENS, 663, amount)]
            if (await reserve(ledger, f"{number} {turn}", charges)).exceeded:
                continue
            held += amount
            most = max(most, held)
            await asyncio.sleep(0)
            actual = amount if turn % 2 else amount // 2
            held -= amount - actual
            await ledger.settle(f"{number} {turn}", [1, actual])
            used += actual
        return used

    used = sum(await asyncio.gather(*map(client, range(64))))
    assert most <= 663
    assert await level(ledger, TOKENS) == Level(used, 0, 64.0)
    assert 600 < used <= 663


async def test_setting_the_wall_clock_changes_nothing(ledger: Ledger, clock: FakeClock) -> None:
    others = [Counter(f"user:{n}", "tokens", 86_400.0) for n in range(5)]
    await reserve(ledger, "held", [Take(REQUESTS, 5, 1)])
    await spend(ledger, DAY, 10)
    for s in (3600.0, -7200.0, 86_400.0):
        clock.set_wall(s)
        await ledger.levels(others)
        assert await level(ledger, DAY) == Level(10, 0, 86_400.0)
        assert (await level(ledger, REQUESTS)).reserved == 1


@pytest.mark.parametrize("kind", KINDS)
def test_random_histories_agree_with_the_model(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    numbers = count()
    generation = 1 if "shelving" in kind else 1000

    @asynccontextmanager
    async def opened(clock: FakeClock) -> AsyncIterator[Ledger]:
        if "redis" in kind:
            url = redis_ledgers.empty_redis(request, kind)
            async with redis_ledgers.opened(url, clock=clock) as shared:
                yield shared
            return
        if "memory" in kind:
            local = LocalLedger(clock=clock, generation=generation)
        else:
            local = FileLedger(tmp_path / str(next(numbers)), clock=clock, generation=generation)
        yield local
        await local.close()

    check_histories(opened, 200 if "memory" in kind else 40)


# --- notes --------------------------------------------------------------------------------------


async def noted(ledger: Ledger, subject: str) -> str | None:
    """The note alone: nothing is held."""
    return (await reserve(ledger, "reader", [], subject)).note


async def test_a_note_comes_with_the_receipt_whether_the_charges_fit_or_not(ledger: Ledger) -> None:
    await ledger.note("key:laptop", '{"heat":1.5}', 60.0)
    held = await reserve(ledger, "a", [Take(TOKENS, 10, 10), Take(REQUESTS, 5, 1)], "key:laptop")
    assert (held.exceeded, held.note) == ((), '{"heat":1.5}')
    refused = await reserve(ledger, "b", [Take(TOKENS, 10, 1), Take(REQUESTS, 5, 1)], "key:laptop")
    assert (refused.exceeded, refused.note) == ((0,), '{"heat":1.5}')
    assert (await reserve(ledger, "c", [Take(REQUESTS, 5, 1)])).note is None
    assert await noted(ledger, "key:phone") is None


async def test_a_note_is_replaced_and_forgotten(ledger: Ledger) -> None:
    for text in ("one", "two"):
        await ledger.note("key:laptop", text, 60.0)
        assert await noted(ledger, "key:laptop") == text
    await ledger.note("key:laptop", None, 0.0)
    assert await noted(ledger, "key:laptop") is None
    await ledger.note("key:laptop", None, 0.0)
