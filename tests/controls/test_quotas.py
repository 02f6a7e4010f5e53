"""Quotas on the request path: what is held, what is spent, what a client is told."""

import asyncio
import json
from typing import Any

import pytest

from llmguard.errors import Denial, UpstreamFailure
from llmguard.mark import Mark
from llmguard.quota.challenge import CHALLENGE, solve
from llmguard.quota.degrade import DEGRADED
from llmguard.store.ledger import Counter, Level
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import Usage
from llmguard.wire.model_request import ModelRequest
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import USAGE, FakeUpstream
from tests.guarded import CHAT, COMPLETION, STREAM, Guarded, living
from tests.serving import OTHER_KEY

pytestmark = pytest.mark.anyio

SPENT = USAGE.total_tokens


def limit(of: str, most: int, per: str = "user", every: object = "1m", **more: Any) -> dict[str, Any]:
    """A limit of the settings."""
    return {"per": per, "of": of, "limit": most, "every": every, **more}


def guarded(*limits: dict[str, Any], upstream: FakeUpstream | None = None, **changes: Any) -> Guarded:
    """A guard whose one policy has these limits."""
    policy = {"limits": list(limits), **changes.pop("policy", {})}
    return Guarded(upstream, policies={"public": policy, "narrow": {"models": ["other"]}}, **changes)


async def level(guard: Guarded, subject: str, measure: str, every_s: float | None = 60.0) -> Level:
    """How a counter stands."""
    return (await guard.app.ledger.levels([Counter(subject, measure, every_s, measure.startswith("concurrent"))]))[0]


def asked(most: int, **more: Any) -> dict[str, Any]:
    """A chat that may answer with so many tokens."""
    return {**CHAT, "max_tokens": most, **more}


# --- the attack: many at once ------------------------------------------------------------------


@pytest.mark.parametrize("body", [asked(20), {**STREAM, "max_tokens": 20}], ids=["whole", "stream"])
async def test_without_the_control_many_at_once_overspend_and_with_it_do_not(body: dict[str, Any]) -> None:
    """64 at once against a limit that holds 3 of them: all pass a guard that only counts afterwards."""
    go = asyncio.Event()
    upstream = FakeUpstream((go, "a" * 80))
    limits = (limit("tokens", 700),)

    async def served(guard: Guarded) -> int:
        tasks = [asyncio.ensure_future(guard.chat(body)) for _ in range(64)]
        await upstream.waiting.wait()
        go.set()
        return [client.status for client in await asyncio.gather(*tasks)].count(200)

    bare = Guarded(upstream, policies={"public": {"limits": list(limits)}, "narrow": {}}, without=["quotas"])
    assert await served(bare) == 64
    go.clear()
    upstream.waiting.clear()
    guard = guarded(*limits, upstream=upstream)
    passed = await served(guard)
    assert 0 < passed < 8
    found = await level(guard, "user:alice", "tokens:60")
    assert (found.spent, found.reserved) == (passed * (USAGE.prompt_tokens + USAGE.completion_tokens), 0) or (
        found.reserved == 0 and found.spent <= 700
    )


async def test_all_limits_are_held_or_none() -> None:
    guard = guarded(limit("requests", 5), limit("tokens", 10, per="tenant"))
    client = await guard.chat(asked(50))
    assert (client.status, client.error["code"]) == (429, "rate_limit_exceeded")
    assert (await level(guard, "user:alice", "requests:60")).reserved == 0
    assert guard.upstream.requests == []


async def test_concurrency_is_a_level() -> None:
    go = asyncio.Event()
    guard = guarded(limit("concurrent", 2, per="tenant", every=None), upstream=FakeUpstream((go, "x")))
    running = [asyncio.ensure_future(guard.chat()) for _ in range(2)]
    await guard.upstream.waiting.wait()
    refused = await guard.chat()
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert refused.headers["retry-after-ms"] == "1000"
    go.set()
    assert [(await client).status for client in running] == [200, 200]
    assert (await guard.chat()).status == 200


# --- what is held and sent ---------------------------------------------------------------------


async def test_a_request_without_a_cap_is_given_the_policys() -> None:
    guard = guarded(limit("requests", 9), policy={"decoding": {"max_output_tokens": 77}})
    await guard.chat()
    await guard.ask("/v1/completions", COMPLETION)
    await guard.chat(asked(5))
    chat, completion, own = guard.upstream.requests
    assert isinstance(chat, ChatRequest)
    assert chat.max_completion_tokens == 77
    assert completion.max_tokens == 16
    assert own.max_tokens == 5


