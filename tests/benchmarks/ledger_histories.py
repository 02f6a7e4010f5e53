"""The slow proof of the local ledger: ten thousand random histories beside the model."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from llmguard.store.ledger import Ledger
from llmguard.store.ledger_local import LocalLedger
from tests.benchmarks.report import Report, Row
from tests.fakes.clock import FakeClock
from tests.store.ledger_machine import OpenLedger, check_histories
from tests.store.ledgers import FileLedger

HISTORIES: Mapping[str, int] = {"memory": 5_000, "memory, shelving": 4_000, "file, shelving": 1_000}
STEPS = 30


def opener(kind: str, scratch: Path) -> OpenLedger:
    """What opens an empty ledger of a kind."""
    generation = 1 if "shelving" in kind else 1000
    numbers = count()

    @asynccontextmanager
    async def opened(clock: FakeClock) -> AsyncIterator[Ledger]:
        local = (
            LocalLedger(clock=clock, generation=generation)
            if "memory" in kind
            else FileLedger(scratch / str(next(numbers)), clock=clock, generation=generation)
        )
        yield local
        await local.close()

    return opened


def run(seconds: int, histories: Mapping[str, int] = HISTORIES) -> list[Report]:
    """The proof, however long it takes: `seconds` changes nothing."""
    rows: list[Row] = []
    failures: list[str] = []
    for kind, number in histories.items():
        began = perf_counter()
        with TemporaryDirectory() as scratch:
            try:
                check_histories(opener(kind, Path(scratch)), number, STEPS)
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
