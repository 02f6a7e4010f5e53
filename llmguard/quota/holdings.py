"""Reservations of this process that are open, kept alive while their requests run and settled until it is done."""

import asyncio
import logging
from collections.abc import Sequence

from llmguard.clock import Clock
from llmguard.store.ledger import Charge, Ledger, Receipt
from llmguard.store.store import StoreUnavailable

log = logging.getLogger(__name__)

LEASE_S = 60.0
"""How long a reservation outlives a process that died; then it is spent in full, and a slot is free again."""
EXTEND_S = LEASE_S / 3
TICK_S = 1.0


class Open:
    """A reservation under way, or one whose settlement the store has not taken yet."""

    __slots__ = ("actual", "charges", "lease_from")

    def __init__(self, charges: Sequence[Charge], lease_from: float) -> None:
        self.charges = charges
        self.lease_from = lease_from
        self.actual: Sequence[int] | None = None


class Holdings:
    """The way to the ledger for whoever reserves.

    A settlement that the store does not take is tried again until the lease has ended, when the amounts are spent in
    full anyway: nothing is given back that was not settled, and nothing stays reserved.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._open: dict[str, Open] = {}

    async def reserve(self, id: str, charges: Sequence[Charge]) -> Receipt:
        """Hold all charges or none; raises StoreUnavailable."""
        receipt = await self._ledger.reserve(id, charges, LEASE_S)
        if not receipt.exceeded:
            self._open[id] = Open(charges, self._clock.monotonic())
        return receipt

    async def settle(self, id: str, actual: Sequence[int]) -> None:
        """End a reservation; a store that fails is asked again later."""
        held = self._open[id]
        held.actual = actual
        try:
            await self._ledger.settle(id, held.charges, actual)
        except StoreUnavailable:
            log.warning("a settlement waits for the store")
            return
        self._open.pop(id, None)

    async def keep(self) -> None:
        """Extend leases and settle what waits, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.tend()

    async def tend(self) -> None:
        """Do once what is due."""
        now = self._clock.monotonic()
        for id, held in list(self._open.items()):
            if held.actual is not None and now - held.lease_from >= LEASE_S:
                self._open.pop(id, None)
            elif held.actual is not None:
                await self._again(id, held, held.actual)
            elif now - held.lease_from >= EXTEND_S:
                await self._extend(id, held, now)

    async def _again(self, id: str, held: Open, actual: Sequence[int]) -> None:
        try:
            await self._ledger.settle(id, held.charges, actual)
        except StoreUnavailable:
            return
        self._open.pop(id, None)

    async def _extend(self, id: str, held: Open, now: float) -> None:
        try:
            await self._ledger.extend(id, held.charges, LEASE_S)
        except StoreUnavailable:
            return  # tried again at the next tick; the lease has two thirds left
        held.lease_from = now
