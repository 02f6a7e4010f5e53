"""A line for every request, and nothing in it that anybody said."""

import asyncio
import json
from typing import Any

import pytest

from llmguard.errors import Denial, UpstreamFailure
from llmguard.wire.chat_answer import AnswerMessage, ChatCompletion, Choice
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import USAGE, FakeUpstream
from tests.guarded import CHAT, COMPLETION, STREAM, Guarded
from tests.serving import KEY, OTHER_KEY

pytestmark = pytest.mark.anyio

MARK = "MARK7f3a"
FIELDS: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": MARK, "name": MARK},
        {"role": "user", "content": [{"type": "text", "text": MARK}], "name": MARK},
        {"role": "assistant", "content": MARK, "tool_calls": [
            {"id": MARK, "type": "function", "function": {"name": MARK, "arguments": MARK}}
        ]},
        {"role": "tool", "content": MARK, "tool_call_id": MARK},
    ],
    "user": MARK,
    "safety_identifier": MARK,
    "prompt_cache_key": MARK,
    "metadata": {MARK: MARK},
    "stop": [MARK],
    "tools": [{"type": "function", "function": {"name": MARK, "description": MARK, "parameters": {MARK: MARK}}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": MARK, "schema": {MARK: MARK}}},
}  # fmt: skip
HEADERS = {
    "user-agent": MARK,
    "x-request-id": MARK,
    "x-forwarded-for": MARK,
    "openai-organization": MARK,
    f"x-{MARK}": MARK,
    "cookie": MARK,
    "idempotency-key": MARK,
}


def marked() -> FakeUpstream:
    """An upstream whose answer, or whose failure, is full of the mark."""
    choice = Choice(message=AnswerMessage(content=MARK, refusal=MARK), finish_reason=MARK)
    answer = ChatCompletion(id=MARK, model=MARK, choices=[choice], usage=USAGE, system_fingerprint=MARK)
    failure = UpstreamFailure(Denial("upstream_error", MARK), retryable=False)
    return FakeUpstream([answer], [MARK], [failure], [MARK, failure], [ValueError(MARK)], [KeyError(MARK)])


async def attacked(mode: str, caplog: pytest.LogCaptureFixture) -> tuple[Guarded, list[FakeClient]]:
    """A guard to which the mark was said in every way there is, allowed and denied."""
    guard = Guarded(marked(), mode=mode)
    whole = {**CHAT, **FIELDS}
    bodies: list[object] = [
        *(whole, {**whole, "stream": True}) * 3,
        {**whole, "model": MARK},
        {**whole, MARK: MARK},
        {**whole, "temperature": MARK},
        {**whole, "metadata": {MARK: {MARK: MARK}}},
        {**whole, "stream_options": {MARK: MARK}},
        {MARK: MARK},
        MARK,
    ]
    clients = [await guard.chat(body, key=key, headers=HEADERS) for body in bodies for key in (KEY, MARK, None)]
    clients += [
        await guard.ask(path, method=method, headers=HEADERS, peer=peer, blocks=blocks)
        for path, method in (
            (f"/v1/models/{MARK}", "GET"),
            ("/v1/embeddings", "POST"),
            ("/v1/chat/completions", "POST"),
        )
        for peer in ("192.0.2.1", "")
        for blocks in ((f'{{"{MARK}": 1, "{MARK}": 2}}'.encode(),), (MARK.encode(),))
    ]
    return guard, clients


@pytest.mark.parametrize("mode", ["enforce", "observe"])
async def test_without_the_guard_what_was_said_is_everywhere_and_with_it_nowhere(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    guard, clients = await attacked(mode, caplog)
    # The attack works: the mark went in, through to the upstream, and back out to the client.
    assert MARK in json.dumps([str(request) for request in guard.upstream.requests])
    assert any(MARK.encode() in client.body and client.status == 200 for client in clients)
    assert len(guard.audit.lines) == len(clients)
    assert {line["decision"] for line in guard.audit.lines} >= {
        "deny",
        "error",
        "allow" if mode == "enforce" else "observe",
    }
    kept = b"\n".join(guard.audit.texts).decode() + caplog.text + guard.exposition
    assert "request req_" in caplog.text
    assert MARK not in kept
    assert not [key for key in (KEY, OTHER_KEY) if key in kept]
    assert not [client for client in clients if MARK in str(client.headers)]


async def test_without_the_control_nothing_is_recorded() -> None:
    guard = Guarded(without=["audit"])
    await guard.chat()
    assert guard.audit.lines == []


async def test_an_allowed_line() -> None:
    guard = Guarded(FakeUpstream(("Hello", " you")))
    client = await guard.chat(STREAM, peer="203.0.113.7")
    assert guard.audit.lines == [
        {
            "at": 1_800_000_000.0,
            "request_id": client.headers["x-request-id"],
            "decision": "allow",
            "status": 200,
            "endpoint": "chat",
            "model": "chat",
            "key": "alice",
            "user": "alice",
            "tenant": "acme",
            "policy": "public",
            "ip": "203.0.113.7",
            "stream": True,
            "request_bytes": len(json.dumps(STREAM)),
            "response_bytes": len(client.body),
            "input_tokens": 3,
            "output_tokens": 2,
            "first_byte_ms": 0.0,
            "duration_ms": 0.0,
        }
    ]


async def test_a_denied_line_has_no_name_that_the_client_chose() -> None:
    guard = Guarded()
    client = await guard.ask("/v1/completions", {**COMPLETION, "model": "none"})
    assert guard.audit.line == {
        "at": 1_800_000_000.0,
        "request_id": client.headers["x-request-id"],
        "decision": "deny",
        "status": 404,
        "endpoint": "completions",
        "key": "alice",
        "user": "alice",
        "tenant": "acme",
        "policy": "public",
        "ip": "192.0.2.1",
        "code": "model_not_found",
        "control": "models",
        "request_bytes": len(json.dumps({**COMPLETION, "model": "none"})),
        "response_bytes": len(client.body),
        "first_byte_ms": 0.0,
        "duration_ms": 0.0,
    }


async def test_times_are_told_in_milliseconds() -> None:
    go = asyncio.Event()
    upstream = FakeUpstream((go, "Hello"))
    guard = Guarded(upstream)
    client = FakeClient(json=STREAM)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(guard.serve(client))
        await upstream.waiting.wait()
        guard.clock.advance(0.25)
        go.set()
    assert (guard.audit.line["first_byte_ms"], guard.audit.line["duration_ms"]) == (250.0, 250.0)


@pytest.mark.parametrize("mode", ["enforce", "observe"])
async def test_what_could_not_be_recorded_is_refused(mode: str) -> None:
    guard = Guarded(mode=mode)
    guard.audit.full = True
    client = await guard.chat()
    assert (client.status, client.error["code"], client.headers["retry-after"]) == (503, "overloaded", "1")
    assert guard.upstream.requests == []
    guard.audit.full = False
    assert (await guard.chat()).status == 200
