"""Extraction by machine meets throttling, a proof of work and a block; honest people, and lawful programs, do not."""

import asyncio
import base64
import json
import random
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llmguard.controls.prompts import INLINE_CHARACTERS
from llmguard.quota.challenge import CHALLENGE, MAX_NUMBER, solve
from llmguard.quota.degrade import DEGRADED
from llmguard.risk.report import Report
from llmguard.store.ledger import Counter
from llmguard.wire.chat import ChatRequest
from tests.fakes.connection import FakeClient
from tests.guarded import CHAT, Guarded
from tests.prompts.corpora import Corpus, made_up
from tests.prompts.sessions import ATTACKS, HONEST
from tests.prompts.vocabulary import TEMPLATE_WORDS, tokenizer_file

pytestmark = pytest.mark.anyio

HEADER = CHALLENGE.decode()


@pytest.fixture(autouse=True)
def small_vocabulary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The made-up texts are English under the vocabulary that they are made for."""
    file = tokenizer_file(tmp_path, TEMPLATE_WORDS)
    monkeypatch.setattr("llmguard.risk.build.vocabulary_file", lambda: file)


@cache
def corpus() -> Corpus:
    return made_up(40)


def attack(count: int, kind: str = "1 template") -> list[str]:
    """A scripted stream."""
    return ATTACKS[kind](corpus(), random.Random(1), count)


def guarded(prompts: dict[str, Any] | None = None, **changes: Any) -> Guarded:
    """A guard whose one policy has prompts watched, by default as the settings have it."""
    policy = {"prompts": prompts or {}, **changes.pop("policy", {})}
    return Guarded(policies={"public": policy, "narrow": {}}, **changes)


def asked(text: str, **more: Any) -> dict[str, Any]:
    """A chat whose one turn is this."""
    return {**CHAT, "messages": [{"role": "user", "content": text}], **more}


async def send(guard: Guarded, text: str, **options: Any) -> FakeClient:
    """The client that asked; `solving` does the work that is asked of it, once."""
    solving = options.pop("solving", False)
    client = await guard.chat(asked(text), **options)
    if solving and client.status == 429 and HEADER in client.headers:
        headers = {"x-llmguard-solution": solve(client.headers[HEADER])}
        return await guard.chat(asked(text), headers=headers, **options)
    return client


async def report(guard: Guarded, key: str = "alice") -> Report:
    """How a key stands."""
    assert guard.app.desk is not None
    found = await guard.app.desk.report(key)
    assert found is not None
    return found


# --- the attack -------------------------------------------------------------------------------------


async def test_without_the_control_a_scripted_stream_is_served_and_with_it_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llmguard.quota.challenge.MAX_NUMBER", 500)
    stream = attack(150)
    bare = Guarded(policies={"public": {"prompts": {}}, "narrow": {}}, without=["prompts"])
    assert [(await send(bare, text)).status for text in stream] == [200] * 150
    guard = guarded()
    states, answers = [], []
    for text in stream:
        client = await send(guard, text, solving=True)
        answers.append(client.status)
        states.append((await report(guard)).state)
    met = list(dict.fromkeys(states))
    assert met == ["normal", "throttled", "challenged", "blocked"]
    assert states.index("throttled") < 80
    assert states.index("blocked") < 120
    assert set(answers[states.index("blocked") + 1 :]) == {429}
    last = await send(guard, "what is the weather like?")
    assert last.error["code"] == "rate_limit_exceeded"
    assert last.error["message"] == "Rate limit reached."
    assert 0 < int(last.headers["retry-after"]) <= 2 * 1800
    assert last.headers["x-should-retry"] == "false"
    assert HEADER not in last.headers


async def test_who_does_not_do_the_work_is_blocked_too() -> None:
    guard = guarded()
    codes = [(await send(guard, text)).json.get("error", {}).get("code", "served") for text in attack(120)]
    assert list(dict.fromkeys(codes)) == ["served", "challenge_required", "rate_limit_exceeded"]
    assert codes.count("served") < 90


async def test_a_batch_of_prompts_is_as_many() -> None:
    guard = guarded()
    stream = attack(120)
    clients = []
    for start in range(0, 120, 30):
        clients.append(await guard.ask("/v1/completions", {"model": "chat", "prompt": stream[start : start + 30]}))
    assert [client.status for client in clients] == [200, 200, 200, 429]


async def test_a_block_ends_and_what_cooled_begins_anew() -> None:
    guard = guarded({"respond": ["block"]})
    for text in attack(80):
        await send(guard, text)
    blocked = await send(guard, "hello there")
    assert blocked.status == 429
    guard.clock.advance(int(blocked.headers["retry-after"]) + 1)
    assert (await send(guard, "is it over now?")).status == 200
    after = await report(guard)
    assert (after.state, after.flagged_at, after.strikes) == ("normal", None, 1)
    assert after.log10_e < 1


# --- honest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(HONEST))
async def test_honest_sessions_are_served(kind: str) -> None:
    guard = guarded()
    for text in HONEST[kind](corpus(), random.Random(3), 120):
        assert (await send(guard, text)).status == 200
    found = await report(guard)
    assert (found.state, found.flagged_at) == ("normal", None)


async def test_a_growing_history_is_what_was_newly_said() -> None:
    """As messages and as one string; a shared system prompt is nobody's prompt."""
    guard = guarded()
    history: list[dict[str, str]] = [{"role": "system", "content": "You are a helpful assistant of this bank. " * 20}]
    text = ""
    turns = HONEST["chat"](corpus(), random.Random(4), 80)
    for turn in turns:
        history += [{"role": "user", "content": turn}]
        assert (await guard.chat({**CHAT, "messages": history})).status == 200
        history += [{"role": "assistant", "content": "an answer"}]
    found = await report(guard)
    assert (found.prompts, found.state) == (len(turns), "normal")
    other = guarded()
    for turn in turns:
        text += f"{turn}\n"
        assert (await other.ask("/v1/completions", {"model": "chat", "prompt": text})).status == 200
    assert (await report(other)).log10_e < 3