async def test_the_cap_leaves_room_in_the_tightest_limit() -> None:
    guard = guarded(limit("tokens", 600), limit("output_tokens", 200))
    await guard.chat({**CHAT, "n": 4})
    (sent,) = guard.upstream.requests
    assert isinstance(sent, ChatRequest)
    assert sent.max_completion_tokens == 50


async def test_without_limits_nothing_is_changed() -> None:
    guard = Guarded()
    client = await guard.chat()
    (sent,) = guard.upstream.requests
    assert isinstance(sent, ChatRequest)
    assert sent.max_completion_tokens is None
    assert not any(name.startswith("x-ratelimit") for name in client.headers)


class Words:
    """A tokenizer whose tokens are words."""

    def prompt(self, request: ModelRequest) -> int | None:
        assert request.model == "upstream-model"
        return len(str(request.messages[0].content).split()) if isinstance(request, ChatRequest) else None

    def text(self, text: str) -> int:
        return len(text.split())


async def test_the_models_own_tokenizer_counts_input_and_an_answer_without_usage() -> None:
    upstream = FakeUpstream(("one two ", "three", UpstreamFailure(Denial("upstream_error"), retryable=False)))
    upstream.counter = Words()
    guard = guarded(limit("input_tokens", 100), limit("output_tokens", 100), upstream=upstream)
    await guard.chat({**STREAM, "max_tokens": 60})
    assert (await level(guard, "user:alice", "input_tokens:60")).spent == 1
    assert (await level(guard, "user:alice", "output_tokens:60")).spent == 3


# --- settlement --------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [asked(50), {**STREAM, "max_tokens": 50}], ids=["whole", "stream"])
async def test_what_was_used_is_spent_and_the_rest_is_back(body: dict[str, Any]) -> None:
    guard = guarded(limit("tokens", 1000), limit("requests", 10))
    assert (await guard.chat(body)).status == 200
    assert await level(guard, "user:alice", "tokens:60") == Level(SPENT, 0, 60.0)
    assert (await level(guard, "user:alice", "requests:60")).spent == 1
    assert "llmguard_quota_overrun_tokens_total 0.0" in guard.exposition


async def test_a_failure_before_the_answer_costs_nothing() -> None:
    failure = UpstreamFailure(Denial("upstream_error"), retryable=False)
    guard = guarded(limit("tokens", 1000), limit("requests", 10), upstream=FakeUpstream((failure,)))
    assert (await guard.chat(asked(50))).status == 502
    assert await level(guard, "user:alice", "tokens:60") == Level(0, 0, 0.0)
    assert (await level(guard, "user:alice", "requests:60")).spent == 0


async def test_who_leaves_in_the_middle_pays_for_what_was_relayed() -> None:
    """The attack: read a stream and hang up before its usage comes."""
    go = asyncio.Event()
    guard = guarded(limit("output_tokens", 500), upstream=FakeUpstream(("b" * 90, go)))
    client = FakeClient(json={**STREAM, "max_tokens": 400})
    task = asyncio.ensure_future(guard.serve(client))
    await guard.upstream.waiting.wait()
    client.leave()
    await task
    assert guard.upstream.left == 1
    found = await level(guard, "user:alice", "output_tokens:60")
    assert (found.spent, found.reserved) == (90, 0)


async def test_an_upstream_that_under_reports_gives_nothing_back() -> None:
    upstream = FakeUpstream(("c" * 300,))
    guard = guarded(limit("output_tokens", 500), upstream=upstream)
    await guard.chat(asked(200))
    assert (await level(guard, "user:alice", "output_tokens:60")).spent == 200


async def test_beyond_what_was_held_it_is_charged_and_counted() -> None:
    class Long(FakeUpstream):
        async def ask(self, request: ModelRequest, mark: Mark | None = None) -> Any:
            event = await super().ask(request)
            event.usage = Usage(prompt_tokens=3, completion_tokens=70, total_tokens=73)
            return event

    guard = guarded(limit("output_tokens", 500), upstream=Long(("x",)))
    await guard.chat(asked(50))
    assert (await level(guard, "user:alice", "output_tokens:60")).spent == 70
    line = next(
        line for line in guard.exposition.splitlines() if line.startswith("llmguard_quota_overrun_tokens_total")
    )
    assert float(line.split()[1]) == 20


