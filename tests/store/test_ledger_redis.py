"""What only a ledger in Redis can do: be shared, hang, die, be replaced, run full, forget its scripts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from llmguard.clock import SystemClock
from llmguard.settings import StoreSettings
from llmguard.store import ledger_redis, open_store
from llmguard.store.ledger import RELEASE_S, Counter, Level
from llmguard.store.ledger_redis import EXTEND_S, LEASE_S, RedisLedger
from llmguard.store.redis import RedisStore
from llmguard.store.redis_lane import BREAK_S, LaneBroken
from llmguard.store.store import StoreUnavailable
from tests.benchmarks import ledger_histories, quotas_redis
from tests.fakes.clock import FakeClock
from tests.redis_server import RedisServer, wait_for
from tests.store.redis_ledgers import opened
from tests.store.takes import Take, reserve

pytestmark = pytest.mark.anyio

TIMEOUT_S = 0.25
SLACK_S = 5.0
"""What a machine under load may add to a timeout."""
MINUTE = Counter("user:alice", "tokens/1m", 60.0)
RUNNING = Counter("tenant:acme", "concurrent", 0.0)
HOUR = Counter("user:alice", "tokens/1h", 3_600.0)
EVER = Counter("global:", "credits", None)


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    """A server that lives on after the test, empty."""
    redis_server.clear()
    return redis_server


@pytest.fixture
async def ill(tmp_path: Path, anyio_backend: str) -> AsyncIterator[tuple[RedisServer, RedisLedger]]:
    """A server to be ill-treated, and a ledger of little patience that has used it."""
    with RedisServer(tmp_path) as server:
        async with opened(server.url, timeout_s=TIMEOUT_S) as ledger:
            await recovered(ledger)
            yield server, ledger


async def recovered(ledger: RedisLedger) -> None:
    """Ask until it answers."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        try:
            await ledger.levels([MINUTE])
        except StoreUnavailable:
            await asyncio.sleep(BREAK_S / 5)
        else:
            return
    raise TimeoutError("the ledger did not recover")


async def until(ledger: RedisLedger, counters: Sequence[Counter], expected: list[tuple[int, int]]) -> None:
    """Ask until so much is spent and reserved."""
    found: list[tuple[int, int]] = []
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        with suppress(StoreUnavailable):
            found = amounts(await ledger.levels(counters))
        if found == expected:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"it stayed at {found}")


def amounts(levels: Sequence[Level]) -> list[tuple[int, int]]:
    """What is spent and reserved."""
    return [(level.spent, level.reserved) for level in levels]


def operations(ledger: RedisLedger) -> list[Callable[[], Awaitable[object]]]:
    """Each once that says when Redis fails."""
    charges = [Take(MINUTE, 1_000, 10), Take(RUNNING, 10, 1), Take(EVER, 1_000, 5)]
    return [
        lambda: reserve(ledger, "a", charges),
        lambda: ledger.levels([MINUTE, RUNNING]),
        lambda: ledger.reset([MINUTE, RUNNING]),
        lambda: ledger.grant(MINUTE, 1),
    ]


