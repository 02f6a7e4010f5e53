"""What quotas keep: how much of what each subject has spent and reserved, and when it will be free again.

A counter is a sliding window, not a fixed one and not a bucket that refills: whatever is spent at a time t counts
until t + `every_s`, so in *every* interval of that length, wherever it begins, what is spent never exceeds the
limit. A fixed window allows twice the limit around its edge, a bucket (GCRA) of that size twice the limit in the
interval after a pause. The price is memory, bounded by putting spends together: they leave the window up to
`every_s` / RESOLUTION late, never early.

What a request may spend is reserved before it and counts until it is settled; what it did spend counts from the
settlement on. What a guard that dies had reserved is spent in full; of a level, such as running requests, nothing is
ever spent: what was reserved of it is free again.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

RESOLUTION: Final = 16
"""Spends within a sixteenth of a window may be put together; they count until the last of them leaves it."""
RELEASE_S: Final = 1.0
"""When to look again, in seconds, where nothing but the end of running requests makes room: nobody knows when."""


class Counter(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """One quota of one subject.

    `subject` is who spends, such as `user:alice`; `measure` what, in the words of the settings and unlike that of the
    subject's other counters; neither holds a brace. Without `every_s` (seconds) nothing that is spent returns. A
    `level` is only ever reserved.
    """

    subject: str
    measure: str
    every_s: float | None
    level: bool = False


class Charge(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """What requests are charged to: a counter and its limit. What is `forced` is taken beyond the limit, too."""

    counter: Counter
    limit: int
    forced: bool = False


Charges: TypeAlias = tuple[Charge, ...]


class Level(msgspec.Struct, frozen=True, gc=False):
    """How a counter stands. `reset_s` is the time until nothing spent counts any more, None where it never ends.

    A grant can make `spent` negative.
    """

    spent: int
    reserved: int
    reset_s: float | None


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The answer to a reservation: all of its charges are held, or none.

    `left` is what is left of each limit after it, in the order of the charges; below 0 where more was forced, or the
    limit was lowered. `exceeded` holds the places of the charges that did not fit, empty where all are held.
    `retry_after_s` is the time until all of them would fit if nobody else spent, at least; None where waiting cannot
    help. `note` is what was noted of the subject that was asked about. `levels` are the counters' after it: none where
    something of each is held, since then nothing of them is back before that is settled and a window has passed.
    """

    left: Sequence[int]
    exceeded: tuple[int, ...] = ()
    retry_after_s: float | None = None
    note: str | None = None
    levels: tuple[Level, ...] = ()


class Ledger(Protocol):
    """The counters. Every method is atomic over all that it is given, and raises `StoreUnavailable`."""

    async def reserve(self, id: str, charges: Charges, amounts: Sequence[int], about: str | None = None) -> Receipt:
        """Hold the amounts, each ≥ 0, of all charges under `id` until they are settled here, or none of them.

        An amount fits where spent + reserved + amount ≤ limit. An amount of 0 always fits. In the same moment the note
        on the subject `about` is read.
        """
        ...

    async def settle(self, id: str, actual: Sequence[int]) -> None:
        """End a reservation: what was really spent, in the order of its charges, counts from now on.

        Where nothing is held under `id` it does nothing. It does not raise `StoreUnavailable`: where the store fails
        the ledger goes on trying, and nobody need ask again.
        """
        ...

    async def keep(self) -> None:
        """Let what is held here last, however long it is held: runs as long as the guard does."""
        ...

    async def levels(self, counters: Sequence[Counter]) -> list[Level]:
        """How they stand."""
        ...

    async def reset(self, counters: Sequence[Counter]) -> None:
        """Forget what was spent and granted; what is reserved stays."""
        ...

    async def grant(self, counter: Counter, amount: int) -> None:
        """Allow so much more for one window, or for good where there is none."""
        ...

    async def note(self, subject: str, text: str | None, lasts_s: float) -> None:
        """Note a text on a subject, in the place of the last one, for so long; None forgets it."""
        ...
