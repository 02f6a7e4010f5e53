"""The slow proof of the ledgers: ten thousand random histories beside the model, and as many of Redis."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from llmguard.store.ledger import Ledger
from llmguard.store.ledger_local import LocalLedger
from tests.benchmarks.report import Report, Row
from tests.fakes.clock import FakeClock
from tests.redis_server import RedisServer
from tests.store import redis_ledgers
from tests.store.ledger_machine import OpenLedger, check_histories
from tests.store.ledgers import FileLedger

HISTORIES: Mapping[str, int] = {"memory": 5_000, "memory, shelving": 4_000, "file, shelving": 1_000, "redis": 10_000}
STEPS = 30


@contextmanager
def opener(kind: str, scratch: Path) -> Iterator[OpenLedger]:
    """What opens an empty ledger of a kind."""
    if kind == "redis":
        with RedisServer(scratch) as server:
            yield shared(server)
    else:
        yield local(kind, scratch)


def shared(server: RedisServer) -> OpenLedger:
    """A ledger on a server, which is empty each time."""

    @asynccontextmanager
    async def opened(clock: FakeClock) -> AsyncIterator[Ledger]:
        server.clear()
        async with redis_ledgers.opened(server.url, clock=clock) as ledger:
            yield ledger

    return opened


def local(kind: str, scratch: Path) -> OpenLedger:
    """A local ledger, over a file of its own or none."""
    generation = 1 if "shelving" in kind else 1000
    numbers = count()

    @asynccontextmanager
    async def opened(clock: FakeClock) -> AsyncIterator[Ledger]:
        ledger = (
            LocalLedger(clock=clock, generation=generation)
            if "memory" in kind
            else FileLedger(scratch / str(next(numbers)), clock=clock, generation=generation)
        )
        yield ledger
        await ledger.close()

    return opened


def run(seconds: int, histories: Mapping[str, int] = HISTORIES) -> list[Report]:
    """The proof, however long it takes: `seconds` changes nothing."""
    rows: list[Row] = []
    failures: list[str] = []
    for kind, number in histories.items():
        began = perf_counter()
        with TemporaryDirectory() as scratch, opener(kind, Path(scratch)) as open_ledger:
            try:
                check_histories(open_ledger, number, STEPS)
            except AssertionError as error:
                failures.append(f"{kind}: {error}")
        rows.append(
            {
                "target": f"llmguard, {kind}",
                "histories": number,
                "steps_each": STEPS,
                "took_s": perf_counter() - began,
            }
        )
    return [Report("ledger: random histories beside the model", rows, failures=failures)]
