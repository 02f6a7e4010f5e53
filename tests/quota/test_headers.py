"""What a client is told of its quotas."""

from collections.abc import Sequence

from llmguard.quota.headers import RateLimitHeaders
from llmguard.quota.rules import Rules
from llmguard.store.ledger import Level, Receipt
from tests.guarded import settings

LIMITS = [
    {"per": "key", "of": "requests", "limit": 60, "every": "1m"},
    {"per": "ip", "of": "requests", "limit": 600, "every": "1m"},
    {"per": "user", "of": "tokens", "limit": 20_000, "every": "1m"},
    {"per": "user", "of": "output_tokens", "limit": 30_000},
    {"per": "tenant", "of": "concurrent", "limit": 2},
]
RULES = Rules(settings(policies={"public": {"limits": LIMITS}, "narrow": {}})).of("public", "chat", "chat").rules


def standing(levels: Sequence[Level]) -> Receipt:
    """A receipt that says how the counters stand."""
    left = [rule.limit - level.spent - level.reserved for rule, level in zip(RULES, levels, strict=True)]
    return Receipt(left, levels=tuple(levels))


def told(*levels: Level) -> dict[str, str]:
    """The headers."""
    return {name.decode(): value.decode() for name, value in RateLimitHeaders(RULES).of(standing(levels))}


def test_the_tightest_of_each_kind() -> None:
    levels = [Level(1, 0, 30.0), Level(590, 5, 9.0), Level(100, 0, 1.5), Level(29_000, 900, None), Level(0, 1, None)]
    assert told(*levels) == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "5",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "100",
    }


def test_reset_is_when_what_is_spent_is_back_and_nothing_remains_below_nothing() -> None:
    levels = [Level(61, 0, 3.25), Level(0, 0, 0.0), Level(50, 0, 0.012), Level(0, 0, None), Level(0, 0, None)]
    assert told(*levels)["x-ratelimit-remaining-requests"] == "0"
    assert told(*levels)["x-ratelimit-reset-requests"] == "3.3s"
    assert told(*levels)["x-ratelimit-reset-tokens"] == "12ms"


def test_without_limits_nothing_is_said() -> None:
    assert RateLimitHeaders(()).of(Receipt(())) == ()


def test_where_something_of_each_is_held_all_is_back_in_a_window() -> None:
    """Whatever else is spent: what is held counts for a window after its end."""
    held = Receipt([59, 590, 19_000, 29_000, 1])
    assert {name.decode(): value.decode() for name, value in RateLimitHeaders(RULES).of(held)} == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "20000",
        "x-ratelimit-remaining-tokens": "19000",
        "x-ratelimit-reset-tokens": "1m0s",
    }