async def fails(operation: Callable[[], Awaitable[object]], within_s: float) -> BaseException | None:
    """That it is unavailable within a time; why."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as raised:
        await operation()
    assert time.monotonic() - began < within_s
    return raised.value.__cause__


# --- one counter, many askers --------------------------------------------------------------


async def spend_all(ledgers: Sequence[RedisLedger], charges: Sequence[Take], actual: Sequence[int]) -> int:
    """64 clients that ask until they are refused for good; how many reservations were held."""
    held = 0

    async def client(number: int) -> None:
        nonlocal held
        for turn in range(1_000):
            id = f"{number}.{turn}"
            receipt = await reserve(ledgers[number % len(ledgers)], id, charges)
            assert min(receipt.left) >= 0
            if not receipt.exceeded:
                held += 1
                await ledgers[number % len(ledgers)].settle(id, actual)
            elif receipt.retry_after_s != RELEASE_S:
                return

    await asyncio.gather(*map(client, range(64)))
    return held


SHARED = [
    Take(Counter("key:k", "requests/1h", 3600.0), 100_000, 1),
    Take(Counter("user:alice", "tokens/1h", 3600.0), 3_000, 40),
    Take(Counter("user:alice", "credits", None), 100_000, 2),
    Take(RUNNING, 12, 1),
    Take(Counter("ip:10.0.0.4", "requests/1h", 3600.0), 100_000, 1),
    Take(Counter("global:", "tokens/1d", 86400.0), 100_000, 40),
]
ACTUAL = [1, 13, 2, 0, 1, 13]
FIT = (3_000 - 40) // 13 + 1
"""Reservations of 40 that end as 13, one after another, until 40 are no longer left of 3,000."""


@pytest.mark.parametrize("flush", [False, True], ids=["", "scripts are flushed"])
async def test_two_ledgers_and_64_clients_spend_what_there_is_and_no_more(server: RedisServer, flush: bool) -> None:
    redis = AsyncRedis(port=server.port)

    async def flushes() -> None:
        while True:
            await redis.execute_command("SCRIPT FLUSH")

    async with opened(server.url) as one, opened(server.url) as other:
        flushing = asyncio.ensure_future(flushes()) if flush else None
        held = await spend_all([one, other], SHARED, ACTUAL)
        if flushing is not None:
            flushing.cancel()
        spent = amounts(await one.levels([charge.counter for charge in SHARED]))
    await redis.aclose()
    assert held == FIT
    assert spent == [(held * amount, 0) for amount in ACTUAL]


async def test_four_ledgers_on_a_cluster_of_three_spend_what_there_is_and_no_more(three: list[RedisServer]) -> None:
    async with AsyncExitStack() as stack:
        ledgers = [await stack.enter_async_context(opened(three[n % 3].url)) for n in range(4)]
        held = await spend_all(ledgers, SHARED, ACTUAL)
        spent = amounts(await ledgers[0].levels([charge.counter for charge in SHARED]))
    used = 0
    for server in three:
        with Redis(port=server.port) as redis:
            used += bool(redis.dbsize())
    assert used == 3
    assert held == FIT
    assert spent == [(held * amount, 0) for amount in ACTUAL]


async def test_a_slot_that_moves_to_another_node_is_followed(three: list[RedisServer]) -> None:
    charges = [Take(MINUTE, 100, 10)]
    async with opened(three[0].url) as ledger:
        await reserve(ledger, "a", charges)
        move("{user:alice}", three)
        assert [*(await reserve(ledger, "b", charges)).left] == [80]
        await ledger.settle("a", [7])
        assert amounts(await ledger.levels([MINUTE])) == [(7, 10)]


async def test_while_one_node_hangs_the_others_give_back_what_was_reserved(three: list[RedisServer]) -> None:
    counters = [charge.counter for charge in SHARED]
    living = [counter for counter in counters if not counter.subject.startswith("ip:")]
    async with opened(three[0].url, timeout_s=TIMEOUT_S) as ledger:
        await recovered(ledger)
        await ledger.levels(counters)
        three[2].freeze()
        await fails(lambda: reserve(ledger, "a", SHARED), TIMEOUT_S + SLACK_S)
        await until(ledger, living, [(0, 0)] * len(living))
        await fails(lambda: reserve(ledger, "b", SHARED), TIMEOUT_S + SLACK_S)
        await until(ledger, living, [(0, 0)] * len(living))
        three[2].thaw()
        await until(ledger, counters, [(0, 0)] * len(counters))
        assert not (await reserve(ledger, "c", SHARED)).exceeded


async def test_what_one_subject_refuses_is_taken_back_from_the_others_at_once(three: list[RedisServer]) -> None:
    charges = [Take(charge.counter, limit, 1) for charge, limit in zip(SHARED, (9, 9, 9, 9, 0, 9), strict=True)]
    async with opened(three[0].url) as ledger:
        receipt = await reserve(ledger, "a", charges)
        assert (receipt.exceeded, receipt.retry_after_s) == ((4,), None)
        assert [*receipt.left] == [9, 9, 9, 9, 0, 9]
        assert list(receipt.levels) == await ledger.levels([charge.counter for charge in charges])
        assert amounts(receipt.levels) == [(0, 0)] * 6


def move(key: str, servers: Sequence[RedisServer]) -> None:
    """Give the slot of a key, with what is in it, to another node."""
    clients = [Redis(port=server.port) for server in servers]
    slot = clients[0].execute_command("CLUSTER KEYSLOT", key)
    ids = [client.execute_command("CLUSTER MYID").decode() for client in clients]
    owner = next(n for n, client in enumerate(clients) if client.execute_command("CLUSTER COUNTKEYSINSLOT", slot))
    other = (owner + 1) % len(servers)
    clients[other].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[owner])
    clients[owner].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[other])
    keys = clients[owner].execute_command("CLUSTER GETKEYSINSLOT", slot, 100)
    clients[owner].execute_command("MIGRATE", "127.0.0.1", servers[other].port, "", 0, 5_000, "KEYS", *keys)
    for client in clients:
        client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[other])
        client.close()


@pytest.fixture(scope="module")
def cluster_of_three(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Three nodes with a third of the slots each."""
    thirds = (range(5_461), range(5_461, 10_923), range(10_923, 16_384))
    servers = [RedisServer(tmp_path_factory.mktemp("node"), cluster=True, slots=slots) for slots in thirds]
    try:
        for server in servers:
            server.start()
        servers[0].meet(*servers[1:])
        yield servers
    finally:
        for server in servers:
            server.kill()


