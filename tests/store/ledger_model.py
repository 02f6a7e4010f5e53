"""What a ledger must answer, worked out the slow way: from a log of every spend.

A ledger may put together what lies within a sixteenth of a window, so its `spent` lies between two sums: of what surely
counts, and of what may still count. All else is exact, up to `TOLERANCE_S`.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from llmguard.store.ledger import RELEASE_S, RESOLUTION, Counter, Level, Receipt
from tests.store.takes import Take

TOLERANCE_S = 1e-5
"""What a clock in microseconds may be off by."""


@dataclass(slots=True)
class Log:
    """Everything that happened to one counter: (time, amount), the oldest first."""

    spends: list[tuple[float, int]] = field(default_factory=list)
    grants: list[tuple[float, int]] = field(default_factory=list)


@dataclass(slots=True)
class Held:
    """A reservation that was not settled; `over` once its lease has ended, and it is spent."""

    charges: Sequence[Take]
    since: float
    ends: float
    over: bool = False


class LedgerModel:
    """Follows a ledger: each method is told what was asked and answered, and asserts that the answer is right.

    Reservations end with a lease of so many seconds; of a local ledger never.
    """

    def __init__(self, now: Callable[[], float], lease_s: float) -> None:
        self._now = now
        self._lease_s = lease_s
        self._logs: defaultdict[Counter, Log] = defaultdict(Log)
        self._held: dict[str, Held] = {}

    def reserve(self, id: str, charges: Sequence[Take], receipt: Receipt) -> None:
        """What fits by the levels that were told is held, all or none of it."""
        self._end_leases()
        fits = not receipt.exceeded
        if fits:
            self._held[id] = Held(charges, self._now(), self._now() + self._lease_s)
        if not fits or any(charge.amount == 0 for charge in charges):
            self.levels([charge.counter for charge in charges], receipt.levels)
        over = []
        for charge, left in zip(charges, receipt.left, strict=True):
            least, most = self.spent(charge.counter, self._now())
            assert least <= charge.limit - left - self._reserved(charge.counter) <= most
            over.append(charge.amount > 0 and not charge.forced and left - (0 if fits else charge.amount) < 0)
        assert receipt.exceeded == tuple(place for place, too_much in enumerate(over) if too_much)
        if fits:
            assert receipt.retry_after_s is None
        else:
            self._check_wait(charges, receipt)

    def settle(self, id: str, actual: Sequence[int]) -> None:
        """A reservation that is held becomes what was used; of one that is over only what goes beyond it is added."""
        self._end_leases()
        held = self._held.pop(id, None)
        if held is None:
            return
        for charge, amount in zip(held.charges, actual, strict=True):
            added = max(0, amount - charge.amount) if held.over else amount
            self._logs[charge.counter].spends += [(self._now(), added)] if added else []

    def extend(self, due_s: float) -> None:
        """A reservation that is held, and was so for `due_s` since it was extended, has a new end."""
        self._end_leases()
        now = self._now()
        for held in self._held.values():
            if not held.over and now - held.since >= due_s:
                held.since, held.ends = now, now + self._lease_s

    def reset(self, counters: Sequence[Counter]) -> None:
        """Nothing was ever spent or granted."""
        self._end_leases()
        for counter in counters:
            del self._logs[counter]

    def grant(self, counter: Counter, amount: int) -> None:
        """So much less counts."""
        self._end_leases()
        self._logs[counter].grants.append((self._now(), amount))

    def levels(self, counters: Sequence[Counter], levels: Sequence[Level]) -> None:
        """How they stand now."""
        self._end_leases()
        now = self._now()
        for counter, level in zip(counters, levels, strict=True):
            least, most = self.spent(counter, now)
            assert least <= level.spent <= most, f"{level.spent} not in {least}..{most}"
            assert level.reserved == self._reserved(counter)
            last = max((time for time, _ in self._logs[counter].spends), default=-inf)
            if counter.every_s is None:
                assert level.reset_s == (0.0 if last == -inf else None)
            else:
                # A spend's end is exact: later ones alone prolong a run, and it ends with the last.
                assert abs((level.reset_s or 0.0) - max(0.0, last + counter.every_s - now)) <= TOLERANCE_S
                assert level.reset_s is not None

    def spent(self, counter: Counter, now: float) -> tuple[int, int]:
        """The least and the most that can count of what was logged; the least is what an endless log says."""
        log, every_s = self._logs[counter], inf if counter.every_s is None else counter.every_s
        surely_s, perhaps_s = every_s - TOLERANCE_S, every_s + every_s / RESOLUTION + TOLERANCE_S
        least = _younger(log.spends, now - surely_s) - _younger(log.grants, now - perhaps_s)
        return least, _younger(log.spends, now - perhaps_s) - _younger(log.grants, now - surely_s)

    def reserved(self) -> int:
        """How much is held, of everything."""
        self._end_leases()
        return sum(charge.amount for held in self._held.values() if not held.over for charge in held.charges)

    def _reserved(self, counter: Counter) -> int:
        open = [held for held in self._held.values() if not held.over]
        held = [charge for held in open for charge in held.charges if charge.counter == counter]
        return sum(charge.amount for charge in held)

    def _end_leases(self) -> None:
        for held in sorted(self._held.values(), key=lambda held: held.ends):
            if held.ends <= self._now() and not held.over:
                held.over = True
                for charge in held.charges:
                    spent = charge.amount and not charge.counter.level
                    self._logs[charge.counter].spends += [(held.ends, charge.amount)] if spent else []

    def _check_wait(self, charges: Sequence[Take], receipt: Receipt) -> None:
        """`retry_after_s` lies between the times at which the least and the most that can count make room."""
        exceeded = [charges[place] for place in receipt.exceeded]
        if any(self._logs[charge.counter].grants for charge in exceeded):
            return  # a grant that ends takes room away: there are several times, of which some ledger finds one
        bounds = [self._wait(charge) for charge in exceeded]
        if any(least is None for least, _ in bounds):
            assert receipt.retry_after_s is None
            return
        assert receipt.retry_after_s is not None
        assert receipt.retry_after_s >= max(least or 0.0 for least, _ in bounds) - TOLERANCE_S
        assert receipt.retry_after_s <= max(most or 0.0 for _, most in bounds) + TOLERANCE_S

    def _wait(self, charge: Take) -> tuple[float | None, float | None]:
        """When a charge fits with spends that leave in time, and with those that leave as late as they may."""
        counter, now = charge.counter, self._now()
        reserved = self._reserved(counter)
        for held, at_least in ((reserved, 0.0), (0, RELEASE_S)):
            found = [self._room(counter, charge.limit - charge.amount - held, now, late) for late in (False, True)]
            if None not in found:
                return max(at_least, found[0] or 0.0), max(at_least, found[1] or 0.0)
        return None, None

    def _room(self, counter: Counter, room: int, now: float, late: bool) -> float | None:
        every_s = inf if counter.every_s is None else counter.every_s
        stays_s = every_s + (every_s / RESOLUTION if late else 0.0)
        spends = [(time + stays_s, amount) for time, amount in self._logs[counter].spends if time + stays_s > now]
        for at in [now, *(end for end, _ in spends if end < inf)]:
            if sum(amount for end, amount in spends if end > at) <= room:
                return at - now
        return None


def _younger(log: Sequence[tuple[float, int]], time: float) -> int:
    """The sum of what was logged after `time`."""
    return sum(amount for at, amount in log if at > time)
