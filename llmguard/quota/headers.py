"""What a client is told of its quotas: OpenAI's `x-ratelimit-*`."""

from collections.abc import Sequence
from typing import Final

import msgspec

from llmguard.quota.durations import spelled
from llmguard.quota.rule import TOKENS, Rule
from llmguard.store.ledger import Level, Receipt

Header = tuple[bytes, bytes]
KINDS: Final = {"requests": frozenset({"requests"}), "tokens": TOKENS}


class Told(msgspec.Struct, frozen=True):
    """A limit that counts requests or tokens: its place among the rules, and what never changes of its headers.

    `window` says that all is back in a window; it is empty for a limit without one.
    """

    place: int
    rule: Rule
    limit: Header
    remaining: bytes
    reset: bytes
    window: tuple[Header, ...]


class RateLimitHeaders:
    """Limit, what remains and when all of it is back, for the tightest limit of requests and of tokens."""

    __slots__ = ("_kinds",)

    def __init__(self, rules: Sequence[Rule]) -> None:
        kinds = [
            [_told(kind, place, rule) for place, rule in enumerate(rules) if rule.of in measures]
            for kind, measures in KINDS.items()
        ]
        self._kinds = [kind for kind in kinds if kind]

    def of(self, receipt: Receipt) -> tuple[Header, ...]:
        """The headers for a receipt for all of the rules."""
        headers: tuple[Header, ...] = ()
        left = receipt.left
        for kind in self._kinds:
            told = kind[0]
            least = left[told.place]
            for other in kind[1:]:
                if left[other.place] < least:
                    told, least = other, left[other.place]
            reset = told.window if not receipt.levels else _reset(told, receipt.levels[told.place])
            headers += (told.limit, (told.remaining, b"%d" % (least if least > 0 else 0)), *reset)
        return headers


def reset_s(rule: Rule, level: Level) -> float | None:
    """When all that is spent and reserved is back: what is reserved, a window after it is settled at the earliest."""
    if rule.every_s is None:
        return None
    return rule.every_s if level.reserved else level.reset_s


def _reset(told: Told, level: Level) -> tuple[Header, ...]:
    seconds = reset_s(told.rule, level)
    return () if seconds is None else ((told.reset, spelled(seconds).encode()),)


def _told(kind: str, place: int, rule: Rule) -> Told:
    name = kind.encode()
    reset = b"x-ratelimit-reset-" + name
    return Told(
        place=place,
        rule=rule,
        limit=(b"x-ratelimit-limit-" + name, b"%d" % rule.limit),
        remaining=b"x-ratelimit-remaining-" + name,
        reset=reset,
        window=() if rule.every_s is None else ((reset, spelled(rule.every_s).encode()),),
    )
