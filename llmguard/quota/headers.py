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

    `limit` is the header that tells it; `window` adds that all is back in a window, which a limit without one does not
    say.
    """

    place: int
    rule: Rule
    limit: tuple[Header, ...]
    window: tuple[Header, ...]
    remaining: bytes
    reset: bytes


class RateLimitHeaders:
    """Limit, what remains and when all of it is back, for the tightest limit of requests and of tokens."""

    __slots__ = ("_kinds",)

    def __init__(self, rules: Sequence[Rule]) -> None:
        kinds = [
            [(place, _told(kind, place, rule)) for place, rule in enumerate(rules) if rule.of in measures]
            for kind, measures in KINDS.items()
        ]
        self._kinds = [(kind[0][1], kind[1:]) for kind in kinds if kind]

    def of(self, receipt: Receipt) -> tuple[Header, ...]:
        """The headers for a receipt for all of the rules."""
        headers: list[Header] = []
        lefts, levels = receipt.left, receipt.levels
        for first, others in self._kinds:
            told, least = first, lefts[first.place]
            for place, other in others:  # every answer passes here, and min() takes three times as long
                if lefts[place] < least:
                    told, least = other, lefts[place]
            headers += told.window if not levels else told.limit + _reset(told, levels[told.place])
            headers.append((told.remaining, b"%d" % (least if least > 0 else 0)))
        return tuple(headers)


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
    limit, reset = (b"x-ratelimit-limit-" + name, b"%d" % rule.limit), b"x-ratelimit-reset-" + name
    return Told(
        place=place,
        rule=rule,
        limit=(limit,),
        window=(limit,) if rule.every_s is None else (limit, (reset, spelled(rule.every_s).encode())),
        remaining=b"x-ratelimit-remaining-" + name,
        reset=reset,
    )