@pytest.fixture
def three(cluster_of_three: list[RedisServer]) -> list[RedisServer]:
    """The three nodes, empty."""
    for server in cluster_of_three:
        server.clear()
    return cluster_of_three


# --- failures ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(4))
async def test_every_operation_fails_in_time_while_redis_hangs(
    ill: tuple[RedisServer, RedisLedger], number: int
) -> None:
    server, ledger = ill
    server.freeze()
    assert isinstance(await fails(operations(ledger)[number], TIMEOUT_S + SLACK_S), TimeoutError)
    causes = [type(await fails(operation, TIMEOUT_S + SLACK_S)) for operation in operations(ledger)]
    assert causes.count(LaneBroken) >= 3  # where the test itself is slow, one may be tried
    server.thaw()
    await recovered(ledger)


async def test_while_redis_hangs_one_asks_and_the_others_fail_at_once(ill: tuple[RedisServer, RedisLedger]) -> None:
    server, ledger = ill
    server.freeze()
    await fails(lambda: ledger.levels([MINUTE]), TIMEOUT_S + SLACK_S)
    failed = time.monotonic()
    causes = 200 * [LaneBroken]
    while causes == 200 * [LaneBroken]:
        outcomes = await asyncio.gather(*(ledger.levels([MINUTE]) for _ in range(200)), return_exceptions=True)
        causes = [type(outcome.__cause__) for outcome in outcomes if isinstance(outcome, StoreUnavailable)]
    assert (causes.count(TimeoutError), causes.count(LaneBroken)) == (1, 199)
    assert BREAK_S < time.monotonic() - failed < BREAK_S + TIMEOUT_S + SLACK_S
    server.thaw()
    await recovered(ledger)


async def test_what_was_reserved_while_redis_hung_is_given_back(ill: tuple[RedisServer, RedisLedger]) -> None:
    server, ledger = ill
    charges = [Take(MINUTE, 1_000_000, 10), Take(RUNNING, 1_000, 1)]
    server.freeze()
    began = time.monotonic()
    outcomes = await asyncio.gather(*(reserve(ledger, f"{n}", charges) for n in range(300)), return_exceptions=True)
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert time.monotonic() - began < TIMEOUT_S + SLACK_S
    server.thaw()
    await recovered(ledger)
    with Redis(port=server.port) as redis:
        wait_for(lambda: redis.zcard("llmguard:held:{tenant:acme}:concurrent") in range(301))
    await until(ledger, [MINUTE, RUNNING], [(0, 0), (0, 0)])


