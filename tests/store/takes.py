"""What a request takes of a counter, as tests write it: the charge and its amount in one."""

from collections.abc import Sequence
from typing import NamedTuple

from llmguard.store.ledger import Charge, Charges, Counter, Ledger, Receipt


class Take(NamedTuple):
    """An amount of one counter, against a limit."""

    counter: Counter
    limit: int
    amount: int
    forced: bool = False


def parted(takes: Sequence[Take]) -> tuple[Charges, tuple[int, ...]]:
    """The charges, and the amounts."""
    charges = tuple(Charge(take.counter, take.limit, take.forced) for take in takes)
    return charges, tuple(take.amount for take in takes)


async def reserve(ledger: Ledger, id: str, takes: Sequence[Take], about: str | None = None) -> Receipt:
    """Hold all of them or none."""
    return await ledger.reserve(id, *parted(takes), about)
