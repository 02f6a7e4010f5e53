"""The reservations of this process that are open, kept alive while their requests run."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from llmguard.clock import Clock
from llmguard.store.ledger import Charges, Ledger, Receipt
from llmguard.store.store import StoreUnavailable

log = logging.getLogger(__name__)

LEASE_S: Final = 60.0
"""How long a reservation outlives a process that died; then it is spent in full, and a slot is free again."""
EXTEND_S: Final = LEASE_S / 3
TICK_S: Final = 1.0


class Open(msgspec.Struct, gc=False):
    """A reservation under way, and from when its lease runs."""

    charges: Charges
    amounts: Sequence[int]
    since: float


class Holdings:
    """The way to the ledger for whoever reserves: a long request keeps what it holds."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._monotonic = clock.monotonic
        self._open: dict[str, Open] = {}

    async def reserve(self, id: str, charges: Charges, amounts: Sequence[int], about: str | None = None) -> Receipt:
        """Hold all amounts or none, and read the note on `about` along; raises StoreUnavailable."""
        receipt = await self._ledger.reserve(id, charges, amounts, LEASE_S, about)
        if not receipt.exceeded:
            self._open[id] = Open(charges, amounts, self._monotonic())
        return receipt

    async def settle(self, id: str, actual: Sequence[int]) -> None:
        """End a reservation; where the store fails, it is the ledger that goes on trying."""
        held = self._open.pop(id)
        try:
            await self._ledger.settle(id, held.charges, held.amounts, actual)
        except StoreUnavailable:
            log.warning("a settlement waits for the store")

    async def keep(self) -> None:
        """Extend leases, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.extend()

    async def extend(self) -> None:
        """Extend the leases that are due; where the store fails, the next time: two thirds of them are left."""
        now = self._monotonic()
        for id, held in [(id, held) for id, held in self._open.items() if now - held.since >= EXTEND_S]:
            try:
                await self._ledger.extend(id, held.charges, held.amounts, LEASE_S)
            except StoreUnavailable:
                return
            held.since = now
