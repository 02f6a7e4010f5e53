"""The shelf in a file: what outlives the process, whatever ends it."""

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from llmguard.store.file import FILE, FileStore
from llmguard.store.ledger import Counter, Level
from llmguard.store.ledger_local import LocalLedger
from llmguard.store.shelf_file import PATIENCE_S
from llmguard.store.store import StoreUnavailable
from tests.fakes.clock import FakeClock
from tests.store.ledgers import FileLedger
from tests.store.takes import Take, reserve

pytestmark = pytest.mark.anyio

MINUTE = Counter("user:alice", "tokens", 60.0)
DAY = Counter("user:alice", "tokens day", 86_400.0)
LIFE = Counter("user:alice", "credits", None)
SLOTS = Counter("tenant:acme", "concurrent", None, level=True)
ALL = (MINUTE, DAY, LIFE, SLOTS)

SPENDER = """
import asyncio, sys
from pathlib import Path
from llmguard.clock import SystemClock
from llmguard.store.file import FileStore
from llmguard.store.ledger import Counter
from tests.store.takes import Take, reserve

async def main():
    ledger = FileStore(Path(sys.argv[1]), clock=SystemClock(), timeout_s=5.0).ledger
    counters = [Counter("user:alice", "tokens day", 86_400.0), Counter("user:alice", "credits", None)]
    slot = Take(Counter("tenant:acme", "concurrent", None, level=True), 9, 1)
    await reserve(ledger, "open", [Take(counter, 1 << 40, 1_000_000) for counter in counters])
    charges = [Take(counter, 1 << 40, 5) for counter in counters] + [slot]
    for n in range(1_000_000):
        await reserve(ledger, str(n), charges)
        await ledger.settle(str(n), [1, 1, 0])
        print(n + 1, flush=True)
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


def opened(directory: Path, clock: FakeClock) -> FileStore:
    """A store in the directory."""
    return FileStore(directory, clock=clock, timeout_s=0.5)


def spender(directory: Path) -> "subprocess.Popen[str]":
    """A process that spends one after the other, and says after each how much it has spent; a million stay reserved."""
    command = [sys.executable, "-c", SPENDER, str(directory)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


async def spend(ledger: LocalLedger, amount: int, *counters: Counter) -> None:
    """Reserve and settle at once."""
    charges = [Take(counter, 1_000_000, amount) for counter in counters]
    assert not (await reserve(ledger, "spender", charges)).exceeded
    await ledger.settle("spender", [amount] * len(charges))


async def spent(ledger: LocalLedger, *counters: Counter) -> list[int]:
    """What counts."""
    return [level.spent for level in await ledger.levels(counters)]


async def test_long_windows_and_lifetimes_are_there_after_a_restart_and_short_ones_are_not(tmp_path: Path) -> None:
    clock = FakeClock()
    store = opened(tmp_path, clock)
    await spend(store.ledger, 10, MINUTE, DAY, LIFE)
    await store.ledger.grant(LIFE, 3)
    await store.close()
    clock.advance(100.0)
    store = opened(tmp_path, clock)
    assert await store.ledger.levels(ALL) == [
        Level(0, 0, 0.0), Level(10, 0, 86_300.0), Level(7, 0, None), Level(0, 0, 0.0)
    ]  # fmt: skip
    clock.advance(86_300.0)
    assert await spent(store.ledger, DAY, LIFE) == [0, 7]
    await store.close()


async def test_a_killed_process_loses_at_most_a_second_of_spend(tmp_path: Path) -> None:
    process = spender(tmp_path)
    assert process.stdout
    lines: list[tuple[float, int]] = []
    loop = asyncio.get_running_loop()
    while not lines or lines[-1][0] < lines[0][0] + 2.0:
        line = await asyncio.to_thread(process.stdout.readline)
        lines.append((loop.time(), int(line)))
    process.send_signal(signal.SIGKILL)
    rest = process.communicate()[0].split()
    ends, total = loop.time(), int(rest[-1]) if rest else lines[-1][1]
    sure = max(number for at, number in lines if at < ends - 1.0)
    store = opened(tmp_path, FakeClock(lines[-1][0]))
    day, life, slots = await spent(store.ledger, DAY, LIFE, SLOTS)
    assert sure > 20
    for spent_by_then in (day, life):
        assert 1_000_000 + sure <= spent_by_then <= 1_000_000 + total + 5, "what was reserved is spent in full"
    assert slots == 0
    await store.close()


async def test_a_change_is_in_the_file_within_a_second(tmp_path: Path) -> None:
    store = opened(tmp_path, FakeClock())
    await spend(store.ledger, 10, DAY)
    began = asyncio.get_running_loop().time()
    with sqlite3.connect(tmp_path / FILE, isolation_level=None) as other:
        while other.execute("SELECT count(*) FROM counters").fetchone() == (0,):
            await asyncio.sleep(0.01)
    other.close()
    assert asyncio.get_running_loop().time() - began < 1.0
    await store.close()


@pytest.mark.parametrize("step_s", [-3600.0, -1e9])
async def test_a_wall_clock_that_went_back_gives_nothing_back_and_takes_nothing(tmp_path: Path, step_s: float) -> None:
    clock = FakeClock()
    store = opened(tmp_path, clock)
    await spend(store.ledger, 10, DAY)
    await store.close()
    clock.set_wall(step_s)
    store = opened(tmp_path, clock)
    assert await store.ledger.levels([DAY]) == [Level(10, 0, 86_400.0)]
    clock.advance(86_400.0)
    assert await spent(store.ledger, DAY) == [0]
    await store.close()


async def test_a_wall_clock_set_while_it_runs_is_no_time_at_the_next_start(tmp_path: Path) -> None:
    clock = FakeClock()
    store = opened(tmp_path, clock)
    await spend(store.ledger, 10, DAY)
    clock.set_wall(3600.0)
    await spend(store.ledger, 10, DAY)
    await store.close()
    clock.advance(10.0)
    store = opened(tmp_path, clock)
    assert await store.ledger.levels([DAY]) == [Level(20, 0, 86_390.0)]
    await store.close()


async def test_a_reset_is_kept_and_an_ended_window_leaves_the_file(tmp_path: Path) -> None:
    clock = FakeClock()
    store = opened(tmp_path, clock)
    await spend(store.ledger, 10, DAY, LIFE)
    await store.close()
    store = opened(tmp_path, clock)
    await store.ledger.reset([LIFE])
    clock.advance(86_401.0)
    await spend(store.ledger, 1, Counter("user:bob", "tokens", 3600.0))
    await store.close()
    with sqlite3.connect(tmp_path / FILE) as other:
        assert other.execute("SELECT count(*) FROM counters").fetchone() == (1,)
    other.close()


async def test_slots_that_are_free_again_leave_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path, FakeClock())
    charges = [Take(SLOTS, 1, 1)]
    await reserve(store.ledger, "a", charges)
    await store.ledger.settle("a", [0])
    await store.close()
    with sqlite3.connect(tmp_path / FILE) as other:
        assert other.execute("SELECT count(*) FROM counters").fetchone() == (0,)
    other.close()


async def test_many_changes_at_once_are_all_written(tmp_path: Path) -> None:
    clock = FakeClock()
    counters = [Counter(f"user:{n}", "tokens", 86_400.0) for n in range(3500)]
    store = opened(tmp_path, clock)
    for counter in counters:
        await spend(store.ledger, 2, counter)
    await store.close()
    store = opened(tmp_path, clock)
    assert await spent(store.ledger, *counters) == [2] * 3500
    await store.close()


async def test_what_is_being_written_is_seen_and_what_changes_meanwhile_is_written_next(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path / "ledger", clock=FakeClock(), generation=1)
    go_on = Event()
    ledger._thread.submit(go_on.wait)
    assert ledger._durable
    await spend(ledger, 10, DAY)
    try:
        while ledger._durable._write is None:
            await asyncio.sleep(0.01)
        for total in (10, 15):
            for other in (LIFE, SLOTS, MINUTE):
                await ledger.levels([other])
            assert (await spent(ledger, DAY)) == [total]
            await spend(ledger, 5, DAY)
    finally:
        go_on.set()
    await ledger.close()
    ledger = FileLedger(tmp_path / "ledger", clock=FakeClock(), generation=1)
    assert await spent(ledger, DAY) == [20]
    await ledger.close()


async def test_while_nothing_can_be_written_nothing_is_held_and_nothing_lost(tmp_path: Path) -> None:
    clock = FakeClock()
    store = opened(tmp_path, clock)
    ledger = store.ledger
    await spend(ledger, 1, LIFE)
    while not (tmp_path / f"{FILE}-wal").stat().st_size or ledger._durable is None or ledger._durable._write:
        await asyncio.sleep(0.01)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        await spend(ledger, 10, LIFE)
        while ledger._durable.failed is None:
            await asyncio.sleep(0.01)
        await spend(ledger, 20, DAY)  # LIFE does not change again: the write that failed must be made again
        clock.advance(PATIENCE_S)
        with pytest.raises(StoreUnavailable) as raised:
            await reserve(ledger, "a", [Take(DAY, 100, 1)])
        assert isinstance(raised.value.__cause__, sqlite3.Error)
        assert await spent(ledger, DAY) == [20]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    while ledger._durable.failed:
        await asyncio.sleep(0.01)
    await spend(ledger, 10, DAY)
    await store.close()
    store = opened(tmp_path, clock)
    assert await spent(store.ledger, DAY, LIFE) == [30, 11]
    await store.close()


async def test_a_row_that_is_no_window_is_a_failure_and_nothing_is_held(tmp_path: Path) -> None:
    store = opened(tmp_path, FakeClock())
    await spend(store.ledger, 10, DAY)
    await store.close()
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("UPDATE counters SET runs = x'00'")
    other.close()
    store = opened(tmp_path, FakeClock())
    with pytest.raises(StoreUnavailable):
        await reserve(store.ledger, "a", [Take(LIFE, 100, 1), Take(DAY, 100, 1)])
    assert (await store.ledger.levels([LIFE])) == [Level(0, 0, 0.0)]
    await store.close()


def test_the_file_shows_no_subject(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path, FakeClock())
        await spend(store.ledger, 10, DAY)
        await store.close()

    asyncio.run(main())
    assert b"alice" not in (tmp_path / FILE).read_bytes()
    assert os.listdir(tmp_path) == [FILE]
