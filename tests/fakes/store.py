"""A store that counts what it is asked, and fails on request."""

from collections import Counter

from llmguard.store.memory import MemoryStore
from llmguard.store.store import KeyRecord, StoreUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FailingLedger


class FakeStore(MemoryStore):
    """Memory, with `calls` by name; while `failing`, no key can be found; `counters.failing` is the ledger's."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.calls: Counter[str] = Counter()
        self.failing = False
        self.counters = FailingLedger(super().ledger)

    @property
    def ledger(self) -> FailingLedger:  # type: ignore[override]  # behind what can be made to fail
        """The counters."""
        return self.counters

    async def find_key(self, lookup: str) -> KeyRecord | None:
        """Count, then find."""
        self.calls["find_key"] += 1
        if self.failing:
            raise StoreUnavailable("on request")
        return await super().find_key(lookup)
