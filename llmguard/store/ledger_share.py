"""`on_failure: share`: without the store, each guard counts for itself against its share of every limit."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from llmguard.store.ledger import Charges, Counter, Ledger, Level, Receipt
from llmguard.store.store import StoreUnavailable

KEPT_S: Final = 3600.0
"""How long a guard goes by a note that it cannot read anew."""
MOST_KNOWN: Final = 100_000


class ShareLedger:
    """A ledger that all guards share, and where that one fails, a local one with each limit divided by `replicas`.

    While the shared one is away the guards together give at most the limit in every interval, since each gives at
    most its share; what was spent there before is not known here, so an interval that holds the failure can hold up
    to twice the limit, and never more. Concurrency likewise. A reservation is settled where it was made. Notes
    that were read before the failure go on to hold.
    """

    def __init__(self, shared: Ledger, local: Ledger, replicas: int) -> None:
        self._shared = shared
        self._local = local
        self._replicas = replicas
        self._here: set[str] = set()
        self._known: dict[str, str] = {}

    async def reserve(self, id: str, charges: Charges, amounts: Sequence[int], about: str | None = None) -> Receipt:
        """Hold the amounts in the shared ledger, or against this guard's share; never raises for the shared one."""
        try:
            receipt = await self._shared.reserve(id, charges, amounts, about)
        except StoreUnavailable:
            receipt = await self._local.reserve(id, self._shares(charges), amounts, about)
            if not receipt.exceeded:
                self._here.add(id)
            return receipt
        if about is not None and receipt.note != self._known.get(about):
            await self._know(about, receipt.note)
        return receipt

    async def settle(self, id: str, actual: Sequence[int]) -> None:
        """End a reservation where it was made."""
        if id in self._here:
            self._here.discard(id)
            await self._local.settle(id, actual)
        else:
            await self._shared.settle(id, actual)

    async def keep(self) -> None:
        """Let reservations last where others could end them."""
        await self._shared.keep()

    async def levels(self, counters: Sequence[Counter]) -> list[Level]:
        """How they stand in the shared ledger, or for this guard alone."""
        try:
            return await self._shared.levels(counters)
        except StoreUnavailable:
            return await self._local.levels(counters)

    async def reset(self, counters: Sequence[Counter]) -> None:
        """Forget what was spent, everywhere; raises StoreUnavailable."""
        await self._local.reset(counters)
        await self._shared.reset(counters)

    async def grant(self, counter: Counter, amount: int) -> None:
        """Allow more, in the shared ledger; raises StoreUnavailable."""
        await self._shared.grant(counter, amount)

    async def note(self, subject: str, text: str | None, lasts_s: float) -> None:
        """Note it for all guards; raises StoreUnavailable."""
        await self._shared.note(subject, text, lasts_s)

    async def _know(self, subject: str, text: str | None) -> None:
        """Keep what was noted there as long as it may matter without it: who was blocked stays so."""
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        if text is None:
            self._known.pop(subject, None)
        else:
            self._known[subject] = text
        await self._local.note(subject, text, KEPT_S)

    def _shares(self, charges: Charges) -> Charges:
        return tuple([replace(charge, limit=charge.limit // self._replicas) for charge in charges])