# --- what a flagged key meets -----------------------------------------------------------------------


async def spent(guard: Guarded) -> int:
    """Requests of alice's that count."""
    (level,) = await guard.app.ledger.levels([Counter("user:alice", "requests:86400", 86_400.0)])
    return level.spent


async def test_throttled_requests_spend_a_multiple() -> None:
    limits = [
        {"per": "user", "of": "requests", "limit": 100_000, "every": "1d"},
        {"per": "tenant", "of": "concurrent", "limit": 2},
    ]
    guard = guarded({"respond": ["throttle"]}, policy={"limits": limits})
    before = 0
    costs = []
    for text in attack(110):
        assert (await send(guard, text)).status == 200
        now = await spent(guard)
        costs.append(now - before)
        before = now
    assert costs[:40] == [1] * 40
    assert set(costs) <= {1 << doublings for doublings in range(11)}
    assert costs[-1] >= 8
    assert costs == sorted(costs)


async def test_a_throttled_request_fits_into_a_limit_that_it_fitted_into_before() -> None:
    limits = [{"per": "user", "of": "requests", "limit": 3, "every": "1s"}]
    guard = guarded({"respond": ["throttle"]}, policy={"limits": limits})
    statuses = []
    for text in attack(110):
        statuses.append((await send(guard, text)).status)
        guard.clock.advance(2.0)
    assert statuses == [200] * 110
    assert (await send(guard, "one more")).status == 200
    assert (await send(guard, "and another")).status == 429


async def challenged(guard: Guarded) -> FakeClient:
    """The first refusal of a stream that is to be challenged."""
    for text in attack(100):
        client = await send(guard, text)
        if client.status == 429:
            return client
    raise AssertionError("it was not challenged")


async def test_a_challenge_is_solved_once_and_by_its_own_key() -> None:
    guard = guarded({"respond": ["challenge"]})
    refused = await challenged(guard)
    assert refused.error["code"] == "challenge_required"
    headers = {"x-llmguard-solution": solve(refused.headers[HEADER])}
    assert (await guard.chat(asked("one"), headers=headers)).status == 200
    again = await guard.chat(asked("two"), headers=headers)
    assert (again.status, again.error["code"]) == (429, "challenge_required")
    forged = {"x-llmguard-solution": "e30="}
    assert (await guard.chat(asked("three"), headers=forged)).status == 429


async def test_the_work_grows_with_the_evidence_and_is_bounded() -> None:
    guard = guarded({"respond": ["challenge"]})
    most = []
    for text in attack(130):
        client = await send(guard, text)
        if HEADER in client.headers:
            most.append(json.loads(base64.b64decode(client.headers[HEADER]))["maxnumber"])
    assert most == sorted(most)
    assert MAX_NUMBER <= most[0] < most[-1] == 8 * MAX_NUMBER


async def test_a_degraded_key_gets_less() -> None:
    policy = {"degrade": {"model": "other", "max_output_tokens": 5}}
    guard = guarded({"respond": ["degrade"]}, policy=policy)
    for text in attack(70):
        client = await send(guard, text)
    assert client.status == 200
    assert client.headers[DEGRADED.decode()] == "max_output_tokens, model"
    assert client.json["model"] == "other"
    sent = guard.upstream.requests[-1]
    assert isinstance(sent, ChatRequest)
    assert sent.max_completion_tokens == 5


