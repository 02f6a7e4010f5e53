"""Who asks, and that nobody else is answered."""

import pytest

from llmguard.keys import issue, pepper, revoke
from tests.fakes.connection import FakeClient
from tests.fakes.random_bytes import RandomBytes
from tests.guarded import Guarded
from tests.serving import KEY, SECRET

pytestmark = pytest.mark.anyio

RANDOM = RandomBytes()


async def stored(guard: Guarded, *, expires_in_s: float | None = None, policy: str = "public") -> tuple[str, str]:
    """The id and the secret of a key in the store."""
    now = guard.clock.time()
    expires_at = None if expires_in_s is None else now + expires_in_s
    record, secret = issue(
        "carol", "acme", policy, pepper=pepper(SECRET.encode()), now=now, expires_at=expires_at, random=RANDOM
    )
    await guard.store.put_key(record)
    return record.id, secret


def answer(client: FakeClient) -> tuple[int, dict[str, str], bytes]:
    """All of an answer but its id."""
    return client.status, {**client.headers, "x-request-id": ""}, client.body


async def test_without_the_control_anybody_is_served_and_with_it_nobody() -> None:
    assert (await Guarded(without=["authentication"]).chat(key=None)).status == 200
    assert (await Guarded().chat(key=None)).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"authorization": f"BEARER   {KEY} "},
        {"api-key": KEY},
        {"authorization": "Basic YTpi", "api-key": KEY},
        {"authorization": "Bearer ", "api-key": KEY},
    ],
)
async def test_a_key_is_read_where_sdks_put_it(headers: dict[str, str]) -> None:
    guard = Guarded()
    assert (await guard.chat(key=None, headers=headers)).status == 200
    assert guard.audit.line["key"] == "alice"


async def test_missing_unknown_revoked_expired_and_orphaned_keys_get_one_answer() -> None:
    guard = Guarded()
    revoked_id, revoked = await stored(guard)
    await guard.store.update_key(revoked_id, lambda record: revoke(record, guard.clock.time()))
    _, expired = await stored(guard, expires_in_s=1)
    _, orphaned = await stored(guard, policy="deleted")
    guard.clock.advance(2)
    presented: list[dict[str, str]] = [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"api-key": "unknown"},
        {"api-key": "x" * 10_000},
        *({"authorization": f"Bearer {key}"} for key in ("unknown", KEY + "x", KEY[:-1], revoked, expired, orphaned)),
    ]
    answers = [answer(await guard.chat(key=None, headers=headers)) for headers in presented]
    assert answers[0][0] == 401
    assert b'"invalid_api_key"' in answers[0][2]
    assert [other for other in answers if other != answers[0]] == []
    assert guard.upstream.requests == []
    assert not any("key" in line for line in guard.audit.lines)


async def test_a_stored_key_is_served_until_it_ends() -> None:
    guard = Guarded()
    ident, secret = await stored(guard, expires_in_s=60)
    assert (await guard.chat(key=secret)).status == 200
    line = guard.audit.line
    assert (line["key"], line["user"], line["tenant"], line["policy"]) == (ident, "carol", "acme", "public")
    guard.clock.advance(60)
    assert (await guard.chat(key=secret)).status == 401


async def test_a_store_that_fails_is_no_verdict_on_the_key() -> None:
    guard = Guarded()
    _, secret = await stored(guard)
    guard.store.failing = True
    client = await guard.chat(key=secret)
    assert (client.status, client.error["code"]) == (503, "store_unavailable")
    assert client.headers["retry-after"] == "1"


async def test_a_refused_request_is_not_read() -> None:
    client = FakeClient("/v1/chat/completions", key="unknown", blocks=(b"x" * 1000,))
    await Guarded().serve(client)
    assert (client.status, client.received) == (401, 0)
    assert "connection" not in client.headers
