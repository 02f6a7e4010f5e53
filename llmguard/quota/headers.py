"""What a client is told of its quotas: OpenAI's `x-ratelimit-*`."""

from collections.abc import Sequence
from typing import Final

from llmguard.quota.durations import spelled
from llmguard.quota.rules import TOKENS, Rule
from llmguard.store.ledger import Level

Header = tuple[bytes, bytes]
KINDS: Final = {"requests": b"requests", **dict.fromkeys(TOKENS, b"tokens")}


def rate_limit_headers(rules: Sequence[Rule], levels: Sequence[Level]) -> tuple[Header, ...]:
    """Limit, what remains and when all of it is back, for the tightest limit of requests and of tokens."""
    tightest: dict[bytes, tuple[int, Rule, Level]] = {}
    for rule, level in zip(rules, levels, strict=True):
        kind = KINDS.get(rule.of)
        if kind is None:
            continue
        left = rule.limit - level.spent - level.reserved
        if kind not in tightest or left < tightest[kind][0]:
            tightest[kind] = (left, rule, level)
    headers: list[Header] = []
    for kind, (left, rule, level) in tightest.items():
        headers.append((b"x-ratelimit-limit-" + kind, b"%d" % rule.limit))
        headers.append((b"x-ratelimit-remaining-" + kind, b"%d" % max(0, left)))
        if (reset := reset_s(rule, level)) is not None:
            headers.append((b"x-ratelimit-reset-" + kind, spelled(reset).encode()))
    return tuple(headers)


def reset_s(rule: Rule, level: Level) -> float | None:
    """When all that is spent and reserved is back: what is reserved, a window after it is settled at the earliest."""
    if rule.every_s is None:
        return None
    return rule.every_s if level.reserved else level.reset_s
