"""One sliding window: what is spent, and when each part of it returns.

Spends form runs: a run is open to spends for `every_s` / RESOLUTION from its first, and leaves as a whole `every_s`
after its last; so no spend leaves early, and none more than `every_s` / RESOLUTION late. Of a run its sum and its end
are kept, of at most RESOLUTION + 2 runs. Grants form runs of their own: neither kind prolongs the other.

Times are seconds of one clock that never goes back; whoever calls passes `now`.
"""

from math import inf
from struct import Struct
from typing import Final, Self

from llmguard.store.ledger import RESOLUTION

HEAD: Final = Struct("<dB")
"""When the last run closes, and how many runs are grants."""
SPEND: Final = Struct("<dq")
"""A run's end and sum."""
ONE: Final = Struct("<dBdq")
"""A head and one spend, as most windows are."""
GRANT: Final = Struct("<ddq")
"""A run's last moment to be added to, its end and its sum."""
MOST: Final = 2**63 - 1


class Window:
    """The window of `every_s` seconds, `inf` for one that nothing leaves. `reserved` is its user's to keep.

    `spent` is right for a time before `leaves`; from then on `purge` comes first. A spend before `open_until` is
    `spent` plus its amount and `gone`, the end of the last run of spends, set to its time plus `every_s`: what is done
    millions of times is then done in place. Without runs `gone` is -inf.
    """

    __slots__ = ("every_s", "gone", "grants", "leaves", "older", "open_until", "reserved", "spent")

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.reserved = 0
        self.clear()

    def clear(self) -> None:
        """Forget what was spent and granted."""
        self.spent = 0
        self.gone = self.open_until = -inf
        self.leaves = inf
        self.older: tuple[tuple[float, int], ...] = ()
        self.grants: tuple[tuple[float, float, int], ...] = ()

    def purge(self, now: float) -> None:
        """Drop the runs that have left by `now`."""
        if self.gone <= now:
            self.spent = -sum(amount for _, _, amount in self.grants)
            self.gone = self.open_until = -inf
            self.older = ()
        else:
            while self.older and self.older[0][0] <= now:
                self.spent -= self.older[0][1]
                self.older = self.older[1:]
        while self.grants and self.grants[0][1] <= now:
            self.spent += self.grants[0][2]
            self.grants = self.grants[1:]
        self._find_next()

    def spend(self, amount: int, now: float) -> None:
        """Count `amount` from `now` on."""
        if now >= self.leaves:
            self.purge(now)
        if now >= self.open_until:
            if self.gone > now:
                self.older = (*self.older, (self.gone, self._last()))
            self.open_until = now + self.every_s / RESOLUTION
        self.spent += amount
        self.gone = now + self.every_s
        self._find_next()

    def grant(self, amount: int, now: float) -> None:
        """Count `amount` less for one window."""
        if now >= self.leaves:
            self.purge(now)
        self.spent -= amount
        if self.grants and now < self.grants[-1][0]:
            closes, _, before = self.grants[-1]
            self.grants = (*self.grants[:-1], (closes, now + self.every_s, before + amount))
        else:
            self.grants = (*self.grants, (now + self.every_s / RESOLUTION, now + self.every_s, amount))
        self._find_next()

    def wait(self, excess: int, now: float) -> float | None:
        """Seconds until `excess` (> 0) less is spent for the first time, if nothing else is; None for never."""
        ends = [(end, amount) for end, amount in self._spends() if end < inf]
        ends += [(end, -amount) for _, end, amount in self.grants if end < inf]
        # What returns comes first where a grant ends at the same instant: at that instant both have.
        for end, amount in sorted(ends):
            excess -= amount
            if excess <= 0:
                return end - now
        return None

    @property
    def ends(self) -> float:
        """When nothing of it counts any more; -inf where nothing does."""
        return max(self.gone, self.grants[-1][1] if self.grants else -inf)

    def pack(self) -> bytes:
        """Its runs, 25 bytes for one; of a sum beyond 64 bits, as an upstream may claim, what 64 bits hold."""
        if self.gone > -inf and not (self.older or self.grants):
            return ONE.pack(self.open_until, 0, self.gone, _bounded(self.spent))
        runs = [SPEND.pack(end, _bounded(amount)) for end, amount in self._spends()]
        runs += [GRANT.pack(closes, end, _bounded(amount)) for closes, end, amount in self.grants]
        return HEAD.pack(self.open_until, len(self.grants)) + b"".join(runs)

    def unpack(self, packed: bytes) -> Self:
        """Take over the runs of a packed window of the same length. Raises `struct.error` and ValueError."""
        self.open_until, grants = HEAD.unpack_from(packed)
        border = len(packed) - grants * GRANT.size
        self.grants = tuple(GRANT.iter_unpack(packed[border:]))
        spends = tuple(SPEND.iter_unpack(packed[HEAD.size : border]))
        self.older = spends[:-1]
        self.gone = spends[-1][0] if spends else -inf
        self.spent = sum(amount for _, amount in spends) - sum(amount for _, _, amount in self.grants)
        self._find_next()
        return self

    def _last(self) -> int:
        """The sum of the last run of spends."""
        granted = sum(amount for _, _, amount in self.grants)
        return self.spent + granted - sum(amount for _, amount in self.older)

    def _spends(self) -> list[tuple[float, int]]:
        return [*self.older, (self.gone, self._last())] if self.gone > -inf else []

    def _find_next(self) -> None:
        first = self.older[0][0] if self.older else self.gone if self.gone > -inf else inf
        self.leaves = min(first, self.grants[0][1]) if self.grants else first


def _bounded(amount: int) -> int:
    return min(max(amount, -MOST), MOST)
