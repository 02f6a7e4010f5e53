"""What operators see of quotas and can do about them, over HTTP."""

import asyncio
from typing import Any

import pytest

from tests.fakes.connection import FakeClient
from tests.fakes.upstream import USAGE, FakeUpstream
from tests.guarded import CHAT, Guarded
from tests.serving import ADMIN_TOKEN

pytestmark = pytest.mark.anyio

PATH = "/admin/v1/spend"
LIMITS = [
    {"per": "key", "of": "requests", "limit": 60, "every": "1m"},
    {"per": "user", "of": "tokens", "limit": 20_000, "every": "1m"},
    {"per": "user", "of": "tokens", "limit": 500_000, "every": "1d"},
    {"per": "global", "of": "tokens", "limit": 900_000},
    {"per": "tenant", "of": "concurrent", "limit": 4},
]


def guarded(upstream: FakeUpstream | None = None) -> Guarded:
    """A guard with limits of every kind; bob's policy has none."""
    return Guarded(upstream, policies={"public": {"limits": LIMITS}, "narrow": {}})


async def operator(guard: Guarded, path: str, body: object = None, **options: Any) -> FakeClient:
    """What the operator is answered."""
    given = {"key": ADMIN_TOKEN, **options}
    return await guard.ask(f"{PATH}/{path}", body, **given)


async def test_what_was_spent_and_what_remains() -> None:
    guard = guarded()
    await guard.chat()
    guard.clock.advance(10)
    shown = (await operator(guard, "user/alice")).json
    assert (shown["scope"], shown["id"]) == ("user", "alice")
    first, second = shown["limits"]
    assert first == {
        "per": "user",
        "of": "tokens",
        "limit": 20_000,
        "every_s": 60.0,
        "spent": USAGE.total_tokens,
        "reserved": 0,
        "remaining": 20_000 - USAGE.total_tokens,
        "reset_s": 50.0,
    }
    assert (second["limit"], second["every_s"], second["reset_s"]) == (500_000, 86_400.0, 86_390.0)
    assert (await operator(guard, "key/alice")).json["limits"][0]["spent"] == 1
    (everybody,) = (await operator(guard, "global/all")).json["limits"]
    assert (everybody["spent"], everybody["reset_s"]) == (USAGE.total_tokens, None)


async def test_what_is_reserved() -> None:
    go = asyncio.Event()
    guard = guarded(FakeUpstream((go, "x")))
    task = asyncio.ensure_future(guard.chat({**CHAT, "max_tokens": 100}))
    await guard.upstream.waiting.wait()
    (slots,) = (await operator(guard, "tenant/acme")).json["limits"]
    assert (slots["reserved"], slots["remaining"]) == (1, 3)
    tokens = (await operator(guard, "user/alice")).json["limits"][0]
    assert tokens["reserved"] > 100
    assert tokens["reset_s"] == 60.0
    go.set()
    await task


async def test_who_has_spent_nothing_has_everything() -> None:
    limits = (await operator(guarded(), "user/nobody")).json["limits"]
    assert [limit["remaining"] for limit in limits] == [20_000, 500_000]


async def test_a_key_is_shown_under_its_own_policy_and_an_unknown_one_is_not_found() -> None:
    guard = guarded()
    assert (await operator(guard, "key/bob")).json["limits"] == []
    assert (await operator(guard, "key/none")).status == 404


async def test_reset() -> None:
    guard = guarded()
    await guard.chat()
    after = (await operator(guard, "user/alice/reset", {})).json
    assert [limit["spent"] for limit in after["limits"]] == [0, 0]
    assert (await operator(guard, "key/alice")).json["limits"][0]["spent"] == 1


async def test_a_grant_is_more_for_one_window() -> None:
    guard = guarded()
    minute, day = (await operator(guard, "user/alice/grant", {"of": "tokens", "amount": 50, "every_s": 60})).json[
        "limits"
    ]
    assert (minute["remaining"], day["remaining"]) == (20_050, 500_000)
    guard.clock.advance(60)
    assert (await operator(guard, "user/alice")).json["limits"][0]["remaining"] == 20_000
    both = (await operator(guard, "user/alice/grant", {"of": "tokens", "amount": 7})).json["limits"]
    assert [limit["remaining"] for limit in both] == [20_007, 500_007]


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("planet/earth", None, 400, "scope"),
        ("user/alice/grant", {"of": "credits", "amount": 5}, 400, "of"),
        ("user/alice/grant", {"of": "tokens", "amount": 0}, 400, "amount"),
        ("user/alice/grant", {"of": "tokens", "amount": 1, "every_s": 61}, 400, "of"),
        ("user/alice/grant", {"of": "tokens", "amount": 1, "forever": True}, 400, "forever"),
    ],
)
async def test_mistakes(path: str, body: object, status: int, param: str) -> None:
    client = await operator(guarded(), path, body)
    assert (client.status, client.error["param"]) == (status, param)


@pytest.mark.parametrize("path", ["user/alice", "user/alice/reset", "user/alice/grant"])
async def test_a_stranger_sees_nothing(path: str) -> None:
    body = None if path == "user/alice" else {"of": "tokens", "amount": 1}
    assert (await operator(guarded(), path, body, key="lg-test-key-of-alice")).status == 401
    assert (await operator(guarded(), path, body, key=None)).status == 401


async def test_a_store_that_fails_says_so() -> None:
    guard = guarded()
    guard.store.counters.failing = True
    assert (await operator(guard, "user/alice/reset", {})).status == 503
