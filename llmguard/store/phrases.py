"""What is remembered of answers, whatever the store: hashes of phrases, for a while.

Time is cut into periods, 32 of a duration, which are forgotten one by one. In a period a hash stands for the last
answer that had it, and there is room for so many hashes: beyond it nothing is added.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

PERIODS: Final = 32
ROOM: Final = 1_000_000
"""Hashes in one period: about 30,000 long answers."""


class Entry(NamedTuple):
    """An answer: its hashes, what they lead to, and for how long."""

    phrases: tuple[bytes, ...]
    value: bytes
    lasts_s: float


class PhraseIndex(Protocol):
    """The hashes. Every method raises `StoreUnavailable` where the store fails."""

    async def add(self, entries: Sequence[Entry]) -> None:
        """Keep these; what there is no room for is left out."""
        ...

    async def find(self, phrases: Sequence[bytes], durations_s: Sequence[float]) -> list[bytes]:
        """What the hashes lead to, once for each that led there, of answers kept for one of these durations."""
        ...


def period(now: float, lasts_s: float) -> tuple[str, float]:
    """The name of the period that an answer of now belongs to, and when it is forgotten, in epoch seconds."""
    length = lasts_s / PERIODS
    index = int(now // length)
    return f"{lasts_s:g}:{index}", (index + 1) * length + lasts_s


def periods(now: float, durations_s: Sequence[float]) -> Iterator[str]:
    """The names of all periods that may still be remembered."""
    for lasts_s in durations_s:
        last = int(now // (lasts_s / PERIODS))
        yield from (f"{lasts_s:g}:{index}" for index in range(last - PERIODS, last + 1))
