"""What the local ledger costs: CPU of a reservation with its settlement, and memory for each of many principals.

Memory is measured in a process of its own: what an earlier benchmark left there would hide it.
"""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

import psutil

from llmguard.clock import SystemClock
from llmguard.store.file import FileStore
from llmguard.store.ledger import Charge, Charges, Counter
from llmguard.store.ledger_local import LocalLedger
from llmguard.store.memory import MemoryStore
from tests.benchmarks.report import Report, Row

TARGET_US = 10.0
TARGET_BYTES = 300.0
PRINCIPALS = 1_000_000
USERS = 100_000
"""More than a ledger keeps at hand: each request finds its counters on the shelf."""
CALLS = 2_000
"""Requests in one timing."""


def charges(key: int, user: int) -> tuple[Charge, ...]:
    """The six charges of the example policy for one request."""
    return (
        Charge(Counter(f"key:{key}", "requests", 60.0), 1 << 40),
        Charge(Counter(f"user:{user}", "tokens", 60.0), 1 << 40),
        Charge(Counter(f"user:{user}", "tokens day", 86_400.0), 1 << 40),
        Charge(Counter("tenant:acme", "concurrent", None), 1 << 40),
        Charge(Counter("ip:192.0.2.1", "requests", 60.0), 1 << 40),
        Charge(Counter("global:", "tokens", 86_400.0), 1 << 40),
    )


HELD = (1, 900, 900, 1, 1, 900)
ACTUAL = (1, 400, 400, 0, 1, 400)


async def request_us(ledger: LocalLedger, taken: Sequence[Charges]) -> float:
    """CPU microseconds of a reservation and its settlement, over all of `taken`, the whole process's."""
    began = process_time()
    for number, charged in enumerate(taken):
        id = f"request {number}"
        await ledger.reserve(id, charged, HELD)
        await ledger.settle(id, ACTUAL)
    await asyncio.sleep(0)
    return (process_time() - began) / len(taken) * 1e6


async def timings(ledger: LocalLedger, rounds: int, users: int) -> list[float]:
    """The cost in each of some rounds, of requests by `users` users in turn."""
    taken = [charges(number % users, number % users) for number in range(max(CALLS, users))]
    await request_us(ledger, taken)
    return [await request_us(ledger, taken) for _ in range(rounds)]


def row(name: str, found: Sequence[float]) -> Row:
    """The rounds as one row."""
    ordered = sorted(found)
    return {
        "target": name,
        "median_us": median(ordered),
        "fastest_us": ordered[0],
        "slowest_us": ordered[-1],
        "rounds": len(ordered),
    }


async def cpu(rounds: int, users: int) -> list[Row]:
    """Both stores, with few users, and the memory store with more of them than it keeps at hand."""
    memory = MemoryStore(clock=SystemClock())
    rows = [row("memory, 100 users", await timings(memory.ledger, rounds, 100))]
    rows.append(row(f"memory, {users:,} users in turn", await timings(memory.ledger, 1, users)))
    await memory.close()
    with TemporaryDirectory() as directory:
        file = FileStore(Path(directory), clock=SystemClock(), timeout_s=5.0)
        rows.append(row("file, 100 users", await timings(file.ledger, rounds, 100)))
        await file.close()
    return rows


async def bytes_each(principals: int) -> tuple[float, float, float]:
    """Resident bytes that each principal adds after one settled request: a key's counter and two of a user.

    Also the CPU microseconds of such a request and the longest of them, in milliseconds.
    """
    store = MemoryStore(clock=SystemClock())
    ledger = store.ledger
    await request_us(ledger, [charges(-1, -1)])
    process, longest, cpu_s = psutil.Process(), 0.0, 0.0
    before = process.memory_info().rss
    for number in range(principals):
        charged = charges(number, number)[:3]
        began = process_time()
        await ledger.reserve("request", charged, HELD[:3])
        await ledger.settle("request", ACTUAL[:3])
        taken = process_time() - began
        cpu_s += taken
        longest = max(longest, taken)
    size = (process.memory_info().rss - before) / principals
    await store.close()
    return size, cpu_s / principals * 1e6, longest * 1e3


def memory(principals: int) -> Row:
    """`bytes_each` in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.quotas_local", str(principals)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    size, us, longest_ms = map(float, printed.split())
    return {
        "target": "memory, a request each",
        "principals": principals,
        "bytes_each": size,
        "mean_us": us,
        "longest_ms": longest_ms,
    }


def run(seconds: int, principals: int = PRINCIPALS, users: int = USERS) -> list[Report]:
    """The benchmark; a missed target is a failure."""
    rows = asyncio.run(cpu(max(3, seconds), users))
    kept = memory(principals)
    slow = [
        f"{row['target']}: {row['fastest_us']:.1f} µs, more than {TARGET_US:g}"
        for row in rows[:1]
        if float(str(row["fastest_us"])) > TARGET_US
    ]
    size = float(str(kept["bytes_each"]))
    large = [f"{size:.0f} bytes a principal, more than {TARGET_BYTES:g}"] if size > TARGET_BYTES else []
    return [
        Report("quotas: CPU of reserve + settle, six charges, local ledger", rows, failures=slow),
        Report("quotas: memory of principals, three counters each", [kept], failures=large),
    ]


if __name__ == "__main__":
    print(*asyncio.run(bytes_each(int(sys.argv[1]))))
