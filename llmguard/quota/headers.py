"""What a client is told of its quotas: OpenAI's `x-ratelimit-*`."""

from collections.abc import Sequence
from typing import Final

import msgspec

from llmguard.quota.durations import spelled
from llmguard.quota.rule import TOKENS, Rule
from llmguard.store.ledger import Level

Header = tuple[bytes, bytes]
KINDS: Final = {"requests": frozenset({"requests"}), "tokens": TOKENS}


class Told(msgspec.Struct, frozen=True):
    """A limit that counts requests or tokens: its place among the rules, and what never changes of its headers."""

    place: int
    most: int
    rule: Rule
    limit: Header
    remaining: bytes
    reset: bytes
    window: Header | None


class RateLimitHeaders:
    """Limit, what remains and when all of it is back, for the tightest limit of requests and of tokens."""

    __slots__ = ("_kinds",)

    def __init__(self, rules: Sequence[Rule]) -> None:
        kinds = [
            [_told(kind, place, rule) for place, rule in enumerate(rules) if rule.of in measures]
            for kind, measures in KINDS.items()
        ]
        self._kinds = [kind for kind in kinds if kind]

    def of(self, levels: Sequence[Level]) -> tuple[Header, ...]:
        """The headers for these levels of the rules."""
        headers: list[Header] = []
        for kind in self._kinds:
            tightest, least, level = kind[0], 1 << 62, levels[0]
            for told in kind:
                found = levels[told.place]
                left = told.most - found.spent - found.reserved
                if left < least:
                    tightest, least, level = told, left, found
            headers += (tightest.limit, (tightest.remaining, b"%d" % (least if least > 0 else 0)))
            if level.reserved and tightest.window is not None:
                headers.append(tightest.window)
            elif (seconds := reset_s(tightest.rule, level)) is not None:
                headers.append((tightest.reset, spelled(seconds).encode()))
        return tuple(headers)


def reset_s(rule: Rule, level: Level) -> float | None:
    """When all that is spent and reserved is back: what is reserved, a window after it is settled at the earliest."""
    if rule.every_s is None:
        return None
    return rule.every_s if level.reserved else level.reset_s


def _told(kind: str, place: int, rule: Rule) -> Told:
    name = kind.encode()
    reset = b"x-ratelimit-reset-" + name
    return Told(
        place=place,
        most=rule.limit,
        rule=rule,
        limit=(b"x-ratelimit-limit-" + name, b"%d" % rule.limit),
        remaining=b"x-ratelimit-remaining-" + name,
        reset=reset,
        window=None if rule.every_s is None else (reset, spelled(rule.every_s).encode()),
    )