async def test_what_could_not_be_settled_while_redis_hung_is_settled_once_it_answers(
    ill: tuple[RedisServer, RedisLedger],
) -> None:
    server, ledger = ill
    charges = [Take(MINUTE, 1_000_000, 10), Take(RUNNING, 1_000, 1)]
    for n in range(20):
        await reserve(ledger, f"{n}", charges)
    server.freeze()
    began = time.monotonic()
    await asyncio.gather(*(ledger.settle(f"{n}", [n % 10, 0]) for n in range(20)))
    assert time.monotonic() - began < TIMEOUT_S + SLACK_S
    server.thaw()
    await until(ledger, [MINUTE, RUNNING], [(90, 0), (0, 0)])


async def test_a_sum_beyond_all_bounds_is_spent_as_one_that_no_limit_allows(server: RedisServer) -> None:
    charges = [Take(MINUTE, 1 << 50, 10), Take(EVER, 10**30, 10)]
    async with opened(server.url) as ledger:
        for number in range(3):
            await reserve(ledger, f"{number}", charges)
            await ledger.settle(f"{number}", [10**30, 1 << 62])
        assert amounts(await ledger.levels([MINUTE, EVER])) == [(1 << 52, 0), (1 << 52, 0)]
        assert (await reserve(ledger, "more", charges)).exceeded == (0, 1)
        forced = [Take(MINUTE, 1, (1 << 64) - 1, forced=True), Take(EVER, 1, 10**30, forced=True)]
        assert [*(await reserve(ledger, "forced", forced)).left] == [1 - (2 << 52)] * 2
        await ledger.settle("forced", [0, 0])
        assert amounts(await ledger.levels([MINUTE, EVER])) == [(1 << 52, 0)] * 2


async def test_what_is_asked_for_twice_is_held_once(server: RedisServer) -> None:
    charges = [Take(MINUTE, 15, 10), Take(RUNNING, 1, 1)]
    async with opened(server.url) as ledger:
        for _ in range(2):
            receipt = await reserve(ledger, "a", charges)
            assert (receipt.exceeded, [*receipt.left]) == ((), [5, 0])
        await ledger.settle("a", [4, 0])
        assert amounts(await ledger.levels([MINUTE, RUNNING])) == [(4, 0), (0, 0)]


async def test_a_caller_that_leaves_holds_nothing(server: RedisServer) -> None:
    charges = [Take(MINUTE, 1_000, 10)]
    async with opened(server.url) as ledger:
        await recovered(ledger)
        asked = asyncio.ensure_future(reserve(ledger, "a", charges))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled()
        await reserve(ledger, "b", charges)
        await until(ledger, [MINUTE], [(0, 10)])


async def test_a_slow_redis_is_waited_for_and_no_longer_than_the_timeout(ill: tuple[RedisServer, RedisLedger]) -> None:
    server, ledger = ill
    charges = [Take(MINUTE, 1_000_000, 10)]
    with Redis(port=server.port) as redis:
        redis.execute_command("CLIENT PAUSE", round(TIMEOUT_S * 1000 / 3))
        assert not (await reserve(ledger, "a", charges)).exceeded
        redis.execute_command("CLIENT PAUSE", round(TIMEOUT_S * 1000 * 3))
        await fails(lambda: reserve(ledger, "b", charges), TIMEOUT_S + SLACK_S)
    await recovered(ledger)
    await until(ledger, [MINUTE], [(0, 10)])


async def test_a_dead_redis_is_unavailable_and_used_again_once_it_is_back(
    ill: tuple[RedisServer, RedisLedger],
) -> None:
    server, ledger = ill
    server.kill()
    for _ in range(3):
        for operation in operations(ledger):
            await fails(operation, TIMEOUT_S + SLACK_S)
    server.start()
    await recovered(ledger)
    receipt = await reserve(ledger, "b", [Take(MINUTE, 10, 10)])
    assert not receipt.exceeded


