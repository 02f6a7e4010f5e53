"""What the quotas of one chat request cost with Redis: reserve and settle of the six charges of the example policy.

`cpu_us` is this process's, per request, and includes what the load itself takes; `server_cpu_us` is Redis's. Beside
the ledger stands redis-py's plain way: the same scripts and arguments, a command of its own for each. All take turns;
figures are medians over the rounds, with the least and the most.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import psutil
import uvloop
from redis.asyncio import Redis

from llmguard.store.ledger import Charges, Counter
from llmguard.store.ledger_redis import LEASE_S, RedisLedger, load_script
from llmguard.store.redis_client import CONNECTION, open_client
from tests.benchmarks.report import Report, Row
from tests.redis_server import RedisServer
from tests.store.takes import Take, parted

TITLE = "quotas in Redis: reserve and settle of one chat request's six charges"
CONCURRENT = (32, 1)
ROUNDS = 5
TIMEOUT_S = 5.0
ACTUAL = (1, 321, 321, 0, 1, 321)

Asked = tuple[Charges, Sequence[int]]
Request = Callable[[str, Asked], Awaitable[None]]


def charges(user: int) -> Asked:
    """What a request of the example policy takes; never refused."""
    takes = [
        Take(Counter(f"key:k{user}", "requests/1m", 60.0), 1 << 40, 1),
        Take(Counter(f"user:u{user}", "tokens/1m", 60.0), 1 << 40, 600),
        Take(Counter(f"user:u{user}", "tokens/1d", 86_400.0), 1 << 40, 600),
        Take(Counter(f"tenant:t{user % 4}", "concurrent", 0.0), 1 << 40, 1),
        Take(Counter(f"ip:10.0.0.{user}", "requests/1m", 60.0), 1 << 40, 1),
        Take(Counter("global:", "tokens/1d", 86_400.0), 1 << 50, 600),
    ]
    return parted(takes)


def ours(ledger: RedisLedger) -> Request:
    """The ledger."""

    async def request(id: str, asked: Asked) -> None:
        receipt = await ledger.reserve(id, *asked)
        assert not receipt.exceeded
        await ledger.settle(id, ACTUAL)

    return request


def plain(redis: Redis) -> Request:
    """redis-py, a command at a time on a connection of its pool, with the ledger's scripts."""
    encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode
    reserve, settle = load_script("reserve", decode), load_script("settle", int)

    async def request(id: str, asked: Asked) -> None:
        charges, amounts = asked
        tails = [f"{{{charge.counter.subject}}}:{charge.counter.measure}" for charge in charges]
        keys = [key for tail in tails for key in (f"llmguard:quota:{tail}", f"llmguard:held:{tail}")]
        taken = [*zip(charges, amounts, strict=True)]
        rows: list[Any] = [(charge.counter.every_s, charge.limit, n, charge.forced) for charge, n in taken]
        answer = await redis.execute_command("EVALSHA", reserve.sha, 12, *keys, encode((id, -1, LEASE_S, rows)))
        assert not decode(answer)[1]
        rows = [(charge.counter.every_s, n, used) for (charge, n), used in zip(taken, ACTUAL, strict=True)]
        await redis.execute_command("EVALSHA", settle.sha, 12, *keys, encode((id, -1, 0, rows)))

    return request


async def load(request: Request, name: str, concurrent: int, seconds: float, server: psutil.Process) -> Row:
    """So many clients for so long."""
    latencies: list[float] = []
    ends = time.perf_counter() + seconds

    async def client(user: int) -> None:
        mine = charges(user)
        while (began := time.perf_counter()) < ends:
            await request(f"{name}-{user}-{len(latencies)}", mine)
            latencies.append(time.perf_counter() - began)

    server_cpu, cpu, began = sum(server.cpu_times()[:2]), time.process_time(), time.perf_counter()
    await asyncio.gather(*map(client, range(concurrent)))
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    count = len(latencies)
    return {
        "cpu_us": cpu / count * 1e6,
        "server_cpu_us": (sum(server.cpu_times()[:2]) - server_cpu) / count * 1e6,
        "p50_ms": median(latencies) * 1e3,
        "p99_ms": sorted(latencies)[int(0.99 * count)] * 1e3,
        "requests_per_s": count / took,
        "requests": count,
    }


async def measure(url: str, server: psutil.Process, seconds: float, rounds: int = ROUNDS) -> list[Row]:
    """A row for each way and each number of concurrent requests: `seconds` over all rounds of a row."""
    client = open_client(url)
    ledger = RedisLedger(client, timeout_s=TIMEOUT_S)
    redis = Redis.from_url(url, **CONNECTION)
    ways = {"llmguard": ours(ledger), "redis-py": plain(redis)}
    found: dict[tuple[str, int], list[Row]] = {(name, many): [] for name in ways for many in CONCURRENT}
    for name, way in ways.items():  # loads the scripts, opens the connections
        await load(way, f"{name}-first", max(CONCURRENT), min(0.5, seconds / rounds), server)
    for turn in range(rounds):
        for (name, many), rows in found.items():
            rows.append(await load(ways[name], f"{name}-{turn}-{many}", many, seconds / rounds, server))
    await redis.aclose()
    await ledger.close()
    await client.close()
    return [{"target": name, "concurrent": many, **middle(rows)} for (name, many), rows in found.items()]


def middle(rows: Sequence[Row]) -> Row:
    """The median of each figure, of the first also the least and the most; requests are summed."""
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    figures: dict[str, object] = {name: median(values) for name, values in columns.items()}
    cpu = columns["cpu_us"]
    return {**figures, "requests": sum(columns["requests"]), "cpu_us_min": min(cpu), "cpu_us_max": max(cpu)}


def run(seconds: int) -> list[Report]:
    """The benchmark: `seconds` of load for each row."""
    with tempfile.TemporaryDirectory() as scratch, RedisServer(Path(scratch)) as server:
        return [Report(TITLE, uvloop.run(measure(server.url, server.process(), seconds)))]
