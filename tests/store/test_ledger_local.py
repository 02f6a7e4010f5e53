"""What the local ledger costs, in small: the proofs at full size are benchmarks."""

import pytest

from llmguard.store.ledger import Counter, Level
from llmguard.store.ledger_local import GENERATION, LocalLedger
from tests.benchmarks import ledger_histories, quotas_local
from tests.fakes.clock import FakeClock
from tests.store.takes import Take, reserve

pytestmark = pytest.mark.anyio


async def test_one_counter_twice_in_a_request_is_charged_twice() -> None:
    ledger = LocalLedger(clock=FakeClock())
    counter = Counter("user:alice", "tokens", 60.0)
    twice = [Take(counter, 100, 60), Take(counter, 100, 60)]
    assert (await reserve(ledger, "a", twice)).exceeded
    assert await ledger.levels([counter]) == [Level(0, 0, 0.0)]
    twice = [Take(counter, 100, 50), Take(counter, 100, 50)]
    assert not (await reserve(ledger, "b", twice)).exceeded
    await ledger.settle("b", [20, 30])
    assert await ledger.levels([counter]) == [Level(50, 0, 60.0)]


async def test_what_is_held_here_is_held_as_long_as_it_takes() -> None:
    clock = FakeClock()
    ledger = LocalLedger(clock=clock)
    counter = Counter("user:alice", "tokens", 64.0)
    await reserve(ledger, "a", [Take(counter, 100, 60)])
    clock.advance(86_400.0)
    assert await ledger.levels([counter]) == [Level(0, 60, 0.0)]
    await ledger.settle("a", [20])
    assert await ledger.levels([counter]) == [Level(20, 0, 64.0)]


def test_the_benchmark_in_small() -> None:
    cpu, memory = quotas_local.run(1, principals=40_000, users=3_000)
    assert cpu.rows[0]["target"] == "memory, 100 users"
    assert float(str(cpu.rows[0]["fastest_us"])) < 10 * quotas_local.TARGET_US, "a hang or a scan, not a slow machine"
    # What is at hand is 33,000 counters at 400 bytes, however many principals there are.
    assert 0 < float(str(memory.rows[0]["bytes_each"])) < quotas_local.TARGET_BYTES + 33_000 * 500 / 40_000


def test_the_slow_proof_in_small() -> None:
    (report,) = ledger_histories.run(1, {"memory": 2, "file, shelving": 2})
    assert [row["histories"] for row in report.rows] == [2, 2]
    assert report.failures == []


async def test_a_note_ends_and_old_ones_are_swept() -> None:
    clock = FakeClock()
    ledger = LocalLedger(clock=clock)
    for number in range(2 * GENERATION):
        await ledger.note(f"key:{number}", "x", 60.0)
        clock.advance(0.01)
    assert len(ledger._notes) < 1.2 * GENERATION
    assert (await reserve(ledger, "r", [], f"key:{2 * GENERATION - 1}")).note == "x"
    clock.advance(60.0)
    assert (await reserve(ledger, "r", [], f"key:{2 * GENERATION - 1}")).note is None


async def test_charges_that_were_used_before_find_their_counters_on_the_shelf() -> None:
    """What is kept of charges goes with the generation: else they would be held to what was spent back then."""
    ledger = LocalLedger(clock=FakeClock(), generation=4)
    takes = [Take(Counter("user:a", "tokens", 60.0), 20, 10)]
    for number in range(3):
        receipt = await reserve(ledger, f"{number}", takes)
        assert bool(receipt.exceeded) == (number == 2)
        if not receipt.exceeded:
            await ledger.settle(f"{number}", [5 + number])
        for other in range(32):
            await ledger.levels([Counter(f"user:{number}.{other}", "tokens", 60.0)])
    assert len(ledger._accounts) <= 4