async def test_a_redis_that_dies_under_load_fails_all_in_time(ill: tuple[RedisServer, RedisLedger]) -> None:
    server, ledger = ill
    slowest = 0.0
    ended = 0
    done = False

    async def client(number: int) -> None:
        nonlocal ended, slowest
        turn = 0
        while not done:
            turn += 1
            began = time.monotonic()
            charges = [Take(MINUTE, 1_000_000_000, 1), Take(RUNNING, 1_000_000, 1)]
            try:
                await reserve(ledger, f"{number}.{turn}", charges)
                await ledger.settle(f"{number}.{turn}", [1, 0])
            except StoreUnavailable:
                await asyncio.sleep(0)
            ended += 1
            slowest = max(slowest, time.monotonic() - began)

    clients = [asyncio.ensure_future(client(number)) for number in range(32)]
    for act in (server.kill, server.start):
        goal = ended + 500
        while ended < goal:
            await asyncio.sleep(0)
        act()
    await recovered(ledger)
    done = True
    await asyncio.gather(*clients)
    assert slowest < 2 * TIMEOUT_S + SLACK_S
    await until(ledger, [RUNNING], [(0, 0)])


async def test_a_full_redis_refuses_to_reserve_and_still_settles(ill: tuple[RedisServer, RedisLedger]) -> None:
    server, ledger = ill
    charges = [Take(MINUTE, 1_000, 0), Take(MINUTE, 1_000, 40), Take(EVER, 1_000, 40)]
    await reserve(ledger, "a", charges)
    with Redis(port=server.port) as redis:
        redis.execute_command("CONFIG", "SET", "maxmemory", 1)
        cause = await fails(lambda: reserve(ledger, "b", charges), TIMEOUT_S + SLACK_S)
        assert "OOM" in str(cause)
        assert amounts(await ledger.levels([MINUTE, EVER])) == [(0, 40), (0, 40)]
        await ledger.settle("a", [0, 7, 7])
        redis.execute_command("CONFIG", "SET", "maxmemory", 0)
    assert amounts(await ledger.levels([MINUTE, EVER])) == [(7, 0), (7, 0)]
    assert not (await reserve(ledger, "b", charges)).exceeded


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_fail_over_is_followed_and_keeps_what_is_spent(tmp_path: Path, how: str) -> None:
    for name in ("master", "replica", "sentinel"):
        (tmp_path / name).mkdir()
    charges = [Take(MINUTE, 100, 40)]
    with RedisServer(tmp_path / "master") as master, RedisServer(tmp_path / "replica", replica_of=master) as replica:
        with Redis(port=replica.port) as redis:
            wait_for(lambda: bool(redis.info("replication")["master_link_status"] == "up"))
        with RedisServer(tmp_path / "sentinel", sentinel_of=master, down_after_ms=400) as sentinel:
            with Redis(port=sentinel.port) as redis:
                wait_for(lambda: bool(redis.execute_command("SENTINEL", "REPLICAS", "ours")))
            async with opened(sentinel.url, timeout_s=TIMEOUT_S) as ledger:
                await recovered(ledger)
                await reserve(ledger, "a", charges)
                await ledger.settle("a", [30])
                await reserve(ledger, "b", charges)
                with Redis(port=master.port) as redis:
                    redis.wait(1, 5_000)
                getattr(master, how)()
                await fails(lambda: reserve(ledger, "c", charges), TIMEOUT_S + SLACK_S)
                await recovered(ledger)
                assert amounts(await ledger.levels([MINUTE])) == [(30, 40)]
                assert (await reserve(ledger, "c", charges)).exceeded == (0,)
                await ledger.settle("b", [40])
                assert amounts(await ledger.levels([MINUTE])) == [(70, 0)]


# --- time ----------------------------------------------------------------------------------


@pytest.fixture
async def leased(server: RedisServer, anyio_backend: str) -> AsyncIterator[tuple[RedisLedger, FakeClock]]:
    """A ledger at a time that stands still, with a reservation of 60 tokens and a slot."""
    clock = FakeClock()
    async with opened(server.url, clock=clock) as ledger:
        await reserve(ledger, "a", [Take(HOUR, 100, 60), Take(RUNNING, 2, 1)])
        yield ledger, clock