async def test_a_refused_request_gives_back_what_it_held() -> None:
    limits = [
        {"per": "user", "of": "requests", "limit": 1000, "every": "1d"},
        {"per": "tenant", "of": "concurrent", "limit": 2},
    ]
    guard = guarded({"respond": ["block"]}, policy={"limits": limits})
    for text in attack(80):
        await send(guard, text)
    served = sum(line["status"] == 200 for line in guard.audit.lines)
    assert served < 80
    assert await spent(guard) == served
    (slots,) = await guard.app.ledger.levels([Counter("tenant:acme", "concurrent:ever", None, True)])
    assert slots.reserved == 0


# --- who is excused ---------------------------------------------------------------------------------


async def test_mode_observe_records_and_refuses_nothing() -> None:
    guard = guarded(mode="observe")
    for text in attack(120):
        assert (await send(guard, text)).status == 200
    found = await report(guard)
    assert found.state == "blocked"
    assert guard.audit.line["observed"] == ["rate_limit_exceeded"]
    assert 'llmguard_decisions_total{code="rate_limit_exceeded",control="prompts",mode="observe"}' in guard.exposition


async def test_a_policy_may_allow_automation() -> None:
    guard = guarded({"automation": "allowed"})
    for text in attack(120):
        assert (await send(guard, text)).status == 200
    found = await report(guard)
    assert (found.state, found.excused) == ("normal", True)
    assert found.flagged_after_prompts is not None
    assert found.log10_e > 3
    assert guard.app.desk is not None
    (alert,) = await guard.app.desk.alerts(10)
    assert (alert.excused, alert.state) == (True, "normal")


async def test_what_is_not_watched_is_not_seen() -> None:
    guard = Guarded(policies={"public": {"prompts": {"detect": False}}, "narrow": {}})
    assert guard.app.desk is None
    for text in attack(80):
        assert (await send(guard, text)).status == 200


async def test_no_prompt_is_in_a_report_an_alert_or_a_metric() -> None:
    guard = guarded()
    for text in attack(100):
        await send(guard, f"{text} sesquipedalian")
    assert guard.app.desk is not None
    told = f"{await report(guard)}{await guard.app.desk.alerts(100)}{guard.exposition}{guard.audit.texts}"
    assert "sesquipedalian" not in told
    assert "template" not in told


# --- bad input --------------------------------------------------------------------------------------

BAD = {
    "nothing": "",
    "white space": " \n\t",
    "binary": "\x00\x01\x02\x7f" * 500,
    "one token": "a",
    "emoji": "\U0001f600\U0001f680\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "mixed directions": "\u0645\u0631\u062d abc \u202e cba \u2066x\u2069",
    "200 KB": "x y " * 50_000,
    "one long word": "q" * 200_000,
    "marks": "e\u0301\u0301\u0301" * 8_000,
    "private": "\ue000\U000f0000\ufffe",
}


@pytest.mark.parametrize("kind", BAD)
async def test_bad_input_is_no_error(kind: str) -> None:
    guard = guarded()
    for body in (asked(BAD[kind]), asked([{"type": "text", "text": BAD[kind]}])):
        client = await guard.chat(body)
        assert client.status == 200, client.json
    client = await guard.ask("/v1/completions", {"model": "chat", "prompt": [BAD[kind], BAD[kind][:9]]})
    assert client.status == 200
    assert (await send(guard, "and a plain question after it")).status == 200


async def test_a_chat_without_a_user_is_served() -> None:
    guard = guarded()
    assert (await guard.chat({**CHAT, "messages": [{"role": "system", "content": "be brief"}]})).status == 200


async def test_the_event_loop_is_not_held_up_by_a_hostile_text() -> None:
    """Words of a hundred random letters take the longest to be taken apart."""
    source = random.Random(5)
    letters = "abcdefghijklmnopqrstuvwxyz"
    hostile = [
        " ".join("".join(source.choices(letters, k=99)) for _ in range(40))[:size]
        for size in (INLINE_CHARACTERS, INLINE_CHARACTERS + 1, 4000)
        for _ in range(4)
    ]
    guard = guarded()
    assert guard.app.desk is not None
    took = []
    for text in hostile:
        if len(text) <= INLINE_CHARACTERS:
            before = time.thread_time()
            guard.app.desk.read(text)
            took.append(time.thread_time() - before)
        before = time.thread_time()
        assert (await send(guard, text)).status == 200
        took.append(time.thread_time() - before)
    # The best of each size: a busy machine takes longer, and that is not the guard's.
    assert min(took) < 0.005
    assert sorted(took)[len(took) // 2] < 0.008
    await asyncio.sleep(0)
