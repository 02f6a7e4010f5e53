"""Random histories of one ledger beside its model."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import TypeAlias

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from llmguard.store.ledger import Counter, Ledger
from llmguard.store.ledger_redis import EXTEND_S, LEASE_S, RedisLedger
from tests.fakes.clock import FakeClock
from tests.store.ledger_model import LedgerModel
from tests.store.takes import Take, reserve

COUNTERS = (
    Counter("key:k", "requests", 16.0),
    Counter("user:u", "tokens", 16.0),
    Counter("user:u", "tokens day", 4096.0),
    Counter("tenant:t", "credits", None),
    Counter("tenant:t", "concurrent", None, level=True),
)
STEPS = st.sampled_from([0.125, 0.5, 1.0, 1.0, 5.0, 16.0, 17.0, 300.0])
"""Binary fractions, so that sums of times are exact."""
AMOUNTS = st.integers(0, 60)

OpenLedger: TypeAlias = Callable[[FakeClock], AbstractAsyncContextManager[Ledger]]


@st.composite
def charged(draw: st.DrawFn) -> tuple[Take, ...]:
    """Charges of some counters, in any order."""
    counters = draw(st.lists(st.sampled_from(COUNTERS), min_size=1, max_size=4, unique=True))
    return tuple(
        Take(counter, draw(st.sampled_from([50, 100, 100, 150])), draw(AMOUNTS), draw(st.integers(0, 9)) == 0)
        for counter in counters
    )


class LedgerMachine(RuleBasedStateMachine):
    """A ledger and its model, to whom the same happens."""

    open_ledger: OpenLedger

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.opened = type(self).open_ledger(self.clock)
        self.ledger = self.runner.run(self.opened.__aenter__())
        self.shared = isinstance(self.ledger, RedisLedger)
        self.model = LedgerModel(self.clock.monotonic, LEASE_S if self.shared else inf)
        self.asked: list[tuple[str, tuple[Take, ...]]] = []

    @rule(charges=charged())
    def reserve(self, charges: tuple[Take, ...]) -> None:
        id = f"request {len(self.asked)}"
        receipt = self.runner.run(reserve(self.ledger, id, charges))
        self.model.reserve(id, charges, receipt)
        if not receipt.exceeded:
            self.asked.append((id, charges))

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Any that ever was: open, over, settled already."""
        if self.asked:
            id, charges = data.draw(st.sampled_from(self.asked[-6:]))
            actual = [data.draw(AMOUNTS) for _ in charges]
            self.runner.run(self.ledger.settle(id, actual))
            self.model.settle(id, actual)

    @rule()
    def extend(self) -> None:
        if isinstance(self.ledger, RedisLedger):
            self.runner.run(self.ledger.extend())
            self.model.extend(EXTEND_S)

    @rule(counter=st.sampled_from(COUNTERS), amount=st.integers(1, 60))
    def grant(self, counter: Counter, amount: int) -> None:
        self.runner.run(self.ledger.grant(counter, amount))
        self.model.grant(counter, amount)

    @rule(counter=st.sampled_from(COUNTERS))
    def reset(self, counter: Counter) -> None:
        self.runner.run(self.ledger.reset([counter]))
        self.model.reset([counter])

    @rule(s=STEPS)
    def advance(self, s: float) -> None:
        self.clock.advance(s)

    @rule(s=st.sampled_from([-3600.0, 3600.0]))
    def set_wall(self, s: float) -> None:
        self.clock.set_wall(s)

    @invariant()
    def levels_agree(self) -> None:
        if hasattr(self, "ledger"):
            self.model.levels(COUNTERS, self.runner.run(self.ledger.levels(COUNTERS)))

    def teardown(self) -> None:
        """Once all is settled, nothing is reserved."""
        if not hasattr(self, "ledger"):
            return
        try:
            for id, charges in self.asked:
                self.runner.run(self.ledger.settle(id, [0] * len(charges)))
                self.model.settle(id, [0] * len(charges))
            assert self.model.reserved() == 0
            levels = self.runner.run(self.ledger.levels(COUNTERS))
            assert [level.reserved for level in levels] == [0] * len(COUNTERS)
        finally:
            self.runner.run(self.opened.__aexit__(None, None, None))
            self.runner.close()


def check_histories(open_ledger: OpenLedger, histories: int, steps: int = 30) -> None:
    """Run random histories of `steps` each, the same in every run; AssertionError with the shortest that fails."""
    machine = type("LedgerHere", (LedgerMachine,), {"open_ledger": staticmethod(open_ledger)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
