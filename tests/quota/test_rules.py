"""Which limits hold for a request, and whose counters they are."""

from typing import Any

import msgspec
import pytest

from llmguard.exchange import Principal
from llmguard.quota.needs import Needs
from llmguard.quota.rule import MEASURES, subject
from llmguard.quota.rules import MAX_KNOWN, Rules
from llmguard.wire.completions import CompletionRequest
from tests.guarded import settings

ALICE = Principal("laptop", "alice", "acme", "public", "192.0.2.7")


def rules(*limits: dict[str, Any], **changes: Any) -> Rules:
    """The rules of one policy with these limits."""
    return Rules(settings(policies={"public": {"limits": list(limits)}, "narrow": {}}, **changes))


def test_each_scope_has_a_counter_of_its_own() -> None:
    limits = [
        {"per": per, "of": "tokens", "limit": 9, "every": "1m"} for per in ("key", "user", "tenant", "ip", "global")
    ]
    found = rules(*limits).of("public", "chat", "chat").charges(ALICE)
    assert [charge.counter.subject for charge in found] == [
        "key:laptop",
        "user:alice",
        "tenant:acme",
        "ip:192.0.2.7",
        "global:",
    ]
    assert {charge.counter.measure for charge in found} == {"tokens:60"}


def test_amounts_are_those_of_the_needs_in_the_order_of_the_charges() -> None:
    limits = [{"per": "key", "of": measure, "limit": 9, "every": 5} for measure in MEASURES]
    applied = rules(*limits).of("public", "chat", "chat")
    request = CompletionRequest(model="m", prompt="")
    for need in (Needs(request, 0, 0, 0), Needs(request, 7, 20, 3, logits=5)):
        assert applied.pick(need.amounts) == need.amounts
    for _ in range(2):  # the second time from what is kept
        measures = [charge.counter.measure.partition(":")[0] for charge in applied.charges(ALICE)]
        assert measures == [*MEASURES]


def test_place_is_the_measures() -> None:
    limits = [{"per": "key", "of": measure, "limit": 9, "every": 5} for measure in MEASURES]
    assert [rule.place for rule in rules(*limits).of("public", "chat", "chat").rules] == [*range(len(MEASURES))]


def test_what_is_kept_of_principals_is_bounded() -> None:
    applied = rules({"per": "key", "of": "requests", "limit": 1}).of("public", "chat", "chat")
    for number in range(MAX_KNOWN + 5):
        applied.charges(msgspec.structs.replace(ALICE, key=str(number)))
    assert len(applied._known) <= MAX_KNOWN
    assert applied.charges(ALICE) is applied.charges(ALICE)


def test_an_ipv6_client_is_its_site() -> None:
    assert subject("ip", "2001:db8:1:2::7") == subject("ip", "2001:db8:1:2:ffff::1") == "ip:2001:db8:1:2::/64"
    assert subject("ip", "2001:db8:1:3::7") != subject("ip", "2001:db8:1:2::7")
    assert subject("user", "a:b") == "user:a:b"
    assert subject("ip", "not:an:address") == "ip:not:an:address"


@pytest.mark.parametrize(
    ("narrowed", "endpoint", "model", "holds"),
    [
        ({"on": ["chat"]}, "chat", "chat", True),
        ({"on": ["chat"]}, "completions", "chat", False),
        ({"models": ["chat"]}, "chat", "chat", True),
        ({"models": ["chat"]}, "chat", "other", False),
        ({"models": ["o*"]}, "chat", "other", True),
        ({"models": ["@large"]}, "chat", "other", True),
        ({"models": ["@large"]}, "chat", "chat", False),
        ({"on": ["completions"], "models": ["@large"]}, "chat", "other", False),
    ],
)
def test_a_limit_is_narrowed(narrowed: dict[str, Any], endpoint: str, model: str, holds: bool) -> None:
    found = rules({"per": "key", "of": "requests", "limit": 1, **narrowed}, groups={"large": ["oth*"]})
    assert bool(found.of("public", endpoint, model).rules) == holds


def test_what_is_narrowed_differently_is_counted_apart() -> None:
    base = {"per": "key", "of": "requests", "limit": 1, "every": "1m"}
    found = rules(base, {**base, "on": ["chat"]}, {**base, "models": ["chat"]}, {**base, "every": "1h"})
    measures = [rule.measure for rule in found.of("public", "chat", "chat").rules]
    assert len(set(measures)) == 4
    assert not any(brace in measure for measure in measures for brace in "{}")


def test_one_counter_is_charged_once_under_its_tightest_limit() -> None:
    base = {"per": "key", "of": "requests", "every": "1m"}
    found = rules({**base, "limit": 9}, {**base, "limit": 3}, {**base, "limit": 5}).of("public", "chat", "chat").rules
    assert [rule.limit for rule in found] == [3]


def test_the_counter_outlives_a_change_of_its_limit() -> None:
    """Else a reload would give everybody a fresh quota."""
    base = {"per": "key", "of": "requests", "every": "1m", "on": ["chat"]}
    first, second = (rules({**base, "limit": limit}).of("public", "chat", "chat") for limit in (3, 5))
    assert [one.counter for one in first.charges(ALICE)] == [one.counter for one in second.charges(ALICE)]


def test_a_policy_that_is_not_there_has_none() -> None:
    assert rules({"per": "key", "of": "requests", "limit": 1}).of("", "chat", "chat").rules == ()
    assert rules({"per": "key", "of": "requests", "limit": 1}).of("narrow", "chat", "chat").rules == ()


def test_the_rules_of_a_scope() -> None:
    found = rules(
        {"per": "key", "of": "requests", "limit": 1}, {"per": "user", "of": "tokens", "limit": 2, "on": ["chat"]}
    )
    assert [rule.of for rule in found.per("user")] == ["tokens"]
    assert [rule.of for rule in found.per("key", "public")] == ["requests"]
    assert found.per("key", "narrow") == ()


@pytest.mark.parametrize(
    ("of", "every", "budget"),
    [("tokens", "59m", False), ("tokens", "1h", True), ("tokens", None, True), ("concurrent", None, False)],
)
def test_what_a_budget_is(of: str, every: str | None, budget: bool) -> None:
    (rule,) = rules({"per": "key", "of": of, "limit": 1, "every": every}).of("public", "chat", "chat").rules
    assert rule.budget == budget