async def test_what_a_guard_that_died_held_is_spent_when_its_lease_ends_and_a_slot_is_free(
    leased: tuple[RedisLedger, FakeClock],
) -> None:
    ledger, clock = leased
    clock.advance(LEASE_S - 1)
    assert amounts(await ledger.levels([HOUR, RUNNING])) == [(0, 60), (0, 1)]
    clock.advance(1 + 100.0)
    assert await ledger.levels([HOUR, RUNNING]) == [Level(60, 0, 3_500.0), Level(0, 0, 0.0)]


@pytest.mark.parametrize(("actual", "spent"), [(0, 60), (20, 60), (65, 65)])
async def test_a_late_settlement_adds_what_goes_beyond_and_gives_nothing_back(
    leased: tuple[RedisLedger, FakeClock], actual: int, spent: int
) -> None:
    ledger, clock = leased
    clock.advance(LEASE_S)
    await ledger.settle("a", [actual, 0])
    assert amounts(await ledger.levels([HOUR, RUNNING])) == [(spent, 0), (0, 0)]
    clock.advance(4_000.0)
    assert amounts(await ledger.levels([HOUR])) == [(0, 0)]


async def test_a_late_settlement_does_not_change_a_newer_window(leased: tuple[RedisLedger, FakeClock]) -> None:
    ledger, clock = leased
    clock.advance(LEASE_S + 4_000.0)
    await reserve(ledger, "b", [Take(HOUR, 100, 30)])
    await ledger.settle("b", [30])
    await ledger.settle("a", [0, 0])
    assert amounts(await ledger.levels([HOUR])) == [(30, 0)]


async def test_a_long_request_keeps_what_it_holds(leased: tuple[RedisLedger, FakeClock]) -> None:
    ledger, clock = leased
    for _ in range(10):
        clock.advance(EXTEND_S)
        await ledger.extend()
    assert amounts(await ledger.levels([HOUR, RUNNING])) == [(0, 60), (0, 1)]
    await ledger.settle("a", [30, 0])
    assert amounts(await ledger.levels([HOUR, RUNNING])) == [(30, 0), (0, 0)]


