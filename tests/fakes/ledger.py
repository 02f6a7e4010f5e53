"""A ledger that fails on request."""

from collections.abc import Sequence

from llmguard.store.ledger import Charges, Counter, Ledger, Level, Receipt
from llmguard.store.store import StoreUnavailable


class FailingLedger:
    """Another ledger, which cannot be reached while `failing`; `calls` counts what was asked of it meanwhile."""

    def __init__(self, ledger: Ledger) -> None:
        self.failing = False
        self.calls = 0
        self._ledger = ledger

    def _ask(self) -> Ledger:
        if self.failing:
            self.calls += 1
            raise StoreUnavailable("on request")
        return self._ledger

    async def reserve(self, id: str, charges: Charges, amounts: Sequence[int], about: str | None = None) -> Receipt:
        """Reserve, or fail."""
        return await self._ask().reserve(id, charges, amounts, about)

    async def settle(self, id: str, actual: Sequence[int]) -> None:
        """Settle, or leave it."""
        if self.failing:
            self.calls += 1
        else:
            await self._ledger.settle(id, actual)

    async def keep(self) -> None:
        """Let reservations last."""
        await self._ledger.keep()

    async def levels(self, counters: Sequence[Counter]) -> list[Level]:
        """Look, failing or not: tests do."""
        return await self._ledger.levels(counters)

    async def reset(self, counters: Sequence[Counter]) -> None:
        """Reset, or fail."""
        await self._ask().reset(counters)

    async def grant(self, counter: Counter, amount: int) -> None:
        """Grant, or fail."""
        await self._ask().grant(counter, amount)

    async def note(self, subject: str, text: str | None, lasts_s: float) -> None:
        """Note, or fail."""
        await self._ask().note(subject, text, lasts_s)