async def test_a_later_denial_gives_everything_back() -> None:
    upstream = FakeUpstream()
    guard = guarded(limit("tokens", 9000), limit("requests", 10), upstream=upstream)
    upstream.scripts = [(UpstreamFailure(Denial("invalid_value"), retryable=False),)]
    assert (await guard.chat(asked(5))).status == 400
    assert (await level(guard, "user:alice", "tokens:60")).spent == 0


# --- what a client is told -----------------------------------------------------------------------


async def test_a_client_sees_what_is_left() -> None:
    guard = guarded(limit("requests", 10, per="key"), limit("tokens", 1000))
    client = await guard.chat(asked(50))
    assert client.headers["x-ratelimit-limit-requests"] == "10"
    assert client.headers["x-ratelimit-remaining-requests"] == "9"
    assert client.headers["x-ratelimit-reset-requests"] == "1m0s"
    assert client.headers["x-ratelimit-limit-tokens"] == "1000"
    assert 0 < int(client.headers["x-ratelimit-remaining-tokens"]) < 950


async def test_retry_after_is_the_true_time() -> None:
    guard = guarded(limit("requests", 2, per="key"))
    await guard.chat()
    guard.clock.advance(13.5)
    await guard.chat()
    guard.clock.advance(1)
    refused = await guard.chat()
    assert refused.status == 429
    assert refused.headers["retry-after-ms"] == "45500"
    assert refused.headers["retry-after"] == "46"
    assert "x-should-retry" not in refused.headers
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "2 requests per key every 60s" in refused.error["message"]
    guard.clock.advance(45.4)
    assert (await guard.chat()).status == 429
    guard.clock.advance(0.2)
    assert (await guard.chat()).status == 200


@pytest.mark.parametrize(
    ("of", "every", "code"),
    [
        ("requests", "1m", "rate_limit_exceeded"),
        ("requests", "1d", "insufficient_quota"),
        ("requests", None, "insufficient_quota"),
    ],
)
async def test_a_long_window_is_a_quota(of: str, every: str | None, code: str) -> None:
    guard = guarded(limit(of, 1, every=every))
    await guard.chat()
    refused = await guard.chat()
    assert (refused.status, refused.error["code"]) == (429, code)
    assert refused.headers.get("x-should-retry") == (None if every == "1m" else "false")
    assert ("retry-after" in refused.headers) == (every is not None)


async def test_a_request_that_can_never_fit_says_so() -> None:
    guard = guarded(limit("tokens", 100))
    refused = await guard.chat(asked(4000))
    assert (refused.status, refused.headers["x-should-retry"]) == (429, "false")
    assert "retry-after" not in refused.headers


async def test_other_keys_have_quotas_of_their_own() -> None:
    limits = [limit("requests", 1, per="key"), limit("requests", 3, per="tenant")]
    policies = {"public": {"limits": limits}, "narrow": {"limits": limits, "models": ["other"]}}
    guard = Guarded(policies=policies)
    assert (await guard.chat()).status == 200
    assert (await guard.chat()).status == 429
    other = {**CHAT, "model": "other"}
    assert (await guard.chat(other, key=OTHER_KEY)).status == 200
    assert (await guard.chat(other, key=OTHER_KEY)).status == 429


async def test_listing_models_is_free() -> None:
    guard = guarded(limit("requests", 1))
    for _ in range(3):
        assert (await guard.ask("/v1/models")).status == 200
    assert (await guard.chat()).status == 200


# --- a store that fails, observe mode, degrading, challenges, reload ------------------------------


async def test_a_store_that_fails_refuses() -> None:
    guard = guarded(limit("requests", 1), upstream=FakeUpstream())
    guard.store.counters.failing = True
    client = await guard.chat()
    assert (client.status, client.error["code"]) == (503, "store_unavailable")
    assert client.headers["retry-after"] == "1"
    assert guard.upstream.requests == []


async def test_a_settlement_that_the_store_did_not_take_is_not_the_clients_trouble() -> None:
    go = asyncio.Event()
    guard = guarded(limit("tokens", 1000), upstream=FakeUpstream((go, "x")))
    task = asyncio.ensure_future(guard.chat(asked(50)))
    await guard.upstream.waiting.wait()
    guard.store.counters.failing = True
    go.set()
    assert (await task).status == 200
    assert guard.store.counters.calls == 1
    assert (await level(guard, "user:alice", "tokens:60")).reserved > 50


