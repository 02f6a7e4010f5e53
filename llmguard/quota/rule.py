"""One limit as it is applied, and the names of those whom it counts."""

from ipaddress import IPv6Address, IPv6Network
from typing import Final, Literal, TypeAlias

import msgspec

from llmguard.store.ledger import Counter

Measure: TypeAlias = Literal["requests", "tokens", "input_tokens", "output_tokens", "credits", "concurrent"]
MEASURES: Final[tuple[Measure, ...]] = (
    "requests",
    "tokens",
    "input_tokens",
    "output_tokens",
    "credits",
    "concurrent",
)
"""What can be counted, in the order in which amounts are given."""
TOKENS: Final = frozenset({"tokens", "input_tokens", "output_tokens"})
BUDGET_S: Final = 3600.0
"""From here on a window is a budget: who has used it up is told to come back tomorrow, not in a moment."""
SITE_BITS: Final = 64
"""An IPv6 client is its /64: that many addresses are every household's own."""


class Rule(msgspec.Struct, frozen=True):
    """One limit as it is applied. `place` is that of its measure in MEASURES; `measure` names the counter."""

    per: str
    of: Measure
    place: int
    limit: int
    every_s: float | None
    measure: str
    on_exceed: Literal["refuse", "degrade", "challenge"] = "refuse"

    @property
    def budget(self) -> bool:
        """Whether waiting for it is nothing that a client does between two attempts."""
        return self.of != "concurrent" and (self.every_s is None or self.every_s >= BUDGET_S)

    def counter(self, id: str) -> Counter:
        """The counter of a subject of this scope."""
        return Counter(subject(self.per, id), self.measure, self.every_s, self.of == "concurrent")

    def weighed(self, amount: int, weight: int) -> int:
        """What a throttled request spends: a multiple, as far as one request fits into the limit; levels stay."""
        return amount if weight == 1 or self.of == "concurrent" else max(amount, min(amount * weight, self.limit))

    @property
    def title(self) -> str:
        """How it is called towards a client: `20000 tokens per user every 60s`."""
        every = f" every {self.every_s:g}s" if self.every_s is not None else ""
        return f"{self.limit} {self.of.replace('_', ' ')} per {self.per}{every}"


def subject(per: str, id: str) -> str:
    """The name of who spends. An IPv6 address stands for its site."""
    return f"{per}:{_site(id) if per == 'ip' and ':' in id else id}"


def _site(address: str) -> str:
    try:
        return str(IPv6Network((int(IPv6Address(address)), SITE_BITS), strict=False))
    except ValueError:
        return address