async def test_a_guard_keeps_what_it_holds_by_itself(
    leased: tuple[RedisLedger, FakeClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, clock = leased
    monkeypatch.setattr(ledger_redis, "TICK_S", 0.001)
    keeping = asyncio.ensure_future(ledger.keep())
    for _ in range(4):
        clock.advance(EXTEND_S)
        async with asyncio.timeout(20):
            while ledger._open["a"].since < clock.monotonic():
                await asyncio.sleep(0.001)
    keeping.cancel()
    await asyncio.wait([keeping])
    assert amounts(await ledger.levels([HOUR, RUNNING])) == [(0, 60), (0, 1)]


async def test_a_lease_that_could_not_be_extended_is_tried_again(ill: tuple[RedisServer, RedisLedger]) -> None:
    server, ledger = ill
    await reserve(ledger, "a", [Take(HOUR, 100, 60)])
    ledger._open["a"].since -= EXTEND_S
    due = ledger._open["a"].since
    server.freeze()
    await ledger.extend()
    assert ledger._open["a"].since == due
    server.thaw()
    await recovered(ledger)
    await ledger.extend()
    assert ledger._open["a"].since > due


async def test_what_did_not_fit_is_not_held(leased: tuple[RedisLedger, FakeClock]) -> None:
    ledger, _ = leased
    assert (await reserve(ledger, "b", [Take(HOUR, 100, 41)])).exceeded == (0,)
    assert (await reserve(ledger, "c", [], "key:k")).exceeded == ()
    assert [*ledger._open] == ["a"]
    await ledger.settle("a", [30, 0])
    assert not ledger._open


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
async def test_a_guards_clock_that_steps_changes_nothing(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    async with opened(server.url) as ledger:
        await reserve(ledger, "a", [Take(MINUTE, 100, 60)])
        await ledger.settle("a", [60])
        now = SystemClock().time
        monkeypatch.setattr(time, "time", lambda: now() + step_s)
        receipt = await reserve(ledger, "b", [Take(MINUTE, 100, 60)])
        assert receipt.exceeded == (0,)
        assert receipt.retry_after_s is not None
        assert 50 < receipt.retry_after_s <= 60


async def test_a_servers_clock_that_goes_back_frees_nothing_early_and_all_within_a_window(server: RedisServer) -> None:
    clock = FakeClock()
    clock.advance(86_400)
    charges = [Take(MINUTE, 100, 60)]
    async with opened(server.url, clock=clock) as ledger:
        await reserve(ledger, "a", charges)
        await ledger.settle("a", [60])
        clock.advance(-3600)
        assert (await reserve(ledger, "b", charges)).retry_after_s == 60
        await reserve(ledger, "c", [Take(MINUTE, 100, 1)])
        clock.advance(59)
        assert (await reserve(ledger, "d", charges)).exceeded == (0,)
        await ledger.settle("c", [0])
        clock.advance(1)
        assert amounts(await ledger.levels([MINUTE])) == [(0, 0)]


async def test_keys_are_gone_once_they_cannot_matter(server: RedisServer) -> None:
    day = Counter("user:alice", "tokens/1d", 86_400.0)
    charges = [Take(counter, 1_000, 10) for counter in (MINUTE, RUNNING, EVER, day)]
    async with opened(server.url) as ledger:
        await reserve(ledger, "a", charges)
        assert ttls(server) == {
            **dict.fromkeys(names(MINUTE), range(120, 182)),
            **dict.fromkeys(names(RUNNING), range(60, 122)),
            **dict.fromkeys(names(EVER), range(-1, 0)),
            **dict.fromkeys(names(day), range(86_460, 86_522)),
        }
        await ledger.settle("a", [1, 0, 0, 1])
        assert ttls(server) == {names(MINUTE)[0]: range(60, 122), names(day)[0]: range(86_400, 86_462)}


class Within(int):
    """A number that equals a range that it lies in."""

    def __eq__(self, other: object) -> bool:
        return int(self) in other if isinstance(other, range) else NotImplemented

    __hash__ = int.__hash__


def names(counter: Counter) -> tuple[str, str]:
    """Its two keys."""
    tail = f"{{{counter.subject}}}:{counter.measure}"
    return f"llmguard:quota:{tail}", f"llmguard:held:{tail}"


def ttls(server: RedisServer) -> dict[str, Within]:
    """The seconds that each key has left."""
    with Redis(port=server.port) as redis:
        return {name.decode(): Within(redis.ttl(name)) for name in redis.scan_iter("*")}


async def test_a_counter_stays_small_however_much_is_spent(server: RedisServer) -> None:
    clock = FakeClock()
    async with opened(server.url, clock=clock) as ledger:
        for turn in range(600):
            charges = [Take(MINUTE, 1_000_000, 3)]
            await reserve(ledger, f"{turn}", charges)
            await ledger.settle(f"{turn}", [3])
            clock.advance(0.25)
        with Redis(port=server.port) as redis:
            assert len(redis.get(names(MINUTE)[0])) < 500
        spent = (await ledger.levels([MINUTE]))[0].spent
        assert 3 * 240 <= spent <= 3 * (240 + 15 + 1)


async def test_the_benchmark_in_small(server: RedisServer) -> None:
    rows = await quotas_redis.measure(server.url, server.process(), 0.2, rounds=1)
    assert [(row["target"], row["concurrent"]) for row in rows] == [
        ("llmguard", 32),
        ("llmguard", 1),
        ("redis-py", 32),
        ("redis-py", 1),
    ]
    ours, _, plain, _ = (float(str(row["cpu_us"])) for row in rows)
    assert ours < plain


def test_the_slow_proof_in_small() -> None:
    (report,) = ledger_histories.run(1, {"redis": 2})
    assert report.failures == []
    assert report.rows[0]["histories"] == 2


async def test_the_store_has_a_ledger(server: RedisServer) -> None:
    store = open_store(StoreSettings(url=server.url, timeout_ms=5_000), clock=FakeClock())
    assert isinstance(store, RedisStore)
    assert amounts(await store.ledger.levels([MINUTE])) == [(0, 0)]
    await store.close()