async def test_observe_spends_and_notes() -> None:
    guard = guarded(limit("requests", 1), mode="observe")
    assert (await guard.chat()).status == 200
    assert guard.audit.line["decision"] == "allow"
    assert (await guard.chat()).status == 200
    assert guard.audit.line["decision"] == "observe"
    assert guard.audit.line["observed"] == ["rate_limit_exceeded"]
    assert (await level(guard, "user:alice", "requests:60")).spent == 2


async def test_degrading_answers_from_a_cheaper_model() -> None:
    limits = [limit("requests", 1, models=["chat"], on_exceed="degrade"), limit("requests", 2)]
    guard = guarded(*limits, policy={"degrade": {"model": "other", "max_output_tokens": 9}})
    assert json.loads((await guard.chat()).body)["model"] == "chat"
    cheaper = await guard.chat()
    assert (cheaper.status, json.loads(cheaper.body)["model"]) == (200, "other")
    assert cheaper.headers[DEGRADED.decode()] == "max_output_tokens, model"
    sent = guard.upstream.requests[1]
    assert isinstance(sent, ChatRequest)
    assert (sent.model, sent.max_completion_tokens) == ("upstream-model-2", 9)
    assert (await guard.chat()).status == 429  # the limit that only refuses


async def test_a_cheaper_model_without_a_limit_of_its_own_serves() -> None:
    guard = guarded(limit("requests", 1, models=["chat"], on_exceed="degrade"), policy={"degrade": {"model": "other"}})
    await guard.chat()
    for _ in range(3):
        cheaper = await guard.chat()
        assert (cheaper.status, json.loads(cheaper.body)["model"]) == (200, "other")
        assert cheaper.headers[DEGRADED.decode()] == "model"


async def test_degrading_to_a_shorter_answer() -> None:
    guard = guarded(limit("output_tokens", 60, on_exceed="degrade"), policy={"degrade": {"max_output_tokens": 20}})
    short = await guard.chat(asked(100))
    assert (short.status, short.headers[DEGRADED.decode()]) == (200, "max_output_tokens")
    sent = guard.upstream.requests[0]
    assert isinstance(sent, ChatRequest)
    assert sent.max_completion_tokens == 20
    assert DEGRADED.decode() not in (await guard.chat(asked(50))).headers
    assert (await guard.chat(asked(16, n=4))).status == 429  # not shorter for it


async def test_a_challenge_is_solved_once() -> None:
    guard = guarded(limit("requests", 1, on_exceed="challenge"), limit("requests", 3, per="tenant"))
    await guard.chat()
    refused = await guard.chat()
    assert (refused.status, refused.error["code"]) == (429, "challenge_required")
    assert refused.headers["x-should-retry"] == "false"
    solution = {"x-llmguard-solution": solve(refused.headers[CHALLENGE.decode()])}
    assert (await guard.chat(headers=solution)).status == 200
    assert (await guard.chat(headers=solution)).error["code"] == "challenge_required"
    assert (await guard.chat(headers={"x-llmguard-solution": "nonsense"})).error["code"] == "challenge_required"
    fresh = {"x-llmguard-solution": solve((await guard.chat()).headers[CHALLENGE.decode()])}
    assert (await guard.chat(headers=fresh)).status == 200
    last = await guard.chat()  # the tenant's limit only refuses: nothing that could be solved would help
    assert (last.error["code"], CHALLENGE.decode() in last.headers) == ("rate_limit_exceeded", False)


async def test_limits_changed_by_reload_hold_at_once_and_keep_what_was_spent() -> None:
    guard = guarded(limit("requests", 2))
    async with living(guard):
        assert [(await guard.chat()).status for _ in range(3)] == [200, 200, 429]
        guard.app.reload(guarded(limit("requests", 3)).app.settings)
        assert [(await guard.chat()).status for _ in range(2)] == [200, 429]
        guard.app.reload(guarded(limit("requests", 1)).app.settings)
        assert (await guard.chat()).status == 429


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
async def test_a_step_of_the_clock_changes_nothing(step_s: float) -> None:
    guard = guarded(limit("requests", 1))
    await guard.chat()
    guard.clock.set_wall(step_s)
    refused = await guard.chat()
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
